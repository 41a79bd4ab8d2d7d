"""What followed when the music was last as it is now: repeats, which a network of small memory cannot see.

The step after t goes on as an earlier one did where the steps before both agree. Of all earlier places that is chosen
where most chords in a row have agreed; of equals, where most steps have, and then the latest. It is the match model
of text compression (Bell, Cleary and Witten 1990, section 5.4), of which a network is told and decides what to trust.

Equal steps stay equal in every key, so that what is found holds however a piece is transposed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numba
import numpy as np

LAYOUTS = frozenset({"voices", "frames"})
"""Of vocabularies whose steps are told what followed."""
LONGEST_MATCH = 24
"""Chords in a row of which a network is told that they agree; it counts no further."""
HORIZON = 1024
"""Steps that are looked back over."""
CHORD = 2**16
"""What a chord weighs against a step that holds one."""
MOST = 2**30


@numba.njit(cache=True, nogil=True)
def _sources(kind_T: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """`sources` of steps of which equal ones are of one kind; only those are visited."""
    length = len(kind_T)
    source_T, match_T = np.full(length, -1, np.int64), np.zeros(length, np.int32)
    # The weight of what agrees just before step j and just before the step for which it was last found.
    weight_J, found_for_J = np.zeros(length + 1, np.int64), np.full(length + 1, -1, np.int64)
    latest_of_kind, before_of_kind_T = np.full(kinds, -1, np.int64), np.full(length, -1, np.int64)
    for now in range(length - 1):
        added = 1 if now > 0 and kind_T[now] == kind_T[now - 1] else 1 + CHORD
        best = CHORD - 1
        before = latest_of_kind[kind_T[now]]
        before_of_kind_T[now] = before
        latest_of_kind[kind_T[now]] = now
        while before >= 0 and before >= now - HORIZON:
            weight = added + (weight_J[before] if found_for_J[before] == now else 0)
            weight_J[before + 1], found_for_J[before + 1] = min(weight, MOST), now + 1
            if weight_J[before + 1] > best:
                best = weight_J[before + 1]
                source_T[now + 1], match_T[now + 1] = before + 1, min(best // CHORD, LONGEST_MATCH)
            before = before_of_kind_T[before]
    return source_T, match_T


def sources(tokens_TxK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`source_T`, the step that followed last time, or -1, and `match_T`, by how many chords; before each step."""
    kinds: dict[bytes, int] = {}
    kind_T = np.array([kinds.setdefault(step.tobytes(), len(kinds)) for step in tokens_TxK], np.int64)
    return _sources(kind_T, len(kinds))


def recalled(tokens_TxK: np.ndarray, nothing: int) -> tuple[np.ndarray, np.ndarray]:
    """`recalled_TxK`, the tokens that followed last time, or `nothing`, and `match_T`; see `sources`."""
    source_T, match_T = sources(tokens_TxK)
    return taken(source_T, tokens_TxK[np.maximum(source_T, 0)], nothing), match_T


def taken(source_T: np.ndarray, tokens_TxK: np.ndarray, nothing: int) -> np.ndarray:
    """`recalled_TxK`: the tokens of each source, or `nothing` where there is none."""
    return np.where(source_T[:, None] >= 0, tokens_TxK, nothing).astype(np.int32)


def following(
    weight_BxT: jax.Array, tokens_BxTxK: jax.Array, t: jax.Array, nothing: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The same while a sequence is written: the next weights, and `recalled_BxK` and `match_B` for step t + 1.

    Args:
        weight_BxT: of what agrees just before each step and just before step t; at first zeros.
        tokens_BxTxK: all steps, of which those up to t have been written.
        t: the step that has just been written.
        nothing: the token that stands for none.
    """
    place = jnp.arange(tokens_BxTxK.shape[1])
    now = jax.lax.dynamic_slice_in_dim(tokens_BxTxK, t, 1, axis=1)
    before = jax.lax.dynamic_slice_in_dim(tokens_BxTxK, jnp.maximum(t - 1, 0), 1, axis=1)
    held_Bx1 = jnp.all(now == before, axis=-1) & (t > 0)
    equal = jnp.all(tokens_BxTxK == now, axis=-1) & (place < t) & (place >= t - HORIZON)
    added = jnp.where(equal, jnp.minimum(weight_BxT + jnp.where(held_Bx1, 1, 1 + CHORD), MOST), 0)
    weight = jnp.pad(added[:, :-1], ((0, 0), (1, 0)))
    # The latest of equals.
    source_B = place[-1] - jnp.argmax(weight[:, ::-1], axis=1)
    best_B = jnp.take_along_axis(weight, source_B[:, None], axis=1)[:, 0]
    tokens_BxK = jnp.take_along_axis(tokens_BxTxK, source_B[:, None, None], axis=1)[:, 0]
    found_B = best_B >= CHORD
    match_B = jnp.where(found_B, jnp.minimum(best_B // CHORD, LONGEST_MATCH), 0)
    return weight, jnp.where(found_B[:, None], tokens_BxK, nothing), match_B
