"""What the 95 % intervals cover and how often the paired tests cry wolf, on skewed and clustered data.

The quick tests repeat a few hundred times, the slow ones (`make test-slow`) enough to tell 95 % from 93 % and 97 %.

Numbers of a set are biased by its size, so their intervals are asked to hold what sets of that size give on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from dalsegno.metrics import bootstrap
from dalsegno.metrics.base import HistogramDistance
from dalsegno.metrics.measure import summed_distance
from dalsegno.metrics.registry import METRICS, load_metric
from dalsegno.metrics.sets import SetMetric

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


DIMENSIONS = 12
PIECES = 48
SITUATIONS = 50
SETS = 20
"""How many situations of each kind, and sets in each: a reference of its own, and where apart a distance of its own.

One situation says little: a share of few pieces moves in steps, so that what its intervals cover hangs on where the
truth lies between two of them, and a reference with a short tail makes every divergence from it more skewed.
"""
NUMBERS = [
    name
    for name in METRICS
    if isinstance(metric := load_metric(name), HistogramDistance)
    or (isinstance(metric, SetMetric) and metric.jackknife)
]
"""All numbers of sets that have an interval."""


def drawn_points(random: np.random.Generator, pieces: int) -> np.ndarray:
    """Skewed features that go together."""
    loads = np.random.default_rng(99).normal(size=(3, DIMENSIONS)) / np.sqrt(3)
    common = random.normal(size=(pieces, 3)) @ loads
    return np.asarray(0.6 * common + 0.8 * (random.gamma(4, 1 / 2, (pieces, DIMENSIONS)) - 2))


def drawn_counts(random: np.random.Generator, pieces: int, shares: np.ndarray) -> np.ndarray:
    """Histograms of pieces, each with shares of its own about those of all, of 84 notes more or less."""
    notes = random.lognormal(np.log(80), 0.5, pieces).astype(int) + 4
    own = random.standard_gamma(20 * shares + 1e-3, (pieces, len(shares)))
    return random.multinomial(notes, own / own.sum(axis=1, keepdims=True)).astype(float)


def drawn_estimates(name: str, away: float, random: np.random.Generator, sets: int) -> list[bootstrap.Estimate]:
    """Of sets beside one reference: drawn as it is, or `away` (0 to 1) from it."""
    metric = load_metric(name)
    if isinstance(metric, HistogramDistance):
        shares, other = random.dirichlet(np.full(len(metric.labels), 0.5), 2)
        # Up to half of another histogram.
        counts = 10_000 * ((1 - away / 2) * shares + away / 2 * other)
        return [summed_distance(metric, drawn_counts(random, PIECES, shares), counts) for _ in range(sets)]
    assert isinstance(metric, SetMetric)
    metric = replace(metric, halves=False)
    reference = drawn_points(random, 100)
    # Up to a deviation to one side, and narrower.
    scale = 0.8 if away else 1.0
    return [metric.estimate(scale * drawn_points(random, PIECES) + away, reference) for _ in range(sets)]


def set_coverage(name: str, apart: bool, situations: int = SITUATIONS, sets: int = SETS, seed: int = 2) -> float:
    """How often the interval holds what sets of its situation give on average.

    That is the mean of all, of which the set itself counts half: of the others alone it would lie farther from the mean
    than from the truth, and nearer if it counted whole, by a twentieth of its variance either way.
    """
    hits = []
    for situation in range(situations):
        away = (situation + 0.5) / situations if apart else 0.0
        estimates = drawn_estimates(name, away, np.random.default_rng([seed, situation, apart]), sets)
        total = sum(estimate.value for estimate in estimates)
        truths = [(total - estimate.value / 2) / (sets - 0.5) for estimate in estimates]
        hits += [estimate.low <= truth <= estimate.high for estimate, truth in zip(estimates, truths, strict=True)]
    return float(np.mean(hits))


def test_coverage_of_sets_quick() -> None:
    """Student's t with the jackknife's error covers 92 % in the first; resampled histograms nearly all in the second."""
    assert 0.92 <= set_coverage("precision", False, 10, 20) <= 0.995
    assert 0.92 <= set_coverage("pitch_class_distance", True, 10, 20) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["near", "apart"])
@pytest.mark.parametrize("name", NUMBERS)
def test_intervals_of_sets_cover_what_they_say(name: str, apart: bool) -> None:
    share = set_coverage(name, apart)
    print(f"{name}, {'apart' if apart else 'near'}: 95 % intervals of {PIECES} pieces cover {share:.4f}")
    assert 0.93 <= share <= 0.97
