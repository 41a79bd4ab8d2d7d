"""Corpus building: what is found is a piece or a reject, and equal music gives equal bytes."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import symusic

from dalsegno.data import corpus, manifest
from dalsegno.data.options import FolderSource, Labels, Music21Source
from dalsegno.data.read_midi import read
from dalsegno.data.tables import NOTE_COLUMNS, Corpus, Entry, Music, write_corpus

CHORALES = Music21Source(kind="music21", collection="bach_chorales")


def midi_bytes(pitches: tuple[int, ...]) -> bytes:
    """A format 0 file at 96 ticks a quarter with one quarter note a pitch."""
    events = b"".join(bytes([0, 0x90, p, 64, 96, 0x80, p, 0]) for p in pitches) + b"\x00\xff\x2f\x00"
    header = (
        b"MThd" + (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big") + (96).to_bytes(2, "big")
    )
    return header + b"MTrk" + len(events).to_bytes(4, "big") + events


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    (folder / "deep").mkdir(parents=True)
    # SymbTR has bytes behind the last track; they are no reason to refuse the music.
    (folder / "b.mid").write_bytes(midi_bytes((60, 62, 64)) + b"\x80" * 12)
    (folder / "deep" / "a.MIDI").write_bytes(midi_bytes((67,)))
    (folder / "broken.mid").write_bytes(midi_bytes((60,))[:30])
    (folder / "garbage.mid").write_bytes(b"this is no music")
    (folder / "garbage2.mid").write_bytes(b"nor is this")
    (folder / "malformed.mid").write_bytes(midi_bytes((60,))[:22] + b"\xff" * 12)
    (folder / "silent.mid").write_bytes(midi_bytes(()))
    (folder / "zero.mid").write_bytes(b"")
    (folder / "notes.txt").write_text("not MIDI")
    (folder / ".hidden.mid").write_bytes(b"")
    return folder


def source(folder: Path) -> FolderSource:
    return FolderSource(kind="folder", path=str(folder))


def test_every_file_found_is_a_piece_or_a_reject(folder: Path, tmp_path: Path) -> None:
    corpus.build(source(folder), 1.0, tmp_path / "out", jobs=2)
    tables = Corpus(tmp_path / "out")
    with open(tmp_path / "out" / "rejects.csv", newline="") as file:
        rejects = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert [piece["piece"] for piece in tables.pieces] == ["b", "deep/a"]
    assert sorted(rejects) == [
        "broken.mid",
        "garbage.mid",
        "garbage2.mid",
        "malformed.mid",
        "notes.txt",
        "silent.mid",
        "zero.mid",
    ]
    assert rejects["broken.mid"] == "the file is torn: its last chunk lacks 4 bytes"
    assert rejects["malformed.mid"] == "a track chunk is malformed (symusic)"
    assert rejects["silent.mid"] == "no notes"
    assert rejects["zero.mid"] == "the file is empty (0 bytes)"
    assert rejects["notes.txt"].startswith("not a music file")
    assert tables.piece(0)["pitch"].tolist() == [60, 62, 64]
    assert tables.piece(0)["start"].tolist() == [0, 480, 960]
    assert tables.piece(0)["duration"].tolist() == [480, 480, 480]
    assert tables.seconds(0) == pytest.approx(1.5)


def test_the_midi_reader_gives_the_notes_that_symusic_holds(tmp_path: Path) -> None:
    score = symusic.Score(960)
    score.tracks.extend([symusic.Track(), symusic.Track(program=41), symusic.Track(program=7, is_drum=True)])
    random = np.random.default_rng(0)
    for track in score.tracks[1:]:
        for start, length, pitch, velocity in random.integers((0, 1, 0, 1), (9600, 2000, 128, 128), (50, 4)).tolist():
            track.notes.append(symusic.Note(start, length, pitch, velocity))
    score.dump_midi(tmp_path / "a.mid")
    held = symusic.Score(tmp_path / "a.mid").resample(480, min_dur=1)
    wanted = [
        (index, note.time, note.pitch, note.duration, program, note.velocity)
        for index, (track, program) in enumerate(zip([t for t in held.tracks if t.notes], (41, 128), strict=True))
        for note in track.notes
    ]
    notes = read(tmp_path / "a.mid").notes
    assert notes.dtype == np.int32
    assert sorted(map(tuple, notes.tolist())) == sorted(wanted)
    assert len(wanted) > 90


def labelled(folder: Path, **options: object) -> FolderSource:
    return FolderSource(kind="folder", path=str(folder), labels=Labels.model_validate(options))


def test_a_table_of_labels_reaches_its_pieces(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "labels.csv").write_text(
        "path,composer,set,mood\ndeep/a.MIDI,Anna,2,\nb.mid,Bert,1,calm\ngone.mid,Carl,3,calm\n"
    )
    corpus.build(labelled(folder, group=["composer", "set"], columns=["mood"]), 1.0, tmp_path / "out", jobs=1)
    assert [tuple(row.values()) for row in pq.read_table(tmp_path / "out" / "labels.parquet").to_pylist()] == [
        (0, "group", "Bert | 1"),
        (0, "mood", "calm"),
        (1, "group", "Anna | 2"),
    ]
    assert "labels.csv," in (tmp_path / "out" / "rejects.csv").read_text()
    told = capsys.readouterr().err
    assert "1 rows without their file (first: gone.mid)" in told
    assert "files without a row (first: broken.mid)" in told


@pytest.mark.parametrize(
    ("options", "content", "told"),
    [
        (
            {"path": "file"},
            "path,a\nb.mid,1\n",
            r"labels.csv has no column 'file' \(labels.path\); its columns: path, a",
        ),
        ({"group": "b"}, "path,a\nb.mid,1\n", r"no column 'b' \(labels.group\)"),
        ({"columns": ["c"]}, "path,a\nb.mid,1\n", r"no column 'c' \(labels.columns\)"),
        ({}, "path,a\nb.mid,1\nb.mid,2\n", "line 3: b.mid is named twice in 'path'"),
        ({}, "path,a\n/x/b.mid,1\n", "no row of the column 'path' is the path of a music file"),
        ({"file": "other.csv"}, "path\nb.mid\n", "no file other.csv: correct labels.file"),
    ],
)
def test_mistakes_in_a_table_of_labels_are_named(
    folder: Path, tmp_path: Path, options: dict[str, object], content: str, told: str
) -> None:
    (folder / "labels.csv").write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        corpus.build(labelled(folder, **options), 1.0, tmp_path / "out", jobs=1)


def labels_of(source: FolderSource, out: Path) -> dict[str, dict[str, str]]:
    corpus.build(source, 1.0, out, jobs=1)
    found: dict[str, dict[str, str]] = {piece["piece"]: {} for piece in Corpus(out).pieces}
    for row in pq.read_table(out / "labels.parquet").to_pylist():
        found[list(found)[row["piece"]]][row["label"]] = row["value"]
    return found


def test_paths_label_their_files(folder: Path, tmp_path: Path) -> None:
    pattern = "^((?P<group>[^/]+)/)?(?P<letter>[a-z])[.]"
    given = source(folder).model_copy(update={"path_labels": pattern})
    assert labels_of(given, tmp_path / "out") == {"b": {"letter": "b"}, "deep/a": {"group": "deep", "letter": "a"}}
    with pytest.raises(ValueError, match=r"no path matches path_labels '\^x' \(first: b.mid\)"):
        corpus.build(given.model_copy(update={"path_labels": "^x"}), 1.0, tmp_path / "no", jobs=1)


def test_a_table_beside_its_files_goes_before_their_paths(folder: Path, tmp_path: Path) -> None:
    (folder / "deep" / "info.csv").write_text("midi,letter,split\na.MIDI,alpha,Validation\n")
    given = labelled(folder, file="deep/info.csv", path="midi")
    given = given.model_copy(update={"path_labels": "(?P<letter>[a-z])[.]"})
    found = labels_of(given, tmp_path / "out")
    assert found == {"b": {"letter": "b"}, "deep/a": {"letter": "alpha", "split": "valid"}}


def test_labels_of_the_files_stand_sorted_beside_the_notes(tmp_path: Path) -> None:
    notes = np.array([[0, 0, 60, 480, 0, 80]], np.int32)
    labels = {"b": (("region", "Saar"), ("group", "x")), "a": (), "c": (("group", "x"), ("group", "x"))}
    music = [Entry(name, name, name, "", Music("", notes, labels=rows)) for name, rows in labels.items()]
    write_corpus(tmp_path, music, [])
    assert pq.read_table(tmp_path / "labels.parquet").to_pylist() == [
        {"piece": 1, "label": "group", "value": "x"},
        {"piece": 1, "label": "region", "value": "Saar"},
        {"piece": 2, "label": "group", "value": "x"},
    ]


@pytest.mark.parametrize("notes", [np.zeros((2, 6), np.int64), np.zeros((2, len(NOTE_COLUMNS) + 1), np.int32)])
def test_notes_of_another_shape_or_type_are_refused(notes: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"instead of int32 \[n, 6\]"):
        Music("", notes)


def test_two_builds_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        corpus.build(source(folder), 1.0, tmp_path / name, jobs=jobs)
    names = sorted(os.listdir(tmp_path / "one"))
    assert names == sorted(os.listdir(tmp_path / "two"))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_too_many_rejects_name_the_commonest_reason(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"6 of 8 pieces cannot be read.*2 × not a MIDI file.*raise max_rejects"):
        corpus.build(source(folder), 0.5, tmp_path / "out", jobs=1)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        manifest.list_source(FolderSource(kind="folder", path="nowhere"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        manifest.list_source(FolderSource(kind="folder", path="empty"), tmp_path)


def test_the_manifest_follows_contents_and_reads_each_file_once(folder: Path, tmp_path: Path) -> None:
    source, cache = FolderSource(kind="folder", path=str(folder)), tmp_path / "cache" / "digests.json"
    first = manifest.source_files(source, tmp_path, cache)
    stamp = cache.stat().st_mtime_ns
    assert manifest.source_files(source, tmp_path, cache) == first
    assert cache.stat().st_mtime_ns == stamp
    (folder / "b.mid").write_bytes(midi_bytes((60, 62, 65, 67)))
    changed = manifest.source_files(source, tmp_path, cache)
    assert [path for (path, old), (_, new) in zip(first, changed, strict=True) if old != new] == ["b.mid"]
    assert manifest.digest(first) != manifest.digest(changed)
    cache.write_text("{ torn")
    assert manifest.source_files(source, tmp_path, cache) == changed


def test_chorales_are_four_monophonic_voices(tmp_path: Path) -> None:
    files = manifest.list_source(CHORALES)
    assert len(files) == 410
    wanted = {"bwv1.6", "bwv366", "bwv316", "bwv846"}
    corpus.build_files(CHORALES, [file for file in files if file.piece in wanted], tmp_path, 0.5, jobs=1)
    tables = Corpus(tmp_path)
    assert [piece["piece"] for piece in tables.pieces] == ["bwv1.6", "bwv316", "bwv366"]
    assert [piece["tracks"] for piece in tables.pieces] == [4, 4, 4]
    assert "bwv846.mxl" in (tmp_path / "rejects.csv").read_text()
    assert tables.meters(0) == [(0, 1, 4), (480, 4, 4)]
    for index in range(3):
        notes = tables.piece(index)
        means = [notes["pitch"][notes["track"] == voice].mean() for voice in range(4)]
        assert means == sorted(means, reverse=True)
