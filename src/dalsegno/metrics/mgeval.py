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
from functools import lru_cache

import numpy as np
from scipy import integrate, stats

from dalsegno.metrics import densities, jackknife
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
    return _pairs(own, left), densities.of_distances(own, other, left)


def _pairs(own_N: np.ndarray, left: bool) -> Samples:
    """The distances of the pieces to each other, each pair once; where asked, without those of `jackknife.left_out`."""
    first_P, second_P, ends_K1 = _pairs_left_out(len(own_N) if left else 0)

    def sums(of_piece_xN: np.ndarray, of_pair_xP: np.ndarray) -> np.ndarray:
        each_way_xK = densities.sums_of_pieces(of_piece_xN, left)
        up_to_xP1 = np.cumsum(np.concatenate([np.zeros_like(of_piece_xN[..., :1]), of_pair_xP], axis=-1), axis=-1)
        return np.asarray(each_way_xK - each_way_xK[..., :1] / 2 + np.diff(up_to_xP1[..., ends_K1], axis=-1))

    def waves(waves_J: np.ndarray, zero: float) -> np.ndarray:
        itself_J1, distances_P = np.exp(-1j * waves_J * zero)[:, None], np.abs(own_N[first_P] - own_N[second_P])
        of_piece_JxN = densities.waves_of_distances(own_N, own_N, waves_J, zero) - itself_J1
        return sums(of_piece_JxN, np.exp(1j * waves_J[:, None] * (distances_P - zero)))

    def sums_of_matrix(numbers_NxN: np.ndarray) -> np.ndarray:
        return sums(numbers_NxN.sum(axis=1) - numbers_NxN.diagonal(), numbers_NxN[first_P, second_P])

    distances_NxN = np.abs(own_N[:, None] - own_N)
    # No piece is a pair with itself: what stands there must be among the others anyway.
    np.fill_diagonal(distances_NxN, distances_NxN[0, 1])
    return densities.samples(distances_NxN, sums_of_matrix, waves)


@lru_cache(maxsize=4)
def _pairs_left_out(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both pieces of each pair that is left out, of none and for each of `jackknife.left_out`; `ends_K1` of these."""
    sets = jackknife.left_out(n) if n else []
    pairs = [np.stack([rows[i] for i in np.triu_indices(len(rows), 1)]) for rows in sets]
    first_P, second_P = np.concatenate([np.empty((2, 0), int), *pairs], axis=1)
    return first_P, second_P, np.cumsum([0, 0, *(found.shape[1] for found in pairs)])


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
