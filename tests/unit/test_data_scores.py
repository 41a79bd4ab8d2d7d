"""Readers of scores: the exact notes of small ones, and damaged ones cost only themselves."""

from __future__ import annotations

import csv
import random
import zipfile
from pathlib import Path

import pytest

from dalsegno.data import corpus, manifest, read_abc
from dalsegno.data.manifest import COLLECTIONS
from dalsegno.data.options import FolderSource, Music21Source
from dalsegno.data.read_score import read_kern, read_musicxml
from dalsegno.data.tables import Corpus, Music

ABC = """O:Ireland
M:4/4

X:7
T:The First  % a remark
C:A. Nonymous
R:reel
M:3/4
L:1/4
Q:1/4=90
K:Gmaj
|: "G"G A- | :|

X:7
T:The Second
L:1/8
Q:1/4=100
K:Am
A4- A2 ^c2 | {d}c4 z4 |
M:2/4
[Ae]4 | A4 |]
"""

NOTE = """<note><pitch><step>{}</step><octave>{}</octave></pitch><duration>{}</duration>{}<voice>1</voice></note>"""


def note(step: str, octave: int, duration: int, more: str = "") -> str:
    chord = "<chord/>" if "chord" in more else ""
    return NOTE.format(step, octave, duration, more.replace("chord", "")).replace("<note>", f"<note>{chord}")


TRIPLET = "<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>"
ATTRIBUTES = (
    "<attributes><divisions>6</divisions><key><fifths>0</fifths><mode>minor</mode></key>"
    "<time><beats>2</beats><beat-type>4</beat-type></time></attributes>"
)
TRANSPOSE = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>"

MUSICXML = f"""<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1">
<work><work-title>Small  one</work-title></work>
<identification><creator type="composer">A. Nonymous</creator></identification>
<part-list>
<score-part id="P1"><part-name>Melody</part-name></score-part>
<score-part id="P2"><part-name>Clarinet</part-name></score-part>
</part-list>
<part id="P1">
<measure number="0" implicit="yes">{ATTRIBUTES}
<direction><direction-type><metronome><beat-unit>quarter</beat-unit><per-minute>72</per-minute></metronome>
</direction-type><sound tempo="72"/></direction>
{note("E", 5, 6)}</measure>
<measure number="1"><harmony><root><root-step>A</root-step></root><kind>minor</kind></harmony>
{note("A", 4, 6)}{note("C", 5, 6, "chord")}{note("B", 4, 6, '<tie type="start"/>')}</measure>
<measure number="2">{note("B", 4, 6, '<tie type="stop"/>')}
{note("C", 5, 2, TRIPLET)}{note("D", 5, 2, TRIPLET)}{note("E", 5, 2, TRIPLET)}</measure>
</part>
<part id="P2">
<measure number="0" implicit="yes">{ATTRIBUTES.replace("</attributes>", TRANSPOSE)}
<note><rest/><duration>6</duration></note></measure>
<measure number="1">{note("D", 4, 12)}</measure>
<measure number="2">{note("D", 4, 12)}</measure>
</part>
</score-partwise>
"""

KERN = """!!!COM: Nonymous, A.
!!!OTL: Small
**kern\t**kern
*M3/4\t*M3/4
*a:\t*a:
4A\t4cc#
4B\t[4ee
=2\t=2
[2.C\t4ee]
.\t4dd 4ff
.\t4r
=3\t=3
2.C]\t8.aa
.\t16gg
.\t2r
*-\t*-
"""


def rows(music: Music) -> list[tuple[int, int, int, int]]:
    """(track, start, pitch, duration), sorted."""
    return sorted(tuple(row[:4]) for row in music.notes.tolist())


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_file_of_tunes_in_abc_is_read_tune_by_tune(tmp_path: Path) -> None:
    path = written(tmp_path, "book.abc", ABC)
    assert read_abc.parts(path) == ["0001", "0002"]
    music = read_abc.read(path, "0002", {"file_label": "region"})
    assert music.title == "The Second"
    assert music.labels == (("origin", "Ireland"), ("region", "book"))
    assert rows(music) == [
        (0, 0, 69, 1440),
        (0, 1440, 73, 480),
        (0, 1920, 72, 960),
        (0, 3840, 69, 960),
        (0, 3840, 76, 960),
        (0, 4800, 69, 960),
    ]
    # music21 drops a meter that changes within a tune (docs/formats.md).
    assert music.meters == ((0, 4, 4),)
    assert music.tempos == ((0, 100.0),)
    assert music.keys == ((0, 9, "minor"),)


def test_repeats_are_played_and_chord_symbols_are_silent(tmp_path: Path) -> None:
    music = read_abc.read(written(tmp_path, "a.abc", 'X:1\nM:2/4\nL:1/4\nK:G\n|: "G"G A | B2 | c2 | d2 :|\n'))
    assert rows(music) == [
        (0, 0, 67, 480),
        (0, 480, 69, 480),
        (0, 960, 71, 960),
        (0, 1920, 72, 960),
        (0, 2880, 74, 960),
        (0, 3840, 67, 480),
        (0, 4320, 69, 480),
        (0, 4800, 71, 960),
        (0, 5760, 72, 960),
        (0, 6720, 74, 960),
    ]


def test_a_tune_names_its_rhythm_and_composer(tmp_path: Path) -> None:
    music = read_abc.read(written(tmp_path, "book.abc", ABC), "0001")
    assert music.title == "The First"
    assert music.labels == (("origin", "Ireland"), ("composer", "A. Nonymous"), ("rhythm", "reel"))
    assert music.keys[0] == (0, 7, "major")
    with pytest.raises(ValueError, match="2 tunes and none named 0003"):
        read_abc.read(tmp_path / "book.abc", "0003")


def check_musicxml(music: Music) -> None:
    assert music.title == "Small one"
    assert music.labels == (("composer", "A. Nonymous"),)
    assert rows(music) == [
        (0, 0, 76, 480),
        (0, 480, 69, 480),
        (0, 480, 72, 480),
        (0, 960, 71, 960),
        (0, 1920, 72, 160),
        (0, 2080, 74, 160),
        (0, 2240, 76, 160),
        # A clarinet in B flat sounds a tone below what is written.
        (1, 480, 60, 960),
        (1, 1440, 60, 960),
    ]
    assert music.meters == ((0, 1, 4), (480, 2, 4))
    assert music.tempos == ((0, 72.0),)
    assert music.keys == ((0, 9, "minor"),)


def test_musicxml_gives_the_notes_that_sound(tmp_path: Path) -> None:
    check_musicxml(read_musicxml(written(tmp_path, "a.musicxml", MUSICXML)))


def test_compressed_musicxml_is_the_same(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfiles><rootfile full-path="s &c.xml"/></rootfiles></c>')
        archive.writestr("other.xml", "<no/>")
        archive.writestr("s &c.xml", MUSICXML)
    check_musicxml(read_musicxml(tmp_path / "a.mxl"))


def test_a_kern_score_has_a_track_a_spine(tmp_path: Path) -> None:
    music = read_kern(written(tmp_path, "a.krn", KERN))
    assert music.title == "Small"
    by_pitch = {pitch: (start, duration) for _, start, pitch, duration in rows(music)}
    assert by_pitch == {
        57: (0, 480),
        59: (480, 480),
        48: (960, 2880),
        73: (0, 480),
        76: (480, 960),
        74: (1440, 480),
        77: (1440, 480),
        81: (2400, 360),
        79: (2760, 120),
    }
    assert music.keys == ((0, 9, "minor"),)
    assert music.meters == ((0, 2, 4), (960, 3, 4))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xml", b"MThd\x00\x00\x00\x06", "not MusicXML but a MIDI file"),
        ("a.xml", b"<!DOCTYPE html><html><p>gone</html>", r"not MusicXML but a web page \(HTML\)"),
        ("a.xml", b"", r"not MusicXML but an empty file \(0 bytes\)"),
        ("a.xml", b"<plist/>", "its root is plist"),
        ("a.mxl", b"PK\x03\x04 torn", "a broken compressed score"),
        ("a.krn", MUSICXML.encode(), "not kern but a MusicXML score"),
        ("a.abc", KERN.encode(), r"not ABC \(no line starts with X:\) but a kern score"),
        ("a.abc", b"%PDF-1.4\x00", "but a PDF"),
    ],
)
def test_a_file_of_another_kind_says_what_it_is(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    reader = {".krn": read_kern, ".abc": read_abc.parts}.get(Path(name).suffix, read_musicxml)
    with pytest.raises(ValueError, match=message):
        reader(tmp_path / name)


def mutated(text: str, chance: random.Random) -> bytes:
    """`text` with one to six spans deleted, doubled, or overwritten with digits or any bytes."""
    content = bytearray(text.encode())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content))
        end = min(len(content), at + chance.choice((1, 1, 2, 8, 40)))
        content[at:end] = chance.choice(
            (b"", bytes(content[at:end]) * 2, str(chance.randint(-99999, 999999)).encode(), chance.randbytes(end - at))
        )
    return bytes(content)


@pytest.mark.parametrize("count", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_damaged_scores_are_pieces_or_rejects(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A note of a million quarters costs music21 minutes; the limit makes a reject of it.
    monkeypatch.setattr(corpus, "SECONDS_A_FILE", 3.0)
    chance = random.Random(1)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for index in range(count):
        (folder / f"{index:04d}.musicxml").write_bytes(mutated(MUSICXML, chance))
        (folder / f"{index:04d}.abc").write_bytes(mutated(ABC, chance))
        (folder / f"{index:04d}.krn").write_bytes(mutated(KERN, chance))
    source = FolderSource(kind="folder", path=str(folder))
    corpus.build(source, 1.0, tmp_path / "out", jobs=2)
    with open(tmp_path / "out" / "rejects.csv", newline="") as file:
        rejects = list(csv.DictReader(file))
    parsed = [piece["source"] for piece in Corpus(tmp_path / "out").pieces]
    assert not [reject for reject in rejects if "crashed" in reject["reason"]]
    assert all(reject["reason"] for reject in rejects)
    told = parsed + [reject["path"] for reject in rejects]
    assert len(set(told)) == len(told)
    assert {path.split("#")[0] for path in told} == {path.name for path in folder.iterdir()}
    assert len(parsed) > count / 2


def test_the_collections_of_music21_are_listed() -> None:
    found = {name: manifest.list_source(Music21Source(kind="music21", collection=name)) for name in COLLECTIONS}
    counts = {name: len(files) for name, files in found.items() if name != "bach_chorales"}
    assert counts == {
        "aird": 6,
        "essen": 31,
        "monteverdi": 49,
        "oneill": 39,
        "palestrina": 1318,
        "ryans_mammoth": 1059,
        "trecento": 103,
    }
    for files in found.values():
        assert len({file.piece for file in files}) == len(files)
    region = next(file for file in found["essen"] if file.path == "irl.abc")
    music = read_abc.read(region.location, "0001", COLLECTIONS["essen"].options)
    assert ("region", "irl") in music.labels


def test_a_pitch_that_midi_has_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "high.musicxml"
    path.write_text(MUSICXML.replace("<octave>5</octave>", "<octave>12</octave>"))
    with pytest.raises(ValueError, match="a pitch that MIDI has not"):
        read_musicxml(path)
