"""Which pieces belong together, so that a split must not divide them.

Six kinds of evidence join two pieces: the same file or the same notes (`exact`), the same notes in another key or at
another pace (`transposed`), one whole voice among others (`voice`), most notes in common (`near`, see
`near_duplicates`), the same tune harmonised anew (`melody`, see `melodies`), and a label that names their `group`
(song, session, album). A *family* is a connected component.

Music is read block by block. What stays in memory of a piece are digests, its melody and a signature of a kibibyte;
notes that must be laid over others lie in a file.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dalsegno.data import near_duplicates
from dalsegno.data.fingerprints import fingerprints
from dalsegno.data.melodies import melodies, related
from dalsegno.data.options import FamilyOptions
from dalsegno.data.tables import Corpus

T = TypeVar("T")

BLOCK = 1 << 18
"""Notes that are looked at together: arrays of 2 MB."""
PROGRESS = 10_000

Found = tuple[int, int, str, str, str]
"""A joined pair: first piece, second piece, kind, score, detail."""


@dataclass(frozen=True)
class Pair:
    """Two pieces that were joined, and why: a row of `pairs.csv`.

    Attributes:
        piece, other: ids; of three copies each later one is joined to the first.
        kind: one of `options.FAMILY_KINDS`.
        score: share of the shorter piece that agrees beyond chance (`near`), 1 (`exact`, `transposed`), else empty.
        detail: shift in semitones and ratio of pace, or the group's name.
    """

    piece: str
    other: str
    kind: str
    score: str
    detail: str


FILES = ("families.csv", "pairs.csv")


def build(options: FamilyOptions, corpus: Path, folder: Path) -> None:
    """Write `families.csv` and `pairs.csv` of the corpus folder `corpus` into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (Path(corpus) / "notes.parquet").exists():
        tables = Corpus(corpus)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".notes-") as scratch:
            pairs = join(tables, options, read_groups(corpus), Path(scratch))
        names = [piece["piece"] for piece in tables.pieces]
    else:
        pieces = pq.read_table(Path(corpus) / "pieces.parquet", columns=["piece", "content"])
        pairs = join_contents(pieces["content"].to_pylist(), read_groups(corpus))
        names = pieces["piece"].to_pylist()
    family = components(len(names), np.array([(one, other) for one, other, *_ in pairs], np.int64).reshape(-1, 2))
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


def join(corpus: Corpus, options: FamilyOptions, groups: Mapping[int, str], scratch: Path) -> list[Found]:
    """Every joined pair, sorted; enough of them to hold each family together.

    Args:
        scratch: an empty folder for the notes that alignments look up.
    """
    found: list[Found] = []
    first: dict[tuple[str, str], int] = {}

    def meet(index: int, kind: str, key: str) -> int:
        return first.setdefault((kind, key), index)

    tonal = near_duplicates.Tonal(scratch)
    lowest, span = np.zeros((2, len(corpus)), np.int64)
    # Pieces whose shape none before them has; the others are in its family already.
    own: list[int] = []
    signatures = [np.zeros((0, near_duplicates.PERMUTATIONS), np.uint32)]
    lines: list[np.ndarray] = []
    for begin, count, columns in _counted(corpus.blocks(BLOCK), len(corpus)):
        owner = columns["piece"].astype(np.int64) - begin
        prints = fingerprints(owner, count, columns, options.notes)
        lowest[begin : begin + count], span[begin : begin + count] = prints.lowest, prints.span
        fresh = []
        for number in range(count):
            index, piece = begin + number, corpus.pieces[begin + number]
            # The parts of one file share its hash, and are other music.
            file = f"{piece['sha256']}#{piece['source'].partition('#')[2]}"
            same = {meet(index, "file", file), meet(index, "notes", prints.content[number])}
            found += [(one, index, "exact", "1", "") for one in sorted(same - {index})]
            one = meet(index, "shape", prints.shape[number])
            if one == index:
                fresh.append(number)
                voices = {meet(index, "voice", voice) for voice in prints.voices[number]} - {index}
                found += [(other, index, "voice", "", "a whole voice") for other in sorted(voices)]
            elif one not in same:
                shift, ratio = int(lowest[index] - lowest[one]), span[index] / max(span[one], 1)
                found.append((one, index, "transposed", "1", f"{shift:+d} semitones, time × {ratio:.4g}"))
        own += [begin + number for number in fresh]
        phrases = tonal.add(owner, count, columns)
        if options.near is not None:
            signatures.append(near_duplicates.signatures(phrases)[fresh])
        if options.melody is not None:
            all_lines = melodies(owner, count, columns)
            lines += [all_lines[number] for number in fresh]
    tonal.close()
    if options.near is not None:
        families = DisjointSet(range(len(corpus)))
        for one, other, *_ in found:
            families.merge(one, other)
        candidates = np.array(own, np.int64)[
            near_duplicates.candidates(np.concatenate(signatures), options.resemblance)
        ]
        found += _near(tonal, candidates, families, options.near, options.notes)
    if options.melody is not None:
        pairs = related(lines, options.melody, chain=True)
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
    tonal: near_duplicates.Tonal, candidates: np.ndarray, families: DisjointSet, share: float, notes: int
) -> list[Found]:
    """The near duplicates among candidates (int64 `[E, 2]`) that are not yet in one of the families, which they join.

    Args:
        share, notes: of what agrees, at least.
    """
    found: list[Found] = []
    # Blocks are bounded by the notes of all pairs, a piece that stands in several being counted as often.
    reached = np.cumsum(tonal.sizes[candidates].sum(1)) // BLOCK
    for block in np.split(candidates, np.flatnonzero(np.diff(reached)) + 1):
        pairs = np.array([pair for pair in block.tolist() if not families.connected(*pair)], np.int64).reshape(-1, 2)
        if not len(pairs):
            continue
        pieces, numbers = np.unique(pairs, return_inverse=True)
        made = near_duplicates.align(tonal.outlines(pieces), numbers.reshape(-1, 2), share)
        for row in np.flatnonzero((made.share >= share) & (made.notes >= notes)).tolist():
            one, other = pairs[row].tolist()
            # Another pair of this block may have joined them.
            if families.merge(one, other):
                told = f"{made.shift[row]:+d} semitones, time × {made.ratio[row]:.4g}, {made.notes[row]} notes"
                found.append((one, other, "near", f"{made.share[row]:.4f}", told))
    return found


def _counted(blocks: Iterable[tuple[int, int, T]], total: int) -> Iterator[tuple[int, int, T]]:
    """The blocks, with a line of progress every `PROGRESS` pieces."""
    told = -PROGRESS
    for begin, count, columns in blocks:
        if begin >= told + PROGRESS:
            told = begin
            print(f"{begin} of {total} pieces read", flush=True)
        yield begin, count, columns
    print(f"{total} of {total} pieces read", flush=True)


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
