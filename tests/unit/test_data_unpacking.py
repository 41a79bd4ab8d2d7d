"""Unpacking: archives come out whole or not at all, and nothing is ever written outside of the folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import stat
import struct
import tarfile
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno.data import unpacking
from dalsegno.data.unpacking import Limits, UnpackError, names, unpack

FILES = {"a.mid": b"MThd a", "deep/er/b.mid": b"MThd b" * 1000, "deep/Ünïcödé ノート.txt": b"", "labels.csv": b"path\n"}
GB = 1 << 30


def make_zip(files: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return file.getvalue()


def make_tar(files: Sequence[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    return tar_of([(named(name, size=len(content)), content) for name, content in files], format)


def named(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def tar_of(members: Sequence[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


MAKERS: dict[str, Callable[[Sequence[tuple[str, bytes]]], bytes]] = {
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda files: gzip.compress(make_tar(files)),
    "tar.bz2": lambda files: bz2.compress(make_tar(files)),
    "tar.xz": lambda files: lzma.compress(make_tar(files)),
}
KINDS = list(MAKERS)


class Room:
    """A folder with an archive in it; whatever is unpacked goes to `out`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.archive, self.out = folder, folder / "archive", folder / "out"

    def unpack(self, content: bytes, **limits: int) -> dict[str, bytes]:
        """Unpack, and give what lies there; only files and folders, only in `out`."""
        self.archive.write_bytes(content)
        found = unpack(self.archive, self.out, Limits(**limits))
        inside = {path.relative_to(self.out).as_posix(): path for path in self.out.rglob("*") if not path.is_dir()}
        assert all(stat.S_ISREG(path.lstat().st_mode) and path.stat().st_nlink == 1 for path in inside.values())
        assert found == sorted(inside)
        assert names(self.archive, Limits(**limits)) == found
        assert sorted(path.name for path in self.folder.iterdir()) == ["archive", "out"]
        return {name: path.read_bytes() for name, path in inside.items()}

    def refused(self, content: bytes | None = None, both: bool = True, **limits: int) -> str:
        """Unpack in vain: the error names the archive and the next step, nothing is left; listing refuses it, too."""
        if content is not None:
            self.archive.write_bytes(content)
        with pytest.raises(UnpackError) as error:
            unpack(self.archive, self.out, Limits(**limits))
        assert str(error.value).startswith(f"{self.archive}") and "Nothing was unpacked; " in str(error.value)
        assert [path.name for path in self.folder.iterdir()] == ["archive"]
        assert len(str(error.value)) < len(str(self.archive)) + 600
        if both:
            with pytest.raises(UnpackError):
                names(self.archive, Limits(**limits))
        return str(error.value)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_archives_are_told_by_content_and_come_out_whole(room: Room, kind: str) -> None:
    assert room.unpack(MAKERS[kind](list(FILES.items()))) == FILES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".mid"])
def test_a_wrong_extension_is_not_believed(room: Room, kind: str, suffix: str) -> None:
    room.archive.with_suffix(suffix).write_bytes(MAKERS[kind](list(FILES.items())))
    assert unpack(room.archive.with_suffix(suffix), room.out) == sorted(FILES)
    assert {name: (room.out / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_dialects_of_tar(room: Room, format: int) -> None:
    long = {"/".join(["folder"] * 14) + "/a.mid": b"a", "b" * 90: b"b"}
    assert room.unpack(make_tar(list(long.items()), format)) == long


def test_a_tar_without_magic(room: Room) -> None:
    block = bytearray(make_tar([("a.mid", b"MThd")], tarfile.USTAR_FORMAT))
    block[257:265] = bytes(8)
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:512]) + 8 * 32)
    assert room.unpack(bytes(block)) == {"a.mid": b"MThd"}


def test_neither_modes_nor_dates_come_out(room: Room) -> None:
    room.unpack(tar_of([(named("a.mid", mode=0o4777, mtime=1), b""), (named("./", type=tarfile.DIRTYPE, mode=0), b"")]))
    found = (room.out / "a.mid").stat()
    assert not found.st_mode & 0o7111 and found.st_mtime > 1e9


def test_only_wanted_files_come_out(room: Room) -> None:
    for kind in KINDS:
        room.archive.write_bytes(MAKERS[kind](list(FILES.items())))
        assert unpack(room.archive, room.out, wanted=lambda name: name.endswith(".mid")) == ["a.mid", "deep/er/b.mid"]
        assert sorted(path.name for path in room.out.rglob("*")) == ["a.mid", "b.mid", "deep", "er"]
        shutil.rmtree(room.out)


def test_the_folder_must_be_free(room: Room) -> None:
    room.archive.write_bytes(make_zip([("a", b"")]))
    room.out.mkdir()
    (room.folder / ".out.unpacking").mkdir()
    (room.folder / ".out.unpacking" / "left by a killed process").touch()
    assert unpack(room.archive, room.out) == ["a"]
    with pytest.raises(UnpackError, match="out is not empty: remove it"):
        unpack(room.archive, room.out)
    assert [path.name for path in room.out.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.mid", "leads out"),
        ("a/../../evil.mid", "leads out"),
        ("a/..", "leads out"),
        ("a/../b.mid", "leads out"),
        ("/etc/evil", "absolute"),
        ("//server/evil", "absolute"),
        ("C:evil.mid", "absolute"),
        ("c:/evil.mid", "absolute"),
        ("..\\evil.mid", "backslash"),
        ("a\\b.mid", "backslash"),
        ("a\nb.mid", "control character"),
        ("a\x7fb.mid", "control character"),
        ("x" * 4000, "name of 4,000 bytes"),
        ("/".join(["x" * 199] * 20), "name of 3,999 bytes"),
        ("x" * 256, "255 between slashes"),
        ("ö" * 128 + ".mid", "255 between slashes"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_names_that_lead_elsewhere_are_refused(room: Room, kind: str, name: str, reason: str) -> None:
    assert reason in room.refused(MAKERS[kind]([("good.mid", b"good"), (name, b"evil")]))


def test_a_name_with_nul(room: Room) -> None:
    # zipfile itself takes a NUL for the end of the name.
    content = make_zip([("good.mid", b""), ("evil_.mid", b"")]).replace(b"evil_.mid", b"evil\0.mid")
    assert "control character" in room.refused(content)


@pytest.mark.parametrize("name", [b"", b".", b"././"])
def test_a_file_without_a_name(room: Room, name: bytes) -> None:
    room.refused(raw_zip([(name, zlib.compress(b"evil")[2:-4], 4, zlib.crc32(b"evil"))]))
    room.refused(make_tar([(name.decode(), b"evil")]))


@pytest.mark.parametrize("kind", KINDS)
def test_dots_and_double_slashes_are_cleaned(room: Room, kind: str) -> None:
    assert room.unpack(MAKERS[kind]([("./a//b/./c.mid", b"c"), ("..x/y..", b"y")])) == {
        "a/b/c.mid": b"c",
        "..x/y..": b"y",
    }


def test_names_that_are_no_utf8_are_read_as_latin1(room: Room) -> None:
    content = tar_of([(named(b"caf\xe9.mid".decode("utf-8", "surrogateescape")), b"")], tarfile.GNU_FORMAT)
    assert room.unpack(content) == {"café.mid": b""}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", ["a/b.mid", "./a/b.mid", "a//b.mid"])
def test_a_name_may_stand_once_only(room: Room, kind: str, second: str) -> None:
    assert "stands there twice" in room.refused(MAKERS[kind]([("a/b.mid", b"1"), (second, b"2")]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, -1])
def test_no_name_is_a_file_and_a_folder(room: Room, kind: str, order: int) -> None:
    room.refused(MAKERS[kind]([("a", b"1"), ("a/b.mid", b"2")][::order]))


@pytest.mark.parametrize("pair", [("Take.mid", "TAKE.mid"), ("é.mid", "e\u0301.mid")])
def test_names_that_only_some_disks_tell_apart(
    room: Room, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make_zip([(pair[0], b"1"), (pair[1], b"2")])
    assert room.unpack(content) == dict(zip(pair, (b"1", b"2"), strict=True))
    shutil.rmtree(room.out)
    # A disk that takes them for one says that the file exists.
    real = open

    def one_file(path: Path, mode: str = "r", *rest: object) -> object:
        if mode == "xb" and os.listdir(Path(path).parent):
            raise FileExistsError(17, "File exists")
        return real(path, mode, *rest)  # type: ignore[call-overload]

    monkeypatch.setattr(unpacking, "open", one_file, raising=False)
    assert "case or accents only" in room.refused(content, both=False)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return named(name, type=kind, linkname=target), b""


def zip_with_mode(name: str, content: bytes, mode: int, *, files: Sequence[str] = ()) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, content)
        for other in files:
            archive.writestr(other, b"real")
    return file.getvalue()


OUTSIDE = ["../evil", "/etc/passwd", "a/../../evil", "..", ""]


@pytest.mark.parametrize("target", OUTSIDE)
def test_links_out_of_the_folder_are_refused(room: Room, target: str) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        assert "is a link out of the folder" in room.refused(tar_of([link("evil", target, kind)]))
    assert "is a link out" in room.refused(zip_with_mode("evil", target.encode(), stat.S_IFLNK | 0o777))


def test_nothing_is_written_through_a_link(room: Room, tmp_path: Path) -> None:
    # The classic: a link to a folder outside, then a file below it.
    written = (named("door/evil.mid", size=4), b"evil")
    for target in (str(tmp_path), "..", "inner"):
        assert "Nothing was" in room.refused(tar_of([link("door", target), written]))
        assert "Nothing was" in room.refused(tar_of([written, link("door", target)]))


def test_links_to_files_of_the_archive_become_copies(room: Room) -> None:
    members = [
        link("songs/late.mid", "../real/a.mid"),
        (named("real/a.mid", size=4), b"real"),
        link("hard.mid", "real/a.mid", tarfile.LNKTYPE),
        link("chain.mid", "./hard.mid"),
    ]
    expected = dict.fromkeys(("songs/late.mid", "real/a.mid", "hard.mid", "chain.mid"), b"real")
    assert room.unpack(tar_of(members)) == expected
    shutil.rmtree(room.out)
    # The wanted link leads to a file that is not wanted itself, and lies before it.
    assert unpack(room.archive, room.out, wanted=lambda name: name == "chain.mid") == ["chain.mid"]
    assert [(path.name, path.read_bytes()) for path in room.out.rglob("*.mid")] == [("chain.mid", b"real")]
    shutil.rmtree(room.out)
    content = zip_with_mode("link.mid", b"real.mid", stat.S_IFLNK | 0o777, files=["real.mid"])
    assert room.unpack(content) == {"link.mid": b"real", "real.mid": b"real"}


@pytest.mark.parametrize("target", ["nothing", "loop", "folder", "."])
def test_links_to_what_is_no_file_are_refused(room: Room, target: str) -> None:
    file = (named("folder/a.mid"), b"")
    assert "no file of the archive" in room.refused(tar_of([file, link("loop", target)]))


def test_copies_of_links_count(room: Room) -> None:
    members = [(named("a", size=1000), bytes(1000)), *(link(f"l{i}", "a") for i in range(20))]
    assert "limit `size`" in room.refused(tar_of(members), both=False, size=10_000)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_are_refused(room: Room, kind: bytes) -> None:
    assert "is a device" in room.refused(tar_of([(named("null", type=kind), b"")]))


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_in_a_zip_are_refused(room: Room, kind: int) -> None:
    assert "is a device" in room.refused(zip_with_mode("null", b"", kind | 0o666))


def test_encrypted_members_are_refused(room: Room) -> None:
    content = bytearray(make_zip([("a.mid", b"MThd")]))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in room.refused(bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_methods_of_zip_are_refused(room: Room, method: int) -> None:
    assert f"method {method}" in room.refused(make_zip([("a.mid", b"MThd")], method))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"MThd\0\0\0\6", "a MIDI file"),
        (b"  <!DOCTYPE html><p>Log in", "a web page"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "compressed by zstd"),
        (b"nothing known" * 100, "of unknown kind"),
        (gzip.compress(b"MThd" * 1000), "a single file compressed by gzip"),
        (bz2.compress(b"MThd" * 1000), "a single file compressed by bzip2"),
        (lzma.compress(b"MThd" * 1000), "a single file compressed by xz"),
        (gzip.compress(b""), "a single file compressed by gzip"),
        (make_zip([]), "holds no file"),
        (make_tar([]), "holds no file"),
        (gzip.compress(make_tar([])), "holds no file"),
        (make_zip([("folder/", b"")]), "holds no file"),
    ],
    # gzip's bytes tell the time, and workers must agree on the names of the tests.
    ids=[
        "nothing",
        "MIDI",
        "web page",
        "RAR",
        "7z",
        "zstd",
        "text",
        "gzip",
        "bzip2",
        "xz",
        "gzip of nothing",
        "empty zip",
        "empty tar",
        "empty tar.gz",
        "zip of a folder",
    ],
)
def test_what_is_no_archive_of_files_is_named(room: Room, content: bytes, reason: str) -> None:
    assert reason in room.refused(content)


@pytest.mark.parametrize("kind", KINDS)
def test_archives_that_are_cut_short_are_damaged(room: Room, kind: str) -> None:
    noise = random.Random(0).randbytes
    content = MAKERS[kind]([(f"{i}.mid", noise(3000)) for i in range(5)])
    for length in {len(content) * i // 23 for i in range(1, 23)} | {1, 3, 600, len(content) - 1}:
        if kind == "tar" and length >= 5 * (512 + 3072) + 512:
            continue  # all but the padding is there
        room.refused(content[:length])


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_a_flipped_byte_in_the_data_is_found(room: Room, kind: str) -> None:
    content = bytearray(MAKERS[kind]([("a.mid", random.Random(0).randbytes(3000))]))
    content[len(content) // 2] ^= 0x10
    room.refused(bytes(content), both=False)


def test_a_damaged_tar_header_is_no_end(room: Room) -> None:
    content = bytearray(make_tar([(f"{i}.mid", b"MThd") for i in range(3)]))
    content[2 * 1024 + 5] ^= 1
    assert "no header at byte 2,048" in room.refused(bytes(content))


def test_a_second_tar_behind_the_first_is_not_dropped_unseen(room: Room) -> None:
    assert "behind the end" in room.refused(make_tar([("a", b"")]) + make_tar([("b", b"")]))


# Bombs. They are put together from one compressed megabyte, so that they cost nothing to make.


def zeros(size: int, wbits: int) -> bytes:
    """A compressed run of `size` zeros, a multiple of 2**24; the checksum of gzip is left wrong."""
    block = 1 << 24
    press = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = press.compress(bytes(block)) + press.flush(zlib.Z_FULL_FLUSH)
    again = press.compress(bytes(block)) + press.flush(zlib.Z_FULL_FLUSH)
    return head + again * (size // block - 1) + press.flush()


def raw_zip(files: Sequence[tuple[bytes, bytes, int, int]]) -> bytes:
    """A zip of (name, deflated content, unpacked size that it claims, CRC that it claims)."""
    data, directory = b"", b""
    for name, packed, size, crc in files:
        wide = struct.pack("<HHQ", 1, 8, size) if size >= 1 << 32 else b""
        fields = struct.pack("<HHHHHII", 45, 0, 8, 0, 0x21, crc, len(packed))
        fields += struct.pack("<IHH", 0xFFFFFFFF if wide else size, len(name), len(wide))
        place = struct.pack("<HHHII", 0, 0, 0, 0, len(data))
        directory += b"PK\x01\x02" + struct.pack("<H", 45) + fields + place + name + wide
        data += b"PK\x03\x04" + fields + name + wide + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(data), 0)
    return data + directory + b"PK\x05\x06" + end


@contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """The bytes on disk below a folder while something runs, every few milliseconds."""
    seen, done = [0], threading.Event()

    def look() -> None:
        while not done.is_set():
            total = 0
            for parent, _, files in os.walk(folder):
                for name in files:
                    try:
                        total += Path(parent, name).stat().st_size
                    except FileNotFoundError:
                        continue
            seen.append(total)
            time.sleep(0.002)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


TEN = 10 * GB - (10 * GB) % (1 << 24)


def tar_bomb() -> bytes:
    info = named("bomb.bin", size=TEN)
    header = info.tobuf(tarfile.GNU_FORMAT)
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = press.compress(header) + press.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start + zeros(TEN, -15) + bytes(8)


@pytest.mark.parametrize("kind", ["zip", "lying zip", "many", "tar.gz"])
def test_a_bomb_of_ten_gigabytes_takes_no_room(room: Room, kind: str) -> None:
    if kind == "zip":
        content = raw_zip([(b"bomb.bin", zeros(TEN, -15), TEN, 0)])
    elif kind == "lying zip":
        content = raw_zip([(b"bomb.bin", zeros(TEN, -15), 1000, 0)])
    elif kind == "many":  # each too small to be suspicious
        small = zeros(1 << 24, -15)
        crc = zlib.crc32(bytes(1 << 24))
        content = raw_zip([(b"%d.bin" % i, small, 1 << 24, crc) for i in range(640)])
    else:
        content = tar_bomb()
    assert len(content) < 12_000_000
    with watched(room.folder) as seen:
        text = room.refused(content, both=kind in ("zip", "tar.gz"))
    assert max(seen) - len(content) <= unpacking.FREELY + 2 * unpacking.CHUNK
    assert ("damaged" if kind == "lying zip" else "limit `ratio`") in text


def test_overlapping_members_are_refused(room: Room) -> None:
    # Every directory entry names the same data (Fifield's full overlap).
    content = raw_zip([(b"a", zlib.compress(bytes(1000))[2:-4], 1000, zlib.crc32(bytes(1000)))])
    start = content.index(b"PK\x01\x02")
    entry, end = content[start:-22], content[-22:]
    entries = b"".join(entry[:-1] + bytes([97 + i]) for i in range(20))
    fields = struct.pack("<HHII", 20, 20, len(entries), start)
    assert "shares its bytes" in room.refused(content[:start] + entries + end[:8] + fields + b"\0\0")


def test_the_limits_of_size_members_and_disk(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        content = MAKERS[kind]([(f"{i}/a.mid", random.Random(i).randbytes(1000)) for i in range(10)])
        assert "limit `size`" in room.refused(content, both=False, size=9_999)
        assert "limit `members`" in room.refused(content, members=19)
        assert len(room.unpack(content, size=30_000, members=20)) == 10
        shutil.rmtree(room.out)
        with monkeypatch.context() as patch:
            free = unpacking.RESERVE + 9_999
            patch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(0, 0, free))  # type: ignore[attr-defined]
            assert "9,999 bytes that the disk has free" in room.refused(content, both=False)


def test_music_that_compresses_well_is_no_bomb(room: Room) -> None:
    grid = b"[[60, 55, 52, 48], [60, 55, 52, 48]], " * 400_000
    for kind in ("zip", "tar.gz"):
        assert len(room.unpack(MAKERS[kind]([("grid.json", grid)]))["grid.json"]) == len(grid)
        shutil.rmtree(room.out)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_of_gigabytes_is_not_read_into_memory(room: Room, kind: bytes) -> None:
    header = named("././@LongLink", type=kind, size=4 * GB).tobuf(tarfile.GNU_FORMAT)
    room.archive.write_bytes(header)
    os.truncate(room.archive, 4 * GB)  # a hole: takes no room
    assert "between two members" in room.refused()


def test_a_sparse_member_is_refused(room: Room) -> None:
    info = named(
        "sparse.bin", size=8, pax_headers={"GNU.sparse.map": "0,4,1000000000000,4", "GNU.sparse.size": "1000000000004"}
    )
    assert "sparse" in room.refused(tar_of([(info, b"12345678")]))


def test_nested_archives_stay_closed(room: Room) -> None:
    inner = make_zip([("../evil", b"")])
    assert room.unpack(make_zip([("inner.zip", inner)])) == {"inner.zip": inner}


def test_a_full_disk_is_no_fault_of_the_archive(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.archive.write_bytes(make_zip([("a.mid", b"MThd")]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking._Unpacking, "_created", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(room.archive, room.out)
    assert [path.name for path in room.folder.iterdir()] == ["archive"]


# Properties.

parts = st.sampled_from(
    ["..", ".", "", "a", "A", "b.mid", "C:", "\\", "x\\..\\y", "é", "e\u0301", "\x00", "~", "-rf", "a" * 300]
)
paths = st.one_of(st.lists(parts, max_size=5).map("/".join), st.text(st.characters(codec="utf-8"), max_size=20))
kinds = st.sampled_from([tarfile.REGTYPE] * 4 + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "out" not in path.relative_to(folder).parts
    }


def nothing_escapes(content: bytes) -> None:
    """Whatever the archive holds, only `out` changes, and it holds only plain files and folders, or is not there."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        deep = folder / "one" / "two" / "three"
        deep.mkdir(parents=True)
        for place in (folder, folder / "one", deep):
            (place / "a").write_bytes(b"precious")
        (deep / "archive").write_bytes(content)
        before = snapshot(folder)
        try:
            found = unpack(deep / "archive", deep / "out")
        except UnpackError:
            assert not (deep / "out").exists()
        else:
            inside = [path for path in (deep / "out").rglob("*") if not stat.S_ISDIR(path.lstat().st_mode)]
            assert all(stat.S_ISREG(path.lstat().st_mode) for path in inside)
            assert sorted(path.relative_to(deep / "out").as_posix() for path in inside) == found
        assert snapshot(folder) == before


@given(st.lists(paths, min_size=1, max_size=6))
def test_no_names_in_a_zip_lead_outside(files: list[str]) -> None:
    packed, crc = zlib.compress(b"evil")[2:-4], zlib.crc32(b"evil")
    nothing_escapes(raw_zip([(name.encode(), packed, 4, crc) for name in files]))


@given(st.lists(st.tuples(paths, kinds, paths), min_size=1, max_size=6))
def test_no_names_and_links_in_a_tar_lead_outside(members: list[tuple[str, bytes, str]]) -> None:
    made = []
    for name, kind, target in members:
        size = 4 if kind == tarfile.REGTYPE else 0
        made.append((named(name, type=kind, linkname=target, size=size), b"evil"))
    nothing_escapes(tar_of(made))


SEEDS = [maker([("a.mid", b"MThd" * 50), ("b/c.mid", b"MThd" * 500)]) for maker in MAKERS.values()]


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_mutated_archive_raises_nothing_but_a_refusal(content: bytes, changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(content)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    nothing_escapes(bytes(mutated))
