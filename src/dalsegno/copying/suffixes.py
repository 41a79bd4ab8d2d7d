"""Where the longest stretch of a stream stands in a large body of streams: a suffix array of bounded depth.

All n-grams up to `DEPTH` tokens are sorted at once, so one search finds the longest match at every place of a query,
and nothing has to be chosen or capped by frequency. Twelve bytes a token to keep, 40 to build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

DEPTH = 32
"""Tokens by which suffixes are sorted; longer matches are extended from there."""
NEIGHBOURS = 16
"""Sorted neighbours looked at on either side, so that pieces can be left out of a search."""
CHUNK = 4096
"""Places of a query that are looked up at once."""
FOLLOWED = 2**24
"""Tokens that the matches of a chunk are followed beyond `DEPTH`, all together: enough for each to come to its end,
except in music that repeats a bar for an hour."""


@dataclass(frozen=True)
class Matches:
    """For each of Q places of a query, its neighbours in the body.

    Attributes:
        position: int64 `[Q, 2 * NEIGHBOURS]`, place in the body.
        owner: int64, the piece that it lies in.
        length: int64, tokens that agree from there; 0 for pieces that were left out.
    """

    position: np.ndarray
    owner: np.ndarray
    length: np.ndarray


class Suffixes:
    """The streams of many pieces, searchable.

    Args:
        tokens: uint32 `[N]`, the streams one after the other, each ending in 0.
        offsets: int64 `[P + 1]`; piece i is `tokens[offsets[i]:offsets[i + 1]]`.
        order: uint32 `[N]`, the places sorted by the `DEPTH` tokens that follow; computed where absent.
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, order: np.ndarray | None = None) -> None:
        self.tokens = np.concatenate([tokens, np.zeros(DEPTH, np.uint32)])
        self.offsets = offsets
        self.order = _sorted(self.tokens, len(tokens)) if order is None else order

    @classmethod
    def of(cls, pieces: Sequence[np.ndarray]) -> Suffixes:
        """The index over the streams of pieces."""
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        tokens = np.concatenate([np.zeros(0, np.uint32), *pieces])
        return cls(tokens, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.order)

    def matches(self, query: np.ndarray, left_out: np.ndarray | None = None) -> Matches:
        """The nearest places to each place of a query stream (uint32 `[Q]`).

        Args:
            left_out: pieces (int64) that do not count.
        """
        padded = np.concatenate([query, np.zeros(DEPTH, np.uint32)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, DEPTH)[: len(query)]
        # Long pieces a stretch at a time, so that memory stays bounded; the stretch after is looked into.
        begins = range(0, max(len(query), 1), CHUNK)
        parts = [self._matches(padded, windows[i : i + CHUNK], i, left_out) for i in begins]
        found = Matches(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Matches)))
        _chain(found)
        return found

    def _matches(self, padded: np.ndarray, windows: np.ndarray, begin: int, left_out: np.ndarray | None) -> Matches:
        """The matches of the places from `begin` on, a window each."""
        near = self._find(windows)[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS)
        if not len(self) or not len(windows):
            empty = np.zeros((len(windows), 2 * NEIGHBOURS), np.int64)
            return Matches(empty, empty, empty)
        inside = (near >= 0) & (near < len(self))
        position = self.order[np.clip(near, 0, len(self) - 1)].astype(np.int64)
        length = _agreeing(windows[:, None], self.tokens[position[..., None] + np.arange(DEPTH)])
        owner = np.searchsorted(self.offsets, position, side="right") - 1
        length[~inside] = 0
        if left_out is not None:
            length[np.isin(owner, left_out)] = 0
        self._extend(padded[begin:], position, length)
        return Matches(position, owner, length)

    def counts(self, query: np.ndarray, widest: int) -> list[np.ndarray]:
        """How often the 1, 2 … `widest` tokens from each place of a query stand in the body: int64 `[Q - width + 1]`"""
        sizes = [max(len(query) - width + 1, 0) for width in range(1, widest + 1)]
        # All widths in one search, since it is the number of searches that costs: shorter windows are filled up with
        # what sorts before, and after, whatever follows them.
        first, last = (np.full((sum(sizes), widest), filling, np.uint32) for filling in (0, 2**32 - 1))
        end = 0
        for width, size in enumerate(sizes, 1):
            if size:
                rows = slice(end, end + size)
                first[rows, :width] = last[rows, :width] = np.lib.stride_tricks.sliding_window_view(query, width)
                end += size
        return np.split(self._find(last, right=True) - self._find(first), np.cumsum(sizes)[:-1])

    def _find(self, windows: np.ndarray, right: bool = False) -> np.ndarray:
        """Where windows (uint32 `[Q, width]`) would be inserted, before or after their equals."""
        low = np.zeros(len(windows), np.int64)
        high = np.full(len(windows), len(self), np.int64)
        span, rows = np.arange(windows.shape[1]), np.arange(len(windows))
        for _ in range(max(len(self), 1).bit_length()):
            open_ = low < high
            middle = np.minimum((low + high) // 2, max(len(self) - 1, 0))
            found = self.tokens[self.order[middle, None].astype(np.int64) + span] if len(self) else windows
            differ = found != windows
            first = differ.argmax(axis=1)
            after = found[rows, first] < windows[rows, first]
            if right:
                after |= ~differ.any(axis=1)
            low = np.where(open_ & after, middle + 1, low)
            high = np.where(open_ & ~after, middle, high)
        return low

    def _extend(self, padded: np.ndarray, position: np.ndarray, length: np.ndarray) -> None:
        """Follow the matches that reach `DEPTH` tokens to their end, `FOLLOWED` tokens in all."""
        rows, columns = np.nonzero(length == DEPTH)
        reached, left = DEPTH, FOLLOWED // DEPTH
        while len(rows) and reached < len(padded) and left > 0:
            query = np.minimum(rows[:, None] + reached + np.arange(DEPTH), len(padded) - 1)
            body = np.minimum(position[rows, columns][:, None] + reached + np.arange(DEPTH), len(self.tokens) - 1)
            more = _agreeing(padded[query], self.tokens[body])
            length[rows, columns] += more
            rows, columns = rows[more == DEPTH], columns[more == DEPTH]
            left -= len(more)
            reached += DEPTH


def _chain(matches: Matches) -> None:
    """Give each match the end of the later ones that go on with it, since not all are followed to their end.

    Two matches at one distance between query and body that overlap are one.
    """
    rows, columns = np.nonzero(matches.length >= DEPTH)
    distance = matches.position[rows, columns] - rows
    order = np.lexsort((rows, distance))
    rows, columns, distance = rows[order], columns[order], distance[order]
    # Distances are laid one after the other, so that a running maximum stays within each.
    base = np.cumsum(np.diff(distance, prepend=distance[:1]) != 0) * (len(matches.length) + 1)
    end = np.maximum.accumulate(base + rows + matches.length[rows, columns])
    last = np.append(base[1:] + rows[1:] > end[:-1], True)[: len(rows)]
    reached = end[last][np.cumsum(np.append(0, last[:-1]))[: len(rows)]]
    matches.length[rows, columns] = reached - base - rows


def _agreeing(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How many tokens agree from the first, along the last axis; 0 agrees with nothing."""
    broken = (ours != theirs) | (ours == 0)
    return np.where(broken.any(axis=-1), broken.argmax(axis=-1), broken.shape[-1])


def _sorted(tokens: np.ndarray, count: int) -> np.ndarray:
    """The places sorted by the `DEPTH` tokens that follow (prefix doubling), equals by place; uint32 `[count]`."""
    rank = tokens
    reach = 1
    order = np.zeros(0, np.uint32)
    while reach < DEPTH:
        key = rank[:count].astype(np.uint64) << np.uint64(32)
        key[: max(count - reach, 0)] |= rank[reach:count]
        del rank  # the largest body decides how much memory indexing takes
        order = np.argsort(key, kind="stable").astype(np.uint32)
        key = key[order]
        new = np.ones(count, bool)
        new[1:] = key[1:] != key[:-1]
        del key
        rank = np.zeros(count, np.uint32)
        rank[order] = np.cumsum(new, dtype=np.uint32)
        reach *= 2
    return order
