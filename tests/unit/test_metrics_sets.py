"""Measuring a run and its controls on a small invented corpus."""

from pathlib import Path

import numpy as np
import pytest

from dalsegno.data.excerpts import read_excerpts
from dalsegno.data.notes import TICKS_PER_BAR, join_notes, read_notes, write_notes
from dalsegno.metrics.control import CONTROLS, control, noise, shuffle
from dalsegno.metrics.measure import measure, write_histograms
from dalsegno.metrics.registry import METRICS
from dalsegno.metrics.rows import Identity, Row, write_rows
from dalsegno.representations.options import Voices
from dalsegno.representations.packing import pack
from tests.unit.music import chorale, write_corpus

# Densities are slow, embeddings want an encoder: they have tests of their own.
SLOW = ("overlap_area", "feature_kl", "intra_inter", "embedding")
QUICK = [name for name in METRICS if not name.startswith(SLOW)]
IDENTITY = Identity(study="s", dataset="d", run="r", representation="v", model="m", seed="0", sampler="plain")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def controls(corpus: tuple[Path, Path]) -> dict[tuple[str, str], Row]:
    rows, _ = control(*corpus, QUICK, "s", "d", bars=8, count=6, resamples=300)
    return {(row.model, row.metric): row for row in rows}


def test_controls_stand_in_the_right_order(controls: dict[tuple[str, str], Row]) -> None:
    def value(model: str, metric: str) -> float:
        return controls[model, metric].value

    assert value("held_out", "scale_consistency") > 0.95 > value("noise", "scale_consistency")
    assert value("noise", "pitch_class_entropy") > value("held_out", "pitch_class_entropy")
    assert value("held_out", "groove_consistency") > value("noise", "groove_consistency") + 0.1
    assert value("held_out", "interval_distance") < 0.2 * value("shuffled", "interval_distance")
    assert value("shuffled", "interval_distance") < value("noise", "interval_distance")
    for metric in ("pitch_class_entropy", "scale_consistency", "groove_consistency", "note_density", "polyphony"):
        assert value("shuffled", metric) == value("held_out", metric), f"{metric}: shuffling keeps it"


def test_what_a_representation_cannot_say_shows_beside_real_music(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    """On the voice grid a repeated pitch becomes one long note: fewer notes, and no interval of zero."""
    voices = Voices(kind="voices", lowest=20, highest=110)
    pack(voices, *corpus, tmp_path)
    metrics = ["note_density", "interval_distance", "pitch_range"]
    rows, _ = control(*corpus, metrics, "s", "d", 8, 6, 300, packed={"voices": tmp_path})
    found = {(row.representation, row.metric): row.value for row in rows if row.model == "held_out"}
    assert found["voices", "note_density"] < 0.95 * found["", "note_density"]
    assert found["voices", "interval_distance"] > 2 * found["", "interval_distance"]
    assert found["voices", "pitch_range"] == found["", "pitch_range"]


def test_a_distance_of_more_pieces_is_smaller_so_the_size_of_a_set_is_told(corpus: tuple[Path, Path]) -> None:
    few, many = (
        {row.model: row for row in control(*corpus, ["interval_distance"], "s", "d", 8, count, 300)[0]}
        for count in (2, 10)
    )
    assert few["held_out"].value > many["held_out"].value
    assert (few["held_out"].n, many["held_out"].n) == (2, 10)


def test_real_music_as_samples_falls_into_the_band_of_real_music(
    corpus: tuple[Path, Path], controls: dict[tuple[str, str], Row], tmp_path: Path
) -> None:
    write_notes(tmp_path / "notes.parquet", join_notes([chorale(1000 + i) for i in range(6)]))
    rows, histograms = measure(tmp_path / "notes.parquet", 6, *corpus, QUICK, IDENTITY, bars=8, resamples=300)
    assert {row.metric for row in rows} == set(QUICK)
    for row in rows:
        assert row.sampler == "plain" and row.unit
        if row.note:
            assert row.metric == "frechet_distance" and row.note == "undefined: 6 pieces, needs 24"
            continue
        assert row.n == (0 if row.metric.startswith("drum_pattern") else 6 - 6 * (row.metric == "structureness_long"))
        band = controls["held_out", row.metric]
        if row.metric in ("pitch_class_distance", "interval_distance", "duration_distance"):
            assert row.split == "test" and row.value < 2 * band.ci_high, row.metric
    assert set(histograms) == {"pitch_class_distance", "interval_distance", "duration_distance"}
    for content in histograms.values():
        for shares in content["shares"].values():
            assert len(shares) == len(content["labels"]) and sum(shares) == pytest.approx(1)


def test_pieces_without_notes_are_counted_and_not_averaged(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    write_notes(tmp_path / "notes.parquet", join_notes([chorale(1), chorale(2)])[:0])
    rows, histograms = measure(tmp_path / "notes.parquet", 3, *corpus, QUICK, IDENTITY, bars=8)
    values = {row.metric: row for row in rows}
    assert values.pop("empty_pieces").value == 1.0
    for row in values.values():
        if not row.metric.endswith("_compat"):
            assert np.isnan(row.value) and row.n == 0, row.metric
    write_rows(tmp_path / "metrics.csv", rows)
    assert histograms["interval_distance"]["shares"]["samples"] is None


def test_held_out_pieces_are_cut_to_the_samples_length(corpus: tuple[Path, Path]) -> None:
    excerpts = read_excerpts(*corpus, bars=2)
    assert [len(excerpts[name]) for name in ("train", "valid", "test")] == [20, 10, 10]
    assert max(int(piece.end.max()) for pieces in excerpts.values() for piece in pieces) <= 2 * TICKS_PER_BAR


def test_controls_keep_what_they_say(corpus: tuple[Path, Path]) -> None:
    notes = chorale(5)
    shuffled = shuffle(notes, np.random.default_rng(0))
    assert (np.sort(shuffled.pitch) == np.sort(notes.pitch)).all() and (shuffled.pitch != notes.pitch).any()
    assert (shuffled.start == notes.start).all()
    random = noise(notes, np.random.default_rng(0))
    assert len(random) == len(notes) and random.end.max() <= notes.end.max()
    assert notes.pitch.min() <= random.pitch.min() and random.pitch.max() <= notes.pitch.max()


def test_the_same_bytes_twice(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        rows, histograms = control(*corpus, QUICK, "s", "d", bars=8, count=6, resamples=50)
        write_rows(tmp_path / name / "metrics.csv", rows)
        write_histograms(tmp_path / name / "histograms.json", histograms)
        write_notes(tmp_path / name / "notes.parquet", read_notes(corpus[0] / "notes.parquet"))
    for file in ("metrics.csv", "histograms.json", "notes.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert {row.model for row in rows} == set(CONTROLS)
