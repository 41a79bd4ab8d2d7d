"""The study's two tables: all metrics with the spread over seeds, and all runs."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from dalsegno.metrics.rows import Row, format_number, read_rows


def collect(paths: Iterable[Path]) -> list[Row]:
    """The rows of several `metrics.csv`, and for every model those over its seeds (see `over_seeds`)."""
    rows = [row for path in paths for row in read_rows(path)]
    return rows + over_seeds(rows)


def over_seeds(rows: Iterable[Row]) -> list[Row]:
    """One row for each model and metric with `seed` = `all` and no run.

    Its value is the mean over seeds, its interval the lowest and highest seed (empty for one seed), its n the number
    of seeds. The range and not a deviation: with two to five seeds it is what is known. An undefined seed makes the
    mean undefined.
    """
    groups: dict[Row, list[float]] = defaultdict(list)
    for row in rows:
        if row.seed:
            # NaN equals nothing, so keys hold numbers.
            key = replace(row, run="", seed="all", value=0.0, ci_low=0.0, ci_high=0.0, n=0, note="")
            groups[key].append(row.value)
    result = []
    for key, values in groups.items():
        several = len(values) > 1
        result.append(
            replace(
                key,
                value=float(np.mean(values)),
                ci_low=float(np.min(values)) if several else math.nan,
                ci_high=float(np.max(values)) if several else math.nan,
                n=len(values),
            )
        )
    return result


@dataclass(frozen=True)
class Run:
    """One row of `runs.csv`.

    Attributes:
        parameters: number of trained values.
        best_step: step of the checkpoint; steps: steps that were taken.
        valid_nll: best validation NLL during training, nats a token.
        stopped_by: why training ended.
        spec: digest of the training job's spec.
    """

    run: str
    dataset: str
    representation: str
    model: str
    seed: str
    family: str
    parameters: int
    best_step: int
    steps: int
    valid_nll: float
    stopped_by: str
    spec: str


def make_run(
    run: str, dataset: str, representation: str, model: str, seed: int, family: str, spec: str, summary: Path
) -> Run:
    """The row of one run, from its labels, its spec's digest and its `summary.json`."""
    result = json.loads(Path(summary).read_text())
    return Run(
        run=run,
        dataset=dataset,
        representation=representation,
        model=model,
        seed=str(seed),
        family=family,
        parameters=int(result["parameters"]),
        best_step=int(result["best_step"]),
        steps=int(result["steps"]),
        valid_nll=float(result["best_valid_nll"]),
        stopped_by=str(result["stopped_by"]),
        spec=spec,
    )


def digest(path: Path) -> str:
    """The first sixteen hexadecimal digits of a file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Write `runs.csv`, sorted by run."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)], lineterminator="\n")
        writer.writeheader()
        for run in sorted(runs, key=lambda run: run.run):
            writer.writerow({**asdict(run), "valid_nll": format_number(run.valid_nll)})


def read_runs(path: Path) -> list[Run]:
    """The rows of a `runs.csv`."""
    with open(path, newline="") as file:
        return [
            Run(
                **{key: cell for key, cell in row.items() if key not in NUMBERS},
                parameters=int(row["parameters"]),
                best_step=int(row["best_step"]),
                steps=int(row["steps"]),
                valid_nll=float(row["valid_nll"] or "nan"),
            )
            for row in csv.DictReader(file)
        ]


NUMBERS = ("parameters", "best_step", "steps", "valid_nll")
