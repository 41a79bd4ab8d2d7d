"""Makes many calls in worker processes, so that a bad file costs only itself."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

IMPORT_SECONDS = 60.0
"""The first file of a worker also pays for the parser's imports."""


@dataclass(frozen=True)
class Failure:
    """Why a call gave no result."""

    reason: str


class _Worker:
    """One child process and the call it is busy with."""

    def __init__(self, context: SpawnContext, function: str) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.index = -1
        self.deadline = 0.0
        self.grace = IMPORT_SECONDS

    def give(self, index: int, arguments: tuple[Any, ...], seconds: float) -> None:
        self.index, self.deadline = index, time.monotonic() + seconds + self.grace
        self.grace = 0.0
        self.pipe.send(arguments)

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def call_in_workers(
    function: str, calls: Sequence[tuple[Any, ...]], jobs: int = 2, seconds: float = 60.0
) -> Iterator[tuple[int, Any]]:
    """Yield (index, result or `Failure`) for each of `calls`, in the order in which they are done.

    Args:
        function: "package.module:name" of a function; it is imported in the workers only.
        calls: the arguments of each call.
        jobs: worker processes.
        seconds: time limit of one call; a worker that exceeds it, or dies, is replaced.
    """
    # spawn: a fork of a process that runs threads (JAX in a test session) may hang.
    context = multiprocessing.get_context("spawn")
    waiting = iter(enumerate(calls))
    workers: list[_Worker] = []
    try:
        for index, arguments in islice(waiting, jobs):
            workers.append(_Worker(context, function))
            workers[-1].give(index, arguments, seconds)
        while workers:
            left = min(worker.deadline for worker in workers) - time.monotonic()
            ready = wait([worker.pipe for worker in workers], max(0.0, left))
            for worker in list(workers):
                if worker.pipe in ready:
                    result, alive = _receive(worker)
                elif time.monotonic() >= worker.deadline:
                    result, alive = Failure(f"the parser needed more than {seconds:g} s"), False
                else:
                    continue
                yield worker.index, result
                following = next(waiting, None)
                if following is None or not alive:
                    worker.stop()
                    workers.remove(worker)
                if following is not None:
                    if not alive:
                        worker = _Worker(context, function)
                        workers.append(worker)
                    worker.give(*following, seconds)
    finally:
        for worker in workers:
            worker.stop()


def _receive(worker: _Worker) -> tuple[Any, bool]:
    """The worker's result, and whether the worker lives on."""
    try:
        return worker.pipe.recv(), True
    except (EOFError, OSError):
        worker.process.join()
        return Failure(f"the parser crashed (exit status {worker.process.exitcode})"), False


def _serve(function: str, pipe: Connection) -> None:
    """The life of a worker: receive arguments, send a result, until the pipe is closed."""
    module, name = function.split(":")
    call = getattr(importlib.import_module(module), name)
    while True:
        try:
            arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result: Any = call(*arguments)
        except Exception as error:
            text = str(error)
            for path in (argument for argument in arguments if isinstance(argument, Path)):
                text = text.replace(str(path), path.name)
            text = " ".join(text.split())
            name_of_error = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            result = Failure(f"{name_of_error}{text}"[:300] or type(error).__name__)
        pipe.send(result)


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
