"""Intervals: coverage on simulated data, seeds, and few pieces."""

import numpy as np
import pytest

from dalsegno.metrics import bootstrap


@pytest.mark.parametrize("n", [5, 20])
def test_coverage_of_the_mean(n: int) -> None:
    """Nominally 95 %; a plain percentile interval covers 83 % at n = 5."""
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        estimate = bootstrap.mean(random.normal(3.0, 1.0, n), seed=trial, resamples=500)
        hits += estimate.low <= 3.0 <= estimate.high
    assert 0.90 <= hits / 400 <= 0.99


def test_a_ratio_is_sum_over_sum_and_not_a_mean_of_ratios() -> None:
    estimate = bootstrap.ratio(np.array([1.0, 90.0]), np.array([1.0, 30.0]), seed=0)
    assert estimate.value == pytest.approx(91 / 31)
    assert estimate.low <= estimate.value <= estimate.high


def test_seeded() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert bootstrap.mean(values, seed=3) == bootstrap.mean(values, seed=3)
    assert bootstrap.mean(values, seed=3) != bootstrap.mean(values, seed=4)


def test_undefined_values_are_left_out_and_counted_out() -> None:
    estimate = bootstrap.mean(np.array([1.0, np.nan, 3.0]), seed=0)
    assert (estimate.value, estimate.n) == (2.0, 2)
    nothing = bootstrap.mean(np.array([np.nan]), seed=0)
    assert np.isnan(nothing.value) and nothing.n == 0


def test_one_piece_has_no_interval() -> None:
    estimate = bootstrap.mean(np.array([2.0]), seed=0)
    assert estimate.value == 2.0
    assert np.isnan([estimate.low, estimate.high]).all()


def test_intervals_narrow_with_more_pieces() -> None:
    random = np.random.default_rng(2)
    few = bootstrap.mean(random.normal(size=10), seed=0)
    many = bootstrap.mean(random.normal(size=1000), seed=0)
    assert many.high - many.low < 0.3 * (few.high - few.low)


def test_recentred_replicates_hold_the_estimate() -> None:
    estimate = bootstrap.recentred(0.1, np.random.default_rng(0).normal(0.3, 0.02, 500), n=20)
    assert 0 <= estimate.low < 0.1 < estimate.high < 0.2
