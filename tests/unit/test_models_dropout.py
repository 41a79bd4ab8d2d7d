"""What networks forget in training, and only there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dalsegno.models import base, steps
from dalsegno.models.steps import Inputs, inputs_of
from tests.unit.tiny import CONFIGS, VOICES

KINDS = [
    *((name, kind) for name in ("lstm", "gru") for kind in ("dropout", "weight_dropout", "head_dropout")),
    *(("transformer", kind) for kind in ("dropout", "head_dropout")),
]
TOKENS = np.random.default_rng(0).integers(0, VOICES.size, (3, 12, VOICES.width)).astype(np.int32)
INPUTS = Inputs(
    *(None if a[0] is None else np.stack(a) for a in zip(*(inputs_of(t, VOICES) for t in TOKENS), strict=True))
)


def network(name: str, **changed: object) -> steps.StepModel:
    module = base.family(name)
    silent = {"dropout": 0.0, **changed}
    return module.Network(module.Config(**(CONFIGS[name] | silent)), VOICES, nnx.Rngs(0))


def losses(model: steps.StepModel, seed: int) -> np.ndarray:
    mask = np.ones(TOKENS.shape[:2], np.float32)
    return np.asarray(model.losses(INPUTS, TOKENS, mask, jax.random.key(seed), 0.0))


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_dropout_varies_training_and_never_likelihood(name, kind):
    plain, dropping = network(name), network(name, **{kind: 0.5})
    np.testing.assert_array_equal(losses(plain, 1), losses(plain, 2))
    assert (losses(dropping, 1) != losses(dropping, 2)).mean() > 0.5
    np.testing.assert_array_equal(losses(dropping, 1), losses(dropping, 1))
    np.testing.assert_array_equal(dropping.log_probs(INPUTS, TOKENS), plain.log_probs(INPUTS, TOKENS))


@pytest.mark.parametrize("along", [None, 1])
def test_dropout_holds_along_an_axis_and_keeps_the_mean(along):
    kept = np.asarray(steps.dropout(jnp.ones((200, 20, 8)), 0.25, jax.random.key(0), along))
    assert set(np.unique(kept)) == {np.float32(0), np.float32(256 / 192)}
    assert kept.mean() == pytest.approx(1, abs=0.05)
    assert (kept == kept[:, :1]).all() == (along == 1)
    assert (kept[0] != kept[1]).any()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_locked_dropout_spares_the_same_cells_at_every_step(name):
    for locked in (True, False):
        model = network(name, dropout=0.5, locked=locked)
        dropped = np.asarray(model.trunk(model.embedding(INPUTS), jax.random.key(3))) == 0
        assert 0.2 < dropped.mean() < 0.8
        assert (dropped == dropped[:, :1]).all() == locked
