"""The intra-set and inter-set comparison of Yang and Lerch, and the form in which it is mostly computed.

Yang and Lerch, On the Evaluation of Generative Models in Music, Neural Computing and Applications 32 (2020): for each
feature, the distances between the pieces of one set are held against their distances to the pieces of another; where
both are distributed alike, the sets are alike.

The authors' program, mgeval, takes the divergence of two densities each on its *own* range, so that location and scale
are lost (a shift by ten standard deviations gives 0), and the overlap between the outermost values, so that the tails
are (a set and itself overlap by 0.87 at 20 values). It counts each pair within a set twice and cuts the larger set to
the size of the smaller. `*_compat` does the same, to compare with published figures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import integrate, stats
from scipy.spatial.distance import pdist

from dalsegno.metrics import bootstrap, densities
from dalsegno.metrics.densities import Samples
from dalsegno.metrics.sets import OneFeature, SetMetric, each_feature, of_densities

SAMPLES = 1000


def divergence_compat(a: np.ndarray, b: np.ndarray) -> float:
    """mgeval's `kl_dist`, in nats: both densities at 1000 points, each from its own lowest to its own highest value."""
    first, second = (stats.gaussian_kde(one)(np.linspace(one.min(), one.max(), SAMPLES)) for one in (a, b))
    return float(stats.entropy(first, second))


def overlap_compat(a: np.ndarray, b: np.ndarray) -> float:
    """mgeval's `overlap_area`: the lower density integrated from the lowest to the highest value of both."""
    kernels = [_kernel(one) for one in (a, b)]
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    with np.errstate(under="ignore"):
        # Kinks of the lower density make the integral's own error estimate speak; the peer leaves it at that.
        area, *_ = integrate.quad(lambda x: min(kernel(x) for kernel in kernels), low, high, full_output=1)
    return float(area)


def _kernel(values: np.ndarray) -> Callable[[float], float]:
    """`scipy.stats.gaussian_kde(values)` at one point, a hundred times as fast."""
    width = float(np.std(values, ddof=1)) * len(values) ** -0.2
    height = 1 / (np.sqrt(2 * np.pi) * width * len(values))
    return lambda x: float(np.exp(-(((x - values) / width) ** 2) / 2).sum() * height)


def _intra_inter(own: np.ndarray, other: np.ndarray, left: bool) -> tuple[Samples, Samples]:
    inter_NxM = np.abs(own[:, None] - other)
    if not left:
        return densities.whole(pdist(own[:, None])), densities.whole(inter_NxM)
    return _without_rows_and_columns(np.abs(own[:, None] - own)), densities.without_rows(inter_NxM)


def _without_rows_and_columns(distances_NxN: np.ndarray) -> Samples:
    """Each pair of pieces once: all of them, and without the pieces of each of `bootstrap.left_out`."""
    n = len(distances_NxN)
    first_G, other_G = bootstrap.groups(n)
    sizes_G = np.diff(first_G, append=n)
    left_K = n - np.concatenate([[0], sizes_G, sizes_G + sizes_G[other_G]])

    def sums(numbers_NxN: np.ndarray) -> np.ndarray:
        blocks_GxG = np.add.reduceat(np.add.reduceat(numbers_NxN, first_G, axis=0), first_G, axis=1)
        rows_G, own_G = blocks_GxG.sum(axis=1), blocks_GxG.diagonal()
        without_G = rows_G.sum() - 2 * rows_G + own_G
        twice_G = 2 * blocks_GxG[np.arange(len(other_G)), other_G]
        pairs_G = without_G - 2 * rows_G[other_G] + own_G[other_G] + twice_G
        both_ways_K = np.concatenate([rows_G.sum()[None], without_G, pairs_G])
        return np.asarray((both_ways_K - left_K * numbers_NxN[0, 0]) / 2)  # no piece is a pair with itself

    return Samples(distances_NxN, sums)


def _intra_inter_compat(compare: OneFeature) -> OneFeature:
    """The same of as many pieces of either set as the smaller one holds, each pair within the set counted twice.

    The peer takes the distances from each piece to all others; twice as many values make the kernels narrower. It stops
    with an error where all distances are the same: NaN.
    """

    def of_one_feature(own: np.ndarray, other: np.ndarray) -> float:
        n = min(len(own), len(other))
        own, other = own[:n], other[:n]
        intra = np.abs(own[:, None] - own)[~np.eye(n, dtype=bool)]
        inter = np.abs(own[:, None] - other).reshape(-1)
        return compare(intra, inter) if np.std(intra) > 1e-12 and np.std(inter) > 1e-12 else np.nan

    return of_one_feature


intra_inter_kl = of_densities(densities.divergence, _intra_inter, "bits")
"""Divergence of the distances within the set from those to the held-out set, both on one grid; mean over features."""

intra_inter_overlap = of_densities(densities.overlap, _intra_inter, "area", highest=1.0)
"""Overlap of the distances within the set and those to the held-out set, tails included; mean over features."""

intra_inter_kl_compat = SetMetric(
    each_feature(_intra_inter_compat(divergence_compat)), "nats", 3, 3, draws=2, jackknife=False
)
"""mgeval's figure, blind to location: mean over the features of `divergence_compat`."""

intra_inter_overlap_compat = SetMetric(
    each_feature(_intra_inter_compat(overlap_compat)), "area", 3, 3, draws=2, jackknife=False
)
"""mgeval's figure, blind to tails: mean over the features of `overlap_compat`."""
