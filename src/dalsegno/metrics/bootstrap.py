"""Confidence intervals over pieces by the bootstrap: seeded, vectorised, honest about few pieces.

Pieces are drawn with replacement and not notes or tokens, which are far from independent within a piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value, its interval (NaN where there is none) and the number of pieces it rests on."""

    value: float
    low: float
    high: float
    n: int


def draws(n: int, resamples: int, seed: int) -> np.ndarray:
    """`times_RxN`: how often each of `n` pieces stands in each resample; every row sums to `n`."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)


def tail(n: int, level: float = LEVEL) -> float:
    """Probability to cut from each end of the bootstrap distribution of `n` pieces.

    Wider than (1 - level) / 2, since percentile intervals of few pieces are too narrow: the "expanded percentile"
    of Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015).
    """
    t = stats.t.ppf((1 - level) / 2, n - 1)
    return float(stats.norm.cdf(np.sqrt(n / (n - 1)) * t))


def interval(replicates_R: np.ndarray, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Both ends of the percentile interval of replicates taken from `n` pieces; NaN for one piece."""
    finite = replicates_R[np.isfinite(replicates_R)]
    if n < 2 or not len(finite):
        return np.nan, np.nan
    cut = tail(n, level)
    low, high = np.quantile(finite, [cut, 1 - cut])
    return float(low), float(high)


def ratio(numerators_N: np.ndarray, denominators_N: np.ndarray, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Sum over sum with its interval: the micro average of per-piece sums (nats over tokens).

    Pieces without a finite numerator and denominator are left out; undefined where the denominators sum to 0.
    """
    kept = np.isfinite(numerators_N) & np.isfinite(denominators_N)
    above, below = np.asarray(numerators_N, float)[kept], np.asarray(denominators_N, float)[kept]
    n = len(above)
    if n == 0 or below.sum() == 0:
        return Estimate(np.nan, np.nan, np.nan, n)
    times = draws(n, resamples, seed)
    total = times @ below
    replicates = np.divide(times @ above, total, out=np.full(resamples, np.nan), where=total > 0)
    return Estimate(float(above.sum() / below.sum()), *interval(replicates, n), n)


def mean(values_N: np.ndarray, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Mean over the pieces where the value is defined, with its interval."""
    values = np.asarray(values_N, float)
    return ratio(values, np.ones(len(values)), seed, resamples)


def recentred(value: float, replicates_R: np.ndarray, n: int) -> Estimate:
    """An estimate whose replicates are biased by resampling, such as a divergence.

    Resampled histograms are rougher than the histogram they come from, so their divergences lie too high; the
    replicates are moved until their mean is the estimate, and cut at 0.
    """
    moved = replicates_R - np.nanmean(replicates_R) + value if np.isfinite(replicates_R).any() else replicates_R
    low, high = interval(moved, n)
    return Estimate(value, max(low, 0.0) if np.isfinite(low) else low, high, n)
