"""Metrics of the way from note to note within a track. Drums are left out; of a chord the highest note counts."""

from __future__ import annotations

import numpy as np

from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, in_order, packed, ratio, sorting


def melodic_steps(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_I`, `semitones_I`: from each onset of a track to its next, within each piece."""
    pitched = pieces.pitched
    voice = packed(pitched.piece, pitched.notes.track)
    onset = packed(voice, pitched.start)
    order = packed(onset, pitched.pitch)
    if not in_order(order):
        rows = sorting(order)
        voice, onset, pitch, piece = voice[rows], onset[rows], pitched.pitch[rows], pitched.piece[rows]
    else:
        pitch, piece = pitched.pitch, pitched.piece
    top = np.flatnonzero(np.diff(onset, append=-1))
    within = voice[top][1:] == voice[top][:-1]
    return piece[top][1:][within], np.diff(pitch[top])[within]


def _mean(pieces: Pieces, of: np.ndarray) -> np.ndarray:
    piece, _ = pieces.shared(melodic_steps)
    return ratio(np.bincount(piece, of, minlength=pieces.number), np.bincount(piece, minlength=pieces.number))


def _sizes(pieces: Pieces) -> np.ndarray:
    return np.abs(pieces.shared(melodic_steps)[1])


interval_size = PieceMetric(lambda pieces: _mean(pieces, _sizes(pieces)), "semitones")
"""Mean size of the melodic intervals in semitones, repeated notes (0) included. Undefined without intervals.

After the "average pitch interval" of Yang and Lerch, On the evaluation of generative models in music, 2020, which
counts the intervals inside chords, too (`interval_size_compat`).
"""

repeat_share = PieceMetric(lambda pieces: _mean(pieces, _sizes(pieces) == 0), "share of intervals")
"""Share of melodic intervals that repeat the pitch. Undefined without intervals."""

step_share = PieceMetric(
    lambda pieces: _mean(pieces, (_sizes(pieces) >= 1) & (_sizes(pieces) <= 2)), "share of intervals"
)
"""Share of melodic intervals that are steps, one or two semitones. Undefined without intervals.

Steps prevail in the world's melodies: Huron, Sweet Anticipation, 2006, chapter 5.
"""

leap_share = PieceMetric(lambda pieces: _mean(pieces, _sizes(pieces) >= 5), "share of intervals")
"""Share of melodic intervals that are leaps, a fourth (five semitones) or more. Undefined without intervals."""
