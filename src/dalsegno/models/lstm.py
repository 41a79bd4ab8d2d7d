"""An LSTM over steps (Hochreiter and Schmidhuber 1997) with one head a voice."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

from dalsegno.models import neural, steps
from dalsegno.models.base import Arrays, FamilyConfig
from dalsegno.representations.base import Vocabulary

SUPPORTS = frozenset({"likelihood", "prompt"})
LAYOUTS = frozenset({"voices", "events", "compound"})


class Config(FamilyConfig):
    """Sizes of the LSTM."""

    features: int = Field(256, ge=1, description="cells a layer, and width of the embedding")
    layers: int = Field(2, ge=1, description="LSTM layers")
    hidden: int = Field(128, ge=1, description="width of a head's hidden layer")
    dropout: float = Field(0.1, ge=0, lt=1, description="share dropped after the embedding and after each layer")


def _cell(gates_BxG: jax.Array, c_BxD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One step of the cell: `h`, `c` and the activated gates (input, forget, output, candidate)."""
    features = c_BxD.shape[-1]
    opened = jax.nn.sigmoid(gates_BxG[:, : 3 * features])
    candidate = jnp.tanh(gates_BxG[:, 3 * features :])
    c = opened[:, features : 2 * features] * c_BxD + opened[:, :features] * candidate
    h = opened[:, 2 * features :] * jnp.tanh(c)
    return h, c, jnp.concatenate([opened, candidate], axis=-1)


@jax.custom_vjp
def recur(gates_TxBxG: jax.Array, recurrent_DxG: jax.Array) -> jax.Array:
    """`h_TxBxD` of an LSTM layer whose input products are given; G = 4D.

    The backward pass collects the gradients of the gates and forms the weight gradient as one product after the
    scan, instead of adding a matrix at every step.
    """
    return _recur_forward(gates_TxBxG, recurrent_DxG)[0]


def _recur_forward(gates_TxBxG: jax.Array, recurrent_DxG: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    batch, features = gates_TxBxG.shape[1], recurrent_DxG.shape[0]

    def step(carry: tuple[jax.Array, jax.Array], gates: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple]:
        h, c = carry
        h, c, activated = _cell(gates + h @ recurrent_DxG, c)
        return (h, c), (h, c, activated)

    zero = jnp.zeros((batch, features), gates_TxBxG.dtype)
    _, (h, c, activated) = jax.lax.scan(step, (zero, zero), gates_TxBxG)
    return h, (h, c, activated, recurrent_DxG)


def _recur_backward(saved: tuple[jax.Array, ...], grad_TxBxD: jax.Array) -> tuple[jax.Array, jax.Array]:
    h, c, activated, recurrent = saved
    features = recurrent.shape[0]
    transposed = recurrent.T
    zero = jnp.zeros_like(h[:1])
    h_before, c_before = jnp.concatenate([zero, h[:-1]]), jnp.concatenate([zero, c[:-1]])

    def step(carry: tuple[jax.Array, jax.Array], at: tuple[jax.Array, ...]) -> tuple[tuple, jax.Array]:
        dh, dc = carry
        grad, c_t, c_last, gates = at
        i, f, o, g = jnp.split(gates, 4, axis=-1)
        dh = dh + grad
        tanh_c = jnp.tanh(c_t)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        dgates = jnp.concatenate(
            [dc * g * i * (1 - i), dc * c_last * f * (1 - f), dh * tanh_c * o * (1 - o), dc * i * (1 - g * g)], axis=-1
        )
        return (dgates @ transposed, dc * f), dgates

    _, dgates = jax.lax.scan(step, (zero[0], zero[0]), (grad_TxBxD, c, c_before, activated), reverse=True)
    return dgates, h_before.reshape(-1, features).T @ dgates.reshape(-1, 4 * features)


recur.defvjp(_recur_forward, _recur_backward)


class Network(steps.StepModel):
    """See `dalsegno.models.steps.StepModel`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        super().__init__(vocabulary, config.features, config.hidden, rngs)
        self.config = config
        size = config.features
        self.inward = nnx.List([steps.linear(rngs, size, 4 * size) for _ in range(config.layers)])
        self.recurrent = nnx.List([steps.linear(rngs, size, 4 * size) for _ in range(config.layers)])
        # Forget gates begin open (Jozefowicz et al. 2015).
        bias = jnp.zeros(4 * size).at[size : 2 * size].set(1.0)
        self.bias = nnx.List([nnx.Param(bias) for _ in range(config.layers)])

    def trunk(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        keys = [None] * (self.config.layers + 1) if key is None else list(jax.random.split(key, self.config.layers + 1))
        x = steps.dropout(jnp.swapaxes(x_BxTxD, 0, 1), self.config.dropout, keys[0])
        for inward, recurrent, bias, layer_key in zip(self.inward, self.recurrent, self.bias, keys[1:], strict=True):
            x = recur(steps.project(x, inward[...]) + bias[...], recurrent[...])
            x = steps.dropout(x, self.config.dropout, layer_key)
        return jnp.swapaxes(x, 0, 1)

    def start(self, batch: int) -> jax.Array:
        return jnp.zeros((self.config.layers, 2, batch, self.config.features))

    def advance(self, state: jax.Array, x_BxD: jax.Array) -> tuple[jax.Array, jax.Array]:
        after = []
        x = x_BxD
        for (h, c), inward, recurrent, bias in zip(state, self.inward, self.recurrent, self.bias, strict=True):
            x, c, _ = _cell(x @ inward[...] + bias[...] + h @ recurrent[...], c)
            after.append(jnp.stack([x, c]))
        return jnp.stack(after), x


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained model of a checkpoint."""
    return neural.Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays)
