"""The tidy rows of every `metrics.csv`."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from dalsegno.metrics.bootstrap import Estimate


@dataclass(frozen=True)
class Row:
    """One number with its unit, its interval and what it belongs to; an empty string says "does not apply".

    Attributes:
        seed: the run's seed, `all` for a mean over seeds, empty for controls.
        value, ci_low, ci_high: NaN where undefined, an empty cell in the file.
        n: pieces the value rests on (seeds, where `seed` is `all`).
        note: why a value is undefined, where that needs saying.
    """

    study: str
    run: str
    dataset: str
    representation: str
    model: str
    seed: str
    sampler: str
    split: str
    metric: str
    unit: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))
CONTRACT = COLUMNS[:-1]
"""The columns of a study's `metrics.csv`, which others rely on; a job's own has the note besides."""
NUMBERS = ("value", "ci_low", "ci_high")


@dataclass(frozen=True)
class Identity:
    """What the rows of one job belong to."""

    study: str
    dataset: str
    run: str = ""
    representation: str = ""
    model: str = ""
    seed: str = ""
    sampler: str = ""

    def row(self, metric: str, unit: str, estimate: Estimate, split: str = "") -> Row:
        """The row of one estimate."""
        return Row(
            self.study,
            self.run,
            self.dataset,
            self.representation,
            self.model,
            self.seed,
            self.sampler,
            split,
            metric,
            unit,
            estimate.value,
            estimate.low,
            estimate.high,
            estimate.n,
            estimate.note,
        )


def format_number(value: float) -> str:
    """Ten significant digits, so that the last bits of a sum's order never show; empty for NaN."""
    return "" if math.isnan(value) else repr(float(f"{value:.10g}"))


def write_rows(path: Path, rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> None:
    """Write rows, sorted, as CSV with the given columns."""
    # NaN compares with nothing: sort by what the file will hold.
    cells = sorted(
        [format_number(getattr(row, name)) if name in NUMBERS else str(getattr(row, name)) for name in columns]
        for row in rows
    )
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(cells)


def read_rows(path: Path) -> list[Row]:
    """The rows of a `metrics.csv`, in the file's order.

    Raises:
        ValueError: the columns are not those of the contract.
    """
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) not in (COLUMNS, CONTRACT):
            raise ValueError(f"{path}: expected the columns {', '.join(CONTRACT)}")
        return [_parse(row) for row in reader]


def _parse(cells: dict[str, str]) -> Row:
    numbers = [float(cells[name]) if cells[name] else math.nan for name in NUMBERS]
    names = [cells[name] for name in COLUMNS if name not in (*NUMBERS, "n", "note")]
    return Row(*names, *numbers, n=int(cells["n"]), note=cells.get("note", ""))  # type: ignore[arg-type, misc]
