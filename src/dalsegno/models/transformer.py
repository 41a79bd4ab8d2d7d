"""A decoder Transformer over steps (Vaswani et al. 2017; pre-norm).

Positions are rotary (Su et al. 2021), or relative as in the Music Transformer (Huang et al. 2019).

Attention reaches back `span` steps and no further (Child et al. 2019), so that pieces longer than the training
window meet no distance that training has not seen, and decoding needs a cache of fixed size.

Legend of shape suffixes: B sequences, T steps, S span, H attention heads, C channels of a head, D = H · C features,
P parts of a cache, Q steps of a part.
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from pydantic import Field, model_validator

from dalsegno.models import attention, neural, steps
from dalsegno.models.attributes import Conditioned
from dalsegno.models.base import Arrays
from dalsegno.representations.base import Vocabulary

SUPPORTS = frozenset({"likelihood", "prompt", "voice", "attributes", "mixture"})
LAYOUTS = frozenset({"voices", "events", "compound"})
Parts = tuple[jax.Array, ...]
LONGEST_WAVE = 10_000.0
PARTS, SMALLEST_PART = 16, 64
"""How many arrays a layer's keys are cached in, and the steps of one at least."""


class Config(Conditioned):
    """Sizes of the Transformer."""

    features: int = Field(128, ge=2, description="width of the residual stream")
    layers: int = Field(3, ge=1, description="blocks of attention and feed-forward network")
    attention_heads: int = Field(4, ge=1, description="divides features into channels, an even number a head")
    feedforward: int = Field(512, ge=1, description="width of the feed-forward networks")
    span: int = Field(128, ge=1, description="steps that attention reaches back, the present one included")
    hidden: int = Field(128, ge=1, description="width of an output head's hidden layer")
    dropout: float = Field(0.1, ge=0, lt=1, description="share dropped after the embedding and in each residual branch")
    head_dropout: float = Field(0.0, ge=0, lt=1, description="share of a head's hidden layer dropped")
    positions: Literal["rotary", "relative"] = Field(
        "rotary", description="how attention knows distances; relative learns a vector for each, head and layer"
    )
    tied: bool = Field(False, description="output weights are those of the embedding; needs hidden equal to features")

    @model_validator(mode="after")
    def _sizes_fit(self) -> Config:
        steps.check_ties(self.tied, self.features, self.hidden)
        if self.features % (2 * self.attention_heads):
            raise ValueError("features must be an even multiple of attention_heads: rotary positions turn pairs")
        return self


class State(NamedTuple):
    """The cache: a ring of the last S steps, cut into P arrays of each layer.

    Attributes:
        step: steps written so far.
        keys, values: of each layer the parts BxHxCxQ; the entry of step t lies at t mod S, counted through the parts.
            Keys know their place, see `Block.placed`.
    """

    step: jax.Array
    keys: tuple[Parts, ...]
    values: tuple[Parts, ...]


def _firsts(parts: Parts) -> list[int]:
    """Where each part begins in the ring."""
    return [0, *accumulate(part.shape[-1] for part in parts[:-1])]


def _written(parts: Parts, entry_BxHxCx1: jax.Array, slot: jax.Array) -> Parts:
    """The parts of a cache after `entry_BxHxCx1` has been written at `slot` of the ring."""
    after = []
    for first, part in zip(_firsts(parts), parts, strict=True):
        at = slot - first

        def put(_: int, part: jax.Array, at: jax.Array = at) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(part, entry_BxHxCx1, at, axis=3)

        # A loop of one round or none changes a part where it lies; one that a condition returns would be copied.
        after.append(jax.lax.fori_loop(0, ((at >= 0) & (at < part.shape[-1])).astype(jnp.int32), put, part))
    return tuple(after)


def turns(positions_T: np.ndarray | jax.Array, channels: int) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of rotary positions, each TxC/2; constants of the program where the positions are."""
    xp = np if isinstance(positions_T, np.ndarray) else jnp
    half = channels // 2
    angles = positions_T[:, None] * LONGEST_WAVE ** (-np.arange(half) / half)
    return xp.cos(angles).astype(np.float32), xp.sin(angles).astype(np.float32)


@jax.custom_vjp
def rotate(x_TxC: jax.Array, cos_TxH: jax.Array, sin_TxH: jax.Array) -> jax.Array:
    """Rotary positions: pairs of channels are turned in proportion to the position; leading axes are free.

    The gradient is turned back, which is one pass over it.
    """
    half = x_TxC.shape[-1] // 2
    cos, sin = cos_TxH.astype(x_TxC.dtype), sin_TxH.astype(x_TxC.dtype)
    first, second = x_TxC[..., :half], x_TxC[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _rotate_forward(x: jax.Array, cos: jax.Array, sin: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return rotate(x, cos, sin), (cos, sin)


def _rotate_backward(saved: tuple[jax.Array, jax.Array], grad: jax.Array) -> tuple[jax.Array, None, None]:
    cos, sin = saved
    return rotate(grad, cos, -sin), None, None


rotate.defvjp(_rotate_forward, _rotate_backward)


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
        shape = (config.attention_heads, config.span, size // config.attention_heads)
        relative = config.positions == "relative"
        self.distances = nnx.Param(0.1 * jax.random.normal(rngs.params(), shape)) if relative else None

    def placed(self, x_BxHxTxC: jax.Array, turned: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Queries or keys that know their place, if it is by place that distances are told; see `turns`."""
        return rotate(x_BxHxTxC, *turned) if self.distances is None else x_BxHxTxC

    def heads(self, x_BxTxD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values, each BxHxTxC, unrotated."""
        batch, length, size = x_BxTxD.shape
        number = self.config.attention_heads
        together = steps.project(steps.normalized(x_BxTxD, self.attention_scale[...]), self.query_key_value[...])
        q, k, v = (
            jnp.swapaxes(part.reshape(batch, length, number, size // number), 1, 2)
            for part in jnp.split(together, 3, axis=-1)
        )
        return q, k, v

    def look_back(self, query_BxHxC: jax.Array, keys: Parts, values: Parts, step: jax.Array) -> jax.Array:
        """`mixed_BxHxC` of the present step, from this layer's cache; parts that nothing was written to are not read.

        Each part is an array of its own and lies with its steps side by side, as XLA's products on CPUs would copy a
        slice, and are at their fastest along a long last axis.
        """
        distances = self.distances
        by_distance = None if distances is None else jnp.einsum("BHC,HSC->BHS", query_BxHxC, distances[...])
        firsts = _firsts(keys)

        def scores(first: int, part_BxHxCxQ: jax.Array) -> jax.Array:
            found = jnp.einsum("BHC,BHCQ->BHQ", query_BxHxC, part_BxHxCxQ)
            at = first + jnp.arange(part_BxHxCxQ.shape[-1])
            if by_distance is not None:
                found += by_distance[..., (step - at) % self.config.span]
            return jnp.where(at <= step, found, attention.REFUSED)

        def refused(part_BxHxCxQ: jax.Array) -> jax.Array:
            return jnp.full((*query_BxHxC.shape[:2], part_BxHxCxQ.shape[-1]), attention.REFUSED)

        def mean(part_BxHxCxQ: jax.Array, weights_BxHxQ: jax.Array) -> jax.Array:
            return jnp.einsum("BHQ,BHCQ->BHC", weights_BxHxQ, part_BxHxCxQ)

        every = [
            jax.lax.cond(first <= step, partial(scores, first), refused, part)
            for first, part in zip(firsts, keys, strict=True)
        ]
        weights = jnp.split(jax.nn.softmax(jnp.concatenate(every, axis=-1)), firsts[1:], axis=-1)
        return sum(
            jax.lax.cond(first <= step, mean, lambda *_: jnp.zeros_like(query_BxHxC), part, share)
            for first, part, share in zip(firsts, values, weights, strict=True)
        )

    def joined(self, mixed_BxHxTxC: jax.Array) -> jax.Array:
        """The attention branch's output, BxTxD."""
        batch, _, length, _ = mixed_BxHxTxC.shape
        return steps.project(jnp.swapaxes(mixed_BxHxTxC, 1, 2).reshape(batch, length, -1), self.mix[...])

    def feed(self, x_BxTxD: jax.Array) -> jax.Array:
        """The feed-forward branch's output, BxTxD."""
        wide = steps.project(steps.normalized(x_BxTxD, self.feedforward_scale[...]), self.widen[...])
        return steps.project(jax.nn.gelu(wide), self.narrow[...])


class Network(steps.StepModel):
    """See `dalsegno.models.steps.StepModel`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        super().__init__(
            vocabulary, config.features, config.hidden, rngs, config.tied, config.told, config.head_dropout
        )
        self.config = config
        self.channels = config.features // config.attention_heads
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.layers)])
        self.scale = nnx.Param(jnp.ones(config.features))

    def trunk(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        rate = self.config.dropout
        keys = iter(
            [None] * (2 * len(self.blocks) + 1) if key is None else jax.random.split(key, 2 * len(self.blocks) + 1)
        )
        turned = turns(np.arange(x_BxTxD.shape[1]), self.channels)
        x = steps.dropout(x_BxTxD, rate, next(keys))
        for block in self.blocks:
            q, k, v = block.heads(x)
            q, k = block.placed(q, turned), block.placed(k, turned)
            distances = None if block.distances is None else block.distances[...]
            mixed = attention.attend(q, k, v, self.config.span, distances)
            x = x + steps.dropout(block.joined(mixed), rate, next(keys))
            x = x + steps.dropout(block.feed(x), rate, next(keys))
        return steps.normalized(x, self.scale[...])

    def start(self, batch: int) -> State:
        config = self.config
        size = max(SMALLEST_PART, -(-config.span // PARTS))
        sizes = [min(size, config.span - first) for first in range(0, config.span, size)]
        blank = tuple(jnp.zeros((batch, config.attention_heads, self.channels, one)) for one in sizes)
        return State(jnp.int32(0), (blank,) * config.layers, (blank,) * config.layers)

    def advance(self, state: State, x_BxD: jax.Array) -> tuple[State, jax.Array]:
        slot, turned = state.step % self.config.span, turns(state.step[None], self.channels)
        x, after_keys, after_values = x_BxD[:, None], [], []
        for block, keys, values in zip(self.blocks, state.keys, state.values, strict=True):
            q, k, v = block.heads(x)
            keys = _written(keys, jnp.swapaxes(block.placed(k, turned), 2, 3), slot)
            values = _written(values, jnp.swapaxes(v, 2, 3), slot)
            query = block.placed(q, turned)[:, :, 0] * q.shape[-1] ** -0.5
            x = x + block.joined(block.look_back(query, keys, values, state.step)[:, :, None])
            x = x + block.feed(x)
            after_keys.append(keys)
            after_values.append(values)
        return State(state.step + 1, tuple(after_keys), tuple(after_values)), steps.normalized(x[:, 0], self.scale[...])


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained model of a checkpoint."""
    return neural.Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays, config.attributes)
