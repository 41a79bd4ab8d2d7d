"""A metric that does not put held-out music before shuffled music before noise is marked so."""

import math

import pytest

from dalsegno.metrics.bootstrap import Estimate
from dalsegno.metrics.discrimination import verdict
from dalsegno.metrics.rows import Identity, Row

Numbers = tuple[float, float, float]


def controls(held_out: Numbers, shuffled: Numbers, noise: Numbers, train: float = 1.0) -> list[Row]:
    values = {"train": (train, train, train), "held_out": held_out, "shuffled": shuffled, "noise": noise}
    return [
        Identity(study="s", dataset="d", model=model).row("m", "x", Estimate(*numbers, 10))
        for model, numbers in values.items()
    ]


@pytest.mark.parametrize(
    ("held_out", "shuffled", "noise", "expected"),
    [
        ((1.1, 0.9, 1.3), (2.0, 1.8, 2.2), (3.0, 2.9, 3.1), ""),
        ((1.1, 0.9, 1.3), (0.5, 0.4, 0.6), (0.1, 0.0, 0.2), ""),
        ((1.1, 0.9, 1.3), (1.1, 0.9, 1.3), (3.0, 2.9, 3.1), "shuffled"),
        ((1.1, 0.9, 1.3), (2.0, 1.0, 3.1), (3.0, 2.9, 3.1), "shuffled and noise"),
        ((1.1, 0.9, 1.3), (3.0, 2.9, 3.1), (2.0, 1.8, 2.2), "noise"),
        ((1.1, math.nan, math.nan), (1.1, math.nan, math.nan), (3.0, math.nan, math.nan), "shuffled"),
        ((math.nan,) * 3, (2.0, 1.8, 2.2), (3.0, 2.9, 3.1), "undefined"),
    ],
)
def test_verdicts(held_out: Numbers, shuffled: Numbers, noise: Numbers, expected: str) -> None:
    assert verdict(controls(held_out, shuffled, noise)) == expected


def test_a_control_that_is_missing_leaves_it_open() -> None:
    assert verdict(controls((1, 1, 1), (2, 2, 2), (3, 3, 3))[:3]) == "undefined"
