"""Worker processes: limits that act, crashes that cost one call, calls that nobody loses."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from dalsegno.data import quarantine
from dalsegno.data.quarantine import Failure, call_in_workers

FRAGILE = """
import ctypes, os, signal, sys, time
import numpy as np

KEPT = []

def act(what, argument=None):
    if what == "loop":
        while True:
            pass
    if what == "stuck":  # in C, where no Python signal handler is ever run
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
        ctypes.CDLL(None).pause()
    if what == "objects":
        while True:
            KEPT.append([bytes(1000) for _ in range(10_000)])
    if what == "array":
        KEPT.append(np.ones(argument << 17))  # 2**17 numbers of 8 bytes are a MiB
        return "fits"
    if what == "result":
        return bytes(argument << 20)
    if what == "segfault":
        ctypes.string_at(0)
    if what == "abort":
        os.abort()
    if what == "ended":
        signal.signal(argument, signal.SIG_DFL)  # a shell ignores some for what runs in its background
        os.kill(os.getpid(), argument)
    if what == "exit":
        os._exit(3)
    if what == "quit":
        sys.exit("bye")
    if what == "deep":
        return act("deep")
    if what == "sleep":
        time.sleep(argument)
        return os.getpid()
    if what == "wrong":
        raise KeyError(str(argument))
    if what == "worker":
        return os.getpid()
    return what
"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "fragile_parser.py").write_text(FRAGILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(quarantine, "IMPORT_SECONDS", 1.0)
    return "fragile_parser:act"


def told(results: Any) -> list[Any]:
    """Results and reasons by index, each index once."""
    pairs = sorted(results, key=lambda pair: pair[0])
    assert [index for index, _ in pairs] == list(range(len(pairs)))
    return [result.reason if isinstance(result, Failure) else result for _, result in pairs]


def test_each_way_to_fail_costs_one_call_and_is_named(fragile: str) -> None:
    ways = {
        "segfault": "the parser crashed (SIGSEGV)",
        "abort": "the parser crashed (SIGABRT)",
        "exit": "the parser crashed (exit status 3)",
        "quit": "SystemExit: bye",
        "wrong": "KeyError: 'song.mid'",
        "loop": "the parser needed more than 4 s",
        "stuck": "the parser needed more than 4 s",
        "objects": "the parser needed more than 200 MiB of memory",
    }
    # Fast calls stand before and behind each bad one, so that a worker holds several when it dies.
    calls = [
        call for way in ways for call in (*[("before",)] * 10, (way, Path("/home/me/song.mid")), *[("after",)] * 10)
    ]
    wanted = [text for reason in ways.values() for text in (*["before"] * 10, reason, *["after"] * 10)]
    assert told(call_in_workers(fragile, calls, jobs=2, seconds=4, megabytes=200)) == wanted


def test_the_limit_of_memory_is_the_parsers_and_not_that_of_all_calls_before(fragile: str) -> None:
    calls = [("array", 100), ("array", 400), ("array", 100), ("result", 400), ("result", 40)]
    results = told(call_in_workers(fragile, calls, jobs=1, seconds=10, megabytes=300))
    reason = "the parser needed more than 300 MiB of memory"
    assert results[:4] == ["fits", reason, "fits", reason]
    assert len(results[4]) == 40 << 20


def test_a_recursion_without_end_is_a_failure_and_its_worker_lives_on(fragile: str) -> None:
    first, failure, second = told(call_in_workers(fragile, [("worker",), ("deep",), ("worker",)], jobs=1, seconds=5))
    assert failure.startswith("RecursionError")
    assert first == second


def test_results_come_when_they_are_done(fragile: str) -> None:
    calls = [("sleep", 1.0), *[("fast",)] * 30]
    order = [index for index, _ in call_in_workers(fragile, calls, jobs=2, seconds=5)]
    assert order[-1] == 0
    assert sorted(order) == list(range(31))


def test_slow_calls_at_the_end_are_dealt_one_by_one(fragile: str) -> None:
    calls = [*[("fast",)] * 4, *[("sleep", 1.0)] * 4]
    workers = told(call_in_workers(fragile, calls, jobs=2, seconds=5))[4:]
    assert sorted(map(workers.count, set(workers))) == [2, 2]


def test_nothing_is_asked_for_before_it_is_needed(fragile: str) -> None:
    class Calls(list[tuple[Any, ...]]):
        taken = 0

        def __iter__(self) -> Any:
            for call in super().__iter__():
                self.taken += 1
                yield call

    calls = Calls([("fast", "x" * 1000)] * 500)
    results = call_in_workers(fragile, calls, jobs=2, seconds=5)
    for _ in range(10):
        next(results)
    assert calls.taken < 60
    results.close()


def test_arguments_and_results_larger_than_a_pipe_pass(fragile: str) -> None:
    calls = [("x" * 300_000,) for _ in range(40)]
    assert told(call_in_workers(fragile, calls, jobs=2, seconds=5)) == ["x" * 300_000] * 40


def test_a_function_that_is_not_there_is_an_error_and_no_reject(fragile: str) -> None:
    with pytest.raises(ImportError, match="cannot import fragile_parser:none: AttributeError"):
        list(call_in_workers("fragile_parser:none", [("a",)] * 3, jobs=2))


def test_workers_end_with_their_user(fragile: str) -> None:
    results = call_in_workers(fragile, [("worker",), ("sleep", 60.0)], jobs=2, seconds=100)
    _, worker = next(results)
    results.close()
    assert not Path(f"/proc/{worker}").exists()


def test_no_calls_need_no_workers() -> None:
    assert list(call_in_workers("nowhere:at_all", [])) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_worker_that_somebody_ends_makes_no_reject(fragile: str, number: signal.Signals) -> None:
    """Else a job that is being stopped would blame the files at hand, and write a corpus without them."""
    calls = [("fine",), ("ended", int(number)), ("fine",)]
    with pytest.raises(InterruptedError, match=f"ended from outside \\({number.name}\\); run again"):
        list(quarantine.call_in_workers(fragile, calls, jobs=1))
