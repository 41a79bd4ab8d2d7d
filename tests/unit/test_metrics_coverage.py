"""What the 95 % intervals cover and how often the paired tests cry wolf, on skewed and clustered data.

The quick tests repeat a few hundred times, the slow ones (`make test-slow`) enough to tell 95 % from 93 % and 97 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dalsegno.metrics import bootstrap

FAMILY_COUNTS = (20, 50, 100)
SKEWED = ("gamma", "exponential", "lognormal")


def drawn(random: np.random.Generator, kind: str, size: int) -> np.ndarray:
    """Values of mean 1 with a skewness of 1, 2 and 3.3."""
    if kind == "gamma":
        return random.gamma(4, 1 / 4, size)
    return random.exponential(1, size) if kind == "exponential" else random.lognormal(-(0.75**2) / 2, 0.75, size)


def studies(kind: str, families: int, number: int, seed: int) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """Families of 1, 2, 3 … pieces, whose tokens vary fivefold: family names, nats of two equal models, tokens."""
    random = np.random.default_rng([seed, families])
    for _ in range(number):
        family = np.repeat(np.arange(families), random.geometric(0.5, families))
        pieces = len(family)
        tokens = random.lognormal(5.5, 0.5, pieces)
        first = (drawn(random, kind, families)[family] + random.gamma(4, 1 / 4, pieces)) / 2
        second = (random.exponential(1, families)[family] + random.gamma(4, 1 / 4, pieces)) / 2
        # The second model goes with the first on most of a piece, and their difference is skewed, too.
        nats = np.stack([first, 0.8 * first + 0.2 * second]) * tokens
        yield [str(i) for i in family], nats, np.stack([tokens, tokens])


def coverage(kind: str, families: int, number: int, seed: int = 0) -> float:
    hits = []
    for trial, (names, nats, tokens) in enumerate(studies(kind, families, number, seed)):
        estimate = bootstrap.ratio(nats[0], tokens[0], trial, 999, names)
        hits.append(estimate.low <= 1.0 <= estimate.high)
    return float(np.mean(hits))


def false_alarms(kind: str, families: int, number: int, seed: int = 1) -> float:
    found = [
        bootstrap.difference(nats, tokens, names, trial, 999).p < 0.05
        for trial, (names, nats, tokens) in enumerate(studies(kind, families, number, seed))
    ]
    return float(np.mean(found))


def test_coverage_and_false_alarms_quick() -> None:
    """A percentile interval over pieces covers 77 % in the first."""
    assert 0.92 <= coverage("exponential", 20, 400) <= 0.98
    assert false_alarms("exponential", 20, 400) <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("families", FAMILY_COUNTS)
@pytest.mark.parametrize("kind", SKEWED)
def test_intervals_cover_what_they_say(kind: str, families: int) -> None:
    share = coverage(kind, families, 4000)
    print(f"{kind}, {families} families: 95 % intervals cover {share:.4f}")
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("families", FAMILY_COUNTS)
@pytest.mark.parametrize("kind", SKEWED)
def test_paired_tests_seldom_cry_wolf(kind: str, families: int) -> None:
    share = false_alarms(kind, families, 4000)
    print(f"{kind}, {families} families: the paired test rejects {share:.4f} of equal models")
    assert share <= 0.05
