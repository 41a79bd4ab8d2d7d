"""One address into one file: resumes, waits and tries again, and never writes more than it may.

The HTTP itself (proxies, redirects, certificates, .netrc) is the work of requests; what no library does is to take up a
cut download where it was cut and to notice a server that sends almost nothing (docs/adr/0008).
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin

import requests
import urllib3

CHUNK = 1 << 18
"""Bytes read at once."""

PROGRESS = 1 << 20
"""Bytes beyond the farthest point so far that make an attempt count as no failure."""

LEAST = 1 << 10
"""Bytes that must arrive within `Patience.stall` seconds."""

RESERVE = 64 << 20
"""Bytes that are left free on a disk."""

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may pass."""


@dataclass(frozen=True)
class Patience:
    """When to wait and when to give up.

    Attributes:
        attempts: failures in a row, without a `PROGRESS`, after which an address is given up.
        connect: seconds for a connection to come about.
        stall: seconds in which at least `LEAST` bytes must arrive.
        pause: seconds before the second attempt; doubled each time.
        longest: seconds that are waited at most, also where the server asks for more.
        redirects: redirects that are followed.
        sleep: waits.
        jitter: draws the shares by which pauses are lengthened, so that many jobs do not come back at once.
    """

    attempts: int = 6
    connect: float = 20.0
    stall: float = 60.0
    pause: float = 1.0
    longest: float = 300.0
    redirects: int = 10
    sleep: Callable[[float], None] = time.sleep
    jitter: random.Random = field(default_factory=random.Random)


class DownloadError(Exception):
    """An address does not give the file; the message says why."""


class _Passing(Exception):
    """A failure that may pass; `after` are the seconds that the server asks to wait."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def shown(address: str) -> str:
    """The address without a user's name and password."""
    return re.sub(r"//[^/?#]*@", "//", address)


def require_space(folder: Path, needed: int) -> None:
    """Raise an OSError that says what to do where `folder`'s disk cannot take `needed` bytes more."""
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise OSError(
            f"{folder} has {free:,} bytes free, {needed:,} are needed (and {RESERVE:,} stay free): "
            "free space, or let DALSEGNO_CACHE name a folder on a larger disk"
        )


def download(
    address: str,
    part: Path,
    *,
    size: int | None,
    most: int,
    checked: bool,
    patience: Patience,
    progress: Callable[[int, int | None], None],
) -> None:
    """Bring the file at `address` into `part`, from where `part` ends if that is safe.

    Args:
        address: an http or https address.
        part: the file; beside it `<part>.json` keeps what the server said of it.
        size: its size, where known.
        most: bytes that are written at most where `size` is unknown.
        checked: whether the caller knows the hash: then a part may be continued without the server's word (an ETag or
            a date) that the file is still the same, also from another address.
        patience: when to wait and when to give up.
        progress: called with the bytes that are there and their number in the end, where known.

    Raises:
        DownloadError: the address does not give the file.
        OSError: the disk is full or cannot be written.
    """
    if not address.startswith(("http://", "https://")):
        raise DownloadError("only http and https addresses are fetched; name a local file with `path`")
    with _Session(patience.redirects) as session:
        transfer = _Transfer(session, address, part, size, most, checked, patience, progress)
        failures, farthest = 0, _length(part)
        while True:
            try:
                transfer.attempt()
                return
            except _Passing as failure:
                reached = _length(part)
                failures = 1 if reached >= farthest + PROGRESS else failures + 1
                farthest = max(farthest, reached)
                if failures >= patience.attempts:
                    raise DownloadError(f"{failure} ({failures} attempts failed)") from None
                pause = patience.pause * 2 ** (failures - 1) * (1 + patience.jitter.random() / 2)
                wait = min(pause, patience.longest) if failure.after is None else failure.after
                if wait > patience.longest:
                    raise DownloadError(f"{failure}, and the server asks to come back in {wait:.0f} s") from None
                patience.sleep(wait)


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _state(part).unlink(missing_ok=True)


class _Session(requests.Session):
    """A session that follows no redirect from https to http."""

    def __init__(self, redirects: int) -> None:
        super().__init__()
        self.max_redirects = redirects

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and resp.url.startswith("https:") and not urljoin(resp.url, target).startswith("https:"):
            raise DownloadError(f"redirected from https to {shown(urljoin(resp.url, target))}: refused")
        return target


@dataclass(frozen=True)
class _Transfer:
    """One address on its way into one file; the attributes are those of `download`."""

    session: requests.Session
    address: str
    part: Path
    size: int | None
    most: int
    checked: bool
    patience: Patience
    progress: Callable[[int, int | None], None]

    def attempt(self) -> None:
        """One request; its answer is appended to the part or starts it anew."""
        offset, validator = self._resumable()
        if offset and offset == self.size:
            return
        # An encoded answer could not be continued: ranges count encoded bytes.
        headers = {"Accept-Encoding": "identity", "User-Agent": "dalsegno"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        timeout = (self.patience.connect, self.patience.stall)
        try:
            with self.session.get(self.address, headers=headers, stream=True, timeout=timeout) as answer:
                if offset and _header(answer, "Content-Range") == f"bytes */{offset}":
                    return  # 416: the part was whole already
                self._write(answer, *self._accept(answer, offset))
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise _judged(error) from None

    def _accept(self, answer: requests.Response, offset: int) -> tuple[int, int | None]:
        """(byte at which the body starts, bytes of the whole file or None); raises where this is not the file."""
        status = answer.status_code
        if status in BUSY:
            raise _Passing(f"HTTP {status} {answer.reason}", _retry_after(answer))
        if status == 416 and offset:
            discard(self.part)
            raise _Passing(f"HTTP 416: the server has no byte {offset:,}")
        if status not in (200, 206):
            raise DownloadError(f"HTTP {status} {answer.reason}")
        length = _header(answer, "Content-Length")
        whole = int(length) if length.isdecimal() else None
        if status == 206:
            span = _header(answer, "Content-Range")
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span)
            if match is None or not offset or int(match[1]) != offset:
                discard(self.part)
                raise _Passing(f"asked from byte {offset:,}, the server answers with Content-Range {span!r}")
            whole = int(match[2]) if match[2] != "*" else None
        else:
            offset = 0
        if self._encoded(answer):
            whole = None
        if self.size is not None and whole not in (None, self.size):
            kind = _header(answer, "Content-Type") or "no type"
            raise DownloadError(f"the server's file has {whole:,} bytes ({kind}), {self.size:,} are declared")
        return offset, whole if self.size is None else self.size

    def _write(self, answer: requests.Response, position: int, whole: int | None) -> None:
        """Write an answer's body into the part from `position` on; the file has `whole` bytes in the end."""
        limit = self.most if self.size is None else self.size
        if whole is not None and whole > limit:
            raise DownloadError(
                f"the server's file has {whole:,} bytes, at most {limit:,} are taken: declare its `size`"
            )
        require_space(self.part.parent, (whole or 0) - position)
        encoded = self._encoded(answer)
        _state(self.part).unlink(missing_ok=True)
        with open(self.part, "ab" if position else "wb") as file:
            if not encoded:
                said = {"address": self.address, "validator": _validator(answer)}
                _state(self.part).write_text(json.dumps(said))
            since, arrived, unclaimed = time.monotonic(), 0, 0
            while chunk := answer.raw.read1(CHUNK, decode_content=encoded):
                if position + len(chunk) > limit:
                    discard(self.part)
                    hint = "declare its `size`" if self.size is None else "correct `size`"
                    raise DownloadError(f"the server sends more than the {limit:,} bytes that are taken: {hint}")
                unclaimed += len(chunk)
                if whole is None and unclaimed > RESERVE // 2:
                    require_space(self.part.parent, 0)
                    unclaimed = 0
                file.write(chunk)
                position += len(chunk)
                arrived += len(chunk)
                self.progress(position, whole)
                now = time.monotonic()
                if now - since >= self.patience.stall:
                    if arrived < LEAST:
                        raise _Passing(f"stalled at byte {position:,}: {arrived} bytes came in {now - since:.0f} s")
                    since, arrived = now, 0
        if whole is not None and position != whole:
            raise _Passing(f"the connection ended at byte {position:,} of {whole:,}")

    def _resumable(self) -> tuple[int, str | None]:
        """(bytes of the part to keep, the validator that the server gave with them)."""
        try:
            said = json.loads(_state(self.part).read_text())
        except (OSError, json.JSONDecodeError):
            return 0, None
        validator = said["validator"] if said["address"] == self.address else None
        return (_length(self.part) if self.checked or validator else 0), validator

    def _encoded(self, answer: requests.Response) -> bool:
        """Whether the body must be decoded: servers also call .tar.gz files encoded, whose own bytes are wanted."""
        return bool(_header(answer, "Content-Encoding")) and _header(answer, "Content-Length") != str(self.size)


def _judged(error: Exception) -> Exception:
    """Whether an error of the connection may pass."""
    reason = " ".join(str(error).split())
    if isinstance(error, requests.TooManyRedirects):
        return DownloadError(f"too many redirects: {reason}")
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return DownloadError(f"its certificate is not trusted (REQUESTS_CA_BUNDLE names others to trust): {reason}")
    if isinstance(error, ValueError):  # also of a redirect; requests' own are of this kind, too
        return DownloadError(f"not an address that can be asked: {reason}")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return _Passing(f"nothing came in time: {reason}")
    return _Passing(f"the connection failed: {reason}")


def _validator(answer: requests.Response) -> str | None:
    """What If-Range may hold: a strong ETag, else the date of the last change (RFC 9110, section 13.1.5)."""
    tag = _header(answer, "ETag")
    return tag if tag.startswith('"') else _header(answer, "Last-Modified") or None


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds that the server asks to wait: a number or a date."""
    text = _header(answer, "Retry-After")
    if text.isdecimal():
        return float(text)
    with suppress(ValueError):
        date = parsedate_to_datetime(text)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time())
    return None


def _header(answer: requests.Response, name: str) -> str:
    return answer.headers.get(name, "").strip()


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
