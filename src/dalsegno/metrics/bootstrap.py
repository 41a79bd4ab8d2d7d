"""Confidence intervals by the bootstrap over families of pieces: seeded, vectorised, honest about few pieces.

Families are drawn with replacement, whole: neither notes or tokens, which are far from independent within a piece, nor
pieces, which are not independent where they are the same tune set anew.

Intervals are studentised (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5), since percentile
intervals of skewed, clustered values are too narrow (88 % to 92 % in place of 95 % with 20 families). Two things widen
them where families are few: the error of the estimate is the jackknife's, which knows that a large family pulls the
estimate towards itself (MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 38, 2023), and the tails are
Hesterberg's. `tests/unit/test_metrics_coverage.py` simulates what they cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit  # scipy.stats would cost every job half a second

RESAMPLES = 10_000
LEVEL = 0.95
FEW = 10  # families; with fewer, resamples are too alike for a studentised interval
CELLS = 5_000_000  # resamples times families, 40 MB; beyond, fewer resamples, but never fewer than:
ENOUGH = 1000


@dataclass(frozen=True)
class Estimate:
    """A value, its interval (NaN where there is none), the number of pieces it rests on, and a note on it.

    Attributes:
        note: why the value is undefined, where that needs saying.
    """

    value: float
    low: float
    high: float
    n: int
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """The difference of two ratios on the same pieces.

    Attributes:
        low, high: 95 % interval.
        p: two-sided probability of a difference as large where there is none.
        n: pieces; families: those that were resampled.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    families: int


@lru_cache(maxsize=4)
def draws(n: int, resamples: int, seed: int) -> np.ndarray:
    """`times_RxN` (float, read-only): how often each of `n` families stands in each resample; rows sum to `n`.

    R is `resamples`, or less where the table would be larger than `CELLS`.
    """
    resamples = min(resamples, max(ENOUGH, CELLS // n))
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    times.flags.writeable = False
    return times


def tail(n: int, level: float = LEVEL) -> float:
    """Probability to cut from each end of the bootstrap distribution of `n` families.

    Smaller than (1 - level) / 2, since intervals of few families are too narrow: the "expanded percentile"
    of Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015).
    """
    t = stdtrit(n - 1, (1 - level) / 2)
    return float(ndtr(np.sqrt(n / (n - 1)) * t))


def interval(replicates_R: np.ndarray, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Both ends of the percentile interval of replicates taken from `n` families; NaN for one family."""
    finite = replicates_R[np.isfinite(replicates_R)]
    if n < 2 or not len(finite):
        return np.nan, np.nan
    cut = tail(n, level)
    low, high = np.quantile(finite, [cut, 1 - cut])
    return float(low), float(high)


def ratio(
    numerators_N: np.ndarray,
    denominators_N: np.ndarray,
    seed: int,
    resamples: int = RESAMPLES,
    families: Sequence[str] | None = None,
) -> Estimate:
    """Sum over sum with its interval: the micro average of per-piece sums (nats over tokens).

    Pieces without a finite numerator and denominator are left out; undefined where the denominators sum to 0.

    Args:
        families: family of each piece; left out, every piece is its own.
    """
    kept = np.isfinite(numerators_N) & np.isfinite(denominators_N)
    above, below = np.asarray(numerators_N, float)[kept], np.asarray(denominators_N, float)[kept]
    n = len(above)
    if n == 0 or below.sum() == 0:
        return Estimate(np.nan, np.nan, np.nan, n)
    by_family = _sums(np.stack([above, below]), families, kept)
    value, error, replicates, studentised = _contrast(by_family[:1], by_family[1:], np.ones(1), seed, resamples)
    return Estimate(value, *_ends(value, error, replicates, studentised, by_family.shape[1]), n)


def mean(
    values_N: np.ndarray, seed: int, resamples: int = RESAMPLES, families: Sequence[str] | None = None
) -> Estimate:
    """Mean over the pieces where the value is defined, with its interval."""
    values = np.asarray(values_N, float)
    return ratio(values, np.ones(len(values)), seed, resamples, families)


def difference(
    numerators_2xN: np.ndarray,
    denominators_2xN: np.ndarray,
    families: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
) -> Difference:
    """First ratio minus the second on the same pieces: a paired test, resampled by family.

    The p-value is that of |t| in the studentised bootstrap (of Student's t below `FEW` families); NaN where fewer than
    two families define both ratios.
    """
    above, below = np.asarray(numerators_2xN, float), np.asarray(denominators_2xN, float)
    kept = np.isfinite(above).all(axis=0) & np.isfinite(below).all(axis=0)
    by_family = _sums(np.concatenate([above, below])[:, kept], families, kept)
    n, count = int(kept.sum()), by_family.shape[1]
    if count < 2 or not by_family[2:].sum(axis=1).all():
        return Difference(np.nan, np.nan, np.nan, np.nan, n, count)
    signs = np.array([1.0, -1.0])
    value, error, replicates, studentised = _contrast(by_family[:2], by_family[2:], signs, seed, resamples)
    if error == 0:
        p = 1.0 if value == 0 else 0.0
    elif count < FEW:
        p = float(2 * stdtr(count - 1, -abs(value) / error))
    else:
        p = float((1 + (np.abs(studentised) >= abs(value) / error).sum()) / (1 + len(studentised)))
    return Difference(value, *_ends(value, error, replicates, studentised, count), p, n, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the same order; NaN counts as no test.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6 (1979): bounds
    the chance of a single false alarm, whatever the tests have to do with each other.
    """
    values = np.asarray(p_values, float)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    corrected = np.full(len(values), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(value) for value in corrected]


def _sums(columns_CxN: np.ndarray, families: Sequence[str] | None, kept_M: np.ndarray) -> np.ndarray:
    """`sums_CxF` of the columns of the M pieces that were kept, by family."""
    if families is None:
        return columns_CxN
    _, family_N = np.unique(np.asarray(families, dtype=object)[kept_M].astype(str), return_inverse=True)
    return np.array([np.bincount(family_N, column) for column in columns_CxN])


def _contrast(
    above_KxF: np.ndarray, below_KxF: np.ndarray, signs_K: np.ndarray, seed: int, resamples: int
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """A signed sum of ratios of sums: value, jackknife error, replicates and studentised replicates (R each)."""
    total_K = below_KxF.sum(axis=1)
    ratio_K = above_KxF.sum(axis=1) / total_K
    value = float(signs_K @ ratio_K)
    residual_KxF = (above_KxF - ratio_K[:, None] * below_KxF) / total_K[:, None]
    others_KxF = 1 - below_KxF / total_K[:, None]
    jackknife_KxF = np.divide(residual_KxF, others_KxF, out=np.zeros_like(residual_KxF), where=others_KxF > 0)
    error = float(np.sqrt(((signs_K @ jackknife_KxF) ** 2).sum()))

    times_RxF = draws(above_KxF.shape[1], resamples, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        total_RxK = times_RxF @ below_KxF.T
        ratio_RxK = (times_RxF @ above_KxF.T) / total_RxK
        # A replicate's error is a quadratic form in the sums of products, which one product of matrices gives.
        columns_FxC = np.concatenate([above_KxF, below_KxF]).T
        products = (
            times_RxF @ (columns_FxC[:, :, None] * columns_FxC[:, None, :]).reshape(len(columns_FxC), -1)
        ).reshape(len(times_RxF), columns_FxC.shape[1], -1)
        weights_RxC = np.concatenate([signs_K / total_RxK, -signs_K * ratio_RxK / total_RxK], axis=1)
        variance_R = np.einsum("rc,rcd,rd->r", weights_RxC, products, weights_RxC)
        replicates_R = ratio_RxK @ signs_K
        # Cancellation leaves some 1e-16 of the products where a resample holds one family only.
        variance_R[variance_R < 1e-12 * error**2] = 0
        studentised_R = (replicates_R - value) / np.sqrt(variance_R)
    studentised_R[np.isclose(replicates_R, value, rtol=1e-12, atol=0) & (variance_R == 0)] = 0
    return value, error, replicates_R, studentised_R


def _ends(
    value: float, error: float, replicates_R: np.ndarray, studentised_R: np.ndarray, families: int
) -> tuple[float, float]:
    """Both ends of the studentised interval; of the percentile interval where there are too few families for it, or
    where resamples without any variation (a share of which few pieces have any) leave it without an end."""
    if families >= FEW and error > 0 and not np.isnan(studentised_R).any():
        cut = tail(families)
        with np.errstate(invalid="ignore"):
            upper, lower = np.quantile(studentised_R, [1 - cut, cut], method="closest_observation")
        if np.isfinite([lower, upper]).all():
            return float(value - upper * error), float(value - lower * error)
    return interval(replicates_R, families)
