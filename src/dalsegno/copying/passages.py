"""How alike two pieces are where they lie best upon each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.copying.streams import Gridded

HIT, MISSING, EXTRA = 1.0, 1.0, 0.25
"""What a note of the training piece earns that the sample has, costs that it lacks, and what a note costs that the
sample adds: little, since ornaments add notes."""
LONGEST = 256
"""Notes of a passage that the quadratic LCS and edit distance look at."""


@dataclass(frozen=True)
class Passage:
    """A stretch of a sample laid upon a training piece.

    Attributes:
        score: notes of the training piece that the sample has at their onset and transposed pitch, less those that it
            lacks and a quarter of those that it adds; over the best stretch.
        begin, end: the stretch in the sample, grid steps.
        at: where the stretch begins in the training piece, grid steps.
        transposition: semitones from the sample to the training piece.
    """

    score: float
    begin: int
    end: int
    at: int
    transposition: int


NOTHING = Passage(0.0, 0, 0, 0, 0)


def transposition(sample: Gridded, other: Gridded, shift: int, begin: int, end: int) -> int | None:
    """The commonest difference of pitch among notes of equal onset in a stretch of the sample; None without any."""
    rows = np.flatnonzero((sample.start >= begin) & (sample.start < end))
    low = np.searchsorted(other.start, sample.start[rows] + shift, side="left")
    count = np.searchsorted(other.start, sample.start[rows] + shift, side="right") - low
    at = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    if not len(at):
        return None
    difference = other.pitch[at].astype(np.int64) - np.repeat(sample.pitch[rows], count)
    return int(np.bincount(difference + 127, minlength=255).argmax()) - 127


def melody(piece: Gridded) -> Gridded:
    """The highest notes of the track whose mean pitch is the highest, one at each onset."""
    if not len(piece):
        return piece
    _, track = np.unique(piece.track, return_inverse=True)
    mean = np.bincount(track, piece.pitch) / np.bincount(track)
    rows = np.flatnonzero(track == mean.argmax())
    # Sorted by start and pitch: the last of an onset is the highest.
    rows = rows[np.append(piece.start[rows][1:] != piece.start[rows][:-1], True)]
    return Gridded(piece.start[rows], piece.end[rows], piece.pitch[rows], piece.track[rows])


def align(sample: Gridded, other: Gridded, shift: int, semitones: int) -> Passage:
    """The best stretch when the sample is moved by `shift` grid steps and transposed by `semitones`."""
    ours = (sample.start.astype(np.int64) + shift) * 256 + sample.pitch + semitones
    theirs = other.start.astype(np.int64) * 256 + other.pitch
    # Both are in order, as pieces are.
    theirs = theirs[slice(*np.searchsorted(theirs, [ours[0], ours[-1] + 1]).tolist())]
    theirs = theirs[np.append(True, theirs[1:] != theirs[:-1])[: len(theirs)]]
    if not len(theirs):
        return NOTHING
    place = np.searchsorted(theirs, ours)
    same = theirs[np.minimum(place, len(theirs) - 1)] == ours
    hit = np.zeros(len(theirs), bool)
    hit[place[same]] = True
    worth = np.concatenate([np.where(hit, HIT, -MISSING), np.where(same, 0, -EXTRA)])
    onset = np.concatenate([theirs, ours]) >> 8
    order = np.argsort(onset, kind="stable")
    onset = onset[order]
    # All that begins together belongs to a stretch together.
    last = np.append(np.flatnonzero(np.diff(onset)), len(onset) - 1)
    total = np.concatenate([[0.0], np.cumsum(worth[order])[last]])
    stop = int((total - np.minimum.accumulate(total)).argmax())
    begin = int(total[: stop + 1].argmin())
    if stop == begin:
        return NOTHING
    low, high = int(onset[last[begin]]) - shift, int(onset[last[stop - 1]]) - shift
    inside = (sample.start >= low) & (sample.start <= high)
    end = int(sample.end[inside].max(initial=high + 1))
    return Passage(float(total[stop] - total[begin]), low, end, low + shift, semitones)


def pitches(piece: Gridded, begin: int, end: int) -> np.ndarray:
    """The pitches that begin in a stretch, by onset and height, at most `LONGEST`."""
    return piece.pitch[(piece.start >= begin) & (piece.start < end)][:LONGEST].astype(np.int64)


def lcs(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the longest common subsequence of two sequences."""
    row = np.zeros(len(b) + 1, np.int64)
    for x in a:
        matched = row.copy()
        matched[1:] = np.maximum(row[1:], row[:-1] + (b == x))
        row = np.maximum.accumulate(matched)
    return int(row[-1])


def edit_distance(a: np.ndarray, b: np.ndarray) -> int:
    """Levenshtein distance of two sequences: insertions, deletions and replacements."""
    columns = np.arange(len(b) + 1)
    row = columns.copy()
    for i, x in enumerate(a, 1):
        best = np.concatenate([[i], np.minimum(row[1:] + 1, row[:-1] + (b != x))])
        # An insertion costs one a column: the least of all that come from the left.
        row = np.minimum.accumulate(best - columns) + columns
    return int(row[-1])
