"""Makes many calls in worker processes with limits on time and memory, so that a bad file costs only itself.

The limits are the kernel's, since a parser that is stuck in C obeys nothing else:

- Time: a timer that ends the process (SIGALRM). It also ends a worker whose parent was killed.
- Memory: RLIMIT_DATA, the private memory that a process may write. RLIMIT_AS would count address space that is only
  reserved (pyarrow takes 160 MiB of it at its import, each thread of a linear algebra library more), so that its right
  value would change with every release; resident memory can only be watched from outside, which is too late for a
  parser that fills a gigabyte in a third of a second. macOS does not enforce it.

A worker is a fresh interpreter and no fork or spawn of multiprocessing: a fork of a process that runs threads (JAX in a
test session) may hang, and spawn imports the parent's main program again, which takes longer than a small set of files.
"""

from __future__ import annotations

import importlib
import os
import pickle
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

IMPORT_SECONDS = 60.0
"""The first call of a worker also pays for the parser's imports."""

AHEAD = 8
"""Calls that a worker holds at once while they are fast: waiting for the next would take longer than the call."""
FAST_SECONDS = 0.01
WAITING_BYTES = 1 << 15
"""What a pipe holds for certain: a parent that writes more may wait for a worker that waits for the parent."""

FROM_OUTSIDE = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""What people and schedulers send, and no damaged file raises."""

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Failure:
    """Why a call gave no result."""

    reason: str


class _Worker:
    """One child process and the calls that it holds, the first of which it is busy with."""

    def __init__(self, function: str, seconds: float, megabytes: int) -> None:
        self.pipe, theirs = Pipe()
        self.held: deque[tuple[int, bytes]] = deque()
        self.last = time.monotonic()
        self.ahead = 1
        arguments = (theirs.fileno(), function, seconds, IMPORT_SECONDS, megabytes)
        command = f"from dalsegno.data.quarantine import serve; serve{arguments!r}"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", command],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        theirs.close()

    def has_room(self, message: bytes, most: int) -> bool:
        """Whether it may hold one call more, of `most` at all."""
        if len(self.held) >= min(self.ahead, most):
            return False
        return not self.held or sum(len(held) for _, held in self.held) + len(message) <= WAITING_BYTES

    def give(self, index: int, message: bytes) -> None:
        if not self.held:
            self.last = time.monotonic()
        self.held.append((index, message))
        # A worker that died says so where its results are read.
        with suppress(OSError):
            self.pipe.send_bytes(message)

    def receive(self) -> tuple[int, Any, bool]:
        """Index and result of the call that is done, and whether the worker lives on."""
        result, alive = pickle.loads(self.pipe.recv_bytes())
        index, _ = self.held.popleft()
        now = time.monotonic()
        self.ahead = AHEAD if now - self.last < FAST_SECONDS else 1
        self.last = now
        return index, result, alive

    def stop(self) -> int:
        """End the process; returns its exit status, the number of a signal being negative."""
        self.pipe.close()
        self.process.kill()
        return self.process.wait()


class _Pool:
    """The workers, and the calls that none of them holds."""

    def __init__(self, calls: Sequence[tuple[Any, ...]], jobs: int, hire: Callable[[], _Worker]) -> None:
        self._hire, self._jobs, self._left = hire, jobs, len(calls)
        self._unsent = ((index, pickle.dumps(arguments)) for index, arguments in enumerate(calls))
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._selector = selectors.DefaultSelector()
        self.workers: list[_Worker] = []

    def ready(self) -> list[_Worker]:
        """The workers that have sent something or died; waits for one."""
        return [key.data for key, _ in self._selector.select()]

    def extend(self) -> None:
        """Hire one worker, if there is a call for it."""
        if self._next() is None:
            return
        worker = self._hire()
        self.workers.append(worker)
        self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
        self.fill(worker)

    def fill(self, worker: _Worker) -> None:
        """Give `worker` what it has room for; one that holds nothing then is let go."""
        # Towards the end one by one, so that no worker idles while another holds several slow calls.
        while (call := self._next()) and worker.has_room(call[1], most=max(1, self._left // (2 * self._jobs))):
            worker.give(*self._waiting.popleft())
            self._left -= 1
        if not worker.held:
            self.dismiss(worker)

    def replace(self, worker: _Worker) -> None:
        """What a dead worker had not begun is no fault of those calls: others make them."""
        self._waiting.extendleft(reversed(worker.held))
        self._left += len(worker.held)
        self.extend()

    def dismiss(self, worker: _Worker) -> int:
        """End `worker`; returns its exit status."""
        self._selector.unregister(worker.pipe)
        self.workers.remove(worker)
        return worker.stop()

    def close(self) -> None:
        for worker in list(self.workers):
            self.dismiss(worker)
        self._selector.close()

    def _next(self) -> tuple[int, bytes] | None:
        if not self._waiting and (call := next(self._unsent, None)) is not None:
            self._waiting.append(call)
        return self._waiting[0] if self._waiting else None


def call_in_workers(
    function: str,
    calls: Sequence[tuple[Any, ...]],
    jobs: int = 2,
    seconds: float = 60.0,
    megabytes: int = 2048,
) -> Iterator[tuple[int, Any]]:
    """Yield (index, result or `Failure`) for each of `calls`, in the order in which they are done.

    Args:
        function: "package.module:name" of a function; it is imported in the workers only.
        calls: the arguments of each call.
        jobs: worker processes.
        seconds: time limit of one call; a worker that exceeds it, or dies, is replaced.
        megabytes: limit of a worker's memory, in MiB of 2**20 bytes; the parser itself takes 20 to 130 of them.

    Raises:
        ImportError: a worker cannot import `function`.
        InterruptedError: somebody ended a worker: that is no fault of the file it held.
    """
    pool = _Pool(calls, jobs, lambda: _Worker(function, seconds, megabytes))
    try:
        for _ in range(jobs):
            pool.extend()
        while pool.workers:
            for worker in pool.ready():
                try:
                    index, result, alive = worker.receive()
                except (EOFError, OSError):
                    status = pool.dismiss(worker)
                    if -status in FROM_OUTSIDE:
                        told = f"a worker was ended from outside ({signal.Signals(-status).name}); run again"
                        raise InterruptedError(told) from None
                    result, alive = Failure(_cause(status, seconds)), False
                    index, _ = worker.held.popleft()
                else:
                    if isinstance(result, ImportError):
                        raise result
                    if not alive:
                        pool.dismiss(worker)
                # Before the result is used, so that no worker waits for its user.
                if alive:
                    pool.fill(worker)
                else:
                    pool.replace(worker)
                yield index, result
    finally:
        pool.close()


def _cause(status: int, seconds: float) -> str:
    """Why a worker died, by its exit status."""
    if status == -signal.SIGALRM:
        return f"the parser needed more than {seconds:g} s"
    if status == -signal.SIGKILL:
        return "the parser was killed (SIGKILL), as a system does that runs out of memory"
    if status < 0:
        return f"the parser crashed ({signal.Signals(-status).name})"
    return f"the parser crashed (exit status {status})"


def serve(descriptor: int, function: str, seconds: float, grace: float, megabytes: int) -> None:
    """The life of a worker: receive arguments, send (result, whether it lives on), until the pipe is closed."""
    # The terminal sends its interrupt to all; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe = Connection(descriptor)
    module, name = function.split(":")
    call: Callable[..., Any]
    try:
        call = getattr(importlib.import_module(module), name)
    except Exception as error:
        reason = ImportError(f"a worker cannot import {function}: {type(error).__name__}: {error}")
        pipe.send_bytes(pickle.dumps((reason, False)))
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = megabytes * MEBIBYTE
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    while True:
        try:
            arguments = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + grace)
        grace = 0.0
        alive = True
        try:
            message = pickle.dumps((call(*arguments), True), pickle.HIGHEST_PROTOCOL)
        except MemoryError:
            # The worker ends: what the parser has left in memory would count against the next call.
            alive = False
        except BaseException as error:
            message = pickle.dumps((Failure(_reason(error, arguments)), True))
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not alive:
            message = pickle.dumps((Failure(f"the parser needed more than {megabytes} MiB of memory"), False))
        try:
            pipe.send_bytes(message)
        except OSError:
            return
        if not alive:
            return


def _reason(error: BaseException, arguments: tuple[Any, ...]) -> str:
    """One line without the folders of this machine."""
    text = str(error)
    for path in (argument for argument in arguments if isinstance(argument, Path)):
        text = text.replace(str(path), path.name)
    text = " ".join(text.split())
    name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{name}{text}"[:300] or type(error).__name__


class Progress:
    """Count, rate and time left on stderr, at most once in five seconds."""

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what, self.begun, self.shown = total, what, time.monotonic(), time.monotonic()

    def show(self, done: int) -> None:
        now = time.monotonic()
        if done < self.total and now - self.shown < 5:
            return
        self.shown = now
        left = (now - self.begun) / max(done, 1) * (self.total - done)
        print(f"{self.what}: {done} of {self.total} files, {left:.0f} s left", file=sys.stderr, flush=True)
