"""Three views of a piece that do not change when it is transposed, as streams of tokens.

Time is counted on a grid of twelfths of a quarter note. A token of 0 separates; it matches nothing.

- *lines*: each track's skyline from note to note, a token an (interval, onset difference);
- *texture*: the notes that begin within each beat, by onset and by pitch above the lowest of them, and the move of
  that lowest note from beat to beat: two tokens a beat, so that a match of k beats needs no context;
- *skeleton*: what sounds on each beat in each track, a token the interval to the beat before. Ornaments between the
  beats leave it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER, Notes

GRID = 12
"""Grid steps a quarter note: sixteenths and triplets."""
BAR = GRID * TICKS_PER_BAR // TICKS_PER_QUARTER
STREAMS = ("lines", "texture", "skeleton")
_NOTHING = np.uint32(2)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Bars:
    """The bars of a piece in which something begins, as wholes.

    Attributes:
        number: int32, the bar, from 0.
        content: uint64, equal for bars of equal onsets, pitches above the lowest, and durations (up to the bar's end).
        lowest: uint8, the lowest pitch that begins; equal content and lowest is the same bar in the same key.
        notes: int32, how many begin, unisons of tracks counted once.
    """

    number: np.ndarray
    content: np.ndarray
    lowest: np.ndarray
    notes: np.ndarray


@dataclass(frozen=True)
class Gridded:
    """The notes of one piece on the grid, sorted by start and pitch, no two alike in track, start and pitch.

    Attributes:
        start, end: int32, grid steps.
        pitch, track: int16.
    """

    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    track: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def beats(self) -> int:
        """Beats up to the last onset."""
        return int(self.start.max(initial=-1)) // GRID + 1


def gridded(notes: Notes, begin: int = 0) -> Gridded:
    """The notes of one piece that start at tick `begin` or later, counted from there.

    Drums count only where a piece holds nothing else.
    """
    kept = notes.pitched()
    kept = kept if len(kept) else notes
    kept = kept[kept.start >= begin]
    start = np.rint((kept.start - begin) * (GRID / TICKS_PER_QUARTER)).astype(np.int32)
    end = np.rint((kept.end - begin) * (GRID / TICKS_PER_QUARTER)).astype(np.int32)
    order = np.lexsort((end, kept.track, kept.pitch, start))
    start, end, pitch, track = start[order], end[order], kept.pitch[order], kept.track[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(start) != 0) | (np.diff(pitch) != 0) | (np.diff(track) != 0)
    return Gridded(start[fresh], np.maximum(end, start + 1)[fresh], pitch[fresh], track[fresh])


def streams(piece: Gridded) -> dict[str, np.ndarray]:
    """The streams of one piece, uint32 each; `texture` has tokens 2b (content) and 2b + 1 (move) for beat b."""
    return {"lines": lines(piece)[0], "texture": texture(piece), "skeleton": skeleton(piece)}


def lines(piece: Gridded) -> tuple[np.ndarray, np.ndarray]:
    """The line tokens (uint32 `[n]`) and the row of the note that each begins from (int64 `[n]`).

    Token k leads from its note to the track's next; the last note of a track has the token 0.
    """
    order = np.lexsort((-piece.pitch, piece.start, piece.track))
    track, start = piece.track[order], piece.start[order]
    top = np.ones(len(order), bool)
    top[1:] = (np.diff(track) != 0) | (np.diff(start) != 0)
    order = order[top]
    tokens = np.zeros(len(order), np.uint32)
    if len(order) > 1:
        interval = np.clip(np.diff(piece.pitch[order].astype(np.int64)), -63, 63) + 64
        step = np.clip(np.diff(piece.start[order].astype(np.int64)), 0, 4095)
        same = np.diff(piece.track[order]) == 0
        tokens[:-1] = np.where(same, interval * 4096 + step, 0)
    return tokens, order


def texture(piece: Gridded) -> np.ndarray:
    """The texture tokens, uint32 `[2 * beats]`, the last 0; unisons of tracks count once."""
    beats = piece.beats
    tokens = np.zeros(2 * beats, np.uint32)
    if not beats:
        return tokens
    fresh = np.ones(len(piece), bool)
    fresh[1:] = (np.diff(piece.start) != 0) | (np.diff(piece.pitch) != 0)
    start, pitch = piece.start[fresh], piece.pitch[fresh].astype(np.int64)
    beat = start // GRID
    first = np.flatnonzero(np.diff(beat, prepend=-1))
    lowest = np.minimum.reduceat(pitch, first)
    count = np.diff(first, append=len(beat))
    element = ((start % GRID).astype(np.uint64) << np.uint64(8)) + (pitch - np.repeat(lowest, count)).astype(np.uint64)
    summed = np.add.reduceat(_mixed(element), first)
    tokens[0::2] = _NOTHING
    tokens[2 * beat[first]] = (summed >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    anchor = np.zeros(beats, np.int64)
    anchor[beat[first]] = lowest
    # A beat in which nothing begins keeps the lowest note of the beat before.
    last = np.maximum.accumulate(np.where(np.isin(np.arange(beats), beat[first]), np.arange(beats), 0))
    tokens[1:-1:2] = np.diff(anchor[last]) + 256
    return tokens


def bars(piece: Gridded) -> Bars:
    """The bars of four quarters that a piece is made of; tracks do not count."""
    bar = piece.start // BAR
    last = np.minimum(piece.end, (bar + 1) * BAR) - piece.start
    pitch = piece.pitch.astype(np.int64)
    first = np.flatnonzero(np.diff(bar, prepend=-1))
    count = np.diff(first, append=len(bar))
    lowest = np.minimum.reduceat(pitch, first) if len(first) else first
    element = ((piece.start - bar * BAR) * 128 + pitch - np.repeat(lowest, count)) * (BAR + 1) + last
    # Sorted within each bar, so that unisons stand together.
    order = np.lexsort((element, bar))
    element = element[order]
    fresh = np.ones(len(element), bool)
    fresh[1:] = (element[1:] != element[:-1]) | (bar[1:] != bar[:-1])
    mixed = np.where(fresh, _mixed(element.astype(np.uint64)), np.uint64(0))
    summed = np.add.reduceat(mixed, first) if len(first) else mixed
    notes = np.add.reduceat(fresh.astype(np.int32), first) if len(first) else first.astype(np.int32)
    return Bars(bar[first].astype(np.int32), summed, lowest.astype(np.uint8), notes)


def skeleton(piece: Gridded) -> np.ndarray:
    """The skeleton tokens, uint32 `[tracks * beats]`: one track after the other, the last of each 0."""
    return _moves(sounding(piece)).reshape(-1)


def sounding(piece: Gridded) -> np.ndarray:
    """The highest pitch that sounds on each beat in each track, int16 `[tracks, beats]`; rests hold the last one."""
    names, row = np.unique(piece.track, return_inverse=True)
    grid = np.full((len(names), piece.beats), -1, np.int16)
    first = -(-piece.start // GRID)
    count = np.maximum(np.minimum(-(-piece.end // GRID), piece.beats) - first, 0)
    at = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    np.maximum.at(grid, (np.repeat(row, count), at), np.repeat(piece.pitch, count))
    held = np.maximum.accumulate(np.where(grid >= 0, np.arange(piece.beats), 0), axis=1)
    return np.take_along_axis(grid, held, axis=1)


def _moves(pitch: np.ndarray) -> np.ndarray:
    tokens = np.zeros(pitch.shape, np.uint32)
    both = (pitch[:, 1:] >= 0) & (pitch[:, :-1] >= 0)
    tokens[:, :-1] = np.where(both, np.diff(pitch.astype(np.int64), axis=1) + 256, 0)
    return tokens


def _mixed(values: np.ndarray) -> np.ndarray:
    """Spread small numbers over 64 bits, so that sums of them rarely agree by chance (splitmix64)."""
    with np.errstate(over="ignore"):
        z = (values + np.uint64(1)) * _MIX
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
