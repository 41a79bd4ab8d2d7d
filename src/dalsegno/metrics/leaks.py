"""A leak's price: what relatives of test pieces in train are worth to a model, in NLL.

Two datasets share source and test pieces and have equally many training pieces; the training pieces of one were drawn
at random (*leaky*), the other's are without relatives of test pieces (*clean*). The same model trained on both is
compared piece by piece.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.metrics import bootstrap
from dalsegno.metrics.comparisons import Key, over_seeds
from dalsegno.metrics.rows import format_number
from dalsegno.metrics.scores import RATIOS, PieceScore, of_split, terms

PIECES = ("all", "with_relatives", "without_relatives")
"""Test pieces: all; those with a relative in the leaky train set; those without."""
METRIC = RATIOS["nll"]


@dataclass(frozen=True)
class Leak:
    """One row of `leak.csv`.

    Attributes:
        pieces: one of `PIECES`.
        leaky, clean: NLL of these test pieces under the model trained on either set, mean over seeds.
        difference: clean minus leaky: by how much the leak makes the model look better.
        ci_low, ci_high: its 95 % interval over families; p: of the paired test.
        n: test pieces; families: those among them.
    """

    leak: str
    representation: str
    model: str
    pieces: str
    unit: str
    leaky: float
    clean: float
    difference: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    families: int


def price(
    leaks: Sequence[Mapping[str, str]],
    scores: Mapping[Key, Sequence[Sequence[PieceScore]]],
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> list[Leak]:
    """The rows of every leak, for every model that was trained on both of its datasets.

    Args:
        leaks: `name`, and the names of the datasets `leaky` and `clean`.
        scores: for each (dataset, representation, model) the pieces' scores under each of its seeds.

    Raises:
        ValueError: the two datasets' test pieces differ.
    """
    rows = []
    for leak in leaks:
        for dataset, representation, model in sorted(scores):
            other = (leak["clean"], representation, model)
            if dataset == leak["leaky"] and other in scores:
                own = (dataset, representation, model)
                names = (leak["name"], representation, model)
                rows += _priced(names, _tested(scores[own]), _tested(scores[other]), resamples, seed)
    return rows


def _tested(seeds: Sequence[Sequence[PieceScore]]) -> dict[str, PieceScore]:
    return {score.piece: score for score in of_split(over_seeds(seeds), "test")}


def _priced(
    names: Key, leaky: Mapping[str, PieceScore], clean: Mapping[str, PieceScore], resamples: int, seed: int
) -> list[Leak]:
    if differing := sorted(set(leaky) ^ set(clean)):
        raise ValueError(
            f"leak {names[0]}, {names[1]}, {names[2]}: {len(differing)} test pieces were scored on one side only "
            f"(first: {differing[0]!r}): look into the rejects.csv of both representations"
        )
    rows = []
    for pieces in PIECES:
        chosen = [piece for piece, score in leaky.items() if pieces == "all" or score.clean == (pieces != PIECES[1])]
        # Terms of the clean side first: the difference is what the leaky model is better by.
        both = np.array([terms(METRIC, [side[piece] for piece in chosen]) for side in (clean, leaky)])
        found = bootstrap.difference(both[:, 0], both[:, 1], [leaky[piece].family for piece in chosen], seed, resamples)
        above, below = both.sum(2).T
        values = np.divide(above, below, out=np.full(2, np.nan), where=below > 0)
        rows.append(
            Leak(
                *names,
                pieces,
                METRIC.unit,
                float(values[1]),
                float(values[0]),
                float(values[0] - values[1]),
                found.low,
                found.high,
                found.p,
                len(chosen),
                len({leaky[piece].family for piece in chosen}),
            )
        )
    return rows


NUMBERS = ("leaky", "clean", "difference", "ci_low", "ci_high", "p")
COUNTS = ("n", "families")


def write_leaks(path: Path, rows: Iterable[Leak]) -> None:
    """Write `leak.csv`."""
    names = [field.name for field in fields(Leak)]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            cells = ((name, getattr(row, name)) for name in names)
            writer.writerow([format_number(value) if name in NUMBERS else str(value) for name, value in cells])


def read_leaks(path: Path) -> list[Leak]:
    """The rows of a `leak.csv`."""
    with open(path, newline="") as file:
        return [_parse(row) for row in csv.DictReader(file)]


def _parse(cells: Mapping[str, str]) -> Leak:
    typed: dict[str, Any] = dict(cells)
    typed |= {name: float(cells[name] or "nan") for name in NUMBERS} | {name: int(cells[name]) for name in COUNTS}
    return Leak(**typed)
