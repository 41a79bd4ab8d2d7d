"""Grids, piano rolls and tables of notes: exact notes by hand, and the published arrays given back."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from dalsegno.data import read_grid, read_notes_csv, read_rolls
from dalsegno.representations.base import Piece
from dalsegno.representations.options import Voices
from dalsegno.representations.voices import VoiceGrid

SHARED = Path(os.getenv("DALSEGNO_SHARED") or Path(__file__).parents[3] / "shared") / "data"


def archive(name: str) -> zipfile.ZipFile:
    if not (SHARED / f"{name}.zip").exists():
        pytest.skip(f"{name}.zip is not at hand")
    return zipfile.ZipFile(SHARED / f"{name}.zip")


def columns(notes: np.ndarray) -> dict[str, np.ndarray]:
    names = ("track", "start", "pitch", "duration", "program", "velocity")
    return {name: notes[:, i] for i, name in enumerate(names)}


def test_equal_neighbours_on_a_grid_are_one_note(tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    path.write_text(json.dumps({"train": [[[60, -1], [60, 48], [62, 48]]], "test": [[[70, 50]]]}))
    assert read_grid.parts(path) == ["train/0", "test/0"]
    music = read_grid.read(path, "train/0")
    assert music.notes[:, :4].tolist() == [[0, 0, 60, 240], [0, 240, 62, 120], [1, 120, 48, 240]]
    assert music.labels == (("split", "train"),)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[1, 2", "not JSON"),
        ("[[60]]", "not an object of lists"),
        ('{"train": [[[60, 61], [60]]]}', "different numbers of voices"),
        ('{"train": [[[60], [400]]]}', "step 1, voice 0: 400 is no MIDI pitch"),
        ('{"train": [[[-1], [-1]]]}', "no notes"),
    ],
)
def test_a_broken_grid_is_refused_with_its_reason(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "grid.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=reason):
        read_grid.read(path, read_grid.parts(path)[0])


def test_a_key_that_sounds_on_is_one_note(tmp_path: Path) -> None:
    roll = np.zeros((4, 88))
    roll[0:2, 0], roll[3, 0], roll[1:4, 87] = 1, 1, 1
    lists = {name: np.empty((1, 1), object) for name in read_rolls.SPLITS}
    for cells in lists.values():
        cells[0, 0] = roll
    savemat(tmp_path / "rolls.mat", lists)
    music = read_rolls.read(tmp_path / "rolls.mat", "valid/0", {"frames_per_quarter": 4})
    assert music.notes[:, 1:4].tolist() == [[0, 21, 240], [360, 21, 120], [120, 108, 360]]
    assert music.labels == (("split", "valid"),)


def test_a_table_of_notes_rounds_to_the_nearest_tick(tmp_path: Path) -> None:
    path = tmp_path / "solo.csv"
    path.write_text("65,1.0,0.5\n63,1.5003,0.0001\n")
    music = read_notes_csv.read(path, options={"header": False, "pitch": 0, "onset": 1, "duration": 2})
    assert music.notes.tolist() == [[0, 960, 65, 480, 0, 80], [0, 1440, 63, 1, 0, 80]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,1,1", "line 2: pitch 'x' is no number"),
        ("60,1", "line 2 has 2 columns, duration is asked from column 2"),
        ("60,nan,1", "note 1: onset nan is out of range"),
        ("128,1,1", "note 1: pitch 128 is out of range"),
        ("60,1,-1", "note 1: duration -1 is out of range"),
        ("60,1e12,1", "out of range"),
        ("", "no notes"),
    ],
)
def test_a_broken_table_of_notes_names_line_and_column(tmp_path: Path, row: str, reason: str) -> None:
    path = tmp_path / "solo.csv"
    path.write_text(f"pitch,onset,duration\n{row}\n")
    with pytest.raises(ValueError, match=reason):
        read_notes_csv.read(path)


def test_a_table_without_the_column_lists_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "solo.csv"
    path.write_text("note,onset,duration\n60,0,1\n")
    with pytest.raises(ValueError, match="no column 'pitch'; the table's columns: note, onset, duration"):
        read_notes_csv.read(path)


def test_all_published_chorales_come_back_as_their_arrays(tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    with archive("jsb") as files:
        path.write_bytes(files.read("jsb/Jsb16thSeparated.json"))
    published = json.loads(path.read_text())
    grid = VoiceGrid(Voices(kind="voices"))
    equal = 0
    for part in read_grid.parts(path):
        split, number = part.split("/")
        expected = np.array(published[split][int(number)])
        tokens = grid.encode(Piece(columns(read_grid.read(path, part).notes)))
        heard = np.where(tokens > 0, tokens + grid.options.lowest - 1, -1)
        # A roll may end in a rest, which no note tells.
        equal += np.array_equal(heard, expected[: len(heard)]) and bool((expected[len(heard) :] == -1).all())
    assert equal == 382


@pytest.mark.parametrize(
    ("name", "pieces"), [("JSB_Chorales", 382), ("Nottingham", 1037), ("MuseData", 783), ("Piano_midi", 124)]
)
def test_published_rolls_come_back_cell_by_cell(tmp_path: Path, name: str, pieces: int) -> None:
    with archive("polyphonic") as files:
        content = files.read(f"polyphonic/{name}.mat")
    (tmp_path / "rolls.mat").write_bytes(content)
    published = loadmat(io.BytesIO(content))
    parts = read_rolls.parts(tmp_path / "rolls.mat")
    assert len(parts) == pieces
    for part in parts[:: max(1, pieces // 60)]:
        split, number = part.split("/")
        roll = published[f"{split}data"][0][int(number)]
        again = np.zeros_like(roll)
        for _, start, pitch, duration, _, _ in read_rolls.read(tmp_path / "rolls.mat", part).notes.tolist():
            again[start // 240 : (start + duration) // 240, pitch - 21] = 1
        assert np.array_equal(again, roll), part
