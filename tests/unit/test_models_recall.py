"""What followed last time: the definition, the loop over a piece, and the same while a sequence is written."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dalsegno.models import recall

NOTHING = 9


def by_definition(tokens_TxK: np.ndarray, t: int) -> tuple[int, int]:
    """The source of step t and how many chords in a row agree before it, by trying every earlier place."""
    found = []
    for j in range(max(1, t - recall.HORIZON), t):
        steps = chords = 0
        while steps < j and (tokens_TxK[t - 1 - steps] == tokens_TxK[j - 1 - steps]).all():
            at = t - 1 - steps
            chords += at == 0 or (tokens_TxK[at] != tokens_TxK[at - 1]).any()
            steps += 1
        if chords:
            found.append((int(chords), steps, j))
    chords, _, source = max(found, default=(0, 0, -1))
    return source, min(chords, recall.LONGEST_MATCH)


PIECES = arrays(np.int16, st.tuples(st.integers(1, 24), st.integers(1, 2)), elements=st.integers(0, 2))


@settings(max_examples=200, deadline=None)
@given(PIECES)
def test_sources_are_the_definition(tokens):
    source, match = recall.sources(tokens)
    expected = [(-1, 0), *(by_definition(tokens, t) for t in range(1, len(tokens)))]
    assert list(zip(source.tolist(), match.tolist(), strict=True)) == expected


def test_a_repeated_phrase_is_recalled_in_every_key():
    phrase = np.random.default_rng(0).integers(0, 5, (12, 4)).repeat(2, axis=0)
    piece = np.concatenate([phrase, phrase])
    tokens, match = recall.recalled(piece, NOTHING)
    np.testing.assert_array_equal(tokens[27:], piece[27:])
    assert match[47] == 12
    assert tokens[0].tolist() == [NOTHING] * 4 and match[0] == 0
    np.testing.assert_array_equal(recall.recalled(piece + 3, NOTHING)[1], match)
    np.testing.assert_array_equal(recall.recalled(piece + 3, NOTHING)[0][27:], tokens[27:] + 3)


def test_what_lies_beyond_the_horizon_is_forgotten():
    phrase = np.array([[1], [2], [3]])
    for between, recalls in ((recall.HORIZON - 3, True), (recall.HORIZON - 2, False)):
        piece = np.concatenate([phrase, np.zeros((between, 1), int), phrase[:2], [[0]]])
        assert (recall.recalled(piece, NOTHING)[0][-1] == 3) == recalls


def test_writing_recalls_what_the_whole_piece_does():
    pieces = np.random.default_rng(1).integers(0, 2, (6, 40, 2)).astype(np.int32)
    pieces[:, 20:32] = pieces[:, 4:16]
    step = jax.jit(recall.following, static_argnums=3)
    weight, written = jnp.zeros(pieces.shape[:2], jnp.int32), np.full_like(pieces, 7)
    expected = [recall.recalled(piece, NOTHING) for piece in pieces]
    for t in range(39):
        written[:, t] = pieces[:, t]
        weight, tokens, match = step(weight, jnp.asarray(written), t, NOTHING)
        np.testing.assert_array_equal(tokens, [own[0][t + 1] for own in expected])
        np.testing.assert_array_equal(match, [own[1][t + 1] for own in expected])
