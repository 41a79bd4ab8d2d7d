"""Causal attention: blocks against the definition, relative positions against an index."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dalsegno.models import attention

B, H, T, C = 2, 2, 21, 4


def given(dtype=jnp.float32) -> list[jax.Array]:
    shapes = ((B, H, T, C), (B, H, T, C), (B, H, T, C), (H, T, C))
    return [
        jax.random.normal(key, shape, dtype)
        for key, shape in zip(jax.random.split(jax.random.key(0), 4), shapes, strict=True)
    ]


def by_index(q, k, v, span, distances) -> np.ndarray:
    """Word by word: every query looks back at every step within the span."""
    q, k, v, distances = (np.asarray(x, np.float64) for x in (q, k, v, distances))
    mixed = np.zeros(v.shape)
    for b, h, t in np.ndindex(B, H, T):
        seen = range(max(0, t - span + 1), t + 1)
        scores = np.array([q[b, h, t] @ (k[b, h, s] + distances[h, t - s]) for s in seen]) / C**0.5
        weights = np.exp(scores - scores.max())
        mixed[b, h, t] = weights @ v[b, h, list(seen)] / weights.sum()
    return mixed


@pytest.mark.parametrize("relative", [False, True], ids=["plain", "relative"])
@pytest.mark.parametrize("span", [1, 6, T])
def test_blocks_are_the_definition(span, relative, monkeypatch):
    monkeypatch.setattr(attention, "SMALLEST_BLOCK", 8)
    q, k, v, distances = given()
    told = distances[:, :span] if relative else None
    padded = jnp.zeros_like(distances).at[:, :span].set(told) if relative else jnp.zeros_like(distances)
    np.testing.assert_allclose(
        attention.attend(q, k, v, span, told), by_index(q, k, v, span, padded), rtol=1e-5, atol=1e-5
    )
    every = None if told is None else jnp.broadcast_to(told, (B, *told.shape))
    target = jax.random.normal(jax.random.key(1), v.shape)
    arguments = (q, k, v, told) if relative else (q, k, v)
    places = tuple(range(len(arguments)))

    def blocks(q, k, v, told=None):
        every = None if told is None else jnp.broadcast_to(told, (B, *told.shape))
        return jnp.sum(attention.blocks(q, k, v, span, every) * target)

    def dense(q, k, v, told=None):
        return jnp.sum(attention.dense(q, k, v, span, told) * target)

    np.testing.assert_allclose(
        attention.blocks(q, k, v, span, every), attention.dense(q, k, v, span, told), rtol=1e-5, atol=1e-5
    )
    ours, plain = jax.grad(blocks, places)(*arguments), jax.grad(dense, places)(*arguments)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_half_precision_keeps_its_type(monkeypatch):
    monkeypatch.setattr(attention, "SMALLEST_BLOCK", 8)
    q, k, v, distances = given(jnp.bfloat16)
    every = jnp.broadcast_to(distances, (B, *distances.shape))
    mixed, back = jax.vjp(lambda q, k, v, d: attention.blocks(q, k, v, 6, d), q, k, v, every)
    assert {mixed.dtype, *(gradient.dtype for gradient in back(mixed))} == {jnp.dtype(jnp.bfloat16)}
    exact = attention.dense(*(x.astype(jnp.float32) for x in (q, k, v)), 6, distances.astype(jnp.float32))
    np.testing.assert_allclose(mixed.astype(jnp.float32), exact, atol=0.05)
