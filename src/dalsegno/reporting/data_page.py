"""What a study's music is: found, parsed, rejected, divided."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dalsegno.data import cards
from dalsegno.data.catalog import Entry
from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.options import FAMILY_KINDS
from dalsegno.data.tables import commonest
from dalsegno.reporting import fidelity_cards
from dalsegno.reporting.leaderboard import Cell, Column, Line, Table, count

SPLITS = ("train", "valid", "test", "unused")
LARGEST, NAMED = 8, 6


@dataclass(frozen=True)
class Size:
    """A column of `pieces.parquet` that says how large a piece is, in parts of a unit."""

    column: str
    title: str
    unit: str
    parts: int

    def of(self, pieces: Sequence[Mapping[str, Any]]) -> int:
        """The size of several pieces, in whole units."""
        return int(sum(piece[self.column] for piece in pieces) // self.parts)


SIZES = (
    Size("notes", "Notes", "notes", 1),
    Size("end", "Length", "quarters", TICKS_PER_QUARTER),
    Size("seconds", "Length", "seconds", 1),
)
"""What a corpus of notes, of recordings or of features has of these."""


@dataclass(frozen=True)
class DatasetPage:
    """One dataset, ready to be shown."""

    name: str
    facts: tuple[tuple[str, str, str], ...]  # label, number, unit
    licences: tuple[str, ...]
    split: Table
    joined: Table
    largest: Table
    random: bool
    rejects: Table
    representations: Table
    fidelity: Table
    card: DatasetCard | None


@dataclass(frozen=True)
class DatasetCard:
    """What the catalog says of a dataset."""

    title: str
    facts: tuple[tuple[str, tuple[str, ...]], ...]  # label, paragraphs


def dataset_page(
    name: str,
    corpus: Path,
    split: Path,
    families: Path,
    representations: Mapping[str, Path],
    random: bool = False,
    card: Mapping[str, Any] | None = None,
) -> DatasetPage:
    """Read one dataset's tables.

    Args:
        corpus: corpus folder.
        split: `split.csv`.
        families: folder of `families.csv` and `pairs.csv`.
        representations: name -> folder.
        random: whether the split was drawn without regard to families.
        card: the dataset's entry of the catalog, where it came from there.
    """
    pieces = pq.read_table(Path(corpus) / "pieces.parquet").to_pylist()
    rejects = _read(Path(corpus) / "rejects.csv")
    by_name = {piece["piece"]: piece for piece in pieces}
    sizes = [size for size in SIZES if all(size.column in piece for piece in pieces)]
    rows = _read(split)
    trained = {row["family"] for row in rows if row["split"] == "train"}
    lines = []
    for part in SPLITS:
        mine = [row for row in rows if row["split"] == part]
        if not mine and part == "unused":
            continue
        present = {row["family"] for row in mine}
        numbers = (
            count(len(mine)),
            count(len(present)),
            "–" if part in ("train", "unused") else count(sum(row["clean"] == "true" for row in mine)),
            "–" if part in ("train", "unused") else count(len(present & trained)),
            *(count(size.of([by_name[row["piece"]] for row in mine if row["piece"] in by_name])) for size in sizes),
        )
        lines.append(Line((part,), tuple(Cell(number) for number in numbers), "model"))
    found = len(pieces) + len(rejects)
    stages = sorted({row["stage"] for row in rejects})
    reasons = {stage: commonest(row["reason"] for row in rejects if row["stage"] == stage) for stage in stages}
    return DatasetPage(
        name=name,
        facts=(
            ("found", count(found), "files or pieces"),
            ("parsed", count(len(pieces)), "pieces"),
            ("rejected", count(len(rejects)), "files or pieces"),
            *((size.title.lower(), count(size.of(pieces)), size.unit) for size in sizes),
            ("families", count(len(_members(families))), "of one piece or more"),
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
                *(Column(size.title, size.unit) for size in sizes),
            ),
            tuple(lines),
        ),
        joined=_joined(families),
        largest=_largest(families),
        random=random,
        rejects=Table(
            "Rejected",
            ("Stage", "Reason"),
            (Column("Rejected", "files or pieces"),),
            tuple(
                Line((stage, reason), (Cell(count(n)),), "model")
                for stage, found in reasons.items()
                for reason, n in found
            ),
        ),
        representations=fidelity_cards.sizes(representations),
        fidelity=fidelity_cards.survival(representations),
        card=_card(card) if card else None,
    )


def _card(entry: Mapping[str, Any]) -> DatasetCard:
    known = Entry.model_validate(entry)
    return DatasetCard(known.title, tuple((label, tuple(texts)) for label, texts in cards.facts(known)))


def _members(families: Path) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for row in _read(Path(families) / "families.csv"):
        members.setdefault(row["family"], []).append(row["piece"])
    return members


def _joined(families: Path) -> Table:
    kinds = Counter(row["kind"] for row in _read(Path(families) / "pairs.csv"))
    lines = tuple(Line((kind,), (Cell(count(kinds[kind])),), "model") for kind in FAMILY_KINDS if kinds[kind])
    return Table("Joined pieces", ("Because of",), (Column("Joined", "pairs"),), lines)


def _largest(families: Path) -> Table:
    """The largest families of more than one piece, with the pieces of each and what joined them."""
    members = _members(families)
    family = {piece: name for name, pieces in members.items() for piece in pieces}
    reasons: dict[str, Counter[str]] = {}
    for row in _read(Path(families) / "pairs.csv"):
        told = f"group {row['detail']}" if row["kind"] == "group" else row["kind"]
        reasons.setdefault(family[row["piece"]], Counter())[told] += 1
    chosen = sorted((name for name in members if len(members[name]) > 1), key=lambda name: (-len(members[name]), name))
    lines = []
    for name in chosen[:LARGEST]:
        shown = ", ".join(members[name][:NAMED])
        rest = len(members[name]) - NAMED
        why = ", ".join(f"{kind} ({n})" for kind, n in sorted(reasons[name].items()))
        lines.append(
            Line((f"{shown} and {rest} more" if rest > 0 else shown, why), (Cell(count(len(members[name]))),), "model")
        )
    return Table("Largest families", ("Members", "Joined by"), (Column("Size", "pieces"),), tuple(lines))


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
