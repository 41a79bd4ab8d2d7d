"""Train an encoder: a window of four bars has one bar hidden, and the network says what stands there.

A masked model, as BERT (Devlin et al., 2019) is of words and MusicBERT (Zeng et al., 2021) of notes, with a bar for a
mask. What the hidden layer must know for that (the key, the register, the chords and what follows them) is what pieces
are compared by. Contrastive training was tried: its encoder tells pieces apart by their key and texture, which shuffled
pitches keep (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dalsegno.data.notes import Notes
from dalsegno.embedding.encoder import (
    PITCHES,
    POSITIONS,
    WINDOW,
    Cells,
    Encoder,
    Weights,
    cells,
    forward,
    hidden,
    shapes,
)
from dalsegno.embedding.options import EncoderOptions

TRANSPOSE = 6
"""Semitones either way."""
TRIALS = 20
"""Batches of validation pieces behind the loss that is told."""
STILL = 1e-6
"""Share of the largest deviation below which rounding alone makes a direction vary."""

Step = Callable[[Weights, optax.OptState, np.ndarray, np.ndarray], tuple[Weights, optax.OptState, jax.Array]]


def fit(options: EncoderOptions, train: Sequence[Notes], families: Sequence[str]) -> tuple[Encoder, dict[str, Any]]:
    """The encoder of training pieces, and the whole network, which `loss` wants.

    Args:
        families: family of each piece; each is drawn as often as another, however many versions of it there are.

    Raises:
        ValueError: no piece holds a pitched note.
    """
    members = _members(train, families)
    if not members:
        raise ValueError("an encoder needs training pieces with pitched notes, and there are none")
    weights: Weights = _initial(options)
    update, moments = _step(options, weights)
    for step in range(options.steps):
        # A generator a step: what is drawn does not depend on what was drawn before.
        seen, asked = _batch(members, options.batch_size, np.random.default_rng([options.seed, step]))
        weights, moments, _ = update(weights, moments, seen, asked)
    network = {name: np.asarray(array) for name, array in weights.items()}
    kept = {name: network[name] for name in shapes(options.hidden)}
    kept |= _components(hidden(kept, train), options.dimensions)
    about = options.model_dump(mode="json") | {"pieces": len(train), "families": len(members)}
    return Encoder(kept, about), network


def loss(network: Weights, pieces: Sequence[Notes], families: Sequence[str], batch_size: int) -> tuple[float, float]:
    """Nats a hidden bar on unseen pieces: of the network, and of one that sees no window; NaN without pieces.

    The second knows how often each cell of a bar sounds in these very pieces, transposed: more than it could.
    """
    members = _members(pieces, families)
    if not members:
        return float("nan"), float("nan")
    batches = [_batch(members, batch_size, np.random.default_rng(trial)) for trial in range(TRIALS)]
    value = np.mean([float(_loss(network, seen, asked)) for seen, asked in batches])
    share = np.mean([asked for _, asked in batches], axis=(0, 1))
    share = share[(share > 0) & (share < 1)].astype(float)
    return float(value), float(-(share * np.log(share) + (1 - share) * np.log(1 - share)).sum())


def _members(pieces: Sequence[Notes], families: Sequence[str]) -> list[list[Cells]]:
    """The pieces that have a pitched note, by family."""
    members: dict[str, list[Cells]] = {}
    for one, family in zip(map(cells, pieces), families, strict=True):
        if one.bars:
            members.setdefault(family, []).append(one)
    return [members[name] for name in sorted(members)]


def _initial(options: EncoderOptions) -> dict[str, jax.Array]:
    """He's initial values; biases are 0."""
    random = np.random.default_rng([options.seed, options.steps])
    cells_a_bar = POSITIONS * PITCHES
    named = shapes(options.hidden) | {"out.kernel": (options.hidden, cells_a_bar), "out.bias": (cells_a_bar,)}
    return {
        name: jnp.asarray(
            random.normal(0, np.sqrt(2 / shape[0]), shape) if len(shape) > 1 else np.zeros(shape), jnp.float32
        )
        for name, shape in named.items()
    }


def _step(options: EncoderOptions, weights: Weights) -> tuple[Step, optax.OptState]:
    """The compiled optimizer step, and the optimizer's first state."""
    optimizer = optax.adam(optax.cosine_decay_schedule(options.learning_rate, options.steps))

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(
        weights: Weights, moments: optax.OptState, seen: np.ndarray, asked: np.ndarray
    ) -> tuple[Weights, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(_loss)(weights, seen, asked)
        changes, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(weights, changes), moments, value

    return update, optimizer.init(weights)


def _loss(weights: Weights, seen: Any, asked: Any) -> jax.Array:
    """Mean cross-entropy in nats of the cells of the hidden bars."""
    logits = forward(weights, jnp.asarray(seen), jnp) @ weights["out.kernel"] + weights["out.bias"]
    return optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(asked, jnp.float32)).sum(axis=1).mean()


def _batch(
    members: Sequence[Sequence[Cells]], count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`rolls_Nx4x16xP` with a bar silenced each, and whether each of its cells sounded (bool `[N, 16 * P]`)."""
    seen = np.zeros((count, WINDOW, POSITIONS, PITCHES), np.float32)
    asked = np.zeros((count, POSITIONS * PITCHES), bool)
    for i in range(count):
        family = members[int(random.integers(len(members)))]
        piece = family[int(random.integers(len(family)))]
        begin = int(random.integers(max(piece.bars - WINDOW, 0) + 1))
        seen[i] = piece.window(begin, int(random.integers(-TRANSPOSE, TRANSPOSE + 1)))
        bar = int(random.integers(min(piece.bars, WINDOW)))
        asked[i] = seen[i, bar].reshape(-1) > 0
        seen[i, bar] = 0
    return seen, asked


def _components(hidden_NxH: np.ndarray, dimensions: int) -> dict[str, np.ndarray]:
    """Mean and principal components of the training pieces; directions in which they do not vary are 0."""
    mean = hidden_NxH.mean(axis=0)
    _, values, vectors = np.linalg.svd(hidden_NxH - mean, full_matrices=False)
    deviation = values[:dimensions] / np.sqrt(len(hidden_NxH))
    # Signs are a matter of the library: the largest loading is positive.
    chosen = vectors[:dimensions]
    chosen = chosen * np.sign(chosen[np.arange(len(chosen)), np.abs(chosen).argmax(axis=1)])[:, None]
    varies = deviation > STILL * max(deviation.max(initial=0.0), STILL)
    components = np.zeros((hidden_NxH.shape[1], dimensions))
    components[:, : len(chosen)] = np.where(varies, chosen.T / np.where(varies, deviation, 1.0), 0.0)
    return {"mean": mean, "components": components}
