"""Features of notes: what is known of small pieces, what transposition leaves alone, and what pretty_midi says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from dalsegno.data import tables
from dalsegno.data.notes import Notes, make_notes
from dalsegno.data.options import parse_source
from dalsegno.features.build import build
from dalsegno.features.loading import FeatureSet
from dalsegno.features.options import Symbolic
from dalsegno.features.symbolic import METRICS, columns, values
from dalsegno.metrics.registry import load_metric
from dalsegno.sampling.export import write_midi
from tests.unit.music import chorale, listed, write_corpus

OPTIONS = Symbolic(kind="symbolic")


def corpus_of(folder: Path, pieces: list[Notes], **music: object) -> tables.Corpus:
    folder.mkdir(exist_ok=True)
    entries = [
        tables.Entry(f"p{i:03d}", f"p{i:03d}.mid", "0", "CC0", tables.Music("", listed(piece), **music))
        for i, piece in enumerate(pieces)
    ]
    tables.write_corpus(folder, entries, [])
    return tables.Corpus(folder)


def features(folder: Path, pieces: list[Notes], **music: object) -> list[dict[str, float]]:
    corpus = corpus_of(folder, pieces, **music)
    rows = values(corpus, range(len(pieces)), OPTIONS)
    assert rows.dtype == np.float32
    return [dict(zip(columns(OPTIONS), row.tolist(), strict=True)) for row in rows]


def test_a_scale_in_c(tmp_path: Path) -> None:
    scale = make_notes(
        start=np.arange(8) * 480, duration=[240] * 8, pitch=[60, 62, 64, 65, 67, 69, 71, 72], velocity=[60, 100] * 4
    )
    (found,) = features(tmp_path, [scale], tempos=((0, 60.0),), meters=((0, 3, 4),))
    assert found["degree_0"] == 0.25 and found["degree_1"] == 0 and found["degree_7"] == 0.125
    assert found["major"] > 0
    assert found["interval_1"] == pytest.approx(2 / 7) and found["interval_2"] == pytest.approx(5 / 7)
    assert (found["rising_share"], found["turn_share"]) == (1, 0)
    assert (found["bass_share"], found["middle_share"], found["treble_share"]) == (0, 1, 0)
    assert (found["values_eighths"], found["onset_1"], found["onset_5"]) == (1, 0.25, 0.25)
    assert (found["pitches_at_once"], found["most_pitches_at_once"], found["tracks"]) == (1, 1, 1)
    assert (found["velocity"], found["velocity_range"], found["velocity_change"]) == (80, 40, 40)
    assert (found["notes_piano"], found["programs"]) == (1, 1)
    assert (found["qpm"], found["seconds"], found["meter_numerator"], found["meter_denominator"]) == (60, 7.5, 3, 4)
    assert found["notes_per_second"] == pytest.approx(8 / 7.5)


def test_chords_drums_and_staccato(tmp_path: Path) -> None:
    triads = make_notes(
        start=[0, 0, 0, 960, 960, 960, 0],
        duration=[960] * 6 + [60],
        pitch=[48, 52, 55, 50, 53, 57, 36],
        track=[0] * 6 + [1],
        program=[40] * 6 + [128],
    )
    (found,) = features(tmp_path, [triads])
    assert (found["simultaneous_pitch_classes_3"], found["pitches_at_once"]) == (1, 3)
    assert [found[f"vertical_interval_class_{i}"] for i in range(1, 7)] == pytest.approx([0, 0, 1 / 3, 1 / 3, 1 / 3, 0])
    assert found["notes_strings"] == pytest.approx(6 / 7) and found["notes_drums"] == pytest.approx(1 / 7)
    assert (found["tracks"], found["programs"]) == (2, 2)
    assert found["largest_track_share"] == pytest.approx(6 / 7)
    assert found["staccato_share"] == pytest.approx(1 / 7), "60 ticks at 120 are 62 ms"
    assert found["tonal_distance"] != found["tonal_distance"], "one pitched track has no other"


def test_a_transposed_piece_differs_in_its_register_alone(tmp_path: Path) -> None:
    one = chorale(3)
    other = make_notes(
        start=one.start, duration=one.duration, pitch=one.pitch - 5, track=one.track, program=one.program
    )
    first, second = features(tmp_path, [one, other])
    differing = {name for name in first if first[name] == first[name] and not np.isclose(first[name], second[name])}
    assert differing <= {"mean_pitch", "bass_share", "middle_share", "treble_share"}
    assert "mean_pitch" in differing


def test_metrics_are_the_metrics(tmp_path: Path) -> None:
    pieces = [chorale(seed) for seed in range(4)]
    found = features(tmp_path, pieces)
    for name in METRICS:
        expected = load_metric(name).values(pieces).astype(np.float32)  # type: ignore[union-attr]
        assert np.array_equal([row[name] for row in found], expected, equal_nan=True), name


def test_pretty_midi_reads_the_same(tmp_path: Path) -> None:
    notes = chorale(1)
    write_midi(tmp_path / "x.mid", notes, qpm=90)
    other = pretty_midi.PrettyMIDI(str(tmp_path / "x.mid"))
    (found,) = features(tmp_path / "corpus", [notes], tempos=((0, 90.0),))
    histogram = other.get_pitch_class_histogram(use_duration=False, normalize=True)
    degrees = np.array([found[f"degree_{i}"] for i in range(12)])
    assert any(np.allclose(np.roll(histogram, -tonic), degrees) for tonic in range(12))
    assert found["seconds"] == pytest.approx(other.get_end_time(), abs=1e-3)
    assert found["qpm"] == pytest.approx(other.get_tempo_changes()[1][0], rel=1e-5)
    intervals = np.concatenate([np.diff([note.pitch for note in track.notes]) for track in other.instruments])
    shares = np.bincount(np.minimum(np.abs(intervals), 13), minlength=14) / len(intervals)
    assert [found[f"interval_{i}"] for i in range(13)] == pytest.approx(shares[:13].tolist())
    rolls = sum((track.get_piano_roll(fs=48) > 0).astype(int) for track in other.instruments)
    at_once = (rolls > 0).sum(axis=0)
    assert found["pitches_at_once"] == pytest.approx(at_once[at_once > 0].mean(), rel=0.02)


def test_what_is_undefined_is_nan_and_not_zero(tmp_path: Path) -> None:
    empty = make_notes(start=[], duration=[], pitch=[])
    short = make_notes(start=[0], duration=[0], pitch=[60])
    drums = make_notes(start=[0, 480], duration=[240, 240], pitch=[36, 38], program=[128, 128])
    long = make_notes(start=[0, 12 * 3600 * 960], duration=[480, 480], pitch=[60, 62])
    many = make_notes(start=np.zeros(10_000), duration=np.full(10_000, 480), pitch=np.arange(10_000) % 128)
    nothing, point, beat, hours, crowd = features(tmp_path, [empty, short, drums, long, many])
    assert np.isnan(nothing["mean_pitch"]) and np.isnan(nothing["degree_0"]) and nothing["tracks"] == 0
    assert point["mean_pitch"] == 60 and np.isnan(point["pitches_at_once"])
    assert np.isnan(beat["mean_pitch"]) and beat["notes_drums"] == 1 and np.isnan(beat["interval_wider"])
    assert hours["seconds"] == pytest.approx(12 * 3600 + 0.5) and np.isfinite(hours["note_density"])
    assert crowd["most_pitches_at_once"] == 128


def test_a_stage_of_its_own(tmp_path: Path) -> None:
    folder, split = write_corpus(tmp_path, 12)
    for name in "ab":
        (tmp_path / name).mkdir()
        build(OPTIONS, parse_source({"kind": "folder", "path": "x"}), folder, split, tmp_path / name)
    found = FeatureSet(tmp_path / "a")
    assert len(found) == 12 and tuple(found.columns) == columns(OPTIONS)
    assert np.isfinite(found.standardised(0)).all()
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
