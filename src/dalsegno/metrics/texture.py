"""Metrics of how much sounds together, and of silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, ratio


def unions(start_N: np.ndarray, end_N: np.ndarray, key_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The time during which a note of each key sounds (e.g. of each pitch), notes that touch or overlap made one.

    Args:
        start_N, end_N: ticks on the common axis of `Pieces.origin`, sorted by start.
        key_N: a number from 0 to 127 a note; one key for all where absent.

    Returns:
        `row_U`, `until_U`: the note that each union begins with, and where the union ends; in order of the keys.
    """
    order = None
    if key_N is not None:
        small = key_N.astype(np.uint8)
        order = np.argsort(small, kind="stable")  # a radix sort, since the numbers are small
        # Each key on a stretch of the axis of its own.
        lift = small[order].astype(np.int64) * (int(end_N.max(initial=0)) + 1)
        start_N, end_N = start_N[order] + lift, end_N[order] + lift
    reached = np.maximum.accumulate(end_N)
    new = np.ones(len(start_N) + 1, bool)
    new[1:-1] = start_N[1:] > reached[:-1]
    first, last = new[:-1], new[1:]
    row = np.flatnonzero(first) if order is None else order[first]
    reached = reached[last]
    sounding = reached > start_N[first]
    until = reached if order is None else reached - lift[last]
    return (row, until) if sounding.all() else (row[sounding], until[sounding])


# Eleven octaves at most sound of a pitch class: twelve counts of five bits fit one number.
EVENTS = np.array([sign << 5 * pitch_class if pitch_class < 12 else 0 for sign in (1, -1) for pitch_class in range(16)])
"""What an event adds to the counts of the pitch classes that sound; see `segments`."""


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
    notes = pieces.pitched.by_time
    begin = notes.origin[notes.piece]
    start = notes.start + begin
    row, until = unions(start, notes.end + begin, notes.pitch)
    # A number an event that sorts by time and says which pitch class starts (or, from 16 on, ends).
    code = notes.pitch_class[row]
    events = np.sort(np.concatenate([start[row] * 32 + code, until * 32 + (code + 16)]))
    time, code = events >> 5, events & 31
    state = np.cumsum(EVENTS[code])
    sounding = np.cumsum(1 - (code >> 4 << 1))
    ticks = np.diff(time)
    first = np.searchsorted(time, notes.origin)
    ticks[first[(first > 0) & (first < len(time))] - 1] = 0  # from a piece to the next
    kept = np.flatnonzero(ticks)
    piece = np.repeat(np.arange(notes.number), np.diff(np.searchsorted(kept, first), append=len(kept)))
    return Segments(piece, time[kept] - notes.origin[piece], ticks[kept], sounding[kept], _fields_in_use(state[kept]))


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
    notes = pieces.by_time
    begin = notes.origin[notes.piece]
    start = notes.start + begin
    row, until = unions(start, notes.end + begin)
    return np.bincount(notes.piece[row], until - start[row], minlength=pieces.number)


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
