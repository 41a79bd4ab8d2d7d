"""Fetching: every misbehaviour of a server ends in the right file, or in an error that says what to do; never in half a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from dalsegno.data import downloading, fetching
from dalsegno.data.downloading import Patience
from dalsegno.data.fetching import Fetched, FetchError
from tests.unit import webserver
from tests.unit.webserver import Site, drip, encoded, file, first, status

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("DALSEGNO_OFFLINE", raising=False)
    with webserver.serving() as site:
        yield site


class Place:
    """A cache, a target, and the pauses that were made."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.target, self.pauses = folder / "cache", folder / "out" / "archive", list[float]()

    def fetch(self, *addresses: str, sha256: str | None = SHA256, size: int | None = None, stall: float = 5) -> Fetched:
        patience = Patience(stall=stall, sleep=self.pauses.append, jitter=random.Random(0))
        return fetching.fetch(addresses, self.target, sha256=sha256, size=size, cache=self.cache, patience=patience)

    def right(self, *addresses: str, **options: Any) -> Fetched:
        """Fetch, and find the right bytes."""
        fetched = self.fetch(*addresses, **options)
        assert self.target.read_bytes() == BODY
        assert (fetched.sha256, fetched.size) == (SHA256, len(BODY))
        assert [path.name for path in self.target.parent.iterdir()] == ["archive"]
        return fetched

    def refused(self, *addresses: str, **options: Any) -> str:
        """Fetch in vain: the error names every address and the next step, and nothing stands in the target's folder."""
        with pytest.raises(FetchError) as error:
            self.fetch(*addresses, **options)
        text = str(error.value)
        assert all(address in text for address in addresses) and "path" in text
        assert not self.target.parent.exists()
        assert not (self.cache / SHA256).exists()
        return text


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_plain_file_arrives_and_is_kept_for_the_next_study(site: Site, place: Place) -> None:
    address = site.at("/music.zip", file(BODY))
    assert place.right(address, size=len(BODY)).address == address
    place.target.unlink()
    assert place.right(address).address == str(place.cache / SHA256)
    assert len(site.requests) == 1 and not place.pauses


@pytest.mark.parametrize("declared", [{}, {"size": len(BODY)}, {"sha256": None}], ids=["hash", "both", "none"])
def test_cut_connections_are_taken_up_where_they_were_cut(site: Site, place: Place, declared: dict) -> None:
    address = site.at("/music.zip", file(BODY, cuts=(100_000, 50_000)))
    place.right(address, **declared)
    assert site.ranges() == [None, "bytes=100000-", "bytes=150000-"]
    assert len(place.pauses) == 2


@pytest.mark.parametrize("cut", [0, 1, len(BODY) - 1])
def test_cuts_at_the_edges(site: Site, place: Place, cut: int) -> None:
    place.right(site.at("/music.zip", file(BODY, cuts=(cut,))))


def test_a_server_that_always_cuts_at_once_is_given_up(site: Site, place: Place) -> None:
    text = place.refused(site.at("/music.zip", file(BODY, cuts=(10,) + (0,) * 20)))
    assert "0 bytes read, 299990 more expected" in text and "(6 attempts failed)" in text
    waits = zip(place.pauses, [1, 2, 4, 8, 16], strict=True)
    assert all(low <= pause <= 1.5 * low for pause, low in waits)


def test_progress_is_no_failure(site: Site, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "PROGRESS", 10_000)
    place.right(site.at("/music.zip", file(BODY, cuts=(20_000,) * 14)))
    assert len(site.requests) == 15 and max(place.pauses) <= 1.5


def test_a_stalled_line_is_cut_and_taken_up(site: Site, place: Place) -> None:
    place.right(site.at("/music.zip", file(BODY, cuts=(100_000,), stall=1.5)), stall=0.3)
    assert site.ranges() == [None, "bytes=100000-"]


def test_a_slow_drip_counts_as_stalled(site: Site, place: Place) -> None:
    assert "stalled at byte" in place.refused(site.at("/music.zip", drip(BODY, 0.02)), stall=0.1)


def test_wrong_bytes_once_are_fetched_again(site: Site, place: Place) -> None:
    place.right(site.at("/music.zip", first(file(OTHER), file(BODY))))


def test_wrong_bytes_always_are_refused_with_both_hashes(site: Site, place: Place) -> None:
    text = place.refused(site.at("/a.zip", file(OTHER)), site.at("/b.zip", file(OTHER)))
    assert f"expected sha256 {SHA256}, found sha256 {hashlib.sha256(OTHER).hexdigest()}" in text
    assert str(place.cache / "seed") in text
    assert len(site.requests) == 3  # the mirror's equal bytes need no second look
    assert not any((place.cache / "partial").iterdir())


def test_ever_other_wrong_bytes_end(site: Site, place: Place) -> None:
    answers = [file(random.Random(i).randbytes(100)) for i in range(20)]
    assert place.refused(site.at("/a.zip", first(*answers))).count("wrong content") == 2


def test_a_file_that_changed_between_two_parts_is_fetched_anew(site: Site, place: Place) -> None:
    # Without a hash only If-Range can tell; the server then sends the whole new file.
    old, new = file(OTHER, cuts=(100_000,), tag='"old"'), file(BODY, tag='"new"')
    place.right(site.at("/music.zip", first(old, new)), sha256=None)
    assert site.requests[1][1]["If-Range"] == '"old"'


def test_parts_of_two_versions_are_never_joined_unseen(site: Site, place: Place) -> None:
    # This server ignores If-Range: the hash tells, and the second download starts from zero.
    place.right(site.at("/music.zip", first(file(OTHER, cuts=(100_000,), tag=""), file(BODY, tag=""))))
    assert site.ranges() == [None, "bytes=100000-", None]


def test_without_hash_and_validator_a_cut_file_starts_from_zero(site: Site, place: Place) -> None:
    place.right(site.at("/music.zip", first(file(OTHER, cuts=(100_000,), tag=""), file(BODY, tag=""))), sha256=None)
    assert site.ranges() == [None, None]


@pytest.mark.parametrize("weak", ['W/"v1"', ""])
def test_a_weak_tag_is_no_validator(site: Site, place: Place, weak: str) -> None:
    place.right(site.at("/music.zip", file(BODY, cuts=(100_000,), tag=weak)), sha256=None)
    assert site.ranges() == [None, None]


def test_a_body_shorter_than_declared_is_refused(site: Site, place: Place) -> None:
    address = site.at("/music.zip", file(BODY[:1000]))
    assert "1,000 bytes (no type), 300,000 are declared" in place.refused(address, size=len(BODY))
    assert "wrong content" in place.refused(address)


def test_a_body_cut_without_content_length_is_taken_up(site: Site, place: Place) -> None:
    whole = first(lambda r: r.send("200 OK", BODY[:5000], Content_Length="", ETag='"v1"'), file(BODY))
    place.right(site.at("/music.zip", whole), size=len(BODY))
    assert site.ranges() == [None, "bytes=5000-"]


def test_a_chunked_body_cut_short_is_taken_up(site: Site, place: Place) -> None:
    torn = b"%x\r\n%b\r\n" % (5000, BODY[:5000])

    def cut(request: webserver.Request) -> None:
        request.send("200 OK", torn, Content_Length="", Transfer_Encoding="chunked", ETag='"v1"')

    place.right(site.at("/music.zip", first(cut, file(BODY))), sha256=None)
    assert site.ranges() == [None, "bytes=5000-"]


@pytest.mark.parametrize("length", ["", str(len(BODY))])
def test_no_more_than_the_declared_size_is_ever_written(site: Site, place: Place, length: str) -> None:
    written: list[int] = []
    real = downloading._Transfer._write

    def watched(self: Any, *rest: Any) -> None:
        try:
            real(self, *rest)
        finally:
            written.append(self.part.stat().st_size if self.part.exists() else 0)

    address = site.at("/music.zip", lambda request: request.send("200 OK", BODY, Content_Length=length))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloading._Transfer, "_write", watched)
        text = place.refused(address, size=100_000)
    assert "100,000" in text and all(size <= 100_000 for size in written)


def test_a_file_of_undeclared_size_has_a_cap(site: Site, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 100_000)
    assert "declare its `size`" in place.refused(site.at("/music.zip", file(BODY)))
    endless = site.at("/endless.zip", lambda request: request.send("200 OK", BODY, Content_Length=""))
    assert "declare its `size`" in place.refused(endless)
    place.right(site.address + "/music.zip", size=len(BODY))


def test_an_error_page_with_status_200_is_named(site: Site, place: Place) -> None:
    page = site.at("/music.zip", status("200 OK", Content_Type="text/html"))
    assert "13 bytes (text/html), 300,000 are declared" in place.refused(page, size=len(BODY))


@pytest.mark.parametrize("code", ["404 Not Found", "403 Forbidden", "410 Gone", "204 No Content", "304 Not Modified"])
def test_what_will_not_pass_is_not_asked_twice(site: Site, place: Place, code: str) -> None:
    assert f"HTTP {code}" in place.refused(site.at("/music.zip", status(code)))
    assert len(site.requests) == 1


def test_mirrors_are_asked_in_order(site: Site, place: Place) -> None:
    gone, wrong = site.at("/gone.zip", status("404 Not Found")), site.at("/wrong.zip", file(OTHER))
    good = site.at("/good.zip", file(BODY))
    assert place.right(gone, wrong, good).address == good
    assert [path for path, _ in site.requests] == ["/gone.zip", "/wrong.zip", "/wrong.zip", "/good.zip"]


def test_a_mirror_goes_on_where_the_primary_broke(site: Site, place: Place) -> None:
    broken = site.at("/broken.zip", first(file(BODY, cuts=(100_000,)), status("404 Not Found")))
    place.right(broken, site.at("/mirror.zip", file(BODY, tag='"another"')))
    assert site.ranges()[-1] == "bytes=100000-"


def test_a_mirror_mends_what_a_wrong_primary_began(site: Site, place: Place) -> None:
    broken = site.at("/broken.zip", first(file(OTHER, cuts=(100_000,)), status("404 Not Found")))
    place.right(broken, site.at("/mirror.zip", file(BODY)))


@pytest.mark.parametrize("code", ["500 Internal Server Error", "503 Service Unavailable", "502 Bad Gateway"])
def test_a_server_that_recovers(site: Site, place: Place, code: str) -> None:
    place.right(site.at("/music.zip", first(status(code), status(code), file(BODY))))
    assert len(place.pauses) == 2


def test_a_server_that_stays_broken(site: Site, place: Place) -> None:
    text = place.refused(site.at("/music.zip", status("500 Internal Server Error")))
    assert "HTTP 500 Internal Server Error (6 attempts failed)" in text and len(site.requests) == 6


def test_retry_after_is_obeyed(site: Site, place: Place) -> None:
    busy = status("429 Too Many Requests", Retry_After="17")
    later = status("503 Service Unavailable", Retry_After=formatdate(time.time() + 40, usegmt=True))
    place.right(site.at("/music.zip", first(busy, later, file(BODY))))
    assert place.pauses[0] == 17 and 35 < place.pauses[1] <= 40


def test_a_server_that_asks_for_an_hour_is_left_for_its_mirror(site: Site, place: Place) -> None:
    busy = site.at("/busy.zip", status("429 Too Many Requests", Retry_After="3600"))
    assert "asks to come back in 3600 s" in place.refused(busy)
    place.right(busy, site.at("/mirror.zip", file(BODY)))
    assert not place.pauses


def test_redirects_are_followed_and_keep_the_range(site: Site, place: Place) -> None:
    site.at("/there.zip", file(BODY, cuts=(100_000,)))
    moved = site.at("/music.zip", status("302 Found", Location="/there.zip"))
    place.right(moved)
    assert site.ranges() == [None, None, "bytes=100000-", "bytes=100000-"]


def test_a_loop_of_redirects_ends(site: Site, place: Place) -> None:
    looped = site.at("/music.zip", status("302 Found", Location="/music.zip"))
    assert "redirects" in place.refused(looped)
    assert len(site.requests) == Patience.redirects + 1


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/music.zip", "file:///etc/passwd", "http://[", "http://"])
def test_redirects_elsewhere_are_refused(site: Site, place: Place, location: str) -> None:
    place.refused(site.at("/music.zip", status("302 Found", Location=location)))


def test_no_redirect_leads_from_https_to_http() -> None:
    import requests

    answer = requests.Response()
    answer.status_code, answer.url = 302, "https://a.example/music.zip"
    session = downloading._Session(3)
    answer.headers["Location"] = "http://me:secret@b.example/music.zip"
    with pytest.raises(downloading.DownloadError, match="to http://b.example/music.zip: refused"):
        session.get_redirect_target(answer)
    for location in ("/other.zip", "https://b.example/", "//b.example/"):
        answer.headers["Location"] = location
        assert session.get_redirect_target(answer) == location


def test_a_server_without_ranges_starts_from_zero(site: Site, place: Place) -> None:
    place.right(site.at("/music.zip", file(BODY, cuts=(100_000, 200_000), ranges=False)))
    assert site.ranges() == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("span", ["bytes 0-299999/300000", "bytes 99999-299999/300000", "bytes */*", "nonsense", ""])
def test_a_wrong_content_range_is_not_believed(site: Site, place: Place, span: str) -> None:
    def lying(request: webserver.Request) -> None:
        request.send("206 Partial Content", BODY[100_000:], Content_Range=span, ETag='"v1"')

    place.right(site.at("/music.zip", first(file(BODY, cuts=(100_000,)), lying, file(BODY))), size=len(BODY))
    assert site.ranges() == [None, "bytes=100000-", None]


def test_a_partial_answer_that_nobody_asked_for_is_refused(site: Site, place: Place) -> None:
    def lying(request: webserver.Request) -> None:
        request.send("206 Partial Content", BODY[:10], Content_Range="bytes 0-9/10")

    assert "Content-Range" in place.refused(site.at("/music.zip", lying))


def test_a_range_beyond_the_end_starts_from_zero(site: Site, place: Place) -> None:
    def none_left(request: webserver.Request) -> None:
        request.send("416 Range Not Satisfiable", b"", Content_Range="bytes */50000")

    place.right(site.at("/music.zip", first(file(BODY, cuts=(100_000,)), none_left, file(BODY))))


def test_a_part_that_is_whole_is_not_fetched_again(site: Site, place: Place) -> None:
    address = site.at("/music.zip", file(BODY))
    place.right(address)
    part = place.cache / "partial" / SHA256
    for declared in ({"size": len(BODY)}, {}):
        os.replace(place.cache / SHA256, part)
        part.with_name(f"{SHA256}.json").write_text('{"address": "", "validator": null}')
        place.right(address, **declared)
    assert site.ranges() == [None, "bytes=300000-"]


@pytest.mark.parametrize("declared", [{}, {"size": len(BODY)}, {"sha256": None}], ids=["hash", "both", "none"])
def test_a_body_compressed_on_the_way_is_decoded(site: Site, place: Place, declared: dict) -> None:
    place.right(site.at("/music.zip", encoded(BODY)), **declared)
    assert site.requests[0][1]["Accept-Encoding"] == "identity"


def test_a_cut_compressed_body_is_never_continued(site: Site, place: Place) -> None:
    def cut(request: webserver.Request) -> None:
        request.send("200 OK", BODY[:1], Content_Length="500", Content_Encoding="gzip")

    place.right(site.at("/music.zip", first(cut, encoded(BODY))))
    assert site.ranges() == [None, None]


def test_a_tar_gz_that_its_server_calls_encoded_keeps_its_bytes(site: Site, place: Place) -> None:
    import gzip

    body = gzip.compress(BODY, mtime=0)
    address = site.at("/music.tar.gz", encoded(BODY))
    place.fetch(address, sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    assert place.target.read_bytes() == body


def test_nobody_listens(site: Site, place: Place) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/music.zip"
        assert "the connection failed" in place.refused(address)
        place.right(address, site.at("/music.zip", file(BODY)))


@pytest.mark.parametrize(
    "address", ["ftp://example.org/a.zip", "file:///tmp/a.zip", "music.zip", "http://", "http://["]
)
def test_what_is_no_web_address_is_refused(place: Place, address: str) -> None:
    place.refused(address)
    assert not place.pauses


def test_no_address_at_all(place: Place) -> None:
    place.refused()


def test_a_password_is_never_shown(site: Site, place: Place, capsys: pytest.CaptureFixture) -> None:
    address = site.at("/music.zip", status("404 Not Found")).replace("//", "//me:secret@")
    with pytest.raises(FetchError) as error:
        place.fetch(address)
    assert "secret" not in str(error.value)
    site.at("/music.zip", file(BODY))
    assert "secret" not in place.right(address, sha256=None).address
    assert "secret" not in capsys.readouterr().err
    assert all(b"secret" not in path.read_bytes() for path in place.cache.rglob("*") if path.is_file())


def test_an_undeclared_hash_is_printed_and_remembered(
    site: Site, place: Place, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = site.at("/music.zip", file(BODY))
    place.right(address, sha256=None)
    assert f"sha256: {SHA256}\n    size: {len(BODY)}" in capsys.readouterr().err
    monkeypatch.setenv("DALSEGNO_OFFLINE", "1")
    place.right(address, sha256=None)
    assert len(site.requests) == 1
    with pytest.raises(FetchError, match="DALSEGNO_OFFLINE"):
        place.fetch(address + "2", sha256=None)


def test_offline_says_which_file_to_put_where(site: Site, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    address = site.at("/music.zip", file(BODY))
    monkeypatch.setenv("DALSEGNO_OFFLINE", "1")
    text = place.refused(address)
    assert SHA256 in text and str(place.cache / "seed") in text and not site.requests
    deep = place.cache / "seed" / "from a stick"
    deep.mkdir()
    (deep / "wrong.zip").write_bytes(OTHER)
    (deep / "any name").write_bytes(BODY)
    assert place.right(address).address == str(deep / "any name")
    shutil.rmtree(place.cache / "seed")
    place.right(address)


def test_a_seeded_file_of_another_size_is_not_even_read(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    real = fetching.file_sha256
    monkeypatch.setattr(fetching, "file_sha256", lambda path: read.append(path) or real(path))
    (place.cache / "seed").mkdir(parents=True)
    (place.cache / "seed" / "other").write_bytes(OTHER[:-1])
    place.right(site.at("/music.zip", file(BODY)), size=len(BODY))
    assert [path.parent.name for path in read] == ["partial"]


def test_a_corrupt_file_in_the_cache_is_moved_aside_and_fetched_again(
    site: Site, place: Place, capsys: pytest.CaptureFixture
) -> None:
    address = site.at("/music.zip", file(BODY))
    place.right(address)
    place.target.unlink()
    (place.cache / SHA256).write_bytes(OTHER)
    place.right(address)
    assert (place.cache / "corrupt" / SHA256).read_bytes() == OTHER
    assert "is corrupt" in capsys.readouterr().err


def test_the_target_is_replaced_and_takes_no_second_room(site: Site, place: Place) -> None:
    address = site.at("/music.zip", file(BODY))
    place.target.parent.mkdir()
    place.target.write_bytes(b"old")
    place.right(address)
    assert place.target.samefile(place.cache / SHA256)
    place.right(address)


def test_another_users_file_and_another_disk_are_copied(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = site.at("/music.zip", file(BODY))
    monkeypatch.setattr(os, "getuid", lambda: -1)
    place.right(address)
    assert not place.target.samefile(place.cache / SHA256)
    monkeypatch.undo()

    def another_disk(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_disk)
    place.right(address)
    assert not place.target.samefile(place.cache / SHA256)


def test_a_full_disk_is_seen_before_the_first_request(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = downloading.RESERVE + len(BODY) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free))  # type: ignore[attr-defined]
    address = site.at("/music.zip", file(BODY))
    with pytest.raises(OSError, match=r"300,000 are needed .*DALSEGNO_CACHE"):
        place.fetch(address, size=len(BODY))
    assert not site.requests
    with pytest.raises(OSError, match=r"300,000 are needed .*DALSEGNO_CACHE"):  # told by Content-Length
        place.fetch(address)
    assert not list((place.cache / "partial").iterdir()) and not place.target.parent.exists()


def test_what_was_begun_needs_room_for_the_rest_only(site: Site, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = site.at("/music.zip", first(file(BODY, cuts=(200_000,)), status("404 Not Found")))
    place.refused(begun)
    free = downloading.RESERVE + 100_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free))  # type: ignore[attr-defined]
    place.right(site.at("/mirror.zip", file(BODY)), size=len(BODY))


def test_progress_has_speed_and_time_left(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(fetching.time, "monotonic", clock)
    monkeypatch.setattr(downloading, "CHUNK", 10_000)
    place.right(site.at("/music.zip", file(BODY)), size=len(BODY), stall=1e9)
    lines = capsys.readouterr().err.splitlines()
    assert any("music.zip: 0." in line and "of 0.3 MB" in line and "s left" in line for line in lines)
    assert lines[-1].endswith(SHA256)
    assert 3 < len(lines) < 20  # some thirty reads and sixty looks at this clock


CHILD = """
import sys
from pathlib import Path
from dalsegno.data.fetching import fetch
address, target, sha256, cache = sys.argv[1:]
print(fetch([address], Path(target), sha256=sha256, size=None, cache=Path(cache)).address)
"""


def child(address: str, target: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, address, str(target), SHA256, str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_download_is_taken_up(site: Site, place: Place) -> None:
    held = file(BODY, cuts=(100_000,), stall=5)
    address = site.at("/music.zip", held)
    part = place.cache / "partial" / SHA256
    process = child(address, place.target, place.cache)
    try:
        until(lambda: part.exists() and part.stat().st_size == 100_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not place.target.exists() and not (place.cache / SHA256).exists()
    place.right(address)
    assert site.ranges() == [None, "bytes=100000-"]


def test_two_processes_at_once_fetch_once(site: Site, place: Place, tmp_path: Path) -> None:
    both = threading.Event()

    def slow(request: webserver.Request) -> None:
        both.wait(30)
        file(BODY)(request)

    address = site.at("/music.zip", slow)
    targets = [tmp_path / name / "archive" for name in ("one", "two")]
    processes = [child(address, target, place.cache) for target in targets]
    try:
        # One asks the server, the other says that it waits.
        until(lambda: len(site.requests) == 1)
        time.sleep(1.0)
    finally:
        both.set()
        ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert sorted(out.strip() for out, _ in ends) == sorted([address, str(place.cache / SHA256)])
    assert all(target.read_bytes() == BODY for target in targets) and len(site.requests) == 1


class _Proxy(socketserver.StreamRequestHandler):
    """A proxy that fetches by itself: GET http://host/path."""

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        self.server.lines.append(line.strip())  # type: ignore[attr-defined]
        while self.rfile.readline().strip():
            pass
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(OSError):
            self.wfile.write(head.encode() + BODY)


def test_proxies_of_the_environment_are_used(site: Site, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy) as proxy:
        proxy.lines = []  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        place.right("http://music.invalid/music.zip")
        assert proxy.lines == ["GET http://music.invalid/music.zip HTTP/1.1"]  # type: ignore[attr-defined]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        (place.cache / SHA256).unlink()
        place.right(site.at("/music.zip", file(BODY)))
        assert len(site.requests) == 1
        proxy.shutdown()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DALSEGNO_CACHE", str(tmp_path / "shared"))
    assert fetching.cache_folder() == tmp_path / "shared"
    monkeypatch.delenv("DALSEGNO_CACHE")
    assert fetching.cache_folder() == Path.home() / ".cache" / "dalsegno"
