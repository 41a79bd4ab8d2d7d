"""Probes of a likelihood: does it look ahead, and do its probabilities sum to one? Neither needs to know the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dalsegno.metrics.likelihood import Likelihood
from dalsegno.representations.base import Packed

PIECES = 8
STEPS = 8
CUTS = (0.25, 0.5, 0.75)
TOLERANCE = 5e-4  # nats, and probability


def probe(model: Likelihood, packed: Packed) -> dict[str, Any]:
    """Two errors of a model on test pieces, each 0 up to rounding.

    Returns:
        `foresight`, nats: how far the beginning of a piece is scored otherwise where the rest is cut off;
        `probability_sum`: how far the probabilities of all symbols, at the first and last token of a step, sum from 1.
    """
    pieces = [np.asarray(packed.piece(i)) for i in packed.indices("test")[:PIECES]]
    return {
        "foresight": float(f"{foresight(model, pieces):.6g}"),
        "probability_sum": float(f"{excess(model, pieces[0], packed.vocabulary.size):.6g}"),
    }


def foresight(model: Likelihood, pieces: Sequence[np.ndarray]) -> float:
    """The largest change of a token's log-probability, in nats, when what follows a cut of its piece is taken away."""
    whole = model.log_probs(list(pieces))
    worst = 0.0
    for share in CUTS:
        cut = model.log_probs([piece[: max(1, int(share * len(piece)))] for piece in pieces])
        worst = max(worst, *(float(np.abs(a[: len(b)] - b).max()) for a, b in zip(whole, cut, strict=True)))
    return worst


def excess(model: Likelihood, piece_TxK: np.ndarray, symbols: int) -> float:
    """How far the probabilities of all symbols at one place of a piece sum from 1, at worst."""
    start = piece_TxK[:STEPS]
    worst = 0.0
    for k in sorted({0, start.shape[1] - 1}):
        variants = []
        for symbol in range(symbols):
            variant = start.copy()
            variant[-1, k] = symbol
            variants.append(variant)
        total = sum(float(np.exp(logp[-1, k], dtype=float)) for logp in model.log_probs(variants))
        worst = max(worst, abs(total - 1))
    return worst
