"""Metrics of what is played: pitches, pitch classes, scale and key. Drums are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import Notes
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTH, Pieces, counts, entropy, ratio

MAJOR = (0, 2, 4, 5, 7, 9, 11)
# Natural minor scales hold the pitch classes of their relative major, so twelve sets are all 24 keys.
SCALES_12x12 = np.array([[(degree - root) % 12 in MAJOR for degree in range(12)] for root in range(12)])

# Probe-tone ratings of Krumhansl and Kessler, Psychological Review 89 (1982), tonic first.
MAJOR_RATINGS = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_RATINGS = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
KEYS_24x12 = np.array([np.roll(ratings, tonic) for ratings in (MAJOR_RATINGS, MINOR_RATINGS) for tonic in range(12)])


def pitch_class_counts(notes: Notes) -> np.ndarray:
    """`counts_12` of one piece: notes (not durations) of each pitch class, C first."""
    return np.bincount(notes.pitched().pitch % 12, minlength=12)


def pitch_class_histograms(pieces: Pieces) -> np.ndarray:
    """`counts_Px12`: notes of each pitch class."""
    return pieces.pitched.counts(pieces.pitched.pitch_class, 12)


def pitch_histograms(pieces: Pieces) -> np.ndarray:
    """`counts_Px128`: notes of each pitch."""
    return pieces.pitched.counts(pieces.pitched.pitch, 128)


WIDEST = 4
"""Bars of the longest window."""


@dataclass(frozen=True)
class Windows:
    """The bars of all pieces up to the last onset; of a longer silence as much as windows with notes reach into.

    Attributes:
        bars_P: how many of each piece are kept.
        counts_Bx12: notes of each pitch class.
        before_Bx12: the sum of all bars before, of all pieces.
    """

    bars_P: np.ndarray
    counts_Bx12: np.ndarray
    before_Bx12: np.ndarray


def windows(pieces: Pieces, early: int = SIXTEENTH // 2) -> Windows:
    """Pitch classes bar by bar; `early`: ticks that an onset may come early and still belong to the next bar."""
    from dalsegno.metrics import sweeps

    notes = pieces.pitched.by_time
    bars_P, grid = sweeps.windows(notes.piece, notes.start + early, notes.pitch_class, WIDEST, pieces.number)
    return Windows(bars_P, grid, np.concatenate([np.zeros((1, 12), np.int64), np.cumsum(grid, axis=0)]))


def windowed_entropy(windows: Windows, bars: int) -> np.ndarray:
    """Mean pitch-class entropy in bits over the windows of `bars` bars that hold notes."""
    bars_P = windows.bars_P
    piece = np.repeat(np.arange(len(bars_P)), bars_P)
    if bars == 1:
        values = entropy(windows.counts_Bx12)
    else:
        width = np.minimum(bars, bars_P)[piece]
        left = np.repeat(np.cumsum(bars_P), bars_P) - np.arange(len(piece))
        first = np.flatnonzero(left >= width)
        piece = piece[first]
        values = entropy(windows.before_Bx12[first + width[first]] - windows.before_Bx12[first])
    heard = np.isfinite(values)
    total = np.bincount(piece[heard], values[heard], minlength=len(bars_P))
    return ratio(total, np.bincount(piece[heard], minlength=len(bars_P)))


def _entropy(pieces: Pieces) -> np.ndarray:
    return entropy(pieces.shared(pitch_class_histograms))


def _pitch_entropy(pieces: Pieces) -> np.ndarray:
    return entropy(pieces.shared(pitch_histograms))


def _pitch_classes(pieces: Pieces) -> np.ndarray:
    used = (pieces.shared(pitch_class_histograms) > 0).sum(axis=1)
    return np.where(used > 0, used, np.nan)


def _pitches(pieces: Pieces) -> np.ndarray:
    used = (pieces.shared(pitch_histograms) > 0).sum(axis=1)
    return np.where(used > 0, used, np.nan)


def _scale_consistency(pieces: Pieces) -> np.ndarray:
    histograms = pieces.shared(pitch_class_histograms)
    return ratio((histograms @ SCALES_12x12.T.astype(int)).max(axis=1), histograms.sum(axis=1))


def _pitch_range(pieces: Pieces) -> np.ndarray:
    used = pieces.shared(pitch_histograms) > 0
    span = 127 - np.argmax(used[:, ::-1], axis=1) - np.argmax(used, axis=1)
    return np.where(used.any(axis=1), span, np.nan)


def _mean_pitch(pieces: Pieces) -> np.ndarray:
    return pieces.pitched.mean(pieces.pitched.pitch)


def key_correlations(pieces: Pieces) -> np.ndarray:
    """`correlations_Px24` with the keys: twelve major by tonic, then twelve minor; see `key_clarity`."""
    pitched = pieces.pitched
    profile = counts(pitched.piece, pitched.pitch_class, pieces.number, 12, pitched.end - pitched.start)
    profile = profile - profile.mean(axis=1, keepdims=True)
    keys = KEYS_24x12 - KEYS_24x12.mean(axis=1, keepdims=True)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return ratio(profile @ keys.T, np.linalg.norm(profile, axis=1, keepdims=True))


def _key_clarity(pieces: Pieces) -> np.ndarray:
    return np.asarray(pieces.shared(key_correlations).max(axis=1))


pitch_class_entropy = PieceMetric(_entropy, "bits")
"""Shannon entropy of the pitch classes of a piece's notes, in bits: 0 for one pitch class, log2(12) = 3.585 at most.

Undefined for a piece without pitched notes. Source: Wu and Yang, The Jazz Transformer on the Front Line, ISMIR 2020
(there over windows of one and four bars, as in the next two; here over the piece).
"""

pitch_class_entropy_1bar = PieceMetric(lambda pieces: windowed_entropy(pieces.shared(windows), 1), "bits")
"""Mean pitch-class entropy of the bars in which a pitched note starts (H1 of Wu and Yang, ISMIR 2020)."""

pitch_class_entropy_4bar = PieceMetric(lambda pieces: windowed_entropy(pieces.shared(windows), 4), "bits")
"""Mean pitch-class entropy of all windows of four bars (H4 of Wu and Yang, ISMIR 2020); of the piece, if shorter."""

pitch_entropy = PieceMetric(_pitch_entropy, "bits")
"""Shannon entropy of the pitches of a piece's notes, octaves apart, in bits. Undefined without pitched notes."""

pitch_classes_used = PieceMetric(_pitch_classes, "pitch classes")
"""Number of pitch classes that a piece uses, 1 to 12. Undefined without pitched notes."""

pitches_used = PieceMetric(_pitches, "pitches")
"""Number of pitches that a piece uses. Undefined without pitched notes."""

scale_consistency = PieceMetric(_scale_consistency, "share of notes")
"""Largest share of a piece's notes that one diatonic scale holds, over all twelve.

Undefined for a piece without pitched notes. Source: Mogren, C-RNN-GAN, 2016.
"""

pitch_range = PieceMetric(_pitch_range, "semitones")
"""Highest minus lowest pitch in semitones; 0 for one note, undefined without pitched notes."""

mean_pitch = PieceMetric(_mean_pitch, "MIDI number")
"""Mean pitch of a piece's notes as a MIDI number (60 is middle C). Undefined without pitched notes."""

key_clarity = PieceMetric(_key_clarity, "correlation")
"""Largest correlation of a piece's pitch classes, weighted by duration, with the profiles of the 24 keys.

Profiles: the probe-tone ratings of Krumhansl and Kessler (1982); the correlation is that of Krumhansl and Schmuckler
(Krumhansl, Cognitive Foundations of Musical Pitch, 1990, chapter 4). Undefined without pitched notes that last, and
where all twelve pitch classes last equally long.
"""
