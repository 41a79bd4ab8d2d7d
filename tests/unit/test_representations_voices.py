"""The voice grid: lossless at the grid, total in decoding, faithful to the JSB benchmark."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dalsegno.data.manifest import list_source
from dalsegno.data.options import Music21Source
from dalsegno.data.read_chorale import read
from dalsegno.data.tables import NOTE_COLUMNS as MUSIC_COLUMNS
from dalsegno.data.tables import Entry, Music, write_corpus
from dalsegno.representations import fidelity, packing, registry
from dalsegno.representations.base import FILES, NOTE_COLUMNS, Packed, Piece, columns_of_notes
from dalsegno.representations.options import Voices
from dalsegno.representations.voices import VoiceGrid

GRID = VoiceGrid(Voices(kind="voices"))
SHARED = Path(os.environ.get("DALSEGNO_SHARED", Path(__file__).parents[3] / "shared"))


def columns(music: Music) -> dict[str, np.ndarray]:
    order = [MUSIC_COLUMNS.index(name) for name in NOTE_COLUMNS]
    return columns_of_notes([tuple(row) for row in music.notes[:, order].tolist()])


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 40), st.just(4)), elements=st.integers(0, 46)))
def test_any_tokens_decode_and_sounding_ones_come_back(tokens_TxK: np.ndarray) -> None:
    told = registry.decode(tokens_TxK, GRID.vocabulary)
    notes = told.notes
    assert list(notes) == list(NOTE_COLUMNS)
    assert not told.tempos and not told.repairs
    assert (notes["duration"] > 0).all()
    tokens_TxK[-1] = np.maximum(tokens_TxK[-1], 1)
    again = GRID.encode(GRID.decode(tokens_TxK, GRID.vocabulary))
    assert np.array_equal(again, tokens_TxK)


def test_what_does_not_fit_is_told() -> None:
    four = [(k, 0, 0, 480, 60, 80) for k in range(4)]
    with pytest.raises(ValueError, match="3 tracks instead of 4 voices"):
        GRID.encode(Piece(columns_of_notes(four[:3])))
    with pytest.raises(ValueError, match="track 2 is not monophonic"):
        GRID.encode(Piece(columns_of_notes([*four, (2, 0, 240, 480, 64, 80)])))
    with pytest.raises(ValueError, match="pitches 60-90 leave the range 36-81"):
        GRID.encode(Piece(columns_of_notes([*four, (2, 0, 480, 480, 90, 80)])))
    with pytest.raises(ValueError, match="does not divide"):
        Voices(kind="voices", steps_per_quarter=7)


HOLD = VoiceGrid(Voices(kind="voices", voices=2, hold=True))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(36, 81), st.integers(0, 6), st.integers(1, 9)), min_size=1))
def test_a_hold_symbol_tells_repeated_notes_from_held_ones(lines: list[tuple[int, int, int, int]]) -> None:
    """Without one they are one note, and both say so; `lines` are voice, pitch, rest before and length."""
    ends, notes = [0, 0], []
    for voice, pitch, rest, length in [(0, 60, 0, 1), (1, 48, 0, 1), *lines]:
        start = ends[voice] + 120 * rest
        ends[voice] = start + 120 * length
        notes.append((voice, 0, start, 120 * length, pitch, 80))
    piece = Piece(columns_of_notes(notes))
    told = registry.decode(HOLD.encode(piece), HOLD.vocabulary)
    assert fidelity.equal(told, piece) and not told.repairs
    plain = VoiceGrid(Voices(kind="voices", voices=2))
    assert fidelity.equal(registry.decode(plain.encode(piece), plain.vocabulary), plain.claim(piece))


@given(hnp.arrays(np.int16, st.tuples(st.integers(0, 30), st.just(2)), elements=st.integers(0, 47)))
def test_any_tokens_with_holds_decode(tokens_TxK: np.ndarray) -> None:
    told = registry.decode(tokens_TxK, HOLD.vocabulary)
    assert (told.notes["duration"] > 0).all()
    first = tokens_TxK[:1].reshape(-1)
    assert bool(told.repairs) >= bool((first == HOLD.vocabulary.size - 1).any())


def chorale(top: int, shift: int = 0) -> Music:
    notes = [(k, 480 * i, top - 7 * k + i % 3 + shift, 480, 0, 80) for k in range(4) for i in range(12)]
    return Music("", np.array(notes, np.int32))


def test_packing_is_deterministic_and_knows_how_far_a_piece_may_be_shifted(tmp_path: Path) -> None:
    music = {
        "a": chorale(70),
        "b": chorale(72),
        "c": chorale(71),
        "d": chorale(60),
        "e": Music("", chorale(70).notes[:12]),
    }
    write_corpus(tmp_path, [Entry(name, name, name, "", m) for name, m in music.items()], [])
    (tmp_path / "split.csv").write_text(
        "piece,split,family,clean\na,train,a,true\nb,train,b,true\nc,valid,c,false\nd,test,d,true\ne,test,e,true\n"
    )
    for name in ("one", "two"):
        packing.pack(Voices(kind="voices"), tmp_path, tmp_path / "split.csv", tmp_path / name)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    packed = Packed(tmp_path / "one")
    assert [row.piece for row in packed.rows] == ["a", "b", "c", "d"]
    assert [(row.transpose_low, row.transpose_high) for row in packed.rows] == [(0, 2), (-2, 0), (-1, 1), (0, 12)]
    assert not packed.rows[2].clean
    assert "e,e,represent,1 tracks instead of 4 voices" in (tmp_path / "one" / "rejects.csv").read_text()
    assert packed.vocabulary == GRID.vocabulary
    assert np.array_equal(packed.piece(1), GRID.encode(Piece(columns(music["b"]))))
    for i in packed.indices("train"):
        state = packed.grammar.start
        for token in packed.piece(i).reshape(-1):
            assert packed.grammar.allowed_SxV[state, token]
            state = packed.grammar.next_SxV[state, token]


@settings(deadline=None)
@given(st.integers(0, 3))
def test_the_grammar_leads_through_the_voices(voice: int) -> None:
    grammar = GRID.grammar([(20, 30), (15, 25), (10, 20), None])
    assert grammar.state_after(np.zeros(voice, int)) == voice
    assert grammar.allowed_SxV.any(1).all()


@pytest.mark.skipif(
    not (SHARED / "data" / "jsb.zip").exists(), reason="needs data/jsb.zip in the folder that DALSEGNO_SHARED names"
)
def test_chorales_agree_with_the_jsb_benchmark() -> None:
    """Three chorales whose editions agree (24 of 370 do entirely; docs/data.md says how the others differ)."""
    with zipfile.ZipFile(SHARED / "data" / "jsb.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("Jsb16thSeparated.json"))
        grids = json.loads(archive.read(name))
    files = {f.piece: f for f in list_source(Music21Source(kind="music21", collection="bach_chorales"))}
    for split, number, piece in EQUAL:
        tokens = GRID.encode(Piece(columns(read(files[piece].location))))
        expected = np.array(grids[split][number])
        assert np.array_equal(np.where(tokens == 0, -1, tokens + 35), expected), piece


EQUAL = (("test", 2, "bwv393"), ("test", 8, "bwv245.37"), ("test", 57, "bwv298"))
