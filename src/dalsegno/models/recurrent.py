"""What LSTM and GRU share: layers that are scanned, dropout between them, the state that sampling carries.

Legend of shape suffixes: B sequences, T steps, D features, G = the width of all gates of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field, model_validator

from dalsegno.models import steps
from dalsegno.models.attributes import Conditioned
from dalsegno.models.base import FamilyConfig
from dalsegno.representations.base import Vocabulary


class Dropouts(FamilyConfig):
    """What a stack of recurrent layers forgets in training, so that it does not learn the pieces by heart."""

    dropout: float = Field(0.1, ge=0, lt=1, description="share dropped after the embedding and after each layer")
    locked: bool = Field(
        False, description="dropout spares the same cells at every step of a window (Gal and Ghahramani 2016)"
    )
    weight_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the weights from step to step dropped for a batch (Merity et al. 2018)"
    )


class Config(Dropouts, Conditioned):
    """Sizes of a stack of recurrent layers."""

    features: int = Field(256, ge=1, description="cells a layer, and width of the embedding")
    layers: int = Field(2, ge=1, description="recurrent layers")
    hidden: int = Field(128, ge=1, description="width of a head's hidden layer")
    head_dropout: float = Field(0.0, ge=0, lt=1, description="share of a head's hidden layer dropped")
    tied: bool = Field(False, description="output weights are those of the embedding; needs hidden equal to features")

    @model_validator(mode="after")
    def _ties_fit(self) -> Config:
        steps.check_ties(self.tied, self.features, self.hidden)
        return self


def sigmoid(x: jax.Array) -> jax.Array:
    """The logistic function by a tanh, which XLA computes faster on CPUs."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


class Layer(nnx.Module):
    """One recurrent layer; a family says what its gates do.

    Args:
        features: D.
        gates: G / D.
        bias: how every gate begins, G.
        rngs: for the initial values.
    """

    def __init__(self, features: int, gates: int, bias: jax.Array, rngs: nnx.Rngs) -> None:
        self.inward = steps.linear(rngs, features, gates * features)
        self.recurrent = steps.linear(rngs, features, gates * features)
        self.bias = nnx.Param(bias)

    def gates(self, x___xD: jax.Array) -> jax.Array:
        """`gates___xG`: what a step's input adds to the gates, the bias not yet among it."""
        return steps.project(x___xD, self.inward[...])

    def run(self, gates_TxBxG: jax.Array, recurrent_DxG: jax.Array) -> jax.Array:
        """`h_TxBxD` of whole windows, from a state of zeros, by the recurrent weights or what dropout left of them."""
        raise NotImplementedError

    def start(self, batch: int) -> jax.Array:
        """The state before the first step."""
        raise NotImplementedError

    def advance(self, state: Any, gates_BxG: jax.Array) -> tuple[Any, jax.Array]:
        """One step: the next state and `h_BxD`."""
        raise NotImplementedError


def _spread(layer: Layer, x_TxBxD: jax.Array, recurrent_DxG: jax.Array) -> jax.Array:
    """`h_TxBxD` of a layer, the rows spread over the devices."""
    graph, params = nnx.split(layer)

    def run(x_TxBxD: jax.Array, whole: tuple[Any, jax.Array]) -> jax.Array:
        own: Layer = nnx.merge(graph, whole[0])
        return own.run(own.gates(x_TxBxD), whole[1])

    return steps.per_device(run, x_TxBxD, axis=1, whole=(params, recurrent_DxG))


class Stack(nnx.Module):
    """Layers one over the other, with dropout before, between and after them."""

    def __init__(self, layers: Iterable[Layer], dropouts: Dropouts) -> None:
        self.layers = nnx.List(layers)
        self.dropouts = dropouts

    def __call__(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        """`h_BxTxD` of the last layer over whole windows."""
        number = 2 * len(self.layers) + 1
        keys = iter([None] * number if key is None else jax.random.split(key, number))
        rate, along = self.dropouts.dropout, 0 if self.dropouts.locked else None
        x = steps.dropout(jnp.swapaxes(x_BxTxD, 0, 1), rate, next(keys), along)
        for layer in self.layers:
            recurrent = steps.dropout(layer.recurrent[...], self.dropouts.weight_dropout, next(keys))
            x = steps.dropout(_spread(layer, x, recurrent), rate, next(keys), along)
        return jnp.swapaxes(x, 0, 1)

    def start(self, batch: int) -> Any:
        """The state before the first step."""
        return tuple(layer.start(batch) for layer in self.layers)

    def advance(self, state: Any, x_BxD: jax.Array) -> tuple[Any, jax.Array]:
        """One step: the next state and `h_BxD`."""
        after = []
        x = x_BxD
        for layer, own in zip(self.layers, state, strict=True):
            own, x = layer.advance(own, layer.gates(x))
            after.append(own)
        return tuple(after), x


class Network(steps.StepModel):
    """A stack between the embedding and the heads; see `dalsegno.models.steps.StepModel`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, layers: Iterable[Layer], rngs: nnx.Rngs) -> None:
        super().__init__(
            vocabulary, config.features, config.hidden, rngs, config.tied, config.told, config.head_dropout
        )
        self.stack = Stack(layers, config)

    def trunk(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        return self.stack(x_BxTxD, key)

    def start(self, batch: int) -> Any:
        return self.stack.start(batch)

    def advance(self, state: Any, x_BxD: jax.Array) -> tuple[Any, jax.Array]:
        return self.stack.advance(state, x_BxD)
