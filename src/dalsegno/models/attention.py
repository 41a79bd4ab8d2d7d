"""Causal attention over the last S steps, with or without learned relative positions.

On CPUs it is computed in blocks of queries that skip what lies in the future or beyond the span, one head at a time,
and the backward pass recomputes the weights from their log-sum (Dao et al. 2022). Elsewhere it is one dense product.

Legend of shape suffixes: B sequences, H heads, T steps, C channels of a head, S span, Q queries of a block,
M keys that a block sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dalsegno.models import steps

MOST_BLOCKS = 8
SMALLEST_BLOCK = 128
REFUSED = -1e30


def attend(
    q_BxHxTxC: jax.Array,
    k_BxHxTxC: jax.Array,
    v_BxHxTxC: jax.Array,
    span: int,
    distances_HxSxC: jax.Array | None = None,
) -> jax.Array:
    """`mixed_BxHxTxC`: each step's mean of the values of the last `span` steps, itself included.

    Args:
        q_BxHxTxC, k_BxHxTxC, v_BxHxTxC: queries, keys and values.
        span: S.
        distances_HxSxC: an embedding of every distance from 0, which queries are compared with as well (Huang et al.
            2019, equation 3).
    """
    if distances_HxSxC is not None:
        distances_HxSxC = distances_HxSxC[:, : q_BxHxTxC.shape[2]]
    q_BxHxTxC = q_BxHxTxC * q_BxHxTxC.shape[-1] ** -0.5
    if jax.default_backend() != "cpu":
        return dense(q_BxHxTxC, k_BxHxTxC, v_BxHxTxC, span, distances_HxSxC)
    # Loops over rows: XLA's batched product on CPUs takes two to five times as long as products of matrices.
    if distances_HxSxC is None:
        return steps.per_device(partial(blocks, span=span), q_BxHxTxC, k_BxHxTxC, v_BxHxTxC)
    every_BxHxSxC = jnp.broadcast_to(distances_HxSxC, (len(q_BxHxTxC), *distances_HxSxC.shape))
    return steps.per_device(
        lambda q, k, v, distances: blocks(q, k, v, span, distances), q_BxHxTxC, k_BxHxTxC, v_BxHxTxC, every_BxHxSxC
    )


def dense(
    q_BxHxTxC: jax.Array,
    k_BxHxTxC: jax.Array,
    v_BxHxTxC: jax.Array,
    span: int,
    distances_HxSxC: jax.Array | None = None,
) -> jax.Array:
    """The definition, for scaled queries; what no query may see is computed, too."""
    length = q_BxHxTxC.shape[2]
    block = _Block(0, length, 0, span)
    scores = jnp.einsum("BHQC,BHMC->BHQM", q_BxHxTxC, k_BxHxTxC, preferred_element_type=jnp.float32)
    if distances_HxSxC is not None:
        reversed_HxMxC = jax.vmap(block.reversed)(distances_HxSxC)
        by_distance = jnp.einsum("BHQC,HMC->BHQM", q_BxHxTxC, reversed_HxMxC, preferred_element_type=jnp.float32)
        scores += jax.vmap(jax.vmap(skewed))(by_distance)
    weights = jax.nn.softmax(jnp.where(block.seen, scores, REFUSED))
    return jnp.einsum("BHQM,BHMC->BHQC", weights.astype(v_BxHxTxC.dtype), v_BxHxTxC)


def skewed(by_distance_QxM: jax.Array) -> jax.Array:
    """From scores by distance to scores by key (Huang et al. 2019, section 3.4.1), without an index.

    Args:
        by_distance_QxM: column m of the last row holds the distance M - 1 - m.

    Returns:
        `scores_QxM`: row r moved left by Q - 1 - r, as the last row's query stands Q - 1 - r steps later. What enters
        from the right belongs to keys of the future and means nothing.
    """
    queries, keys = by_distance_QxM.shape
    flat = jnp.pad(by_distance_QxM, ((0, 0), (0, 1))).reshape(-1)
    return flat[queries - 1 : queries - 1 + queries * keys].reshape(queries, keys)


def _unskewed(grad_QxM: jax.Array) -> jax.Array:
    """The gradient of `skewed`."""
    queries, keys = grad_QxM.shape
    flat = jnp.pad(grad_QxM.reshape(-1), (queries - 1, 1))
    return flat.reshape(queries, keys + 1)[:, :keys]


class _Block(NamedTuple):
    """Queries `first … end - 1`, which see keys from `low` on."""

    first: int
    end: int
    low: int
    span: int

    @property
    def seen(self) -> np.ndarray:
        """Mask QxM."""
        distance = np.arange(self.first, self.end)[:, None] - np.arange(self.low, self.end)
        seen: np.ndarray = (distance >= 0) & (distance < self.span)
        return seen

    @property
    def queries(self) -> slice:
        return slice(self.first, self.end)

    @property
    def keys(self) -> slice:
        return slice(self.low, self.end)

    @property
    def told(self) -> int:
        """Distances that are embedded; greater ones are masked."""
        return min(self.end - self.low, self.span)

    def reversed(self, distances_SxC: jax.Array) -> jax.Array:
        """`rows_MxC` from the greatest distance to 0; those beyond the span are zero."""
        return jnp.pad(distances_SxC[: self.told][::-1], ((self.end - self.low - self.told, 0), (0, 0)))


def _cut(length: int, span: int) -> Iterator[_Block]:
    size = max(SMALLEST_BLOCK, -(-length // MOST_BLOCKS))
    for first in range(0, length, size):
        yield _Block(first, min(first + size, length), max(0, first - span + 1), span)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def blocks(
    q_BxHxTxC: jax.Array,
    k_BxHxTxC: jax.Array,
    v_BxHxTxC: jax.Array,
    span: int,
    distances_BxHxSxC: jax.Array | None = None,
) -> jax.Array:
    """`dense`, block by block; relative positions are given to every sequence."""
    return _forward(q_BxHxTxC, k_BxHxTxC, v_BxHxTxC, span, distances_BxHxSxC)[0]


def _forward(
    q: jax.Array, k: jax.Array, v: jax.Array, span: int, distances: jax.Array | None
) -> tuple[jax.Array, tuple[jax.Array | None, ...]]:
    mixed, logsum = _by_head(partial(_forward_head, span=span), q, k, v, distances)
    return mixed, (q, k, v, distances, mixed, logsum)


def _backward(span: int, saved: tuple[jax.Array | None, ...], grad: jax.Array) -> tuple[jax.Array | None, ...]:
    gradients: tuple[jax.Array | None, ...] = _by_head(partial(_backward_head, span=span), *saved, grad)
    return gradients


blocks.defvjp(_forward, _backward)


def _by_head(function: object, *arrays: jax.Array | None) -> tuple:
    """`function` of every head of every sequence, one after the other; the arrays' first axes are B and H."""
    batch, heads = next(array.shape[:2] for array in arrays if array is not None)
    flat = jax.tree.map(lambda x: x.reshape(batch * heads, *x.shape[2:]), arrays)
    results: tuple = jax.lax.map(lambda each: function(*each), flat)  # type: ignore[operator]
    return jax.tree.map(lambda x: x.reshape(batch, heads, *x.shape[1:]), results)


def _scores(q: jax.Array, k: jax.Array, distances: jax.Array | None, block: _Block) -> jax.Array:
    """`scores_QxM` in float32."""
    product = partial(jnp.matmul, preferred_element_type=jnp.float32)
    scores = product(q[block.queries], k[block.keys].T)
    if distances is not None:
        scores += skewed(product(q[block.queries], block.reversed(distances).T))
    return jnp.where(block.seen, scores, REFUSED)


def _forward_head(
    q_TxC: jax.Array, k_TxC: jax.Array, v_TxC: jax.Array, distances_SxC: jax.Array | None, span: int
) -> tuple[jax.Array, jax.Array]:
    """`mixed_TxC` and the logarithm of the sum of exponentials, Tx1."""
    mixed, logsums = [], []
    for block in _cut(len(q_TxC), span):
        scores = _scores(q_TxC, k_TxC, distances_SxC, block)
        greatest = jnp.max(scores, axis=-1, keepdims=True)
        weights = jnp.exp(scores - greatest)
        total = jnp.sum(weights, axis=-1, keepdims=True)
        mixed.append(((weights.astype(v_TxC.dtype) @ v_TxC[block.keys]) / total).astype(v_TxC.dtype))
        logsums.append(greatest + jnp.log(total))
    return jnp.concatenate(mixed), jnp.concatenate(logsums)


def _backward_head(
    q_TxC: jax.Array,
    k_TxC: jax.Array,
    v_TxC: jax.Array,
    distances_SxC: jax.Array | None,
    mixed_TxC: jax.Array,
    logsum_Tx1: jax.Array,
    grad_TxC: jax.Array,
    span: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    kind = q_TxC.dtype
    inner_Tx1 = jnp.sum(mixed_TxC.astype(jnp.float32) * grad_TxC, axis=-1, keepdims=True)
    grads_q = []
    # Few rows and many columns: XLA on CPUs is slower at the transposed product.
    grad_k, grad_v = jnp.zeros_like(k_TxC.T), jnp.zeros_like(v_TxC.T)
    grad_distances = None if distances_SxC is None else jnp.zeros_like(distances_SxC)
    for block in _cut(len(q_TxC), span):
        grad = grad_TxC[block.queries]
        weights = jnp.exp(_scores(q_TxC, k_TxC, distances_SxC, block) - logsum_Tx1[block.queries])
        grad_v = grad_v.at[:, block.keys].add(grad.T @ weights.astype(kind))
        onto_weights = jnp.matmul(grad, v_TxC[block.keys].T, preferred_element_type=jnp.float32)
        grad_scores = (weights * (onto_weights - inner_Tx1[block.queries])).astype(kind)
        grad_k = grad_k.at[:, block.keys].add(q_TxC[block.queries].T @ grad_scores)
        grad_q = grad_scores @ k_TxC[block.keys]
        if distances_SxC is not None and grad_distances is not None:
            by_distance = _unskewed(grad_scores)
            grad_q += by_distance @ block.reversed(distances_SxC)
            rows = (q_TxC[block.queries].T @ by_distance).T[::-1][: block.told]
            grad_distances = grad_distances.at[: block.told].add(rows)
        grads_q.append(grad_q)
    return jnp.concatenate(grads_q), grad_k.T, grad_v.T, grad_distances
