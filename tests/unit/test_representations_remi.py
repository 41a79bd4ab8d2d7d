"""REMI: MidiTok's own tokens, lossless at the grid, and everything that is written decodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symusic import Note as MidiNote
from symusic import Score, Track

from dalsegno.data.notes import DRUMS
from dalsegno.data.tables import Entry, Music, write_corpus
from dalsegno.representations import registry
from dalsegno.representations.base import Packed, columns_of_notes
from dalsegno.representations.options import Remi
from dalsegno.representations.remi import RemiEvents

PLAIN = RemiEvents(Remi(kind="remi"))
LOUD = RemiEvents(Remi(kind="remi", velocities=8))
BOTH = pytest.mark.parametrize("remi", [PLAIN, LOUD], ids=["plain", "velocities"])

on_grid = st.dictionaries(
    st.tuples(st.integers(0, 100), st.integers(0, 127)), st.integers(1, 32), min_size=1, max_size=30
).map(lambda notes: columns_of_notes([(0, 0, 120 * s, 120 * d, p, 80) for (s, p), d in notes.items()]))


def content(notes: dict[str, np.ndarray]) -> list[tuple[int, int, int]]:
    return sorted(zip(notes["start"].tolist(), notes["pitch"].tolist(), notes["duration"].tolist(), strict=True))


@BOTH
@settings(max_examples=50, deadline=None)
@given(notes=on_grid)
def test_music_on_the_grid_comes_back(remi: RemiEvents, notes: dict[str, np.ndarray]) -> None:
    tokens_Tx1 = remi.encode(notes)
    decoded, qpm = registry.decode(tokens_Tx1, remi.vocabulary)
    assert content(decoded) == content(notes)
    assert qpm == 120
    names = [remi.vocabulary.names[t] for t in tokens_Tx1[:, 0]]
    score, track = Score(480), Track()
    for start, pitch, duration in content(notes):
        track.notes.append(MidiNote(start, duration, pitch, 80))
    score.tracks.append(track)
    assert names == [*remi.tokenizer.encode(score)[0].tokens, "EOS_None"]


@BOTH
@given(tokens=st.lists(st.integers(0, PLAIN.vocabulary.size - 1), max_size=80))
def test_any_tokens_decode(remi: RemiEvents, tokens: list[int]) -> None:
    notes, _ = remi.decode(np.array(tokens), remi.vocabulary)
    assert (notes["duration"] > 0).all()
    assert len(set(zip(notes["start"].tolist(), notes["pitch"].tolist(), strict=True))) == len(notes["start"])


@BOTH
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_the_grammar_allows_decodes_as_miditok_decodes_it(remi: RemiEvents, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = remi.vocabulary.pitches[0]
    grammar = remi.grammar(first + 50, first + 70)
    state, tokens = grammar.start, []
    while not tokens or (tokens[-1] != remi.vocabulary.eos and len(tokens) < 200):
        tokens.append(int(rng.choice(np.flatnonzero(grammar.allowed_SxV[state]))))
        state = int(grammar.next_SxV[state, tokens[-1]])
    notes, _ = remi.decode(np.array(tokens), remi.vocabulary)
    assert len(notes["pitch"]) > 0
    assert set(notes["pitch"].tolist()) <= set(range(50, 71))
    assert (np.diff(notes["start"]) >= 0).all()
    names = [remi.vocabulary.names[t] for t in tokens if t != remi.vocabulary.eos]
    score = remi.tokenizer.decode([[remi.tokenizer.vocab[name] for name in names]])
    scale = 480 // score.ticks_per_quarter
    theirs = {(n.time * scale, n.pitch) for track in score.tracks for n in track.notes}
    assert theirs == set(zip(notes["start"].tolist(), notes["pitch"].tolist(), strict=True))


@BOTH
def test_pitches_are_one_semitone_apart_and_the_grammar_is_total(remi: RemiEvents) -> None:
    first, end = remi.vocabulary.pitches
    assert list(remi.vocabulary.names[first:end]) == [f"Pitch_{p}" for p in range(128)]
    grammar = remi.grammar(first, end - 1)
    assert grammar.allowed_SxV.any(1).all()
    assert grammar.next_SxV.min() >= 0
    assert grammar.next_SxV.max() < len(grammar.allowed_SxV)


def melody(low: int, quarters: int = 40) -> Music:
    return Music("", np.array([(0, 480 * i, low + i % 5, 480, 0, 80) for i in range(quarters)], np.int32))


def test_packing_is_deterministic_and_obeys_its_own_grammar(tmp_path: Path) -> None:
    drums = Music("", np.array([(0, 0, 36, 120, DRUMS, 80)], np.int32))
    music = {"a": melody(60), "b": melody(65), "c": melody(62), "d": drums}
    write_corpus(tmp_path, [Entry(name, name, name, "", m) for name, m in music.items()], [])
    (tmp_path / "split.csv").write_text(
        "piece,split,family,clean\na,train,a,true\nb,train,b,true\nc,valid,c,true\nd,test,d,true\n"
    )
    for name in ("one", "two"):
        registry.load(Remi(kind="remi", max_bars=6)).pack(tmp_path, tmp_path / "split.csv", tmp_path / name)
    for file in ("tokens.safetensors", "index.csv", "vocabulary.json", "rejects.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    packed = Packed(tmp_path / "one")
    assert [(r.piece, r.notes, r.seconds) for r in packed.rows] == [("a", 24, 12.0), ("b", 24, 12.0), ("c", 24, 12.0)]
    assert [(r.transpose_low, r.transpose_high) for r in packed.rows] == [(0, 5), (-5, 0), (-2, 3)]
    assert "no notes but drums" in (tmp_path / "one" / "rejects.csv").read_text()
    for i in range(3):
        state = packed.grammar.start
        for token in packed.piece(i)[:, 0]:
            assert packed.grammar.allowed_SxV[state, token]
            state = packed.grammar.next_SxV[state, token]
        assert packed.piece(i)[-1, 0] == packed.vocabulary.eos
