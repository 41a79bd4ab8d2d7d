"""Intervals of numbers of a set. What they cover: `test_metrics_coverage.py`."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from dalsegno.metrics import jackknife


def interval(number: Callable[[np.ndarray], float], values: np.ndarray, lowest: float) -> tuple[float, float]:
    left = np.array([number(np.delete(values, rows)) for rows in jackknife.left_out(len(values))])
    return jackknife.interval(number(values), left, lowest)


def test_the_interval_of_a_mean_is_students() -> None:
    """As many degrees of freedom as pieces less one, where their squares are no less even than a normal sample's."""
    values = np.random.default_rng(5).uniform(size=40)
    error = stats.sem(values) * stats.t.ppf(0.975, 39)
    assert interval(np.mean, values, -np.inf) == pytest.approx((values.mean() - error, values.mean() + error))
    assert interval(lambda x: 3.0, values, 0.0) == (3.0, 3.0)


def test_a_variance_that_one_piece_makes_is_badly_known() -> None:
    values = np.append(np.random.default_rng(5).uniform(size=39), 20.0)
    low, high = interval(np.mean, values, -np.inf)
    assert (high - low) / 2 == pytest.approx(stats.sem(values) * stats.t.ppf(0.975, jackknife.FEWEST))


def test_what_begins_at_0_stays_above_it_and_counts_as_a_ratio() -> None:
    values = np.random.default_rng(7).exponential(size=12)
    low, high = interval(np.mean, values, 0.0)
    ten_low, ten_high = interval(lambda x: 10 * x.mean(), values, 0.0)
    assert 0 < low < values.mean() < high and high - values.mean() > values.mean() - low
    assert (ten_low, ten_high) == pytest.approx((10 * low, 10 * high))


def test_a_share_of_which_one_piece_has_any_has_an_interval() -> None:
    values = np.zeros(40)
    values[0] = 1.0
    low, high = interval(np.mean, values, 0.0)
    assert 0 == low < values.mean() < high < 0.2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_all_pieces_have_may_be_less(share: float) -> None:
    left = np.full(2 * 48, share)
    low, high = jackknife.interval(share, left, 0.0, 1.0)
    assert high - low == pytest.approx(1 - 0.05 ** (1 / 48)) and share in (low, high) and 0 <= low < high <= 1
    assert jackknife.interval(share, left) == (share, share), "no share"


def test_what_two_pieces_tell_together_is_not_counted_twice() -> None:
    """Of two parts of one variance, one by pieces, one by pairs, the jackknife counts the second twice."""
    values = np.random.default_rng(6).normal(size=60)
    values -= values.mean()
    for shift, pairs, divisor in ((0.0, True, 2.0), (3.0, True, 1.0), (0.0, False, 1.0)):
        left = np.array([np.delete(values + shift, rows).mean() ** 2 for rows in jackknife.left_out(60)])
        single = left[:60]
        error = np.sqrt(59 / 60 * ((single - single.mean()) ** 2).sum())
        low, high = jackknife.interval(shift**2, left, -np.inf, pairs=pairs)
        freedom = jackknife._freedom((single - single.mean()) ** 2)
        assert (high - low) / 2 == pytest.approx(error / np.sqrt(divisor) * stats.t.ppf(0.975, freedom), rel=0.02)


def test_large_sets_are_left_out_in_groups() -> None:
    rows = jackknife.left_out(250)
    assert len(rows) == 2 * jackknife.GROUPS
    assert sorted(np.concatenate(rows[: jackknife.GROUPS]).tolist()) == list(range(250))
    assert all(len(set(pair.tolist())) == len(pair) >= 4 for pair in rows[jackknife.GROUPS :])
