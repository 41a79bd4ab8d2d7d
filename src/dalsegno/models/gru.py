"""A GRU over steps (Cho et al. 2014) with one head a voice; the reset gate acts on the product, as in cuDNN.

Legend of shape suffixes: B sequences, T steps, D features.
"""

from __future__ import annotations

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


def _cell(inward_Bx3D: jax.Array, product_Bx3D: jax.Array, h_BxD: jax.Array) -> tuple[jax.Array, ...]:
    """One step: the next `h_BxD`, then update gate, reset gate and candidate."""
    size = h_BxD.shape[-1]
    update, reset = (
        recurrent.sigmoid(inward_Bx3D[:, part] + product_Bx3D[:, part]) for part in (slice(size), slice(size, 2 * size))
    )
    candidate = jnp.tanh(inward_Bx3D[:, 2 * size :] + reset * product_Bx3D[:, 2 * size :])
    return candidate + update * (h_BxD - candidate), update, reset, candidate


@jax.custom_vjp
def recur(inward_TxBx3D: jax.Array, recurrent_Dx3D: jax.Array, bias_3D: jax.Array, within_D: jax.Array) -> jax.Array:
    """`h_TxBxD` of a layer whose input products are given; `within_D` is the bias of the reset gate's product.

    The backward pass forms the weight gradient as one product after the scan (see `dalsegno.models.lstm.recur`).
    """
    return _recur_forward(inward_TxBx3D, recurrent_Dx3D, bias_3D, within_D)[0]


def _recur_forward(
    inward_TxBx3D: jax.Array, recurrent_Dx3D: jax.Array, bias_3D: jax.Array, within_D: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    size = len(recurrent_Dx3D)
    within = jnp.concatenate([jnp.zeros(2 * size, within_D.dtype), within_D])

    def step(h: jax.Array, inward: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        product = h @ recurrent_Dx3D + within
        after, *gates = _cell(inward + bias_3D, product, h)
        return after, (after, *gates, product[:, 2 * size :])

    zero = jnp.zeros((inward_TxBx3D.shape[1], size), inward_TxBx3D.dtype)
    _, (h, *rest) = jax.lax.scan(step, zero, inward_TxBx3D)
    return h, (h, *rest, recurrent_Dx3D)


def _recur_backward(saved: tuple[jax.Array, ...], grad_TxBxD: jax.Array) -> tuple[jax.Array, ...]:
    h, update, reset, candidate, product, recurrent_Dx3D = saved
    size = len(recurrent_Dx3D)
    transposed = recurrent_Dx3D.T
    before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])

    def step(dh: jax.Array, at: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        grad, last, z, r, n, p = at
        dh = dh + grad
        dn = dh * (1 - z) * (1 - n * n)
        gates = jnp.concatenate([dh * (last - n) * z * (1 - z), dn * p * r * (1 - r)], axis=-1)
        onto_product = jnp.concatenate([gates, dn * r], axis=-1)
        return onto_product @ transposed + dh * z, (jnp.concatenate([gates, dn], axis=-1), onto_product)

    within = (grad_TxBxD, before, update, reset, candidate, product)
    _, (onto_inward, onto_product) = jax.lax.scan(step, jnp.zeros_like(h[0]), within, reverse=True)
    flat = onto_product.reshape(-1, 3 * size)
    onto_bias = jnp.sum(onto_inward, axis=(0, 1))
    return onto_inward, before.reshape(-1, size).T @ flat, onto_bias, jnp.sum(flat[:, 2 * size :], axis=0)


recur.defvjp(_recur_forward, _recur_backward)


class Layer(recurrent.Layer):
    """Gates in the order update, reset, candidate."""

    def __init__(self, features: int, rngs: nnx.Rngs) -> None:
        # States are kept at first, as an LSTM's forget gates begin open.
        super().__init__(features, 3, jnp.zeros(3 * features).at[:features].set(1.0), rngs)
        self.within = nnx.Param(jnp.zeros(features))

    def run(self, gates_TxBxG: jax.Array, recurrent_DxG: jax.Array) -> jax.Array:
        return recur(gates_TxBxG, recurrent_DxG, self.bias[...], self.within[...])

    def start(self, batch: int) -> jax.Array:
        return jnp.zeros((batch, len(self.within[...])))

    def advance(self, state: jax.Array, gates_BxG: jax.Array) -> tuple[jax.Array, jax.Array]:
        product = (state @ self.recurrent[...]).at[:, -len(self.within[...]) :].add(self.within[...])
        h = _cell(gates_BxG + self.bias[...], product, state)[0]
        return h, h


class Network(recurrent.Network):
    """See `dalsegno.models.steps.StepModel`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        super().__init__(config, vocabulary, [Layer(config.features, rngs) for _ in range(config.layers)], rngs)


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained model of a checkpoint."""
    return neural.Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays, config.attributes)
