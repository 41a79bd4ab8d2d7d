"""Metrics of a piece: hand-computed values, what is undefined, and what must not matter."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.data.notes import Notes, make_notes
from dalsegno.metrics.base import HistogramDistance, PieceMetric
from dalsegno.metrics.distances import jensen_shannon, melodic_intervals, wasserstein_quarters
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import METRICS, load_metric

PIECE_METRICS = [
    name for name in METRICS if isinstance(load_metric(name), PieceMetric) and not name.endswith("_compat")
]
FROM_TICK_0 = {
    "groove_consistency",
    "grooving_similarity",
    "instrumentation_similarity",
    "empty_beat_rate",
    "empty_bar_rate",
    "empty_track_bar_rate",
    "pitch_class_entropy_4bar",
    "self_similarity",
    "structureness_short",
    "structureness_mid",
    "structureness_long",
}
"""Metrics that hear empty bars before the music."""
DISTANCES = [name for name in METRICS if isinstance(load_metric(name), HistogramDistance)]


def piece(start: Any, duration: Any, pitch: Any, **columns: Any) -> Notes:
    return make_notes(start=start, duration=duration, pitch=pitch, **columns)


EMPTY = piece([], [], [])
ONE = piece([0], [480], [60])
SCALE = piece(np.arange(8) * 480, [480] * 8, [60, 62, 64, 65, 67, 69, 71, 72])


@st.composite
def pieces(draw: st.DrawFn) -> Notes:
    n = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    return piece(
        np.sort(random.integers(0, 32, n)) * 120,
        random.integers(1, 9, n) * 120,
        random.integers(40, 80, n),
        track=random.integers(0, 3, n),
    )


def value(name: str, notes: Notes) -> float:
    metric = load_metric(name)
    assert isinstance(metric, PieceMetric)
    return metric(notes)


@pytest.mark.parametrize(
    ("name", "notes", "expected"),
    [
        ("pitch_class_entropy", ONE, 0.0),
        ("pitch_class_entropy", piece([0, 0, 0, 0], [480] * 4, [60, 61, 62, 63]), 2.0),
        ("pitch_class_entropy", piece([0, 480], [480] * 2, [60, 72]), 0.0),
        ("scale_consistency", SCALE, 1.0),
        ("scale_consistency", piece([0] * 12, [1] * 12, range(60, 72)), 7 / 12),
        ("pitch_range", ONE, 0.0),
        ("pitch_range", SCALE, 12.0),
        ("note_density", SCALE, 1.0),
        ("note_density", ONE, 1.0),
        ("note_density", piece([480, 960], [240, 480], [60, 60]), 2 / 2),
        ("polyphony", SCALE, 1.0),
        ("polyphony", piece([0, 0, 960], [480, 960, 480], [60, 64, 67]), 1920 / 1440),
        ("polyphony", piece([0, 0, 9600], [480, 480, 480], [60, 64, 67]), 1.5),
        ("empty_pieces", ONE, 0.0),
        ("empty_pieces", EMPTY, 1.0),
        ("groove_consistency", SCALE, 1.0),
        ("groove_consistency", piece([0, 1920, 2400], [120] * 3, [60] * 3), 15 / 16),
    ],
)
def test_hand_computed(name: str, notes: Notes, expected: float) -> None:
    assert value(name, notes) == pytest.approx(expected)


def test_undefined_is_nan_and_never_zero() -> None:
    for name in PIECE_METRICS:
        if name != "empty_pieces":
            assert np.isnan(value(name, EMPTY)), name
    assert np.isnan(value("groove_consistency", ONE))
    assert np.isnan(value("note_density", piece([0], [0], [60])))
    assert np.isnan(value("polyphony", piece([0], [0], [60])))


def test_drums_have_no_pitch() -> None:
    drums = piece([0, 480], [120, 120], [36, 38], program=[128, 128])
    assert np.isnan(value("pitch_class_entropy", drums))
    assert np.isnan(value("pitch_range", drums))
    assert value("note_density", drums) == pytest.approx(2 / 1.25)


def test_groove_consistency_does_not_depend_on_resolution() -> None:
    """MusPy gives one Bach piece .998 at 480 ticks a quarter and .804 at 4; random onsets .997."""
    random = np.random.default_rng(0)
    start = np.sort(random.integers(0, 64, 60)) * 120
    on_grid = piece(start, [120] * 60, [60] * 60)
    jittered = replace(on_grid, start=np.maximum(on_grid.start + random.integers(-59, 60, 60), 0).astype(np.int32))
    assert value("groove_consistency", jittered) == value("groove_consistency", on_grid)
    noise = piece(np.sort(random.integers(0, 32 * 1920, 500)), [120] * 500, [60] * 500)
    assert value("groove_consistency", noise) < 0.75


@settings(max_examples=50, deadline=None)
@given(pieces(), st.integers(-12, 12), st.integers(0, 5))
def test_invariances(notes: Notes, semitones: int, bars: int) -> None:
    transposed = replace(notes, pitch=notes.pitch + np.int16(semitones))
    later = replace(notes, start=notes.start + np.int32(bars * 1920))
    shuffled = notes[np.random.default_rng(0).permutation(len(notes))]
    versions = Pieces.of([notes, transposed, shuffled, later])
    for name in PIECE_METRICS:
        metric = load_metric(name)
        assert isinstance(metric, PieceMetric)
        plain, after_transposition, after_shuffling, after_delay = metric.values(versions)
        expected = pytest.approx(plain, nan_ok=True)
        if name != "mean_pitch":
            assert after_transposition == expected, name
        assert after_shuffling == expected, name
        if name not in FROM_TICK_0:
            assert after_delay == expected, name


@settings(max_examples=15, deadline=None)
@given(st.lists(pieces(), min_size=1, max_size=5))
def test_a_piece_has_one_value_whoever_stands_beside_it(several: list[Notes]) -> None:
    together = Pieces.of([EMPTY, *several, EMPTY])
    assert [len(piece) for piece in together] == [0, *map(len, several), 0]
    for name in METRICS:
        metric = load_metric(name)
        if isinstance(metric, PieceMetric):
            alone = [metric(piece) for piece in together]
            assert metric.values(together) == pytest.approx(alone, nan_ok=True), name


@given(pieces())
def test_polyphony_agrees_with_a_piano_roll(notes: Notes) -> None:
    roll = np.zeros(41, int)
    for start, end in zip(notes.start // 120, notes.end // 120, strict=True):
        roll[start:end] += 1
    assert value("polyphony", notes) == pytest.approx(roll.sum() / (roll > 0).sum())


def test_melodic_intervals_stay_within_a_track_and_take_the_top_of_a_chord() -> None:
    notes = piece([0, 0, 480, 0, 480], [480] * 5, [60, 67, 65, 48, 36], track=[0, 0, 0, 1, 1])
    assert melodic_intervals(notes).tolist() == [-2, -12]
    assert melodic_intervals(ONE).tolist() == []
    assert melodic_intervals(EMPTY).tolist() == []


def test_divergences_by_hand() -> None:
    assert jensen_shannon(np.array([[1.0, 0.0]]), np.array([0.0, 1.0])) == pytest.approx([1.0])
    assert jensen_shannon(np.array([[0.5, 0.5]]), np.array([0.5, 0.5])) == pytest.approx([0.0])
    half = 0.5 * (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5 * np.log2(2))
    assert jensen_shannon(np.array([[1.0, 0.0]]), np.array([0.5, 0.5])) == pytest.approx([half])
    one_quarter = np.eye(97)[[12]]
    assert wasserstein_quarters(one_quarter, np.eye(97)[24]) == pytest.approx([1.0])


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_of_a_set_to_itself_is_zero_and_location_is_not_lost(name: str) -> None:
    """mgeval gives 0.000 to a shift by ten standard deviations and .87 to a set and itself."""
    metric = load_metric(name)
    assert isinstance(metric, HistogramDistance)
    counts = metric.counts([SCALE, SCALE])
    assert metric.distances(counts, counts.sum(axis=0)) == pytest.approx([0.0, 0.0], abs=1e-12)
    moved = piece(np.arange(8) * 960, [960] * 8, [61, 61, 68, 70, 61, 66, 68, 61])
    assert metric.distances(metric.counts([moved]), counts.sum(axis=0))[0] > 0.3
    assert np.isnan(metric.distances(metric.counts([EMPTY]), counts.sum(axis=0))).all()
    assert np.isnan(metric.distances(counts, np.zeros(len(metric.labels)))).all()


@given(pieces())
def test_intervals_and_durations_ignore_transposition(notes: Notes) -> None:
    for name in ("interval_distance", "duration_distance"):
        metric = load_metric(name)
        assert isinstance(metric, HistogramDistance)
        transposed = replace(notes, pitch=notes.pitch + np.int16(5))
        assert (metric.count(notes) == metric.count(transposed)).all()


def test_an_unknown_metric_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="no metric named 'groove'.*polyphony"):
        load_metric("groove")
