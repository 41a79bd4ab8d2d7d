"""Metrics of the pitch classes that sound together. Drums are left out.

A *chord* is the set of pitch classes that sound at a moment, where there are at least three; no root is guessed and no
passing note removed.
"""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, Tracks, grouped_entropy, ratio, sorting, tracks
from dalsegno.metrics.texture import segments

SETS = 4096
TRIADS = ((0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 8))
SEVENTHS = ((0, 4, 7, 10), (0, 4, 7, 11), (0, 3, 7, 10), (0, 3, 6, 10), (0, 3, 6, 9))


def _transpositions(chords: tuple[tuple[int, ...], ...]) -> np.ndarray:
    table = np.zeros(SETS, bool)
    for chord in chords:
        for root in range(12):
            table[sum(1 << (root + degree) % 12 for degree in chord)] = True
    return table


IS_TRIAD = _transpositions(TRIADS)
IS_SEVENTH = _transpositions(SEVENTHS)
MEMBERS_4096x12 = (np.arange(SETS)[:, None] >> np.arange(12)) & 1
SIZE = MEMBERS_4096x12.sum(axis=1)

# Circles of fifths, minor thirds and major thirds, with the radii of Harte, Sandler and Gasser, Detecting Harmonic
# Change in Musical Audio, 2006.
_ANGLES = np.arange(12)[:, None] * np.pi * np.array([7 / 6, 3 / 2, 2 / 3])
TONAL_12x6 = np.concatenate([np.sin(_ANGLES) * [1, 1, 0.5], np.cos(_ANGLES) * [1, 1, 0.5]], axis=1)
CENTROID_4096x6 = MEMBERS_4096x12 @ TONAL_12x6 / np.maximum(SIZE, 1)[:, None]


def chord_changes(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_C`, `set_C`: the chords that sound on the beats, in order; repetitions and beats without one left out."""
    parts = pieces.shared(segments)
    first = -(-parts.start // TICKS_PER_QUARTER)
    beats = np.maximum(-(-(parts.start + parts.ticks) // TICKS_PER_QUARTER) - first, 0)
    # A segment says once what it says on several beats.
    kept = (beats > 0) & (SIZE[parts.classes] >= 3)
    piece, state = parts.piece[kept], parts.classes[kept]
    new = np.ones(len(piece), bool)
    new[1:] = (piece[1:] != piece[:-1]) | (state[1:] != state[:-1])
    return piece[new], state[new]


def chord_ngrams(pieces: Pieces, length: int, dropped: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`different_P`, `all_P`: how many different n-grams of chords a piece has, and how many, without the last few."""
    piece, state = pieces.shared(chord_changes)
    n = max(len(piece) - (length - 1 + dropped), 0)
    within = piece[len(piece) - n :] == piece[:n]
    gram = np.zeros(n, np.int64)
    for offset in range(length):
        gram = gram * SETS + state[offset : offset + n]
    # Only their number is asked for: sorting the values themselves is several times faster than ranking rows.
    found = np.sort(piece[:n][within] * SETS**length + gram[within])
    new = np.ones(len(found), bool)
    new[1:] = found[1:] != found[:-1]
    owner = found // SETS**length
    return np.bincount(owner[new], minlength=pieces.number), np.bincount(owner, minlength=pieces.number)


def _share_of_chords(pieces: Pieces, table: np.ndarray) -> np.ndarray:
    parts = pieces.shared(segments)
    chord = np.bincount(parts.piece, parts.ticks * (SIZE[parts.classes] >= 3), minlength=pieces.number)
    return ratio(np.bincount(parts.piece, parts.ticks * table[parts.classes], minlength=pieces.number), chord)


def _chord_entropy(pieces: Pieces) -> np.ndarray:
    parts = pieces.shared(segments)
    chord = np.flatnonzero(SIZE[parts.classes] >= 3)
    order = chord[np.argsort(parts.classes[chord].astype(np.uint16), kind="stable")]
    order = order[sorting(parts.piece[order])]
    piece = parts.piece[order]
    return grouped_entropy(piece * SETS + parts.classes[order], piece, parts.ticks[order].astype(float), pieces.number)


def _chords_used(pieces: Pieces) -> np.ndarray:
    different, all_ = chord_ngrams(pieces, 1)
    return np.where(all_ > 0, different, np.nan)


def _chord_irregularity(pieces: Pieces) -> np.ndarray:
    return ratio(*chord_ngrams(pieces, 3))


def _chord_tonal_distance(pieces: Pieces) -> np.ndarray:
    piece, state = pieces.shared(chord_changes)
    within = piece[1:] == piece[:-1]
    far = np.linalg.norm(CENTROID_4096x6[state[1:]] - CENTROID_4096x6[state[:-1]], axis=1)[within]
    owner = piece[1:][within]
    return ratio(np.bincount(owner, far, minlength=pieces.number), np.bincount(owner, minlength=pieces.number))


def _tonal_distance(pieces: Pieces) -> np.ndarray:
    from dalsegno.metrics import sweeps

    notes = pieces.pitched
    parts: Tracks = notes.shared(tracks)
    rank = parts.rank_T[parts.note_N]
    return ratio(
        *sweeps.tonal_distances(
            notes.piece, rank, notes.start, notes.end, notes.pitch, TONAL_12x6, TICKS_PER_QUARTER, notes.number
        )
    )


triad_share = PieceMetric(lambda pieces: _share_of_chords(pieces, IS_TRIAD), "share of time")
"""Share of the time of chords in which exactly a major, minor, diminished or augmented triad sounds.

Undefined where never three pitch classes sound together.
"""

seventh_share = PieceMetric(lambda pieces: _share_of_chords(pieces, IS_SEVENTH), "share of time")
"""Share of the time of chords in which exactly a dominant, major, minor or (half-)diminished seventh chord sounds."""

chord_entropy = PieceMetric(_chord_entropy, "bits")
"""Entropy in bits of a piece's chords, each weighted by the time it sounds. Undefined without chords.

After the chord histogram entropy of Yeh and others, Automatic Melody Harmonization with Triad Chords, 2021, there of
given chord symbols.
"""

chords_used = PieceMetric(_chords_used, "chords")
"""Different chords on the beats. Undefined without chords.

After the chord coverage of Yeh and others, 2021, there of given chord symbols.
"""

chord_irregularity = PieceMetric(_chord_irregularity, "share of trigrams")
"""Share of different trigrams among the trigrams of chords that sound on the beats, repeated chords taken as one.

After the chord progression irregularity of Wu and Yang, ISMIR 2020, there of chord symbols; their program leaves out
the last trigram (`chord_irregularity_compat`). Undefined below three chords.
"""

chord_tonal_distance = PieceMetric(_chord_tonal_distance, "tonal distance")
"""Mean distance in Harte's tonal space between a chord on a beat and the next different one. Undefined below two."""

tonal_distance = PieceMetric(_tonal_distance, "tonal distance")
"""Mean distance in Harte's tonal space between two tracks in one beat, over all pairs and beats in which both sound.

Each track is the mean place of its pitch classes, weighted by time: 0 for equal chords, larger for less harmony.
Source: TD of Dong and others, MuseGAN, AAAI 2018; space: Harte, Sandler and Gasser, 2006. Undefined for pieces of
which no two tracks sound in one beat.
"""
