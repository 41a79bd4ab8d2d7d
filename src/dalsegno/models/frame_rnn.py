"""A recurrent network over frames of keys: factorised, or joint within the frame.

The recurrent state says what a whole frame is like (Boulanger-Lewandowski et al. 2012, section 4). Every key then has a
few units of its own, which also see what sounded around it in the frame before, how long it has been on or off itself,
and whether it was on when the music last went on from here (`dalsegno.models.recall`); the weights from one key to
another are shared by all pairs of keys with the same interval, as in a convolution.
Jointly, the keys of a frame are written from the lowest up, and the units of a key see the keys below it as well (NADE,
Larochelle and Murray 2011, with a second set of weights by interval).

Legend of shape suffixes: B sequences, T frames, K keys, D features of the recurrent layers, Z units of a key,
S = 2K, the keys that are on and those that have just come on.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from pydantic import Field

from dalsegno.models import gru, lstm, neural, recurrent, steps
from dalsegno.models.base import Arrays
from dalsegno.models.recall import LONGEST_MATCH
from dalsegno.representations.base import Vocabulary

SUPPORTS = frozenset({"likelihood", "prompt"})
LAYOUTS = frozenset({"frames"})
ON = 1
CELLS: dict[str, type[lstm.Layer] | type[gru.Layer]] = {"gru": gru.Layer, "lstm": lstm.Layer}
USUAL_SHARE = 0.04
"""Of the keys that are on: three or four of 88. Where the outputs begin."""


class Config(recurrent.Dropouts):
    """Sizes, and whether the keys of a frame depend on one another."""

    joint: bool = Field(False, description="a key depends on the keys below it in its own frame")
    cell: Literal["gru", "lstm"] = Field("gru", description="kind of the recurrent layers")
    features: int = Field(256, ge=1, description="cells a layer")
    layers: int = Field(1, ge=1, description="recurrent layers")
    units: int = Field(32, ge=1, description="hidden units of each key")
    dropout: float = Field(0.3, ge=0, lt=1, description="share dropped after the input, each layer and the units")


class Network(steps.StepModel):
    """See `dalsegno.models.steps.StepModel`; it has no heads, since all keys share one output."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        keys, size, units = vocabulary.width, config.features, config.units
        self.config, self.keys = config, keys
        self.inward = steps.linear(rngs, 2 * keys, size, 2.0)
        self.phase = steps.table(rngs, vocabulary.period, size, 0.5)
        cell = CELLS[config.cell]
        self.stack = recurrent.Stack([cell(size, rngs) for _ in range(config.layers)], config)
        self.frame = steps.linear(rngs, size, units)
        self.place = steps.table(rngs, keys, units, 0.3)
        self.runs = steps.table(rngs, 2 * (steps.LONGEST_RUN + 1), units, 0.3)
        # By what is recalled of the key, whether those below it are as they were then, and how long the music has been.
        rows = LONGEST_MATCH + 1
        self.recalled = steps.table(rngs, 3 * 2 * rows, units, 0.1)
        trusting = np.minimum(np.arange(rows), 8) / 2
        sign = np.array([[0, -1], [0, 1], [0, 0]])
        self.trust = nnx.Param(jnp.asarray((sign[..., None] * trusting).reshape(-1), jnp.float32))
        self.around = steps.table(rngs, 2 * (2 * keys - 1), units, 0.1)
        self.below = steps.table(rngs, keys - 1, units, 0.1) if config.joint else None
        self.chosen = steps.table(rngs, keys, units, 0.1) if config.joint else None
        self.output = steps.linear(rngs, units, 1, 0.5)
        self.direct = steps.linear(rngs, size, keys, 0.5)
        self.offset = nnx.Param(jnp.full(keys, float(np.log(USUAL_SHARE))))

    def embedding(self, inputs: steps.Inputs) -> jax.Array:  # type: ignore[override]
        """`x_BxTxD`; without the T axis if the inputs have none."""
        inward = self.inward[...]
        return project_keys(_sounding(inputs), inward) + steps.lookup([self.phase[...]], [inputs.phase_BxT])

    def trunk(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        return self.stack(x_BxTxD, key)

    def start(self, batch: int) -> Any:
        return self.stack.start(batch)

    def advance(self, state: Any, x_BxD: jax.Array) -> tuple[Any, jax.Array]:
        return self.stack.advance(state, x_BxD)

    def before(self, trunk___xD: jax.Array, inputs: steps.Inputs) -> jax.Array:
        """`units___xKxZ` before their nonlinearity: all but what the same frame adds."""
        per_key = project_keys(_sounding(inputs), self._by_interval(self.around[...], 2))
        per_key += (steps.project(trunk___xD, self.frame[...]))[..., None, :] + self.place[...]
        state = inputs.runs_BxTxK + (steps.LONGEST_RUN + 1) * (inputs.previous_BxTxK == ON)
        return per_key + steps.lookup([self.runs[...]], [state])

    def logits(self, units___xKxZ: jax.Array, trunk___xD: jax.Array, recalled___xK: jax.Array) -> jax.Array:
        """`logits___xK` that keys are on, of what all that they see has added to their units; and what is recalled."""
        own = steps.project(jax.nn.relu(units___xKxZ), self.output[...])[..., 0]
        return own + steps.project(trunk___xD, self.direct[...]) + self.offset[...] + self.trust[...][recalled___xK]

    @staticmethod
    def recall(inputs: steps.Inputs, agrees___xK: jax.Array) -> jax.Array:
        """`row___xK` of the tables of what is recalled; `agrees___xK`: so far the frame is as it was then."""
        return (2 * inputs.recalled_BxTxK + agrees___xK) * (LONGEST_MATCH + 1) + inputs.match_BxT[..., None]

    def _losses(
        self, inputs: steps.Inputs, tokens_BxTxK: jax.Array, key: jax.Array | None, smoothing: float
    ) -> jax.Array:
        keys = (None, None) if key is None else jax.random.split(key)
        trunk = self.trunk(self.embedding(inputs), keys[0])
        units = self.before(trunk, inputs)
        agrees = jnp.ones(tokens_BxTxK.shape, bool)
        if self.config.joint:
            units += project_keys(tokens_BxTxK, self._within())
            same = tokens_BxTxK == inputs.recalled_BxTxK
            agrees = agrees.at[..., 1:].set(jnp.cumprod(same, axis=-1)[..., :-1] == 1)
        recalled = self.recall(inputs, agrees)
        units += steps.lookup([self.recalled[...]], [recalled])
        logits = self.logits(steps.dropout(units, self.config.dropout, keys[1]), trunk, recalled).astype(jnp.float32)
        target = (1 - smoothing) * tokens_BxTxK + smoothing / 2
        return jax.nn.softplus(logits) - target * logits

    def write(self, trunk_BxD: jax.Array, inputs: steps.Inputs, draw: steps.Draw, state: Any) -> tuple[jax.Array, Any]:
        within = self._within() if self.config.joint else None

        def key(k: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            tokens, units, agrees_Bx1, state = carry
            recalled = self.recall(inputs, agrees_Bx1)
            seen = units + steps.lookup([self.recalled[...]], [recalled])
            on = jnp.take(self.logits(seen, trunk_BxD, recalled), k, axis=-1)
            token, state = draw(k, jnp.stack([jnp.zeros_like(on), on], axis=-1), state)
            if within is not None:
                units += token[:, None, None] * jax.lax.dynamic_index_in_dim(within, k, keepdims=False)
                agrees_Bx1 &= (token == jnp.take(inputs.recalled_BxTxK, k, axis=-1))[:, None]
            return tokens.at[:, k].set(token), units, agrees_Bx1, state

        nothing = jnp.zeros_like(inputs.previous_BxTxK)
        carry = (nothing, self.before(trunk_BxD, inputs), jnp.ones((len(nothing), 1), bool), state)
        tokens, _, _, state = jax.lax.fori_loop(0, self.keys, key, carry)
        return tokens, state

    def _by_interval(self, weights_RxZ: jax.Array, kinds: int) -> jax.Array:
        """`weights_SxKxZ` from every key to every key, of weights by interval, for several kinds of inputs."""
        keys = np.arange(self.keys)
        interval = keys[None, :] - keys[:, None] + self.keys - 1
        rows = np.concatenate([interval + kind * (2 * self.keys - 1) for kind in range(kinds)])
        return steps.lookup([weights_RxZ], [jnp.asarray(rows)])

    def _within(self) -> jax.Array:
        """`weights_KxKxZ` from every key to those above it in the same frame."""
        assert self.below is not None
        assert self.chosen is not None
        nothing = jnp.zeros((self.keys, self.config.units), self.below[...].dtype)
        above = self._by_interval(jnp.concatenate([nothing, self.below[...]]), 1)
        later = np.triu(np.ones((self.keys, self.keys), np.float32), 1)[..., None]
        return above + self.chosen[...][:, None] * later.astype(above.dtype)


def _sounding(inputs: steps.Inputs) -> jax.Array:
    """`x___xS` of the frame before: which keys were on, and of those the recent ones more."""
    on = (inputs.previous_BxTxK == ON).astype(jnp.float32)
    return jnp.concatenate([on, on / jnp.maximum(inputs.runs_BxTxK, 1)], axis=-1)


def project_keys(x___xS: jax.Array, weights: jax.Array) -> jax.Array:
    """`x @ weights` of weights SxD or SxKxZ, in their type."""
    flat = steps.project(x___xS.astype(weights.dtype), weights.reshape(len(weights), -1))
    return flat.reshape(*x___xS.shape[:-1], *weights.shape[1:])


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained model of a checkpoint."""
    return neural.Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays)
