"""Which decoding ranks a model: the one of the sweep whose samples come nearest to the validation pieces.

A model sampled too hot or too cold looks worse than it is, and the temperature that suits one does not suit another
(Caccia et al., Language GANs Falling Short, ICLR 2020). Test pieces have no say, or they would no longer be unseen.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from dalsegno.metrics.rows import Row, format_number
from dalsegno.sampling.options import Sweep


@dataclass(frozen=True)
class Decoding:
    """One row of `decoding.csv`: a model and a decoding of the sweep.

    Attributes:
        criterion: mean of the criterion's distances to the validation pieces, each divided by its mean over all models
            and decodings of the dataset; NaN where a distance is undefined.
        n: seeds behind it.
        chosen: whether the model is ranked with this decoding.
    """

    dataset: str
    representation: str
    model: str
    sampler: str
    temperature: float
    top_k: int
    top_p: float
    criterion: float
    n: int
    chosen: bool


def choose(rows: Iterable[Row], sweep: Sweep) -> list[Decoding]:
    """Every model with every decoding of the sweep, and the choice for each.

    Distances have different units, so each counts in units of its mean over the dataset. Of equal decodings the one
    that the study names first is chosen; of a model without a defined criterion none is.

    Args:
        rows: of a study, those with `seed` = `all` among them; none but distances to `valid` are looked at.
    """
    swept = sweep.samplers
    order = list(swept)
    found: dict[tuple[str, str, str, str], dict[str, Row]] = {}
    for row in rows:
        if (row.seed, row.split) == ("all", "valid") and row.sampler in swept and row.metric in sweep.criterion:
            found.setdefault((row.dataset, row.representation, row.model, row.sampler), {})[row.metric] = row
    scales = {
        (dataset, metric): float(np.mean(values)) if (values := _defined(found, dataset, metric)) else math.nan
        for dataset in {key[0] for key in found}
        for metric in sweep.criterion
    }
    criteria = {
        key: float(np.mean([_relative(own[metric].value, scales[key[0], metric]) for metric in sweep.criterion]))
        for key, own in found.items()
    }
    best: dict[tuple[str, ...], tuple[float, int]] = {}
    for key, value in criteria.items():
        if math.isfinite(value):
            best[key[:3]] = min(best.get(key[:3], (math.inf, 0)), (value, order.index(key[3])))
    return [
        Decoding(
            *key,
            temperature=swept[key[3]].temperature,
            top_k=swept[key[3]].top_k,
            top_p=swept[key[3]].top_p,
            criterion=criteria[key],
            n=min(row.n for row in own.values()),
            chosen=best.get(key[:3]) == (criteria[key], order.index(key[3])),
        )
        for key, own in sorted(found.items())
    ]


def _defined(found: dict[tuple[str, str, str, str], dict[str, Row]], dataset: str, metric: str) -> list[float]:
    values = [own[metric].value for key, own in found.items() if key[0] == dataset]
    return [value for value in values if math.isfinite(value)]


def _relative(value: float, scale: float) -> float:
    if scale == 0:
        # All that are defined are at no distance: none is better than average.
        return 1.0 if value == 0 else math.nan
    return value / scale


def write_decodings(path: Path, decodings: Sequence[Decoding]) -> None:
    """Write `decoding.csv`; a study without a sweep has the header alone."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Decoding)], lineterminator="\n")
        writer.writeheader()
        for row in decodings:
            numbers = {name: format_number(getattr(row, name)) for name in ("temperature", "top_p", "criterion")}
            writer.writerow({**asdict(row), **numbers, "chosen": str(row.chosen).lower()})


def read_decodings(path: Path) -> list[Decoding]:
    with open(path, newline="") as file:
        return [
            Decoding(
                dataset=row["dataset"],
                representation=row["representation"],
                model=row["model"],
                sampler=row["sampler"],
                temperature=float(row["temperature"]),
                top_k=int(row["top_k"]),
                top_p=float(row["top_p"]),
                criterion=float(row["criterion"] or "nan"),
                n=int(row["n"]),
                chosen=row["chosen"] == "true",
            )
            for row in csv.DictReader(file)
        ]
