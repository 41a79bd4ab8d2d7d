"""A decoder Transformer over steps (Vaswani et al. 2017; pre-norm) with rotary positions (Su et al. 2021).

Attention reaches back `span` steps and no further (Child et al. 2019), so that pieces longer than the training
window meet no distance that training has not seen, and decoding needs a cache of fixed size.

Legend of shape suffixes: B sequences, T steps, L layers, S span, H attention heads, C channels of a head,
D = H · C features.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field, model_validator

from dalsegno.models import neural, steps
from dalsegno.models.base import Arrays, FamilyConfig
from dalsegno.representations.base import Vocabulary

SUPPORTS = frozenset({"likelihood", "prompt"})
LAYOUTS = frozenset({"voices", "events", "compound"})
LONGEST_WAVE = 10_000.0


class Config(FamilyConfig):
    """Sizes of the Transformer."""

    features: int = Field(128, ge=2, description="width of the residual stream")
    layers: int = Field(3, ge=1, description="blocks of attention and feed-forward network")
    attention_heads: int = Field(4, ge=1, description="divides features into channels, an even number a head")
    feedforward: int = Field(512, ge=1, description="width of the feed-forward networks")
    span: int = Field(128, ge=1, description="steps that attention reaches back, the present one included")
    hidden: int = Field(128, ge=1, description="width of an output head's hidden layer")
    dropout: float = Field(0.1, ge=0, lt=1, description="share dropped after the embedding and in each residual branch")

    @model_validator(mode="after")
    def _channels_pair_up(self) -> Config:
        if self.features % (2 * self.attention_heads):
            raise ValueError("features must be an even multiple of attention_heads: rotary positions turn pairs")
        return self


class State(NamedTuple):
    """The cache: a ring of the last S steps.

    Attributes:
        step: steps written so far.
        keys_LxBxHxSxC, values_LxBxHxSxC: the entry of step t lies at t mod S; keys are rotated.
    """

    step: jax.Array
    keys_LxBxHxSxC: jax.Array
    values_LxBxHxSxC: jax.Array


def rotate(x_TxC: jax.Array, positions_T: jax.Array) -> jax.Array:
    """Rotary positions: pairs of channels are turned in proportion to the position; leading axes are free."""
    half = x_TxC.shape[-1] // 2
    frequencies = LONGEST_WAVE ** (-jnp.arange(half) / half)
    angles = positions_T[:, None] * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = x_TxC[..., :half], x_TxC[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def normalized(x: jax.Array, scale_D: jax.Array) -> jax.Array:
    """Root-mean-square normalisation (Zhang and Sennrich 2019), in float32."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + 1e-6)).astype(x.dtype) * scale_D


class Block(nnx.Module):
    """Attention and a feed-forward network, each in a residual branch."""

    def __init__(self, config: Config, rngs: nnx.Rngs) -> None:
        size = config.features
        # Branches start small, so that depth does not blow up the residual stream (Radford et al. 2019).
        small = (2 * config.layers) ** -0.5
        self.config = config
        self.attention_scale = nnx.Param(jnp.ones(size))
        self.query_key_value = steps.linear(rngs, size, 3 * size)
        self.mix = steps.linear(rngs, size, size, small)
        self.feedforward_scale = nnx.Param(jnp.ones(size))
        self.widen = steps.linear(rngs, size, config.feedforward)
        self.narrow = steps.linear(rngs, config.feedforward, size, small)

    def heads(self, x_BxTxD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values, each BxHxTxC, unrotated."""
        batch, length, size = x_BxTxD.shape
        number = self.config.attention_heads
        together = steps.project(normalized(x_BxTxD, self.attention_scale[...]), self.query_key_value[...])
        split = together.reshape(batch, length, 3, number, size // number)
        q, k, v = jnp.transpose(split, (2, 0, 3, 1, 4))
        return q, k, v

    def joined(self, mixed_BxHxTxC: jax.Array) -> jax.Array:
        """The attention branch's output, BxTxD."""
        batch, _, length, _ = mixed_BxHxTxC.shape
        return steps.project(jnp.swapaxes(mixed_BxHxTxC, 1, 2).reshape(batch, length, -1), self.mix[...])

    def feed(self, x_BxTxD: jax.Array) -> jax.Array:
        """The feed-forward branch's output, BxTxD."""
        wide = steps.project(normalized(x_BxTxD, self.feedforward_scale[...]), self.widen[...])
        return steps.project(jax.nn.gelu(wide), self.narrow[...])


def attend(q_BxHxTxC: jax.Array, k_BxHxTxC: jax.Array, v_BxHxTxC: jax.Array, span: int) -> jax.Array:
    """Causal attention over the last `span` steps, BxHxTxC."""
    batch, heads, length, channels = q_BxHxTxC.shape
    at = jnp.arange(length)
    distance = at[:, None] - at[None, :]
    bias_TxT = jnp.where((distance >= 0) & (distance < span), 0.0, -1e30)

    def one(triple: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        q, k, v = triple
        return jax.nn.softmax((q * channels**-0.5) @ k.T + bias_TxT) @ v

    # A loop over 2-D products: XLA's batched product on CPUs takes two to five times as long.
    flat = tuple(x.reshape(batch * heads, length, channels) for x in (q_BxHxTxC, k_BxHxTxC, v_BxHxTxC))
    return jax.lax.map(one, flat).reshape(q_BxHxTxC.shape)


class Network(steps.StepModel):
    """See `dalsegno.models.steps.StepModel`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        super().__init__(vocabulary, config.features, config.hidden, rngs)
        self.config = config
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.layers)])
        self.scale = nnx.Param(jnp.ones(config.features))

    def trunk(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        rate = self.config.dropout
        keys = iter(
            [None] * (2 * len(self.blocks) + 1) if key is None else jax.random.split(key, 2 * len(self.blocks) + 1)
        )
        positions = jnp.arange(x_BxTxD.shape[1])
        x = steps.dropout(x_BxTxD, rate, next(keys))
        for block in self.blocks:
            q, k, v = block.heads(x)
            mixed = attend(rotate(q, positions), rotate(k, positions), v, self.config.span)
            x = x + steps.dropout(block.joined(mixed), rate, next(keys))
            x = x + steps.dropout(block.feed(x), rate, next(keys))
        return normalized(x, self.scale[...])

    def start(self, batch: int) -> State:
        config = self.config
        heads = config.attention_heads
        empty = jnp.zeros((config.layers, batch, heads, config.span, config.features // heads))
        return State(jnp.int32(0), empty, empty)

    def advance(self, state: State, x_BxD: jax.Array) -> tuple[State, jax.Array]:
        span = self.config.span
        slot = state.step % span
        position = state.step[None]
        written = jnp.arange(span) <= state.step
        all_keys, all_values = state.keys_LxBxHxSxC, state.values_LxBxHxSxC
        x = x_BxD[:, None]
        for number, block in enumerate(self.blocks):
            q, k, v = block.heads(x)
            all_keys = jax.lax.dynamic_update_slice(all_keys, rotate(k, position)[None], (number, 0, 0, slot, 0))
            all_values = jax.lax.dynamic_update_slice(all_values, v[None], (number, 0, 0, slot, 0))
            query = rotate(q, position) * q.shape[-1] ** -0.5
            scores = jnp.sum(query * all_keys[number], axis=-1)
            weights = jax.nn.softmax(jnp.where(written, scores, -1e30))
            mixed = jnp.sum(weights[..., None] * all_values[number], axis=-2, keepdims=True)
            x = x + block.joined(mixed)
            x = x + block.feed(x)
        return State(state.step + 1, all_keys, all_values), normalized(x[:, 0], self.scale[...])


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained model of a checkpoint."""
    return neural.Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays)
