"""Damaged music by the thousand: no job crashes, and every file is a piece or a reject."""

from __future__ import annotations

import csv
import os
import random
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import symusic

from dalsegno.data import corpus
from dalsegno.data.options import CORPUS_FILES, FolderSource
from dalsegno.data.tables import Corpus, commonest
from tests.unit.test_data_scores import ABC, MUSICXML, mutated

SHARED = Path(os.getenv("DALSEGNO_SHARED") or Path(__file__).parents[3] / "shared") / "data"


def healthy(folder: Path) -> list[bytes]:
    """MIDI files of several kinds: one and many tracks, drums, tempo and meter marks, bends, pedals, text."""
    made = []
    for seed, division in enumerate((24, 96, 220, 384, 480, 960)):
        chance = np.random.default_rng(seed)
        score = symusic.Score(division)
        for time in range(0, 16 * division, 4 * division):
            score.tempos.append(symusic.Tempo(time, float(chance.uniform(50, 200))))
            score.time_signatures.append(symusic.TimeSignature(time, int(chance.integers(2, 8)), 4))
        score.key_signatures.append(symusic.KeySignature(0, int(chance.integers(-7, 8)), 0))
        score.markers.append(symusic.TextMeta(division, "verse"))
        for number in range(1 + seed):
            track = symusic.Track(f"part {number}", int(chance.integers(0, 128)), number == 3)
            for start in np.sort(chance.integers(0, 16 * division, 30)).tolist():
                length = int(chance.integers(1, 4 * division))
                track.notes.append(symusic.Note(start, length, int(chance.integers(20, 110)), 64))
            track.pitch_bends.append(symusic.PitchBend(division, 512))
            track.controls.append(symusic.ControlChange(division, 64, 127))
            track.lyrics.append(symusic.TextMeta(0, "la"))
            score.tracks.append(track)
        score.dump_midi(folder / f"{seed}.mid")
        made.append((folder / f"{seed}.mid").read_bytes())
    return made


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """(name, body) of every chunk."""
    found, position = [], 0
    while position + 8 <= len(content):
        length = int.from_bytes(content[position + 4 : position + 8], "big")
        found.append((content[position : position + 4], content[position + 8 : position + 8 + length]))
        position += 8 + length
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + len(body).to_bytes(4, "big") + body for name, body in parts)


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def overwrite(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    span = chance.choice((1, 2, 4, 16, 200))
    return (
        content[:at] + chance.choice((b"", chance.randbytes(span), b"\xff" * span, b"\0" * span)) + content[at + span :]
    )


def change_division(content: bytes, chance: random.Random) -> bytes:
    division = chance.choice((0, 1, 2, 0x7FFF, 0x8000, 0xE728, 0xE250, 0xFFFF, chance.randrange(1 << 16)))
    return content[:12] + division.to_bytes(2, "big") + content[14:]


def change_head(content: bytes, chance: random.Random) -> bytes:
    """Another format, number of tracks or length of the header."""
    head = bytearray(content[:14])
    at, size = chance.choice(((4, 4), (8, 2), (10, 2)))
    head[at : at + size] = chance.choice((0, 1, 2, 7, 255, (1 << 8 * size) - 1)).to_bytes(size, "big")
    return bytes(head) + content[14:]


def change_length(content: bytes, chance: random.Random) -> bytes:
    """A track that claims another length."""
    start = 14
    for _ in range(chance.randrange(4)):
        start += 8 + int.from_bytes(content[start + 4 : start + 8], "big")
        if start + 8 > len(content):
            start = 14
    length = int.from_bytes(content[start + 4 : start + 8], "big")
    claimed = chance.choice((0, 1, length - 1, length + 1, length * 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
    return content[: start + 4] + (claimed % (1 << 32)).to_bytes(4, "big") + content[start + 8 :]


TEMPOS = (0, 1, 10, 500_000, 0x7FFFFF, 0xFFFFFF)
DELTAS = (b"\0", b"\x7f", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x80\0", b"\xff\xff\xff\xff\xff\x7f", b"\xff" * 9)
EVENTS = (
    b"\xff\x58\x04\0\0\0\0",
    b"\xff\x58\x04\xff\xff\xff\xff",
    b"\xff\x59\x02\x7f\x05",
    b"\xff\x2f\0",
    b"\xff\x01\xff\xff\xff\x7f",
    b"\xff\x51\x7f",
    b"\xf0\xff\xff\xff\x7f",
    b"\xf7\x05ab",
    b"\x90\x3c\x7f",
    b"\x90\xff\xff",
    b"\x3c\x40",
    b"\xf4",
    b"\xfd\0",
    b"\xe0\x7f",
    b"\xc0\xff",
)
"""Meters, keys, lengths and states that no writer should produce, and some that one may."""


def insert_events(content: bytes, chance: random.Random) -> bytes:
    """Absurd tempos, deltas, lengths and running status at any place of a track, which may cut an event in two."""
    parts = chunks(content)
    at = chance.randrange(1, len(parts))
    name, body = parts[at]
    for _ in range(chance.randint(1, 4)):
        event = chance.choice((b"\xff\x51\x03" + chance.choice(TEMPOS).to_bytes(3, "big"), chance.choice(EVENTS)))
        place = chance.choice((0, chance.randrange(len(body) + 1)))
        body = body[:place] + chance.choice(DELTAS) + event + body[place:]
    parts[at] = (name, body)
    return joined(parts)


def never_end(content: bytes, chance: random.Random) -> bytes:
    """A track without its end, or one whose events start over for a long time."""
    parts = chunks(content)
    at = chance.randrange(1, len(parts))
    name, body = parts[at]
    body = body.removesuffix(b"\xff\x2f\0").removesuffix(b"\0")
    parts[at] = (name, chance.choice((body, body * chance.choice((2, 40, 400)), body + b"\x87\x68\x90\x3c\x7f" * 5000)))
    return joined(parts)


def move_chunks(content: bytes, chance: random.Random) -> bytes:
    """Chunks doubled, dropped, renamed or out of order."""
    parts = chunks(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(parts))
        kind = chance.randrange(5)
        if kind == 0:
            parts.insert(at, parts[at])
        elif kind == 1 and len(parts) > 1:
            parts.pop(at)
        elif kind == 2:
            parts.insert(at, (b"XFIH", chance.randbytes(20)))
        elif kind == 3:
            chance.shuffle(parts)
        else:
            parts.extend(parts[-1:] * 300)
    return joined(parts)


def mix(content: bytes, chance: random.Random) -> bytes:
    for change in chance.sample(CHANGES[:-1], 2):
        try:
            content = change(content, chance)
        except (IndexError, ValueError):
            # Nothing is left that it could change.
            return content
    return content


CHANGES = [
    flip_bits,
    truncate,
    overwrite,
    change_division,
    change_head,
    change_length,
    insert_events,
    never_end,
    move_chunks,
    mix,
]


def real(count: int) -> list[bytes]:
    """Some files of every archive of MIDI files at hand; none where there is none."""
    found = []
    for archive in sorted(SHARED.glob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            names = sorted(name for name in file.namelist() if name.endswith(".mid"))
            found += [file.read(name) for name in names[:: max(1, len(names) // count)][:count]]
    return found


def checked(folder: Path, out: Path) -> Counter[str]:
    """Build the corpus of `folder` and check it; gives how many rejects have each reason."""
    corpus.build(FolderSource(kind="folder", path=str(folder)), 1.0, out)
    with open(out / "rejects.csv", newline="") as file:
        rejects = list(csv.DictReader(file))
    tables = Corpus(out)
    told = [piece["source"].split("#")[0] for piece in tables.pieces] + [row["path"].split("#")[0] for row in rejects]
    assert set(told) == {path.name for path in folder.iterdir()}, "found = parsed + rejected"
    assert all(row["reason"] for row in rejects)
    notes = tables.notes
    for name, low, high in (
        ("start", 0, None),
        ("duration", 1, None),
        ("pitch", 0, 127),
        ("velocity", 0, 127),
        ("program", 0, 128),
    ):
        assert notes[name].min() >= low, name
        assert high is None or notes[name].max() <= high, name
    assert all(piece["end"] > 0 for piece in tables.pieces)
    meters = pq.read_table(out / "meters.parquet").to_pylist()
    assert all(row["tick"] >= 0 and row["numerator"] > 0 and row["denominator"] > 0 for row in meters)
    tempos = pq.read_table(out / "tempos.parquet").to_pylist()
    assert all(row["tick"] >= 0 and 0 < row["qpm"] < 1e4 for row in tempos)
    reasons = Counter(row["reason"] for row in rejects)
    print(
        f"{len(set(told))} files: {len(tables.pieces)} pieces, {len(rejects)} rejects: {commonest(reasons.elements())}"
    )
    return reasons


@pytest.mark.parametrize("count", [300, pytest.param(6000, marks=pytest.mark.slow)])
def test_mutated_midi_files_are_pieces_or_rejects(tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    for name in ("healthy", "files"):
        (tmp_path / name).mkdir()
    seeds = healthy(tmp_path / "healthy") + (real(10) if count > 1000 else [])
    for index in range(count):
        content = CHANGES[index % len(CHANGES)](seeds[chance.randrange(len(seeds))], chance)
        (tmp_path / f"files/{index:05d}.mid").write_bytes(content)
    reasons = checked(tmp_path / "files", tmp_path / "one")
    assert not [reason for reason in reasons if "crashed" in reason], reasons
    parsed = count - reasons.total()
    assert count / 10 < parsed < count
    if count < 1000:
        # What a reader makes of damage does not depend on what stands in memory behind the file.
        checked(tmp_path / "files", tmp_path / "two")
        for name in CORPUS_FILES["notes"]:
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_score_that_takes_too_long_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "SECONDS_A_FILE", 1.0)
    folder = tmp_path / "files"
    folder.mkdir()
    for name in "abd":
        (folder / f"{name}.abc").write_text(ABC)
    (folder / "c.abc").write_text("X:1\nM:4/4\nL:1/4\nK:C\n" + "CDEF|" * 20_000 + "\n")
    reasons = checked(folder, tmp_path / "out")
    assert reasons == {"the parser needed more than 1 s": 1}


def test_a_score_that_takes_too_much_memory_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "MEGABYTES_A_FILE", 300)
    folder = tmp_path / "files"
    folder.mkdir()
    for name in "abd":
        (folder / f"{name}.musicxml").write_text(MUSICXML)
    with zipfile.ZipFile(folder / "c.mxl", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("score.xml", "<score-partwise>" + "<note/>" * 3_000_000 + "</score-partwise>")
    assert (folder / "c.mxl").stat().st_size < 200_000
    reasons = checked(folder, tmp_path / "out")
    assert reasons == {"the parser needed more than 300 MiB of memory": 1}


@pytest.mark.slow
def test_mutated_scores_are_pieces_or_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "SECONDS_A_FILE", 3.0)
    chance = random.Random(2)
    folder = tmp_path / "files"
    folder.mkdir()
    for index in range(1000):
        (folder / f"{index:04d}.musicxml").write_bytes(mutated(MUSICXML, chance))
        (folder / f"{index:04d}.abc").write_bytes(mutated(ABC, chance))
    reasons = checked(folder, tmp_path / "out")
    assert not [reason for reason in reasons if "crashed" in reason], reasons


def test_reasons_that_differ_in_numbers_or_names_are_one_kind() -> None:
    lacking = ["it lacks 3 bytes", "it lacks 41 bytes", "it lacks 1,024 bytes"]
    assert commonest([*lacking, "no notes", "no column 'a'", "no column 'b'"]) == [
        ("it lacks … bytes", 3),
        ("no column …", 2),
        ("no notes", 1),
    ]
    assert commonest(["it lacks 3 bytes"] * 2) == [("it lacks 3 bytes", 2)]


def test_a_job_with_too_many_rejects_shows_their_commonest_kind(tmp_path: Path) -> None:
    for name in ("healthy", "files"):
        (tmp_path / name).mkdir()
    whole = healthy(tmp_path / "healthy")[0]
    for cut in range(5):
        (tmp_path / f"files/{cut}.mid").write_bytes(whole[: len(whole) - cut])
    (tmp_path / "files/text.mid").write_text("no music")
    told = r"5 of 6 .*max_rejects \(0.5\) allows: 4 × the file is torn: its last chunk lacks … bytes; 1 × not"
    with pytest.raises(ValueError, match=told):
        corpus.build(FolderSource(kind="folder", path=str(tmp_path / "files")), 0.5, tmp_path / "out")
