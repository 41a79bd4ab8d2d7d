"""Reads tables of features: one row a piece, one column a feature, as the GTZAN and Million Song tables."""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from dalsegno.data.labels import GROUP, named_labels
from dalsegno.options import Section

ROWS_A_BATCH = 4096

ROWS = pa.schema(
    [
        ("piece", pa.string()),
        ("row", pa.int64()),
        ("content", pa.string()),
        ("labels", pa.list_(pa.struct([("label", pa.string()), ("value", pa.string())]))),
    ]
)
"""What `read` says of each row beside its features."""

Column = str | int


class Options(Section):
    """What a table's columns are: names where it has a header, numbers from 0 where it has none."""

    header: bool = True
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="absent: tab in .tsv, else a comma")
    skip: int = Field(0, ge=0, description="lines before the header, or before the first row")
    piece: Column | None = Field(None, description="column that names the piece; absent: file and number of the row")
    labels: dict[str, Column] | list[str] = Field([], description="label -> column, or columns that keep their names")
    group: Column | list[Column] | None = Field(None, description="column(s) whose equal values make a group of pieces")
    drop: list[Column] = Field([], description="columns to leave out; all that remain are features")


def read(path: Path, target: Path, options: dict[str, Any] | None = None) -> list[tuple[int, str]]:
    """Write the rows of a table to `rows.parquet` (`ROWS`) and `features.parquet` (float64) in the new folder `target`.

    Memory does not grow with the table. A row's content is the sha256 of its features: labels and names do not count.

    Returns:
        Number (from 1) and reason of each row that was left out.

    Raises:
        ValueError: the table is empty, a column of the options is missing, or one that should be a feature holds no
            number in the first rows; names the column.
    """
    chosen = Options.model_validate(options or {})
    rejects: list[tuple[int, str]] = []
    seen: set[str] = set()
    with open(path, newline="", encoding="utf-8-sig") as file:
        for _ in range(chosen.skip):
            next(file, None)
        delimiter = chosen.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        lines = (row for row in csv.reader(file, delimiter=delimiter) if row)
        header = next(lines, None) if chosen.header else None
        batch = list(itertools.islice(lines, ROWS_A_BATCH))
        if not batch:
            raise ValueError("no rows")
        roles = _roles(chosen, header, len(batch[0]))
        _check_columns(batch, roles)
        schema = pa.schema([(name, pa.float64()) for name in roles.features.values()])
        target.mkdir(parents=True)
        number = 0
        with (
            pq.ParquetWriter(target / "rows.parquet", ROWS) as rows,
            pq.ParquetWriter(target / "features.parquet", schema) as features,
        ):
            while batch:
                values = _numbers(batch, roles)
                kept = []
                for index, row in enumerate(batch):
                    number += 1
                    reason = _fault(row, values[index], roles, seen)
                    if reason:
                        rejects.append((number, reason))
                    else:
                        kept.append(index)
                good = values[kept]
                content = [hashlib.sha256(one).hexdigest() for one in np.ascontiguousarray(good, "<f8")]
                first = number - len(batch) + 1
                told = [
                    {"piece": roles.name(batch[i]), "row": first + i, "content": one, "labels": labels}
                    for i, one, labels in zip(kept, content, (roles.pairs(batch[i]) for i in kept), strict=True)
                ]
                rows.write_table(pa.Table.from_pylist(told, ROWS))
                features.write_table(pa.table(list(good.T), schema))
                batch = list(itertools.islice(lines, ROWS_A_BATCH))
    return rejects


@dataclass(frozen=True)
class _Roles:
    """What each column is for, by position.

    Attributes:
        width: cells of a row.
        piece: column of the pieces' names.
        features: column -> name; labels: label -> column.
        groups: columns that make a group together.
    """

    width: int
    piece: int | None
    features: dict[int, str]
    labels: dict[str, int]
    groups: tuple[int, ...]

    def name(self, row: Sequence[str]) -> str | None:
        """The name of the piece of one row, where the table gives one."""
        return None if self.piece is None else row[self.piece].strip()

    def pairs(self, row: Sequence[str]) -> list[dict[str, str]]:
        """The labels of one row."""
        labels = {label: row[column].strip() for label, column in self.labels.items()}
        if parts := [row[column].strip() for column in self.groups]:
            labels[GROUP] = " | ".join(parts) if any(parts) else ""
        return [{"label": label, "value": value} for label, value in named_labels(labels)]


def _roles(options: Options, header: list[str] | None, width: int) -> _Roles:
    names = [name.strip() for name in header] if header is not None else [f"f{i}" for i in range(width)]
    known = f"columns: {', '.join(names)}" if header is not None else f"no header, columns 0 to {width - 1}"
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{len(twice)} columns stand there twice (first: {twice[0]!r}): rename them")

    def at(key: str, column: Column) -> int:
        if isinstance(column, int) and header is None and 0 <= column < width:
            return column
        if isinstance(column, str) and header is not None and column in names:
            return names.index(column)
        raise ValueError(f"options.{key}: the table has no column {column!r} ({known})")

    asked = options.labels if isinstance(options.labels, dict) else {name: name for name in options.labels}
    group = options.group if isinstance(options.group, list) else [] if options.group is None else [options.group]
    piece = None if options.piece is None else at("piece", options.piece)
    labels = {label: at("labels", column) for label, column in asked.items()}
    groups = tuple(at("group", column) for column in group)
    other = {piece, *labels.values(), *groups, *(at("drop", column) for column in options.drop)}
    features = {column: name for column, name in enumerate(names) if column not in other}
    if not features:
        raise ValueError(f"the options leave no column as a feature ({known})")
    if "piece" in features.values():
        raise ValueError("a feature cannot be called 'piece': name this column in options.piece or options.drop")
    return _Roles(len(names), piece, features, labels, groups)


def _check_columns(rows: Sequence[Sequence[str]], roles: _Roles) -> None:
    """A column without any number among `rows` is no feature, and the options forgot it."""
    whole = [row for row in rows if len(row) == roles.width]
    found = np.isfinite(_numbers(whole, roles)).any(0) if whole else np.ones(len(roles.features), bool)
    wrong = [column for column, is_number in zip(roles.features, found.tolist(), strict=True) if not is_number]
    if wrong:
        named = ", ".join(repr(roles.features[column]) for column in wrong)
        raise ValueError(
            f"no number in the column(s) {named} (first row: {whole[0][wrong[0]]!r}): "
            "name them in options.piece, labels, group or drop"
        )


def _numbers(rows: Sequence[Sequence[str]], roles: _Roles) -> np.ndarray:
    """The features of rows, float64 `[rows, features]`; NaN where a cell is no number."""
    values = np.full((len(rows), len(roles.features)), np.nan)
    for index, row in enumerate(rows):
        if len(row) != roles.width:
            continue
        cells = [row[column] for column in roles.features]
        try:
            values[index] = [float(cell) for cell in cells]
        except ValueError:
            values[index] = [_number(cell) for cell in cells]
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _fault(row: Sequence[str], values: np.ndarray, roles: _Roles, seen: set[str]) -> str:
    """Why a row is left out, or "", and then its name is `seen`."""
    if len(row) != roles.width:
        return f"{len(row)} cells instead of {roles.width}"
    if not np.isfinite(values).all():
        column = list(roles.features)[int(np.flatnonzero(~np.isfinite(values))[0])]
        return f"the column {roles.features[column]!r} holds {row[column][:40]!r} and no finite number"
    name = roles.name(row)
    if name is None:
        return ""
    if not name:
        return "the piece has no name"
    if name in seen:
        return f"an earlier row has the name {name!r}"
    seen.add(name)
    return ""
