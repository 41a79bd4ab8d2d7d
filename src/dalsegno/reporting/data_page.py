"""What a study's music is: found, parsed, rejected, divided."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from dalsegno.reporting.leaderboard import Cell, Column, Line, Table, count

SPLITS = ("train", "valid", "test", "unused")


@dataclass(frozen=True)
class DatasetPage:
    """One dataset, ready to be shown."""

    name: str
    facts: tuple[tuple[str, str, str], ...]  # label, number, unit
    licences: tuple[str, ...]
    split: Table
    rejects: Table
    representations: Table


def dataset_page(name: str, corpus: Path, split: Path, representations: Mapping[str, Path]) -> DatasetPage:
    """Read one dataset's tables.

    Args:
        corpus: corpus folder.
        split: `split.csv`.
        representations: name -> folder.
    """
    pieces = pq.read_table(Path(corpus) / "pieces.parquet", columns=["piece", "notes", "end", "licence"]).to_pylist()
    rejects = _read(Path(corpus) / "rejects.csv")
    notes = {piece["piece"]: piece["notes"] for piece in pieces}
    ends = {piece["piece"]: piece["end"] for piece in pieces}
    rows = _read(split)
    trained = {row["family"] for row in rows if row["split"] == "train"}
    lines = []
    for part in SPLITS:
        mine = [row for row in rows if row["split"] == part]
        if not mine and part == "unused":
            continue
        families = {row["family"] for row in mine}
        numbers = (
            count(len(mine)),
            count(len(families)),
            "–" if part in ("train", "unused") else count(sum(row["clean"] == "true" for row in mine)),
            "–" if part in ("train", "unused") else count(len(families & trained)),
            count(sum(notes.get(row["piece"], 0) for row in mine)),
            count(sum(ends.get(row["piece"], 0) for row in mine) // 480),
        )
        lines.append(Line((part,), tuple(Cell(number) for number in numbers), "model"))
    found = len(pieces) + len(rejects)
    reasons = Counter((row["stage"], row["reason"]) for row in rejects)
    return DatasetPage(
        name=name,
        facts=(
            ("found", count(found), "files or pieces"),
            ("parsed", count(len(pieces)), "pieces"),
            ("rejected", count(len(rejects)), "files or pieces"),
            ("notes", count(sum(notes.values())), "notes"),
        ),
        licences=tuple(sorted({piece["licence"] for piece in pieces})),
        split=Table(
            "Split",
            ("Split",),
            (
                Column("Pieces", "pieces"),
                Column("Families", "families"),
                Column("Clean", "pieces"),
                Column("Shared with train", "families"),
                Column("Notes", "notes"),
                Column("Length", "quarters"),
            ),
            tuple(lines),
        ),
        rejects=Table(
            "Rejected",
            ("Stage", "Reason"),
            (Column("Rejected", "files or pieces"),),
            tuple(Line(key, (Cell(count(n)),), "model") for key, n in sorted(reasons.items())),
        ),
        representations=_representations(representations),
    )


def _representations(folders: Mapping[str, Path]) -> Table:
    lines = []
    for name, folder in sorted(folders.items()):
        index = _read(Path(folder) / "index.csv")
        rejected = _read(Path(folder) / "rejects.csv")
        steps = sum(int(row["steps"]) for row in index)
        lines.append(Line((name,), tuple(Cell(count(n)) for n in (len(index), steps, len(rejected))), "model"))
    columns = (Column("Packed", "pieces"), Column("Length", "steps"), Column("Rejected", "pieces"))
    return Table("Representations", ("Representation",), columns, tuple(lines))


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
