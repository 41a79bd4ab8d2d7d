"""Is a metric worse than its baseline by more than its noise? Seeds crossed with families of pieces.

An effect's variance is that of training seeds, nested in old and new, plus that of families of pieces, crossed with
both: the two-way random effects of multi-reader, multi-case studies (Obuchowski and Rockette, Communications in
Statistics 24, 1995), with Satterthwaite's degrees of freedom. Two seeds say little of their own noise, so it is
moderated by that of the study's other models (Smyth, Statistical Applications in Genetics 3, 2004), relative to their
values. `docs/adr/0009-a-gate-that-knows-its-noise.md` says what was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

LEVEL = 0.05
PRIOR = 2  # degrees of freedom that other models' seeds count for, at most
UNSTABLE = 0.01  # new seeds that scatter more than this probability allows do not describe the noise
MOST_SEEDS = 50

Better = Literal["lower", "higher", "same"]


@dataclass(frozen=True)
class Cell:
    """One metric of one model, old and new.

    Attributes:
        old_S, new_S: the metric under each seed.
        margin: the loss that is tolerated, in the metric's unit.
        better: which way is better; `same`: neither.
        fixed: seeds change nothing (fitted in closed form, or the very same weights).
        old_SxF, new_SxF: numerators by seed and family; absent where a metric has no families.
        below_F: the denominators.
        pool: cells of one pool have seed noise of one size, relative to their values.
    """

    old_S: np.ndarray
    new_S: np.ndarray
    margin: float
    better: Better = "lower"
    fixed: bool = False
    old_SxF: np.ndarray | None = None
    new_SxF: np.ndarray | None = None
    below_F: np.ndarray | None = None
    pool: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the test says of a cell.

    Attributes:
        status: better, same, worse or inconclusive.
        difference: new minus old, means over seeds; low, high: its 95 % interval.
        p: of a loss as large where there is none; q: corrected for all cells (Benjamini and Hochberg).
        seeds: how many seeds would decide an inconclusive cell; None where it is decided, or no number up to
            `MOST_SEEDS` would.
    """

    status: str
    difference: float
    low: float
    high: float
    p: float
    q: float
    seeds: int | None


def judge(cells: Sequence[Cell]) -> list[Outcome]:
    """Test every cell.

    Worse: a loss beyond noise (q below 0.05 over all cells) and above the margin. Same: a loss above the margin is
    excluded at 95 %. Better: a gain beyond noise. With no change at all, a false "worse" comes in at most 5 % of gates.
    """
    noise = _seed_noise(cells)
    found = [_test(cell, *own) for cell, own in zip(cells, noise, strict=True)]
    q_values = benjamini_hochberg([one.p for one in found])
    gains = benjamini_hochberg([one.gain for one in found])
    outcomes = []
    for cell, own, test, q, gain in zip(cells, noise, found, q_values, gains, strict=True):
        if q < LEVEL and test.loss > cell.margin:
            status = "worse"
        elif gain < LEVEL and test.loss < 0:
            status = "better"
        elif test.worst < cell.margin:
            status = "same"
        else:
            status = "inconclusive"
        seeds = _needed(cell, test, *own) if status == "inconclusive" else None
        outcomes.append(Outcome(status, test.difference, test.low, test.high, test.p, q, seeds))
    return outcomes


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """False-discovery rates, in the same order; NaN counts as no test.

    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57 (1995). It holds under positive dependence
    (Benjamini and Yekutieli, Annals of Statistics 29, 2001), which metrics of the same pieces have; where nothing
    changed, it bounds the chance of a single false alarm.
    """
    values = np.asarray(p_values, float)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    scaled = values[order] * len(order) / np.arange(1, len(order) + 1)
    corrected = np.full(len(values), np.nan)
    corrected[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return [float(value) for value in corrected]


@dataclass(frozen=True)
class _Test:
    difference: float
    low: float
    high: float
    loss: float
    worst: float
    p: float
    gain: float
    families: float


def _test(cell: Cell, variance: float, freedom: float) -> _Test:
    difference = float(cell.new_S.mean() - cell.old_S.mean())
    loss = {"lower": difference, "higher": -difference, "same": abs(difference)}[cell.better]
    families, count = _family_variance(cell)
    seeds = 0.0 if cell.fixed else variance * (1 / len(cell.old_S) + 1 / len(cell.new_S))
    total = seeds + families
    if not np.isfinite(total) or not np.isfinite(difference):
        return _Test(difference, np.nan, np.nan, loss, np.inf, 1.0, 1.0, families)
    if total == 0:
        p = 1.0 if loss <= 0 else 0.0
        return _Test(difference, difference, difference, loss, loss, p, float(loss >= 0), families)
    parts = [(seeds, freedom), (families, count - 1)]
    degrees = total**2 / sum(part**2 / nu for part, nu in parts if part > 0)
    error = float(np.sqrt(total))
    half = float(stats.t.ppf(1 - LEVEL / 2, degrees)) * error
    p = float(stats.t.sf(loss / error, degrees)) * (2 if cell.better == "same" else 1)
    gain = 1.0 if cell.better == "same" else float(stats.t.sf(-loss / error, degrees))
    worst = loss + float(stats.t.ppf(1 - LEVEL, degrees)) * error
    return _Test(difference, difference - half, difference + half, loss, worst, p, gain, families)


def _family_variance(cell: Cell) -> tuple[float, int]:
    """Jackknife variance over families of the difference of both ratios, and the number of families."""
    if cell.old_SxF is None or cell.new_SxF is None or cell.below_F is None:
        return 0.0, 0
    total = cell.below_F.sum()
    change_F = cell.new_SxF.mean(axis=0) - cell.old_SxF.mean(axis=0)
    residual_F = (change_F - change_F.sum() / total * cell.below_F) / total
    others_F = 1 - cell.below_F / total
    pulled_F = np.divide(residual_F, others_F, out=np.zeros_like(residual_F), where=others_F > 0)
    return float((pulled_F**2).sum()), len(cell.below_F)


def _seed_noise(cells: Sequence[Cell]) -> list[tuple[float, float]]:
    """Variance between seeds and its degrees of freedom, moderated by the pool's other cells; NaN where unknown."""
    old = [_squares(cell.old_S) for cell in cells]
    new = [_squares(cell.new_S) for cell in cells]
    result = []
    for i, cell in enumerate(cells):
        scale = float(cell.old_S.mean()) ** 2
        others = [j for j, other in enumerate(cells) if j != i and other.pool == cell.pool and not other.fixed]
        squares = sum(old[j][0] + new[j][0] for j in others)
        freedom = sum(old[j][1] + new[j][1] for j in others)
        weight = min(PRIOR, freedom)
        prior = weight * squares / freedom if freedom else 0.0

        def moderated(squares: float, own: int, prior: float = prior, weight: float = weight) -> tuple[float, float]:
            return ((prior + squares) / (weight + own), weight + own) if weight + own else (np.nan, np.nan)

        variance, degrees = moderated(old[i][0], old[i][1])
        if new[i][1] and variance > 0:
            # Where one new seed went astray, its scatter must not excuse it.
            ratio = new[i][0] / new[i][1] / variance
            if stats.f.sf(ratio, new[i][1], degrees) >= UNSTABLE:
                variance, degrees = moderated(old[i][0] + new[i][0], old[i][1] + new[i][1])
        elif new[i][1]:
            variance, degrees = moderated(old[i][0] + new[i][0], old[i][1] + new[i][1])
        result.append((variance * scale, degrees))
    return result


def _squares(values_S: np.ndarray) -> tuple[float, int]:
    """Sum of squares about the mean, relative to the mean, and its degrees of freedom."""
    centre = float(values_S.mean())
    return (float(((values_S / centre - 1) ** 2).sum()) if centre else np.nan), len(values_S) - 1


def _needed(cell: Cell, test: _Test, variance: float, freedom: float) -> int | None:
    """The fewest seeds on either side that would tell whether the loss seen is above the margin."""
    room = abs(cell.margin - test.loss)
    if not np.isfinite(variance) or cell.fixed:
        return None
    for seeds in range(max(len(cell.old_S), len(cell.new_S)) + 1, MOST_SEEDS + 1):
        degrees = freedom + 2 * seeds - len(cell.old_S) - len(cell.new_S)
        error = np.sqrt(2 * variance / seeds + test.families)
        if stats.t.ppf(1 - LEVEL, degrees) * error < room:
            return seeds
    return None
