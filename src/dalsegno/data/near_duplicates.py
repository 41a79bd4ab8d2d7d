"""Pieces that are one piece written twice: transposed, at another pace, thinned out, re-quantised, a voice changed.

Three steps, each linear in the number of pieces but for what is really alike:

1. *Phrases.* The highest and the lowest note of every onset and of every quarter, and the top of each track, are lines.
   A phrase is four successive notes of a line: its intervals and the ratios of its time spans, so neither
   transposition nor pace matters.
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
PERMUTATIONS = 256
PARTS = 4
"""Tracks whose own top line counts, the ones with most notes."""
NEIGHBOURS = 3
"""Pieces that a piece meets in a column: a chain holds a component together, all pairs would be quadratic."""
PARTNERS = 6
"""Pieces that a piece is aligned with at most by its own choice: in a large corpus the commonplace resembles much."""
REPEATS = 8
"""Places of one phrase in a piece that are compared: one that both repeat would vote for every pair of its places."""
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
    agreed, notes = np.zeros(len(pairs)), np.zeros(len(pairs), np.int64)
    shift, ratio, offset = np.zeros(len(pairs), np.int64), np.ones(len(pairs)), np.zeros(len(pairs))
    for ways in _ways(pieces, pairs):
        ways = ways[agreed[ways["pair"]] <= CERTAIN * fewer[ways["pair"]]]
        of = ways["pair"]
        found, met = _agreeing(pieces, one[of], other[of], ways["shift"], ways["ratio"], ways["offset"])
        better = found > agreed[of]
        of = of[better]
        agreed[of], notes[of] = found[better], met[better]
        shift[of], ratio[of], offset[of] = (ways[name][better] for name in ("shift", "ratio", "offset"))
    share = np.full(len(pairs), -1.0)
    # No correction for chance makes the share larger.
    alike = np.flatnonzero((notes > 0) & (agreed >= least * fewer))
    beat = TICKS_PER_QUARTER * np.maximum(ratio[alike], 1.0)
    misplaced = np.zeros(len(alike))
    for beats in BESIDE:
        moved = offset[alike] + beats * beat
        by_chance, _ = _agreeing(pieces, one[alike], other[alike], shift[alike], ratio[alike], moved)
        misplaced = np.maximum(misplaced, by_chance)
    beyond = np.maximum(agreed[alike] - misplaced, 0) / np.maximum(fewer[alike] - misplaced, 1)
    share[alike] = np.where(beyond >= least, beyond, -1)
    return Alignments(share, notes, shift, ratio)


_WAY = np.dtype([("pair", np.int64), ("shift", np.int64), ("ratio", float), ("offset", float)])


def _ways(pieces: Outlines, pairs: np.ndarray) -> Iterator[np.ndarray]:
    """The ways to lay pairs over each other that phrases vote for: first the best of each pair, then the second …"""
    phrases = pieces.phrases
    begins, sizes = phrases.bounds[pairs[:, 0]], np.diff(phrases.bounds)[pairs[:, 0]]
    i, pair = _expanded(begins, sizes)
    asked = (pairs[pair, 1] << PHRASE_BITS) | (phrases.key[i] & ((1 << PHRASE_BITS) - 1))
    low = np.searchsorted(phrases.key, asked)
    met = np.flatnonzero(phrases.key[np.minimum(low, len(phrases.key) - 1)] == asked) if len(asked) else low
    i, pair, low = i[met], pair[met], low[met]
    j, back = _expanded(low, pieces.run[low] - low)
    i, pair = i[back], pair[back]
    shift = phrases.height[j] - phrases.height[i]
    ratio = phrases.span[j] / phrases.span[i]
    pace = np.round(np.log2(ratio) * 12).astype(np.int64)
    # Piece by piece: a shift of less than 2^9 and a pace of less than 2^11 either way.
    way = (pair << 22) | ((shift + 512) << 12) | (pace + 2048)
    order = np.argsort(way, kind="stable")
    begins, votes = runs(way[order])
    kept = np.flatnonzero(votes >= SUPPORT)
    of = way[order[begins[kept]]] >> 22
    ranked = np.lexsort((-votes[kept], of))
    place = np.arange(len(ranked)) - np.searchsorted(of[ranked], of[ranked])
    ranked, place = ranked[place < VOTES], place[place < VOTES]
    chosen = kept[ranked]
    rows, of = _expanded(begins[chosen], votes[chosen])
    rows = order[rows]
    i, j = i[rows], j[rows]
    middle = np.cumsum(votes[chosen]) - votes[chosen] + votes[chosen] // 2
    made = np.zeros(len(chosen), _WAY)
    made["pair"] = pair[order[begins[chosen]]]
    made["shift"] = shift[order[begins[chosen]]]
    # The upper median.
    made["ratio"] = ratio[rows][np.lexsort((ratio[rows], of))][middle] if len(rows) else 0
    begin = np.round(phrases.at[j] - phrases.at[i] * made["ratio"][of]).clip(-_MIDDLE, _MIDDLE - 1).astype(np.int64)
    begin = np.sort((of << _ONSET_BITS) | (begin + _MIDDLE))
    of = begin >> _ONSET_BITS
    # The place: the window of the tolerance's width with most votes.
    width = _tolerance(pieces, pairs[made["pair"], 0], pairs[made["pair"], 1], made["ratio"])
    inside = np.searchsorted(begin, begin + width[of], side="right") - np.arange(len(begin))
    first = np.searchsorted(of, np.arange(len(made)))
    best = np.lexsort((np.arange(len(begin)), -inside, of))[first] if len(begin) else first
    made["offset"] = (begin[best + inside[best] // 2] & (2 * _MIDDLE - 1)) - _MIDDLE if len(begin) else 0
    placed = inside[best] >= SUPPORT if len(begin) else np.zeros(0, bool)
    for rank in range(VOTES):
        yield made[placed & (place == rank)]


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
    found = [windows(*line) for line in lines]
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
    line: np.ndarray, owner: np.ndarray, times: np.ndarray, pitch: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The phrases of lines, those without movement left out: key (owner and hash), first onset, first pitch, span.

    Args:
        line: number of the line of each note, notes of one line side by side.
        owner: its piece.
    """
    rows = np.flatnonzero(line[PHRASE - 1 :] == line[: len(line) - PHRASE + 1]) if len(line) >= PHRASE else line[:0]
    moves, waits = np.diff(pitch), np.diff(times)
    moving = np.zeros(len(rows), bool)
    for k in range(PHRASE - 1):
        moving |= moves[rows + k] != 0
    rows = rows[moving]
    hashed = np.zeros(len(rows), np.uint64)
    # Thirds of an octave of pace: 1:1, 3:2 and 2:1 are told apart, a shaken grid is not.
    paces = [np.round(np.log2(waits[rows + k + 1] / waits[rows + k]) * 1.5) + 64 for k in range(PHRASE - 2)]
    for told in (*(moves[rows + k] + 200 for k in range(PHRASE - 1)), *paces):
        hashed = (hashed ^ told.astype(np.uint64)) * _MIXER
        hashed ^= hashed >> np.uint64(29)
    key = (owner[rows] << PHRASE_BITS) | (hashed >> np.uint64(64 - PHRASE_BITS)).astype(np.int64)
    return key, times[rows], pitch[rows], times[rows + PHRASE - 1] - times[rows]
