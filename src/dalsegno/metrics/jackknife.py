"""Confidence intervals of numbers of a whole set of pieces, such as a distance to another: by what each piece adds.

They are for what sets of as many pieces give on average, all else fixed. The set itself cannot be resampled: a piece
beside its twin breaks what counts neighbours, and a resample lies farther from any other set than the set does. So
pieces are left out (Tukey 1958; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11).
`tests/unit/test_metrics_coverage.py` simulates what the intervals cover.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit  # scipy.stats would cost every job half a second

from dalsegno.metrics.bootstrap import LEVEL

GROUPS = 100  # of pieces, each of which is left out once
FEWEST = 2  # degrees of freedom
VAGUE = 4.0  # squared error of a logarithm beyond which it says nothing: of numbers that are 0 but for rounding


def groups(n: int) -> tuple[np.ndarray, np.ndarray]:
    """`first_G`, the first piece of each group of `n` pieces, and `other_G`, the group that it makes a pair with.

    Groups are single pieces up to `GROUPS`. Those of a pair stand a third of the set apart: a batch may be alike.
    """
    g = min(n, GROUPS)
    sizes_G = np.full(g, n // g) + (np.arange(g) < n % g)
    return np.cumsum(sizes_G) - sizes_G, np.roll(np.arange(g), -max(g // 3, 1))


def left_out(n: int) -> list[np.ndarray]:
    """The rows of `n` pieces that `interval` asks a number without: each of G `groups`, then G pairs of them."""
    first_G, other_G = groups(n)
    rows = np.split(np.arange(n), first_G[1:])
    return rows + [np.concatenate([rows[i], rows[other]]) for i, other in enumerate(other_G)]


def interval(
    value: float, left_2G: np.ndarray, lowest: float = 0.0, highest: float = np.inf, pairs: bool = True
) -> tuple[float, float]:
    """Both ends of the interval of a number of a set; cut at the number's range, and never without the number.

    A number that begins at 0 is taken by its logarithm, where its error hardly depends on how large it came out; the
    plain error of a divergence goes with the divergence. The mean of such a number lies above its median by half its
    squared error (Cox's interval; Land, An Evaluation of Approximate Confidence Interval Estimation Methods for
    Lognormal Means, Technometrics 14, 1972). The other half that is added was chosen on simulated sets: a set that
    lies near by chance looks more exact than it is.

    Where all pieces have a share, or none has, the jackknife sees no error. The interval then reaches to the share of
    which as many pieces would show nothing with a probability of one in twenty ("rule of three").

    Args:
        left_2G: the number without each of `left_out`.
        pairs: whether what two pieces tell together is taken off.
    """
    if (left_2G == value).all() and value in (lowest, highest) and np.isfinite(highest):
        unseen = (highest - lowest) * (1 - (1 - LEVEL) ** (2 / len(left_2G)))
        return (value, value + unseen) if value == lowest else (value - unseen, value)
    if lowest == 0 and value > 0 and (left_2G > 0).all():
        reach, variance = _reach(float(np.log(value)), np.log(left_2G), pairs)
        if variance <= VAGUE:
            low, high = value * np.exp(variance + np.array([-reach, reach]))
            return float(max(min(low, value), lowest)), float(min(max(high, value), highest))
    reach, _ = _reach(value, left_2G, pairs)
    return float(max(value - reach, lowest)), float(min(value + reach, highest))


def _reach(value: float, left_2G: np.ndarray, pairs: bool) -> tuple[float, float]:
    """Half the width of the interval of a number, and its variance by the jackknife.

    That variance counts what two pieces tell together twice, which is all there is where a distance is near its least
    value (Efron and Stein, The Jackknife Estimate of Variance, Annals of Statistics 9, 1981). How much that is, the
    pairs say, and the variance is divided by one plus its share, two at most: by less than the difference of both,
    since few pairs know it badly, and count what three or more pieces tell together thrice and more. Where single
    pieces make the number, the variance is right as it is, and the pairs tell of the same pieces again.

    How well a variance is known depends on how evenly the pieces make it: the degrees of freedom of Student's t are
    those that the kurtosis of the pieces' parts leaves (Satterthwaite, Biometrics Bulletin 2, 1946).
    """
    single_G, pair_G = np.split(left_2G, 2)
    g = len(single_G)
    squares_G = (single_G - single_G.mean()) ** 2
    variance = (g - 1) / g * float(squares_G.sum())
    if variance == 0:
        return 0.0, 0.0
    other_G = single_G[groups(g)[1]]
    together_G = g * value - (g - 1) * (single_G + other_G) + (g - 2) * pair_G
    twice = g / (g - 1) / 2 * float((together_G**2).mean())
    divisor = 1 + min(twice / variance, 1) if pairs else 1.0
    deviations = -stdtrit(_freedom(squares_G), (1 - LEVEL) / 2)
    return float(deviations * np.sqrt(variance / divisor)), variance


def _freedom(squares_G: np.ndarray) -> float:
    """Degrees of freedom of a mean of squares."""
    g = len(squares_G)
    kurtosis = float((squares_G**2).mean() / squares_G.mean() ** 2)
    # That of G values is at most G, whatever it truly is.
    kurtosis /= max(1 - kurtosis / g, 0.05)
    return float(np.clip(2 * g / max(kurtosis - 1, 1e-9), FEWEST, max(g - 1, FEWEST)))
