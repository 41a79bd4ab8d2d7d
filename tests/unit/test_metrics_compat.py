"""The compat forms repeat other programs to the last digit; their defects are shown beside our value and the truth."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.data.notes import Notes, make_notes
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import load_metric
from tests.unit import oracles
from tests.unit.music import chorale
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


@settings(max_examples=40, deadline=None)
@given(pieces())
def test_formulas_of_musdr_and_mgeval(notes: Notes) -> None:
    oracles.check_musdr_and_mgeval(notes)


@settings(max_examples=40, deadline=None)
@given(pieces(), st.integers(0, 2))
def test_formulas_of_musegan(notes: Notes, drums: int) -> None:
    oracles.check_musegan(replace(notes, program=np.where(notes.track == drums, 128, notes.program).astype(np.int16)))


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
    ticks = np.sort(np.random.default_rng(0).integers(0, 64 * BAR, 64 * 8))
    noise = piece(ticks, [60] * len(ticks), [60] * len(ticks))
    assert value("groove_consistency_compat", noise) > 0.99
    assert 0.45 < value("groove_consistency", noise) < 0.65
    same = piece(np.arange(16) * 480, [60] * 16, [60] * 16)
    assert value("groove_consistency_compat", same) == value("groove_consistency", same) == 1


def test_muspys_groove_depends_on_the_resolution() -> None:
    """One piece in quarters and eighths at four resolutions: the music is the same, and so is our value.

    MusPy 0.5 was asked at each resolution. Truth: two neighbouring bars of sixteen positions agree on 15 of them.
    """
    music = chorale(0, bars=16)
    asked = {480: 0.9993489583333334, 24: 0.9869791666666666, 12: 0.9739583333333334, 4: 0.921875}
    for resolution, theirs in asked.items():
        assert oracles.muspy_groove(music, resolution) == theirs
        coarse = replace(music, start=music.start * resolution // 480 * (480 // resolution))
        assert value("groove_consistency", coarse) == 15 / 16
    assert value("groove_consistency_compat", music) == asked[480]


def test_musdr_draws_pairs_of_bars_without_a_seed() -> None:
    """Sixty bars have 1,770 pairs: each run of MusDr takes another thousand, we take all."""
    music = piece(np.sort(np.random.default_rng(0).integers(0, 960, 400)) * 120, [120] * 400, [60] * 400)
    drawn = {oracles.musdr_groove(music, random.Random(seed)) for seed in range(5)}
    everything = oracles.musdr_groove(music)
    assert len(drawn) == 5 and min(drawn) < everything < max(drawn)
    assert value("grooving_similarity_compat", music) == pytest.approx(everything, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "notes", "theirs", "true"),
    [
        # Forty ticks are two steps, and a qualified note has three.
        ("qualified_note_rate", piece([0, 480], [40, 480], [60, 62]), 1.0, 1 / 2),
        # One long note is one note, not a long one and a fragment behind the bar line.
        ("qualified_note_rate", piece([480], [1460], [60]), 1 / 2, 1.0),
        # A drum one step beside the sixteenth is not on it.
        ("drum_pattern_rate", piece([0, 20], [60] * 2, [36] * 2, program=[128] * 2), 0.55, 1 / 2),
    ],
)
def test_musegans_program_counts_otherwise_than_its_paper(name: str, notes: Notes, theirs: float, true: float) -> None:
    assert oracles.musegan_program(notes)[name] == pytest.approx(theirs)
    assert value(name, notes) == pytest.approx(true)


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
