"""Top lines, and which pieces share a stretch of them.

The melody of a piece is its highest sounding note on each quarter note, taken as the intervals from one quarter to
the next: transposition does not matter. Two melodies are *related* when an unbroken stretch of one that is at least
half as long as the shorter of the two stands in the other as well.
"""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER

SHARE = 0.5
MIN_QUARTERS = 8
"""Shorter stretches are commonplaces, not a shared melody."""
MIN_MOVES = 4
"""A stretch must hold this many intervals other than zero: drones and drum loops are not melodies."""
LONGEST = 64
"""Quarters for which a note or a rest counts at most, so that a stray late note costs nothing."""

SIEVE = 20
"""Bits of a window's hash in the sieve."""
_BASE = 0x9E3779B97F4A7C15
"""Odd base of a rolling hash modulo 2^64; any odd number with mixed bits will do."""


def melody(notes: dict[str, np.ndarray]) -> np.ndarray:
    """Intervals (int16, semitones) of the skyline of one piece from one quarter note to the next."""
    return melodies(np.zeros(len(notes["start"]), np.int64), 1, notes)[0]


def melodies(owner: np.ndarray, count: int, columns: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The melodies of a block of `count` pieces; `owner` is the number of each note's piece, ascending.

    Silence holds the last pitch. Drums count only where a piece holds nothing else.
    """
    tonal = columns["program"] != DRUMS
    keep = tonal | ~(np.bincount(owner[tonal], minlength=count) > 0)[owner]
    owner, pitch = owner[keep], columns["pitch"][keep].astype(np.int16)
    start, duration = (columns[name][keep].astype(np.int64) for name in ("start", "duration"))
    first, last = -(-start // TICKS_PER_QUARTER), -(-(start + duration) // TICKS_PER_QUARTER)
    last = np.minimum(last, first + LONGEST)
    order = np.lexsort((first, owner))
    owner, first, last, pitch = owner[order], first[order], last[order], pitch[order]
    # One row of quarters for all pieces. A piece begins where the one before ends; long rests are cut.
    far = 1 << 32
    reached = np.maximum.accumulate(last + owner * far)
    before = np.concatenate([[0], reached[:-1]])
    fresh = np.diff(owner, prepend=-1) > 0
    before = np.where(fresh, owner * far + first, before)
    rest = np.maximum(first + owner * far - before - LONGEST, 0)
    cut = np.cumsum(rest)
    begins = np.flatnonzero(fresh)
    own = np.repeat(begins, np.diff(np.append(begins, len(owner))))
    # Within the piece, from its first note on.
    moved = first[own] + cut - cut[own]
    first, last = first - moved, last - moved
    lengths = np.zeros(count, np.int64)
    np.maximum.at(lengths, owner, last)
    base = np.cumsum(lengths) - lengths
    line = np.full(int(lengths.sum()), -1, np.int16)
    held = np.maximum(last - first, 0)
    cells = np.arange(held.sum()) + np.repeat(base[owner] + first - (np.cumsum(held) - held), held)
    np.maximum.at(line, cells, np.repeat(pitch, held))
    return [_moves(line[a:b]) for a, b in zip(base.tolist(), (base + lengths).tolist(), strict=True)]


def _moves(line: np.ndarray) -> np.ndarray:
    """Intervals of a line in which -1 is silence."""
    sounding = np.flatnonzero(line >= 0)
    if not len(sounding):
        return np.zeros(0, np.int16)
    line = line[sounding[0] :]
    held = np.maximum.accumulate(np.where(line >= 0, np.arange(len(line)), 0))
    return np.diff(line[held])


def related(melodies: list[np.ndarray], share: float = SHARE, chain: bool = False) -> np.ndarray:
    """Pairs (int64 `[E, 2]`, first < second, sorted, no duplicates) of melodies that share a stretch.

    The stretch is at least `share` of the shorter melody. Exact up to collisions of 64-bit hashes. Time is O(h n) for
    n quarters in all and h different melody lengths, beside what is found.

    Args:
        chain: give only as many pairs as hold the connected components together; all pairs of a family of m pieces
            would be m² / 2.
    """
    lengths = np.array([len(m) for m in melodies], int)
    needed = np.maximum(np.ceil(share * lengths).astype(int), MIN_QUARTERS)
    flat = np.concatenate([np.zeros(0, np.int16), *melodies])
    owner = np.repeat(np.arange(len(melodies)), lengths)
    left = np.concatenate([np.zeros(0, int), *(np.arange(n, 0, -1) for n in lengths)])
    moves = np.concatenate([[0], np.cumsum(flat != 0)])
    prefix, scale = _prefix_hashes(flat)
    pairs = [np.zeros((0, 2), np.int64)]
    for width in np.unique(needed[lengths >= needed]).tolist():
        at = np.flatnonzero((left >= width) & (needed[owner] >= width))
        at = at[moves[at + width] - moves[at] >= MIN_MOVES]
        window = (prefix[at + width] - prefix[at]) * scale[at]
        # Only windows that a piece which needs exactly this width has can matter; most others are sieved out unsorted.
        slot = (window * np.uint64(_BASE)) >> np.uint64(64 - SIEVE)
        wanted = np.zeros(1 << SIEVE, bool)
        wanted[slot[needed[owner[at]] == width]] = True
        at, window = at[wanted[slot]], window[wanted[slot]]
        order = np.lexsort((owner[at], window))
        window, piece = window[order], owner[at][order]
        fresh = np.ones(len(window), bool)
        fresh[1:] = (window[1:] != window[:-1]) | (piece[1:] != piece[:-1])
        window, piece = window[fresh], piece[fresh]
        group = np.concatenate([[0], np.cumsum(window[1:] != window[:-1])]) if len(window) else np.zeros(0, int)
        sizes = np.bincount(group, minlength=1)
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        # Each piece that needs exactly this width is paired with every other piece of its window's group.
        short = np.flatnonzero((needed[piece] == width) & (sizes[group] > 1)) if len(piece) else np.zeros(0, int)
        if chain and len(short):
            # Every member is related to its group's first short piece.
            hub = np.full(len(sizes), -1)
            hub[group[short][::-1]] = piece[short][::-1]
            member = np.flatnonzero(hub[group] >= 0)
            both = np.sort(np.stack([hub[group[member]], piece[member]], 1), axis=1)
            pairs.append(np.unique(both[both[:, 0] != both[:, 1]], axis=0))
            continue
        count = sizes[group[short]]
        one = np.repeat(piece[short], count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        other = piece[np.repeat(begins[group[short]], count) + step]
        both = np.sort(np.stack([one, other], 1), axis=1)
        pairs.append(np.unique(both[both[:, 0] != both[:, 1]], axis=0))
    return np.unique(np.concatenate(pairs), axis=0)


def _prefix_hashes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values times powers of the base (uint64 `[n + 1]`), and what takes the power at a place away again.

    `(prefix[b] - prefix[a]) * scale[a]` is the hash of values a to b, modulo 2^64.
    """
    n = len(values)
    powers, scale = (
        np.cumprod(np.concatenate([np.ones(1, np.uint64), np.full(n, base, np.uint64)]), dtype=np.uint64)
        for base in (_BASE, pow(_BASE, -1, 1 << 64))
    )
    # Spread the small numbers over 64 bits first.
    spread = (values.astype(np.int64) + 256).astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
    spread ^= spread >> np.uint64(32)
    prefix = np.concatenate([np.zeros(1, np.uint64), np.cumsum(spread * powers[:-1], dtype=np.uint64)])
    return prefix, scale
