"""Five training steps from copied weights: the losses that PyTorch computed (`tests/golden/make_torch.py`)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dalsegno.models import base
from dalsegno.models.neural import Neural
from dalsegno.models.steps import Inputs
from dalsegno.training import optimizers
from dalsegno.training.batches import Batch
from dalsegno.training.devices import Machine
from dalsegno.training.loop import State, step_function
from dalsegno.training.sharding import Layout
from tests.golden import make_torch as golden


@pytest.mark.parametrize("name", golden.CONFIGS)
def test_five_steps_are_those_of_pytorch(name):
    module = base.family(name)
    network = module.Network(module.Config(**golden.CONFIGS[name]), golden.VOCABULARY, nnx.Rngs(0))
    model = Neural(network, golden.VOCABULARY)
    model.set_arrays(golden.weights({key: array.shape for key, array in model.arrays().items()}))
    state = State(model.params, optimizers.optimizer(golden.TRAINING).init(model.params), None)
    update = jax.jit(step_function(model.graph, golden.TRAINING, Layout(Machine(), golden.TRAINING.batch_size), 0))
    losses = []
    for step in range(golden.STEPS):
        tokens = golden.tokens(step)
        previous = golden.previous(tokens)[..., None].astype(np.int32)
        nothing = np.zeros_like(previous)
        batch = Batch(
            Inputs(previous, nothing, nothing, nothing[..., 0]),
            tokens[..., None].astype(np.int32),
            jnp.ones(tokens.shape),
        )
        state, metrics = update(state, batch, np.int32(step))
        losses.append(float(metrics[0]))
    expected = json.loads(golden.PATH.read_text())["losses"][name]
    assert len(set(expected)) == golden.STEPS
    np.testing.assert_allclose(losses, expected, rtol=2e-5)
