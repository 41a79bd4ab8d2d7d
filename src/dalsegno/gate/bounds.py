"""Bounds: does a study keep the limits that it states?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dalsegno.metrics.rows import Row

CONTROLS = ("held_out", "train", "shuffled", "noise")


@dataclass(frozen=True)
class Verdict:
    """What became of one gate.

    Attributes:
        gate: the gate as the study states it.
        passed: whether every run that the gate speaks of keeps within its limits.
        reason: one sentence, with the run and the value that decided.
        unit: unit of the metric, empty where no row was found.
        value: the value nearest to, or furthest beyond, a limit; None where there is none.
        rows: number of rows looked at.
    """

    gate: dict[str, Any]
    passed: bool
    reason: str
    unit: str
    value: float | None
    rows: int


def check(rows: Iterable[Row], gates: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Judge every gate; what cannot be judged fails.

    A gate is `{metric, split?, dataset?, representation?, model?, sampler?, max?, min?}`. It speaks of every run (each
    seed, not their mean) whose row agrees with all the keys it names; of controls only where `model` names one.

    Raises:
        ValueError: a gate without a metric, without a limit, or with an unknown key.
    """
    table = list(rows)
    return [_judge(table, {key: value for key, value in gate.items() if value is not None}) for gate in gates]


def _judge(rows: Sequence[Row], gate: dict[str, Any]) -> Verdict:
    names = {"metric", "split", "dataset", "representation", "model", "sampler"}
    if unknown := sorted(set(gate) - names - {"max", "min"}):
        raise ValueError(f"gate {gate}: unknown keys {', '.join(unknown)}")
    if "metric" not in gate or not {"max", "min"} & set(gate):
        raise ValueError(f"gate {gate}: needs a metric and a max or a min")
    chosen = [
        row
        for row in rows
        if row.seed != "all"
        and (row.model not in CONTROLS or gate.get("model") == row.model)
        and all(getattr(row, key) == gate[key] for key in names & set(gate))
    ]
    if not chosen:
        return Verdict(gate, False, "no run has this metric", "", None, 0)
    undefined = [row for row in chosen if not math.isfinite(row.value)]
    if undefined:
        return Verdict(gate, False, f"undefined for {_name(undefined[0])}", chosen[0].unit, None, len(chosen))

    def room(row: Row) -> float:
        return min(gate.get("max", math.inf) - row.value, row.value - gate.get("min", -math.inf))

    worst = min(chosen, key=room)
    passed = room(worst) >= 0
    limit = "max" if gate.get("max", math.inf) - worst.value == room(worst) else "min"
    relation = {("max", True): "at most", ("min", True): "at least", ("max", False): "above", ("min", False): "below"}
    reason = f"{worst.value:.6g} is {relation[limit, passed]} {gate[limit]} in {_name(worst)}"
    return Verdict(gate, passed, reason, worst.unit, worst.value, len(chosen))


def _name(row: Row) -> str:
    return " ".join(part for part in (row.run or row.model, row.sampler) if part)
