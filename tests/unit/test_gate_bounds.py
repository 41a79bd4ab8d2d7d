"""A gate never passes in silence."""

import math
from typing import Any

import pytest

from dalsegno.gate.bounds import check
from dalsegno.metrics.bootstrap import Estimate
from dalsegno.metrics.rows import Identity, Row


def row(model: str, seed: str, value: float, metric: str = "nll") -> Row:
    run = f"d-r-{model}-s{seed}" if seed.isdigit() else ""
    identity = Identity(study="s", dataset="d", run=run, representation="r", model=model, seed=seed)
    return identity.row(metric, "nats/token", Estimate(value, math.nan, math.nan, 3), split="test")


ROWS = [
    row("gru", "0", 0.5),
    row("gru", "1", 0.7),
    row("gru", "all", 0.6),
    row("held_out", "", 99.0),
    row("gru", "0", math.nan, "broken"),
]


@pytest.mark.parametrize(
    ("gate", "passed", "reason"),
    [
        ({"metric": "nll", "split": "test", "max": 0.8}, True, "0.7 is at most 0.8 in d-r-gru-s1"),
        ({"metric": "nll", "split": "test", "max": 0.65}, False, "0.7 is above 0.65 in d-r-gru-s1"),
        ({"metric": "nll", "split": "test", "min": 0.6}, False, "0.5 is below 0.6 in d-r-gru-s0"),
        ({"metric": "nll", "min": 0.4, "max": 0.7}, True, "0.7 is at most 0.7 in d-r-gru-s1"),
        ({"metric": "nll", "split": "valid", "max": 9}, False, "no run has this metric"),
        ({"metric": "nll", "model": "lstm", "max": 9}, False, "no run has this metric"),
        ({"metric": "nlll", "max": 9}, False, "no run has this metric"),
        ({"metric": "broken", "max": 9}, False, "undefined for d-r-gru-s0"),
        ({"metric": "nll", "model": "held_out", "max": 9}, False, "99 is above 9 in held_out"),
        ({"metric": "nll", "model": None, "max": 0.8}, True, "0.7 is at most 0.8 in d-r-gru-s1"),
    ],
)
def test_verdicts(gate: dict[str, Any], passed: bool, reason: str) -> None:
    (verdict,) = check(ROWS, [gate])
    assert (verdict.passed, verdict.reason) == (passed, reason)


@pytest.mark.parametrize("gate", [{"metric": "nll"}, {"max": 1}, {"metric": "nll", "max": 1, "modle": "gru"}])
def test_gates_that_say_nothing_are_errors(gate: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="gate"):
        check(ROWS, [gate])
