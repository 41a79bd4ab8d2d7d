"""Events: MidiTok's own tokens, back as what they claim, and nothing that a reader refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from symusic import Score

from dalsegno.data import read_midi
from dalsegno.data.notes import DRUMS
from dalsegno.data.tables import NOTE_COLUMNS as MUSIC_COLUMNS
from dalsegno.data.tables import Entry, Music, write_corpus
from dalsegno.representations import fidelity, packing, registry, remi
from dalsegno.representations.base import FILES, NOTE_COLUMNS, Decoded, Packed, Piece, Vocabulary, columns_of_notes
from dalsegno.representations.events import MidiTokEvents
from dalsegno.representations.options import LACKING, Events, Kind, parse

KINDS: tuple[str, ...] = get_args(Kind)
RICH = {
    "programs": True,
    "drums": True,
    "velocities": 16,
    "tempos": 16,
    "chords": True,
    "meters": ["3/4", "6/8", "15/16"],
}
each = pytest.mark.parametrize("kind", KINDS)
rich_too = pytest.mark.parametrize("rich", [False, True], ids=["plain", "rich"])


@cache
def events(kind: str, rich: bool = False, **more: Any) -> MidiTokEvents:
    able = {option: value for option, value in RICH.items() if rich and kind not in LACKING.get(option, ())}
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in more.items()}
    made = registry.load(parse({"kind": kind, **able, **given}))
    assert isinstance(made, MidiTokEvents)
    return made


def piece_of(rows: list[tuple[int, int, int, int, int, int]], **more: Any) -> Piece:
    return Piece(columns_of_notes(rows), **more)


def of_music(music: Music) -> Piece:
    order = [MUSIC_COLUMNS.index(name) for name in NOTE_COLUMNS]
    rows = columns_of_notes([tuple(row) for row in music.notes[:, order].tolist()])
    return Piece(rows, sorted(set(music.meters)), sorted(set(music.tempos)))


on_grid = st.dictionaries(
    st.tuples(st.integers(0, 100), st.integers(0, 127)), st.integers(1, 32), min_size=1, max_size=24
).map(lambda notes: piece_of([(0, 0, 120 * s, 120 * d, p, 80) for (s, p), d in notes.items()]))
anywhere = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.sampled_from([0, 33, 33, DRUMS]),
        st.integers(0, 6000),
        st.integers(0, 5000),
        st.integers(0, 127),
        st.integers(1, 127),
    ),
    min_size=1,
    max_size=24,
).map(piece_of)


def apart(piece: Piece) -> Piece:
    """Overlapping notes of one pitch are cut, since NoteOn and NoteOff cannot tell which one ends."""
    notes = piece.notes
    duration = notes["duration"].copy()
    for pitch in np.unique(notes["pitch"]):
        rows = np.flatnonzero(notes["pitch"] == pitch)
        duration[rows[:-1]] = np.minimum(duration[rows[:-1]], np.diff(notes["start"][rows]))
    return Piece({**notes, "duration": duration})


@each
@settings(max_examples=15, deadline=None)
@given(piece=on_grid)
def test_music_on_the_grid_comes_back_as_it_was(kind: str, piece: Piece) -> None:
    made = events(kind, longest=32)
    piece = apart(piece)
    told = registry.decode(made.encode(piece), made.vocabulary)
    assert fidelity.equal(told, piece)
    assert told.repairs == {}


@each
@rich_too
@settings(max_examples=15, deadline=None)
@given(piece=anywhere)
def test_any_music_comes_back_as_claimed(kind: str, rich: bool, piece: Piece) -> None:
    made = events(kind, rich, longest=16)
    if not rich and (piece.notes["program"] == DRUMS).all():
        with pytest.raises(ValueError, match="no notes but drums"):
            made.encode(piece)
        return
    told = registry.decode(made.encode(piece), made.vocabulary)
    assert fidelity.equal(told, made.claim(piece))
    # PerTok times notes after it has dropped those that begin together, so that others may come together.
    assert not told.repairs or (kind == "pertok" and list(told.repairs) == ["a note stands twice"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LACKING["meters"]])
@settings(max_examples=20, deadline=None)
@given(
    piece=anywhere,
    meters=st.sampled_from(
        [[(0, 3, 4)], [(0, 6, 8)], [(0, 15, 16)], [(0, 4, 4), (3840, 3, 4)], [(0, 3, 4), (2880, 4, 4)]]
    ),
)
def test_any_music_in_meters_comes_back_as_claimed(kind: str, piece: Piece, meters: list[tuple[int, int, int]]) -> None:
    made = events(kind, rich=True, longest=16)
    # Octuple names a meter with each note: of one that changes in silence no note tells where.
    meters = meters[:1] if kind == "octuple" else meters
    piece = Piece(piece.notes, meters)
    told = registry.decode(made.encode(piece), made.vocabulary)
    assert fidelity.equal(told, made.claim(piece)) and not told.repairs
    # A meter that begins after the last note is not told.
    last = int(told.notes["start"].max())
    assert [meter for meter in told.meters if meter[0] <= last] == [meter for meter in meters if meter[0] <= last]


METERED: dict[str, Any] = {"meters": ("2/4", "3/4", "6/8", "15/16"), "tempos": 8, "velocities": 8}
marks = st.tuples(
    st.lists(st.tuples(st.integers(0, 6000), st.sampled_from([(4, 4), (3, 4), (6, 8), (15, 16), (2, 4)])), max_size=4),
    st.lists(st.tuples(st.integers(0, 6000), st.floats(20, 300)), max_size=4),
)


@pytest.mark.parametrize(
    "options",
    [{}, METERED, {**METERED, "programs": True, "drums": True}, {"programs": True, "steps_per_quarter": 12}],
    ids=["plain", "metered", "all", "fine"],
)
@settings(max_examples=40, deadline=None)
@given(piece=anywhere, marks=marks)
def test_remi_over_columns_writes_miditoks_tokens_and_reads_what_the_reader_reads(
    options: dict[str, Any], piece: Piece, marks: tuple[list, list]
) -> None:
    made = events("remi", **options)
    meters, tempos = (sorted(dict(part).items()) for part in marks)
    piece = Piece(piece.notes, [(tick, *meter) for tick, meter in meters], tempos)
    if not options.get("drums") and (piece.notes["program"] == DRUMS).all():
        return
    tokens = made.encode(piece)
    theirs = made.tokenizer.encode(made._score(piece))
    theirs = theirs if not isinstance(theirs, list) else theirs[0]
    assert [made.names[symbol] for symbol in tokens[:-1, 0]] == theirs.tokens
    quick = remi.read(tokens[:, 0], made.vocabulary)
    assert quick is not None
    assert_same(quick, slowly(tokens, made.vocabulary))


def slowly(tokens: np.ndarray, vocabulary: Vocabulary) -> Decoded:
    """What the reader of all tokenizations makes of tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remi, "read", lambda *_: None)
        return registry.decode(tokens, vocabulary)


def assert_same(one: Decoded, other: Decoded) -> None:
    assert all(np.array_equal(one.notes[name], other.notes[name]) for name in NOTE_COLUMNS)
    assert (one.meters, one.tempos, one.repairs) == (other.meters, other.tempos, other.repairs)
    assert np.array_equal(one.ticks_T, other.ticks_T)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_what_is_read_over_columns_is_what_the_reader_reads(data: st.DataObject) -> None:
    """Of well-formed phrases with any values, and with a symbol changed or left out here and there."""
    vocabulary = events("remi", **METERED, programs=True, drums=True).vocabulary
    by_type: dict[str, list[int]] = {}
    for symbol, name in enumerate(vocabulary.names):
        by_type.setdefault(name.partition("_")[0], []).append(symbol)
    note, drum = ("Program", "Pitch", "Velocity", "Duration"), ("Program", "PitchDrum", "Velocity", "Duration")
    phrases = st.sampled_from([("Bar", "TimeSig"), ("Bar",), ("Position",), ("Position", "Tempo"), note, drum, note])
    types = ["Bar", *(name for phrase in data.draw(st.lists(phrases, max_size=20)) for name in phrase), "EOS"]
    # Of few values, so that much fits together.
    tokens = [data.draw(st.sampled_from(by_type[name][:6])) for name in types]
    for at in data.draw(st.lists(st.integers(0, len(tokens) - 1), max_size=1)):
        tokens[at : at + 1] = data.draw(st.lists(st.sampled_from([own[-1] for own in by_type.values()]), max_size=1))
    table = np.array(tokens, np.int16)[:, None]
    quick = remi.read(table[:, 0], vocabulary)
    if quick is not None:
        assert_same(quick, slowly(table, vocabulary))


@each
@rich_too
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_sequence_of_symbols_decodes(kind: str, rich: bool, data: st.DataObject) -> None:
    vocabulary = events(kind, rich).vocabulary
    steps = st.lists(
        st.tuples(*[st.integers(0, vocabulary.size - 1)] * vocabulary.width), max_size=60 // vocabulary.width
    )
    tokens = np.array(data.draw(steps), np.int16).reshape(-1, vocabulary.width)
    told = registry.decode(tokens, vocabulary)
    assert (told.notes["duration"] > 0).all() and (told.notes["start"] >= 0).all()
    assert len(told.ticks_T) == len(tokens)
    assert all(count > 0 for count in told.repairs.values())


@each
@rich_too
def test_what_the_grammar_writes_needs_hardly_any_mending(kind: str, rich: bool) -> None:
    """A grammar knows no values: the same note may be drawn twice, an end without its beginning, a bar that is over."""
    made = events(kind, rich, max_bars=16)
    vocabulary = made.vocabulary
    low, high = (vocabulary.names.index(f"{'NoteOn' if kind == 'midi_like' else 'Pitch'}_{p}") for p in (50, 70))
    grammar = made.grammar([(low, high)])
    assert grammar.allowed_SxV.any(1).all()
    assert grammar.next_SxV.min() >= 0 and grammar.next_SxV.max() < len(grammar.allowed_SxV)
    random = np.random.default_rng(0)
    for _ in range(4):
        state, tokens = grammar.start, []
        for _ in range(40 * vocabulary.width):
            tokens.append(int(random.choice(np.flatnonzero(grammar.allowed_SxV[state]))))
            state = grammar.next_SxV[state, tokens[-1]]
        told = registry.decode(np.array(tokens), vocabulary)
        pitched = told.notes["pitch"][told.notes["program"] != DRUMS]
        assert set(pitched.tolist()) <= set(range(50, 71))
        assert set(told.repairs) <= {
            "a note stands twice",
            "a note ends that did not begin",
            "a note that never ends",
            "a note of no duration",
            "a position beyond its bar",
            "a position goes back",
            "notes out of order",
            "tokens after the end",
            "a pitch without a duration",
        }


SCALE = [
    (t, p, 240 * i + 30 * (i % 2), 200 + 120 * (i % 3), 60 + i + 12 * t, 40 + 5 * i)
    for t, p in ((0, 0), (1, 33))
    for i in range(16)
]
BEAT = [(2, DRUMS, 240 * i, 60, 36 + 2 * (i % 3), 90) for i in range(24)]


@each
@rich_too
def test_tokens_are_those_that_miditok_gives_for_the_file(kind: str, rich: bool, tmp_path: Path) -> None:
    from dalsegno.data.notes import make_notes
    from dalsegno.sampling.export import write_midi

    rows = [*SCALE, *BEAT] if rich else [row for row in SCALE if row[0] == 0]
    notes = columns_of_notes(rows)
    write_midi(tmp_path / "a.mid", make_notes(**notes), 97.0)
    made = events(kind, rich)
    tokens = made.encode(of_music(read_midi.read(tmp_path / "a.mid")))
    sequences = made.tokenizer.encode(tmp_path / "a.mid")
    (theirs,) = sequences if isinstance(sequences, list) else (sequences,)
    ours = [[made.vocabulary.names[symbol] for symbol in step] for step in tokens[:-1].tolist()]
    if made.vocabulary.width == 1:
        assert [step[0] for step in ours] == theirs.tokens
    else:
        assert [step[: len(own)] for step, own in zip(ours, theirs.tokens, strict=True)] == theirs.tokens
    # What our reader makes of them is what MidiTok makes of them.
    score = made.tokenizer.decode(sequences)
    assert isinstance(score, type(Score(480)))
    scale = 480 // score.ticks_per_quarter
    read = {
        (
            128 if track.is_drum else track.program if made.options.has_programs else 0,
            n.time * scale,
            n.duration * scale,
            n.pitch,
        )
        for track in score.tracks
        for n in track.notes
    }
    told = registry.decode(tokens, made.vocabulary)
    columns = (told.notes[name].tolist() for name in ("program", "start", "duration", "pitch"))
    assert set(zip(*columns, strict=True)) == read
    if made.options.tempos:
        assert abs(told.tempos[0][1] - 97) < 10
    if made.options.meters:
        assert told.meters[0] == (0, 4, 4)


def melody(low: int, quarters: int = 40) -> Music:
    return Music("", np.array([(0, 480 * i, low + i % 5, 480, 0, 80) for i in range(quarters)], np.int32))


def corpus(folder: Path) -> tuple[Path, Path]:
    drums = Music("", np.array([(0, 0, 36, 120, DRUMS, 80)], np.int32))
    music = {"a": melody(60), "b": melody(65), "c": melody(62), "d": drums}
    write_corpus(folder, [Entry(name, name, name, "", m) for name, m in music.items()], [])
    (folder / "split.csv").write_text(
        "piece,split,family,clean\na,train,a,true\nb,train,b,true\nc,valid,c,true\nd,test,d,true\n"
    )
    return folder, folder / "split.csv"


def test_packing_is_deterministic_and_obeys_its_own_grammar(tmp_path: Path) -> None:
    tables, split = corpus(tmp_path)
    for name in ("one", "two"):
        packing.pack(parse({"kind": "remi", "max_bars": 6}), tables, split, tmp_path / name)
    for file in FILES:
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


def test_workers_write_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, split = corpus(tmp_path)
    options = parse({"kind": "remi"})
    packing.pack(options, tables, split, tmp_path / "alone")
    monkeypatch.setattr(packing, "FEW_NOTES", 0)
    monkeypatch.setattr(packing, "NOTES_A_CALL", 41)
    packing.pack(options, tables, split, tmp_path / "two", jobs=2)
    for file in FILES:
        assert (tmp_path / "alone" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("model", ["bpe", "unigram", "wordpiece"])
@pytest.mark.parametrize("within", ["bar", "piece"])
def test_a_learned_vocabulary_is_shorter_loses_nothing_and_is_the_same_each_time(
    model: str, within: str, tmp_path: Path
) -> None:
    tables, split = corpus(tmp_path)
    document = {"kind": "remi", "learned": {"model": model, "size": 230, "within": within}}
    for name in ("one", "two"):
        packing.pack(parse(document), tables, split, tmp_path / name)
    packing.pack(parse({"kind": "remi"}), tables, split, tmp_path / "single")
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    learned, single = Packed(tmp_path / "one"), Packed(tmp_path / "single")
    assert single.vocabulary.size < learned.vocabulary.size <= 230
    assert learned.vocabulary.names[: single.vocabulary.size] == single.vocabulary.names
    for i in range(3):
        assert len(learned.piece(i)) < len(single.piece(i))
        told, before = (registry.decode(one.piece(i), one.vocabulary) for one in (learned, single))
        assert fidelity.equal(told, before) and not told.repairs
        state = learned.grammar.start
        for token in learned.piece(i)[:, 0]:
            assert learned.grammar.allowed_SxV[state, token]
            state = learned.grammar.next_SxV[state, token]
    random = np.random.default_rng(0).integers(0, learned.vocabulary.size, 500)
    assert (registry.decode(random, learned.vocabulary).notes["duration"] > 0).all()
    if within == "bar":
        assert not any("Bar_None" in name.split(" ")[1:] for name in learned.vocabulary.names)


TRAINING = """
import hashlib, sys
import numpy as np
from dalsegno.representations.learned import Symbols
from dalsegno.representations.options import Learned
random = np.random.default_rng(0)
names = ["EOS_None", "Bar_None", *(f"Pitch_{i}" for i in range(60))]
motifs = [random.integers(2, 62, int(random.integers(2, 7))) for _ in range(80)]
bars = lambda: [part for _ in range(20) for part in ([1], *(motifs[i % 80] for i in random.zipf(1.5, 4).tolist()))]
pieces = [np.concatenate([*bars(), [0]]) for _ in range(40)]
for model in ("bpe", "unigram", "wordpiece"):
    made = Symbols.train(pieces, names, Learned(model=model, size=300), [1], 0)
    assert len(made.parts) > 200
    print(model, hashlib.sha256(made.model.encode()).hexdigest())
"""


def test_two_processes_learn_the_same_bytes_whatever_their_threads_and_hashes() -> None:
    told = []
    for seed, threads in (("1", "1"), ("2", "4")):
        more = {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
        told.append(
            subprocess.run(
                [sys.executable, "-c", TRAINING], env=os.environ | more, capture_output=True, text=True, check=True
            ).stdout
        )
    assert told[0] == told[1] and len(told[0].splitlines()) == 3


def test_only_training_pieces_teach(tmp_path: Path) -> None:
    tables, split = corpus(tmp_path)
    document = {"kind": "remi", "learned": {"size": 230}}
    packing.pack(parse(document), tables, split, tmp_path / "one")
    split.write_text(split.read_text().replace("c,valid", "c,unused"))
    packing.pack(parse(document), tables, split, tmp_path / "two")
    assert (tmp_path / "one" / "vocabulary.json").read_bytes() == (tmp_path / "two" / "vocabulary.json").read_bytes()


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"kind": "octuple", "chords": True}, "octuple has no chords; use one of remi, tsd"),
        ({"kind": "structured", "meters": ["3/4"]}, "structured has no meters"),
        ({"kind": "cp_word", "learned": {}}, "cp_word has no learned; use one of remi"),
        ({"kind": "remi", "drums": True}, "`drums` needs `programs: true`"),
        ({"kind": "remi", "meters": ["3/5"]}, "meter '3/5' is not like 3/4"),
        ({"kind": "remi", "steps_per_quarter": 7}, "does not divide 480"),
        ({"kind": "tsd", "microtiming": 8}, "tsd has no microtiming; pertok has"),
    ],
)
def test_what_cannot_be_said_is_told_before_any_job(document: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        parse(document)


def test_a_vocabulary_with_no_room_is_told(tmp_path: Path) -> None:
    tables, split = corpus(tmp_path)
    with pytest.raises(ValueError, match="leaves no symbol to learn"):
        packing.pack(Events(kind="remi", learned={"size": 20}), tables, split, tmp_path / "one")  # type: ignore[arg-type]


@each
def test_strange_pieces_are_told_whole_or_refused_with_a_reason(kind: str) -> None:
    made = events(kind, rich=True)
    with pytest.raises(ValueError, match="no notes"):
        made.encode(piece_of([]))
    strange = {
        "one note": piece_of([(0, 0, 0, 480, 60, 80)]),
        "no duration": piece_of([(0, 0, 480 * i, 0, 60, 80) for i in range(4)]),
        "many at once": piece_of([(0, i // 128, 0, 480, i % 128, 80) for i in range(10_000)]),
        "program changes": piece_of([(0, 7 * i, 480 * i, 480, 60, 80) for i in range(12)]),
        "fifteen sixteenths": piece_of([(0, 0, 120 * i, 120, 60 + i % 5, 80) for i in range(45)], meters=[(0, 15, 16)]),
    }
    for name, piece in strange.items():
        told = registry.decode(made.encode(piece), made.vocabulary)
        assert fidelity.equal(told, made.claim(piece)), name
        assert not told.repairs, name
    hours = piece_of([(0, 0, 480 * 960 * i, 480, 60, 80) for i in range(90)])
    if kind == "structured":
        with pytest.raises(ValueError, match="960 quarters between onsets are more than `longest`, 8"):
            made.encode(hours)
    else:
        told = registry.decode(made.encode(hours), made.vocabulary)
        # Twelve hours at 120 quarters a minute; what begins after `max_bars` is left out and counted.
        assert len(told.notes["start"]) == 3 == made.kept(hours).sum()
    if made.options.meters:
        with pytest.raises(ValueError, match="meter 7/8 is none of 3/4, 6/8, 15/16"):
            made.encode(piece_of([(0, 0, 0, 480, 60, 80)], meters=[(0, 7, 8)]))
    if made.options.tempos:
        for qpm in (0.0, np.inf, np.nan):
            with pytest.raises(ValueError, match="a tempo of"):
                made.encode(piece_of([(0, 0, 0, 480, 60, 80)], tempos=[(0, qpm)]))
