"""Frames of keys: the polyphonic boards' matrices come back, decoding is total, transposition moves keys."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dalsegno.data import read_rolls
from dalsegno.data.tables import NOTE_COLUMNS as MUSIC_COLUMNS
from dalsegno.representations import registry
from dalsegno.representations.base import NOTE_COLUMNS, Piece, columns_of_notes
from dalsegno.representations.frames import KeyFrames
from dalsegno.representations.options import Frames
from dalsegno.training.batches import transposed

SHARED = Path(os.environ.get("DALSEGNO_SHARED", Path(__file__).parents[3] / "shared"))
SMALL = KeyFrames(Frames(kind="frames", steps_per_quarter=1, lowest=60, highest=65))


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 20), st.just(6)), elements=st.integers(0, 1)))
def test_any_frames_decode_and_come_back(frames_TxK):
    told = registry.decode(frames_TxK, SMALL.vocabulary)
    assert (told.notes["duration"] > 0).all() and not told.repairs
    frames_TxK[-1, 0] = 1
    again = SMALL.encode(SMALL.decode(frames_TxK, SMALL.vocabulary))
    assert np.array_equal(again, frames_TxK)


def test_what_sounds_at_its_beginning_is_in_a_frame():
    notes = [(0, 0, 0, 480, 60, 80), (1, 0, 240, 480, 62, 80), (0, 0, 480, 200, 60, 80), (0, 0, 500, 300, 64, 80)]
    frames = SMALL.encode(Piece(columns_of_notes(notes)))
    assert frames.tolist() == [[1, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0]]
    with pytest.raises(ValueError, match="pitches 59-62 leave the keys 60-65"):
        SMALL.encode(Piece(columns_of_notes([(0, 0, 0, 480, 59, 80), *notes])))
    with pytest.raises(ValueError, match="no note reaches a frame"):
        SMALL.encode(Piece(columns_of_notes([(0, 0, 1, 100, 60, 80)])))


def test_keys_beyond_the_training_range_stay_off():
    grammar = SMALL.grammar([(1, 3)])
    assert grammar.allowed_SxV[:, 1].tolist() == [False, True, True, True, False, False]
    assert grammar.state_after(np.zeros(8, np.int16)) == 2


def test_transposition_moves_keys():
    frames = np.zeros((2, 6), np.int16)
    frames[0, 1] = frames[1, 4] = 1
    assert np.argwhere(transposed(frames, 1, SMALL.vocabulary)).tolist() == [[0, 2], [1, 5]]
    assert np.argwhere(transposed(frames, -1, SMALL.vocabulary)).tolist() == [[0, 0], [1, 3]]
    with pytest.raises(ValueError, match="leaves the keys"):
        transposed(frames, 2, SMALL.vocabulary)


def test_the_boards_matrices_come_back(tmp_path):
    archive = SHARED / "data/polyphonic.zip"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    with zipfile.ZipFile(archive) as files:
        name = next(name for name in files.namelist() if name.endswith("JSB_Chorales.mat"))
        path = Path(files.extract(name, tmp_path))
    frames = KeyFrames(Frames(kind="frames", steps_per_quarter=1))
    order = [MUSIC_COLUMNS.index(name) for name in NOTE_COLUMNS]
    for part, roll in list(zip(read_rolls.parts(path), read_rolls._content(path)["train"], strict=False))[:20]:
        music = read_rolls.read(path, part, {"frames_per_quarter": 1})
        encoded = frames.encode(Piece(columns_of_notes(music.notes[:, order])))
        assert np.array_equal(encoded, roll)
