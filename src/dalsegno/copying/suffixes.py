"""Where the longest stretch of a stream stands in a large body of streams: a suffix array of bounded depth.

All n-grams up to `DEPTH` tokens are sorted at once, so one search finds the longest match at every place of a query,
and nothing has to be chosen or capped by frequency. Twelve bytes a token to keep, 40 to build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numba
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
        # Long pieces a stretch at a time, so that memory stays bounded; the stretch after is looked into.
        begins = range(0, max(len(query), 1), CHUNK)
        parts = [self._matches(padded[i:], min(len(query) - i, CHUNK), left_out) for i in begins]
        found = Matches(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Matches)))
        _chain(found)
        return found

    def _matches(self, padded: np.ndarray, count: int, left_out: np.ndarray | None) -> Matches:
        """The matches of the first `count` places."""
        if not len(self) or not count:
            empty = np.zeros((count, 2 * NEIGHBOURS), np.int64)
            return Matches(empty, empty, empty)
        place = _narrowed(self.tokens, self.order, padded, count, DEPTH)[0]
        near = place[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS)
        inside = (near >= 0) & (near < len(self))
        position = self.order[np.clip(near, 0, len(self) - 1)].astype(np.int64)
        length = _agreeing(padded, np.arange(count).repeat(near.shape[1]), self.tokens, position.reshape(-1))
        length = length.reshape(near.shape)
        owner = np.searchsorted(self.offsets, position, side="right") - 1
        length[~inside] = 0
        if left_out is not None:
            length[np.isin(owner, left_out)] = 0
        self._extend(padded, position, length)
        return Matches(position, owner, length)

    def counts(self, query: np.ndarray, widest: int) -> list[np.ndarray]:
        """How often the 1, 2 … `widest` tokens from each place of a query stand in the body: int64 `[Q - width + 1]`"""
        padded = np.concatenate([query, np.zeros(widest, np.uint32)])
        count = _narrowed(self.tokens, self.order, padded, len(query), widest)[1]
        return [count[width, : max(len(query) - width, 0)] for width in range(widest)]

    def _extend(self, padded: np.ndarray, position: np.ndarray, length: np.ndarray) -> None:
        """Follow the matches that reach `DEPTH` tokens to their end, `FOLLOWED` tokens in all."""
        rows, columns = np.nonzero(length == DEPTH)
        reached, left = DEPTH, FOLLOWED // DEPTH
        while len(rows) and left > 0:
            more = _agreeing(padded, rows + reached, self.tokens, position[rows, columns] + reached)
            length[rows, columns] += more
            rows, columns = rows[more == DEPTH], columns[more == DEPTH]
            left -= len(more)
            reached += DEPTH


@numba.njit(cache=True, nogil=True)
def _narrowed(
    tokens: np.ndarray, order: np.ndarray, query: np.ndarray, places: int, widest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Look up the `widest` tokens from each of the first places of a query, one token after the other.

    Of the suffixes that begin like the query so far, only the next token has to be compared: they are in order by it.

    Returns:
        Where those tokens would be inserted before their equals, int64 `[places]`, and how many suffixes begin with
        the first 1, 2 … of them, int64 `[widest, places]`.
    """
    low, high = np.zeros(places, np.int64), np.full(places, len(order), np.int64)
    count = np.zeros((widest, places), np.int64)
    for width in range(widest):
        wanted = query[width : width + places]
        first = _bound(tokens, order, low, high, wanted, width, False)
        high = _bound(tokens, order, first, high, wanted, width, True)
        low = first
        count[width] = high - low
        if not count[width].any():
            break
    return low, count


@numba.njit(cache=True, nogil=True)
def _bound(
    tokens: np.ndarray,
    order: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    wanted: np.ndarray,
    width: int,
    after: bool,
) -> np.ndarray:
    """Where one whose token `width` is wanted would stand in each range of suffixes, before or after its equals."""
    low, high = low.copy(), high.copy()
    going = True
    # All searches step together: each waits for memory, and so they wait at once.
    while going:
        going = False
        for i in range(len(low)):
            if low[i] < high[i]:
                going = True
                middle = (low[i] + high[i]) // 2
                found = tokens[order[middle] + width]
                before = found < wanted[i] or (after and found == wanted[i])
                low[i] = middle + 1 if before else low[i]
                high[i] = high[i] if before else middle
    return low


@numba.njit(cache=True, nogil=True)
def _agreeing(ours: np.ndarray, at_ours: np.ndarray, theirs: np.ndarray, at_theirs: np.ndarray) -> np.ndarray:
    """How many tokens agree from each pair of places, at most `DEPTH`: int64 `[n]`; 0 agrees with nothing."""
    length = np.zeros(len(at_ours), np.int64)
    for i in range(len(length)):
        our, their = at_ours[i], at_theirs[i]
        most = min(DEPTH, len(ours) - our, len(theirs) - their)
        while length[i] < most:
            token = ours[our + length[i]]
            if token == 0 or token != theirs[their + length[i]]:
                break
            length[i] += 1
    return length


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
