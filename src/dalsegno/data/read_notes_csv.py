"""Reads a table of notes: one row a note with its pitch, onset and duration, as the Weimar Jazz Database's solos."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.tables import DEFAULT_QPM, Music
from dalsegno.options import Section

TICKS_A_UNIT = {
    "seconds": TICKS_PER_QUARTER * DEFAULT_QPM / 60,
    "quarters": float(TICKS_PER_QUARTER),
    "ticks": 1.0,
}


class Options(Section):
    """What a table's columns mean: names where it has a header, numbers from 0 where it has none."""

    header: bool = True
    delimiter: str = Field(",", min_length=1, max_length=1)
    unit: Literal["seconds", "quarters", "ticks"] = Field(
        "seconds", description="of onset and duration; seconds are written at 120 quarter notes a minute"
    )
    pitch: str | int = "pitch"
    onset: str | int = "onset"
    duration: str | int = "duration"
    velocity: str | int | None = None
    track: str | int | None = None
    program: int = Field(0, ge=0, le=127)


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """The notes of a table; onsets and ends are rounded to the nearest tick, a note lasts one tick at least.

    Raises:
        ValueError: a column is missing, a cell is no number, or a value leaves its range; names line and column.
    """
    chosen = Options.model_validate(options or {})
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter=chosen.delimiter)
        names = next(rows, []) if chosen.header else None
        asked = {
            name: _position(getattr(chosen, name), names)
            for name in ("pitch", "onset", "duration", "velocity", "track")
            if getattr(chosen, name) is not None
        }
        table = [[_number(row, at, rows.line_num, name) for name, at in asked.items()] for row in rows if row]
    if not table:
        raise ValueError("no notes")
    columns = dict(zip(asked, np.array(table, np.float64).T, strict=True))
    scale = TICKS_A_UNIT[chosen.unit]
    start = np.rint(columns["onset"] * scale)
    end = np.rint((columns["onset"] + columns["duration"]) * scale)
    limits = {"pitch": (columns["pitch"], 0, 127), "onset": (start, 0, 2**30), "duration": (end - start, 0, 2**30)}
    if "velocity" in columns:
        limits["velocity"] = (columns["velocity"], 0, 127)
    if "track" in columns:
        limits["track"] = (columns["track"], 0, 2**15 - 1)
    for name, (values, low, high) in limits.items():
        wrong = np.flatnonzero(~((values >= low) & (values <= high)))
        if len(wrong):
            raise ValueError(f"note {wrong[0] + 1}: {name} {columns[name][wrong[0]]:g} is out of range")
    notes = np.zeros((len(table), 6), np.int32)
    notes[:, 0] = columns.get("track", 0)
    notes[:, 1], notes[:, 2], notes[:, 3] = start, np.rint(columns["pitch"]), np.maximum(end - start, 1)
    notes[:, 4], notes[:, 5] = chosen.program, columns.get("velocity", 80)
    return Music("", notes)


def _position(column: str | int, names: list[str] | None) -> int:
    if names is None:
        if isinstance(column, str):
            raise ValueError(f"options: the table has no header, so column {column!r} must be a number")
        return column
    if isinstance(column, int):
        return column
    if column not in names:
        raise ValueError(f"no column {column!r}; the table's columns: {', '.join(names)}")
    return names.index(column)


def _number(row: list[str], at: int, line: int, name: str) -> float:
    try:
        return float(row[at])
    except IndexError:
        raise ValueError(f"line {line} has {len(row)} columns, {name} is asked from column {at}") from None
    except ValueError:
        raise ValueError(f"line {line}: {name} {row[at]!r} is no number") from None
