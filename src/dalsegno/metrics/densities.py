"""Samples of one number compared by their estimated densities, on one grid that holds them both.

Where a density stands counts here; `dalsegno.metrics.mgeval` holds the field's forms, in which it does not.

A density estimated by Gaussian kernels is a Fourier series: the sum of its values' waves, times the kernel's transform.
What an interval asks for, the density without each of the pieces, is then a subtraction, and its bandwidth one factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dalsegno.metrics import bootstrap

BINS = 128
REACH = 4  # bandwidths beyond the outermost value: all but 3e-5 of its kernel
NARROWEST = 1e-3  # bandwidth of values that are all the same, as a share of the grid
LEAST = 1e-9  # share of a bin at least, so that a divergence stays finite
VANISHED = 8.5  # bandwidths from a value, and deviations of a kernel's transform, at which 2e-16 of it is left


@dataclass(frozen=True)
class Samples:
    """K samples that are made of the same values: all of them, then what is left without some pieces.

    Attributes:
        values: all values, an array of any shape.
        sums: from numbers of that shape to `sums_K`, over the values of each sample.
    """

    values: np.ndarray
    sums: Callable[[np.ndarray], np.ndarray]

    def counts(self) -> np.ndarray:
        """`counts_K` of the values of each sample."""
        return self.sums(np.ones(self.values.shape))

    def bandwidths(self) -> np.ndarray:
        """`widths_K` of the kernels: Scott's rule."""
        counts_K, away = self.counts(), self.values - self.values.mean()
        squares_K = self.sums(away**2) - self.sums(away) ** 2 / counts_K
        return np.asarray(np.sqrt(np.maximum(squares_K, 0) / (counts_K - 1)) * counts_K**-0.2)


def whole(values: np.ndarray) -> Samples:
    """The one sample of all values."""
    return Samples(values, lambda numbers: numbers.sum()[None])


def without_rows(values_NxM: np.ndarray) -> Samples:
    """All values, and without the rows of each of `bootstrap.left_out`."""
    first_G, other_G = bootstrap.groups(len(values_NxM))

    def sums(numbers_NxM: np.ndarray) -> np.ndarray:
        by_group_G = np.add.reduceat(numbers_NxM.sum(axis=1), first_G)
        without_G = by_group_G.sum() - by_group_G
        return np.concatenate([by_group_G.sum()[None], without_G, without_G - by_group_G[other_G]])

    return Samples(values_NxM, sums)


def overlap(a: Samples, b: Samples) -> np.ndarray:
    """`area_K` under both densities: 1 for a sample and itself, 0 for samples that never meet."""
    return np.asarray(np.minimum(*shares(a, b)).sum(axis=1))


def divergence(a: Samples, b: Samples) -> np.ndarray:
    """`bits_K` of the Kullback-Leibler divergence of `a` from `b`; about 30 where they never meet."""
    first, second = (np.maximum(rows, LEAST) for rows in shares(a, b))
    first, second = (rows / rows.sum(axis=1, keepdims=True) for rows in (first, second))
    return np.asarray((first * np.log2(first / second)).sum(axis=1))


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """First Wasserstein distance of the samples themselves, in their unit."""
    values = np.sort(np.concatenate([a, b]))
    between = [np.searchsorted(np.sort(one), values[:-1], side="right") / len(one) for one in (a, b)]
    return float(np.abs(between[0] - between[1]) @ np.diff(values))


def shares(a: Samples, b: Samples) -> tuple[np.ndarray, np.ndarray]:
    """`shares_KxG` of either: what the densities (Gaussian kernels, Scott's bandwidth) put into each bin of one grid.

    The grid is that of all values: a sample without its outermost piece stays on it.
    """
    lowest, highest = min(a.values.min(), b.values.min()), max(a.values.max(), b.values.max())
    least = NARROWEST * max(float(highest - lowest), 1e-6)
    a_widths, b_widths = np.maximum(a.bandwidths(), least), np.maximum(b.bandwidths(), least)
    low = min(a.values.min() - REACH * a_widths[0], b.values.min() - REACH * b_widths[0])
    high = max(a.values.max() + REACH * a_widths[0], b.values.max() + REACH * b_widths[0])
    # Beyond the grid a kernel fades before the series begins again.
    period = high - low + (VANISHED - REACH) * max(a_widths.max(), b_widths.max())
    return _shares(a, a_widths, low, high, period), _shares(b, b_widths, low, high, period)


def _shares(one: Samples, widths_K: np.ndarray, low: float, high: float, period: float) -> np.ndarray:
    base = 2 * np.pi / period
    waves_J = base * np.arange(1, 1 + int(np.ceil(VANISHED / (base * widths_K.min()))))
    step = np.exp(1j * base * (one.values - low))
    wave, sums_JxK = step, []
    for _ in waves_J:
        sums_JxK.append(one.sums(wave))
        wave = wave * step
    kernels_KxJ = np.exp(-((widths_K[:, None] * waves_J) ** 2) / 2)
    edges = np.linspace(0, high - low, BINS + 1)
    over_bins_JxG = np.diff(np.exp(-1j * waves_J[:, None] * edges), axis=1) / (-1j * waves_J[:, None])
    density_KxG = 2 * ((np.array(sums_JxK).T / one.counts()[:, None] * kernels_KxJ) @ over_bins_JxG).real
    shares_KxG = density_KxG + np.diff(edges)
    return np.asarray(shares_KxG / shares_KxG.sum(axis=1, keepdims=True))
