"""Two kinds of metric: a number of one piece, and a distance between histograms of two sets of pieces.

The third, a number of two sets of points, is `dalsegno.metrics.sets.SetMetric`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import Notes
from dalsegno.metrics.pieces import Pieces


@dataclass(frozen=True)
class PieceMetric:
    """A number of one piece; NaN where it is undefined, never a silent zero.

    Attributes:
        evaluate: from pieces to `values_P`, by columns: a loop over pieces costs more than the whole rest.
        unit: unit of the number.
    """

    evaluate: Callable[[Pieces], np.ndarray]
    unit: str

    def values(self, pieces: Sequence[Notes]) -> np.ndarray:
        """`values_P`; whoever asks several metrics of the same pieces makes them `Pieces` first."""
        return np.asarray(self.evaluate(Pieces.of(pieces)), float)

    def __call__(self, notes: Notes) -> float:
        return float(self.values([notes])[0])


@dataclass(frozen=True)
class HistogramDistance:
    """A distance between the histograms of two sets of pieces, each histogram summed over its pieces.

    Attributes:
        count: from the notes of one piece to counts on a grid that is the same for all music.
        divergence: from `shares_RxB` (rows sum to one) and `reference_B` to `distances_R`.
        unit: unit of the distance.
        axis: what the bins stand for.
        labels: one name a bin.
        pairs: whether what two pieces tell together is taken off the interval (`dalsegno.metrics.jackknife`).
    """

    count: Callable[[Notes], np.ndarray]
    divergence: Callable[[np.ndarray, np.ndarray], np.ndarray]
    unit: str
    axis: str
    labels: tuple[str, ...]
    pairs: bool = True

    def counts(self, pieces: Sequence[Notes]) -> np.ndarray:
        """`counts_PxB` of the pieces."""
        rows = [self.count(piece) for piece in pieces]
        return np.array(rows, float).reshape(len(rows), len(self.labels))

    def distances(self, counts_RxB: np.ndarray, reference_B: np.ndarray) -> np.ndarray:
        """Distance of each row to the reference; NaN for a row, or a reference, without counts."""
        shares = share(counts_RxB)
        reference = share(reference_B)
        defined = np.isfinite(shares).all(axis=-1) & np.isfinite(reference).all()
        result = np.full(len(shares), np.nan)
        if defined.any():
            result[defined] = self.divergence(shares[defined], reference)
        return result


def share(counts: np.ndarray) -> np.ndarray:
    """Counts as shares of their row's sum; NaN where the row is empty."""
    total = np.asarray(counts, float).sum(axis=-1, keepdims=True)
    return np.divide(counts, total, out=np.full(np.shape(counts), np.nan), where=total > 0)
