"""An LSTM over steps (Hochreiter and Schmidhuber 1997) with one head a voice.

Legend of shape suffixes: B sequences, T steps, D features, G = 4D gates.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dalsegno.models import neural, recurrent
from dalsegno.models.base import Arrays
from dalsegno.models.recurrent import Config
from dalsegno.representations.base import Vocabulary

__all__ = ["LAYOUTS", "SUPPORTS", "Config", "Network", "load"]

SUPPORTS = frozenset({"likelihood", "prompt", "voice", "attributes", "mixture"})
LAYOUTS = frozenset({"voices", "events", "compound"})


def _cell(gates_BxG: jax.Array, c_BxD: jax.Array) -> tuple[jax.Array, jax.Array, tuple[jax.Array, ...]]:
    """One step of the cell: `h`, `c` and the activated gates (input, forget, output, candidate).

    Four arrays, since joining them would take a tenth of a training step.
    """
    *gates, candidate = jnp.split(gates_BxG, 4, axis=-1)
    i, f, o = (recurrent.sigmoid(gate) for gate in gates)
    g = jnp.tanh(candidate)
    c = f * c_BxD + i * g
    return o * jnp.tanh(c), c, (i, f, o, g)


@jax.custom_vjp
def recur(gates_TxBxG: jax.Array, recurrent_DxG: jax.Array, bias_G: jax.Array) -> jax.Array:
    """`h_TxBxD` of an LSTM layer whose input products are given; G = 4D.

    The backward pass collects the gradients of the gates and forms the weight gradient as one product after the
    scan, instead of adding a matrix at every step.
    """
    return _recur_forward(gates_TxBxG, recurrent_DxG, bias_G)[0]


def _recur_forward(
    gates_TxBxG: jax.Array, recurrent_DxG: jax.Array, bias_G: jax.Array
) -> tuple[jax.Array, tuple[Any, ...]]:
    batch, features = gates_TxBxG.shape[1], recurrent_DxG.shape[0]

    def step(carry: tuple[jax.Array, jax.Array], gates: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple]:
        h, c = carry
        h, c, activated = _cell(gates + bias_G + h @ recurrent_DxG, c)
        return (h, c), (h, c, activated)

    zero = jnp.zeros((batch, features), gates_TxBxG.dtype)
    _, (h, c, activated) = jax.lax.scan(step, (zero, zero), gates_TxBxG)
    return h, (h, c, activated, recurrent_DxG)


def _recur_backward(saved: tuple[Any, ...], grad_TxBxD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    h, c, activated, recurrent_DxG = saved
    features = len(recurrent_DxG)
    transposed = recurrent_DxG.T
    zero = jnp.zeros_like(h[:1])
    h_before, c_before = jnp.concatenate([zero, h[:-1]]), jnp.concatenate([zero, c[:-1]])

    def step(carry: tuple[jax.Array, jax.Array], at: tuple[Any, ...]) -> tuple[tuple, jax.Array]:
        dh, dc = carry
        grad, c_t, c_last, (i, f, o, g) = at
        dh = dh + grad
        tanh_c = jnp.tanh(c_t)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        dgates = jnp.concatenate(
            [dc * g * i * (1 - i), dc * c_last * f * (1 - f), dh * tanh_c * o * (1 - o), dc * i * (1 - g * g)], axis=-1
        )
        return (dgates @ transposed, dc * f), dgates

    _, dgates = jax.lax.scan(step, (zero[0], zero[0]), (grad_TxBxD, c, c_before, activated), reverse=True)
    flat = dgates.reshape(-1, 4 * features)
    return dgates, h_before.reshape(-1, features).T @ flat, jnp.sum(flat, axis=0)


recur.defvjp(_recur_forward, _recur_backward)


class Layer(recurrent.Layer):
    """Gates in the order input, forget, output, candidate."""

    def __init__(self, features: int, rngs: nnx.Rngs) -> None:
        # Forget gates begin open (Jozefowicz et al. 2015).
        super().__init__(features, 4, jnp.zeros(4 * features).at[features : 2 * features].set(1.0), rngs)

    def run(self, gates_TxBxG: jax.Array, recurrent_DxG: jax.Array) -> jax.Array:
        return recur(gates_TxBxG, recurrent_DxG, self.bias[...])

    def start(self, batch: int) -> jax.Array:
        return jnp.zeros((2, batch, len(self.recurrent[...])))

    def advance(self, state: jax.Array, gates_BxG: jax.Array) -> tuple[jax.Array, jax.Array]:
        h, c = state
        h, c, _ = _cell(gates_BxG + self.bias[...] + h @ self.recurrent[...], c)
        return jnp.stack([h, c]), h


class Network(recurrent.Network):
    """See `dalsegno.models.steps.StepModel`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        super().__init__(config, vocabulary, [Layer(config.features, rngs) for _ in range(config.layers)], rngs)


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained model of a checkpoint."""
    return neural.Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays, config.attributes)
