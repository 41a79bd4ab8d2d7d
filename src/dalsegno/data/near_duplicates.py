"""Pieces that are one piece written twice: transposed, at another pace, thinned out, re-quantised, a voice changed.

Three steps, each linear in the number of pieces but for what is really alike:

1. *Phrases.* The highest and the lowest note of every onset and of every quarter, and the top of each track, are lines.
   A phrase is four successive notes of a line: its intervals and the ratios of its time spans, so neither
   transposition nor pace matters.
2. *Candidates.* The sets of phrases are compared by MinHash (Broder 1997, "On the resemblance and containment of
   documents") with locality-sensitive hashing; within one bucket each piece meets its next neighbours only, which
   leaves the connected components whole. Pairs whose estimated resemblance is small are dropped.
3. *Alignment decides.* Common phrases vote for a shift in pitch, a ratio of pace and a place. Laid over each other that
   way, the pieces must agree in most notes of the shorter one.

Drums make no phrases: a groove is commonplace by nature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rensa import RMinHash

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER

PHRASE = 4
"""Onsets; longer ones seldom survive where notes are missing, shorter ones are commonplace."""
PERMUTATIONS = 256
ROWS = 2
"""Rows a band: in 128 bands two meet with 0.96 at a resemblance of 0.16 (a tune without three in ten notes)."""
PARTS = 4
"""Tracks whose own top line counts, the ones with most notes."""
NEIGHBOURS = 3
"""Pieces of one bucket that a piece meets: a chain holds a component together, all pairs would be quadratic."""
PARTNERS = 6
"""Pieces that a piece is aligned with at most by its own choice: in a large corpus the commonplace resembles much."""
VOTES = 6
"""Ways to lay two pieces over each other that are tried, the most voted first."""
TOLERANCE = (20, 120)
"""Onsets agree within half the smaller median time between onsets, within these bounds in ticks."""
BESIDE = (-16, -8, -4, -3, -2, -1, 1, 2, 3, 4, 8, 16)
"""Beats by which an alignment is moved to see how much would agree by chance: music repeats itself, and its key."""
SUPPORT = 3
"""Phrases that must vote for one way and place; fewer meet by chance."""
CERTAIN = 0.8
"""Share of the notes from which no other way is tried."""
PITCH_APART = 1 << 40
"""Added to a note's tick for each semitone, so that one sorted array holds ticks within pitches."""
SEED = 1
CHUNK = 65536
"""Pairs of signatures compared at once, 2 × 64 MB."""
_MIXER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Outline:
    """What is compared of a piece.

    Attributes:
        pitch, onset: its notes without drums, sorted by pitch, then onset; int64 `[N]`, MIDI numbers and ticks.
        key: both in one number, int64 `[N]`.
        weight: what each note counts for: notes that begin together share one vote, float `[N]`.
        onsets: different onsets, the sum of the weights.
        phrase: hashes, uint64 `[M]`, sorted.
        at, height, span: where each phrase begins, its first pitch, its length in ticks; int64 `[M]`.
        wait: median ticks between onsets.
    """

    pitch: np.ndarray
    onset: np.ndarray
    key: np.ndarray
    weight: np.ndarray
    onsets: int
    phrase: np.ndarray
    at: np.ndarray
    height: np.ndarray
    span: np.ndarray
    wait: float


@dataclass(frozen=True)
class Alignment:
    """How the second piece lies over the first.

    Attributes:
        share: onsets whose notes agree beyond chance, of the piece with fewer: 1 where all do, 0 where no more do than
            if the second piece begins a few beats earlier or later. Of notes that begin together each counts in
            part, or the commonplace chords below a tune would outvote it.
        notes: notes that agree.
        shift: semitones by which the second piece is higher.
        ratio: how many times slower it goes in ticks.
    """

    share: float
    notes: int
    shift: int
    ratio: float


def outline(notes: dict[str, np.ndarray]) -> Outline:
    """The notes and phrases of one piece's note columns."""
    tonal = notes["program"] != DRUMS
    onset, pitch = notes["start"][tonal].astype(np.int64), notes["pitch"][tonal].astype(np.int64)
    track = notes["track"][tonal]
    order = np.lexsort((pitch, onset))
    onset, pitch, track = onset[order], pitch[order], track[order]
    kept = np.ones(len(onset), bool)
    kept[1:] = (np.diff(onset) > 0) | (np.diff(pitch) > 0)
    onset, pitch, track = onset[kept], pitch[kept], track[kept]
    key = np.sort(pitch * PITCH_APART + onset)
    times, together = np.unique(key % PITCH_APART, return_inverse=True)
    weight = 1 / np.bincount(together)[together] if len(key) else np.zeros(0)
    by_pitch = (key // PITCH_APART, key % PITCH_APART, key, weight, len(times))
    if not len(onset):
        return Outline(*by_pitch, *_phrases(onset, pitch), 0.0)
    times, first = np.unique(onset, return_index=True)
    last = np.append(first[1:], len(onset)) - 1
    found = [_phrases(times, pitch[last])]
    if (first != last).any():
        found.append(_phrases(times, pitch[first]))
        grid = np.unique(times // TICKS_PER_QUARTER) * TICKS_PER_QUARTER
        cell = np.searchsorted(grid, onset, side="right") - 1
        for extreme, start in ((np.maximum, -1), (np.minimum, 128)):
            line = np.full(len(grid), start)
            extreme.at(line, cell, pitch)
            found.append(_phrases(grid, line))
        parts, sizes = np.unique(track, return_counts=True)
        for part in parts[np.argsort(-sizes, kind="stable")][: PARTS if len(parts) > 1 else 0]:
            begins, first = np.unique(onset[track == part][::-1], return_index=True)
            found.append(_phrases(begins, pitch[track == part][::-1][first]))
    phrase, at, height, span = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.argsort(phrase, kind="stable")
    wait = _median(np.diff(times)) if len(times) > 1 else 0.0
    return Outline(*by_pitch, phrase[order], at[order], height[order], span[order], wait)


def signatures_of(phrases: Iterable[np.ndarray]) -> np.ndarray:
    """MinHash signatures (uint32 `[P, PERMUTATIONS]`) of sets of phrases, one at a time; zeros for an empty set."""
    rows = [np.zeros((0, PERMUTATIONS), np.uint32)]
    for phrase in phrases:
        row = np.zeros((1, PERMUTATIONS), np.uint32)
        if len(phrase):
            hashes = [np.unique(phrase).tolist()]
            row[0] = RMinHash.digest_matrix_from_token_hash_sets(hashes, PERMUTATIONS, SEED).to_rows()[0]
        rows.append(row)
    return np.concatenate(rows)


def candidates(signatures: np.ndarray, resemblance: float) -> np.ndarray:
    """Pairs (int64 `[E, 2]`, first < second) whose phrases are estimated to resemble each other.

    Of each piece the `PARTNERS` most alike are kept; they come piece by piece (the first of a pair), most alike first.

    Args:
        signatures: see `signatures_of`.
        resemblance: least estimated Jaccard index of the two sets of phrases.
    """
    rows = np.flatnonzero(signatures.any(1))
    signatures = signatures[rows]
    met, resembling = [np.zeros(0, np.int64)], [np.zeros(0)]
    for band in range(0, PERMUTATIONS, ROWS):
        key = signatures[:, band : band + ROWS].astype(np.uint64) @ np.array([1, _MIXER], np.uint64)
        order = np.argsort(key, kind="stable")
        key = key[order]
        for step in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(key[step:] == key[: len(key) - step])
            one, other = order[same], order[same + step]
            alike = np.concatenate(
                [
                    (signatures[one[part]] == signatures[other[part]]).mean(1)
                    for part in np.array_split(np.arange(len(same)), 1 + len(same) // CHUNK)
                ]
            )
            kept = alike >= resemblance
            low, high = np.minimum(one, other)[kept], np.maximum(one, other)[kept]
            met.append(low * len(rows) + high)
            resembling.append(alike[kept])
        # At once for all bands it would be the largest array of all.
        both, first = np.unique(np.concatenate(met), return_index=True)
        met, resembling = [both], [np.concatenate(resembling)[first]]
    pairs = np.stack(np.divmod(met[0], max(len(rows), 1)), 1)
    kept = _leading(pairs, resembling[0])
    pairs, alike = pairs[kept], resembling[0][kept]
    return rows[pairs[np.lexsort((-alike, pairs[:, 0]))]]


def _leading(pairs: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """The rows of `pairs` that are among the `PARTNERS` most alike of either piece."""
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    order = np.lexsort((-np.tile(alike, 2), ends))
    place = np.arange(len(ends)) - np.searchsorted(ends[order], ends[order])
    return np.unique(order[place < PARTNERS] % len(pairs)) if len(pairs) else np.zeros(0, np.int64)


def align(one: Outline, other: Outline, least: float = 0.0) -> Alignment | None:
    """The best way found to lay `other` over `one`.

    Returns:
        None where fewer than `SUPPORT` phrases vote for one shift, pace and place, or the share is below `least`
        (most pairs are dropped before the costly part).
    """
    common = np.intersect1d(one.phrase, other.phrase)
    if not len(common):
        return None
    mine, theirs = _occurrences(one, common), _occurrences(other, common)
    # A phrase that both repeat many times would vote for every pair of its places: the first few say enough.
    i, j = _meetings(one.phrase[mine], other.phrase[theirs])
    i, j = mine[i], theirs[j]
    shift = other.height[j] - one.height[i]
    ratio_of = other.span[j] / one.span[i]
    pace = np.round(np.log2(ratio_of) * 12).astype(np.int64)
    _, way, votes = np.unique(shift * 1024 + pace, return_inverse=True, return_counts=True)
    fewer = min(one.onsets, other.onsets)
    best = (-1.0, 0, 0, 1.0, 0.0)
    for k in np.argsort(-votes, kind="stable")[:VOTES].tolist():
        if votes[k] < SUPPORT:
            break
        those = np.flatnonzero(way == k)
        ratio = _median(ratio_of[those])
        step = int(shift[those[0]])
        begin = np.sort(other.at[j[those]] - one.at[i[those]] * ratio)
        # The place: the window of the tolerance's width with most votes.
        inside = np.searchsorted(begin, begin + _tolerance(one, other, ratio), side="right") - np.arange(len(begin))
        top = int(inside.argmax())
        if inside[top] < SUPPORT:
            continue
        offset = float(begin[top + int(inside[top]) // 2])
        (agreed,), (notes,) = _agreeing(one, other, step, ratio, [offset])
        if agreed > best[0]:
            best = (float(agreed), int(notes), step, ratio, offset)
        if agreed > CERTAIN * fewer:
            break
    agreed, met, step, ratio, offset = best
    # No correction for chance makes the share larger.
    if not met or agreed < least * fewer:
        return None
    beat = TICKS_PER_QUARTER * max(ratio, 1.0)
    misplaced = float(_agreeing(one, other, step, ratio, [offset + beats * beat for beats in BESIDE])[0].max())
    share = max(agreed - misplaced, 0) / max(fewer - misplaced, 1)
    return Alignment(share, met, step, ratio) if share >= least else None


def _agreeing(
    one: Outline, other: Outline, shift: int, ratio: float, offsets: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """For each offset, the notes of `one`, laid over `other`, that meet a note of the same pitch, each note once.

    Returns:
        Their weight in the piece with fewer onsets (float `[K]`), and their number (int64 `[K]`).
    """
    moved = np.round(one.onset * ratio + np.asarray(offsets)[:, None]).astype(np.int64)
    asked = (one.pitch + shift) * PITCH_APART + moved
    target = other.key
    right = np.searchsorted(target, asked)
    left = np.maximum(right - 1, 0)
    right = np.minimum(right, len(target) - 1)
    before, after = np.abs(asked - target[left]), np.abs(target[right] - asked)
    nearest = np.where(before <= after, left, right)
    nearest[np.minimum(before, after) > _tolerance(one, other, ratio)] = -1
    # The notes asked for are sorted, hence those that they meet, too.
    seen = np.maximum.accumulate(nearest, axis=1)
    met = (nearest >= 0) & (np.diff(seen, axis=1, prepend=-1) > 0)
    weight = np.broadcast_to(one.weight, met.shape) if one.onsets <= other.onsets else other.weight[nearest]
    return np.where(met, weight, 0).sum(1), met.sum(1)


def _tolerance(one: Outline, other: Outline, ratio: float) -> int:
    """Ticks of `other`; `ratio` of them are one of `one`."""
    return int(min(max(min(one.wait * ratio, other.wait) / 2, TOLERANCE[0]), TOLERANCE[1]))


def _median(values: np.ndarray) -> float:
    """The upper median; on short arrays five times as fast as numpy's."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


def _occurrences(piece: Outline, common: np.ndarray, most: int = 8) -> np.ndarray:
    """Rows of `piece` whose phrase is in `common`, each phrase at most `most` times."""
    rows = np.flatnonzero(np.isin(piece.phrase, common))
    begins = np.searchsorted(piece.phrase[rows], piece.phrase[rows])
    return rows[np.arange(len(rows)) - begins < most]


def _meetings(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of positions (i, j) with one[i] == other[j]; both sorted."""
    low, high = np.searchsorted(other, one), np.searchsorted(other, one, side="right")
    count = high - low
    i = np.repeat(np.arange(len(one)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return i, np.repeat(low, count) + step


def _phrases(times: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Phrases of one line: hash, first onset, first pitch, span; those without movement are left out."""
    n = len(times) - PHRASE + 1
    if n < 1:
        empty = np.zeros(0, np.int64)
        return empty.astype(np.uint64), empty, empty, empty
    moves, waits = np.diff(line), np.diff(times).astype(float)
    hashed = np.zeros(n, np.uint64)
    moving = np.zeros(n, bool)
    for k in range(PHRASE - 1):
        step = moves[k : k + n]
        moving |= step != 0
        hashed = (hashed ^ (step + 200).astype(np.uint64)) * _MIXER
        hashed ^= hashed >> np.uint64(29)
    for k in range(PHRASE - 2):
        # Thirds of an octave of pace: 1:1, 3:2 and 2:1 are told apart, a shaken grid is not.
        ratio = np.round(np.log2(waits[k + 1 : k + 1 + n] / waits[k : k + n]) * 1.5) + 64
        hashed = (hashed ^ ratio.astype(np.uint64)) * _MIXER
        hashed ^= hashed >> np.uint64(29)
    rows = np.flatnonzero(moving)
    span = times[PHRASE - 1 :] - times[:n]
    return hashed[rows], times[rows], line[rows], span[rows]
