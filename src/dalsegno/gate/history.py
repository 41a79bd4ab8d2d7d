"""The history of a study's metrics over commits: one table that every gated run adds to."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from dalsegno.gate.statistics import benjamini_hochberg
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
LEVEL = 0.05
"""The false-discovery rate over all series of a study at which a change-point is marked."""


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
        p: of a change as sharp in a series that never changes, before correction; NaN where nothing can be told.
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

    A commit that was gated with several specs counts with the last of them, by digest. Of all series together, at most
    one marked change-point in twenty is expected to be none (`LEVEL`).
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
                tuple(float(np.mean(own)) for own in seeds),
                tuple(map(min, seeds)),
                tuple(map(max, seeds)),
                *change_point(seeds),
            )
        )
    corrected = benjamini_hochberg([one.p for one in found])
    return [one if q < LEVEL else replace(one, change=None) for one, q in zip(found, corrected, strict=True)]


def change_point(commits: Sequence[Sequence[float]]) -> tuple[int | None, float]:
    """The index at which a series most likely changed its level, and the p-value of that change.

    Commits whose results were taken from the cache repeat the values of the one before and count once with it. Every
    seed that trained anew is an observation: training is chaotic after any change. Each cut is a t test of the seeds
    before against those after (pooled variance); the sharpest is reported, its p-value corrected for the number of
    cuts (Bonferroni). Where no seed scatters, any difference is a change.

    Args:
        commits: the values of each commit's seeds.
    """
    starts = [i for i, own in enumerate(commits) if not i or sorted(own) != sorted(commits[i - 1])]
    states = [np.asarray(commits[i], float) for i in starts]
    best: tuple[int | None, float] = (None, math.nan)
    for cut in range(1, len(states)):
        before, after = np.concatenate(states[:cut]), np.concatenate(states[cut:])
        freedom = len(before) + len(after) - 2
        if not freedom:
            continue
        squares = ((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum()
        error = math.sqrt(squares / freedom * (1 / len(before) + 1 / len(after)))
        difference = abs(float(after.mean() - before.mean()))
        # Equal numbers have means that differ in their last bits.
        if error <= 1e-9 * max(abs(before).max(), abs(after).max()):
            p = 0.0
        else:
            p = min(1.0, float(2 * stats.t.sf(difference / error, freedom)) * (len(states) - 1))
        if math.isnan(best[1]) or p < best[1]:
            best = (starts[cut], p)
    return best


def spec_digest(study: Path) -> str:
    """Digest of what a study asks for, from the request of its report, which holds the whole document."""
    return digest(canonical(json.loads((Path(study) / "report" / "spec.json").read_text())["spec"]["document"]))


def _rows(path: Path) -> list[dict]:
    return pq.read_table(path, schema=SCHEMA).to_pylist() if Path(path).exists() else []


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout.strip()
