"""Paired tests between the models of a study: which differences of likelihood are more than chance."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.metrics import bootstrap
from dalsegno.metrics.rows import format_number
from dalsegno.metrics.scores import RATIOS, SPLITS, PieceScore, Ratio, applies, of_split, terms

LEVEL = 0.05
ACROSS = ("nll_per_note", "bits_per_second")
"""Ratios that count the same thing in every representation, so that models of different ones compare."""

Key = tuple[str, str, str]
"""Dataset, representation and model."""


@dataclass(frozen=True)
class Comparison:
    """One row of `comparisons.csv`: two models on the same pieces, the better one first.

    Attributes:
        difference: the first model's value minus the second's, each the mean over its seeds.
        ci_low, ci_high: its 95 % interval over families.
        p: of the paired test; p_adjusted: corrected (Holm) for all pairs of the same dataset, metric and split, and
            the same representation where the metric cannot be compared across them.
        n: pieces that both scored; families: those among them.
    """

    dataset: str
    metric: str
    unit: str
    split: str
    representation: str
    model: str
    other_representation: str
    other_model: str
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_adjusted: float
    n: int
    families: int

    @property
    def significant(self) -> bool:
        return self.p_adjusted < LEVEL


def compare(
    scores: Mapping[Key, Sequence[Sequence[PieceScore]]], resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """All pairs of models that can be compared.

    The test speaks of the models as they were trained: families of pieces are resampled, training seeds are not (two to
    five are too few), so read it beside the spread over seeds.

    Args:
        scores: for each model the pieces' scores under each of its seeds.
    """
    means = {key: over_seeds(seeds) for key, seeds in scores.items()}
    result = []
    for dataset in sorted({key[0] for key in means}):
        here = {key: own for key, own in sorted(means.items()) if key[0] == dataset}
        for metric, ratio in RATIOS.items():
            for group in _comparable(here, metric):
                for split in SPLITS:
                    result += _compare(metric, ratio, split, {key: here[key] for key in group}, resamples, seed)
    return result


def over_seeds(seeds: Sequence[Sequence[PieceScore]]) -> list[PieceScore]:
    """One score a piece, its nats the mean over seeds.

    Raises:
        ValueError: the seeds scored different pieces.
    """
    if any([score.piece for score in scores] != [score.piece for score in seeds[0]] for scores in seeds):
        raise ValueError("two seeds of one model scored different pieces")
    return [
        replace(
            same[0],
            nats=float(np.mean([score.nats for score in same])),
            changed_nats=float(np.mean([score.changed_nats for score in same])),
        )
        for same in zip(*seeds, strict=True)
    ]


def undistinguished(
    comparisons: Iterable[Comparison], best: tuple[str, str], dataset: str, metric: str, split: str
) -> set[tuple[str, str]]:
    """The best (representation, model), and all that no test tells from it."""
    found = {best}
    for row in comparisons:
        if (row.dataset, row.metric, row.split) == (dataset, metric, split) and not row.significant:
            pair = {(row.representation, row.model), (row.other_representation, row.other_model)}
            if best in pair:
                found |= pair
    return found


def _comparable(keys: Iterable[Key], metric: str) -> list[list[Key]]:
    """Groups of models whose values of a metric count the same thing."""
    groups: dict[str, list[Key]] = {}
    for key in keys:
        groups.setdefault("" if metric in ACROSS else key[1], []).append(key)
    return list(groups.values())


def _compare(
    metric: str, ratio: Ratio, split: str, scores: Mapping[Key, list[PieceScore]], resamples: int, seed: int
) -> list[Comparison]:
    if not any(applies(metric, own) for own in scores.values()):
        return []
    parts = {key: {score.piece: score for score in of_split(own, split)} for key, own in scores.items()}
    rows = []
    for first, second in combinations(parts, 2):
        shared = [piece for piece in parts[first] if piece in parts[second]]
        both = np.array([terms(ratio, [parts[key][piece] for piece in shared]) for key in (first, second)])
        families = [parts[first][piece].family for piece in shared]
        found = bootstrap.difference(both[:, 0], both[:, 1], families, seed, resamples)
        row = Comparison(
            first[0],
            metric,
            ratio.unit,
            split,
            *first[1:],
            *second[1:],
            found.value,
            found.low,
            found.high,
            found.p,
            np.nan,
            found.n,
            found.families,
        )
        rows.append(_reversed(row) if row.difference > 0 else row)
    corrected = bootstrap.holm([row.p for row in rows])
    return [replace(row, p_adjusted=p) for row, p in zip(rows, corrected, strict=True)]


def _reversed(row: Comparison) -> Comparison:
    return replace(
        row,
        representation=row.other_representation,
        model=row.other_model,
        other_representation=row.representation,
        other_model=row.model,
        difference=-row.difference,
        ci_low=-row.ci_high,
        ci_high=-row.ci_low,
    )


NUMBERS = ("difference", "ci_low", "ci_high", "p", "p_adjusted")
COUNTS = ("n", "families")


def write_comparisons(path: Path, comparisons: Iterable[Comparison]) -> None:
    """Write `comparisons.csv`, sorted."""
    names = [field.name for field in fields(Comparison)]
    cells = sorted(
        [format_number(getattr(row, name)) if name in NUMBERS else str(getattr(row, name)) for name in names]
        for row in comparisons
    )
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(cells)


def read_comparisons(path: Path) -> list[Comparison]:
    """The rows of a `comparisons.csv`."""
    with open(path, newline="") as file:
        return [_parse(row) for row in csv.DictReader(file)]


def _parse(cells: Mapping[str, str]) -> Comparison:
    typed: dict[str, Any] = dict(cells)
    typed |= {name: float(cells[name] or "nan") for name in NUMBERS} | {name: int(cells[name]) for name in COUNTS}
    return Comparison(**typed)
