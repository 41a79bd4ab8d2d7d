"""Which pieces belong together, so that a split must not divide them.

Five kinds of evidence join two pieces: the same file or the same notes (`exact`), the same notes in another key or at
another pace (`transposed`), most notes in common (`near`, see `near_duplicates`), the same tune harmonised anew
(`melody`), and a label that names their `group` (song, session, album). A *family* is a connected component.

The melody of a piece is its highest sounding note on each quarter note, taken as the intervals from one quarter to
the next: transposition does not matter. Two melodies are *related* when an unbroken stretch of one that is at least
half as long as the shorter of the two stands in the other as well.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dalsegno.data import near_duplicates
from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.data.options import FamilyOptions
from dalsegno.data.tables import Corpus

T = TypeVar("T")

SHARE = 0.5
MIN_NOTES = 8
"""Different notes below which a fingerprint says nothing."""
MIN_QUARTERS = 8
"""Shorter stretches are commonplaces, not a shared melody."""
MIN_MOVES = 4
"""A stretch must hold this many intervals other than zero: drones and drum loops are not melodies."""

OUTLINES = 1024
"""Pieces kept ready for alignment: 0.2 MB each where they hold 2,000 notes."""
PROGRESS = 10_000

SIEVE = 20
"""Bits of a window's hash in the sieve."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""Odd base of a rolling hash modulo 2^64; any odd number with mixed bits will do."""


def melody(notes: dict[str, np.ndarray]) -> np.ndarray:
    """Intervals (int16, semitones) of the skyline from one quarter note to the next.

    Silence holds the last pitch. Drums count only where a piece holds nothing else.
    """
    tonal = notes["program"] != DRUMS
    keep = tonal if tonal.any() else np.ones(len(tonal), bool)
    start, pitch = notes["start"][keep].astype(np.int64), notes["pitch"][keep].astype(np.int16)
    first = -(-start // TICKS_PER_QUARTER)
    last = -(-(start + notes["duration"][keep]) // TICKS_PER_QUARTER)
    line = np.full(int(last.max(initial=0)), -1, np.int16)
    for a, b, height in zip(first.tolist(), last.tolist(), pitch.tolist(), strict=True):
        np.maximum(line[a:b], height, out=line[a:b])
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
    prefix, powers = _prefix_hashes(flat)
    pairs = [np.zeros((0, 2), np.int64)]
    for width in np.unique(needed[lengths >= needed]).tolist():
        at = np.flatnonzero((left >= width) & (needed[owner] >= width))
        at = at[moves[at + width] - moves[at] >= MIN_MOVES]
        window = prefix[at + width] - prefix[at] * powers[width]
        # Only windows that a piece which needs exactly this width has can matter; most others are sieved out unsorted.
        slot = (window * _BASE) >> np.uint64(64 - SIEVE)
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


@dataclass(frozen=True)
class Pair:
    """Two pieces that were joined, and why: a row of `pairs.csv`.

    Attributes:
        piece, other: ids; of three copies each later one is joined to the first.
        kind: one of `KINDS`.
        score: share of the shorter piece that agrees beyond chance (`near`), 1 (`exact`, `transposed`), else empty.
        detail: shift in semitones and ratio of pace, or the group's name.
    """

    piece: str
    other: str
    kind: str
    score: str
    detail: str


FILES = ("families.csv", "pairs.csv")
KINDS = ("exact", "transposed", "near", "melody", "group")


def build(options: FamilyOptions, corpus: Path, folder: Path) -> None:
    """Write `families.csv` and `pairs.csv` of the corpus folder `corpus` into `folder`."""
    if (Path(corpus) / "notes.parquet").exists():
        tables = Corpus(corpus)
        pairs = join(tables, options, read_groups(corpus))
        names = [piece["piece"] for piece in tables.pieces]
    else:
        pieces = pq.read_table(Path(corpus) / "pieces.parquet", columns=["piece", "content"])
        pairs = join_contents(pieces["content"].to_pylist(), read_groups(corpus))
        names = pieces["piece"].to_pylist()
    family = components(len(names), np.array([(one, other) for one, other, *_ in pairs], np.int64).reshape(-1, 2))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "families.csv", ("piece", "family"), [(names[i], names[f]) for i, f in enumerate(family.tolist())])
    rows = [(names[one], names[other], *why) for one, other, *why in pairs]
    _write(folder / "pairs.csv", tuple(field.name for field in fields(Pair)), rows)


def read(folder: Path, pieces: Sequence[str]) -> np.ndarray:
    """Family of each of `pieces` (int64 `[P]`) from a folder that `build` wrote: the index of its first member."""
    with open(Path(folder) / "families.csv", newline="") as file:
        family = {row["piece"]: row["family"] for row in csv.DictReader(file)}
    index = {piece: i for i, piece in enumerate(pieces)}
    return np.array([index[family[piece]] for piece in pieces], np.int64)


def read_pairs(folder: Path) -> list[Pair]:
    """The joined pairs, in the order of the corpus."""
    with open(Path(folder) / "pairs.csv", newline="") as file:
        return [Pair(**row) for row in csv.DictReader(file)]


def read_groups(corpus: Path) -> dict[int, str]:
    """The label `group` of each piece that has one; none where the corpus has no labels."""
    path = Path(corpus) / "labels.parquet"
    if not path.exists():
        return {}
    rows = pq.read_table(path, filters=[("label", "=", "group")])
    return dict(zip(rows["piece"].to_pylist(), rows["value"].to_pylist(), strict=True))


def join(corpus: Corpus, options: FamilyOptions, groups: Mapping[int, str]) -> list[tuple[int, int, str, str, str]]:
    """Every joined pair (first, second, kind, score, detail), sorted; enough of them to hold each family together."""
    found: list[tuple[int, int, str, str, str]] = []
    first: dict[tuple[str, str], int] = {}

    def meet(index: int, kind: str, key: str) -> int:
        return first.setdefault((kind, key), index)

    own: list[int] = []
    for index in _counted(range(len(corpus)), "pieces fingerprinted"):
        notes = corpus.piece(index)
        piece = corpus.pieces[index]
        # The parts of one file share its hash, and are other music.
        file = f"{piece['sha256']}#{piece['source'].partition('#')[2]}"
        same = {meet(index, "file", file), meet(index, "notes", _digest(_content(notes)))}
        found += [(one, index, "exact", "1", "") for one in sorted(same - {index})]
        one = meet(index, "shape", _digest(fingerprint(notes)))
        if one == index:
            own.append(index)
        elif one not in same:
            shift, ratio = _difference(corpus.piece(one), notes)
            found.append((one, index, "transposed", "1", f"{shift:+d} semitones, time × {ratio:.4g}"))
    if options.near is not None:
        found += _near(corpus, own, options.near, options)
    if options.melody is not None:
        melodies = [melody(corpus.piece(i)) for i in own]
        pairs = related(melodies, options.melody, chain=True)
        found += [(own[i], own[j], "melody", "", "a stretch of the top line") for i, j in pairs.tolist()]
    for index, group in sorted(groups.items()):
        one = meet(index, "group", group)
        if one != index:
            found.append((one, index, "group", "", group))
    return sorted(found)


def join_contents(contents: Sequence[str], groups: Mapping[int, str]) -> list[tuple[int, int, str, str, str]]:
    """Like `join`, of recordings or rows of features: by equal content, and by their groups."""
    found: list[tuple[int, int, str, str, str]] = []
    first: dict[tuple[str, str], int] = {}
    for index, content in enumerate(contents):
        if (one := first.setdefault(("exact", content), index)) != index:
            found.append((one, index, "exact", "1", ""))
        if (group := groups.get(index)) and (one := first.setdefault(("group", group), index)) != index:
            found.append((one, index, "group", "", group))
    return sorted(found)


def _near(
    corpus: Corpus, own: Sequence[int], share: float, options: FamilyOptions
) -> list[tuple[int, int, str, str, str]]:
    """Near duplicates among the pieces `own`, which differ in shape."""
    outline = lru_cache(maxsize=OUTLINES)(lambda index: near_duplicates.outline(corpus.piece(index)))
    signatures = near_duplicates.signatures_of(
        near_duplicates.outline(corpus.piece(i)).phrase for i in _counted(own, "phrases of pieces")
    )
    candidates = near_duplicates.candidates(signatures, options.resemblance)
    found = []
    # What is one family already need not be compared again.
    families = DisjointSet(range(len(own)))
    for i, j in _counted(candidates.tolist(), "candidates aligned"):
        if families.connected(i, j):
            continue
        match = near_duplicates.align(outline(own[i]), outline(own[j]), share)
        if match is not None and match.notes >= options.notes:
            families.merge(i, j)
            detail = f"{match.shift:+d} semitones, time × {match.ratio:.4g}, {match.notes} notes"
            found.append((own[i], own[j], "near", f"{match.share:.4f}", detail))
    return found


def _counted(things: Sequence[T], name: str) -> Iterator[T]:
    """The things, with a line of progress every `PROGRESS` of them."""
    for number, thing in enumerate(things):
        if number % PROGRESS == 0:
            print(f"{number} of {len(things)} {name}", flush=True)
        yield thing
    print(f"{len(things)} of {len(things)} {name}", flush=True)


def fingerprint(notes: dict[str, np.ndarray]) -> np.ndarray:
    """Onsets and pitches of a piece (int64 `[N, 3]`) without its key and its pace.

    Onsets count from the first, in units of their greatest common divisor; pitches from the lowest; drums keep theirs.
    Fewer than `MIN_NOTES` different notes are commonplace: such a piece keeps all it is.
    """
    drums = notes["program"] == DRUMS
    start, pitch = notes["start"].astype(np.int64), notes["pitch"].astype(np.int64)
    start = start - start.min(initial=1 << 40)
    start //= max(int(np.gcd.reduce(start, initial=0)), 1)
    lowest = int(pitch[~drums].min(initial=127))
    rows = np.unique(np.stack([start, np.where(drums, pitch, pitch - lowest), drums], 1), axis=0)
    return rows if len(rows) >= MIN_NOTES else _content(notes)


def _difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> tuple[int, float]:
    """Semitones and ratio of pace between two pieces of one fingerprint."""
    spans = [int(notes["start"].max()) - int(notes["start"].min()) for notes in (one, other)]
    low = [int(notes["pitch"][notes["program"] != DRUMS].min(initial=127)) for notes in (one, other)]
    return low[1] - low[0], spans[1] / max(spans[0], 1)


def _content(notes: dict[str, np.ndarray]) -> np.ndarray:
    content = np.stack([notes[name].astype(np.int64) for name in ("start", "pitch", "duration")], 1)
    return content[np.lexsort(content.T)]


def _digest(rows: np.ndarray) -> str:
    return hashlib.sha256(repr(rows.shape).encode() + rows.tobytes()).hexdigest()


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Connected component of each of `count` pieces, named by its smallest member."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    _, first = np.unique(label, return_index=True)
    return first[label]


def _prefix_hashes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polynomial prefix hashes (uint64 `[n + 1]`) and powers of the base (uint64 `[n + 1]`), modulo 2^64."""
    prefix = np.zeros(len(values) + 1, np.uint64)
    powers = np.ones(len(values) + 1, np.uint64)
    mask = (1 << 64) - 1
    base, hashed, power = int(_BASE), 0, 1
    for i, value in enumerate((values.astype(np.int64) + 256).tolist(), 1):
        # Spread the small numbers over 64 bits first.
        hashed = (hashed * base + (value * 0xD1342543DE82EF95 & mask)) & mask
        power = power * base & mask
        prefix[i], powers[i] = hashed, power
    return prefix, powers
