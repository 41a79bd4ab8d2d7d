"""The compat forms repeat other programs to the last digit; their defects are shown beside our value and the truth."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from dalsegno.data.notes import Notes, make_notes
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.harmony import chord_changes
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import load_metric
from tests.unit.test_copying_real import SHARED, chorales, tunes
from tests.unit.test_metrics_pieces import EMPTY, SCALE, piece, pieces, value

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/muspy.json").read_text())
BAR = 1920


@pytest.mark.parametrize("name", GOLDEN[0]["values"])
def test_muspy(name: str) -> None:
    """`tests/golden/make_muspy.py` writes the numbers: if a change of ours is meant, it is not a compat form."""
    music = [
        make_notes(**dict(zip(("track", "program", "start", "duration", "pitch"), columns, strict=True)))
        for columns in (np.array(row["notes"], int).reshape(-1, 5).T for row in GOLDEN)
    ]
    metric = load_metric(name)
    assert isinstance(metric, PieceMetric)
    expected = np.array([row["values"][name] for row in GOLDEN], float)
    assert np.isfinite(expected).sum() >= 10
    np.testing.assert_allclose(metric.values(Pieces.of(music)), expected, rtol=0, atol=1e-9)


def musdr_entropy(notes: Notes, window: int) -> float:
    """MusDr's H, over tokens of a bar and one of its 64 positions each."""
    bar = (notes.start + 15) // BAR
    bars = int(bar.max()) + 1
    window = min(window, bars)
    values = []
    for first in range(bars - window + 1):
        classes = notes.pitch[(bar >= first) & (bar < first + window)] % 12
        if len(classes):
            shares = np.bincount(classes) / len(classes)
            shares = shares[shares > 0]
            values.append(-(shares * np.log2(shares)).sum())
    return float(np.mean(values))


def musdr_groove(notes: Notes) -> float:
    """MusDr's GS: all pairs of bars."""
    step = (notes.start + 15) // 30
    onset = np.zeros((int(step.max()) // 64 + 1, 64))
    onset[step // 64, step % 64] = 1
    pairs = [1 - np.abs(a - b).sum() / 64 for a, b in itertools.combinations(onset, 2)]
    return float(np.mean(pairs)) if pairs else np.nan


def musdr_irregularity(chords: list[int]) -> float:
    """MusDr's CPI."""
    if len(chords) <= 3:
        return 1.0
    grams = [tuple(chords[i : i + 3]) for i in range(len(chords) - 3)]
    return len(set(grams)) / len(grams)


@settings(max_examples=40, deadline=None)
@given(pieces())
def test_formulas_of_musdr_and_mgeval(notes: Notes) -> None:
    check_formulas(notes)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "jsb.zip").exists(), reason="the archives are not here")
def test_formulas_of_musdr_and_mgeval_on_real_pieces() -> None:
    """Thirty-two bars of each: beyond 1,000 pairs of bars MusDr draws some without a seed."""
    music = [*chorales(), *tunes()]
    assert len(music) >= 500
    for notes in music:
        check_formulas(notes.excerpt(32 * BAR))


def check_formulas(notes: Notes) -> None:
    def close(expected: float) -> object:
        return pytest.approx(expected, abs=1e-9, nan_ok=True)

    assert value("pitch_class_entropy_1bar_compat", notes) == close(musdr_entropy(notes, 1))
    assert value("pitch_class_entropy_4bar_compat", notes) == close(musdr_entropy(notes, 4))
    assert value("grooving_similarity_compat", notes) == close(musdr_groove(notes))
    chords = chord_changes(Pieces.of([notes]))[1].tolist()
    assert value("chord_irregularity_compat", notes) == close(musdr_irregularity(chords))
    first = notes[notes.track == notes.track.min()]
    in_file = first.pitch[np.lexsort((first.duration, first.pitch, first.start))].astype(int)
    shifts = np.abs(np.diff(in_file))
    assert value("interval_size_compat", notes) == close(shifts.mean() if len(shifts) else np.nan)
    waits = np.diff(np.sort(notes.start)) / 480
    assert value("inter_onset_interval_compat", notes) == close(waits.mean() if len(waits) else np.nan)


def progression(*chords: tuple[int, int, int]) -> Notes:
    """A quarter each."""
    return piece(np.repeat(np.arange(len(chords)) * 480, 3), [480] * 3 * len(chords), np.concatenate(chords))


C, F, G = (60, 64, 67), (60, 65, 69), (59, 62, 67)
DRUMS = piece([0, 480], [120] * 2, [36, 38], program=[128] * 2)
STRUCK_TWICE = progression(C, C)


@pytest.mark.parametrize(
    ("name", "notes", "theirs", "true"),
    [
        # One of four beats is silent. MusPy lets the first note fill the second beat, too, and adds a fifth.
        ("empty_beat_rate", piece([0, 960, 1440], [480] * 3, [60] * 3), 0.0, 1 / 4),
        # Two of three bars are silent; MusPy adds a fourth bar and says that the last note fills it.
        ("empty_bar_rate", piece([2 * BAR], [BAR], [60]), 1 / 2, 2 / 3),
        # Two pitches are "multiple pitches", as documented; the code asks for three.
        ("polyphony_rate", piece([0, 0], [480] * 2, [60, 67]), 0.0, 1.0),
        # No pitch has no range and uses no pitch classes; MusPy takes 0 - 127, or a silent zero.
        ("pitch_range", DRUMS, -127.0, np.nan),
        ("pitch_range", EMPTY, 0.0, np.nan),
        ("pitches_used", DRUMS, 0.0, np.nan),
        ("pitch_classes_used", DRUMS, 0.0, np.nan),
        # C F G C F G: four trigrams, of which the last repeats the first; MusDr does not look at the last.
        ("chord_irregularity", progression(C, F, G, C, F, G), 1.0, 3 / 4),
        # Three chords have one trigram: undefined is not 1, and 1 of 1 is.
        ("chord_irregularity", progression(C, F), 1.0, np.nan),
        # A chord struck twice has one interval of a quarter; mgeval counts five, four of them 0.
        ("inter_onset_interval", STRUCK_TWICE, 1 / 5, 1.0),
        # … and one melodic interval, a repetition; mgeval climbs the chords.
        ("interval_size", STRUCK_TWICE, (4 + 3 + 7 + 4 + 3) / 5, 0.0),
    ],
)
def test_a_defect_beside_the_true_value(name: str, notes: Notes, theirs: float, true: float) -> None:
    assert value(f"{name}_compat", notes) == pytest.approx(theirs, nan_ok=True)
    assert value(name, notes) == pytest.approx(true, nan_ok=True)


def test_muspy_calls_noise_a_perfect_groove() -> None:
    """Two bars of random onsets share no rhythm, but nearly all of their 1,920 ticks are silent in both.

    With onsets on half of 16 random positions, two bars agree on half of the positions; that is the true value.
    """
    random = np.random.default_rng(0)
    ticks = np.sort(random.integers(0, 64 * BAR, 64 * 8))
    noise = piece(ticks, [60] * len(ticks), [60] * len(ticks))
    assert value("groove_consistency_compat", noise) > 0.99
    assert 0.45 < value("groove_consistency", noise) < 0.65
    same = piece(np.arange(16) * 480, [60] * 16, [60] * 16)
    assert value("groove_consistency_compat", same) == value("groove_consistency", same) == 1


def test_muspy_hears_no_pattern_in_a_human_drummer() -> None:
    """Sixteenths some ticks (two milliseconds) early or late are sixteenths; MusPy asks for the very tick."""
    drummer = piece([2, 478, 962, 1438], [60] * 4, [36] * 4, program=[128] * 4)
    assert value("drum_pattern_consistency_compat", drummer) == 0.0
    assert value("drum_pattern_rate", drummer) == 1.0


def test_muspy_raises_without_tracks_where_we_say_nan() -> None:
    for name in ("empty_beat_rate", "empty_bar_rate", "polyphony", "polyphony_rate", "groove_consistency"):
        assert GOLDEN[0]["notes"] == [] and GOLDEN[0]["values"][f"{name}_compat"] is None
        assert np.isnan(value(f"{name}_compat", EMPTY)) and np.isnan(value(name, EMPTY))


def test_unisons_are_two_notes_and_one_pitch() -> None:
    """No defect, but two questions: how many notes sound (ours), and how many pitches (MusPy)."""
    unison = piece([0, 0], [480] * 2, [60, 60], track=[0, 1])
    assert (value("polyphony", unison), value("polyphony_compat", unison)) == (2.0, 1.0)
    assert value("polyphony", SCALE) == value("polyphony_compat", SCALE) == 1.0
