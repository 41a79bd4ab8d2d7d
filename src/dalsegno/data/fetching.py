"""Files by address, through a cache folder that studies and users share.

The cache holds `<sha256>` (whole, checked files), `seed/` (files that a person put there, under any name), `partial/`
(begun downloads), `corrupt/` (files whose content was found to be wrong), `addresses/` (what addresses gave whose hash
is not declared) and `locks/`. `docs/fetching.md` tells users about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from dalsegno.data.downloading import DownloadError, Patience, discard, download, require_space, shown
from dalsegno.provenance import file_sha256, write_atomically

LARGEST = 64 << 30
"""Bytes that are taken at most from an address whose size is not declared."""


class FetchError(Exception):
    """A file cannot be had; the message names the addresses, what each gave, and what to do next."""


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched.

    Attributes:
        sha256: of its content.
        size: in bytes.
        address: where its bytes came from this time: an address, or a file of the cache folder.
    """

    sha256: str
    size: int
    address: str


def cache_folder() -> Path:
    """The shared cache folder: `DALSEGNO_CACHE`, or `~/.cache/dalsegno`."""
    return Path(os.environ.get("DALSEGNO_CACHE") or "~/.cache/dalsegno").expanduser()


def offline() -> bool:
    """Whether `DALSEGNO_OFFLINE` forbids to ask any address."""
    return os.environ.get("DALSEGNO_OFFLINE", "") not in ("", "0")


def fetch(
    addresses: Sequence[str],
    target: Path,
    *,
    sha256: str | None,
    size: int | None,
    cache: Path,
    patience: Patience | None = None,
) -> Fetched:
    """Bring a file to `target`: from the cache folder, or from the first address that gives it.

    `target` is a hard link to the cache's file where that is the caller's own on the same disk, else a copy.

    Args:
        addresses: the primary address and its mirrors, asked in this order.
        target: replaced once the whole, checked file is there; never half-written.
        sha256: the hash that the content must have; None where it is not known yet.
        size: its bytes, where known.
        cache: the shared folder.
        patience: when to wait and when to give up.

    Raises:
        FetchError: no address gives the file, or none may be asked.
        OSError: a disk is full or cannot be written.
    """
    if not addresses:
        raise FetchError("no address to fetch from: name one in `addresses`, or a local file with `path`")
    store = _Store(Path(cache), sha256.lower() if sha256 else None, size)
    with store.held(addresses):
        found = store.find(addresses) or _from_addresses(store, addresses, patience or Patience())
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(store.folder / found.sha256, Path(target))
    return found


class _Store:
    """The cache folder, for one wanted file."""

    def __init__(self, folder: Path, sha256: str | None, size: int | None) -> None:
        self.folder, self.sha256, self.size = folder, sha256, size
        for name in ("seed", "partial", "locks"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def key(self, address: str) -> str:
        """The name of the file's begun download and lock: its hash, or that of the address."""
        return self.sha256 or hashlib.sha256(address.encode()).hexdigest()

    @contextmanager
    def held(self, addresses: Sequence[str]) -> Iterator[None]:
        """Hold the file for this process; the kernel lets go where the process dies."""
        # Others of the group must be able to take it, too.
        lock = FileLock(self.folder / "locks" / f"{self.key(addresses[0])}.lock", mode=0o666, poll_interval=0.2)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that fetches {shown(addresses[0])}", file=sys.stderr, flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def find(self, addresses: Sequence[str]) -> Fetched | None:
        """The wanted file, where the cache or its seed holds it."""
        if self.sha256 is None:
            return self._remembered(addresses)
        if self._whole(self.sha256):
            return self._fetched(self.sha256, str(self.folder / self.sha256))
        for path in sorted((self.folder / "seed").rglob("*")):
            if not path.is_file() or self.size not in (None, path.stat().st_size):
                continue
            if file_sha256(path) == self.sha256:
                _link_or_copy(path, self.folder / self.sha256)
                return self._fetched(self.sha256, str(path))
        return None

    def add(self, part: Path, sha256: str, address: str) -> Fetched:
        """Take a whole part as the file of this hash."""
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, self.folder / sha256)
        discard(part)
        fetched = self._fetched(sha256, shown(address))
        if self.sha256 is None:
            record = {"address": shown(address), "sha256": sha256, "size": fetched.size}
            write_atomically(self._memory(address), json.dumps(record, sort_keys=True) + "\n")
        return fetched

    def _remembered(self, addresses: Sequence[str]) -> Fetched | None:
        """What one of the addresses gave before."""
        for address in addresses:
            with suppress(OSError, json.JSONDecodeError):
                record = json.loads(self._memory(address).read_text())
                if self.size in (None, record["size"]) and self._whole(record["sha256"]):
                    return self._fetched(record["sha256"], str(self.folder / record["sha256"]))
        return None

    def _memory(self, address: str) -> Path:
        return self.folder / "addresses" / f"{hashlib.sha256(address.encode()).hexdigest()}.json"

    def _whole(self, sha256: str) -> bool:
        """Whether the cache holds the file; one whose content has changed is moved aside."""
        blob = self.folder / sha256
        if not blob.is_file():
            return False
        if file_sha256(blob) == sha256:
            return True
        aside = self.folder / "corrupt" / sha256
        aside.parent.mkdir(exist_ok=True)
        os.replace(blob, aside)
        print(f"{blob} is corrupt: moved to {aside}", file=sys.stderr, flush=True)
        return False

    def _fetched(self, sha256: str, address: str) -> Fetched:
        return Fetched(sha256, (self.folder / sha256).stat().st_size, address)


def _from_addresses(store: _Store, addresses: Sequence[str], patience: Patience) -> Fetched:
    """Download from the first address that gives the wanted bytes."""
    wanted = f"sha256 {store.sha256}" if store.sha256 else "a file without a declared hash"
    if offline():
        places = _list([shown(address) for address in addresses])
        raise FetchError(
            f"{wanted} is not in {store.folder}, and DALSEGNO_OFFLINE forbids to ask\n{places}\n{_advice(store)}"
        )
    problems: list[str] = []
    wrong: set[str] = set()
    for address in addresses:
        # Bytes may be damaged on the way, or come from two versions: a second download settles it. The same wrong bytes
        # once more are what is published.
        for _ in range(2):
            try:
                part, found = _download(store, address, patience)
            except DownloadError as error:
                problems.append(f"{shown(address)}: {error}")
                break
            if store.sha256 is None:
                fetched = store.add(part, found, address)
                print(
                    f"{fetched.address} is not verified. If these are the right bytes, add to its source:\n"
                    f"    sha256: {fetched.sha256}\n    size: {fetched.size}",
                    file=sys.stderr,
                    flush=True,
                )
                return fetched
            if store.sha256 == found:
                return store.add(part, found, address)
            discard(part)
            problems.append(f"{shown(address)}: wrong content: expected sha256 {store.sha256}, found sha256 {found}")
            if found in wrong:
                break
            wrong.add(found)
    raise FetchError(f"cannot fetch {wanted}:\n{_list(problems)}\n{_advice(store)}")


def _download(store: _Store, address: str, patience: Patience) -> tuple[Path, str]:
    """The whole part that an address gave, and its sha256."""
    part = store.folder / "partial" / store.key(address)
    if store.size is not None:
        require_space(part.parent, store.size - (part.stat().st_size if part.exists() else 0))
    progress = _Progress(shown(address).partition("?")[0].rpartition("/")[2])
    download(
        address,
        part,
        size=store.size,
        most=LARGEST,
        checked=store.sha256 is not None,
        patience=patience,
        progress=progress,
    )
    # Read back from the disk: this also covers the bytes of an earlier process.
    found = file_sha256(part)
    progress.end(part.stat().st_size, found)
    return part, found


def _advice(store: _Store) -> str:
    """What a person does where nothing can be fetched."""
    if store.sha256 is None:
        return "Correct `addresses`, or get the file in another way and name it with `path`."
    return (
        f"Get the file in another way and put it, under any name, into {store.folder / 'seed'}, or name it with "
        "`path`; or correct `addresses`, `sha256` and `size` where the file was published anew."
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _link_or_copy(path: Path, target: Path) -> None:
    """Make `target` the content of `path`, at once."""
    temporary = target.with_name(f".{target.name}.copying")
    temporary.unlink(missing_ok=True)
    try:
        # Another user's file is copied: the owner of a link could not date it.
        if path.stat().st_uid == os.getuid() and not path.is_symlink():
            with suppress(OSError):  # another disk, or one without links
                os.link(path, temporary)
        if not temporary.exists():
            require_space(target.parent, path.stat().st_size)
            shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    finally:
        # A rename onto another link of the same file does nothing, and leaves both names.
        temporary.unlink(missing_ok=True)


class _Progress:
    """Bytes, speed and time left on stderr, at most once in five seconds, and at the end."""

    def __init__(self, name: str) -> None:
        self.name, self.begun, self.shown = name, time.monotonic(), time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, whole: int | None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done
        if now - self.shown < 5:
            return
        self.shown = now
        speed = max(done - self.first, 0) / (now - self.begun)
        text = f"{self.name}: {done / 1e6:,.1f} MB"
        if whole is not None:
            text += f" of {whole / 1e6:,.1f} MB ({done / max(whole, 1):.0%})"
        text += f", {speed / 1e6:.2f} MB/s"
        if whole is not None and speed:
            text += f", {(whole - done) / speed:.0f} s left"
        print(text, file=sys.stderr, flush=True)

    def end(self, size: int, sha256: str) -> None:
        """The last line."""
        seconds = time.monotonic() - self.begun
        print(f"{self.name}: {size / 1e6:,.1f} MB in {seconds:.1f} s, sha256 {sha256}", file=sys.stderr, flush=True)
