"""Real music through every representation: what is claimed comes back, and the tokens are MidiTok's of the file."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from symusic import Score

from dalsegno.data import catalog, read_midi, readers
from dalsegno.data.manifest import included
from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.tables import NOTE_COLUMNS as MUSIC_COLUMNS
from dalsegno.data.tables import Music
from dalsegno.representations import fidelity, registry
from dalsegno.representations.base import NOTE_COLUMNS, Piece, Representation, columns_of_notes
from dalsegno.representations.options import LACKING, Kind, parse

ROOT = Path(__file__).parents[2]
SHARED = Path(os.getenv("DALSEGNO_SHARED") or ROOT.parent / "shared") / "data"
ENTRIES = {
    "asap": "asap",
    "groove": "groove",
    "jsb": "jsb",
    "jsb_rolls": "polyphonic",
    "musedata_rolls": "polyphonic",
    "nottingham": "nottingham",
    "nottingham_rolls": "polyphonic",
    "openewld": "openewld",
    "piano_midi_de": "pianomidi",
    "pianomidi_rolls": "polyphonic",
    "pop909": "pop909",
    "symbtr": "symbtr",
    "vgmidi": "vgmidi",
    "weimar_jazz": "wjd",
}
"""Entry of the catalog -> archive."""
KINDS: tuple[str, ...] = get_args(Kind)
TOLD = {"programs": True, "drums": True, "velocities": 32, "tempos": 32}


@cache
def representations() -> dict[str, Representation]:
    made: dict[str, dict[str, Any]] = {
        "voices": {"kind": "voices"},
        "voices_held": {"kind": "voices", "hold": True},
        "line": {"kind": "voices", "voices": 1, "steps_per_quarter": 12, "lowest": 0, "highest": 127},
        "roll": {"kind": "roll", "steps_per_quarter": 12, "drums": True},
        "words": {"kind": "words"},
    }
    for kind in KINDS:
        able = {option: value for option, value in TOLD.items() if kind not in LACKING.get(option, ())}
        # Some pieces are longer than the 512 bars that the embeddings of bars have by default.
        made[kind] = {"kind": kind, "longest": 64, "max_bars": 4096, **able}
        made[f"{kind}_plain"] = {"kind": kind}
    return {name: registry.load(parse(document)) for name, document in made.items()}


def music(entry: str, count: int) -> Iterator[tuple[str, Path, Music]]:
    """Pieces of an archive, evenly spaced among all that it holds."""
    archive = SHARED / f"{ENTRIES[entry]}.zip"
    if not archive.exists():
        pytest.skip(f"no real music at hand: {archive} is absent")
    source = catalog.load(entry, ROOT / "config/datasets").source
    if entry == "vgmidi":
        # The archive at hand holds the files under other names than the public one.
        source = source.model_copy(update={"include": ["*.mid"]})
    with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory() as folder:
        units: list[tuple[str, str, str | None]] = []
        for name in sorted(opened.namelist()):
            form = source.format or readers.format_of(name, "notes")
            if form is None or name.endswith("/") or not included(name, source):
                continue
            parts: list[Any] = [None]
            if form in readers.PARTS:
                parts = readers.list_parts(form, Path(opened.extract(name, folder)), source.options)
            units += [(form, name, part) for part in parts]
        for i in np.unique(np.linspace(0, len(units) - 1, count).astype(int)).tolist():
            form, name, part = units[i]
            path = Path(opened.extract(name, folder))
            yield f"{name}#{part}", path, readers.read_part(form, path, part, source.options)


def of_music(found: Music) -> Piece:
    order = [MUSIC_COLUMNS.index(name) for name in NOTE_COLUMNS]
    return Piece(columns_of_notes(found.notes[:, order]), sorted(set(found.meters)), sorted(set(found.tempos)))


def check(entry: str, count: int) -> None:
    encoded = dict.fromkeys(representations(), 0)
    for name, _, found in music(entry, count):
        piece = of_music(found)
        for key, made in representations().items():
            try:
                tokens = made.encode(piece)
            except ValueError:
                # Every reason is tested where it arises; here it counts that enough is left.
                continue
            told = registry.decode(tokens, made.vocabulary)
            assert fidelity.equal(told, made.claim(piece)), (name, key)
            assert set(told.repairs) <= ({"a note stands twice"} if key.startswith("pertok") else set()), (name, key)
            encoded[key] += 1
    never = {key for key, number in encoded.items() if not number}
    monophonic, drums = entry in ("symbtr", "weimar_jazz"), entry == "groove"
    expected = set() if monophonic else {"line"}
    expected |= set() if entry == "jsb" else {"voices", "voices_held"}
    if drums:
        expected |= {"words", *(f"{kind}_plain" for kind in KINDS)}
    # A solo in seconds or a roll may hold a silence that `structured` cannot tell.
    assert never - {"structured", "structured_plain"} <= expected, never


@pytest.mark.parametrize("entry", ENTRIES)
def test_real_music_comes_back_as_claimed(entry: str) -> None:
    check(entry, 2)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_much_real_music_comes_back_as_claimed(entry: str) -> None:
    check(entry, 30)


def agreement(entry: str, count: int) -> None:
    for name, path, found in music(entry, count):
        if path.suffix != ".mid":
            continue
        if TICKS_PER_QUARTER % Score(path).ticks_per_quarter:
            # A corpus counts 480 ticks a quarter: what is rounded to them first may round to another grid line.
            continue
        assert np.array_equal(found.notes, read_midi.read(path).notes)
        piece = of_music(found)
        for kind in KINDS:
            made: Any = representations()[kind]
            try:
                tokens = made.encode(piece)
            except ValueError:
                continue
            sequences = made.tokenizer.encode(path)
            (theirs,) = sequences if isinstance(sequences, list) else (sequences,)
            ours = [[made.vocabulary.names[symbol] for symbol in step] for step in tokens[:-1].tolist()]
            steps = [[token] for token in theirs.tokens] if made.vocabulary.width == 1 else theirs.tokens
            assert [step[: len(own)] for step, own in zip(ours, steps, strict=True)] == steps, (name, kind)


MIDI = ("asap", "groove", "nottingham", "piano_midi_de", "pop909", "symbtr", "vgmidi")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", MIDI)
def test_tokens_of_real_files_are_miditoks(entry: str) -> None:
    agreement(entry, 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", MIDI)
def test_tokens_of_many_real_files_are_miditoks(entry: str) -> None:
    agreement(entry, 30)
