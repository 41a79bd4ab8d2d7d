"""Metrics of the way from note to note within a track. Drums are left out; of a chord the highest note counts."""

from __future__ import annotations

import numpy as np

from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, counts, ratio

WIDEST = 127


def melodic_steps(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_I`, `semitones_I`: from each onset of a track to its next, within each piece."""
    from dalsegno.metrics import sweeps

    pitched = pieces.pitched
    columns = (pitched.piece, pitched.notes.track, pitched.start, pitched.pitch)
    if not sweeps.in_score_order(*columns):
        rows = np.lexsort(columns[::-1])
        columns = (columns[0][rows], columns[1][rows], columns[2][rows], columns[3][rows])
    steps: tuple[np.ndarray, np.ndarray] = sweeps.melodic_steps(*columns)
    return steps


def interval_sizes(pieces: Pieces) -> np.ndarray:
    """`counts_Px128` of melodic intervals by their size in semitones."""
    piece, semitones = pieces.shared(melodic_steps)
    return counts(piece, np.abs(semitones), pieces.number, WIDEST + 1)


def _share(pieces: Pieces, least: int, most: int) -> np.ndarray:
    sizes = pieces.shared(interval_sizes)
    return ratio(sizes[:, least : most + 1].sum(axis=1), sizes.sum(axis=1))


def _interval_size(pieces: Pieces) -> np.ndarray:
    sizes = pieces.shared(interval_sizes)
    return ratio(sizes @ np.arange(WIDEST + 1), sizes.sum(axis=1))


interval_size = PieceMetric(_interval_size, "semitones")
"""Mean size of the melodic intervals in semitones, repeated notes (0) included. Undefined without intervals.

After the "average pitch interval" of Yang and Lerch, On the evaluation of generative models in music, 2020, which
counts the intervals inside chords, too (`interval_size_compat`).
"""

repeat_share = PieceMetric(lambda pieces: _share(pieces, 0, 0), "share of intervals")
"""Share of melodic intervals that repeat the pitch. Undefined without intervals."""

step_share = PieceMetric(lambda pieces: _share(pieces, 1, 2), "share of intervals")
"""Share of melodic intervals that are steps, one or two semitones. Undefined without intervals.

Steps prevail in the world's melodies: Huron, Sweet Anticipation, 2006, chapter 5.
"""

leap_share = PieceMetric(lambda pieces: _share(pieces, 5, WIDEST), "share of intervals")
"""Share of melodic intervals that are leaps, a fourth (five semitones) or more. Undefined without intervals."""
