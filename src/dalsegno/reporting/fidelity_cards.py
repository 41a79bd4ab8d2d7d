"""Fidelity cards: how large a dataset is in each of its representations, and what of it survives."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.reporting.leaderboard import Cell, Column, Line, Table, count
from dalsegno.representations import batching

SHARES = (
    ("Exact", "exact", "pieces", "% of pieces"),
    ("Notes", "kept", "notes", "% of notes"),
    ("Onsets", "onsets", "kept", "% of kept"),
    ("Durations", "durations", "kept", "% of kept"),
    ("Velocities", "velocities", "kept", "% of kept"),
    ("Programs", "programs", "kept", "% of kept"),
    ("Tempos", "tempos_kept", "tempos", "% of marks"),
    ("Meters", "meters_kept", "meters", "% of marks"),
)
"""Column, count above and below, unit; the counts are those of `dalsegno.representations.fidelity`."""
ERRORS = (("Onset moved", "onset_error"), ("Duration moved", "duration_error"))


def overview(folders: Mapping[tuple[str, str], Path]) -> Table:
    """What survives of each dataset in each representation ((dataset, representation) -> folder); without lines where
    there are not several of both."""
    datasets, names = (sorted({pair[axis] for pair in folders}) for axis in (0, 1))
    lines = []
    for dataset in datasets if min(len(datasets), len(names)) > 1 else ():
        cells = []
        for name in names:
            if (dataset, name) not in folders:
                cells.append(Cell("–"))
                continue
            counts = _card(folders[dataset, name])["counts"]
            moved = _moved(counts["onset_error"], counts["kept"])
            cells.append(Cell(_share(counts["kept"], counts["notes"]), moved))
        lines.append(Line((dataset,), tuple(cells), "model"))
    columns = tuple(Column(name, "%") for name in names)
    return Table("What survives of each dataset", ("Dataset",), columns, tuple(lines))


def sizes(folders: Mapping[str, Path]) -> Table:
    """Pieces, steps and symbols of each representation (name -> folder), and how much its length buckets are padded."""
    lines = []
    for name, folder in sorted(folders.items()):
        card, rejected = _card(folder), _rows(Path(folder) / "rejects.csv")
        steps = [int(row["steps"]) for row in _rows(Path(folder) / "index.csv")]
        spread = card["steps"]
        numbers = [len(steps), len(rejected), sum(steps)]
        numbers += [spread.get(key, 0) for key in ("median", "percentile_95", "longest")]
        cells = [Cell(count(n)) for n in [*numbers, card["symbols"]]]
        cells.append(Cell(f"{100 * batching.padding(steps, batching.batches(steps)):.0f}"))
        lines.append(Line((name, card["unit"]), tuple(cells), "model"))
    columns = (
        Column("Packed", "pieces"),
        Column("Rejected", "pieces"),
        Column("Length", "steps"),
        Column("Median", "steps a piece"),
        Column("95 % below", "steps a piece"),
        Column("Longest", "steps a piece"),
        Column("Vocabulary", "symbols"),
        Column("Padding", "% of batches"),
    )
    return Table("Representations", ("Representation", "A step is one of the"), columns, tuple(lines))


def survival(folders: Mapping[str, Path]) -> Table:
    """What survives from a piece to its tokens and back, over all packed pieces of each representation."""
    lines = []
    for name, folder in sorted(folders.items()):
        counts = _card(folder)["counts"]
        cells = [Cell(_share(counts[above], counts[below])) for _, above, below, _ in SHARES]
        cells += [Cell(_moved(counts[error], counts["kept"])) for _, error in ERRORS]
        cells += [Cell(count(counts["out_of_range"])), Cell(count(counts["added"]))]
        lines.append(Line((name,), tuple(cells), "model"))
    columns = [Column(label, unit) for label, _, _, unit in SHARES]
    columns += [Column(label, "quarters, mean") for label, _ in ERRORS]
    columns += [Column("Left out", "notes"), Column("Added", "notes")]
    return Table("What survives", ("Representation",), tuple(columns), tuple(lines))


def _share(above: int, below: int) -> str:
    """A percentage that says 100 of the whole alone."""
    if not below:
        return "–"
    return "100" if above == below else f"{min(100 * above / below, 99.9):.1f}"


def _moved(ticks: int, notes: int) -> str:
    return "–" if not notes else "0" if not ticks else f"{ticks / notes / TICKS_PER_QUARTER:.2g}"


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((Path(folder) / "fidelity.json").read_text())
    return card


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
