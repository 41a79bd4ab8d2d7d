"""Samples of one number compared by their estimated densities, on one grid that holds them both.

Where a density stands counts here; `dalsegno.metrics.mgeval` holds the field's forms, in which it does not.

A density estimated by Gaussian kernels is a Fourier series: the sum of its values' waves, times the kernel's transform.
What an interval asks for, the density without each of the pieces, is then a subtraction, and its bandwidth one factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from dalsegno.metrics import jackknife

BINS = 128
REACH = 4  # bandwidths beyond the outermost value: all but 3e-5 of its kernel
NARROWEST = 1e-3  # bandwidth of values that are all the same, as a share of the grid
LEAST = 1e-9  # share of a bin at least, so that a divergence stays finite
VANISHED = 8.5  # bandwidths from a value, and deviations of a kernel's transform, at which 2e-16 of it is left


@dataclass(frozen=True)
class Samples:
    """K samples that are made of the same values: all of them, then what is left without some pieces.

    Attributes:
        lowest, highest: of all values.
        counts_K: values of each sample.
        widths_K: bandwidths of the kernels, Scott's rule.
        waves: from `waves_J`, in radians a unit, and a zero to `sums_JxK` of exp(i wave (value - zero)).
    """

    lowest: float
    highest: float
    counts_K: np.ndarray
    widths_K: np.ndarray
    waves: Callable[[np.ndarray, float], np.ndarray]


def samples(
    values: np.ndarray,
    sums: Callable[[np.ndarray], np.ndarray],
    waves: Callable[[np.ndarray, float], np.ndarray],
) -> Samples:
    """Samples of an array of values.

    Args:
        sums: from numbers of the array's shape to `sums_K` over the values of each sample.
        waves: as of `Samples`.
    """
    counts_K, away = sums(np.ones(values.shape)), values - values.mean()
    squares_K = sums(away**2) - sums(away) ** 2 / counts_K
    widths_K = np.sqrt(np.maximum(squares_K, 0) / (counts_K - 1)) * counts_K**-0.2
    return Samples(float(values.min()), float(values.max()), counts_K, widths_K, waves)


def of_values(values_N: np.ndarray, left: bool = False) -> Samples:
    """One sample of all values; where asked, those without the pieces of each of `jackknife.left_out`, too."""
    sums = partial(sums_of_pieces, left=left)
    return samples(values_N, sums, lambda waves_J, zero: sums(np.exp(1j * waves_J[:, None] * (values_N - zero))))


def of_distances(own_N: np.ndarray, other_M: np.ndarray, left: bool = False) -> Samples:
    """The same of the distances of pieces to others, without some of the pieces."""

    def waves(waves_J: np.ndarray, zero: float) -> np.ndarray:
        return sums_of_pieces(waves_of_distances(own_N, other_M, waves_J, zero), left)

    distances_NxM = np.abs(own_N[:, None] - other_M)
    return samples(distances_NxM, lambda numbers_NxM: sums_of_pieces(numbers_NxM.sum(axis=1), left), waves)


def sums_of_pieces(numbers_xN: np.ndarray, left: bool) -> np.ndarray:
    """`sums_xK`: over all pieces and, where asked, without those of each of `jackknife.left_out`."""
    if not left:
        return np.asarray(numbers_xN.sum(axis=-1, keepdims=True))
    first_G, other_G = jackknife.groups(numbers_xN.shape[-1])
    group_xG = np.add.reduceat(numbers_xN, first_G, axis=-1)
    all_x1 = group_xG.sum(axis=-1, keepdims=True)
    without_xG = all_x1 - group_xG
    return np.concatenate([all_x1, without_xG, without_xG - group_xG[..., other_G]], axis=-1)


def waves_of_distances(own_N: np.ndarray, other_M: np.ndarray, waves_J: np.ndarray, zero: float) -> np.ndarray:
    """`sums_JxN` of the waves of each piece's distances to all others.

    Those to the lower ones are together its own wave times the sum of theirs, those to the higher ones the reverse:
    sums along the sorted others, not a wave a pair.
    """
    sorted_M, centre = np.sort(other_M), other_M.mean()
    below_JxM1 = np.zeros((len(waves_J), len(other_M) + 1), complex)
    np.cumsum(np.exp(-1j * waves_J[:, None] * (sorted_M - centre)), axis=1, out=below_JxM1[:, 1:])
    lower_JxN = below_JxM1[:, np.searchsorted(sorted_M, own_N)]
    own_JxN = np.exp(1j * waves_J[:, None] * (own_N - centre))
    sums_JxN = own_JxN * lower_JxN + np.conj(own_JxN * (below_JxM1[:, -1:] - lower_JxN))
    return np.asarray(sums_JxN * np.exp(-1j * waves_J[:, None] * zero))


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
    lowest, highest = min(a.lowest, b.lowest), max(a.highest, b.highest)
    least = NARROWEST * max(highest - lowest, 1e-6)
    a_widths, b_widths = np.maximum(a.widths_K, least), np.maximum(b.widths_K, least)
    low = min(a.lowest - REACH * a_widths[0], b.lowest - REACH * b_widths[0])
    high = max(a.highest + REACH * a_widths[0], b.highest + REACH * b_widths[0])
    # Beyond the grid a kernel fades before the series begins again.
    period = high - low + (VANISHED - REACH) * max(a_widths.max(), b_widths.max())
    return _shares(a, a_widths, low, high, period), _shares(b, b_widths, low, high, period)


def _shares(one: Samples, widths_K: np.ndarray, low: float, high: float, period: float) -> np.ndarray:
    base = 2 * np.pi / period
    waves_J = base * np.arange(1, 1 + int(np.ceil(VANISHED / (base * widths_K.min()))))
    means_KxJ = one.waves(waves_J, low).T / one.counts_K[:, None]
    kernels_KxJ = np.exp(-((widths_K[:, None] * waves_J) ** 2) / 2)
    edges = np.linspace(0, high - low, BINS + 1)
    over_bins_JxG = np.diff(np.exp(-1j * waves_J[:, None] * edges), axis=1) / (-1j * waves_J[:, None])
    shares_KxG = 2 * ((means_KxJ * kernels_KxJ) @ over_bins_JxG).real + np.diff(edges)
    return np.asarray(shares_KxG / shares_KxG.sum(axis=1, keepdims=True))
