"""Labels that a source gives to its files, by a table or by their paths: genre, composer, group, official split."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dalsegno.data.options import Labels

GROUP = "group"
"""The label whose equal values say that pieces belong together: an author, a session, an album."""

SPLIT = "split"
"""The label that tells the official split."""

SPLIT_NAMES = {
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "development": "valid",
    "testing": "test",
    "evaluation": "test",
}
"""What publishers call the parts of a split, and what they are called here."""


@dataclass(frozen=True)
class LabelTable:
    """The labels of a source.

    Attributes:
        rows: (label, value) by the path of a file; empty cells give no label.
        missing: paths that the table names and the source lacks, in the table's order.
        unlabelled: music files that the table does not name, sorted.
    """

    rows: dict[str, tuple[tuple[str, str], ...]]
    missing: list[str]
    unlabelled: list[str]


def read_labels(options: Labels, location: Path, music: Collection[str]) -> LabelTable:
    """The labels of the files `music` (paths within the source) from the CSV at `location`.

    The table may name paths within the source or, as published ones do, relative to the folder that it lies in.

    Raises:
        ValueError: a column that the options name is absent, a file is named twice, or no row names a file of the
            source; tells file and column.
    """
    with open(location, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        known = list(reader.fieldnames or [])
        groups = [options.group] if isinstance(options.group, str) else options.group or []
        for key, wanted in (("path", [options.path]), ("group", groups), ("columns", options.columns or [])):
            for name in wanted:
                if name not in known:
                    raise ValueError(
                        f"{options.file} has no column {name!r} (labels.{key}); its columns: {', '.join(known)}"
                    )
        kept = options.columns if options.columns is not None else [name for name in known if name != options.path]
        rows: dict[str, tuple[tuple[str, str], ...]] = {}
        names = set(music)
        beside = PurePosixPath(options.file).parent
        for row in reader:
            path = row[options.path]
            if path not in names and str(beside / path) in names:
                path = str(beside / path)
            if path in rows:
                raise ValueError(f"{options.file}, line {reader.line_num}: {path} is named twice in {options.path!r}")
            labels = {name: row[name] for name in kept}
            if groups:
                labels[GROUP] = " | ".join(row[name] or "" for name in groups) if any(map(row.get, groups)) else ""
            rows[path] = named_labels(labels)
    if not names & rows.keys():
        example = next(iter(rows), "the table is empty")
        raise ValueError(
            f"{options.file}: no row of the column {options.path!r} is the path of a music file in the source "
            f"(first: {example}; a file of the source: {min(names, default='none')}): correct labels.path or the paths"
        )
    return LabelTable(
        {path: labels for path, labels in rows.items() if path in names},
        [path for path in rows if path not in names],
        sorted(names - rows.keys()),
    )


def path_labels(pattern: str, music: Collection[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """The labels that the named groups of the regular expression `pattern` find in each path of `music`.

    Raises:
        ValueError: no path matches.
    """
    found = {path: match.groupdict() for path in music if (match := re.search(pattern, path))}
    if music and not found:
        raise ValueError(f"no path matches path_labels {pattern!r} (first: {min(music)}): correct path_labels")
    return {path: named_labels(groups) for path, groups in found.items()}


def named_labels(labels: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Labels as pairs: empty values give none, parts of a split get their names here."""
    if split := labels.get(SPLIT):
        labels = {**labels, SPLIT: SPLIT_NAMES.get(split.lower(), split.lower())}
    return tuple((name, value) for name, value in labels.items() if value)
