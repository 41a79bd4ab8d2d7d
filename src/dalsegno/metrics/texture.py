"""Metrics of how much sounds together, and of silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, ratio


@dataclass(frozen=True)
class Segments:
    """The time of all pieces cut wherever a pitch starts or ends; silences between are segments, too.

    Attributes:
        piece, start, ticks: of each segment, sorted.
        pitches: how many different pitches sound.
        classes: the set of pitch classes that sound, as twelve bits, C the lowest.
    """

    piece: np.ndarray
    start: np.ndarray
    ticks: np.ndarray
    pitches: np.ndarray
    classes: np.ndarray


def segments(pieces: Pieces) -> Segments:
    """What sounds of the pitched notes; ask for it with `pieces.shared(segments)`."""
    from dalsegno.metrics import sweeps

    notes = pieces.pitched.by_time
    return Segments(*sweeps.segments(notes.piece, notes.start, notes.end, notes.pitch))


def filled(pieces: Pieces, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """`filled_P`, `all_P`: units of `ticks` in which a note sounds, and units from tick 0 to the last release."""
    last = np.nan_to_num(pieces.last).astype(np.int64)
    units = -(-last // ticks)
    before = np.cumsum(units + 1) - (units + 1)
    sounding = pieces.end > pieces.start
    row = before[pieces.piece[sounding]]
    total = int((units + 1).sum())
    change = np.bincount(row + pieces.start[sounding] // ticks, minlength=total)
    change -= np.bincount(row + -(-pieces.end[sounding] // ticks), minlength=total)
    covered = np.cumsum(change) > 0
    return np.bincount(np.repeat(np.arange(pieces.number), units + 1), covered, minlength=pieces.number), units


def sounding_ticks(pieces: Pieces) -> np.ndarray:
    """`ticks_P` during which at least one note sounds."""
    from dalsegno.metrics import sweeps

    notes = pieces.by_time
    ticks_P: np.ndarray = sweeps.sounding_ticks(notes.piece, notes.start, notes.end, notes.number)
    return ticks_P


def _polyphony(pieces: Pieces) -> np.ndarray:
    return ratio(pieces.sum(pieces.end - pieces.start), sounding_ticks(pieces))


def _polyphony_rate(pieces: Pieces) -> np.ndarray:
    parts = pieces.shared(segments)
    together = np.bincount(parts.piece, parts.ticks * (parts.pitches >= 2), minlength=pieces.number)
    return ratio(together, np.bincount(parts.piece, parts.ticks, minlength=pieces.number))


def _empty_rate(pieces: Pieces, ticks: int) -> np.ndarray:
    used, units = filled(pieces, ticks)
    return np.where(used > 0, 1 - ratio(used, units), np.nan)


polyphony = PieceMetric(_polyphony, "notes")
"""Mean number of notes that sound, over the time during which any sounds.

The sum of all durations over the length of their union: exact, on no grid. Two tracks in unison are two notes.
Undefined where nothing sounds.
"""

polyphony_rate = PieceMetric(_polyphony_rate, "share of time")
"""Share of the time from first onset to last release in which two pitches or more sound. Drums are left out.

Exact, on no grid. Undefined where nothing sounds. Source: Dong and others, MuseGAN, AAAI 2018 ("polyphonicity").
"""

empty_beat_rate = PieceMetric(lambda pieces: _empty_rate(pieces, TICKS_PER_QUARTER), "share of beats")
"""Share of the beats (quarters from tick 0 until the last release) in which no note sounds; drums count.

A note that ends on a beat does not fill it. Undefined where nothing sounds. Source: Dong and others, Pypianoroll, 2018.
"""

empty_bar_rate = PieceMetric(lambda pieces: _empty_rate(pieces, TICKS_PER_BAR), "share of bars")
"""Share of the bars (of four quarters, from tick 0 until the last release) in which no note sounds; drums count."""

empty_pieces = PieceMetric(lambda pieces: (pieces.sizes == 0).astype(float), "share of pieces")
"""1 for a piece without notes, else 0; its mean says on how many pieces the other metrics are silent."""
