"""The parts of the training loop: options by name, averages, smoothing, precision, feeding, divergence."""

import math
import re
import threading
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from dalsegno.models import base
from dalsegno.models.steps import Inputs, StepModel, cross_entropy
from dalsegno.training import optimizers
from dalsegno.training.batches import Batch
from dalsegno.training.devices import Machine
from dalsegno.training.feeding import Feed
from dalsegno.training.loop import Diverged, State, descend, step_function
from dalsegno.training.options import Augmentation, Training
from dalsegno.training.sharding import Layout
from tests.unit.tiny import packed

FAST = {"steps": 10, "warmup_steps": 4, "learning_rate": 0.1, "final_learning_rate": 0.5, "batch_size": 4}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cosine", {0: 0, 2: 0.05, 4: 0.1, 7: 0.075, 10: 0.05}),
        ("linear", {0: 0, 2: 0.05, 4: 0.1, 7: 0.075, 10: 0.05}),
        ("inverse_sqrt", {0: 0, 2: 0.05, 4: 0.1, 12: 0.1 / math.sqrt(3)}),
        ("constant", {0: 0, 2: 0.05, 4: 0.1, 9: 0.1}),
    ],
)
def test_schedules(name, expected):
    rate = optimizers.schedule(Training(schedule=name, **FAST))
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", ["linear", "inverse_sqrt", "constant"])
def test_schedules_without_warm_up_begin_at_the_peak(name):
    rate = optimizers.schedule(Training(**{**FAST, "schedule": name, "warmup_steps": 0}))
    assert float(rate(0)) == pytest.approx(0.1)


OPTIMIZERS = Training.model_fields["optimizer"].annotation.__args__


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends_and_decays(name):
    def last(target: float, pull: float, **options) -> np.ndarray:
        training = Training(**{**FAST, "optimizer": name, "steps": 200, "learning_rate": 0.02, **options})
        optimizer = optimizers.optimizer(training)
        weights = jnp.array([0.5, -2.0, 3.0])
        state = optimizer.init(weights)

        @jax.jit
        def step(weights, state):
            changes, state = optimizer.update(pull * (weights - target), state, weights)
            return optax.apply_updates(weights, changes), state

        for _ in range(200):
            weights, state = step(weights, state)
        return np.asarray(weights)

    assert np.abs(last(1.0, 2.0, weight_decay=0) - 1).max() < 0.5
    assert np.all(np.abs(last(0.0, 0.0, weight_decay=0.5)) < [0.5, 2.0, 3.0])
    np.testing.assert_array_equal(last(0.0, 0.0, weight_decay=0), np.float32([0.5, -2, 3]))


def test_gradients_are_clipped_before_the_optimizer():
    optimizer = optimizers.optimizer(
        Training(**{**FAST, "optimizer": "sgd", "b1": 0, "weight_decay": 0, "warmup_steps": 0, "clip_norm": 0.5})
    )
    weights = jnp.zeros(2)
    changes, _ = optimizer.update(jnp.array([3.0, 4.0]), optimizer.init(weights), weights)
    np.testing.assert_allclose(changes, [-0.1 * 0.3, -0.1 * 0.4], rtol=1e-5)


class Quadratic(nnx.Module):
    """The loss of a token is the squared distance of two weights' product with it from 1."""

    def __init__(self):
        self.weights = nnx.Param(jnp.array([0.5, -1.0]))

    def losses(self, inputs, tokens_BxTxK, mask_BxT, key, smoothing):
        return (tokens_BxTxK.astype(self.weights[...].dtype) * self.weights[...] - 1) ** 2


def batch_of(tokens) -> Batch:
    tokens = np.asarray(tokens, np.int32)
    nothing = np.zeros(tokens.shape, np.int32)
    mask = np.ones(tokens.shape[:2], np.float32)
    mask[-1, -1] = 0
    return Batch(Inputs(nothing, nothing, nothing, nothing[..., 0]), tokens, mask)


BATCH = batch_of(np.arange(24).reshape(4, 3, 2) % 5)


PLAIN = Machine()


def steps(number: int, machine: Machine = PLAIN, **training) -> tuple[list[State], list[np.ndarray]]:
    graph, params = nnx.split(Quadratic())
    options = Training(**{**FAST, "learning_rate": 0.01, **training})
    average = params if options.average else None
    state = State(params, optimizers.optimizer(options).init(params), average)
    update = jax.jit(step_function(graph, options, Layout(machine, 4), 0))
    states, metrics = [state], []
    for step in range(number):
        state, found = update(state, BATCH, np.int32(step))
        states.append(state)
        metrics.append(np.asarray(found))
    return states, metrics


def weights_of(state: State) -> np.ndarray:
    return np.asarray(jax.tree.leaves(state.params)[0])


def test_loss_and_norm_are_those_of_the_batch():
    _, metrics = steps(1)
    weights = np.array([0.5, -1.0])
    keep = BATCH.mask_BxT[..., None]
    residual = BATCH.tokens_BxTxK * weights - 1
    count = BATCH.mask_BxT.sum() * 2
    assert metrics[0][0] == pytest.approx((residual**2 * keep).sum() / count)
    gradient = (2 * residual * BATCH.tokens_BxTxK * keep).sum(axis=(0, 1)) / count
    assert metrics[0][1] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)


@pytest.mark.parametrize("parts", [2, 4])
def test_microbatches_give_the_same_steps(parts):
    whole, first = steps(5)
    cut, second = steps(5, Machine(microbatches=parts))
    np.testing.assert_allclose(second, first, rtol=1e-6)
    np.testing.assert_allclose(weights_of(cut[-1]), weights_of(whole[-1]), rtol=1e-5)


def test_half_precision_keeps_its_state_in_single():
    single, first = steps(5)
    half, second = steps(5, Machine("bfloat16"), average=0.9)
    assert {leaf.dtype for leaf in jax.tree.leaves(half[-1]) if leaf.ndim} == {jnp.dtype("float32")}
    np.testing.assert_allclose(second, first, rtol=0.05)
    assert not np.array_equal(second, first)
    np.testing.assert_allclose(weights_of(half[-1]), weights_of(single[-1]), atol=0.02)


def test_the_average_follows_the_weights():
    states, _ = steps(6, average=0.4)
    average = weights_of(states[0])
    for step, state in enumerate(states[1:]):
        decay = min(0.4, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights_of(state)
        np.testing.assert_allclose(jax.tree.leaves(state.average)[0], average, rtol=1e-5)
        assert state.chosen is state.average
    plain, _ = steps(6)
    np.testing.assert_array_equal(weights_of(plain[-1]), weights_of(states[-1]))
    assert plain[-1].chosen is plain[-1].params


@given(st.floats(0, 0.9))
def test_smoothing_is_cross_entropy_with_the_smoothed_target(smoothing):
    logits = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    tokens = np.array([0, 4, 2])
    target = (1 - smoothing) * np.eye(5)[tokens] + smoothing / 5
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = cross_entropy(jnp.asarray(logits), jnp.asarray(tokens), smoothing)
    np.testing.assert_allclose(found, -(target * logp).sum(axis=1), rtol=1e-5)


def test_a_batch_that_cannot_be_cut_is_told():
    with pytest.raises(ValueError, match=re.escape("batch_size 6 is no multiple of 4")):
        Layout(Machine(microbatches=4), 6)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"precision": "half"}, "float32 or bfloat16"),
        ({"sharding": "none"}, "data or full"),
        ({"microbatches": 0}, "1"),
    ],
)
def test_a_machine_that_does_not_exist_is_told(wrong, told):
    with pytest.raises(ValueError, match=told):
        Machine(**wrong)


def test_a_feed_keeps_the_order_and_stays_ahead():
    made = []
    with Feed(lambda step: made.append(step) or step, 3, 9) as feed:
        assert [feed.take() for _ in range(6)] == [3, 4, 5, 6, 7, 8]
    assert made == [3, 4, 5, 6, 7, 8]


def test_a_feed_hands_errors_to_the_step_that_meets_them():
    def make(step):
        if step == 1:
            raise ValueError("no batch")
        return step

    before = threading.active_count()
    with Feed(make, 0, 5) as feed:
        assert feed.take() == 0
        with pytest.raises(ValueError, match="no batch"):
            feed.take()
    assert threading.active_count() == before


class Cliff(StepModel):
    """The loss stays finite while the gradient is not a number."""

    def __init__(self, config, vocabulary, rngs):
        super().__init__(vocabulary, 4, 4, rngs)
        self.edge = nnx.Param(jnp.zeros(()))

    def trunk(self, x_BxTxD, key):
        return x_BxTxD + 0.0 * jnp.sqrt(self.edge[...])


def test_a_gradient_that_is_no_number_stops_before_it_is_saved(tmp_path: Path, monkeypatch):
    data = packed(tmp_path / "packed", "voices")
    family = types.SimpleNamespace(Network=Cliff)
    training = Training(**{**FAST, "window": 8, "eval_every": 5})
    monkeypatch.setattr("dalsegno.training.loop.SECONDS_BETWEEN_SAVES", -1.0)
    with pytest.raises(Diverged, match=r"gradient nan, at step 1\.") as told:
        descend(family, None, training, Augmentation(), data, 0, tmp_path, Machine(), print)
    arrays, about = base.read_arrays(tmp_path / "diverged.safetensors")
    assert str(tmp_path / "diverged.safetensors") in str(told.value)
    assert about == {"step": 1} and arrays["tokens"].shape == (4, 8, 2)
    assert not (tmp_path / "state.safetensors").exists()
