"""The history of a study's metrics over commits: one table that every gated run adds to."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dalsegno.metrics.rows import Row
from dalsegno.provenance import canonical, digest

SCHEMA = pa.schema(
    [
        ("commit", pa.string()),
        ("date", pa.string()),
        ("study", pa.string()),
        ("spec", pa.string()),
        ("run", pa.string()),
        ("dataset", pa.string()),
        ("representation", pa.string()),
        ("model", pa.string()),
        ("seed", pa.string()),
        ("sampler", pa.string()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("unit", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n", pa.int64()),
    ]
)
KEY = ("commit", "study", "spec")
PLACE = ("dataset", "representation", "model", "sampler", "split", "metric", "unit")
FEWEST = 8  # commits; with fewer, no order of them is rare enough to speak of a change
SHUFFLES = 9999
LEVEL = 0.01


@dataclass(frozen=True)
class Commit:
    """The commit that results were made at: its hash, and its date (ISO 8601, in UTC, from git)."""

    hash: str
    date: str


def head() -> Commit | None:
    """The commit of the work tree; None where it has other changes or is none."""
    try:
        status = _git("status", "--porcelain", "--untracked-files=no")
        told = _git("show", "--no-patch", "--format=%H %ct", "HEAD").split()
    except (OSError, subprocess.SubprocessError):
        return None
    if status:
        return None
    date = np.datetime_as_string(np.datetime64(int(told[1]), "s"), timezone="UTC")
    return Commit(told[0], str(date))


def append(path: Path, commit: Commit, study: str, spec: str, rows: Iterable[Row]) -> int:
    """Add a study's metrics at a commit, in place of what the table holds of the same commit, study and spec.

    Others may append at the same time: each waits for the other, and a reader finds the old or the new table whole.

    Args:
        spec: digest of the study.
        rows: of its `metrics.csv`; means over seeds are left out, since they follow from the others.

    Returns:
        The number of rows added.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = [row for row in rows if row.seed != "all"]
    fresh = [
        {
            "commit": commit.hash,
            "date": commit.date,
            "spec": spec,
            **{name: getattr(row, name) for name in SCHEMA.names if hasattr(row, name)},
            **{name: _number(getattr(row, name)) for name in ("value", "ci_low", "ci_high")},
            "study": study,
        }
        for row in own
    ]
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = [one for one in _rows(path) if tuple(one[key] for key in KEY) != (commit.hash, study, spec)]
        order = [name for name in SCHEMA.names if name not in ("value", "ci_low", "ci_high", "n")]
        table = sorted([*kept, *fresh], key=lambda one: [one["date"], *(one[name] for name in order)])
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), temporary)
        os.replace(temporary, path)
    return len(fresh)


@dataclass(frozen=True)
class Series:
    """One metric of one model over commits, in the order of their dates.

    Attributes:
        values: means over seeds; lows, highs: lowest and highest seed.
        change: index of the first commit after the change-point; None where there is none.
        p: chance of a change as sharp in any order of the same values; NaN where there are too few commits.
    """

    dataset: str
    representation: str
    model: str
    sampler: str
    split: str
    metric: str
    unit: str
    commits: tuple[Commit, ...]
    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    change: int | None = None
    p: float = math.nan


def read(path: Path, study: str) -> list[Series]:
    """The series of a study, with their change-points; controls are no models and left out.

    A commit that was gated with several specs counts with the last of them, by digest.
    """
    groups: dict[tuple[str, ...], dict[Commit, dict[str, list[float]]]] = {}
    for one in _rows(path):
        if one["study"] == study and one["run"] and one["value"] is not None:
            key = tuple(one[name] for name in PLACE)
            specs = groups.setdefault(key, {}).setdefault(Commit(one["commit"], one["date"]), {})
            specs.setdefault(one["spec"], []).append(one["value"])
    found = []
    for key, commits in sorted(groups.items()):
        ordered = sorted(commits, key=lambda one: (one.date, one.hash))
        seeds = [commits[commit][max(commits[commit])] for commit in ordered]
        values = tuple(float(np.mean(own)) for own in seeds)
        dataset, representation, model, sampler, split, metric, unit = key
        found.append(
            Series(
                dataset,
                representation,
                model,
                sampler,
                split,
                metric,
                unit,
                tuple(ordered),
                values,
                tuple(map(min, seeds)),
                tuple(map(max, seeds)),
                *change_point(values),
            )
        )
    return found


def change_point(values: Sequence[float], seed: int = 0) -> tuple[int | None, float]:
    """The index at which a series most likely changed its level, and the chance of as sharp a change by order alone.

    The statistic is the largest difference of means before and after, each cut weighted by its lengths (the CUSUM of
    Page, Biometrika 41, 1954, normalised); its null distribution is that of shuffled values, so nothing is assumed
    of their shape. One change is looked for, the sharpest.
    """
    series = np.asarray(values, float)
    n = len(series)
    if n < FEWEST:
        return None, math.nan
    index = np.arange(1, n)
    weight = np.sqrt(index * (n - index) / n)

    def statistics(rows_RxN: np.ndarray) -> np.ndarray:
        before = np.cumsum(rows_RxN, axis=1)[:, :-1]
        total = rows_RxN.sum(axis=1, keepdims=True)
        return np.abs(before / index - (total - before) / (n - index)) * weight

    own = statistics(series[None])[0]
    shuffled = np.random.default_rng(seed).permuted(np.tile(series, (SHUFFLES, 1)), axis=1)
    # Sums of the same numbers in another order differ in their last bits.
    as_sharp = (statistics(shuffled).max(axis=1) >= own.max() * (1 - 1e-9)).sum()
    p = float((1 + as_sharp) / (1 + SHUFFLES))
    return (int(own.argmax()) + 1 if p < LEVEL else None), p


def spec_digest(study: Path) -> str:
    """Digest of what a study asks for, from the request of its report, which holds the whole document."""
    return digest(canonical(json.loads((Path(study) / "report" / "spec.json").read_text())["spec"]["document"]))


def _rows(path: Path) -> list[dict]:
    return pq.read_table(path, schema=SCHEMA).to_pylist() if Path(path).exists() else []


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout.strip()
