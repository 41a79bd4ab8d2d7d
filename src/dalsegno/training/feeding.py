"""Batches made ahead of the step that asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

AHEAD = 2


class Feed(Generic[T]):
    """`make(first)`, `make(first + 1)` … in order, each made by a thread while earlier ones are computed with.

    Args:
        make: the batch of a step; a function of the step alone.
        first: the first step.
        last: the step after the last.
    """

    def __init__(self, make: Callable[[int], T], first: int, last: int) -> None:
        self._make, self._next, self._last = make, first, last
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[T]] = deque()

    def __enter__(self) -> Feed[T]:
        self._ask()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> Any:
        self._pool.shutdown(cancel_futures=True)

    def take(self) -> T:
        """The next batch, or the error with which it failed."""
        batch = self._waiting.popleft().result()
        self._ask()
        return batch

    def _ask(self) -> None:
        while len(self._waiting) < AHEAD and self._next < self._last:
            self._waiting.append(self._pool.submit(self._make, self._next))
            self._next += 1
