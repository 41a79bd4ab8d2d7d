"""Intervals and paired tests: families, seeds, few pieces. What they cover: `test_metrics_coverage.py`."""

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


def test_families_are_drawn_whole() -> None:
    """Four copies of each tune say no more than one of each."""
    values = np.random.default_rng(3).normal(size=30)
    once = bootstrap.mean(values, seed=0)
    copies = bootstrap.mean(np.repeat(values, 4), seed=0, families=[str(i) for i in range(30) for _ in range(4)])
    assert (copies.n, once.n) == (120, 30)
    assert (copies.low, copies.high) != (once.low, once.high), "families are sorted by name, so the draws differ"
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.1)
    alone = bootstrap.mean(np.repeat(values, 4), seed=0)
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


def test_a_share_of_which_few_pieces_have_any_has_an_interval() -> None:
    values = np.zeros(40)
    values[0] = 1.0
    estimate = bootstrap.mean(values, seed=0)
    assert 0 == estimate.low < estimate.value < estimate.high < 0.2
    nothing = bootstrap.mean(np.zeros(40), seed=0)
    assert (nothing.low, nothing.high) == (0, 0)


def test_a_large_table_of_resamples_is_cut() -> None:
    assert bootstrap.draws(6000, 10_000, 0).shape == (1000, 6000)
    assert bootstrap.draws(77, 10_000, 0).shape == (10_000, 77)


def test_holm_by_hand() -> None:
    assert bootstrap.holm([0.01, 0.04, np.nan, 0.03]) == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)
    assert bootstrap.holm([0.6, 0.7]) == [1.0, 1.0]
    assert bootstrap.holm([]) == []


def test_a_difference_is_paired() -> None:
    """Pieces differ far more than models do; only their pairing shows which model is better."""
    random = np.random.default_rng(4)
    hard = random.gamma(4, 0.25, 40) * 1000
    nats = np.stack([hard, hard + random.normal(10, 5, 40)])
    tokens = np.full((2, 40), 1000.0)
    names = [str(i) for i in range(40)]
    found = bootstrap.difference(nats, tokens, names, seed=0)
    assert found.low < found.value < found.high < 0 and found.p < 0.001
    assert (found.n, found.families) == (40, 40)
    back = bootstrap.difference(nats[::-1], tokens, names, seed=0)
    assert (back.value, back.p) == (-found.value, found.p)
    alone = bootstrap.mean(nats[0] / 1000, seed=0)
    assert alone.low < nats[1].sum() / tokens[1].sum() < alone.high


def test_equal_models_do_not_differ_and_one_family_says_nothing() -> None:
    nats = np.tile(np.arange(1.0, 21.0), (2, 1))
    names = [str(i) for i in range(20)]
    same = bootstrap.difference(nats, np.ones((2, 20)), names, seed=0)
    assert (same.value, same.p) == (0, 1)
    assert np.isnan(bootstrap.difference(nats, np.ones((2, 20)), ["a"] * 20, seed=0).p)
