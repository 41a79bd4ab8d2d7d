"""Distances between sets of pieces, each on one fixed grid, so that location is never lost. Drums are left out.

Both divergences are biased upwards for small sets: read them beside the `held_out` control, which is taken from sets
of the same number of pieces.
"""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER, Notes
from dalsegno.metrics.base import HistogramDistance
from dalsegno.metrics.pitch import pitch_class_counts

WIDEST = 24
DURATION_BIN = TICKS_PER_QUARTER // 12  # holds sixteenths and triplets alike
LONGEST = 8 * 12  # bins: eight quarters


def jensen_shannon(shares_RxB: np.ndarray, reference_B: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits of each row to the reference, within [0, 1] (Lin 1991)."""
    middle = (shares_RxB + reference_B) / 2

    def divergence(shares: np.ndarray) -> np.ndarray:
        ratio = np.divide(shares, middle, out=np.ones_like(middle), where=shares > 0)
        return np.asarray((shares * np.log2(ratio)).sum(axis=-1))

    both = (divergence(shares_RxB) + divergence(np.broadcast_to(reference_B, middle.shape))) / 2
    return np.clip(both, 0.0, 1.0)


def wasserstein_quarters(shares_RxB: np.ndarray, reference_B: np.ndarray) -> np.ndarray:
    """First Wasserstein distance in quarter notes between histograms of durations."""
    gap = np.abs(np.cumsum(shares_RxB, axis=-1) - np.cumsum(reference_B))
    return np.asarray(gap[:, :-1].sum(axis=-1) * DURATION_BIN / TICKS_PER_QUARTER)


def melodic_intervals(notes: Notes) -> np.ndarray:
    """Semitones from each onset of a track to its next; of a chord in one track the highest note counts."""
    pitched = notes.pitched()
    order = np.lexsort((pitched.pitch, pitched.start, pitched.track))
    track, start, pitch = pitched.track[order], pitched.start[order], pitched.pitch[order]
    top = np.ones(len(track), bool)
    top[:-1] = (track[1:] != track[:-1]) | (start[1:] != start[:-1])
    track, pitch = track[top], pitch[top].astype(int)
    return np.diff(pitch)[track[1:] == track[:-1]]


def interval_counts(notes: Notes) -> np.ndarray:
    """`counts_49` of melodic intervals from -24 to 24 semitones; wider ones fall into the outermost bins."""
    intervals = np.clip(melodic_intervals(notes), -WIDEST, WIDEST)
    return np.bincount(intervals + WIDEST, minlength=2 * WIDEST + 1)


def duration_counts(notes: Notes) -> np.ndarray:
    """`counts_97` of durations in twelfths of a quarter, rounded; longer than eight quarters count as eight."""
    bins = (notes.pitched().duration + DURATION_BIN // 2) // DURATION_BIN
    return np.bincount(np.minimum(bins, LONGEST), minlength=LONGEST + 1)


pitch_class_distance = HistogramDistance(
    pitch_class_counts,
    jensen_shannon,
    "bits",
    "pitch class",
    ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"),
)
"""Jensen-Shannon divergence in bits between the pitch classes of two sets of pieces."""

interval_distance = HistogramDistance(
    interval_counts,
    jensen_shannon,
    "bits",
    "melodic interval (semitones)",
    tuple(str(interval) for interval in range(-WIDEST, WIDEST + 1)),
)
"""Jensen-Shannon divergence in bits between the melodic intervals (within a track) of two sets of pieces."""

duration_distance = HistogramDistance(
    duration_counts,
    wasserstein_quarters,
    "quarters",
    "duration (quarter notes)",
    tuple(f"{bin / 12:.4g}" for bin in range(LONGEST + 1)),
    pairs=False,
)
"""First Wasserstein distance in quarter notes between the note durations of two sets of pieces.

Single pieces make it, those of long notes.
"""
