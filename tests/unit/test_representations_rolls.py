"""Piano rolls and note-chord words: what they claim comes back, any numbers decode, and published rolls are drawn as they are."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat

from dalsegno.data import read_rolls
from dalsegno.data.notes import DRUMS
from dalsegno.data.tables import NOTE_COLUMNS as MUSIC_COLUMNS
from dalsegno.data.tables import Entry, Music, write_corpus
from dalsegno.representations import fidelity, packing, registry
from dalsegno.representations.base import NOTE_COLUMNS, Packed, Piece, columns_of_notes
from dalsegno.representations.options import Roll, Words
from dalsegno.representations.roll import PianoRoll, dense
from dalsegno.representations.words import NoteChordWords

SHARED = Path(os.getenv("DALSEGNO_SHARED") or Path(__file__).parents[3] / "shared") / "data"
BAND = PianoRoll(Roll(kind="roll", tracks={"bass": (32, 39), "piano": (0, 7)}, drums=True, lowest=24, highest=95))
WORDS = NoteChordWords(Words(kind="words"))

anywhere = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.sampled_from([0, 33, 60, DRUMS]),
        st.integers(0, 9000),
        st.integers(0, 4000),
        st.integers(0, 127),
        st.integers(1, 127),
    ),
    min_size=1,
    max_size=24,
).map(lambda rows: Piece(columns_of_notes(rows)))


@settings(deadline=None)
@given(anywhere)
def test_any_music_comes_back_from_a_roll_as_claimed(piece: Piece) -> None:
    if not BAND.kept(piece).any():
        with pytest.raises(ValueError, match="no notes within the tracks and pitches"):
            BAND.encode(piece)
        return
    told = registry.decode(BAND.encode(piece), BAND.vocabulary)
    assert fidelity.equal(told, BAND.claim(piece)) and not told.repairs


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 200), st.sampled_from([0, 32, DRUMS]), st.integers(24, 95)),
        st.tuples(st.integers(1, 60), st.integers(1, 127)),
        min_size=1,
        max_size=20,
    )
)
def test_music_on_the_grid_comes_back_from_a_roll_as_it_was(
    notes: dict[tuple[int, int, int], tuple[int, int]],
) -> None:
    rows = [(p // 32, p, 120 * s, 120 * d, key, v) for (s, p, key), (d, v) in notes.items()]
    piece = Piece(columns_of_notes(rows))
    assert fidelity.equal(registry.decode(BAND.encode(piece), BAND.vocabulary), piece)


@given(hnp.arrays(np.int16, st.tuples(st.integers(0, 30), st.just(6))))
def test_any_numbers_decode_as_a_roll(numbers: np.ndarray) -> None:
    told = registry.decode(numbers, BAND.vocabulary)
    assert (told.notes["duration"] > 0).all() and (told.notes["start"] >= 0).all()
    assert sum(told.repairs.values()) + len(told.notes["start"]) == len(numbers) == len(told.ticks_T)


def test_a_roll_is_drawn_in_bars_with_velocities_and_onsets() -> None:
    rows = [(0, 0, 0, 960, 60, 70), (0, 0, 1800, 240, 60, 90), (1, 33, 480, 240, 30, 50), (2, DRUMS, 0, 120, 36, 100)]
    packed = BAND.encode(Piece(columns_of_notes(rows)))
    roll = dense(packed, BAND.vocabulary)
    assert roll.shape == (2, 3, 16, 128, 2)
    # Bars, tracks by their programs with drums last, steps, pitches.
    assert roll[0, 0, :8, 60].tolist() == [[70, 1], *[[70, 0]] * 7]
    assert roll[0, 0, 15, 60].tolist() == [90, 1] and roll[1, 0, 0, 60].tolist() == [90, 0]
    assert roll[0, 1, 4:6, 30].tolist() == [[50, 1], [50, 0]] and roll[0, 2, 0, 36].tolist() == [100, 1]
    assert (roll[..., 0] > 0).sum() == 8 + 2 + 2 + 1
    assert np.array_equal(dense(packed, BAND.vocabulary, 1, 1)[0], roll[1])


@pytest.mark.parametrize(
    ("name", "frames_per_quarter", "pieces"),
    [("JSB_Chorales", 1, 382), ("Nottingham", 2, 1037), ("MuseData", 2, 783), ("Piano_midi", 4, 124)],
)
def test_rolls_have_the_statistics_of_the_published_frames(
    tmp_path: Path, name: str, frames_per_quarter: int, pieces: int
) -> None:
    """Frames, notes, sounding cells and the histogram of polyphony, by split; and every cell."""
    if not (SHARED / "polyphonic.zip").exists():
        pytest.skip("polyphonic.zip is not at hand")
    with zipfile.ZipFile(SHARED / "polyphonic.zip") as files:
        content = files.read(f"polyphonic/{name}.mat")
    (tmp_path / "rolls.mat").write_bytes(content)
    published = loadmat(io.BytesIO(content))
    made = PianoRoll(Roll(kind="roll", steps_per_quarter=frames_per_quarter, lowest=21, highest=108))
    order = [MUSIC_COLUMNS.index(column) for column in NOTE_COLUMNS]
    ours: dict[str, np.ndarray] = {}
    theirs: dict[str, np.ndarray] = {}
    for part in read_rolls.parts(tmp_path / "rolls.mat"):
        split, number = part.split("/")
        expected = np.asarray(published[f"{split}data"][0][int(number)]).astype(bool)
        music = read_rolls.read(tmp_path / "rolls.mat", part, {"frames_per_quarter": frames_per_quarter})
        roll = dense(made.encode(Piece(columns_of_notes(music.notes[:, order]))), made.vocabulary)
        cells = roll[..., 0].transpose(1, 0, 2, 3).reshape(-1, 88) > 0
        # The last bar is filled up, and no note tells of silent frames at the end.
        sounding = np.flatnonzero(expected.any(1)).max() + 1
        assert np.array_equal(cells[:sounding], expected[:sounding]) and not cells[sounding:].any(), part
        silent = len(expected) - sounding
        onsets = np.diff(expected.astype(np.int8), axis=0, prepend=0) == 1
        ours.setdefault(split, np.zeros(92, np.int64))
        theirs.setdefault(split, np.zeros(92, np.int64))
        ours[split] += statistics(cells[:sounding], int((roll[..., 1] > 0).sum()), silent)
        theirs[split] += statistics(expected, int(onsets.sum()), 0)
    assert sum(int(one[0]) for one in ours.values()) == pieces
    for split in ("train", "valid", "test"):
        assert ours[split].tolist() == theirs[split].tolist(), split


def statistics(cells: np.ndarray, notes: int, silent: int) -> np.ndarray:
    """One piece, its frames, notes, and frames by how many keys sound."""
    polyphony = np.bincount(cells.sum(1), minlength=89)
    polyphony[0] += silent
    return np.concatenate([[1, len(cells) + silent, notes], polyphony])


@settings(deadline=None)
@given(anywhere)
def test_any_music_comes_back_from_words_as_claimed(piece: Piece) -> None:
    if (piece.notes["program"] == DRUMS).all():
        with pytest.raises(ValueError, match="no notes but drums"):
            WORDS.encode(piece)
        return
    tokens = WORDS.encode(piece)
    told = registry.decode(tokens, WORDS.vocabulary)
    assert fidelity.equal(told, WORDS.claim(piece)) and not told.repairs
    pitched = piece.notes["start"][piece.notes["program"] != DRUMS]
    assert len(tokens) == len(np.unique(pitched)) + 1


def test_words_are_note_names_and_pitch_class_sets() -> None:
    rows = [(0, 0, 0, 480, 60, 80), (0, 0, 480, 480, 61, 80), (0, 0, 480, 480, 65, 80), (0, 0, 480, 480, 68, 80)]
    rows += [(0, 0, 960, 480, 58, 80), (0, 0, 960, 480, 70, 80)]
    tokens = WORDS.encode(Piece(columns_of_notes(rows)))
    assert [WORDS.vocabulary.names[token] for token in tokens[:, 0]] == ["C4", "1.5.8", "10", "EOS"]


def test_words_are_those_of_the_training_split(tmp_path: Path) -> None:
    music = {
        name: Music("", np.array([(0, 480 * i, p, 480, 0, 80) for i, p in enumerate(line)], np.int32))
        for name, line in {"a": [60, 62, 64], "b": [60, 62, 71]}.items()
    }
    write_corpus(tmp_path, [Entry(name, name, name, "", own) for name, own in music.items()], [])
    (tmp_path / "split.csv").write_text("piece,split,family,clean\na,train,a,true\nb,test,b,true\n")
    for name in ("one", "two"):
        packing.pack(Words(kind="words"), tmp_path, tmp_path / "split.csv", tmp_path / name)
    packed = Packed(tmp_path / "one")
    assert packed.vocabulary.names == ("Unknown", "EOS", "C4", "D4", "E4")
    assert packed.piece(1)[:, 0].tolist() == [2, 3, 0, 1]
    told = registry.decode(packed.piece(1), packed.vocabulary)
    assert told.repairs == {"an unknown word": 1} and told.notes["pitch"].tolist() == [60, 62]
    for file in ("vocabulary.json", "tokens.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    state = packed.grammar.start
    for token in packed.piece(0)[:, 0]:
        assert packed.grammar.allowed_SxV[state, token]
        state = packed.grammar.next_SxV[state, token]


@given(st.data())
def test_any_words_decode(data: st.DataObject) -> None:
    tokens = np.array(data.draw(st.lists(st.integers(0, WORDS.vocabulary.size - 1), max_size=40)), np.int16)
    told = registry.decode(tokens, WORDS.vocabulary)
    assert (told.notes["duration"] > 0).all() and len(told.ticks_T) == len(tokens)
