"""Metrics of how much sounds together, and of silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, packed, ratio, sorting


@dataclass(frozen=True)
class Intervals:
    """Unions of sounding time, disjoint within a key of a piece; in order of time.

    Attributes:
        piece, key, start, end: one entry an interval; ticks.
    """

    piece: np.ndarray
    key: np.ndarray
    start: np.ndarray
    end: np.ndarray


def unions(pieces: Pieces, key_N: np.ndarray) -> Intervals:
    """The time during which a note of each key sounds (e.g. of each pitch), notes that touch or overlap made one.

    Args:
        pieces: with notes in order of time.
        key_N: a number from 0 to 127 a note.
    """
    if not len(key_N):
        return Intervals(pieces.piece, key_N, pieces.start, pieces.end)
    order = np.argsort(key_N.astype(np.uint8), kind="stable")  # a radix sort, since the numbers are small
    piece, key, start, end = (x[order] for x in (pieces.piece, key_N, pieces.start, pieces.end))
    other = np.ones(len(piece), bool)
    other[1:] = (piece[1:] != piece[:-1]) | (key[1:] != key[:-1])
    # A running maximum that no key or piece hands on to the next.
    lift = np.cumsum(other) * (int(end.max()) + 1)
    reached = np.maximum.accumulate(end + lift) - lift
    new = other
    new[1:] |= start[1:] > reached[:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(piece)) - 1
    # Back in order of time, by the place of each union's first note.
    until = np.zeros(len(piece), np.int64)
    until[order[first]] = reached[last]
    rows = np.flatnonzero(until > pieces.start)
    return Intervals(pieces.piece[rows], key_N[rows], pieces.start[rows], until[rows])


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
    in_time = pieces.pitched.by_time
    notes = unions(in_time, in_time.pitch)
    # Eleven octaves at most sound of a pitch class: twelve counts of five bits fit one number.
    value = 1 << 5 * (notes.key % 12)
    piece = np.concatenate([notes.piece, notes.piece])
    time = np.concatenate([notes.start, notes.end])
    order = sorting(packed(piece, time))
    piece, time = piece[order], time[order]
    state = np.cumsum(np.concatenate([value, -value])[order])
    sounding = np.cumsum(np.where(order < len(value), 1, -1))
    ticks = np.diff(time)
    kept = np.flatnonzero((piece[1:] == piece[:-1]) & (ticks > 0))
    return Segments(piece[kept], time[kept], ticks[kept], sounding[kept], _fields_in_use(state[kept]))


def _fields_in_use(state: np.ndarray) -> np.ndarray:
    """Which of twelve fields of five bits are not zero, as twelve bits: by shifts, not by a loop over fields."""
    some = state | state >> 1
    some |= some >> 2
    some |= state >> 4
    some &= sum(1 << 5 * field for field in range(12))
    # Bits at 0, 5, 10 … become pairs at 0, 10, 20 …, then fours at 0, 20 and 40.
    some |= some >> 4
    some &= sum(3 << 10 * pair for pair in range(6))
    some |= some >> 8
    return np.asarray(some & 0xF | some >> 16 & 0xF0 | some >> 32 & 0xF00)


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
    time = unions(pieces.by_time, np.zeros(len(pieces.start), np.int64))
    return np.bincount(time.piece, time.end - time.start, minlength=pieces.number)


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
