"""Metrics of how much sounds together."""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import Notes
from dalsegno.metrics.base import PieceMetric


def sounding_ticks(notes: Notes) -> int:
    """Ticks during which at least one note sounds."""
    if not len(notes):
        return 0
    order = np.argsort(notes.start, kind="stable")
    start = notes.start[order].astype(np.int64)
    reached = np.maximum.accumulate(start + notes.duration[order])
    silence = np.maximum(start[1:] - reached[:-1], 0).sum()
    return int(reached[-1] - start[0] - silence)


def _polyphony(notes: Notes) -> float:
    ticks = sounding_ticks(notes)
    return float(notes.duration.sum(dtype=np.int64) / ticks) if ticks else np.nan


def _empty_pieces(notes: Notes) -> float:
    return float(len(notes) == 0)


polyphony = PieceMetric(_polyphony, "notes")
"""Mean number of notes that sound, over the time during which any sounds.

The sum of all durations over the length of their union: exact, on no grid. Two tracks in unison are two notes.
Undefined where nothing sounds.
"""

empty_pieces = PieceMetric(_empty_pieces, "share of pieces")
"""1 for a piece without notes, else 0; its mean says on how many pieces the other metrics are silent."""
