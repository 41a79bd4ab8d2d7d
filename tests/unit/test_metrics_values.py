"""Metrics of a piece against values worked out by hand, and against slow programs that say the definition."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from dalsegno.data.notes import Notes, make_notes
from dalsegno.metrics import structure
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import METRICS, load_metric
from dalsegno.metrics.similarity import likeness
from tests.unit.music import chorale
from tests.unit.test_metrics_pieces import EMPTY, ONE, SCALE, piece, pieces, value

CHORD = piece([0, 0, 0], [960] * 3, [60, 64, 67])
DRUMS = piece([0, 480, 980], [120] * 3, [36, 38, 42], program=[128] * 3)
BAR = 1920


def voices(*parts: list[int], duration: int = 480) -> Notes:
    """Tracks of equal notes."""
    n = [len(part) for part in parts]
    return make_notes(
        track=np.repeat(np.arange(len(parts)), n),
        start=np.concatenate([np.arange(k) * duration for k in n]),
        duration=[duration] * sum(n),
        pitch=np.concatenate(parts),
    )


@pytest.mark.parametrize(
    ("name", "notes", "expected"),
    [
        ("pitch_classes_used", SCALE, 7),
        ("pitches_used", SCALE, 8),
        ("pitch_entropy", SCALE, 3),
        ("mean_pitch", CHORD, 191 / 3),
        ("pitch_class_entropy_1bar", SCALE, 2),
        ("pitch_class_entropy_4bar", piece([0, BAR], [480] * 2, [60, 61]), 1),
        ("interval_size", SCALE, 12 / 7),
        ("repeat_share", voices([60, 60, 62]), 1 / 2),
        ("step_share", SCALE, 1),
        ("leap_share", voices([60, 65, 67, 60]), 2 / 3),
        ("note_duration", CHORD, 2),
        ("duration_entropy", piece([0, 1, 2, 3], [480, 480, 240, 240], [60] * 4), 1),
        ("inter_onset_interval", CHORD, np.nan),
        ("inter_onset_interval", piece([0, 0, 480, 1440], [1] * 4, [60] * 4), 1.5),
        ("inter_onset_entropy", piece([0, 0, 480, 1440], [1] * 4, [60] * 4), 1),
        ("off_beat_share", piece([0, 100, 240, 500], [1] * 4, [60] * 4), 2 / 4),
        # Four quarters are the strongest four positions; on the eighths between them, 4 × 2 instead of 5 + 4 + 3 + 3.
        ("rhythm_complexity", SCALE, 0),
        ("rhythm_complexity", piece(np.arange(4) * 480 + 240, [240] * 4, [60] * 4), 15 - 8),
        # An eighth off the beat, tied over the quarter (levels 3 and 2), then over the half bar (3 and 1); 2 syncopations.
        ("syncopation", piece([0, 240, 720, 1200], [240] * 4, [60] * 4), (3 - 2) + (3 - 1)),
        ("syncopation", SCALE, 0),
        ("syncopation", piece([1440, 2400], [480] * 2, [60] * 2), (2 - 0) / 2),
        ("polyphony_rate", SCALE, 0),
        ("polyphony_rate", piece([0, 0, 960], [480, 960, 480], [60, 64, 67]), 480 / 1440),
        ("polyphony_rate", piece([0, 0], [480] * 2, [60, 60], track=[0, 1]), 0),
        ("empty_beat_rate", piece([0, 960], [480] * 2, [60] * 2), 1 / 3),
        ("empty_bar_rate", piece([2 * BAR], [BAR], [60]), 2 / 3),
        ("triad_share", CHORD, 1),
        ("triad_share", piece([0, 0, 0, 480], [960, 960, 960, 480], [60, 64, 67, 70]), 1 / 2),
        ("seventh_share", piece([0, 0, 0, 480], [960, 960, 960, 480], [60, 64, 67, 70]), 1 / 2),
        ("triad_share", piece([0, 0], [960] * 2, [60, 64]), np.nan),
        ("chord_entropy", voices([60, 60, 60, 62], [64, 64, 65, 65], [67, 67, 69, 69]), 1.5),
        ("chords_used", voices([60, 60, 60, 62], [64, 64, 65, 65], [67, 67, 69, 69]), 3),
        ("chords_used", SCALE, np.nan),
        ("chord_irregularity", voices([60, 60] * 5, [64, 65] * 5, [67, 69] * 5), 2 / 8),
        # A fifth is a twelfth of the circle of fifths, a quarter of that of minor thirds, a third of that of major thirds.
        ("tonal_distance", voices([60], [67]), np.sqrt((2 - np.sqrt(3)) + 2 + 3 / 4)),
        ("tonal_distance", voices([60], [72]), 0),
        ("tonal_distance", SCALE, np.nan),
        ("chord_tonal_distance", voices([60, 62], [64, 66], [67, 69]), np.sqrt((2 + np.sqrt(3)) / 9 + 20 / 9 + 1 / 4)),
        ("empty_track_bar_rate", piece([0, 0, BAR], [480] * 3, [60, 48, 62], track=[0, 1, 0]), 1 / 4),
        ("pitch_classes_per_bar", piece([0, 480, 0], [480, 1920, 480], [60, 62, 48], track=[0, 0, 1]), 4 / 3),
        ("qualified_note_rate", piece([0, 480, 960], [59, 60, 480], [60] * 3), 2 / 3),
        ("drum_pattern_rate", DRUMS, 2 / 3),
        ("drum_pattern_rate", piece([0, 160, 249], [60] * 3, [36] * 3, program=[128] * 3), 2 / 3),
        ("parallel_fifths", voices([67, 69, 71], [60, 62, 60]), 1 / 2),
        ("parallel_fifths", voices([67, 69], [48, 50]), 1),
        ("parallel_fifths", voices([67, 79], [60, 48]), 0),
        ("parallel_octaves", voices([72, 74, 74], [60, 62, 64]), 1),
        ("parallel_octaves", SCALE, np.nan),
        ("voice_crossings", voices([67, 60, 67, 67], [60, 62, 60, 60]), 1 / 4),
        ("chroma_similarity", piece([0, BAR], [480] * 2, [60, 72]), 1),
        ("chroma_similarity", piece([0, 0, BAR], [480] * 3, [60, 62, 72]), np.sqrt(0.5)),
        ("grooving_similarity", piece([0, BAR, BAR + 480], [120] * 3, [60] * 3), 15 / 16),
        ("instrumentation_similarity", piece([0, 480, BAR], [480] * 3, [60] * 3, program=[0, 9, 0]), 1 / 2),
        ("self_similarity", piece([0, 480, BAR], [480] * 3, [60, 62, 72]), 2 / 3),
        ("repeated_bars", piece([0, 480, BAR, 3 * BAR], [480] * 4, [60, 62, 60, 60]), 1 / 3),
        ("structureness_short", piece(np.arange(4) * BAR, [480] * 4, [60, 62, 60, 62]), 1),
        ("structureness_short", piece(np.arange(4) * BAR, [480] * 4, [60, 62, 60, 63]), 1 / 2),
        ("structureness_short", piece(np.arange(3) * BAR, [480] * 3, [60] * 3), np.nan),
        ("structureness_mid", piece(np.arange(9) * BAR, [480] * 9, [60, 61, 62, 63, 59, 60, 61, 62, 63]), 1),
    ],
)
def test_hand_computed(name: str, notes: Notes, expected: float) -> None:
    assert value(name, notes) == pytest.approx(expected, nan_ok=True)


def test_key_clarity() -> None:
    """A key's own profile has the correlation 1, wherever its tonic; a chromatic scale has no key."""
    profile = np.array([635, 223, 348, 233, 438, 409, 252, 519, 239, 366, 229, 288])
    own = piece(np.zeros(12), profile, (np.arange(12) + 5) % 12 + 60)
    assert value("key_clarity", own) == pytest.approx(1)
    assert value("key_clarity", SCALE) > 0.8
    assert np.isnan(value("key_clarity", piece([0] * 12, [480] * 12, range(60, 72))))


def test_compression_hears_repetition_at_any_pitch() -> None:
    random = np.random.default_rng(0)
    motif = random.integers(50, 80, 16)
    sequence = np.concatenate([motif + step for step in (0, 2, 4, 5)])
    wild = random.integers(50, 80, 64)
    ratios = [value("compression_ratio", voices(pitch.tolist())) for pitch in (sequence, wild)]
    assert ratios[0] > 1.3 * ratios[1]
    assert np.isnan(value("compression_ratio", ONE))


def test_likeness_of_a_piece_to_its_source() -> None:
    tune = chorale(3)
    same = likeness(tune, tune)
    assert (same.chroma, same.grooving, same.instrumentation) == pytest.approx((1, 1, 1))
    other = likeness(tune, chorale(4))
    assert 0 < other.chroma < 1 and 0 < other.grooving < 1 and other.instrumentation == 1
    nothing = likeness(EMPTY, tune)
    assert np.isnan([nothing.chroma, nothing.grooving, nothing.instrumentation]).all()
    moved = likeness(piece([0], [480], [60], program=[3]), piece([0, 480], [480] * 2, [60, 60], program=[3, 4]))
    assert (moved.chroma, moved.grooving, moved.instrumentation) == pytest.approx((1, 15 / 16, 1 / 2))


def roll(notes: Notes, keys: np.ndarray) -> np.ndarray:
    """A piano roll in sixteenths."""
    grid = np.zeros((int(notes.end.max()) // 120, 128), bool)
    for start, end, key in zip(notes.start // 120, notes.end // 120, keys, strict=True):
        grid[start:end, key] = True
    return grid


@settings(max_examples=40, deadline=None)
@given(pieces())
def test_what_sounds_together_agrees_with_a_piano_roll(notes: Notes) -> None:
    pitches = roll(notes, notes.pitch)
    first = int(notes.start.min()) // 120
    assert value("polyphony_rate", notes) == pytest.approx((pitches[first:].sum(axis=1) >= 2).mean())
    classes = roll(notes, notes.pitch % 12)[:, :12]
    chords = [tuple(np.flatnonzero(row)) for row in classes if row.sum() >= 3]
    triads = {
        tuple(sorted((root + degree) % 12 for degree in shape))
        for root in range(12)
        for shape in ((0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 8))
    }
    expected = np.mean([chord in triads for chord in chords]) if chords else np.nan
    assert value("triad_share", notes) == pytest.approx(expected, nan_ok=True)
    if chords:
        shares = np.unique(chords_as_text(chords), return_counts=True)[1] / len(chords)
        assert value("chord_entropy", notes) == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-12)
    for ticks, name in ((4, "empty_beat_rate"), (16, "empty_bar_rate")):
        units = [pitches[i : i + ticks] for i in range(0, len(pitches), ticks)]
        assert value(name, notes) == pytest.approx(np.mean([not unit.any() for unit in units]))


def chords_as_text(chords: list[tuple[int, ...]]) -> list[str]:
    return [" ".join(map(str, chord)) for chord in chords]


@settings(max_examples=40, deadline=None)
@given(pieces())
def test_all_pairs_of_bars_in_closed_form(notes: Notes) -> None:
    bars = int(notes.start.max()) // BAR + 1
    onset, chroma, cells = np.zeros((bars, 16)), np.zeros((bars, 12)), np.zeros((bars, 16, 12))
    for start, pitch in zip(notes.start, notes.pitch, strict=True):
        onset[start // BAR, start % BAR // 120] = 1
        chroma[start // BAR, pitch % 12] += 1
        cells[start // BAR, start % BAR // 120, pitch % 12] = 1
    pairs = list(itertools.combinations(range(bars), 2))
    agree = [np.mean(onset[a] == onset[b]) for a, b in pairs]
    assert value("grooving_similarity", notes) == pytest.approx(np.mean(agree) if agree else np.nan, nan_ok=True)
    norms = np.linalg.norm(chroma, axis=1)
    cosines = [chroma[a] @ chroma[b] / norms[a] / norms[b] for a, b in pairs if norms[a] and norms[b]]
    assert value("chroma_similarity", notes) == pytest.approx(np.mean(cosines) if cosines else np.nan, nan_ok=True)
    dice = [
        2 * (cells[a] * cells[b]).sum() / (cells[a].sum() + cells[b].sum()) for a, b in pairs if norms[a] or norms[b]
    ]
    assert value("self_similarity", notes) == pytest.approx(np.mean(dice) if dice else np.nan, nan_ok=True)


def test_every_metric_stands_on_the_page_of_metrics() -> None:
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    told = set()
    for cell in re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE):
        names = re.findall(r"`(\w+)`", cell)
        stem = names[0].rpartition("_")[0]
        told |= {stem + name if name.startswith("_") else name for name in names}
    assert told == {name for name in METRICS if not name.endswith("_compat")}


def test_long_silences_are_skipped_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    gaps = random.choice([0, 240, 3 * 1920, 100 * 1920, 300 * 1920], (40, 20), p=[0.3, 0.4, 0.2, 0.05, 0.05])
    pieces = [make_notes(start=np.cumsum(row), duration=[240] * 20, pitch=random.integers(60, 64, 20)) for row in gaps]
    sparse = structure.repetition(Pieces.of(pieces))
    assert len(structure._near(np.arange(2**20) == 5)) < 200
    monkeypatch.setattr(structure, "_near", lambda heard: np.arange(len(heard)))
    full = structure.repetition(Pieces.of(pieces))
    np.testing.assert_allclose(sparse.mean_P, full.mean_P)
    for length, best in full.best.items():
        np.testing.assert_allclose(sparse.best[length], best, atol=1e-12)


@pytest.mark.parametrize("bars", [1, 4])
def test_entropy_of_windows_is_that_of_all_windows_taken_one_by_one(bars: int) -> None:
    """Silences at the start, between and before a stray last note, shorter and longer than a window."""
    for starts in ([0, 1, 2, 3], [3, 4, 9, 40], [0], [2, 5], [1, 8, 12, 300]):
        random = np.random.default_rng(sum(starts))
        bar = np.repeat(starts, 6)
        pitch = random.integers(40, 80, len(bar))
        start = bar * 1920 + random.integers(0, 1800, len(bar))
        width = min(bars, starts[-1] + 1)
        windows = [pitch[(bar >= low) & (bar < low + width)] % 12 for low in range(starts[-1] + 2 - width)]
        shares = [np.bincount(window) / len(window) for window in windows if len(window)]
        expected = np.mean([-sum(p * np.log2(p) for p in share if p) for share in shares])
        piece = make_notes(start=start, duration=np.full(len(bar), 240), pitch=pitch)
        metric = load_metric(f"pitch_class_entropy_{bars}bar")
        assert metric(piece) == pytest.approx(expected, abs=1e-12), starts
