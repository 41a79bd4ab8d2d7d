"""Several pieces as one table: what metrics are computed on, so that a thousand pieces cost one pass over columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, overload

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER, Notes, join_notes

SIXTEENTH = TICKS_PER_QUARTER // 4
SIXTEENTHS_A_BAR = 16

T = TypeVar("T")


class Pieces(Sequence[Notes]):
    """A sequence of pieces that also gives their columns at once.

    Attributes:
        notes: the notes of all pieces; the column `piece` counts 0, 1, … and is sorted.
        number: how many pieces, those without notes included.
        piece, start, end, pitch: columns as int64, so that no sum overflows.
    """

    def __init__(self, notes: Notes, number: int) -> None:
        if len(notes) and not 0 <= notes.piece[0] <= notes.piece[-1] < number:
            raise ValueError(f"a table of {number} pieces holds notes of others")
        self.notes = notes
        self.number = number
        self._shared: dict[Callable, Any] = {}

    # Made when they are asked for: many metrics want two of the four.
    @cached_property
    def piece(self) -> np.ndarray:
        return self.notes.piece.astype(np.int64)

    @cached_property
    def start(self) -> np.ndarray:
        return self.notes.start.astype(np.int64)

    @cached_property
    def end(self) -> np.ndarray:
        return self.start + self.notes.duration

    @cached_property
    def pitch(self) -> np.ndarray:
        return self.notes.pitch.astype(np.int64)

    @classmethod
    def of(cls, pieces: Sequence[Notes]) -> Pieces:
        """The same pieces as one table."""
        return pieces if isinstance(pieces, cls) else cls(join_notes(pieces), len(pieces))

    def __len__(self) -> int:
        return self.number

    @overload
    def __getitem__(self, index: int) -> Notes: ...
    @overload
    def __getitem__(self, index: slice) -> list[Notes]: ...
    def __getitem__(self, index: int | slice) -> Notes | list[Notes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.number))]
        if not -self.number <= index < self.number:
            raise IndexError(index)
        low, high = np.searchsorted(self.piece, [index % self.number, index % self.number + 1])
        return self.notes[int(low) : int(high)]

    def shared(self, make: Callable[[Pieces], T]) -> T:
        """`make(self)`, computed once for all metrics that ask for it."""
        if make not in self._shared:
            self._shared[make] = make(self)
        result: T = self._shared[make]
        return result

    @property
    def pitched(self) -> Pieces:
        """The pieces without drums, whose numbers name instruments and not pitches."""
        return self.shared(_pitched)

    @property
    def drums(self) -> Pieces:
        """The pieces' drums alone."""
        return self.where(self.notes.program == DRUMS)

    def where(self, rows: np.ndarray) -> Pieces:
        """The same pieces with the notes that a mask or index array chooses, pieces still in order."""
        # A mask would be read anew for each of seven columns.
        return Pieces(self.notes[np.flatnonzero(rows) if rows.dtype == bool else rows], self.number)

    @property
    def by_time(self) -> Pieces:
        """The notes sorted by piece, start, pitch and duration."""
        return self.shared(_by_time)

    @property
    def pitch_class(self) -> np.ndarray:
        """0 to 11 a note, C the lowest."""
        return self.shared(_pitch_class)

    @property
    def sizes(self) -> np.ndarray:
        """`notes_P`."""
        return np.bincount(self.piece, minlength=self.number)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """`sums_P` of a value a note."""
        return np.bincount(self.piece, values, minlength=self.number)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """`means_P` of a value a note; NaN for a piece without notes."""
        return ratio(self.sum(values), self.sizes)

    def counts(self, bins: np.ndarray, size: int) -> np.ndarray:
        """`counts_PxB`: notes in each of `size` bins."""
        return counts(self.piece, bins, self.number, size)

    @property
    def first(self) -> np.ndarray:
        """`ticks_P` of the first onset; NaN for a piece without notes."""
        return reduce(np.minimum, self.piece, self.start, self.number)

    @property
    def last(self) -> np.ndarray:
        """`ticks_P` of the last release; NaN for a piece without notes."""
        return self.shared(_last)


def _pitched(pieces: Pieces) -> Pieces:
    drums = pieces.notes.program == DRUMS
    return pieces.where(~drums) if drums.any() else pieces


def _last(pieces: Pieces) -> np.ndarray:
    return reduce(np.maximum, pieces.piece, pieces.end, pieces.number)


def _pitch_class(pieces: Pieces) -> np.ndarray:
    return pieces.pitch % 12


def _by_time(pieces: Pieces) -> Pieces:
    time = packed(pieces.piece, pieces.start)
    tie = packed(packed(time, pieces.pitch), pieces.end - pieces.start)
    return pieces.where(sorting(tie))


def packed(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """One int64 a row that sorts by `high`, then by `low` (none negative)."""
    size = int(low.max(initial=0)) + 1
    if int(high.max(initial=0)) >= 2**62 // size:
        high = np.unique(high, return_inverse=True)[1]
    return high * size + low


def in_order(values: np.ndarray) -> bool:
    """Whether no value is less than the one before."""
    return bool((values[1:] >= values[:-1]).all())


def sorting(keys: np.ndarray) -> np.ndarray:
    """The rows that put keys in order, equal ones as they stood.

    By merging the runs that are in order, of which tables of music have long ones: several times faster than quicksort.
    """
    return np.argsort(keys, kind="stable")


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotients; NaN where the divisor is 0 or NaN."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def counts(
    piece: np.ndarray, bins: np.ndarray, pieces: int, size: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """`counts_PxB` (sums of weights, if given) of rows that fall into a bin of a piece."""
    return np.bincount(piece * size + bins, weights, minlength=pieces * size).reshape(pieces, size)


def reduce(ufunc: np.ufunc, piece: np.ndarray, values: np.ndarray, pieces: int) -> np.ndarray:
    """`ufunc` over the rows of each piece (rows sorted by piece); NaN for a piece without rows."""
    result = np.full(pieces, np.nan)
    if len(piece):
        first = np.flatnonzero(np.diff(piece, prepend=-1))
        result[piece[first]] = ufunc.reduceat(values, first)
    return result


def entropy(counts_PxB: np.ndarray) -> np.ndarray:
    """Shannon entropy in bits of each row; NaN for a row without counts."""
    total = counts_PxB.sum(axis=-1)
    # H = log2(n) - sum c log2(c) / n needs one logarithm a bin and no division.
    used = np.maximum(counts_PxB, 1) if counts_PxB.dtype.kind in "iu" else np.where(counts_PxB > 0, counts_PxB, 1)
    plain = np.log2(np.maximum(total, 1e-300)) - ratio((counts_PxB * np.log2(used)).sum(axis=-1), total)
    return np.maximum(plain, 0.0)


def grouped_entropy(keys: np.ndarray, piece: np.ndarray, weights: np.ndarray, pieces: int) -> np.ndarray:
    """Entropy in bits of each piece's weights by key; equal keys stand together and belong to one piece."""
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    mass = np.add.reduceat(weights, first) if len(first) else np.zeros(0)
    owner = piece[first]
    total = np.bincount(owner, mass, minlength=pieces)
    spread = np.bincount(owner, mass * np.log2(np.where(mass > 0, mass, 1)), minlength=pieces)
    return np.maximum(np.log2(np.maximum(total, 1e-300)) - ratio(spread, total), 0.0)


@dataclass(frozen=True)
class Tracks:
    """The tracks of all pieces that have notes, one after the other.

    Attributes:
        piece_T: piece of each track, sorted.
        note_N: the track of each note, as a row of `piece_T`.
        rank_T: 0, 1, … within the piece.
    """

    piece_T: np.ndarray
    note_N: np.ndarray
    rank_T: np.ndarray


def tracks(pieces: Pieces) -> Tracks:
    """The tracks of pieces; ask for them with `pieces.shared(tracks)`."""
    key = packed(pieces.piece, pieces.notes.track)
    order = sorting(key)
    new = np.diff(key[order], prepend=-1) != 0
    number = np.empty(len(key), np.int64)
    number[order] = np.cumsum(new) - 1
    piece = pieces.piece[order][new]
    return Tracks(piece, number, np.arange(len(piece)) - np.searchsorted(piece, piece))


@dataclass(frozen=True)
class Bars:
    """The bars of all pieces, one after the other: from tick 0 to the last onset, four quarters each.

    Attributes:
        counts_P: bars of each piece.
        piece_B, bar_B: piece of a bar, and its number within the piece.
        note_N: the bar of each note (by its onset, rounded to a sixteenth).
        position_N: the sixteenth of each note within its bar.
        onset_Bx16: whether any note starts there.
    """

    counts_P: np.ndarray
    piece_B: np.ndarray
    bar_B: np.ndarray
    note_N: np.ndarray
    position_N: np.ndarray
    onset_Bx16: np.ndarray

    @property
    def heard(self) -> np.ndarray:
        """Whether any note starts in the bar."""
        return np.asarray(self.onset_Bx16.any(axis=1))


def bars(pieces: Pieces) -> Bars:
    """The bars of pieces; ask for them with `pieces.shared(bars)`."""
    sixteenth = (pieces.start + SIXTEENTH // 2) // SIXTEENTH
    bar, position = np.divmod(sixteenth, SIXTEENTHS_A_BAR)
    counts_P = np.nan_to_num(reduce(np.maximum, pieces.piece, bar + 1, pieces.number)).astype(np.int64)
    before = np.cumsum(counts_P) - counts_P
    piece_B = np.repeat(np.arange(pieces.number), counts_P)
    row = before[pieces.piece] + bar
    onset = np.zeros((len(piece_B), SIXTEENTHS_A_BAR), bool)
    onset[row, position] = True
    return Bars(counts_P, piece_B, np.arange(len(piece_B)) - before[piece_B], row, position, onset)


def spans(pieces: Pieces, ticks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut each sounding note at every multiple of `ticks`.

    Returns:
        `row_R` (the note), `unit_R` (which multiple), `sounding_R` (ticks within that unit).
    """
    first = pieces.start // ticks
    units = np.where(pieces.end > pieces.start, -(-pieces.end // ticks) - first, 0)
    row = np.repeat(np.arange(len(units)), units)
    unit = np.arange(len(row)) - np.repeat(np.cumsum(units) - units, units) + first[row]
    return row, unit, np.minimum(pieces.end[row], (unit + 1) * ticks) - np.maximum(pieces.start[row], unit * ticks)
