"""Faults of voice leading, for pieces whose pitched tracks are two to eight single voices.

Voices are ordered by their mean pitch, highest first, so that the order of a file's tracks does not matter.
"""

from __future__ import annotations

import numpy as np

from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, ratio


def voice_leading(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`moves_Px3` and `neighbours_Px2`; see `dalsegno.metrics.sweeps.voice_leading`."""
    from dalsegno.metrics import sweeps

    notes = pieces.pitched.by_time
    lasts = notes.end > notes.start
    notes = notes if lasts.all() else notes.where(lasts)
    counted: tuple[np.ndarray, np.ndarray] = sweeps.voice_leading(
        notes.piece, notes.notes.track, notes.start, notes.end, notes.pitch, notes.number
    )
    return counted


def _share_of_moves(pieces: Pieces, kind: int) -> np.ndarray:
    moves_Px3, _ = pieces.shared(voice_leading)
    return ratio(moves_Px3[:, kind], moves_Px3[:, 0])


def _crossings(pieces: Pieces) -> np.ndarray:
    _, neighbours_Px2 = pieces.shared(voice_leading)
    return ratio(neighbours_Px2[:, 1], neighbours_Px2[:, 0])


parallel_fifths = PieceMetric(lambda pieces: _share_of_moves(pieces, 1), "share of moves")
"""Share of the moves of two voices at once that go in one direction from a perfect fifth to a perfect fifth.

Fifths and octaves may be compound; a move is a change of pitch of both voices at one onset, neither resting before it.
Undefined unless the pitched tracks are two to eight voices that never overlap themselves, and without such moves.
Source: the rule of every counterpoint book, e.g. Aldwell, Schachter and Cadwallader, Harmony and Voice Leading.
"""

parallel_octaves = PieceMetric(lambda pieces: _share_of_moves(pieces, 2), "share of moves")
"""As `parallel_fifths`, for octaves and unisons."""

voice_crossings = PieceMetric(_crossings, "share of pairs")
"""Share of the pairs of neighbouring voices, at the onsets of a piece, in which the lower voice is above the higher.

Undefined as `parallel_fifths` is, and where no two voices sound together.
"""
