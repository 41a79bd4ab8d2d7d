"""Divides a corpus into train, valid and test, and says which pieces have relatives in train."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dalsegno.data import families
from dalsegno.data.options import GroupedSplit, OfficialSplit, RandomSplit, Split, TableSplit

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


def build(split: Split, corpus: Path, family_folder: Path, out: Path, root: Path = Path()) -> None:
    """Write `split.csv` for the corpus folder `corpus` to the file `out`.

    Args:
        family_folder: where `families.build` wrote.
        root: where a relative table path is taken from.

    Raises:
        ValueError: the table or label names unknown pieces or splits, or a split would stay empty.
    """
    pieces = pq.read_table(Path(corpus) / "pieces.parquet", columns=["piece"])["piece"].to_pylist()
    family = families.read(family_folder, pieces)
    if isinstance(split, TableSplit):
        assigned = _by_table(pieces, Path(root) / split.path)
    elif isinstance(split, OfficialSplit):
        assigned = _by_label(_label(corpus, "split", len(pieces)))
    elif isinstance(split, GroupedSplit):
        values = _label(corpus, split.label, len(pieces))
        if missing := [piece for piece, value in zip(pieces, values, strict=True) if not value]:
            raise ValueError(
                f"{len(missing)} pieces have no label {split.label!r} (first: {missing[0]!r}): "
                "add it, or use kind: family"
            )
        groups = np.unique(values, return_inverse=True)[1]
        assigned = by_family(groups, split.valid, split.test, split.seed)
    elif isinstance(split, RandomSplit):
        assigned = at_random(family, split)
    else:
        strata = _label(corpus, split.stratify, len(pieces)) if split.stratify else None
        assigned = by_family(family, split.valid, split.test, split.seed, strata)
    in_train = {f for f, name in zip(family.tolist(), assigned, strict=True) if name == "train"}
    rows = [
        SplitRow(piece, name, pieces[f], name not in ("valid", "test") or f not in in_train)
        for piece, name, f in zip(pieces, assigned, family.tolist(), strict=True)
    ]
    write(rows, out)


def by_family(
    family: np.ndarray, valid: float, test: float, seed: int, strata: Sequence[str] | None = None
) -> list[str]:
    """The split of each piece, drawn so that no family stands on two sides.

    Families are drawn in random order and taken as long as they fit into the share of their split; should none fit,
    the smallest is taken, so valid and test hold at least one piece each.

    Args:
        family: family of each piece, int `[P]`.
        strata: a label of each piece; a family goes with its commonest one, and is taken while its stratum has room.

    Raises:
        ValueError: fewer than three families.
    """
    names, at, sizes = np.unique(family, return_inverse=True, return_counts=True)
    if len(names) < 3:
        raise ValueError(
            f"{len(family)} pieces in {len(names)} families cannot be split into train, valid and test: "
            "add unrelated pieces, or give an official split (kind: table)"
        )
    stratum = _commonest(at, len(names), strata)
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    taken: dict[int, str] = {}
    for split, share in (("test", test), ("valid", valid)):
        free = [i for i in order if i not in taken]
        room = _rooms(np.bincount(stratum, sizes), share)
        chosen = []
        for i in free:
            if sizes[i] <= room[stratum[i]]:
                chosen.append(i)
                room[stratum[i]] -= int(sizes[i])
        # One family at least must be left for each split that comes after this one.
        chosen = chosen[: len(free) - (2 if split == "test" else 1)] or [min(free, key=lambda i: int(sizes[i]))]
        taken.update(dict.fromkeys(chosen, split))
    by_name = {int(names[i]): split for i, split in taken.items()}
    return [by_name.get(int(f), "train") for f in family]


def at_random(family: np.ndarray, split: RandomSplit) -> list[str]:
    """The split of each piece, drawn without regard to families; see `RandomSplit`.

    Raises:
        ValueError: fewer than three pieces, or none without a relative in valid or test.
    """
    assigned = np.array(by_family(np.arange(len(family)), split.valid, split.test, split.seed), dtype=object)
    train = np.flatnonzero(assigned == "train")
    apart = train[~np.isin(family[train], family[assigned != "train"])]
    if split.train == "all":
        return assigned.tolist()
    if not len(apart):
        raise ValueError("every piece has a relative in valid or test: lower these shares, or use `train: all`")
    kept = apart
    if split.train == "as_many":
        kept = np.random.default_rng((split.seed, 1)).permutation(train)[: len(apart)]
    assigned[np.setdiff1d(train, kept)] = "unused"
    return assigned.tolist()


def _rooms(sizes: np.ndarray, share: float) -> list[int]:
    """Pieces that each stratum gives to a split: whole numbers (largest remainders) that sum to the share of all."""
    exact = share * sizes
    room = np.floor(exact).astype(int)
    short = max(1, round(float(exact.sum()))) - int(room.sum())
    room[np.argsort(room - exact, kind="stable")[:short]] += 1
    return room.tolist()


def _commonest(at: np.ndarray, count: int, strata: Sequence[str] | None) -> np.ndarray:
    """Number of each family's commonest stratum (the first of equals), int `[count]`."""
    if strata is None:
        return np.zeros(count, int)
    values, code = np.unique(np.asarray(strata), return_inverse=True)
    table = np.zeros((count, len(values)), int)
    np.add.at(table, (at, code), 1)
    return table.argmax(1)


def _label(corpus: Path, label: str, count: int) -> list[str]:
    """The value of a label of each piece, "" where it has none."""
    path = Path(corpus) / "labels.parquet"
    table = pq.read_table(path).to_pylist() if path.exists() else []
    values = {row["piece"]: row["value"] for row in table if row["label"] == label}
    if not values:
        known = ", ".join(sorted({row["label"] for row in table})) or "none"
        raise ValueError(
            f"no piece has the label {label!r} (labels: {known}): "
            "add it to the source's labels, or choose another split"
        )
    return [values.get(i, "") for i in range(count)]


def _by_label(values: list[str]) -> list[str]:
    if wrong := sorted(set(values) - {*SPLITS, ""}):
        raise ValueError(f"the label split has the value {wrong[0]!r}; use one of {', '.join(SPLITS)}")
    for name in ("train", "valid", "test"):
        if name not in values:
            raise ValueError(f"the label split puts no piece into {name}: use kind: family, or a table")
    return [value or "unused" for value in values]


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
