"""Divides a corpus into train, valid and test, and says which pieces have relatives in train."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dalsegno.data import families
from dalsegno.data.options import FamilySplit, TableSplit
from dalsegno.data.tables import Corpus

SPLITS = ("train", "valid", "test", "unused")


@dataclass(frozen=True)
class SplitRow:
    """One row of `split.csv`.

    Attributes:
        family: id of the family's first piece.
        clean: false where a valid or test piece has a member of its family in train.
    """

    piece: str
    split: str
    family: str
    clean: bool


def build(split: TableSplit | FamilySplit, corpus: Path, out: Path, root: Path = Path()) -> None:
    """Write `split.csv` for the corpus folder `corpus` to the file `out`.

    Args:
        root: where a relative table path is taken from.

    Raises:
        ValueError: the table names unknown pieces or splits, or a split would stay empty.
    """
    tables = Corpus(corpus)
    pieces = [piece["piece"] for piece in tables.pieces]
    family = families.find(tables)
    if isinstance(split, TableSplit):
        assigned = _by_table(pieces, Path(root) / split.path)
    else:
        assigned = by_family(family, split.valid, split.test, split.seed)
    in_train = {f for f, name in zip(family.tolist(), assigned, strict=True) if name == "train"}
    rows = [
        SplitRow(piece, name, pieces[f], name not in ("valid", "test") or f not in in_train)
        for piece, name, f in zip(pieces, assigned, family.tolist(), strict=True)
    ]
    write(rows, out)


def by_family(family: np.ndarray, valid: float, test: float, seed: int) -> list[str]:
    """The split of each piece, drawn so that no family stands on two sides.

    Families are drawn in random order and taken as long as they fit into the share of their split; should none fit,
    the smallest is taken, so valid and test hold at least one piece each.

    Args:
        family: family of each piece, int `[P]`.

    Raises:
        ValueError: fewer than three families.
    """
    names, sizes = np.unique(family, return_counts=True)
    if len(names) < 3:
        raise ValueError(
            f"{len(family)} pieces in {len(names)} families cannot be split into train, valid and test: "
            "add unrelated pieces, or give an official split (kind: table)"
        )
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    taken: dict[int, str] = {}
    for split, share in (("test", test), ("valid", valid)):
        room = max(1, round(share * len(family)))
        free = [i for i in order if i not in taken]
        chosen = []
        for i in free:
            if sizes[i] <= room:
                chosen.append(i)
                room -= int(sizes[i])
        # One family at least must be left for each split that comes after this one.
        chosen = chosen[: len(free) - (2 if split == "test" else 1)] or [min(free, key=lambda i: int(sizes[i]))]
        taken.update(dict.fromkeys(chosen, split))
    by_name = {int(names[i]): split for i, split in taken.items()}
    return [by_name.get(int(f), "train") for f in family]


def _by_table(pieces: list[str], path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"the split table {path} does not exist: correct `split.path`")
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if not {"piece", "split"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: the first line must name the columns piece and split, found {reader.fieldnames}")
        rows = [(row["piece"], row["split"]) for row in reader]
    known = set(pieces)
    unknown = [piece for piece, _ in rows if piece not in known]
    wrong = sorted({name for _, name in rows if name not in SPLITS})
    twice = [piece for piece, count in Counter(piece for piece, _ in rows).items() if count > 1]
    if wrong:
        raise ValueError(f"{path}: unknown split {wrong[0]!r}; use one of {', '.join(SPLITS)}")
    if twice:
        raise ValueError(f"{path}: piece {twice[0]!r} stands there more than once; keep one row")
    if unknown:
        raise ValueError(
            f"{path}: {len(unknown)} pieces are not in the corpus (first: {unknown[0]!r}); "
            "remove these rows, or look into the corpus's rejects.csv"
        )
    table = dict(rows)
    for name in ("train", "valid", "test"):
        if name not in table.values():
            raise ValueError(f"{path}: no piece is in {name}")
    return [table.get(piece, "unused") for piece in pieces]


def write(rows: list[SplitRow], out: Path) -> None:
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["piece", "split", "family", "clean"])
        writer.writerows([row.piece, row.split, row.family, str(row.clean).lower()] for row in rows)


def read(path: Path) -> list[SplitRow]:
    """The rows of a `split.csv`, in the order of the corpus."""
    with open(path, newline="") as file:
        return [
            SplitRow(row["piece"], row["split"], row["family"], row["clean"] == "true") for row in csv.DictReader(file)
        ]
