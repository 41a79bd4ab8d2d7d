"""Copies planted on purpose: exact, transposed, ornamented, or a few bars in a piece that is otherwise honest."""

from __future__ import annotations

import numpy as np

from dalsegno.copying.streams import BAR, Gridded


def cut(piece: Gridded, first: int, last: int) -> Gridded:
    """Bars `first` to `last` (excluded), counted from the first of them."""
    rows = (piece.start >= first * BAR) & (piece.start < last * BAR)
    begin = np.int32(first * BAR)
    end = np.minimum(piece.end[rows], last * BAR) - begin
    return Gridded(piece.start[rows] - begin, end.astype(np.int32), piece.pitch[rows], piece.track[rows])


def transposed(piece: Gridded, semitones: int) -> Gridded:
    return Gridded(piece.start, piece.end, (piece.pitch + semitones).astype(np.int16), piece.track)


def planted(
    host: Gridded, source: Gridded, bars: int, random: np.random.Generator, transpose: bool = True, every: int = 0
) -> Gridded:
    """The host with `bars` bars replaced by as many of the source, in which a note begins.

    Args:
        transpose: whether by a random interval of up to six semitones; else as they stand.
        every: as many in each stretch of so many bars of the host; 0: once.
    """
    length = max(host.beats // 4, 1)
    for first in range(0, length, every) if every else [0]:
        room = min(every, length - first) if every else length
        if first and room < bars:
            break
        to = first + int(random.integers(0, max(1, room - bars + 1)))
        copied = cut(source, 0, 0)
        # What is only held or rests would be no copy.
        while not len(copied):
            away = int(random.integers(0, max(1, source.beats // 4 - bars + 1)))
            copied = cut(source, away, away + bars)
        copied = transposed(copied, int(random.integers(-6, 7)) if transpose else 0)
        keep = (host.start < to * BAR) | (host.start >= (to + bars) * BAR)
        shift = np.int32(to * BAR)
        host = _sorted(
            np.concatenate([host.start[keep], copied.start + shift]),
            np.concatenate([host.end[keep], copied.end + shift]),
            np.concatenate([host.pitch[keep], copied.pitch]),
            np.concatenate([host.track[keep], copied.track]),
        )
    return host


def ornamented(piece: Gridded, random: np.random.Generator, share: float = 0.25) -> Gridded:
    """One note in four of an eighth or longer with a neighbour after it, a mordent, or an appoggiatura before it."""
    start, end, pitch, track = (list(column.tolist()) for column in (piece.start, piece.end, piece.pitch, piece.track))
    chosen = np.flatnonzero((piece.end - piece.start >= 6) & (random.random(len(piece)) < share))
    for i in chosen.tolist():
        half, quarter = (end[i] - start[i]) // 2, (end[i] - start[i]) // 4
        neighbour = pitch[i] + int(random.choice([-2, -1, 1, 2]))
        kind = random.choice(["after", "mordent", "before"], p=[0.4, 0.4, 0.2])
        if kind == "after":
            added = [(start[i] + half, end[i], neighbour)]
            end[i] = start[i] + half
        elif kind == "mordent":
            added = [
                (start[i] + quarter, start[i] + 2 * quarter, neighbour),
                (start[i] + 2 * quarter, end[i], pitch[i]),
            ]
            end[i] = start[i] + quarter
        else:
            added = [(start[i], start[i] + quarter, neighbour)]
            start[i] += quarter
        for a, b, height in added:
            start.append(a), end.append(b), pitch.append(height), track.append(track[i])
    return _sorted(*(np.array(column) for column in (start, end, pitch, track)))


def _sorted(start: np.ndarray, end: np.ndarray, pitch: np.ndarray, track: np.ndarray) -> Gridded:
    order = np.lexsort((track, pitch, start))
    kinds = (np.int32, np.int32, np.int16, np.int16)
    return Gridded(*(x[order].astype(kind) for x, kind in zip((start, end, pitch, track), kinds, strict=True)))
