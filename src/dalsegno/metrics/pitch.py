"""Metrics of what is played: pitches and pitch classes. Drums are left out."""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import Notes
from dalsegno.metrics.base import PieceMetric

MAJOR = (0, 2, 4, 5, 7, 9, 11)
# Natural minor scales hold the pitch classes of their relative major, so twelve sets are all 24 keys.
SCALES_12x12 = np.array([[(degree - root) % 12 in MAJOR for degree in range(12)] for root in range(12)])


def pitch_class_counts(notes: Notes) -> np.ndarray:
    """`counts_12`: notes (not durations) of each pitch class, C first."""
    return np.bincount(notes.pitched().pitch % 12, minlength=12)


def _pitch_class_entropy(notes: Notes) -> float:
    counts = pitch_class_counts(notes)
    if not counts.any():
        return np.nan
    shares = counts[counts > 0] / counts.sum()
    return float(shares @ -np.log2(shares)) + 0.0


def _scale_consistency(notes: Notes) -> float:
    counts = pitch_class_counts(notes)
    return float((SCALES_12x12 @ counts).max() / counts.sum()) if counts.any() else np.nan


def _pitch_range(notes: Notes) -> float:
    pitch = notes.pitched().pitch
    return float(pitch.max() - pitch.min()) if len(pitch) else np.nan


pitch_class_entropy = PieceMetric(_pitch_class_entropy, "bits")
"""Shannon entropy of the pitch classes of a piece's notes, in bits: 0 for one pitch class, log2(12) = 3.585 at most.

Undefined for a piece without pitched notes. Source: Wu and Yang, The Jazz Transformer on the Front Line, ISMIR 2020
(there over windows of one and four bars; here over the piece).
"""

scale_consistency = PieceMetric(_scale_consistency, "share of notes")
"""Largest share of a piece's notes that one diatonic scale holds, over all twelve.

Undefined for a piece without pitched notes. Source: Mogren, C-RNN-GAN, 2016.
"""

pitch_range = PieceMetric(_pitch_range, "semitones")
"""Highest minus lowest pitch in semitones; 0 for one note, undefined without pitched notes."""
