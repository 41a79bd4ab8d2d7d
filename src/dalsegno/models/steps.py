"""What frame-wise neural models share: inputs of a step, the heads that write it, and how it is fed.

At step t a trunk sees the tokens of step t - 1 and the metrical phase; of voices also how long each has held its token,
by which interval it came to it, and the intervals between voices. K heads write the step one token after the other;
head k sees the trunk, the tokens before k and, for voices, intervals, which hold in every transposition, and how the
music went on when it was last as it is now (`dalsegno.models.recall`).

Legend of shape suffixes: B sequences, T steps, K tokens a step, V vocabulary, D trunk features, H head features.
Functions with the suffix `___` accept any leading axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dalsegno.models import recall
from dalsegno.models.recall import LONGEST_MATCH
from dalsegno.representations.base import Vocabulary

LONGEST_RUN = 16

Draw = Callable[[Any, jax.Array, Any], tuple[jax.Array, Any]]


class Inputs(NamedTuple):
    """What is known before a step is written; arrays of NumPy or JAX.

    Attributes:
        previous_BxTxK: the tokens of the step before; V before the first step.
        runs_BxTxK: steps for which each voice has held its token, at most `LONGEST_RUN`; 0 before the first step.
        earlier_BxTxK: the token that each voice held before that one; V where it held none, and once a run is longest.
        phase_BxT: step modulo the vocabulary's period.
        attributes_BxTxA: what is told of the step, see `dalsegno.models.attributes`; None where nothing is.
        recalled_BxTxK: the tokens that followed last time, V where nothing did; None but in `recall.LAYOUTS`.
        match_BxT: by how many chords in a row that place agrees with this one; None likewise.
    """

    previous_BxTxK: Any
    runs_BxTxK: Any
    earlier_BxTxK: Any
    phase_BxT: Any
    attributes_BxTxA: Any = None
    recalled_BxTxK: Any = None
    match_BxT: Any = None


def blank(batch: int, length: int, vocabulary: Vocabulary) -> Inputs:
    """Inputs of zeros, to be filled; without attributes."""
    shape, wide = (batch, length), (batch, length, vocabulary.width)
    previous, runs, earlier = (np.zeros(wide, np.int32) for _ in range(3))
    inputs = Inputs(previous, runs, earlier, np.zeros(shape, np.int32))
    if vocabulary.layout not in recall.LAYOUTS:
        return inputs
    return inputs._replace(recalled_BxTxK=np.zeros(wide, np.int32), match_BxT=np.zeros(shape, np.int32))


def inputs_of(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Inputs:
    """The inputs of every step of one piece (no B axis)."""
    inputs = recent(tokens_TxK, vocabulary)
    if vocabulary.layout not in recall.LAYOUTS:
        return inputs
    recalled, match = recall.recalled(tokens_TxK, vocabulary.size)
    return inputs._replace(recalled_BxTxK=recalled, match_BxT=match)


def recent(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Inputs:
    """The same but for what is recalled: what the last `LONGEST_RUN` steps tell."""
    steps, width = tokens_TxK.shape
    previous = np.full((steps, width), vocabulary.size, np.int32)
    previous[1:] = tokens_TxK[:-1]
    changed = np.ones((steps, width), bool)
    changed[1:-1] = tokens_TxK[1:-1] != tokens_TxK[:-2]
    index = np.arange(steps)[:, None]
    since = np.maximum.accumulate(np.where(changed, index, 0), axis=0)
    runs = np.zeros((steps, width), np.int32)
    runs[1:] = np.minimum(index - since + 1, LONGEST_RUN)[:-1]
    earlier = np.full((steps, width), vocabulary.size, np.int32)
    known = (since > 0) & (index - since + 1 < LONGEST_RUN)
    earlier[1:] = np.where(known, np.take_along_axis(tokens_TxK, np.maximum(since - 1, 0), 0), vocabulary.size)[:-1]
    return Inputs(previous, runs, earlier, np.arange(steps, dtype=np.int32) % vocabulary.period)


def following(inputs: Inputs, tokens___xK: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """`runs___xK` and `earlier___xK` of the next step, after this one has been written.

    Args:
        inputs: of this step.
        tokens___xK: what was written.
        size: V.
    """
    goes_on = tokens___xK == inputs.previous_BxTxK
    runs = jnp.where(goes_on, jnp.minimum(inputs.runs_BxTxK + 1, LONGEST_RUN), 1)
    earlier = jnp.where(goes_on, inputs.earlier_BxTxK, inputs.previous_BxTxK)
    return runs, jnp.where(runs < LONGEST_RUN, earlier, size)


@jax.custom_vjp
def lookup(tables: Sequence[jax.Array], ids: Sequence[jax.Array]) -> jax.Array:
    """`sum_BxTxD` of one row of each table.

    The gradient of all tables is one product with one-hot columns: scatter-add is slow on CPUs, and so are many
    narrow products.

    Args:
        tables: each RxD, with an R of its own.
        ids: which row of each, BxT.
    """
    return sum((table[rows] for table, rows in zip(tables[1:], ids[1:], strict=True)), tables[0][ids[0]])


def _lookup_forward(tables: Sequence[jax.Array], ids: Sequence[jax.Array]) -> tuple[jax.Array, tuple]:
    return lookup(tables, ids), (ids, [jnp.arange(len(table)) for table in tables])


def _lookup_backward(saved: tuple, grad_BxTxD: jax.Array) -> tuple[list[jax.Array], None]:
    ids, rows = saved
    columns = [at[:, None] == chosen.reshape(1, -1) for at, chosen in zip(rows, ids, strict=True)]
    flat = grad_BxTxD.reshape(-1, grad_BxTxD.shape[-1])
    grad = jnp.concatenate(columns).astype(flat.dtype) @ flat
    ends = np.cumsum([len(at) for at in rows])[:-1].tolist()
    return list(jnp.split(grad, ends)), None


lookup.defvjp(_lookup_forward, _lookup_backward)


@jax.custom_vjp
def shifted(relative___xR: jax.Array, previous___: jax.Array) -> jax.Array:
    """Scores of tokens from scores of intervals.

    Args:
        relative___xR: R = 2V scores of the intervals -V … V - 1 from the previous token.
        previous___: the previous token, 0 … V.

    Returns:
        `scores___xV`, entry v being that of the interval v - previous.
    """
    size = relative___xR.shape[-1] // 2
    index = jnp.arange(size) - previous___[..., None] + size
    return jnp.take_along_axis(relative___xR, index, axis=-1)


def _shifted_forward(relative___xR: jax.Array, previous___: jax.Array) -> tuple[jax.Array, jax.Array]:
    return shifted(relative___xR, previous___), previous___


def _shifted_backward(previous___: jax.Array, grad___xV: jax.Array) -> tuple[jax.Array, None]:
    size = grad___xV.shape[-1]
    index = jnp.arange(2 * size) + previous___[..., None] - size
    inside = (index >= 0) & (index < size)
    grad = jnp.take_along_axis(grad___xV, jnp.clip(index, 0, size - 1), axis=-1)
    return jnp.where(inside, grad, 0), None


shifted.defvjp(_shifted_forward, _shifted_backward)


def per_device(function: Callable[..., jax.Array], *arrays: jax.Array, axis: int = 0, whole: Any = ()) -> jax.Array:
    """`function` of arrays, one of whose axes is that of a batch; where there is a mesh, each device on its own rows.

    For what XLA's partitioner would gather on every device: loops over rows, and steps and rows made one axis.

    Args:
        function: of `arrays` and then, if given, `whole`; its result has the batch on the same axis.
        arrays: what is split.
        axis: that of the batch.
        whole: what every device needs all of, a tree; its gradient is summed over the devices.
    """
    given = (*arrays, whole) if jax.tree.leaves(whole) else arrays
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size < 2:
        return function(*given)
    spec = jax.sharding.PartitionSpec
    rows = spec(*[None] * axis, mesh.axis_names[0])
    within = (*[rows] * len(arrays), spec())[: len(given)]
    # Not checked: the check wants to be told of every constant that enters a loop.
    return jax.shard_map(function, mesh=mesh, in_specs=within, out_specs=rows, check_vma=False)(*given)


def dropout(x: jax.Array, rate: float, key: jax.Array | None, along: int | None = None) -> jax.Array:
    """Zero a share `rate` of the entries, to the nearest 1/256, and rescale; the identity without a key.

    Args:
        x: of any shape.
        rate: 0 to 1.
        key: of the draw.
        along: an axis along which one draw holds, such as that of time (Gal and Ghahramani 2016).
    """
    dropped = round(rate * 256)
    if key is None or dropped == 0:
        return x
    # One random byte an entry: random bits are a visible share of a small model's training step.
    shape = [1 if axis == along else length for axis, length in enumerate(x.shape)]
    keep = jax.random.bits(key, shape, jnp.uint8) >= dropped
    return jnp.where(keep, x * (256 / (256 - dropped)), 0)


def project(x___xD: jax.Array, weights_DxE: jax.Array) -> jax.Array:
    """`x @ weights` as a product of two matrices: XLA's weight gradient of more axes is 2.6 times slower on CPUs."""
    flat = x___xD.reshape(-1, x___xD.shape[-1]) @ weights_DxE
    return flat.reshape(*x___xD.shape[:-1], -1)


def linear(rngs: nnx.Rngs, rows: int, columns: int, scale: float = 1.0) -> nnx.Param[jax.Array]:
    """A weight matrix whose product with unit inputs has variance `scale`²."""
    return nnx.Param(jax.random.normal(rngs.params(), (rows, columns)) * (scale / rows**0.5))


def table(rngs: nnx.Rngs, rows: int, columns: int, scale: float) -> nnx.Param[jax.Array]:
    """An embedding table whose entries have the standard deviation `scale`."""
    return nnx.Param(jax.random.normal(rngs.params(), (rows, columns)) * scale)


def normalized(x: jax.Array, scale_D: jax.Array) -> jax.Array:
    """Root-mean-square normalisation (Zhang and Sennrich 2019), in float32."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + 1e-6)).astype(x.dtype) * scale_D


def check_ties(tied: bool, features: int, hidden: int) -> None:
    """Raise ValueError where output weights cannot be those of the embedding."""
    if tied and features != hidden:
        raise ValueError(f"tied needs hidden ({hidden}) equal to features ({features})")


def cross_entropy(logits___xV: jax.Array, tokens___: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """`loss___` in nats (float32) of tokens, `smoothing` of whose target is the uniform distribution."""
    logits = logits___xV.astype(jnp.float32)
    chosen = jnp.take_along_axis(logits, tokens___[..., None], axis=-1)[..., 0]
    if smoothing:
        chosen = (1 - smoothing) * chosen + smoothing * jnp.mean(logits, axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen


class Embedding(nnx.Module):
    """Embeds what is known before a step as one vector.

    Args:
        vocabulary: of the representation.
        features: D.
        rngs: for the initial values.
        told: number of values of each attribute.
    """

    def __init__(self, vocabulary: Vocabulary, features: int, rngs: nnx.Rngs, told: Sequence[int] = ()) -> None:
        width, size = vocabulary.width, vocabulary.size
        self.size, self.pitches = size, vocabulary.pitches
        self.tokens = nnx.List([table(rngs, size + 1, features, width**-0.5) for _ in range(width)])
        held = width if width > 1 else 0
        self.runs = nnx.List([table(rngs, LONGEST_RUN + 1, features, 0.5 * width**-0.5) for _ in range(held)])
        # Intervals are told only of voices: the fields of a compound event are no pitches.
        voices = width if vocabulary.layout == "voices" else 0
        self.pairs = list(combinations(range(voices), 2))
        pair_scale = 0.5 * max(len(self.pairs), 1) ** -0.5
        self.chords = nnx.List([table(rngs, 2 * size, features, pair_scale) for _ in self.pairs])
        self.arrivals = nnx.List([table(rngs, 2 * size, features, 0.5 * width**-0.5) for _ in range(voices)])
        self.phase = table(rngs, vocabulary.period, features, 0.5) if vocabulary.period > 1 else None
        self.attributes = nnx.List([table(rngs, values + 1, features, 0.5) for values in told])

    def __call__(self, inputs: Inputs) -> jax.Array:
        """`x_BxTxD`; without the T axis if the inputs have none."""
        tables = [table[...] for table in (*self.tokens, *self.runs, *self.chords, *self.arrivals)]
        previous, earlier = inputs.previous_BxTxK, inputs.earlier_BxTxK
        ids = [previous[..., k] for k in range(len(self.tokens))]
        ids += [inputs.runs_BxTxK[..., k] for k in range(len(self.runs))]
        ids += [self._interval(previous[..., low], previous[..., high]) for high, low in self.pairs]
        ids += [self._interval(earlier[..., k], previous[..., k]) for k in range(len(self.arrivals))]
        if self.phase is not None:
            tables.append(self.phase[...])
            ids.append(inputs.phase_BxT)
        for a, attribute in enumerate(self.attributes):
            untold = jnp.zeros_like(inputs.phase_BxT)
            tables.append(attribute[...])
            ids.append(untold if inputs.attributes_BxTxA is None else inputs.attributes_BxTxA[..., a])
        return lookup(tables, ids)

    def _interval(self, start_BxT: jax.Array, end_BxT: jax.Array) -> jax.Array:
        """`row_BxT` of an interval, from 1 on; 0 where either token is no pitch."""
        first, end = self.pitches
        pitched = (start_BxT >= first) & (start_BxT < end) & (end_BxT >= first) & (end_BxT < end)
        return jnp.where(pitched, end_BxT - start_BxT + self.size, 0)


class Head(nnx.Module):
    """Writes token k of a step.

    Args:
        k: which token.
        vocabulary: of the representation.
        features: D, of the trunk.
        hidden: H, width of the hidden layer.
        rngs: for the initial values.
        tied: the embedding table that stands in for the output weights, (V + 1)xH (Press and Wolf 2017).
        dropped: share of the hidden layer dropped in training.
    """

    def __init__(
        self,
        k: int,
        vocabulary: Vocabulary,
        features: int,
        hidden: int,
        rngs: nnx.Rngs,
        tied: nnx.Param[jax.Array] | None = None,
        dropped: float = 0.0,
    ) -> None:
        size = vocabulary.size
        self.tied, self.dropped = tied, dropped
        # So that they begin as large as weights of their own.
        self.tied_scale = 0.5 * (vocabulary.width / hidden) ** 0.5
        self.k = k
        self.size = size
        self.trunk = linear(rngs, features, hidden)
        self.bias = nnx.Param(jnp.zeros(hidden))
        self.absolute = linear(rngs, hidden, size, 0.5) if tied is None else None
        self.offset = nnx.Param(jnp.zeros(size))
        voices = vocabulary.width > 1
        self.relative = linear(rngs, hidden, 2 * size, 0.5) if voices else None
        self.run = table(rngs, LONGEST_RUN + 1, hidden, 0.3) if voices else None
        self.phase = table(rngs, vocabulary.period, hidden, 0.3) if vocabulary.period > 1 else None
        self.previous = table(rngs, size + 1, hidden, 0.3) if voices else None
        self.tokens = nnx.List([table(rngs, size, hidden, 0.3) for _ in range(k)])
        self.motions = nnx.List([table(rngs, 2 * size, hidden, 0.3) for _ in range(k)])
        self.chords = nnx.List([table(rngs, 2 * size, hidden, 0.3) for _ in range(k)])
        recalls = vocabulary.layout == "voices"
        self.recalled = table(rngs, 2 * size + 1, hidden, 0.3) if recalls else None
        # By whether the voices before this one went on as they did last time, and by how long the music has.
        rows = LONGEST_MATCH + 1
        self.match = table(rngs, 2 * rows, hidden, 0.3) if recalls else None
        trusting = np.concatenate([np.zeros(rows), np.minimum(np.arange(rows), 8) / 2])
        self.trust = nnx.Param(jnp.asarray(trusting, jnp.float32)) if recalls else None

    def __call__(
        self, trunk_BxTxD: jax.Array, inputs: Inputs, tokens_BxTxK: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """`logits_BxTxV` of token k; of the step's own tokens only those before k are read. Dropout only with a key."""
        x = project(trunk_BxTxD, self.trunk[...]) + self.bias[...]
        own = inputs.previous_BxTxK[..., self.k]
        rows: list[tuple[nnx.Param[jax.Array], jax.Array]] = []
        if self.previous is not None:
            rows.append((self.previous, own))
        if self.run is not None:
            rows.append((self.run, inputs.runs_BxTxK[..., self.k]))
        if self.phase is not None:
            rows.append((self.phase, inputs.phase_BxT))
        for j in range(self.k):
            token = tokens_BxTxK[..., j]
            rows.append((self.tokens[j], token))
            rows.append((self.motions[j], token - inputs.previous_BxTxK[..., j] + self.size))
            rows.append((self.chords[j], token - own + self.size))
        agreement = self._agreement(inputs, tokens_BxTxK)
        if self.recalled is not None and self.match is not None:
            recalled = inputs.recalled_BxTxK[..., self.k]
            rows.append((self.recalled, jnp.where(recalled < self.size, recalled - own + self.size, 2 * self.size)))
            rows.append((self.match, agreement))
        if rows:
            x += lookup([table[...] for table, _ in rows], [ids for _, ids in rows])
        x = dropout(jax.nn.relu(x), self.dropped, key)
        logits = project(x, self._output()) + self.offset[...]
        if self.relative is not None:
            logits += shifted(project(x, self.relative[...]), own)
        if self.trust is not None:
            again = jnp.arange(self.size) == inputs.recalled_BxTxK[..., self.k, None]
            logits += jnp.where(again, self.trust[...][agreement][..., None], 0)
        return logits

    def _agreement(self, inputs: Inputs, tokens_BxTxK: jax.Array) -> Any:
        """`row_BxT` of the tables of what is recalled; None where nothing is."""
        if inputs.match_BxT is None:
            return None
        agrees = jnp.all(tokens_BxTxK[..., : self.k] == inputs.recalled_BxTxK[..., : self.k], axis=-1)
        return jnp.where(agrees, inputs.match_BxT + LONGEST_MATCH + 1, inputs.match_BxT)

    def _output(self) -> jax.Array:
        """`weights_HxV`."""
        if self.absolute is not None:
            return self.absolute[...]
        assert self.tied is not None
        return self.tied[...][: self.size].T * self.tied_scale


class StepModel(nnx.Module):
    """A frame-wise model; a family adds the trunk.

    Args:
        vocabulary: of the representation.
        features: D.
        hidden: H, width of the heads' hidden layers.
        rngs: for the initial values.
        tied: whether each token's output weights are those of its embedding.
        told: number of values of each attribute that the model is told.
        dropped: share of the heads' hidden layers dropped in training.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        features: int,
        hidden: int,
        rngs: nnx.Rngs,
        tied: bool = False,
        told: Sequence[int] = (),
        dropped: float = 0.0,
    ) -> None:
        self.embedding = Embedding(vocabulary, features, rngs, told)
        tables = self.embedding.tokens if tied else [None] * vocabulary.width
        self.heads = nnx.List(
            [Head(k, vocabulary, features, hidden, rngs, table, dropped) for k, table in enumerate(tables)]
        )

    def trunk(self, x_BxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
        """`trunk_BxTxD` of whole windows; step t sees steps up to t. Dropout only with a key."""
        raise NotImplementedError

    def start(self, batch: int) -> Any:
        """The state before the first step of `batch` sequences, a tree of arrays."""
        raise NotImplementedError

    def advance(self, state: Any, x_BxD: jax.Array) -> tuple[Any, jax.Array]:
        """One step: the next state and `trunk_BxD`, equal to `trunk`'s up to rounding."""
        raise NotImplementedError

    def write(self, trunk_BxD: jax.Array, inputs: Inputs, draw: Draw, state: Any) -> tuple[jax.Array, Any]:
        """One step, token after token: `tokens_BxK`, and the last state that `draw` gave.

        Args:
            trunk_BxD: of the step.
            inputs: of the step, without the T axis.
            draw: from k, `logits_BxV` and a state to `token_B` and the next state; k may be traced.
            state: of the first draw.
        """
        tokens = jnp.zeros_like(inputs.previous_BxTxK)
        for k, head in enumerate(self.heads):
            token, state = draw(k, head(trunk_BxD, inputs, tokens), state)
            tokens = tokens.at[:, k].set(token)
        return tokens, state

    def learn(self, state: Any, trunk_BxD: jax.Array, inputs: Inputs, tokens_BxK: jax.Array) -> Any:
        """The next state (see `advance`) after `tokens_BxK` have been written, of a model that learns as it goes."""
        return state

    def log_probs(self, inputs: Inputs, tokens_BxTxK: jax.Array) -> jax.Array:
        """`logp_BxTxK` in nats of given tokens."""
        return -self._losses(inputs, tokens_BxTxK, None, 0.0)

    def losses(
        self, inputs: Inputs, tokens_BxTxK: jax.Array, mask_BxT: jax.Array, key: jax.Array, smoothing: float
    ) -> jax.Array:
        """`loss_BxTxK` in nats, whose mean over the steps that `mask_BxT` keeps is what training lowers.

        Args:
            inputs: of every step of a batch of windows.
            tokens_BxTxK: what is to be predicted.
            mask_BxT: 1.0 where a step belongs to a piece, 0.0 after its end.
            key: of dropout, and of whatever else a family draws.
            smoothing: weight of the uniform distribution in the target (Szegedy et al. 2016).
        """
        return self._losses(inputs, tokens_BxTxK, key, smoothing)

    def _losses(self, inputs: Inputs, tokens_BxTxK: jax.Array, key: jax.Array | None, smoothing: float) -> jax.Array:
        number = len(self.heads) + 1
        keys = [None] * number if key is None else list(jax.random.split(key, number))
        trunk = self.trunk(self.embedding(inputs), keys[0])
        each = [
            cross_entropy(head(trunk, inputs, tokens_BxTxK, head_key), tokens_BxTxK[..., k], smoothing)
            for k, (head, head_key) in enumerate(zip(self.heads, keys[1:], strict=True))
        ]
        return jnp.stack(each, axis=-1)
