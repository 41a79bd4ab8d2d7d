"""Pieces that are one piece written twice: transposed, at another pace, thinned out, re-quantised, a voice changed.

Three steps, each linear in the number of pieces but for what is really alike:

1. *Phrases.* The highest and the lowest note of every onset and of every quarter, and the top of each track, are lines.
   A phrase is four successive notes of a line, its intervals and the ratios of its time spans, or six and their
   intervals alone, so neither transposition nor pace matters.
2. *Candidates.* The sets of phrases are compared by MinHash (Broder 1997, "On the resemblance and containment of
   documents"). By each column of the signatures pieces are sorted as in an LSH forest (Bawa et al. 2005): equal in that
   column, and side by side where the next agrees as well. A piece meets its next neighbours only, which leaves the
   connected components whole. Pairs whose estimated resemblance is small are dropped.
3. *Alignment decides.* Common phrases vote for a shift in pitch, a ratio of pace and a place. Laid over each other that
   way, the pieces must agree in most notes of the shorter one.

Drums make no phrases: a groove is commonplace by nature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rensa import RMinHash

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER

PHRASE = 4
"""Onsets; longer ones seldom survive where notes are missing, shorter ones are commonplace."""
TUNE = 6
"""Onsets of a phrase that says intervals alone: where a grid has moved the notes, pace tells little."""
PERMUTATIONS = 256
PARTS = 4
"""Tracks whose own top line counts, the ones with most notes."""
NEIGHBOURS = 3
"""Pieces that a piece meets in a column: a chain holds a component together, all pairs would be quadratic."""
PARTNERS = 6
"""Pieces that a piece is aligned with at most by its own choice: in a large corpus the commonplace resembles much."""
REPEATS = 8
"""Places of one phrase in a piece that are compared: one that both repeat would vote for every pair of its places."""
VOTES, TUNES = 6, 3
"""Ways to lay two pieces over each other that are tried, the most voted first: by phrases with and without pace."""
SHIFTS = 2
"""Shifts in pitch, the most voted first, of which a way is tried that takes its pace from phrases far apart."""
TOLERANCE = (20, 120)
"""Onsets agree within half the smaller median time between onsets, within these bounds in ticks."""
BESIDE = (-16, -8, -4, -3, -2, -1, 1, 2, 3, 4, 8, 16)
"""Beats by which an alignment is moved to see how much would agree by chance: music repeats itself, and its key."""
SUPPORT = 3
"""Phrases that must vote for one way and place; fewer meet by chance."""
SUPPORTING = 0.01
"""The same as a share of the phrases of the piece with fewer: copies that are found have 0.015 at least and 0.1
mostly, and of unrelated tunes nine in ten have less."""
CERTAIN = 0.8
"""Share of the notes from which no other way is tried."""
SEED = 1
CHUNK = 4096
"""Pairs of signatures compared at once, 2 × 2 MB."""
_MIXER = np.uint64(0x9E3779B97F4A7C15)

# One sorted array of numbers holds a block's notes, or its phrases: the piece, then pitch and onset, or the phrase.
PHRASE_BITS = 44
_ONSET_BITS, _PITCH_BITS = 34, 9
_PIECE_BITS = _ONSET_BITS + _PITCH_BITS
_MIDDLE = 1 << (_ONSET_BITS - 1)
"""Onset 0: where a piece is laid over another, its notes may begin before it."""


@dataclass(frozen=True)
class Phrases:
    """The phrases of a block of pieces, sorted by piece, then phrase.

    Attributes:
        bounds: rows of each piece, int64 `[P + 1]`.
        key: piece and hash in one number, int64 `[M]`.
        at, height, span: where each begins, its first pitch, its length in ticks; int64 `[M]`.
    """

    bounds: np.ndarray
    key: np.ndarray
    at: np.ndarray
    height: np.ndarray
    span: np.ndarray


@dataclass(frozen=True)
class Outlines:
    """What is compared of a block of pieces.

    Attributes:
        phrases: of each at most `REPEATS` places.
        run: one past the last place of each place's phrase, int64 `[M]`.
        bounds: rows of each piece's notes, int64 `[P + 1]`.
        pitch, onset: notes without drums, by piece, pitch and onset, each once; int64 `[N]`, MIDI numbers and ticks.
        key: piece, pitch and onset in one number, int64 `[N]`.
        weight: what each note counts for: notes that begin together share one vote, float `[N]`.
        onsets: different onsets of each piece, the sum of its weights, int64 `[P]`.
        wait: median ticks between them, int64 `[P]`.
    """

    phrases: Phrases
    run: np.ndarray
    bounds: np.ndarray
    pitch: np.ndarray
    onset: np.ndarray
    key: np.ndarray
    weight: np.ndarray
    onsets: np.ndarray
    wait: np.ndarray


@dataclass(frozen=True)
class Alignments:
    """How the second piece of each pair lies over the first; arrays of one entry a pair.

    Attributes:
        share: onsets whose notes agree beyond chance, of the piece with fewer: 1 where all do, 0 where no more do than
            if the second piece begins a few beats earlier or later. Of notes that begin together each counts in
            part, or the commonplace chords below a tune would outvote it. -1 where no way to lay them was found.
        notes: notes that agree.
        shift: semitones by which the second piece is higher.
        ratio: how many times slower it goes in ticks.
    """

    share: np.ndarray
    notes: np.ndarray
    shift: np.ndarray
    ratio: np.ndarray


class Tonal:
    """The notes without drums of many pieces, in files that the system maps: what alignments look up.

    Args:
        folder: an empty folder for them.
    """

    COLUMNS: ClassVar[dict[str, np.dtype[Any]]] = {
        "onset": np.dtype(np.int32),
        "pitch": np.dtype(np.int16),
        "track": np.dtype(np.int16),
    }

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: open(folder / name, "wb") for name in self.COLUMNS}  # noqa: SIM115
        self._sizes: list[np.ndarray] = []

    def add(self, owner: np.ndarray, count: int, columns: dict[str, np.ndarray]) -> Phrases:
        """Append a block of `count` pieces (`owner` of each note, ascending); gives their phrases."""
        tonal = columns["program"] != DRUMS
        owner = owner[tonal]
        given = {"onset": columns["start"], "pitch": columns["pitch"], "track": columns["track"]}
        kept = {name: column[tonal] for name, column in given.items()}
        # What packed numbers have room for; no reader gives others.
        kept["pitch"] = kept["pitch"].clip(0, 127)
        for name, column in kept.items():
            column.astype(self.COLUMNS[name]).tofile(self._files[name])
        self._sizes.append(np.bincount(owner, minlength=count))
        return _phrases(owner, count, **{name: column.astype(np.int64) for name, column in kept.items()})

    def close(self) -> None:
        """No piece comes after this; they can be looked up now."""
        self.sizes = np.concatenate([np.zeros(0, int), *self._sizes])
        self._offsets = np.cumsum([0, *self.sizes.tolist()])
        for file in self._files.values():
            file.close()
        self._columns = {
            name: np.memmap(self._folder / name, kind, "r") if self._offsets[-1] else np.zeros(0, kind)
            for name, kind in self.COLUMNS.items()
        }

    def outlines(self, pieces: np.ndarray) -> Outlines:
        """The outlines of some pieces; the block numbers them in the order given."""
        rows, owner = _expanded(self._offsets[pieces], self.sizes[pieces])
        columns = {name: column[rows].astype(np.int64) for name, column in self._columns.items()}
        return outlines(owner, len(pieces), **columns)


def signatures(phrases: Phrases) -> np.ndarray:
    """MinHash signatures (uint32 `[P, PERMUTATIONS]`) of the pieces' sets of phrases; zeros for an empty set."""
    hashes = (phrases.key & ((1 << PHRASE_BITS) - 1)).astype(np.uint64)
    made = RMinHash.digest_matrix_from_flat_token_hashes(hashes, phrases.bounds.astype(np.uint64), PERMUTATIONS, SEED)
    found = np.array(made.to_rows(), np.uint32).reshape(-1, PERMUTATIONS)
    found[np.diff(phrases.bounds) == 0] = 0
    return found


def outlines(owner: np.ndarray, count: int, onset: np.ndarray, pitch: np.ndarray, track: np.ndarray) -> Outlines:
    """The outlines of a block of `count` pieces: columns of notes without drums, int64 `[N]`.

    Args:
        owner: number of each note's piece within the block, ascending.
    """
    phrases = _phrases(owner, count, onset, pitch, track)
    begins, sizes = runs(phrases.key)
    kept = np.flatnonzero(np.arange(len(phrases.key)) - np.repeat(begins, sizes) < REPEATS)
    keys = phrases.key[kept]
    begins, sizes = runs(keys)
    bounds = np.searchsorted(kept, phrases.bounds)
    phrases = Phrases(bounds, keys, phrases.at[kept], phrases.height[kept], phrases.span[kept])
    by_time = _distinct((owner << (_ONSET_BITS + 7)) | (onset << 7) | pitch)
    moment = by_time >> 7
    key = ((moment >> _ONSET_BITS) << _PIECE_BITS) | _note_key(by_time & 127, moment & (2 * _MIDDLE - 1))
    first, together = runs(moment)
    moments = moment[first]
    order = np.argsort(key)
    key, weight = key[order], np.repeat(1 / together, together)[order]
    owner, height, time = key >> _PIECE_BITS, (key >> _ONSET_BITS & 511) - 128, (key & (2 * _MIDDLE - 1)) - _MIDDLE
    of = moments >> _ONSET_BITS
    same = np.flatnonzero(of[1:] == of[:-1])
    waits = np.sort((of[same] << _ONSET_BITS) | (moments[same + 1] - moments[same]))
    number = np.bincount(of[same], minlength=count)
    # The upper median; pieces of one onset have none.
    middle = np.minimum(np.cumsum(number) - number + number // 2, max(len(waits) - 1, 0))
    wait = np.where(number > 0, waits[middle] & (2 * _MIDDLE - 1), 0) if len(waits) else np.zeros(count, np.int64)
    return Outlines(
        phrases,
        np.repeat(begins + sizes, sizes),
        np.searchsorted(owner, np.arange(count + 1)),
        height,
        time,
        key,
        weight,
        np.bincount(of, minlength=count),
        wait,
    )


def _note_key(pitch: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Pitch (from -128 on) and onset as one number, without the piece."""
    return ((pitch + 128) << _ONSET_BITS) | (onset + _MIDDLE)


def candidates(signatures: np.ndarray, resemblance: float) -> np.ndarray:
    """Pairs (int64 `[E, 2]`, first < second) whose phrases are estimated to resemble each other.

    Of each piece the `PARTNERS` most alike are kept; they come piece by piece (the first of a pair), most alike first.

    Args:
        signatures: see `signatures`, uint32 `[P, PERMUTATIONS]`; of all pieces.
        resemblance: least estimated Jaccard index of the two sets of phrases.
    """
    rows = np.flatnonzero(signatures.any(1))
    signatures = signatures[rows]
    # Half of each number tells as much: of 65,536 that differ, one is taken to be equal.
    halves = signatures.astype(np.uint16)
    met, resembling = np.zeros(0, np.int64), np.zeros(0, np.float32)
    for column in range(PERMUTATIONS):
        first, second = signatures[:, column], signatures[:, (column + 1) % PERMUTATIONS]
        order = np.lexsort((second, first))
        key = first[order]
        meetings = []
        for step in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(key[step:] == key[: len(key) - step])
            one, other = order[same], order[same + step]
            meetings.append(np.minimum(one, other) * len(rows) + np.maximum(one, other))
        # What resembles each other meets in many columns, and is compared once.
        fresh = _distinct(np.concatenate(meetings))
        at = np.minimum(np.searchsorted(met, fresh), len(met) - 1)
        fresh = fresh[met[at] != fresh] if len(met) else fresh
        alike = np.zeros(len(fresh), np.float32)
        for begin in range(0, len(fresh), CHUNK):
            one, other = np.divmod(fresh[begin : begin + CHUNK], len(rows))
            alike[begin : begin + CHUNK] = (halves[one] == halves[other]).mean(1)
        kept = alike >= resemblance
        at = np.searchsorted(met, fresh[kept])
        met, resembling = np.insert(met, at, fresh[kept]), np.insert(resembling, at, alike[kept])
    pairs = np.stack(np.divmod(met, max(len(rows), 1)), 1)
    kept = _leading(pairs, resembling)
    pairs, alike = pairs[kept], resembling[kept]
    return rows[pairs[np.lexsort((-alike, pairs[:, 0]))]]


def _leading(pairs: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """The rows of `pairs` that are among the `PARTNERS` most alike of either piece."""
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    order = np.lexsort((-np.tile(alike, 2), ends))
    place = np.arange(len(ends)) - np.searchsorted(ends[order], ends[order])
    return np.unique(order[place < PARTNERS] % len(pairs)) if len(pairs) else np.zeros(0, np.int64)


def align(pieces: Outlines, pairs: np.ndarray, least: float = 0.0) -> Alignments:
    """The best way found to lay the second piece of each pair (int64 `[E, 2]`, numbers in the block) over the first.

    Args:
        least: share below which a pair counts as not alike (most are dropped before the costly part).
    """
    one, other = pairs[:, 0], pairs[:, 1]
    fewer = np.minimum(pieces.onsets[one], pieces.onsets[other])
    most = np.zeros(len(pairs))
    tried = [np.zeros(0, _WAY)]
    for ways in _ways(pieces, pairs):
        ways = ways[most[ways["pair"]] <= CERTAIN * fewer[ways["pair"]]]
        of = ways["pair"]
        ways["agreed"], ways["notes"] = _agreeing(
            pieces, one[of], other[of], ways["shift"], ways["ratio"], ways["offset"]
        )
        most[of] = np.maximum(most[of], ways["agreed"])
        # No correction for chance makes the share larger.
        tried.append(ways[(ways["notes"] > 0) & (ways["agreed"] >= least * fewer[of])])
    ways = np.concatenate(tried)
    of = ways["pair"]
    beat = TICKS_PER_QUARTER * np.maximum(ways["ratio"], 1.0)
    misplaced = np.zeros(len(ways))
    for beats in BESIDE:
        moved = ways["offset"] + beats * beat
        by_chance, _ = _agreeing(pieces, one[of], other[of], ways["shift"], ways["ratio"], moved)
        misplaced = np.maximum(misplaced, by_chance)
    beyond = np.maximum(ways["agreed"] - misplaced, 0) / np.maximum(fewer[of] - misplaced, 1)
    # The way of each pair on which most agrees beyond chance; of equal ones the first that was tried.
    order = np.lexsort((-beyond, of))
    found, first = np.unique(of[order], return_index=True)
    best = order[first]
    share = np.full(len(pairs), -1.0)
    notes, shift, ratio = np.zeros(len(pairs), np.int64), np.zeros(len(pairs), np.int64), np.ones(len(pairs))
    share[found] = np.where(beyond[best] >= least, beyond[best], -1)
    notes[found], shift[found], ratio[found] = (ways[name][best] for name in ("notes", "shift", "ratio"))
    return Alignments(share, notes, shift, ratio)


_WAY = np.dtype(
    [
        ("pair", np.int64),
        ("shift", np.int64),
        ("ratio", float),
        ("offset", float),
        ("agreed", float),
        ("notes", np.int64),
    ]
)
"""One way to lay a pair over each other, and what agrees then."""


def _ways(pieces: Outlines, pairs: np.ndarray) -> Iterator[np.ndarray]:
    """The ways to lay pairs over each other that phrases vote for: first the best of each pair, then the second …

    After those whose pace is that of phrases come those whose pace is that between phrases which lie far apart.
    """
    phrases = pieces.phrases
    pair, i, j = _meetings(phrases, pieces.run, pairs)
    shift = phrases.height[j] - phrases.height[i]
    ratio = phrases.span[j] / phrases.span[i]
    # A shift of less than 2^9 and a pace of less than 2^11 either way.
    whole = (pair << 10) | (shift + 512)
    way, paced = (whole << 12) | _pace(ratio), phrases.key[i] & 1 == 1
    voted = [
        _voted(way, pair, VOTES, np.flatnonzero(paced)),
        _voted(way, pair, TUNES, np.flatnonzero(~paced)),
        _voted(whole, pair, SHIFTS, np.arange(len(pair))),
    ]
    ratios = [_middle(ratio[one.rows], one.of) for one in voted[:2]]
    ratios.append(_slopes(phrases.at[i], phrases.at[j], voted[2]))
    rows = np.concatenate([one.rows for one in voted])
    rank = np.concatenate([one.rank + before for one, before in zip(voted, (0, VOTES, VOTES + TUNES), strict=True)])
    groups = np.cumsum([0, *(len(one.rank) for one in voted)])
    of = np.concatenate([one.of + before for one, before in zip(voted, groups[:-1], strict=True)])
    first = rows[np.searchsorted(of, np.arange(len(rank)))]
    made = np.zeros(len(rank), _WAY)
    made["pair"], made["shift"], made["ratio"] = pair[first], shift[first], np.concatenate(ratios)
    begin = phrases.at[j[rows]] - phrases.at[i[rows]] * made["ratio"][of]
    begin = np.round(begin).clip(-_MIDDLE, _MIDDLE - 1).astype(np.int64)
    begin = np.sort((of << _ONSET_BITS) | (begin + _MIDDLE))
    of = begin >> _ONSET_BITS
    # The place: the window of the tolerance's width with most votes.
    width = _tolerance(pieces, pairs[made["pair"], 0], pairs[made["pair"], 1], made["ratio"])
    inside = np.searchsorted(begin, begin + width[of], side="right") - np.arange(len(begin))
    best = np.lexsort((-inside, of))[np.searchsorted(of, np.arange(len(made)))]
    made["offset"] = (begin[best + inside[best] // 2] & (2 * _MIDDLE - 1)) - _MIDDLE
    fewer = np.diff(phrases.bounds)[pairs].min(1)[made["pair"]]
    placed = (inside[best] >= np.maximum(SUPPORT, SUPPORTING * fewer)) & (made["ratio"] > 0)
    # One way of each pair at a time, since what agrees best so far is asked before the next is tried.
    for number in range(VOTES + TUNES + SHIFTS):
        yield made[placed & (rank == number)]


def _meetings(phrases: Phrases, run: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where phrases of both pieces of a pair are one: the pair, the phrase's row in the first and in the second."""
    i, pair = _expanded(phrases.bounds[pairs[:, 0]], np.diff(phrases.bounds)[pairs[:, 0]])
    asked = (pairs[pair, 1] << PHRASE_BITS) | (phrases.key[i] & ((1 << PHRASE_BITS) - 1))
    low = np.searchsorted(phrases.key, asked)
    met = np.flatnonzero(phrases.key[np.minimum(low, len(phrases.key) - 1)] == asked) if len(asked) else low
    i, pair, low = i[met], pair[met], low[met]
    j, back = _expanded(low, run[low] - low)
    return pair[back], i[back], j


@dataclass(frozen=True)
class _Voted:
    """Groups of meetings that say one thing, those of a pair with most of them.

    Attributes:
        rows: of the meetings, group by group.
        of: the group of each row.
        rank: of each group among those of its pair.
    """

    rows: np.ndarray
    of: np.ndarray
    rank: np.ndarray


def _voted(said: np.ndarray, pair: np.ndarray, most: int, among: np.ndarray) -> _Voted:
    """The `most` largest groups of each pair by what is `said`, of the rows `among`."""
    order = among[np.argsort(said[among], kind="stable")]
    begins, votes = runs(said[order])
    kept = np.flatnonzero(votes >= SUPPORT)
    of = pair[order[begins[kept]]]
    ranked = np.lexsort((-votes[kept], of))
    rank = np.arange(len(ranked)) - np.searchsorted(of[ranked], of[ranked])
    chosen = kept[ranked[rank < most]]
    rows, group = _expanded(begins[chosen], votes[chosen])
    return _Voted(order[rows], group, rank[rank < most])


def _slopes(one: np.ndarray, other: np.ndarray, voted: _Voted) -> np.ndarray:
    """The ratio of pace that most meetings of each group say when two of them that lie far apart are taken together.

    A phrase alone is too short to tell it where a grid has moved its notes. 0 where no two lie apart.

    Args:
        one, other: where each meeting lies in its pieces.
    """
    count = len(voted.rank)
    one, other = one[voted.rows], other[voted.rows]
    order = np.lexsort((other, one, voted.of))
    one, other = one[order], other[order]
    sizes = np.bincount(voted.of, minlength=count)
    far = np.arange(len(one)) + (sizes[voted.of] + 1) // 2
    near = np.flatnonzero(far < np.cumsum(sizes)[voted.of])
    far = far[near]
    apart, meant = one[far] - one[near], other[far] - other[near]
    kept = np.flatnonzero((apart > 0) & (meant > 0))
    ratio, of = meant[kept] / apart[kept], voted.of[near[kept]]
    common = _voted((of << 12) | _pace(ratio), of, 1, np.arange(len(of)))
    slopes = np.zeros(count)
    slopes[of[common.rows[np.searchsorted(common.of, np.arange(len(common.rank)))]]] = _middle(
        ratio[common.rows], common.of
    )
    return slopes


def _pace(ratio: np.ndarray) -> np.ndarray:
    """Ratios in twelfths of an octave, as numbers below 2^12."""
    return np.round(np.log2(ratio) * 12).astype(np.int64) + 2048


def _middle(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The upper median of each group; `of` is ascending from 0, without gaps."""
    begins, sizes = runs(of)
    return values[np.lexsort((values, of))][begins + sizes // 2]


def _agreeing(
    pieces: Outlines, one: np.ndarray, other: np.ndarray, shift: np.ndarray, ratio: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The notes of each piece of `one`, laid over that of `other`, that meet a note of the same pitch, each note once.

    Returns:
        Their weight in the piece with fewer onsets (float `[W]`), and their number (int64 `[W]`).
    """
    rows, way = _expanded(pieces.bounds[one], np.diff(pieces.bounds)[one])
    if not len(rows):
        return np.zeros(len(one)), np.zeros(len(one), np.int64)
    moved = np.round(pieces.onset[rows] * ratio[way] + offset[way]).clip(-_MIDDLE, _MIDDLE - 1).astype(np.int64)
    asked = (other[way] << _PIECE_BITS) | _note_key(pieces.pitch[rows] + shift[way], moved)
    right = np.searchsorted(pieces.key, asked)
    left = np.maximum(right - 1, 0)
    right = np.minimum(right, len(pieces.key) - 1)
    before, after = np.abs(asked - pieces.key[left]), np.abs(pieces.key[right] - asked)
    nearest = np.where(before <= after, left, right)
    near = np.minimum(before, after) <= _tolerance(pieces, one, other, ratio)[way]
    # The notes asked for are sorted, hence those that they meet, too.
    seen = np.maximum.accumulate(np.where(near, nearest + way * len(pieces.key), -1))
    met = np.flatnonzero(near & (np.diff(seen, prepend=-1) > 0))
    by_first = (pieces.onsets[one] <= pieces.onsets[other])[way[met]]
    weight = np.where(by_first, pieces.weight[rows[met]], pieces.weight[nearest[met]])
    return np.bincount(way[met], weight, len(one)), np.bincount(way[met], minlength=len(one))


def _tolerance(pieces: Outlines, one: np.ndarray, other: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Ticks of `other`; `ratio` of them are one of `one`."""
    return (np.minimum(pieces.wait[one] * ratio, pieces.wait[other]) / 2).clip(*TOLERANCE).astype(np.int64)


def _distinct(keys: np.ndarray) -> np.ndarray:
    """The different keys, sorted. `np.unique` gathers them in a hash table first, which takes five times as long."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]


def runs(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each run of equal keys (not negative) begins, and its length."""
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    return begins, np.diff(np.append(begins, len(keys)))


def _expanded(begins: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of ranges, one after the other, and the number of each row's range."""
    owner = np.repeat(np.arange(len(begins)), sizes)
    return np.arange(len(owner)) + np.repeat(begins - (np.cumsum(sizes) - sizes), sizes), owner


def _phrases(owner: np.ndarray, count: int, onset: np.ndarray, pitch: np.ndarray, track: np.ndarray) -> Phrases:
    """The phrases of a block's lines: top and bottom of every onset and quarter, and the top of `PARTS` tracks."""
    by_time = _distinct((owner << (_ONSET_BITS + 7)) | (onset << 7) | pitch)
    height, moment = by_time & 127, by_time >> 7
    first, sizes = runs(moment)
    last = first + sizes - 1
    times, of = moment[first] & (2 * _MIDDLE - 1), moment[first] >> _ONSET_BITS
    lines = [(of, of, times, height[last])]
    # A line of its own is what lies below, where something does.
    chords = np.bincount(of[first != last], minlength=count)[of] > 0
    lines.append((of[chords], of[chords], times[chords], height[first[chords]]))
    cell = (of << _ONSET_BITS) | times // TICKS_PER_QUARTER
    begins, _ = runs(cell)
    if len(begins):
        many = np.flatnonzero(chords[begins])
        grid = times[begins][many] // TICKS_PER_QUARTER * TICKS_PER_QUARTER
        for extreme, line in ((np.maximum, height[last]), (np.minimum, height[first])):
            lines.append((of[begins][many], of[begins][many], grid, extreme.reduceat(line, begins)[many]))
    lines.append(_parts(owner, count, onset, pitch, track))
    found = [windows(*line, *kind) for line in lines for kind in ((PHRASE, True), (TUNE, False))]
    keys, at, high, span = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    bounds = np.searchsorted(keys, np.arange(count + 1) << PHRASE_BITS)
    return Phrases(bounds, keys, at[order], high[order], span[order])


def _parts(
    owner: np.ndarray, count: int, onset: np.ndarray, pitch: np.ndarray, track: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The top lines of the `PARTS` largest tracks of each piece with several, as `windows` takes them."""
    # Notes are sorted by piece, then track.
    begins, sizes = runs((owner << 16) | track)
    piece, voice = owner[begins], np.repeat(np.arange(len(begins)), sizes)
    ranked = np.lexsort((-sizes, piece))
    place = np.empty(len(piece), int)
    place[ranked] = np.arange(len(piece)) - np.searchsorted(piece, piece[ranked])
    wanted = (place < PARTS) & (np.bincount(piece, minlength=count)[piece] > 1)
    rows = np.flatnonzero(wanted[voice])
    keys = np.sort((voice[rows] << (_ONSET_BITS + 7)) | (onset[rows] << 7) | pitch[rows])
    top = np.flatnonzero(np.diff(keys >> 7, append=-1))
    line = keys[top] >> (_ONSET_BITS + 7)
    return line, piece[line], keys[top] >> 7 & (2 * _MIDDLE - 1), keys[top] & 127


def windows(
    line: np.ndarray, owner: np.ndarray, times: np.ndarray, pitch: np.ndarray, length: int = PHRASE, paced: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The phrases of lines, those without movement left out: key (owner and hash), first onset, first pitch, span.

    Args:
        line: number of the line of each note, notes of one line side by side.
        owner: its piece.
        length: onsets of a phrase.
        paced: whether ratios of time spans count; else the intervals alone.
    """
    rows = np.flatnonzero(line[length - 1 :] == line[: len(line) - length + 1]) if len(line) >= length else line[:0]
    moves, waits = np.diff(pitch), np.diff(times)
    rows = rows[np.logical_or.reduce([moves[rows + k] != 0 for k in range(length - 1)])]
    told = [moves[rows + k] + 200 for k in range(length - 1)]
    if paced:
        # Thirds of an octave of pace: 1:1, 3:2 and 2:1 are told apart, a shaken grid is not.
        told += [np.round(np.log2(waits[rows + k + 1] / waits[rows + k]) * 1.5) + 64 for k in range(length - 2)]
    hashed = np.full(len(rows), length, np.uint64)
    for one in told:
        hashed = (hashed ^ one.astype(np.uint64)) * _MIXER
        hashed ^= hashed >> np.uint64(29)
    # The last bit says whether pace counts.
    low = (hashed >> np.uint64(64 - PHRASE_BITS)).astype(np.int64) & ~1
    key = (owner[rows] << PHRASE_BITS) | low | int(paced)
    return key, times[rows], pitch[rows], times[rows + length - 1] - times[rows]
