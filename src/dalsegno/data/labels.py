"""Labels that a table in the source gives to its files: genre, composer, group, official split."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dalsegno.data.options import Labels

GROUP = "group"
"""The label whose equal values say that pieces belong together: an author, a session, an album."""


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
        for row in reader:
            path = row[options.path]
            if path in rows:
                raise ValueError(f"{options.file}, line {reader.line_num}: {path} is named twice in {options.path!r}")
            labels = {name: row[name] for name in kept}
            if groups:
                labels[GROUP] = " | ".join(row[name] or "" for name in groups) if any(map(row.get, groups)) else ""
            rows[path] = tuple((name, value) for name, value in labels.items() if value)
    names = set(music)
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
