"""A web server on the loopback whose paths misbehave in a chosen way."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; `count` is how many came for the same path before."""

    count: int
    site: Site

    def do_GET(self) -> None:
        self.close_connection = True
        with self.site.lock:
            self.site.requests.append((self.path, self.headers))
            self.count = sum(path == self.path for path, _ in self.site.requests) - 1
        answer = self.site.answers.get(self.path)
        with suppress(BrokenPipeError, ConnectionResetError):
            if answer is None:
                self.send("404 Not Found", b"no such file")
            else:
                answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: str, body: bytes, **headers: str) -> None:
        """Headers (underscores for hyphens; a Content-Length unless one is given) and body, byte by byte as they are."""
        headers = {"Content_Length": str(len(body)), **headers}
        lines = [f"HTTP/1.1 {status}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)


@dataclass
class Site:
    """What the server does and has seen.

    Attributes:
        answers: by path.
        requests: (path, headers) in the order of arrival.
    """

    address: str
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, Message]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, path: str, answer: Answer) -> str:
        """Let `path` answer so; its address."""
        self.answers[path] = answer
        return self.address + path

    def ranges(self) -> list[str | None]:
        """The Range headers that came, in order."""
        return [headers.get("Range") for _, headers in self.requests]


@contextmanager
def serving() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Bound", (Request,), {"site": site})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def file(
    body: bytes, *, cuts: tuple[int, ...] = (), ranges: bool = True, tag: str = '"v1"', stall: float = 0
) -> Answer:
    """A file; request i is cut after `cuts[i]` bytes of its body (and the line held for `stall` seconds before)."""

    def answer(request: Request) -> None:
        headers = {"ETag": tag, "Accept_Ranges": "bytes" if ranges else ""}
        status, sent = "200 OK", body
        asked = request.headers.get("Range")
        if asked and ranges and request.headers.get("If-Range") in (None, tag):
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            if first >= len(body):
                request.send("416 Range Not Satisfiable", b"", Content_Range=f"bytes */{len(body)}")
                return
            status, sent = "206 Partial Content", body[first:]
            headers["Content_Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        headers["Content_Length"] = str(len(sent))
        if request.count < len(cuts):
            sent = sent[: cuts[request.count]]
        request.send(status, sent, **headers)
        if request.count < len(cuts):
            request.wfile.flush()
            time.sleep(stall)

    return answer


def status(text: str, **headers: str) -> Answer:
    """An error page or a redirect."""
    return lambda request: request.send(text, b"an error page", **headers)


def first(*answers: Answer) -> Answer:
    """Another answer for each request; the last for all that follow."""
    return lambda request: answers[min(request.count, len(answers) - 1)](request)


def encoded(body: bytes) -> Answer:
    """A file that is compressed on the way, whatever the client accepts."""
    return lambda request: request.send("200 OK", gzip.compress(body, mtime=0), Content_Encoding="gzip")


def drip(body: bytes, pause: float) -> Answer:
    """One byte at a time."""

    def answer(request: Request) -> None:
        request.send("200 OK", b"", Content_Length=str(len(body)))
        for i in range(len(body)):
            request.wfile.write(body[i : i + 1])
            request.wfile.flush()
            time.sleep(pause)

    return answer
