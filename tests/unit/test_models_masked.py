"""Orderless infilling: what Gibbs sampling draws from, what training hides, which grammars it can keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import chisquare

from dalsegno.models import masked
from dalsegno.models.base import Request
from dalsegno.models.steps import Inputs
from tests.unit.tiny import CONFIGS, EVENTS, VOICES, event_grammar, packed, voice_grammar

CONFIG = masked.Config(**CONFIGS["masked"] | {"sweeps": 8})


def network() -> masked.Network:
    return masked.Network(CONFIG, VOICES, nnx.Rngs(1))


def test_gibbs_sampling_draws_one_free_token_from_its_conditional(tmp_path):
    """All but one token is given, a later one among them, so every sweep draws from one distribution."""
    piece = packed(tmp_path, "voices").piece(0)[:5]
    model = masked.Masked(CONFIG, VOICES)
    grammar = voice_grammar()
    grammar.allowed_SxV[:] = True
    number, lower = 5000, piece[:, 1].copy()
    lower[3:] = [-1, piece[4, 1]]
    request = Request([piece[:3]] * number, 5, grammar, voices={0: [piece[:, 0]] * number, 1: [lower] * number})
    drawn = np.array(model.generate(request))
    np.testing.assert_array_equal(
        np.delete(drawn.reshape(number, -1), 7, axis=1), np.delete(np.tile(piece.reshape(-1), (number, 1)), 7, axis=1)
    )
    seen = jnp.asarray(piece).at[3, 1].set(VOICES.size)[None]
    net = masked.Network(CONFIG, VOICES, nnx.Rngs(0))
    x = net.features(seen, jnp.arange(5)[None] % VOICES.period, jnp.ones((1, 5), bool), None)
    expected = np.asarray(jax.nn.softmax(net.logits(1, x)[0, 3]), np.float64)
    observed = np.bincount(drawn[:, 3, 1], minlength=VOICES.size)
    assert chisquare(observed, expected / expected.sum() * number).pvalue > 1e-3


def test_what_is_given_later_changes_what_is_written(tmp_path):
    piece = packed(tmp_path, "voices").piece(0)[:6]
    model = masked.Masked(CONFIG, VOICES)
    written = []
    for last in (1, 5):
        upper = piece[:, 0].copy()
        upper[-1] = last
        request = Request([piece[:2]] * 300, 6, voice_grammar(), voices={0: [upper] * 300})
        written.append(np.array(model.generate(request))[:, 4, 1])
    assert not np.array_equal(*written)


def test_losses_are_of_hidden_tokens_alone_and_weigh_as_all(tmp_path):
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 6, (64, 8, 2)), jnp.int32)
    mask = jnp.ones((64, 8)).at[0, 5:].set(0)
    inputs = Inputs(tokens, tokens, tokens, jnp.tile(jnp.arange(8) % 4, (64, 1)))
    losses = np.asarray(network().losses(inputs, tokens, mask, jax.random.key(0), 0.0))
    assert losses.shape == tokens.shape and (losses >= 0).all() and (losses[0, 5:] == 0).all()
    hidden = losses > 0
    assert hidden.any(axis=(1, 2)).all() and not hidden.all(axis=(1, 2)).all()
    # Half of the tokens are hidden in the mean, and each counts by how few there are.
    assert 0.4 < hidden.mean() < 0.65
    assert 1.0 < losses.sum() / mask.sum() / 2 < 4.0


def test_later_tokens_are_seen():
    net = network()
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 6, (1, 8, 2)), jnp.int32)
    inside, phase = jnp.ones((1, 8), bool), jnp.arange(8)[None] % 4
    one = net.features(tokens.at[0, 4, 1].set(VOICES.size), phase, inside, None)
    other = net.features(tokens.at[0, 4, 1].set(VOICES.size).at[0, 5, 0].set(0), phase, inside, None)
    assert np.abs(np.asarray(one - other))[0, 4].max() > 0


def test_a_grammar_of_more_than_the_voice_is_refused():
    with pytest.raises(ValueError, match="any order"):
        masked.allowed_at_each(event_grammar(), EVENTS.width)
    assert masked.allowed_at_each(voice_grammar(), 2).tolist() == [[True] * 6, [False] + [True] * 5]
