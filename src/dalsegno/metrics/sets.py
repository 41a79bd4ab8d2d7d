"""Numbers of two sets of pieces, each piece a point: of `dalsegno.metrics.features.Space`, or an embedding.

All depend on how many pieces the sets hold, so read them beside the controls, which are drawn to the same number, and
never without `n`. Below a floor they are refused: undefined, with the reason in the row's note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist, pdist

from dalsegno.metrics import densities, jackknife
from dalsegno.metrics.bootstrap import LEVEL, Estimate
from dalsegno.metrics.densities import Samples

UNDEFINED = "undefined: these pieces differ in too little"
NULL_HALVES = 20

Comparison = Callable[[np.ndarray], float]
Several = Callable[[np.ndarray], np.ndarray]
OneFeature = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class SetMetric:
    """A number of a set of pieces beside a reference set.

    Attributes:
        against: from `reference_MxD` to a function of `own_NxD` that gives the number.
        unit: unit of the number.
        floor, reference_floor: fewest pieces of either set that the number is given for.
        a_dimension: fewest pieces of either set a dimension of the points, where that is more.
        space: what points are: symbolic features, or embeddings of the study's encoder (`dalsegno.embedding`).
        lowest, highest: the numbers' range, at which intervals are cut.
        draws: sets that are drawn for the band of a control.
        without: from `reference_MxD` to a function of `own_NxD` that gives the numbers_2G without each of
            `jackknife.left_out`, where there is a quicker way than to ask `against` for each.
        jackknife: whether the interval of a set of samples is taken.
        pairs: whether what two pieces tell together is taken off it (`dalsegno.metrics.jackknife`).
        halves: whether the same number between two halves of the reference is noted beside each value.
    """

    against: Callable[[np.ndarray], Comparison]
    unit: str
    floor: int = 2
    reference_floor: int = 2
    lowest: float = 0.0
    highest: float = np.inf
    draws: int = 200
    without: Callable[[np.ndarray], Several] | None = None
    jackknife: bool = True
    pairs: bool = True
    halves: bool = False
    a_dimension: int = 0
    space: Literal["features", "embeddings"] = "features"

    def floors(self, dimensions: int) -> tuple[int, int]:
        """Fewest pieces of the set, and of the reference, for points of so many dimensions."""
        least = self.a_dimension * dimensions
        return max(self.floor, least), max(self.reference_floor, least)

    def refused(self, own: int, reference: int, dimensions: int) -> str:
        """Why the number is not given for sets of these sizes; empty where it is."""
        floor, reference_floor = self.floors(dimensions)
        if own < floor:
            return f"undefined: {own} pieces, needs {floor}"
        if reference < reference_floor:
            return f"undefined: {reference} held-out pieces, needs {reference_floor}"
        return ""

    def estimate(
        self,
        own_NxD: np.ndarray,
        reference_MxD: np.ndarray,
        seed: int = 0,
    ) -> Estimate:
        """The number of a set with its interval over pieces, the reference fixed; `seed` is of the halves."""
        n = len(own_NxD)
        if reason := self.refused(n, *reference_MxD.shape):
            return Estimate(np.nan, np.nan, np.nan, n, reason)
        compare = self.against(reference_MxD)
        value = compare(own_NxD)
        if np.isnan(value):
            return Estimate(np.nan, np.nan, np.nan, n, UNDEFINED)
        low = high = np.nan
        left_out = jackknife.left_out(n)
        if self.jackknife and n - max(map(len, left_out)) >= self.floors(own_NxD.shape[1])[0]:
            if self.without is not None:
                left = self.without(reference_MxD)(own_NxD)
            else:
                left = np.array([compare(np.delete(own_NxD, rows, axis=0)) for rows in left_out])
            low, high = jackknife.interval(value, left, self.lowest, self.highest, self.pairs)
        return Estimate(value, low, high, n, self._null(reference_MxD, seed) if self.halves else "")

    def drawn(self, pool_PxD: np.ndarray, reference_MxD: np.ndarray, count: int, seed: int) -> Estimate:
        """Mean over sets of `count` pieces drawn without replacement, and the central 95 % of them."""
        size = min(count, len(pool_PxD))
        if reason := self.refused(size, *reference_MxD.shape):
            return Estimate(np.nan, np.nan, np.nan, size, reason)
        compare = self.against(reference_MxD)
        random = np.random.default_rng(seed)
        values = [compare(pool_PxD[random.permutation(len(pool_PxD))[:size]]) for _ in range(self.draws)]
        if np.isnan(values).any():
            return Estimate(np.nan, np.nan, np.nan, size, UNDEFINED)
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(float(np.mean(values)), float(low), float(high), size)

    def _null(self, reference_MxD: np.ndarray, seed: int) -> str:
        half = len(reference_MxD) // 2
        if self.refused(half, half, reference_MxD.shape[1]):
            return f"two halves of held-out music are too small for a null: {half} pieces each"
        random = np.random.default_rng(seed)
        orders = [random.permutation(len(reference_MxD)) for _ in range(NULL_HALVES)]
        values = [self.against(reference_MxD[o[:half]])(reference_MxD[o[half : 2 * half]]) for o in orders]
        return f"two halves of held-out music: {np.mean(values):.4g} (n = {half}, seed {seed})"


def _frechet(reference_MxD: np.ndarray) -> Comparison:
    mean, covariance = reference_MxD.mean(axis=0), np.cov(reference_MxD, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def compare(own_NxD: np.ndarray) -> float:
        other = np.cov(own_NxD, rowvar=False)
        shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
        gap = own_NxD.mean(axis=0) - mean
        return float(max(gap @ gap + np.trace(covariance) + np.trace(other) - 2 * shared, 0.0))

    return compare


def radii(points_NxD: np.ndarray, k: int) -> np.ndarray:
    """`radii_N`: distance of each point to its k-th nearest other."""
    return np.asarray(np.partition(cdist(points_NxD, points_NxD), k, axis=1)[:, k])


def _precision(reference_MxD: np.ndarray) -> Comparison:
    radii_M = radii(reference_MxD, PRECISION_NEIGHBOURS)
    return lambda own_NxD: float((cdist(own_NxD, reference_MxD) <= radii_M).any(axis=1).mean())


def _recall(reference_MxD: np.ndarray) -> Comparison:
    return lambda own_NxD: float(
        (cdist(reference_MxD, own_NxD) <= radii(own_NxD, PRECISION_NEIGHBOURS)).any(axis=1).mean()
    )


def _density(reference_MxD: np.ndarray) -> Comparison:
    radii_M = radii(reference_MxD, DENSITY_NEIGHBOURS)
    return lambda own_NxD: float((cdist(own_NxD, reference_MxD) <= radii_M).sum(axis=1).mean() / DENSITY_NEIGHBOURS)


def _coverage(reference_MxD: np.ndarray) -> Comparison:
    radii_M = radii(reference_MxD, DENSITY_NEIGHBOURS)
    return lambda own_NxD: float((cdist(own_NxD, reference_MxD) <= radii_M).any(axis=0).mean())


def _diversity(reference_MxD: np.ndarray) -> Comparison:
    return lambda own_NxD: float(pdist(own_NxD).mean())


def _set_similarity(reference_MxD: np.ndarray) -> Comparison:
    return lambda own_NxD: float(1 - pdist(own_NxD, "cosine").mean())


def each_feature(compare: OneFeature) -> Callable[[np.ndarray], Comparison]:
    """The mean over the features of a comparison of one feature, over those that define it; NaN where none does."""

    def against(reference_MxD: np.ndarray) -> Comparison:
        def mean(own_NxD: np.ndarray) -> float:
            values = np.array([compare(a, b) for a, b in zip(own_NxD.T, reference_MxD.T, strict=True)])
            return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else np.nan

        return mean

    return against


def of_densities(
    compare: Callable[[Samples, Samples], np.ndarray],
    samples: Callable[[np.ndarray, np.ndarray, bool], tuple[Samples, Samples]],
    unit: str,
    highest: float = np.inf,
    pairs: bool = True,
) -> SetMetric:
    """The mean over the features of a comparison of two densities.

    Args:
        samples: from a feature of the set and of the reference to what is compared; where asked, of what is left, too.
    """

    def numbers(reference_MxD: np.ndarray, left: bool) -> Several:
        return lambda own_NxD: np.mean(
            [compare(*samples(a, b, left)) for a, b in zip(own_NxD.T, reference_MxD.T, strict=True)], axis=0
        )

    return SetMetric(
        lambda reference_MxD: lambda own_NxD: float(numbers(reference_MxD, False)(own_NxD)[0]),
        unit,
        3,
        3,
        highest=highest,
        draws=20,
        pairs=pairs,
        without=lambda reference_MxD: lambda own_NxD: numbers(reference_MxD, True)(own_NxD)[1:],
    )


def _feature(own: np.ndarray, other: np.ndarray, left: bool) -> tuple[Samples, Samples]:
    return densities.of_values(own, left), densities.of_values(other)


PRECISION_NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5
PIECES_A_DIMENSION = 2

frechet_distance = SetMetric(_frechet, "squared deviations", halves=True, a_dimension=PIECES_A_DIMENSION)
"""Squared Fréchet distance between Gaussians fitted to both sets of features (Dowson and Landau 1982; Heusel 2017).

Biased upwards by about D squared over n: two halves of one music are far from 0. So it is refused below two pieces a
feature in either set, and each value has that of two halves of held-out music beside it.
"""

embedding_frechet_distance = SetMetric(
    _frechet, "squared deviations", halves=True, a_dimension=PIECES_A_DIMENSION, space="embeddings"
)
"""The same between embeddings of an encoder that the study trains on the training pieces (`dalsegno.embedding`).

It hears what no list of features names, and means nothing beside a figure of another study: another encoder, another
scale. Compare with the controls, and with the two halves that its note gives. As for features, small sets are refused.
"""

precision = SetMetric(_precision, "share of pieces", 1, PRECISION_NEIGHBOURS + 1, highest=1.0)
"""Share of the pieces that lie within the third neighbour's reach of a held-out piece: fidelity.

Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019 (k = 3).
"""

recall = SetMetric(_recall, "share of pieces", PRECISION_NEIGHBOURS + 2, 1, highest=1.0)
"""Share of the held-out pieces that lie within the third neighbour's reach of a piece of the set: diversity. Ibidem."""

density = SetMetric(_density, "neighbourhoods", 1, DENSITY_NEIGHBOURS + 1)
"""Held-out neighbourhoods (to the fifth neighbour) that hold a piece, over five: fidelity, 1 for real music on average.

Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020 (k = 5).
"""

coverage = SetMetric(_coverage, "share of pieces", 1, DENSITY_NEIGHBOURS + 1, highest=1.0)
"""Share of the held-out pieces whose neighbourhood (to the fifth neighbour) holds a piece of the set. Ibidem."""

diversity = SetMetric(_diversity, "deviations", 2, 0)
"""Mean distance between two pieces of the set, in standard deviations of the training pieces' features."""

set_similarity = SetMetric(_set_similarity, "cosine", 2, 0, lowest=-1.0, highest=1.0)
"""Mean cosine between two pieces of the set: about 0 where they stray around the training mean, 1 for copies."""

overlap_area = of_densities(densities.overlap, _feature, "area", highest=1.0)
"""Area under both densities of a feature, on one grid, tails included; mean over features."""

feature_kl = of_densities(densities.divergence, _feature, "bits", pairs=False)
"""Kullback-Leibler divergence of a feature's density from the held-out one, on one grid; mean over features.

Single pieces make it, those beyond the held-out pieces' reach.
"""

feature_wasserstein = SetMetric(each_feature(densities.wasserstein), "deviations", 1, 1)
"""First Wasserstein distance of a feature to held-out music, in training standard deviations; mean over features."""
