"""What jobs will cost, from what jobs like them took: the records of past jobs, or else a committed table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

TABLE = Path("benchmarks/durations.csv")
START = 2.0
"""Seconds that a job's interpreter and imports take, which records do not hold."""


@dataclass(frozen=True, order=True)
class Duration:
    """What one job took.

    Attributes:
        family: of its model, where the stage runs one.
        work: what its duration grows with: tokens trained on, bars to write; 1 for other stages.
    """

    stage: str
    family: str
    work: float
    seconds: float


@dataclass(frozen=True)
class Task:
    """A job that is going to run; `after`: names of the tasks that it waits for."""

    name: str
    spec: Mapping[str, Any]
    threads: int
    after: frozenset[str]


def duration_of(spec: Mapping[str, Any], seconds: float) -> Duration:
    """A duration from the spec of its job."""
    model = spec.get("model", {})
    training, sampler = model.get("training"), spec.get("sampler", {})
    stage = spec["stage"]
    work = 1.0
    if stage == "train" and training:
        work = float(training["steps"] * training["batch_size"] * training["window"])
    elif stage == "sample":
        work = float(sampler["count"] * sampler["bars"])
    family = model.get("family", "") if stage in ("train", "likelihood", "sample") else ""
    return Duration(stage, family, work, seconds)


def recorded(results: Path) -> list[Duration]:
    """The durations in all records of a results folder; records that cannot be read count for nothing."""
    found = []
    for path in sorted(Path(results).rglob("run.json")):
        try:
            record = json.loads(path.read_text())
            found.append(duration_of(record["spec"], float(record["seconds"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def read_table(path: Path) -> list[Duration]:
    """The durations of a committed table; none where there is no table."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [
            Duration(row["stage"], row["family"], float(row["work"]), float(row["seconds"]))
            for row in csv.DictReader(file)
        ]


def write_table(path: Path, durations: Iterable[Duration]) -> None:
    """Write one row for each stage and family: the medians of its jobs."""
    groups: dict[tuple[str, str], list[Duration]] = {}
    for one in durations:
        groups.setdefault((one.stage, one.family), []).append(one)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Duration))
        for (stage, family), own in sorted(groups.items()):
            work = median(one.work for one in own)
            writer.writerow(astuple(Duration(stage, family, work, round(_rate(own) * work, 2))))


def estimate(task: Task, own: Sequence[Duration], table: Sequence[Duration]) -> float | None:
    """Seconds that a task will take; None where no job of its stage was ever measured.

    Jobs of the same stage and family come first, those of this machine before the table's; then other families of the
    stage, networks beside networks and what is fitted in closed form beside its like.
    """
    asked = duration_of(task.spec, 0)
    stages = [[one for one in known if one.stage == asked.stage] for known in (own, table)]
    same = [[one for one in stage if one.family == asked.family] for stage in stages]
    alike = [[one for one in stage if (one.work == 1) == (asked.work == 1)] for stage in stages]
    for like in (*same, *alike):
        if like:
            return START + _rate(like) * asked.work
    return None


def tell(tasks: Sequence[Task], own: Sequence[Duration], table: Sequence[Duration], cores: int) -> str:
    """One line: how many jobs of each stage, and about how long they take on so many cores."""
    seconds = {task.name: estimate(task, own, table) for task in tasks}
    counts = Counter(str(task.spec["stage"]) for task in tasks)
    parts = []
    for stage, number in counts.items():
        known = [time for task in tasks if task.spec["stage"] == stage and (time := seconds[task.name]) is not None]
        parts.append(f"{stage} {number}" + (f" ({_readable(sum(known))})" if known else ""))
    unknown = sum(time is None for time in seconds.values())
    wall = _wall(tasks, {name: time or 0.0 for name, time in seconds.items()}, cores)
    total = f"about {_readable(wall)} on {cores} core{'s' if cores > 1 else ''}"
    if unknown:
        total += f", and {unknown} job{'s' if unknown > 1 else ''} of which nothing is known"
    return f"{len(tasks)} job{'s' if len(tasks) != 1 else ''} to run: {', '.join(parts)}; {total}"


def _wall(tasks: Sequence[Task], seconds: Mapping[str, float], cores: int) -> float:
    """The longer of what the cores can do and what waits for each other; tasks are in the order of the DAG or not."""
    names = {task.name: task for task in tasks}
    ends: dict[str, float] = {}

    def end(name: str) -> float:
        if name not in ends:
            ends[name] = seconds[name] + max((end(one) for one in names[name].after if one in names), default=0.0)
        return ends[name]

    busy = sum(seconds[task.name] * min(task.threads, cores) for task in tasks) / cores
    return max([busy, *(end(task.name) for task in tasks)])


def _rate(durations: Sequence[Duration]) -> float:
    return median(one.seconds / one.work for one in durations)


def _readable(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
