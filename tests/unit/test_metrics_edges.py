"""Music at the edges: every metric gives a value or NaN, never an exception, a warning or an infinity."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dalsegno.copying.streams import gridded
from dalsegno.data.notes import Notes, make_notes
from dalsegno.data.tables import NOTE_COLUMNS
from dalsegno.metrics.base import HistogramDistance, PieceMetric
from dalsegno.metrics.features import Space
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import METRICS, load_metric
from dalsegno.metrics.sets import SetMetric
from tests.unit.music import chorale
from tests.unit.test_edge_cases import midi, note, read
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


def test_marks_of_tempo_and_meter_change_no_note(tmp_path: Path) -> None:
    """Metrics and copying read notes, in quarters: a file that changes tempo and meter at each bar says the same."""
    plain = read(tmp_path, midi(*note(60), *note(62), *note(64), *note(65), *note(67)))
    marks = [[(0, b"\xff\x58\x04" + bytes([beats, 2, 24, 8])), (0, b"\xff\x51\x03" + bytes([beats, 0, 0]))]
             for beats in (3, 5, 7, 2, 4)]  # fmt: skip
    notes = [note(pitch) for pitch in (60, 62, 64, 65, 67)]
    marked = read(
        tmp_path, midi(*(event for pair in zip(marks, notes, strict=True) for part in pair for event in part))
    )
    assert len(marked.tempos) == len(marked.meters) == 5 > len(plain.meters)
    assert np.array_equal(plain.notes, marked.notes)
    same, other = (make_notes(**dict(zip(NOTE_COLUMNS, music.notes.T, strict=True))) for music in (plain, marked))
    assert np.array_equal(gridded(same).start, gridded(other).start)
    for name in METRICS:
        metric = load_metric(name)
        if isinstance(metric, PieceMetric):
            assert metric(same) == pytest.approx(metric(other), abs=0, nan_ok=True), name


@pytest.mark.parametrize("case", EDGES)
def test_sets_of_such_pieces_have_a_number_or_a_reason(case: str) -> None:
    """Twenty times the same piece among real ones, and alone: a number, or undefined with what it needs."""
    space = Space(REAL)
    reference = space.points(REAL)
    for own in (space.points([EDGES[case]] * 20), space.points([*REAL[:25], EDGES[case], EMPTY])):
        assert np.isfinite(own).all()
        for name in METRICS:
            metric = load_metric(name)
            if isinstance(metric, SetMetric) and metric.space == "features":
                told = replace(metric, jackknife=False, halves=False).estimate(own, reference)
                assert not np.isinf(told.value), name
                assert np.isfinite(told.value) or told.note.startswith("undefined"), name


REAL = [chorale(seed) for seed in range(30)]


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


@pytest.mark.parametrize(("start", "pitch"), [(-480, 60), (0, -1)])
def test_numbers_below_zero_are_refused(start: int, pitch: int) -> None:
    with pytest.raises(ValueError, match="starts before its piece, or has a negative pitch"):
        Pieces.of([make_notes(start=[start], duration=[480], pitch=[pitch])])


def test_reading_the_registry_compiles_nothing() -> None:
    """Workflow scripts and the plan ask it for names; numba takes a quarter of a second to import."""
    program = (
        "import sys, dalsegno.metrics.registry as r; r.load_metric('tonal_distance'); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
