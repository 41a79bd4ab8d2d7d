"""Music at the edges: every metric gives a value or NaN, never an exception, a warning or an infinity."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dalsegno.data.notes import Notes, make_notes
from dalsegno.metrics.base import HistogramDistance, PieceMetric
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import METRICS, load_metric
from tests.unit.music import chorale
from tests.unit.test_metrics_pieces import EMPTY, ONE, SCALE, piece

HOUR = 60 * 120 * 480
"""Ticks at 120 quarter notes a minute."""


def many_tracks(tracks: int = 200, notes: int = 16) -> Notes:
    random = np.random.default_rng(0)
    return make_notes(
        track=np.repeat(np.arange(tracks), notes),
        program=np.repeat(np.arange(tracks) % 129, notes),
        start=random.integers(0, 8 * 1920, tracks * notes),
        duration=random.integers(1, 960, tracks * notes),
        pitch=random.integers(0, 128, tracks * notes),
    )


def ten_hours() -> Notes:
    """Four voices in quarters and eighths, and a last note that ends after ten hours."""
    random = np.random.default_rng(0)
    start = np.cumsum(random.choice([240, 480], 10_000))
    start = start * (10 * HOUR // start[-1]) // 10
    return make_notes(
        track=np.repeat(np.arange(4), len(start)),
        start=np.tile(start, 4),
        duration=np.full(4 * len(start), 240),
        pitch=random.integers(40, 80, 4 * len(start)),
    )


EDGES = {
    "no notes": EMPTY,
    "one note": ONE,
    "one note of no length": piece([0], [0], [60]),
    "one late note of no length": piece([5000], [0], [60]),
    "one bar": SCALE.excerpt(1920),
    "drums only": piece([0, 480, 960], [120] * 3, [36, 38, 42], program=[128] * 3),
    "pitched and drums": piece([0, 480, 960], [120] * 3, [36, 60, 42], program=[128, 0, 128], track=[0, 1, 2]),
    "200 tracks": many_tracks(),
    "outermost pitches": piece([0, 0, 480], [480] * 3, [0, 127, 127]),
    "all at once": piece([0] * 50, [480] * 50, [60] * 50),
    # Meters live beside the notes: bars of metrics are four quarters, whatever the meters say (docs/metrics.md).
    "three, five and seven quarters a bar": piece(np.cumsum([0] + [1440, 2400, 3360] * 3), [240] * 10, [60] * 10),
    "late by twelve hours": piece([12 * HOUR, 12 * HOUR + 480], [480] * 2, [60, 62]),
    "one note of ten hours": piece([0], [10 * HOUR], [60]),
    "ten hours": ten_hours(),
}


@pytest.mark.parametrize("case", EDGES)
def test_a_value_or_nan(case: str) -> None:
    before = time.process_time()
    beside = Pieces.of([chorale(0), EDGES[case], EMPTY, chorale(1)])
    for name in METRICS:
        metric = load_metric(name)
        if isinstance(metric, PieceMetric):
            value = metric.values(beside)[1]
            assert not np.isinf(value), name
            if case == "no notes" and name != "empty_pieces" and not name.endswith("_compat"):
                assert np.isnan(value), name
        elif isinstance(metric, HistogramDistance):
            assert np.isfinite(metric.counts([EDGES[case]])).all(), name
    assert time.process_time() - before < 20


def test_shares_stay_within_0_and_1() -> None:
    for name in METRICS:
        metric = load_metric(name)
        if isinstance(metric, PieceMetric) and (metric.unit.startswith("share") or metric.unit == "likeness"):
            values = metric.values(Pieces.of(list(EDGES.values())))
            assert np.all(np.isnan(values) | ((values >= 0) & (values <= 1))), name


def test_what_needs_voices_leaves_other_music_undefined() -> None:
    for name in ("parallel_fifths", "parallel_octaves", "voice_crossings"):
        metric = load_metric(name)
        assert isinstance(metric, PieceMetric)
        assert np.isfinite(metric(chorale(0)))
        assert np.isnan(metric(many_tracks())) and np.isnan(metric(EDGES["all at once"]))


def test_notes_of_other_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="a table of 1 pieces"):
        Pieces(make_notes(piece=[0, 3], start=[0, 0], duration=[1, 1], pitch=[60, 60]), 1)
