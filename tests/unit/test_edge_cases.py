"""Strange music through every representation and every feature of notes: told whole, or refused with its reason."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from dalsegno.data import read_midi
from dalsegno.data.notes import DRUMS, Notes, make_notes
from dalsegno.data.tables import NOTE_COLUMNS as MUSIC_COLUMNS
from dalsegno.data.tables import Music
from dalsegno.features import attributes, symbolic
from dalsegno.features.options import Attributes, Symbolic
from dalsegno.representations import fidelity, registry
from dalsegno.representations.base import NOTE_COLUMNS, Piece, columns_of_notes
from dalsegno.representations.options import parse
from tests.unit.test_features_symbolic import corpus_of

HOUR = 60 * 120 * 480
"""Ticks at 120 quarters a minute."""


def notes_of(**columns: object) -> Notes:
    return make_notes(**columns)


STRANGE = {
    "one note": notes_of(start=[0], duration=[480], pitch=[60]),
    "one note after an hour": notes_of(start=[HOUR], duration=[480], pitch=[60]),
    "no duration": notes_of(start=np.arange(4) * 480, duration=[0] * 4, pitch=[60, 62, 64, 65]),
    "many at once": notes_of(
        start=[0] * 10_000,
        duration=[480] * 10_000,
        pitch=np.arange(10_000) % 128,
        track=np.sort(np.arange(10_000) // 128 % 40),
        program=np.sort(np.arange(10_000) // 128 % 40),
    ),
    "twelve hours": notes_of(start=np.arange(720) * (HOUR // 60), duration=[480] * 720, pitch=60 + np.arange(720) % 12),
    "fifteen sixteenths": notes_of(start=np.arange(45) * 120, duration=[120] * 45, pitch=60 + np.arange(45) % 5),
    "drums alone": notes_of(start=[0, 240], duration=[60] * 2, pitch=[36, 38], program=[DRUMS] * 2),
    "lowest and highest": notes_of(start=[0, 480], duration=[480] * 2, pitch=[0, 127], velocity=[1, 127]),
}
METERS = {"fifteen sixteenths": ((0, 15, 16),)}

VOICES = {"kind": "voices", "lowest": 0, "highest": 127}
TAKERS = {
    "one voice": {**VOICES, "voices": 1},
    "one voice, held": {**VOICES, "voices": 1, "hold": True},
    "roll": {"kind": "roll", "drums": True},
    "words": {"kind": "words"},
    "frames": {"kind": "frames", "lowest": 0, "highest": 127, "steps_per_quarter": 1},
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("strange", STRANGE)
def test_strange_pieces_are_told_whole_or_refused(taker: str, strange: str) -> None:
    notes = STRANGE[strange]
    columns = {name: getattr(notes, name) for name in NOTE_COLUMNS}
    piece, made = Piece(columns, METERS.get(strange, ())), registry.load(parse(TAKERS[taker]))
    refused = {
        ("one voice", "many at once"): "40 tracks instead of 1 voices",
        ("one voice, held", "many at once"): "40 tracks instead of 1 voices",
        ("words", "drums alone"): "no notes but drums",
        ("frames", "drums alone"): "no notes but drums",
        ("frames", "no duration"): "no note reaches a frame",
    }
    if (taker, strange) in refused:
        with pytest.raises(ValueError, match=refused[taker, strange]):
            made.encode(piece)
        return
    told = registry.decode(made.encode(piece), made.vocabulary)
    assert fidelity.equal(told, made.claim(piece)) and not told.repairs


@pytest.mark.parametrize("taker", TAKERS)
def test_silence_is_refused(taker: str) -> None:
    with pytest.raises(ValueError, match="no note"):
        registry.load(parse(TAKERS[taker])).encode(Piece(columns_of_notes([])))


@pytest.mark.parametrize("strange", STRANGE)
def test_strange_pieces_have_features(strange: str, tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [STRANGE[strange]], meters=METERS.get(strange, ()))
    (row,) = symbolic.values(corpus, [0], Symbolic(kind="symbolic"))
    assert not np.isinf(row).any()
    (bars,) = attributes.windows(corpus, [0], Attributes(kind="attributes"))
    table = np.concatenate([window.values for window in bars])
    assert not np.isinf(table).any()
    ticks = table[:, attributes.COLUMNS.index("ticks")]
    density = table[:, attributes.COLUMNS.index("density")]
    assert round(float((density * ticks / 480).sum())) == len(STRANGE[strange])
    if strange == "fifteen sixteenths":
        assert ticks.tolist() == [1800] * 3 and density.tolist() == [4] * 3
    if strange == "twelve hours":
        assert len(bars) == 719 * 60 * 120 // 60 // 4 + 1


def test_a_tempo_of_zero_stops_no_feature(tmp_path: Path) -> None:
    """A reader drops such marks; in a table from elsewhere they count for nothing."""
    corpus = corpus_of(tmp_path, [STRANGE["one note"]], tempos=((0, 0.0),))
    (bars,) = attributes.windows(corpus, [0], Attributes(kind="attributes", per="piece"))
    values = dict(zip(attributes.COLUMNS, bars[0].values[0].tolist(), strict=True))  # type: ignore[index]
    assert values["qpm"] == 120 and corpus.seconds(0) == 0.5


def midi(*events: tuple[int, bytes]) -> bytes:
    """A file of one track at 480 ticks: (ticks since the event before, bytes)."""
    body = b"".join(_length(delta) + content for delta, content in events) + b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(body)) + body


def _length(number: int) -> bytes:
    digits = [number & 127]
    while number := number >> 7:
        digits.append(number & 127 | 128)
    return bytes(reversed(digits))


def read(tmp_path: Path, content: bytes) -> Music:
    (tmp_path / "a.mid").write_bytes(content)
    return read_midi.read(tmp_path / "a.mid")


def note(pitch: int, ticks: int = 480) -> list[tuple[int, bytes]]:
    return [(0, bytes([0x90, pitch, 80])), (ticks, bytes([0x80, pitch, 0]))]


def test_a_program_change_within_a_track_is_followed_from_there_on(tmp_path: Path) -> None:
    found = read(
        tmp_path, midi((0, b"\xc0\x00"), *note(60), *note(62), (0, b"\xc0\x21"), *note(64), (0, b"\xc0\x00"), *note(65))
    )
    columns = {name: found.notes[:, MUSIC_COLUMNS.index(name)].tolist() for name in ("start", "pitch", "program")}
    told = sorted(zip(columns["start"], columns["pitch"], columns["program"], strict=True))
    assert told == [(0, 60, 0), (480, 62, 0), (960, 64, 33), (1440, 65, 0)]
    made = registry.load(parse({"kind": "remi", "programs": True}))
    order = [MUSIC_COLUMNS.index(name) for name in NOTE_COLUMNS]
    piece = Piece(columns_of_notes(found.notes[:, order]))
    assert fidelity.equal(registry.decode(made.encode(piece), made.vocabulary), made.claim(piece))


def test_pitch_bends_leave_the_notes_as_they_are_written(tmp_path: Path) -> None:
    plain = read(tmp_path, midi(*note(60), *note(62)))
    bent = read(tmp_path, midi((0, b"\xe0\x00\x60"), *note(60), (0, b"\xe0\x7f\x7f"), *note(62), (0, b"\xe0\x00\x40")))
    assert np.array_equal(plain.notes, bent.notes)


def test_a_tempo_of_zero_in_a_file_is_no_mark(tmp_path: Path) -> None:
    found = read(tmp_path, midi((0, b"\xff\x51\x03\x00\x00\x00"), *note(60)))
    assert all(0 < qpm < 1e4 for _, qpm in found.tempos)
    slow = read(tmp_path, midi((0, b"\xff\x51\x03\xff\xff\xff"), *note(60)))
    assert [round(qpm, 3) for _, qpm in slow.tempos] == [3.576]
