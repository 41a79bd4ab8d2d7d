"""A dataset's features: windows in their piece's split, a scaler of the training pieces, rejects with reasons."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from safetensors.numpy import load_file

from dalsegno.data import corpus
from dalsegno.data.options import Source, parse_source
from dalsegno.features.augmentation import Augmentation, augment
from dalsegno.features.build import build
from dalsegno.features.gtzan import summary
from dalsegno.features.loading import FeatureSet
from dalsegno.features.options import Chroma, Gtzan, LogMel, parse
from dalsegno.sound.signal import to_mono
from dalsegno.study import StudyError, load
from tests.unit.music import chorale, write_corpus

SPLITS = {"a": "train", "b": "train", "c": "valid", "d": "test", "e": "train", "f": "train", "g": "unused", "h": "test"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Path, Path]:
    """Eight recordings of several formats as a corpus, and their split."""
    root = tmp_path_factory.mktemp("recordings")
    clips = root / "clips"
    clips.mkdir()
    generator = np.random.default_rng(0)

    def music(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
        time = np.arange(int(seconds * rate)) / rate
        tone = 0.3 * np.sin(2 * np.pi * generator.uniform(200, 800) * time) * (1 + np.sin(2 * np.pi * 2 * time)) / 2
        return np.stack([tone + generator.normal(0, 0.01, len(tone)) for _ in range(channels)], axis=1)

    soundfile.write(clips / "a.wav", music(2.5, 22050), 22050)
    soundfile.write(clips / "b.flac", music(2.2, 48000, 2), 48000)
    soundfile.write(clips / "c.wav", music(2.0, 8000, 6), 8000)
    soundfile.write(clips / "d.wav", music(3.1, 192000), 192000)
    soundfile.write(clips / "e.wav", np.zeros(44100), 22050)
    soundfile.write(clips / "f.wav", music(0.05, 22050), 22050)
    soundfile.write(clips / "g.wav", music(1.5, 22050), 22050)
    soundfile.write(clips / "h.wav", np.concatenate([np.zeros((22050, 1)), music(1.2, 22050)]), 22050)
    source = parse_source({"kind": "folder", "path": str(clips), "modality": "audio"})
    corpus.build(source, 0.5, root / "corpus")
    lines = [f"{piece},{split},{piece},true" for piece, split in SPLITS.items()]
    (root / "split.csv").write_text("\n".join(["piece,split,family,clean", *lines, ""]))
    return source, root / "corpus", root / "split.csv"


def rejects(folder: Path) -> dict[str, str]:
    with open(folder / "rejects.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def test_windows_inherit_the_split_and_the_scaler_knows_training_only(
    recordings: tuple[Source, Path, Path], tmp_path: Path
) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        build(Gtzan(kind="gtzan", window=1.0), *recordings, tmp_path / name, jobs)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["features.parquet", "rejects.csv", "scaler.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    table = pq.read_table(tmp_path / "one" / "features.parquet").to_pylist()
    found = [(row["piece"], row["split"], row["window"], row["start"]) for row in table]
    assert found == [
        ("a", "train", 0, 0.0),
        ("a", "train", 1, 1.0),
        ("b", "train", 0, 0.0),
        ("b", "train", 1, 1.0),
        ("c", "valid", 0, 0.0),
        ("c", "valid", 1, 1.0),
        *(("d", "test", i, float(i)) for i in range(3)),
        ("h", "test", 1, 1.0),
    ]
    assert rejects(tmp_path / "one") == {
        "e": "silence: no sample differs from 0",
        "f": "0.05 s are less than a window of 1 s",
        "h@0s": "silence: no sample differs from 0",
    }
    features = FeatureSet(tmp_path / "one")
    training = features.values[features.split == "train"].astype(float)
    assert np.allclose(features.mean, training.mean(axis=0), rtol=1e-6)
    scale = training.std(axis=0)
    assert np.allclose(features.scale, np.where(scale > 0, scale, 1), rtol=1e-6)
    assert json.loads((tmp_path / "one" / "scaler.json").read_text())["rows"] == [4] * 57
    content, rate = soundfile.read(Path(recordings[0].path) / "b.flac", dtype="float32")  # type: ignore[union-attr]
    mono = to_mono(content, rate, 22050)
    assert np.array_equal(features.values[3], summary(mono[22050:44100], 22050))


def test_whole_recordings_are_one_row_each_and_heard_for_so_long(
    recordings: tuple[Source, Path, Path], tmp_path: Path
) -> None:
    build(Gtzan(kind="gtzan", seconds=2.0), *recordings, tmp_path, 1)
    table = pq.read_table(tmp_path / "features.parquet").to_pylist()
    assert [(row["piece"], row["seconds"]) for row in table] == [
        ("a", 2.0),
        ("b", 2.0),
        ("c", 2.0),
        ("d", 2.0),
        ("h", 2.0),
    ]
    assert rejects(tmp_path)["f"] == "1102 samples are too few: a frame has 2048"


def test_sequences_are_mapped_and_batched(recordings: tuple[Source, Path, Path], tmp_path: Path) -> None:
    build(LogMel(kind="log_mel", window=1.0, bands=40), *recordings, tmp_path, 2)
    features = FeatureSet(tmp_path)
    assert len(features) == 10 and features.columns[:2] == ["mel1", "mel2"]
    assert np.diff(features.offsets).tolist() == [44] * 10
    assert isinstance(features.values, np.memmap)
    assert np.array_equal(features.values, load_file(tmp_path / "features.safetensors")["values"])
    training = np.concatenate([features.standardised(i) for i in features.windows("train").tolist()])
    assert np.allclose(training.mean(axis=0), 0, atol=1e-4) and np.allclose(training.std(axis=0), 1, atol=1e-4)
    batches = list(features.batches("train", 3))
    assert [values.shape for values, _, _ in batches] == [(3, 44, 40), (1, 44, 40)]
    assert np.concatenate([windows for _, _, windows in batches]).tolist() == features.windows("train").tolist()

    def shuffled(seed: int) -> list[np.ndarray]:
        return [values for values, *_ in features.batches("train", 3, np.random.default_rng(seed), Augmentation())]

    one, again, other = shuffled(0), shuffled(0), shuffled(1)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])
    with pytest.raises(ValueError, match="the test split is never augmented"):
        next(features.batches("test", 3, np.random.default_rng(0), Augmentation()))


def test_masks_and_noise() -> None:
    values = np.ones((400, 50, 30), np.float32)
    lengths = np.full(400, 40)
    masked = augment(values, lengths, Augmentation(noise=0), np.random.default_rng(0))
    assert (masked[:, 40:] == 1).all(), "padding stays"
    rows, columns = (masked[:, :40] == 0).all(axis=2).sum(axis=1), (masked[:, :40] == 0).all(axis=1).sum(axis=1)
    assert rows.max() == 8 and columns.max() == 6, "a fifth at most"
    assert rows.mean() == pytest.approx(4, abs=0.4) and columns.mean() == pytest.approx(3, abs=0.3)
    noisy = augment(values, lengths, Augmentation(frequency_masks=0, time_masks=0), np.random.default_rng(0))
    assert (noisy[:, :40] - 1).std() == pytest.approx(0.3, rel=0.01) and (values == 1).all()


def test_notes_are_rendered(tmp_path: Path) -> None:
    folder, split = write_corpus(tmp_path, 8)
    source = parse_source({"kind": "folder", "path": "nowhere"})
    out = tmp_path / "features"
    out.mkdir()
    build(Chroma(kind="chroma", seconds=3.0), source, folder, split, out, 2)
    features = FeatureSet(out)
    assert len(features) == 8 and features.seconds.tolist() == [3.0] * 8
    for number in range(8):
        notes = chorale(number).excerpt(3 * 960)
        heard = np.bincount(notes.pitch % 12, notes.duration, minlength=12)
        chroma = features.values[features.offsets[number] : features.offsets[number + 1]].mean(axis=0)
        assert np.corrcoef(heard, chroma)[0, 1] > 0.6


def test_a_split_without_training_features_fails_with_the_reason(
    recordings: tuple[Source, Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match=r"no training piece has features of kind `gtzan`: .* less than a window of 3 s"
    ):
        build(Gtzan(kind="gtzan", window=3.0), *recordings, tmp_path, 1)
    assert not any(tmp_path.iterdir())


def test_options_survive_a_spec() -> None:
    for options in (Gtzan(kind="gtzan", window=3), LogMel(kind="log_mel", bands=64)):
        assert parse(options.model_dump(mode="json")) == options


def test_mistakes_in_a_study_are_named() -> None:
    study = {
        "study": "sounds",
        "title": "Sounds",
        "datasets": {
            "tunes": {"source": {"kind": "folder", "path": "tunes"}},
            "rows": {"source": {"kind": "folder", "path": "rows", "modality": "table"}},
        },
        "features": {"three": {"kind": "log_mel", "band": 20}, "four": {"kind": "gtzn"}},
    }
    with pytest.raises(StudyError) as error:
        load(study, "x.yaml")
    assert "features.three.band: unknown key; did you mean 'bands'?" in str(error.value)
    assert "features.four.kind: 'gtzn' is not valid; did you mean 'gtzan'?" in str(error.value)
    study["features"] = {
        "one": {"kind": "gtzan", "datasets": ["tunse", "rows"]},
        "two": {"kind": "gtzan", "window": 30, "seconds": 10},
    }
    with pytest.raises(StudyError) as error:
        load(study, "x.yaml")
    assert "features.one.datasets.0: the study has no dataset 'tunse'; did you mean 'tunes'?" in str(error.value)
    assert "features.one.datasets.1: rows is of modality table, gtzan needs notes or audio" in str(error.value)
    assert "features.two.window: 30 s do not fit in the 10 s of `seconds`" in str(error.value)
