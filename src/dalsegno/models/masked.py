"""Orderless infilling of voices on a grid (Coconet: Huang et al. 2017): any tokens given any others.

Training hides a random part of every window and asks for it (orderless NADE: Uria, Murray and Larochelle 2014). The
network is a stack of residual dilated convolutions over time (van den Oord et al. 2016) that look both ways. Likelihood
is that of the chronological order, by the chain rule: token after token, all later ones hidden, `reach` steps to either
side. Samples are drawn by blocked Gibbs sampling whose blocks shrink, or in chronological order.

Legend of shape suffixes: B sequences, T steps, K voices, V vocabulary, D features, W = 2 · reach + 1 steps of a window.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from pydantic import Field

from dalsegno.models import filters, neural, steps
from dalsegno.models.base import FREE, Arrays, FamilyConfig, Request
from dalsegno.representations.base import Grammar, Vocabulary

SUPPORTS = frozenset({"likelihood", "prompt", "voice"})
LAYOUTS = frozenset({"voices"})
MOST_HIDDEN, LEAST_HIDDEN, SHRINKING = 0.9, 0.03, 0.75
"""Share of free tokens that a Gibbs sweep draws anew: from the first to the second over this part of the sweeps (the
schedule of Yao et al. 2014 that Coconet uses)."""


class Config(FamilyConfig):
    """Sizes of the network and length of sampling."""

    features: int = Field(128, ge=1, description="width of the residual stream")
    layers: int = Field(4, ge=1, description="convolutions, of three steps each; layer n skips 2^n steps")
    hidden: int = Field(128, ge=1, description="width of an output's hidden layer")
    dropout: float = Field(0.1, ge=0, lt=1, description="share dropped after the embedding and in each residual branch")
    sweeps: int = Field(64, ge=0, description="Gibbs sweeps of a sample; 0 writes in chronological order")

    @property
    def reach(self) -> int:
        """Steps that the network sees to either side."""
        return 2**self.layers - 1


class Layer(nnx.Module):
    """A convolution over the steps `-skip`, 0 and `skip`, in a residual branch."""

    def __init__(self, size: int, skip: int, small: float, rngs: nnx.Rngs) -> None:
        self.skip = skip
        self.scale = nnx.Param(jnp.ones(size))
        self.around = steps.linear(rngs, 3 * size, size, 2**0.5)
        self.bias = nnx.Param(jnp.zeros(size))
        self.mix = steps.linear(rngs, size, size, small)

    def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
        """The branch's output, BxTxD; beyond either end is nothing."""
        normal = steps.normalized(x_BxTxD, self.scale[...])
        wide = jnp.pad(normal, ((0, 0), (self.skip, self.skip), (0, 0)))
        length = x_BxTxD.shape[1]
        around = jnp.concatenate([wide[:, at : at + length] for at in (0, self.skip, 2 * self.skip)], axis=-1)
        return steps.project(jax.nn.gelu(steps.project(around, self.around[...]) + self.bias[...]), self.mix[...])


class Network(steps.StepModel):
    """See `dalsegno.models.steps.StepModel`: chronological writing is one of its orders."""

    def __init__(self, config: Config, vocabulary: Vocabulary, rngs: nnx.Rngs) -> None:
        voices, size, features, hidden = vocabulary.width, vocabulary.size, config.features, config.hidden
        self.config, self.voices, self.size, self.period = config, voices, size, vocabulary.period
        # Row V: hidden. A step outside the piece is hidden, too, and known to be outside.
        self.tokens = nnx.List([steps.table(rngs, size + 1, features, voices**-0.5) for _ in range(voices)])
        self.phase = steps.table(rngs, vocabulary.period, features, 0.5)
        self.outside = steps.table(rngs, 1, features, 0.5)
        small = config.layers**-0.5
        self.layers = nnx.List([Layer(features, 2**number, small, rngs) for number in range(config.layers)])
        self.scale = nnx.Param(jnp.ones(features))
        self.inner = nnx.List([steps.linear(rngs, features, hidden, 2**0.5) for _ in range(voices)])
        self.bias = nnx.List([nnx.Param(jnp.zeros(hidden)) for _ in range(voices)])
        self.output = nnx.List([steps.linear(rngs, hidden, size, 0.5) for _ in range(voices)])
        self.offset = nnx.List([nnx.Param(jnp.zeros(size)) for _ in range(voices)])

    def features(
        self, seen_BxTxK: jax.Array, phase_BxT: jax.Array, inside_BxT: jax.Array, key: jax.Array | None
    ) -> jax.Array:
        """`x_BxTxD` of tokens, V where one is hidden, of which `inside_BxT` (bool) belong to the piece."""
        number = len(self.layers) + 1
        keys = [None] * number if key is None else list(jax.random.split(key, number))
        seen = jnp.where(inside_BxT[..., None], seen_BxTxK, self.size)
        tables = [*(table[...] for table in self.tokens), self.phase[...]]
        x = steps.lookup(tables, [*(seen[..., k] for k in range(self.voices)), phase_BxT])
        x = x + jnp.where(inside_BxT[..., None], 0, self.outside[...][0])
        x = steps.dropout(x, self.config.dropout, keys[0])
        for layer, layer_key in zip(self.layers, keys[1:], strict=True):
            x = x + steps.dropout(layer(x), self.config.dropout, layer_key)
        return steps.normalized(x, self.scale[...])

    def logits(self, k: int, x___xD: jax.Array) -> jax.Array:
        """`logits___xV` of voice k."""
        inner = jax.nn.relu(steps.project(x___xD, self.inner[k][...]) + self.bias[k][...])
        return steps.project(inner, self.output[k][...]) + self.offset[k][...]

    def losses(
        self, inputs: steps.Inputs, tokens_BxTxK: jax.Array, mask_BxT: jax.Array, key: jax.Array, smoothing: float
    ) -> jax.Array:
        """The mean over hidden tokens, as a loss of all tokens: an order-agnostic bound of the likelihood."""
        share_key, hide_key, at_least_key, dropout_key = jax.random.split(key, 4)
        inside = jnp.broadcast_to((mask_BxT > 0)[..., None], tokens_BxTxK.shape)
        batch = len(tokens_BxTxK)
        # The number of hidden tokens is uniform, so that all parts of all orders count alike; one at least.
        share = jax.random.uniform(share_key, (batch, 1, 1))
        order = jnp.where(inside, jax.random.uniform(at_least_key, tokens_BxTxK.shape), -1)
        first = order == jnp.max(order, axis=(1, 2), keepdims=True)
        hidden = inside & ((jax.random.uniform(hide_key, tokens_BxTxK.shape) < share) | first)
        seen = jnp.where(hidden, self.size, tokens_BxTxK)
        x = self.features(seen, inputs.phase_BxT, mask_BxT > 0, dropout_key)
        each = [steps.cross_entropy(self.logits(k, x), tokens_BxTxK[..., k], smoothing) for k in range(self.voices)]
        total = jnp.sum(inside, axis=(1, 2), keepdims=True)
        weight = total / jnp.maximum(jnp.sum(hidden, axis=(1, 2), keepdims=True), 1)
        return jnp.where(hidden, jnp.stack(each, axis=-1) * weight, 0)

    def log_probs(self, inputs: steps.Inputs, tokens_BxTxK: jax.Array) -> jax.Array:
        reach = self.config.reach
        batch, length, _ = tokens_BxTxK.shape
        past = jnp.pad(tokens_BxTxK, ((0, 0), (reach, 0), (0, 0)), constant_values=FREE)

        def step(t: jax.Array) -> jax.Array:
            window = jax.lax.dynamic_slice_in_dim(past, t, reach + 1, axis=1)
            phase = jax.lax.dynamic_index_in_dim(inputs.phase_BxT, t, axis=1, keepdims=False)
            # All voices at once, as K sequences in each of which one voice more is seen.
            seen = jnp.stack([self._hide(window, k) for k in range(self.voices)])
            now = self._now(seen.reshape(-1, reach + 1, self.voices), jnp.tile(phase, self.voices))
            now = now.reshape(self.voices, batch, -1)
            tokens = window[:, -1]
            each = [steps.cross_entropy(self.logits(k, now[k]), tokens[:, k]) for k in range(self.voices)]
            return -jnp.stack(each, axis=-1)

        return jnp.swapaxes(jax.lax.map(step, jnp.arange(length)), 0, 1)

    def _hide(self, window_BxTxK: jax.Array, first: int) -> jax.Array:
        """The last step's voices from `first` on are hidden."""
        return window_BxTxK.at[:, -1, first:].set(self.size)

    def _now(self, past_BxTxK: jax.Array, phase_B: jax.Array) -> jax.Array:
        """`x_BxD` of the last of `reach` + 1 steps, before which `FREE` means outside; all later steps are hidden."""
        reach = self.config.reach
        later = jnp.full((len(past_BxTxK), reach, self.voices), self.size)
        seen = jnp.concatenate([past_BxTxK, later], axis=1)
        phase = (phase_B[:, None] + jnp.arange(-reach, reach + 1)) % self.period
        return self.features(seen, phase, seen[..., 0] != FREE, None)[:, reach]

    def embedding(self, inputs: steps.Inputs) -> jax.Array:  # type: ignore[override]
        """The step before itself: a step is known by its tokens, since later ones change what it means."""
        return inputs.previous_BxTxK

    def start(self, batch: int) -> jax.Array:
        return jnp.full((batch, self.config.reach, self.voices), FREE)

    def advance(self, state: jax.Array, x_BxD: jax.Array) -> tuple[jax.Array, jax.Array]:
        before = jnp.where(x_BxD == self.size, FREE, x_BxD)
        past = jnp.concatenate([state[:, 1:], before[:, None]], axis=1)
        return past, past

    def write(self, trunk_BxD: jax.Array, inputs: steps.Inputs, draw: steps.Draw, state: Any) -> tuple[jax.Array, Any]:
        tokens = jnp.full_like(inputs.previous_BxTxK, self.size)
        for k in range(self.voices):
            now = self._now(jnp.concatenate([trunk_BxD, tokens[:, None]], axis=1), inputs.phase_BxT)
            token, state = draw(k, self.logits(k, now), state)
            tokens = tokens.at[:, k].set(token)
        return tokens, state


class Masked(neural.Neural):
    """A trained network that fills in what is not given."""

    def __init__(self, config: Config, vocabulary: Vocabulary, arrays: Arrays | None = None) -> None:
        super().__init__(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays)
        self.config = config
        self._sampler = jax.jit(self._gibbs, static_argnames="options")

    def generate(self, request: Request) -> list[np.ndarray]:
        """See `dalsegno.models.base.Trained`; by Gibbs sampling, so that what is given later is heeded, too."""
        if not self.config.sweeps:
            return super().generate(request)
        tokens = self._sampler(
            self.params,
            request.given(self.vocabulary.width),
            allowed_at_each(request.grammar, self.vocabulary.width),
            jax.random.key(request.seed),
            options=(request.temperature, request.top_k, request.top_p),
        )
        return list(np.asarray(tokens, np.int16))

    def _gibbs(
        self,
        params: Any,
        given_BxTxK: jax.Array,
        allowed_KxV: jax.Array,
        key: jax.Array,
        options: tuple[float, int, float],
    ) -> jax.Array:
        network: Network = nnx.merge(self.graph, params)
        batch, length, voices = given_BxTxK.shape
        free = given_BxTxK == FREE
        phase = jnp.broadcast_to(jnp.arange(length) % self.vocabulary.period, (batch, length))
        inside = jnp.ones((batch, length), bool)

        def sweep(number: jax.Array, tokens: jax.Array) -> jax.Array:
            hide_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
            share = MOST_HIDDEN - number * (MOST_HIDDEN - LEAST_HIDDEN) / (SHRINKING * self.config.sweeps)
            # In the first sweep nothing is known but what is given.
            share = jnp.where(number == 0, 1.0, jnp.maximum(share, LEAST_HIDDEN))
            hidden = free & (jax.random.uniform(hide_key, free.shape) < share)
            x = network.features(jnp.where(hidden, network.size, tokens), phase, inside, None)
            for k in range(voices):
                logits = network.logits(k, x).reshape(batch * length, -1)
                scores = filters.restrict(logits, allowed_KxV[k][None], *options, jnp)
                drawn = jax.random.categorical(jax.random.fold_in(draw_key, k), scores).reshape(batch, length)
                tokens = tokens.at[..., k].set(jnp.where(hidden[..., k], drawn, tokens[..., k]))
            return tokens

        return jax.lax.fori_loop(0, self.config.sweeps, sweep, jnp.where(free, 0, given_BxTxK))


def allowed_at_each(grammar: Grammar, width: int) -> np.ndarray:
    """`allowed_KxV` (bool) of each voice.

    Raises:
        ValueError: what is allowed depends on more than the voice.
    """
    state, rows = grammar.start, []
    for _ in range(width):
        rows.append(grammar.allowed_SxV[state])
        after = np.unique(grammar.next_SxV[state])
        if len(after) > 1:
            raise ValueError("masked writes in any order: it needs a grammar that depends on the voice alone")
        state = int(after[0])
    if state != grammar.start:
        raise ValueError("masked writes in any order: it needs a grammar that is the same in every step")
    return np.stack(rows)


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> Masked:
    """The trained model of a checkpoint."""
    return Masked(config, vocabulary, arrays)
