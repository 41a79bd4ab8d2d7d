"""What a piece and its voices are, as digests of a block of pieces at once: equal digests mean equal music.

Pieces come as columns of notes with their `owner`, the number of each note's piece within the block, ascending.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dalsegno.data.near_duplicates import PHRASE_BITS, runs, windows
from dalsegno.data.notes import DRUMS

MIN_NOTES = 8
"""Different notes below which a shape says nothing."""
MIN_PHRASES = 12
"""Different phrases (see `near_duplicates`) below which a voice is commonplace: tunes share their chords."""

_PITCH_BITS, _ONSET_BITS = 9, 31


@dataclass(frozen=True)
class Fingerprints:
    """Digests of the pieces of a block.

    Attributes:
        content: onsets, pitches and durations as they stand, whatever the tracks.
        shape: onsets and pitches without key and pace; the content where a piece has few notes.
        voices: of each piece of several voices, the shapes of those with enough notes and phrases, each once.
        lowest: lowest pitch without drums, 127 where there is none; int64 `[P]`.
        span: ticks from the first onset to the last; int64 `[P]`.
    """

    content: list[str]
    shape: list[str]
    voices: list[list[str]]
    lowest: np.ndarray
    span: np.ndarray


def fingerprints(owner: np.ndarray, count: int, columns: dict[str, np.ndarray], notes: int) -> Fingerprints:
    """The digests of the `count` pieces of a block.

    Args:
        notes: different notes that a voice must have to be told by its shape.
    """
    content = _contents(owner, count, columns)
    drums = columns["program"] == DRUMS
    found, sizes = _shapes(owner, count, columns["start"], columns["pitch"], drums)
    shape = [one if size >= MIN_NOTES else other for one, size, other in zip(found, sizes, content, strict=True)]
    start, pitch = columns["start"].astype(np.int64), columns["pitch"].astype(np.int64)
    lowest = np.full(count, 127)
    np.minimum.at(lowest, owner, np.where(drums, 127, pitch))
    first, last = np.full(count, 1 << 40), np.zeros(count, np.int64)
    np.minimum.at(first, owner, start)
    np.maximum.at(last, owner, start)
    return Fingerprints(content, shape, _voices(owner, count, columns, notes), lowest, np.maximum(last - first, 0))


def _contents(owner: np.ndarray, count: int, columns: dict[str, np.ndarray]) -> list[str]:
    order = np.lexsort((columns["start"], columns["pitch"], columns["duration"], owner))
    rows = np.stack([columns[name][order] for name in ("start", "pitch", "duration")], 1).astype(np.int64)
    return _digests(rows, np.searchsorted(owner, np.arange(count + 1)))


def _shapes(
    group: np.ndarray, count: int, start: np.ndarray, pitch: np.ndarray, drums: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Digests and numbers of the different notes of each group, without key and pace.

    Onsets count from the first, in units of their greatest common divisor; pitches from the lowest; drums keep theirs.

    Args:
        group: ascending, below `count`.
    """
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    onset, pitch = start.astype(np.int64), pitch.astype(np.int64)
    if not len(group):
        return [""] * count, np.zeros(count, int)
    spread = np.diff(np.append(begins, len(group)))
    onset -= np.repeat(np.minimum.reduceat(onset, begins), spread)
    onset //= np.repeat(np.maximum(np.gcd.reduceat(onset, begins), 1), spread)
    lowest = np.minimum.reduceat(np.where(drums, 127, pitch), begins)
    height = np.where(drums, pitch + 256, pitch - np.repeat(lowest, spread))
    keys = np.sort((group << (_ONSET_BITS + _PITCH_BITS)) | (onset << _PITCH_BITS) | height)
    keys = keys[np.diff(keys, prepend=-1) > 0]
    bounds = np.searchsorted(keys, np.arange(count + 1) << (_ONSET_BITS + _PITCH_BITS))
    return _digests(keys & ((1 << (_ONSET_BITS + _PITCH_BITS)) - 1), bounds), np.diff(bounds)


def _voices(owner: np.ndarray, count: int, columns: dict[str, np.ndarray], notes: int) -> list[list[str]]:
    tonal = np.flatnonzero(columns["program"] != DRUMS)
    # Rows are sorted by piece, then track.
    piece, track = owner[tonal], columns["track"][tonal].astype(np.int64)
    first, sizes = runs((piece << 16) | track)
    voice = np.repeat(np.arange(len(first)), sizes)
    start, pitch = columns["start"][tonal].astype(np.int64), columns["pitch"][tonal].astype(np.int64)
    found, different = _shapes(voice, len(first), start, pitch, np.zeros(len(tonal), bool))
    several = np.bincount(piece[first], minlength=count)[piece[first]] > 1
    telling = several & (different >= notes) & (_phrases(voice, len(first), start, pitch) >= MIN_PHRASES)
    voices: list[list[str]] = [[] for _ in range(count)]
    for number in np.flatnonzero(telling).tolist():
        own = voices[piece[first[number]]]
        if found[number] not in own:
            own.append(found[number])
    return voices


def _phrases(voice: np.ndarray, count: int, start: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """How many different phrases the bottom line of each voice holds."""
    order = np.lexsort((pitch, start, voice))
    lowest, _ = runs((voice[order] << _ONSET_BITS) | start[order])
    rows = order[lowest]
    keys = np.sort(windows(voice[rows], voice[rows], start[rows], pitch[rows])[0])
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return np.bincount(keys >> PHRASE_BITS, minlength=count)


def _digests(rows: np.ndarray, bounds: np.ndarray) -> list[str]:
    """The SHA-256 of each stretch of rows; `bounds` has one entry more than there are."""
    view = rows.tobytes()
    edges = (bounds * (len(view) // max(len(rows), 1))).tolist()
    return [hashlib.sha256(view[a:b]).hexdigest() for a, b in pairwise(edges)]
