"""Which tokens a sampler keeps: grammar, temperature, top-k and nucleus, for NumPy and JAX alike."""

from __future__ import annotations

from typing import Any

REFUSED = -1e30


def restrict(logits_BxV: Any, allowed_BxV: Any, temperature: float, top_k: int, top_p: float, xp: Any) -> Any:
    """Scores whose softmax is the distribution to draw from.

    In this order: tokens that the grammar refuses are removed, logits are divided by the temperature, the `top_k`
    likeliest are kept (0: all), and of those the smallest set of likeliest tokens with joint probability of at
    least `top_p` (Holtzman et al. 2020). Tokens as likely as the last one kept are kept too.

    Args:
        logits_BxV: unnormalised log-probabilities.
        allowed_BxV: bool; every row has a True.
        temperature, top_k, top_p: see `dalsegno.study.Sampler`.
        xp: `numpy` or `jax.numpy`.
    """
    scores = xp.where(allowed_BxV, logits_BxV / temperature, REFUSED)
    size = scores.shape[-1]
    if 0 < top_k < size:
        threshold = xp.sort(scores, axis=-1)[:, size - top_k, None]
        scores = xp.where(scores >= threshold, scores, REFUSED)
    if top_p < 1:
        ordered = xp.sort(scores, axis=-1)[:, ::-1]
        weights = xp.exp(ordered - ordered[:, :1])
        before = (xp.cumsum(weights, axis=-1) - weights) / xp.sum(weights, axis=-1, keepdims=True)
        # The likeliest token has nothing before it, so at least one is kept.
        threshold = xp.min(xp.where(before < top_p, ordered, xp.inf), axis=-1, keepdims=True)
        scores = xp.where(scores >= threshold, scores, REFUSED)
    return scores
