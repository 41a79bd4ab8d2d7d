"""What a dataset's features are, and how they differ by label: the section of a report on features."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dalsegno.data import labels
from dalsegno.features.loading import FeatureSet
from dalsegno.reporting import figures
from dalsegno.reporting.leaderboard import Cell, Column, Line, Table, count, show

SPLITS = ("train", "valid", "test")
VALUES = 8
"""A label of more values than there are colours is shown by its commonest."""
PANELS = 6


@dataclass(frozen=True)
class FeaturePage:
    """One set of features of one dataset, ready to be shown.

    Attributes:
        told: how the panels divide the windows, and what they chose.
        panels: (title, svg).
        legend: (group, index of its colour).
    """

    title: str
    sizes: Table
    rejects: Table
    told: str
    panels: tuple[tuple[str, str], ...]
    legend: tuple[tuple[str, int], ...]


def feature_page(dataset: str, name: str, folder: Path, corpus: Path) -> FeaturePage:
    """Read one folder of features.

    Args:
        corpus: the dataset's corpus folder.
    """
    features = FeatureSet(folder)
    with open(Path(folder) / "rejects.csv", newline="") as file:
        rejected = Counter(row["reason"] for row in csv.DictReader(file))
    return FeaturePage(
        title=f"{dataset} · {name}",
        sizes=Table(
            "Windows",
            ("Split",),
            (Column("Pieces", "pieces"), Column("Windows", "windows"), Column("Rows", "rows"), Column("Length", "s")),
            tuple(_sizes(features, split) for split in SPLITS),
        ),
        rejects=Table(
            "Rejected",
            ("Reason",),
            (Column("Rejected", "pieces or windows"),),
            tuple(Line((reason,), (Cell(count(n)),), "model") for reason, n in sorted(rejected.items())),
        ),
        **_figures(f"{dataset}, {name}", features, Path(corpus)),
    )


def _sizes(features: FeatureSet, split: str) -> Line:
    own = features.windows(split)
    rows = int(np.diff(features.offsets)[own].sum())
    numbers = (len(set(features.piece[own])), len(own), rows, round(float(features.seconds[own].sum())))
    return Line((split,), tuple(Cell(count(number)) for number in numbers), "model")


def _figures(title: str, features: FeatureSet, corpus: Path) -> dict[str, Any]:
    own = features.windows("train")
    label, groups = _groups(corpus, features, own)
    means = _window_means(features, own)
    legend = tuple((group, index) for index, group in enumerate(groups))
    if (np.diff(features.offsets) > 1).any():
        profiles = [(index, means[rows].mean(axis=0).tolist()) for index, rows in enumerate(groups.values())]
        alt = f"Mean of each of the {len(features.columns)} columns of {title}, by {label}"
        svg = figures.profiles(profiles, (features.columns[0], features.columns[-1]), alt)
        told = f"The mean of every column over the training windows, by {label}."
        return {"told": told, "panels": (("all columns", svg),), "legend": legend}
    spread = _explained(means, list(groups.values()))
    chosen = np.argsort(-spread, kind="stable")[:PANELS]
    panels = []
    for column in chosen.tolist():
        dots = [
            (group, [figures.Dot(median, low, high, index)])
            for index, (group, rows) in enumerate(groups.items())
            for low, median, high in [np.nanpercentile(means[rows, column], [25, 50, 75]).tolist()]
            if np.isfinite(median)
        ]
        medians = "; ".join(f"{group} {show(dot[0].value)}" for group, dot in dots)
        alt = f"{features.columns[column]} of {title}, median and quartiles of the training windows: {medians}"
        svg = figures.dots(dots, [], (np.nan, np.nan, np.nan), f"{100 * spread[column]:.0f} % of variance", alt)
        panels.append((features.columns[column], svg))
    told = (
        f"Median and quartiles of the training windows by {label}, of the {len(panels)} columns of which it explains "
        "most (share of variance between its values)."
    )
    return {"told": told, "panels": tuple(panels), "legend": legend}


def _window_means(features: FeatureSet, windows: np.ndarray) -> np.ndarray:
    """`[windows, columns]`: the mean of each window's rows."""
    return np.array(
        [features.values[features.offsets[i] : features.offsets[i + 1]].mean(axis=0) for i in windows.tolist()], float
    )


def _groups(corpus: Path, features: FeatureSet, windows: np.ndarray) -> tuple[str, dict[str, np.ndarray]]:
    """The label that divides the windows best into few groups, and the rows of each; all in one without a label."""
    ids = pq.read_table(corpus / "pieces.parquet", columns=["piece"])["piece"].to_pylist()
    named: dict[str, dict[str, str]] = {}
    for row in pq.read_table(corpus / "labels.parquet").to_pylist():
        if row["label"] not in (labels.GROUP, labels.SPLIT):
            named.setdefault(row["label"], {})[ids[row["piece"]]] = row["value"]
    best, label, found = 0, "split", dict[str, np.ndarray]()
    for name, value_of in sorted(named.items()):
        values = [value_of.get(piece) for piece in features.piece[windows].tolist()]
        common = [value for value, n in Counter(value for value in values if value).most_common(VALUES) if n > 1]
        shown = sum(value in common for value in values)
        if len(common) > 1 and shown > best:
            best, label = shown, name
            found = {str(one): np.flatnonzero([value == one for value in values]) for one in sorted(common)}
    return label, found or {"train": np.arange(len(windows))}


def _explained(values: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Share of each column's variance that lies between the groups (eta squared); 0 where there is none."""
    shown = values[np.concatenate(groups)]
    mean = np.nanmean(shown, axis=0)
    total = np.nansum((shown - mean) ** 2, axis=0)
    between = sum(len(rows) * (np.nanmean(values[rows], axis=0) - mean) ** 2 for rows in groups)
    return np.asarray(np.nan_to_num(np.divide(between, total, out=np.zeros(len(mean)), where=total > 0)))
