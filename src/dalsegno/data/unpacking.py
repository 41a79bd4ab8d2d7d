"""Archives into folders: all of an archive or nothing, never outside the folder, never more than the limits allow.

zip and tar (plain, gzip, bzip2, xz), told apart by content. Only files and folders come out: no owner, mode or date is
kept, links to files of the same archive become copies of these, everything else is refused. `docs/fetching.md` lists
the refusals.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import re
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
"""Bytes read at once."""

HEADERS = 1 << 20
"""Bytes that a tar may spend between two members on names and attributes, which are read into memory."""

FREELY = 64 << 20
"""Unpacked bytes from which on the ratio counts: a small file of zeros harms nobody."""

RESERVE = 64 << 20
"""Bytes that are left free on the disk."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of the others zipfile unpacks a whole chunk into memory, however large it becomes."""

LOCAL_HEADER = 30
"""Bytes before the name at the start of each member of a zip (APPNOTE 4.3.7)."""

COMPRESSIONS: dict[str, tuple[bytes, Callable[[IO[bytes]], Any]]] = {
    "gzip": (b"\x1f\x8b", gzip.open),
    "bzip2": (b"BZh", bz2.open),
    "xz": (b"\xfd7zXZ\x00", lzma.open),
}
"""How the content begins, and what reads it."""

KINDS = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PK\x07\x08": "one volume of a split zip archive",
    b"MThd": "a MIDI file",
    b"%PDF": "a PDF document",
    b"RIFF": "a WAV file",
    b"fLaC": "a FLAC file",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
}
"""What begins like this is no archive that can be unpacked here."""


@dataclass(frozen=True)
class Limits:
    """What an archive may cost.

    Attributes:
        size: unpacked bytes in all; the free space of the disk is a limit, too.
        members: files and folders.
        ratio: unpacked bytes a packed byte, of each member and in all, beyond the first 64 MiB. Music and text stay
            below 50; a run of one byte reaches 1,000 in zip and 7,000 in xz.
        name: bytes of a member's path in UTF-8; a part of it has 255 at most.
    """

    size: int = 256 << 30
    members: int = 2_000_000
    ratio: int = 200
    name: int = 1024


class UnpackError(ValueError):
    """An archive that is not unpacked; the message names archive, member, limit and the next step."""


@dataclass(frozen=True)
class _Member:
    """One entry of an archive.

    Attributes:
        kind: "file", "folder", "symlink" or "hardlink"; other words are shown to the user.
        size: unpacked bytes, as the archive says.
        packed: packed bytes, where the archive says so.
        target: what a link names.
        open: gives the content.
    """

    name: str
    kind: str
    size: int = 0
    packed: int | None = None
    target: str = ""
    open: Callable[[], Any] | None = None


def unpack(
    archive: Path, folder: Path, limits: Limits | None = None, wanted: Callable[[str], bool] | None = None
) -> list[str]:
    """Unpack an archive into `folder`, which appears once all is there.

    Args:
        folder: does not exist yet, or is empty.
        wanted: which files to write, by path; all where not given. All others are checked by name only.

    Returns:
        The paths of the files, relative to `folder`, sorted.

    Raises:
        UnpackError: no archive, a damaged one, or one that breaks a rule; nothing is left in `folder`.
        OSError: the disk cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnpackError(f"{folder} is not empty: remove it, {archive} is unpacked there")
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        written = _Unpacking(archive, temporary, limits or Limits(), wanted).run()
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return written


def names(archive: Path, limits: Limits | None = None) -> list[str]:
    """The paths of the files of an archive, sorted, under the rules of `unpack`; nothing is written."""
    checked = _Unpacking(Path(archive), None, limits or Limits(), lambda _: False)
    checked.run()
    return sorted({*checked.files, *checked.links})


class _Unpacking:
    """One archive on its way into a folder (None: names are checked, nothing is written)."""

    def __init__(
        self, archive: Path, folder: Path | None, limits: Limits, wanted: Callable[[str], bool] | None
    ) -> None:
        self.archive, self.folder, self.limits, self.wanted = archive, folder, limits, wanted
        self.packed = archive.stat().st_size
        self.space = shutil.disk_usage(folder).free - RESERVE if folder else limits.size
        self.files: dict[str, int] = {}
        self.folders: set[str] = set()
        self.links: dict[str, str] = {}
        self.total = 0

    def run(self) -> list[str]:
        """Unpack, and give the paths that were written, sorted."""
        with _damages(self.archive), open(self.archive, "rb") as file:
            kind = _kind(self.archive, file)
            if kind == "zip":
                members = _zip_members(self.archive, file)
                wanted = [member for member in members if member.kind == "file" and self._is_wanted(member.name)]
                self._expect(sum(member.size for member in wanted), self.packed)
                for member in members:
                    self._take(member)
            else:
                for member in _tar_members(self.archive, file, kind, self._expect):
                    self._take(member)
        if not self.files:
            raise self._refused("holds no file")
        sources = {name: self._followed(name) for name in self.links}
        linked = [name for name in self.links if self._is_wanted(name)]
        extra = {sources[name] for name in linked if not self._is_wanted(sources[name])}
        if extra:  # a tar is read in one go: what links lead to takes another
            _Unpacking(self.archive, self.folder, self.limits, extra.__contains__).run()
        for name in linked:
            self._copy(sources[name], name)
        for name in extra:
            Path(f"{self.folder}/{name}").unlink()
        return sorted([*filter(self._is_wanted, self.files), *linked])

    def _is_wanted(self, name: str) -> bool:
        return self.folder is not None and (self.wanted is None or self.wanted(name))

    def _expect(self, size: int, packed: int, member: str = "") -> None:
        """Refuse unpacked bytes beyond a limit."""
        if size > self.limits.size:
            raise self._refused(f"unpacks to more than {self.limits.size:,} bytes, the limit `size`", member)
        if size > self.space:
            raise self._refused(f"unpacks to more than the {self.space:,} bytes that the disk has free", member)
        if size > FREELY and size > self.limits.ratio * packed:
            raise self._refused(
                f"unpacks to more than {self.limits.ratio} times its packed size ({packed:,} bytes), the limit `ratio`",
                member,
            )

    def _take(self, member: _Member) -> None:
        name = self._path(member)
        if member.kind == "folder":
            self._enter(name, member.name)
            return
        if member.kind not in ("file", "symlink", "hardlink"):
            raise self._refused(f"is {member.kind}", member.name)
        if name in self.files or name in self.links or name in self.folders:
            raise self._refused("stands there twice", member.name)
        self._enter(posixpath.dirname(name), member.name)
        if member.kind == "file":
            self.files[name] = member.size
        else:
            self.links[name] = self._target(name, member)
        if member.packed is not None:
            self._expect(member.size, member.packed, member.name)
        if member.kind == "file" and self._is_wanted(name):
            self._write(member, name)

    def _path(self, member: _Member) -> str:
        """The member's path, cleaned of `./`; "" is the folder itself."""
        # Names in an older encoding come as lone surrogates, which no table can hold.
        name = member.name.encode("utf-8", "surrogateescape").decode("latin-1") if _torn(member.name) else member.name
        if re.search(r"[\x00-\x1f\x7f\\]", name):
            raise self._refused("has a backslash or a control character in its name", member.name)
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            raise self._refused("has an absolute name", member.name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refused("leads out of the folder", member.name)
        path = "/".join(parts)
        if len(path.encode()) > self.limits.name or any(len(part.encode()) > 255 for part in parts):
            raise self._refused(
                f"has a name of {len(path.encode()):,} bytes; {self.limits.name:,} (the limit `name`), and 255 between "
                "slashes, are taken",
                member.name,
            )
        if not path and member.kind != "folder":
            raise self._refused("has no name", member.name)
        return path

    def _enter(self, folder: str, member: str) -> None:
        """Count one more member, and the folders that it makes."""
        while folder and folder not in self.folders:
            if folder in self.files or folder in self.links:
                raise self._refused(f"needs {_short(folder)} to be a folder, which is a file there", member)
            self.folders.add(folder)
            folder = posixpath.dirname(folder)
        if len(self.files) + len(self.links) + len(self.folders) >= self.limits.members:
            raise self._refused(f"holds more than {self.limits.members:,} files and folders, the limit `members`")

    def _target(self, name: str, member: _Member) -> str:
        """The path that a link names, inside of the folder."""
        base = posixpath.dirname(name) if member.kind == "symlink" else ""
        target = posixpath.normpath(posixpath.join(base, member.target))
        if target.startswith(("/", "../")) or target == ".." or not member.target:
            raise self._refused(f"is a link out of the folder, to {_short(member.target)}", member.name)
        return target

    def _followed(self, name: str) -> str:
        """The file that a link leads to."""
        seen, at = {name}, self.links[name]
        while at in self.links and at not in seen:
            seen.add(at)
            at = self.links[at]
        if at not in self.files:
            raise self._refused(f"is a link to {_short(at)}, which is no file of the archive", name)
        return at

    def _write(self, member: _Member, name: str) -> None:
        assert member.open is not None
        self._expect(self.total + member.size, self.packed)
        with member.open() as source, self._created(name) as file:
            left = member.size
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                self.total += len(chunk)
                if left < 0:
                    raise self._refused("is larger than the archive says", member.name)
                self._expect(self.total, self.packed)
                file.write(chunk)
            if left:
                raise self._refused("is cut short", member.name)

    def _copy(self, source: str, name: str) -> None:
        """Write what a link leads to as a file of its own."""
        assert self.folder is not None
        self.total += self.files[source]
        self._expect(self.total, self.packed)
        with open(self.folder / source, "rb") as old, self._created(name) as new:
            shutil.copyfileobj(old, new, CHUNK)

    def _created(self, name: str) -> IO[bytes]:
        assert self.folder is not None
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return open(path, "xb")
        except FileExistsError:
            raise self._refused("differs from another name in case or accents only, for this disk", name) from None

    def _refused(self, reason: str, member: str = "") -> UnpackError:
        return _refusal(self.archive, reason, member)


def _zip_members(archive: Path, file: IO[bytes]) -> list[_Member]:
    """The members of a zip, by its directory, which is held against where their data lie."""
    members = []
    # Closed with the file: members are read later.
    opened = zipfile.ZipFile(file)
    end = 0
    for info in sorted(opened.infolist(), key=lambda info: info.header_offset):
        # Bombs of overlapping members (D. Fifield, "A better zip bomb", WOOT 2019) let many share the same bytes.
        if info.header_offset < end:
            raise _refusal(archive, "shares its bytes with another member", info.orig_filename)
        end = info.header_offset + LOCAL_HEADER + len(info.orig_filename) + info.compress_size
    if end > opened.start_dir:
        raise _refusal(archive, "has members that reach into its directory")
    for info in opened.infolist():
        name = info.orig_filename
        if info.flag_bits & 0x1:
            raise _refusal(archive, "is encrypted", name)
        if info.compress_type not in METHODS:
            raise _refusal(archive, f"is packed by the zip method {info.compress_type}, which is not read here", name)
        mode = info.external_attr >> 16
        kind = "folder" if name.endswith("/") else "file"
        if stat.S_ISLNK(mode):
            kind = "symlink"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "a device, a pipe or a socket"
        target = ""
        if kind == "symlink":
            with opened.open(info) as content:
                target = os.fsdecode(content.read(4096))
        members.append(_Member(name, kind, info.file_size, info.compress_size, target, partial(opened.open, info)))
    return members


def _tar_members(archive: Path, file: IO[bytes], kind: str, expect: Callable[[int, int], None]) -> Iterator[_Member]:
    """The members of a tar, in its order; each is to be read before the next is asked for."""
    unpacked = COMPRESSIONS[kind][1](file) if kind in COMPRESSIONS else file
    stream: Any = _Counted(archive, file, unpacked, expect)
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header, bufsize=1 << 16) as tar:
        while (info := tar.next()) is not None:
            if info.issparse():
                raise _refusal(archive, "is a sparse file", info.name)
            stream.allowed = stream.count + info.size + HEADERS
            kinds = {tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink", tarfile.DIRTYPE: "folder"}
            other = "file" if info.isreg() else "a device, a pipe or of an unknown kind"
            found = kinds.get(info.type, other)
            yield _Member(info.name, found, info.size, None, info.linkname, partial(tar.extractfile, info))
            tar.members = []  # type: ignore[attr-defined]  # the list would grow with the archive
        # Read to the end: there lies the checksum of gzip and xz.
        stream.allowed = sys.maxsize
        while rest := tar.fileobj.read(CHUNK):
            if rest.strip(b"\0"):
                raise _refusal(archive, "has more data behind the end of its tar")


class _Counted:
    """Unpacked bytes on their way to tarfile, which trusts headers: it would read a name of gigabytes into memory."""

    def __init__(self, archive: Path, packed: IO[bytes], unpacked: Any, expect: Callable[[int, int], None]) -> None:
        self.archive, self.packed, self.unpacked, self.expect = archive, packed, unpacked, expect
        self.count, self.allowed = 0, HEADERS

    def read(self, size: int) -> bytes:
        data: bytes = self.unpacked.read(size)
        self.count += len(data)
        if self.count > self.allowed:
            raise _refusal(self.archive, f"has more than {HEADERS:,} bytes between two members")
        self.expect(self.count, self.packed.tell())
        return data


class _Header(tarfile.TarInfo):
    """A tar header that is right, or an error: tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise EOFError(f"no header at byte {tarfile_.offset:,}: {error}") from None


def _kind(archive: Path, file: IO[bytes]) -> str:
    """zip, tar, gzip, bzip2 or xz, by content; the compressed ones hold a tar."""
    head = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    for kind, (magic, opened) in COMPRESSIONS.items():
        if head.startswith(magic):
            inner = opened(file).read(tarfile.BLOCKSIZE)
            file.seek(0)
            if _is_tar(inner):
                return kind
            raise _refusal(archive, f"is a single file compressed by {kind}, no archive")
    if _is_tar(head):
        return "tar"
    raise _refusal(archive, f"is {_described(head)}, no zip or tar archive")


def _is_tar(block: bytes) -> bool:
    """Whether a block is a tar header: its checksum is right (old ones have no magic)."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]
    return True


def _described(head: bytes) -> str:
    if not head:
        return "empty"
    if re.match(rb"\s*<(!doctype html|html)", head, re.IGNORECASE):
        return "a web page (does the address lead to a page with the download, not to the file?)"
    return next((text for magic, text in KINDS.items() if head.startswith(magic)), f"of unknown kind ({head[:8]!r})")


def _refusal(archive: Path, reason: str, member: str = "") -> UnpackError:
    what = f"{archive}: {_short(member)}" if member else f"{archive}"
    return UnpackError(
        f"{what} {reason}. Nothing was unpacked; where you trust the archive, unpack it by hand and name the folder "
        "with `kind: folder`"
    )


def _short(name: str) -> str:
    """A name for a message: printable, and not longer than a line."""
    text = ascii(name) if _torn(name) or not name.isprintable() else repr(name)
    return text if len(text) <= 100 else f"{text[:60]}…{text[-20:]} ({len(name):,} characters)"


def _torn(name: str) -> bool:
    """Whether a name holds bytes that are no UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in name)


@contextmanager
def _damages(archive: Path) -> Iterator[None]:
    """Name the archive where reading it fails; errors of the disk, which have a number, pass."""
    try:
        yield
    except UnpackError:
        raise
    except (
        EOFError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        LookupError,
        struct.error,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        OSError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnpackError(
            f"{archive} is damaged: {reason}. Nothing was unpacked; fetch it again, or remove it from the source"
        ) from None
