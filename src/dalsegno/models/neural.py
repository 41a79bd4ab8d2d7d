"""A trained neural model: likelihood of whole pieces, and generation in one compiled loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dalsegno.models import filters, recall, steps
from dalsegno.models.attributes import Attribute, wished
from dalsegno.models.base import FREE, Arrays, Request
from dalsegno.representations import batching
from dalsegno.representations.base import Vocabulary

Options = tuple[float, int, float, int | None, int | None]
"""Of a sampler: temperature, top-k, nucleus, the token that begins a bar, and after how many of these to end."""


def named(tree: Any) -> dict[str, jax.Array]:
    """The arrays of an NNX state by dotted path."""
    return {".".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(tree)}


class Devices(Protocol):
    """Where evaluation runs when training is spread over devices."""

    @property
    def count(self) -> int:
        """How many there are."""

    def place_rows(self, tree: Any) -> Any:
        """Arrays with their rows split over the devices."""

    def read(self, tree: Any) -> Any:
        """Copies of arrays in this process's memory."""


class Neural:
    """A step model with its weights; a `dalsegno.models.base.Trained`.

    Args:
        model: the network; its own weights are replaced by `arrays`, if given.
        vocabulary: of the representation.
        arrays: weights by dotted path, as `arrays()` gives them.
        attributes: what the network can be told.

    Attributes:
        graph: the network without its weights.
        params: the weights, an NNX state.
    """

    def __init__(
        self,
        model: steps.StepModel,
        vocabulary: Vocabulary,
        arrays: Arrays | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        self.attributes = attributes or {}
        self.graph, self.params = nnx.split(model)
        self.vocabulary = vocabulary
        if arrays is not None:
            self.set_arrays(arrays)
        self._log_probs = jax.jit(self._batch_log_probs)
        self._loop = jax.jit(self._generate_spread, static_argnums=0)

    def arrays(self) -> Arrays:
        """The weights by dotted path."""
        return {name: np.array(value) for name, value in named(self.params).items()}

    def set_arrays(self, arrays: Arrays) -> None:
        """Replace the weights.

        Raises:
            ValueError: names or shapes differ from the network's.
        """
        own = named(self.params)
        if {name: value.shape for name, value in own.items()} != {name: a.shape for name, a in arrays.items()}:
            raise ValueError("the checkpoint's arrays are not those of this network")
        flat = [
            (path, leaf.replace(jnp.asarray(arrays[".".join(map(str, path))])))
            for path, leaf in nnx.to_flat_state(self.params)
        ]
        self.params = nnx.from_flat_state(flat)

    def _batch_log_probs(self, params: Any, inputs: steps.Inputs, tokens_BxTxK: jax.Array) -> jax.Array:
        model: steps.StepModel = nnx.merge(self.graph, params)
        return model.log_probs(inputs, tokens_BxTxK)

    def log_probs(
        self, pieces: Sequence[np.ndarray], params: Any = None, devices: Devices | None = None
    ) -> list[np.ndarray]:
        """See `dalsegno.models.base.Trained`; `params`, on `devices`, stand in for the model's own weights."""
        params = self.params if params is None else params
        place, read, count = (devices.place_rows, devices.read, devices.count) if devices else (tuple, np.asarray, 1)
        result: list[np.ndarray] = [np.empty(0)] * len(pieces)
        for batch in batching.batches([len(piece) for piece in pieces], multiple=count):
            own = [pieces[i] for i in batch.members]
            tokens, inputs = place((batching.padded(own, batch, self.vocabulary.width), self._inputs(own, batch)))
            logp = read(self._log_probs(params, inputs, tokens))
            for row, i in enumerate(batch.members):
                result[i] = logp[row, : len(pieces[i])]
        return result

    def _inputs(self, pieces: Sequence[np.ndarray], batch: batching.Batch) -> steps.Inputs:
        inputs = steps.blank(batch.rows, batch.length, self.vocabulary)
        for row, piece in enumerate(pieces):
            for target, source in zip(inputs, steps.inputs_of(piece, self.vocabulary), strict=True):
                if source is not None:
                    target[row, : len(piece)] = source
        return inputs

    def generate(self, request: Request) -> list[np.ndarray]:
        """See `dalsegno.models.base.Trained`; all sequences in one batch, and one compiled loop on each device."""
        told = None
        if request.attributes:
            told = wished(request.attributes, self.attributes, request.steps, self.vocabulary.period)
            told = np.broadcast_to(told, (len(request.prompts), *told.shape))
        options = (request.temperature, request.top_k, request.top_p, request.bar, request.bars)
        # Every device has as many rows; those that fill up are written and not returned.
        number = len(request.prompts)
        rows = np.minimum(np.arange(-number % jax.local_device_count() + number), number - 1)
        tokens, ends = self._loop(
            options,
            self.params,
            request.given(self.vocabulary.width)[rows],
            None if told is None else told[rows],
            request.grammar.allowed_SxV,
            request.grammar.next_SxV.astype(np.int32),
            np.int32(request.grammar.start),
            jax.random.key(request.seed),
        )
        tokens, ends = np.asarray(tokens, np.int16), np.asarray(ends)[:number]
        return [tokens[row, :end] for row, end in enumerate(ends)]

    def _generate_spread(
        self,
        options: Options,
        params: Any,
        given_BxTxK: jax.Array,
        attributes_BxTxA: jax.Array | None,
        *others: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """`_generate`, each device of this process its own rows; the draws of a row are the same on any of them."""
        number = len(given_BxTxK)
        mesh = jax.sharding.Mesh(np.array(jax.local_devices()), ("rows",))
        if mesh.size == 1:
            return self._generate(options, 0, number, params, given_BxTxK, attributes_BxTxA, *others)
        split, whole = jax.sharding.PartitionSpec("rows"), jax.sharding.PartitionSpec()

        def own(
            params: Any, given_BxTxK: jax.Array, attributes_BxTxA: jax.Array | None, *others: jax.Array
        ) -> tuple[jax.Array, jax.Array]:
            first = jax.lax.axis_index("rows") * len(given_BxTxK)
            return self._generate(options, first, number, params, given_BxTxK, attributes_BxTxA, *others)

        within = (whole, split, split, *[whole] * len(others))
        # Not checked, as in `steps.per_device`.
        spread = jax.shard_map(own, mesh=mesh, in_specs=within, out_specs=split, check_vma=False)
        result: tuple[jax.Array, jax.Array] = spread(params, given_BxTxK, attributes_BxTxA, *others)
        return result

    def _generate(
        self,
        options: Options,
        first: jax.Array | int,
        number: int,
        params: Any,
        given_BxTxK: jax.Array,
        attributes_BxTxA: jax.Array | None,
        allowed_SxV: jax.Array,
        next_SxV: jax.Array,
        start: jax.Array,
        key: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Fixed buffers: `tokens_BxTxK` and the length of each sequence, of rows from `first` on of `number`."""
        temperature, top_k, top_p, bar, bars = options
        model: steps.StepModel = nnx.merge(self.graph, params)
        vocabulary = self.vocabulary
        batch, total, width = given_BxTxK.shape

        def unfinished(carry: tuple[Any, ...]) -> jax.Array:
            t, done_B = carry[0], carry[8]
            return (t < total) & ~jnp.all(done_B)

        def write(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            t, buffer, state, previous, runs, earlier, automaton_B, bars_B, done_B, ends_B, memory = carry
            weight, *recalled = memory or (None, None, None)
            told = None if attributes_BxTxA is None else attributes_BxTxA[:, t]
            inputs = steps.Inputs(previous, runs, earlier, jnp.full(batch, t % vocabulary.period), told, *recalled)
            state, trunk = model.advance(state, model.embedding(inputs))
            given_BxK = jax.lax.dynamic_index_in_dim(given_BxTxK, t, axis=1, keepdims=False)
            step_key = jax.random.fold_in(key, t)

            def draw(k: Any, logits_BxV: jax.Array, automaton_B: jax.Array) -> tuple[jax.Array, jax.Array]:
                scores = filters.restrict(logits_BxV, allowed_SxV[automaton_B], temperature, top_k, top_p, jnp)
                # `jax.random.categorical` of all rows; only the noise of these is computed.
                noise = jax.random.gumbel(jax.random.fold_in(step_key, k), (number, scores.shape[-1]), scores.dtype)
                own = jax.lax.dynamic_slice_in_dim(noise, first, batch)
                drawn = jnp.argmax(scores + own, axis=-1)
                token = jnp.where(given_BxK[:, k] == FREE, drawn, given_BxK[:, k])
                return token, next_SxV[automaton_B, token]

            tokens, automaton_B = model.write(trunk, inputs, draw, automaton_B)
            state = model.learn(state, trunk, inputs, tokens)
            # What would begin one bar too many is not written; the end symbol is.
            over_B = done_B
            if bar is not None and bars is not None:
                bars_B = bars_B + jnp.any(tokens == bar, axis=-1)
                over_B = over_B | (bars_B > bars)
            ends_B = jnp.where(over_B, ends_B, t + 1)
            done_B = over_B
            if vocabulary.eos is not None:
                done_B = done_B | jnp.any(tokens == vocabulary.eos, axis=-1)
            buffer = jax.lax.dynamic_update_index_in_dim(buffer, tokens, t, axis=1)
            runs, earlier = steps.following(inputs, tokens, vocabulary.size)
            if weight is not None:
                memory = recall.following(weight, buffer, t, vocabulary.size)
            return t + 1, buffer, state, tokens, runs, earlier, automaton_B, bars_B, done_B, ends_B, memory

        nothing = jnp.zeros(batch, jnp.int32)
        blank = jnp.full((batch, width), vocabulary.size, jnp.int32)
        recalls = vocabulary.layout in recall.LAYOUTS
        carry = (
            jnp.int32(0),
            jnp.zeros_like(given_BxTxK),
            model.start(batch),
            blank,
            jnp.zeros((batch, width), jnp.int32),
            blank,
            jnp.full(batch, start),
            nothing,
            jnp.zeros(batch, bool),
            nothing,
            (jnp.zeros((batch, total), jnp.int32), blank, nothing) if recalls else (),
        )
        final = jax.lax.while_loop(unfinished, write, carry)
        return final[1], final[9]
