"""A piece as a point: one fixed vector of symbolic features, in standard deviations of the training pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER, Notes
from dalsegno.metrics.distances import melodic_intervals
from dalsegno.metrics.pitch import pitch_class_entropy, pitch_range, scale_consistency
from dalsegno.metrics.rhythm import groove_consistency, note_density
from dalsegno.metrics.texture import polyphony

PIECE_METRICS = (pitch_class_entropy, scale_consistency, pitch_range, groove_consistency, note_density, polyphony)
FEATURES = (
    "pitch_class_entropy",
    "scale_consistency",
    "pitch_range",
    "groove_consistency",
    "note_density",
    "polyphony",
    "mean_pitch",
    "repeats",
    "steps",
    "leaps",
    "short_notes",
    "long_notes",
)
"""Metrics of the piece; mean pitch; shares of melodic intervals of 0, of 1 or 2, and of 5 semitones or more; shares of
notes shorter and longer than a quarter. Drums count for density, groove and polyphony only."""


def features(notes: Notes) -> np.ndarray:
    """`features_D` of one piece in the order of `FEATURES`; NaN where one is undefined."""
    pitched = notes.pitched()
    intervals = np.abs(melodic_intervals(notes))
    if not len(intervals):
        return np.full(len(FEATURES), np.nan)
    shares = [
        pitched.pitch.mean(),
        (intervals == 0).mean(),
        ((intervals == 1) | (intervals == 2)).mean(),
        (intervals >= 5).mean(),
        (pitched.duration < TICKS_PER_QUARTER).mean(),
        (pitched.duration > TICKS_PER_QUARTER).mean(),
    ]
    return np.array([*(metric(notes) for metric in PIECE_METRICS), *shares])


class Space:
    """Where pieces lie: features centred on the training pieces' mean and divided by their standard deviation.

    Args:
        train: the training pieces; a feature that does not vary among them keeps its unit.
    """

    def __init__(self, train: Sequence[Notes]) -> None:
        raw = _defined(train)
        self.mean = raw.mean(axis=0) if len(raw) else np.zeros(len(FEATURES))
        deviation = raw.std(axis=0) if len(raw) else np.ones(len(FEATURES))
        # A feature of which rounding alone makes a difference does not vary.
        self.deviation = np.where(deviation > 1e-9, deviation, 1.0)

    def points(self, pieces: Sequence[Notes]) -> np.ndarray:
        """`points_NxD` of the pieces whose features are all defined."""
        return np.asarray((_defined(pieces) - self.mean) / self.deviation)


def _defined(pieces: Sequence[Notes]) -> np.ndarray:
    raw = np.array([features(piece) for piece in pieces], float).reshape(-1, len(FEATURES))
    return raw[np.isfinite(raw).all(axis=1)]
