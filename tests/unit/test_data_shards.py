"""A corpus parsed in shards holds the bytes of one parsed at once, whatever the number of shards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
from pydantic import ValidationError

from dalsegno.data import corpus
from dalsegno.data.options import CORPUS_FILES, Dataset, Source, parse_source
from tests.unit.test_data_corpus import midi_bytes
from tests.unit.test_data_scores import MUSICXML

TUNE = "X:{0}\nT:tune {0}\nM:3/4\nL:1/8\nQ:1/4=90\nK:Gmin\n|: GABc dd | {1}3 B3 :|\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Books of tunes, MIDI files and a score with labels, broken files, and names that sort in odd ways."""
    made = tmp_path / "music"
    (made / "deep").mkdir(parents=True)
    for name in ("book.abc", "book 2.abc", "book-2.abc", "zoo.abc"):
        (made / name).write_text("\n".join(TUNE.format(n, "AGFE"[n]) for n in range(3)))
    for index, name in enumerate(("a", "book", "book x", "deep/a", "deep/a-b", "zoo#1")):
        (made / f"{name}.mid").write_bytes(midi_bytes((60 + index, 62, 64)))
    (made / "score.musicxml").write_text(MUSICXML)
    (made / "torn.mid").write_bytes(midi_bytes((60, 62))[:-5])
    (made / "notes.txt").write_text("no music")
    (made / ".hidden.mid").write_bytes(b"")
    (made / "labels.csv").write_text("path,dance,author\na.mid,reel,x\ndeep/a.mid,jig,x\nzoo.abc,,y\n")
    return made


def source(path: Path, **more: Any) -> Source:
    kind = "archive" if path.is_file() else "folder"
    labels = {"group": "author"}
    return parse_source({"kind": kind, "path": str(path), "labels": labels, "licence": "CC0", **more})


def joined(given: Source, shards: int, folder: Path, max_rejects: float = 1.0) -> Path:
    parts = [folder / str(number) for number in range(shards)]
    for number, part in enumerate(parts):
        corpus.build_shard(given, number, shards, part)
    corpus.join_shards(given, parts, max_rejects, folder / "all")
    return folder / "all"


def assert_equal(one: Path, other: Path, modality: str = "notes") -> None:
    for name in CORPUS_FILES[modality]:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("shards", [1, 3, 17])
def test_shards_of_a_folder_make_the_same_corpus(folder: Path, tmp_path: Path, shards: int) -> None:
    given = source(folder)
    corpus.build(given, 1.0, tmp_path / "once")
    made = joined(given, shards, tmp_path / "shards")
    assert_equal(made, tmp_path / "once")
    assert pq.read_table(made / "pieces.parquet").num_rows == 4 * 3 + 6 + 1
    assert {name.name for name in made.iterdir()} == set(CORPUS_FILES["notes"])


def test_shards_of_an_archive_unpack_their_part_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".hidden.mid").unlink()
    archive = Path(shutil.make_archive(str(tmp_path / "music"), "gztar", folder))
    given = source(archive, exclude=["*.txt"])
    corpus.build(given, 1.0, tmp_path / "once")
    written: list[list[str]] = []
    unpack = corpus.unpack
    monkeypatch.setattr(corpus, "unpack", lambda *given, **more: written.append(unpack(*given, **more)))
    assert_equal(joined(given, 4, tmp_path / "shards"), tmp_path / "once")
    music = [{*names} - {"labels.csv"} for names in written]
    assert sum(map(len, music)) == len(set.union(*music)) == 12, "no file is unpacked twice"
    assert max(map(len, music)) <= 4


def test_row_groups_do_not_depend_on_shards(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dalsegno.data import tables

    monkeypatch.setattr(tables, "ROWS_A_GROUP", 20)
    given = source(folder)
    corpus.build(given, 1.0, tmp_path / "once")
    assert pq.ParquetFile(tmp_path / "once/notes.parquet").num_row_groups > 3
    assert_equal(joined(given, 3, tmp_path / "shards"), tmp_path / "once")


def test_the_share_of_rejects_is_that_of_all_shards(folder: Path, tmp_path: Path) -> None:
    given = source(folder)
    joined(given, 3, tmp_path / "enough", 0.05)
    with pytest.raises(ValueError, match="1 of 20 pieces cannot be read, more than max_rejects"):
        joined(given, 3, tmp_path / "few", 0.04)


def test_a_source_without_music_fails_as_it_does_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.txt").write_text("no music")
    given = parse_source({"kind": "folder", "path": str(folder)})
    told = r"none of the 2 files is a music file \(first: a.txt\)"
    with pytest.raises(ValueError, match=told):
        corpus.build(given, 1.0, tmp_path / "once")
    with pytest.raises(ValueError, match=told):
        joined(given, 2, tmp_path / "shards")


def test_recordings_in_shards(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(5):
        soundfile.write(folder / f"{index}.wav", [0.1 * index] * 100, 8000)
    (folder / "labels.csv").write_text("path,author\n0.wav,x\n3.wav,x\n")
    given = source(folder, modality="audio")
    corpus.build(given, 1.0, tmp_path / "once")
    assert_equal(joined(given, 2, tmp_path / "shards", 1.0), tmp_path / "once", "audio")


def test_a_table_of_features_is_no_matter_of_shards() -> None:
    table = {"kind": "folder", "path": "x", "modality": "table"}
    with pytest.raises(ValidationError, match="shards: a table of features is read by one job"):
        Dataset.model_validate({"source": table, "shards": 2})
