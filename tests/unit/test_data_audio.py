"""Recordings and tables of features become corpora; what cannot be believed is a reject with its reason."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from pydantic import ValidationError

from dalsegno.data import catalog, corpus, families
from dalsegno.data.options import CORPUS_FILES, FamilyOptions, FolderSource, parse_source
from dalsegno.data.read_audio import samples
from dalsegno.data.recordings import located

RATE = 22_050
FORMATS = {
    "wav": "PCM_16",
    "flac": "PCM_16",
    "ogg": "VORBIS",
    "mp3": "MPEG_LAYER_III",
    "aiff": "PCM_16",
    "au": "PCM_16",
}
"""Suffix -> encoding."""


def tone(hertz: float = 440.0, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """A sine with some noise, float32 `[frames]`."""
    noise = np.random.default_rng(0).normal(0, 0.01, int(seconds * rate))
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(len(noise)) / rate) + noise).astype(np.float32)


def encoded(sound: np.ndarray, suffix: str, rate: int = RATE, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    if (subtype or FORMATS[suffix]) == "PCM_16":
        # Writers round a float to 16 bits each in its way.
        sound = np.rint(sound * 32767).astype(np.int16)
    soundfile.write(file, sound, rate, format=suffix.upper(), subtype=subtype or FORMATS[suffix])
    return file.getvalue()


def built(folder: Path, **options: object) -> Path:
    source = parse_source({"kind": "folder", "path": str(folder), "modality": "audio", **options})
    out = folder.with_name(f"{folder.name}-corpus")
    corpus.build(source, 1.0, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(CORPUS_FILES[source.modality])
    return out


def rejects(out: Path) -> dict[str, str]:
    with open(out / "rejects.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def pieces(out: Path) -> list[dict]:
    return pq.read_table(out / "pieces.parquet").to_pylist()


def test_every_container_is_read_and_says_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for suffix in FORMATS:
        (folder / f"{suffix}.{suffix}").write_bytes(encoded(tone(), suffix))
    rows = {row["piece"]: row for row in pieces(built(folder))}
    assert rows.keys() == FORMATS.keys()
    for suffix, row in rows.items():
        assert row["codec"] == f"{suffix.upper()} {FORMATS[suffix]}"
        assert (row["rate"], row["channels"], row["frames"], row["seconds"]) == (RATE, 1, RATE, 1.0)
        assert 0.3 < row["peak"] < 0.4
    lossless = {rows[suffix]["content"] for suffix in ("wav", "flac", "aiff", "au")}
    assert len(lossless) == 1, "equal sound in another container is equal"
    assert len({row["content"] for row in rows.values()}) == 3


def test_rates_and_channels(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    sounds = {}
    for rate in (8_000, 11_025, 44_100, 96_000, 192_000):
        for channels in (1, 2, 6):
            sound = np.stack([tone(100 * (i + 1), 0.2, rate) for i in range(channels)], 1)
            sounds[f"{rate}x{channels}"] = (sound, rate)
            (folder / f"{rate}x{channels}.wav").write_bytes(encoded(sound, "wav", rate, "FLOAT"))
    out = built(folder)
    rows = {row["piece"]: row for row in pieces(out)}
    assert rows.keys() == sounds.keys()
    with located(FolderSource(kind="folder", path=str(folder), modality="audio"), out, tmp_path) as recordings:
        assert [(one.number, one.piece) for one in recordings] == list(enumerate(sorted(sounds)))
        for recording in recordings:
            sound, rate = sounds[recording.piece]
            read, known = samples(recording.location)
            assert known == rate == recording.rate == rows[recording.piece]["rate"]
            assert recording.content == rows[recording.piece]["content"]
            assert (recording.frames, recording.channels) == sound.shape
            np.testing.assert_array_equal(read, sound)


def damaged() -> dict[str, tuple[bytes, str]]:
    """File name -> content and what its reason must say."""
    wav, nan = encoded(tone(), "wav"), tone()
    nan[7] = np.nan
    cases = {
        "empty.wav": (b"", "empty"),
        "none.wav": (encoded(tone()[:0], "wav"), "no samples"),
        "nan.wav": (encoded(nan, "wav", subtype="FLOAT"), "no number"),
        "infinite.wav": (encoded(np.where(np.isnan(nan), np.inf, nan), "wav", subtype="FLOAT"), "no number"),
        "text.mp3": (b"no music here", "no format that is known"),
        "text.wav": (b"no music here", "decoded"),
        "head.wav": (wav[:40], "decoded"),
        "rate.wav": (wav[:24] + (12).to_bytes(4, "little") + wav[28:], "sample rate of 12 Hz"),
        "channels.wav": (wav[:22] + (0).to_bytes(2, "little") + wav[24:], "decoded"),
        "longer.wav": (wav[:40] + (1 << 20).to_bytes(4, "little") + wav[44:], "torn"),
    }
    for suffix in FORMATS:
        whole = encoded(tone(), suffix)
        cases[f"half.{suffix}"] = (whole[: len(whole) // 2], "torn|announces|decoded")
        cases[f"cut.{suffix}"] = (whole[:-50], "torn|announces|decoded")
    return cases


def test_damaged_files_are_rejects_with_reasons(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    cases = damaged()
    (folder / "good.wav").write_bytes(encoded(tone(), "wav"))
    (folder / "readme.txt").write_text("hello")
    for name, (content, _) in cases.items():
        (folder / name).write_bytes(content)
    out = built(folder)
    found = rejects(out)
    assert [row["piece"] for row in pieces(out)] == ["good"]
    assert found.pop("readme.txt").startswith("not a recording")
    assert found.keys() == cases.keys(), "found = parsed + rejected"
    for name, (_, expected) in cases.items():
        assert re.search(expected, found[name]), (name, found[name])
        assert str(tmp_path) not in found[name]


def test_a_stream_without_a_size_is_believed(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    whole = encoded(tone(), "wav")
    (folder / "a.wav").write_bytes(whole[:4] + b"\xff" * 4 + whole[8:40] + b"\xff" * 4 + whole[44:])
    assert pieces(built(folder))[0]["frames"] == RATE


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    random = np.random.default_rng(0)
    for suffix in FORMATS:
        whole = encoded(tone(seconds=0.2), suffix)
        for index in range(40):
            content = bytearray(whole)
            # Half of the damage hits the first bytes, where headers lie.
            for place in random.integers(0, [80, len(content)][index % 2], 1 + index % 4).tolist():
                content[place] ^= int(random.integers(1, 256))
            (folder / f"{index:02d}.{suffix}").write_bytes(content)
        (folder / f"whole.{suffix}").write_bytes(whole)
    out = built(folder)
    read = {row["source"] for row in pieces(out)}
    left = rejects(out)
    assert read | left.keys() == {path.name for path in folder.iterdir()} and not read & left.keys()
    assert read >= {f"whole.{suffix}" for suffix in FORMATS}
    assert not [reason for reason in left.values() if "crashed" in reason]


def test_families_are_equal_sound_and_groups(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, hertz, suffix in (("a", 300, "wav"), ("b", 300, "flac"), ("c", 400, "wav"), ("d", 500, "wav")):
        (folder / f"{name}.{suffix}").write_bytes(encoded(tone(hertz), suffix))
    (folder / "labels.csv").write_text("path,artist\nb.flac,x\nc.wav,x\nd.wav,y\n")
    out = built(folder, labels={"group": "artist"})
    families.build(FamilyOptions(), out, tmp_path / "families")
    found = {(pair.piece, pair.other, pair.kind) for pair in families.read_pairs(tmp_path / "families")}
    assert found == {("a", "b", "exact"), ("b", "c", "group")}
    assert families.read(tmp_path / "families", ["a", "b", "c", "d"]).tolist() == [0, 0, 0, 3]


def test_tags_are_labels(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    with soundfile.SoundFile(folder / "a.flac", "w", RATE, 1) as file:
        file.title, file.artist = "A song", "Somebody"
        file.write(tone())
    out = built(folder, options={"group": "artist"})
    labels = {row["label"]: row["value"] for row in pq.read_table(out / "labels.parquet").to_pylist()}
    assert labels == {"artist": "Somebody", "group": "Somebody"}
    assert pieces(out)[0]["title"] == "A song"
    (folder / "labels.csv").write_text("path,artist\na.flac,Somebody else\n")
    out = built(folder, labels={"group": "artist"})
    labels = [(row["label"], row["value"]) for row in pq.read_table(out / "labels.parquet").to_pylist()]
    assert labels == [("artist", "Somebody else"), ("group", "Somebody else")], "the table goes before the tags"


def test_a_folder_of_sound_without_its_modality_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.wav").write_bytes(encoded(tone(), "wav"))
    with pytest.raises(ValueError, match="say `modality: audio`"):
        built(folder, modality="notes")


# Tables of features.

TABLE = "name,x,y,genre,artist\na,1,2.5,jazz,p\nb,3,4,rock,p\nc,1,2.5,jazz,q\n"
OPTIONS = {"piece": "name", "labels": ["genre"], "group": "artist"}


def table(tmp_path: Path, text: str, options: dict | None = None, **more: object) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir(exist_ok=True)
    (folder / "t.csv").write_text(text)
    return built(folder, modality="table", options=OPTIONS if options is None else options, **more)


def test_a_table_gives_pieces_features_labels_and_families(tmp_path: Path) -> None:
    out = table(tmp_path, TABLE)
    features = pq.read_table(out / "features.parquet")
    assert features.to_pydict() == {"piece": [0, 1, 2], "x": [1.0, 3.0, 1.0], "y": [2.5, 4.0, 2.5]}
    assert [(row["piece"], row["source"]) for row in pieces(out)] == [
        ("a", "t.csv#1"),
        ("b", "t.csv#2"),
        ("c", "t.csv#3"),
    ]
    labels = pq.read_table(out / "labels.parquet").to_pylist()
    assert {(row["piece"], row["value"]) for row in labels if row["label"] == "group"} == {(0, "p"), (1, "p"), (2, "q")}
    families.build(FamilyOptions(), out, tmp_path / "families")
    found = {(pair.piece, pair.other, pair.kind) for pair in families.read_pairs(tmp_path / "families")}
    assert found == {("a", "b", "group"), ("a", "c", "exact")}


def test_bad_rows_are_rejects(tmp_path: Path) -> None:
    rows = [
        "d,nan,1,jazz,p",
        "e,1,,jazz,p",
        "f,1,2,jazz",
        "a,5,6,jazz,p",
        ",1,9,jazz,p",
        "g,many,2,jazz,p",
        "h,7,8,pop,z",
    ]
    out = table(tmp_path, TABLE + "\n".join(rows) + "\n")
    found = rejects(out)
    assert [row["piece"] for row in pieces(out)] == ["a", "b", "c", "h"]
    assert {path.partition("#")[2] for path in found} == {"4", "5", "6", "7", "8", "9"}
    assert found["t.csv#4"] == "the column 'x' holds 'nan' and no finite number"
    assert found["t.csv#6"] == "4 cells instead of 5"
    assert "earlier row" in found["t.csv#7"]
    assert pq.read_table(out / "features.parquet")["piece"].to_pylist() == [0, 1, 2, 3]


def test_a_table_without_header_and_with_other_separators(tmp_path: Path) -> None:
    text = "# about\n2001;1;2\n2002;3;4\n"
    out = table(tmp_path, text, {"header": False, "delimiter": ";", "skip": 1, "labels": {"year": 0}})
    assert pq.read_table(out / "features.parquet").to_pydict() == {"piece": [0, 1], "f1": [1.0, 3.0], "f2": [2.0, 4.0]}
    assert [row["piece"] for row in pieces(out)] == ["t#1", "t#2"]


def test_more_rows_than_a_batch_and_two_files(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    numbers = range(10_000)
    (folder / "a.csv").write_text("x,y\n" + "".join(f"{i},{i / 3!r}\n" for i in numbers))
    (folder / "b.csv").write_text("x,y\n1,2\n")
    out = built(folder, modality="table")
    features = pq.read_table(out / "features.parquet")
    assert features["piece"].to_pylist() == list(range(10_001))
    assert features["y"].to_pylist() == [*(i / 3 for i in numbers), 2.0]
    assert pieces(out)[-1]["piece"] == "b#1"


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (TABLE, {"piece": "nam"}, "no column 'nam'.*columns: name, x, y"),
        (TABLE, {}, "no number in the column.*'name', 'genre', 'artist'.*name them in"),
        ("", None, "no rows"),
        ("a,b\n", {}, "no rows"),
        ("a,a\n1,2\n", {}, "stand there twice"),
        (TABLE, {**OPTIONS, "drop": ["x", "y"]}, "leave no column"),
        ("a\n\x00\n", {}, "."),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, text: str, options: dict | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        table(tmp_path, text, options)


@pytest.mark.parametrize(
    "changes",
    [{"format": "midi"}, {"modality": "notes", "format": "audio"}, {"modality": "table", "labels": {"file": "x.csv"}}],
)
def test_options_that_do_not_fit_a_modality_are_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(ValidationError):
        parse_source({"kind": "folder", "path": ".", "modality": "audio", **changes})


def test_two_builds_give_equal_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for suffix in FORMATS:
        (folder / f"{suffix}.{suffix}").write_bytes(encoded(tone(), suffix))
    contents: list[dict[str, bytes]] = []
    for _ in range(2):
        out = built(folder)
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]


MILLION_SONG = (
    "artist.familiarity,artist.hotttnesss,artist.id,artist.latitude,artist.location,artist.longitude,artist.name,"
    "artist.similar,artist.terms,artist.terms_freq,release.id,release.name,song.artist_mbtags,song.artist_mbtags_count,"
    "song.bars_confidence,song.bars_start,song.beats_confidence,song.beats_start,song.duration,song.end_of_fade_in,"
    "song.hotttnesss,song.id,song.key,song.key_confidence,song.loudness,song.mode,song.mode_confidence,"
    "song.start_of_fade_out,song.tatums_confidence,song.tatums_start,song.tempo,song.time_signature,"
    "song.time_signature_confidence,song.title,song.year"
)
"""The header of the Million Song subset's summary."""


@pytest.mark.parametrize("name", ["million_song", "gtzan_features"])
def test_the_catalog_reads_the_published_tables(tmp_path: Path, name: str) -> None:
    entry = catalog.load(name, Path(__file__).parents[2] / "config/datasets")
    if name == "million_song":
        texts = {"artist.id": "A1", "artist.location": "Somewhere", "song.hotttnesss": "", "song.title": "One, two"}
        rows = [
            {column: texts.get(column, str(number)) for column in MILLION_SONG.split(",")} | {"song.id": f"S{number}"}
            for number in (1, 2)
        ]
        header = MILLION_SONG.split(",")
    else:
        header = ["filename", "length", *(f"x{i}" for i in range(57)), "label"]
        rows = [{column: str(number) for column in header} for number in (1, 2)]
    folder = tmp_path / "tables"
    folder.mkdir()
    with open(folder / "features_30_sec.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    out = built(folder, modality="table", include=entry.source.include, options=entry.source.options)
    features = pq.read_table(out / "features.parquet")
    assert (features.num_rows, features.num_columns - 1) == (2, {"million_song": 20, "gtzan_features": 57}[name])
    labels = {row["label"] for row in pq.read_table(out / "labels.parquet").to_pylist()}
    assert labels >= ({"genre"} if name == "gtzan_features" else {"title", "artist", "term", "year", "group"})
