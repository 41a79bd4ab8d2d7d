"""Two samples of one number compared by their estimated densities, on one grid that holds them both.

Where a density stands counts here; `dalsegno.metrics.mgeval` holds the field's forms, in which it does not.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

BINS = 128
BLOCKS = 256
REACH = 4  # bandwidths beyond the outermost value: all but 3e-5 of its kernel
NARROWEST = 1e-3  # bandwidth of values that are all the same, as a share of the grid
LEAST = 1e-9  # share of a bin at least, so that a divergence stays finite


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Area under both densities: 1 for a sample and itself, 0 for samples that never meet."""
    return float(np.minimum(*shares(a, b)).sum())


def divergence(a: np.ndarray, b: np.ndarray) -> float:
    """Kullback-Leibler divergence in bits of the density of `a` from that of `b`; about 30 where they never meet."""
    first, second = (np.maximum(row, LEAST) for row in shares(a, b))
    return float((first / first.sum() * np.log2(first / first.sum() / (second / second.sum()))).sum())


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """First Wasserstein distance of the samples themselves, in their unit."""
    values = np.sort(np.concatenate([a, b]))
    between = [np.searchsorted(np.sort(one), values[:-1], side="right") / len(one) for one in (a, b)]
    return float(np.abs(between[0] - between[1]) @ np.diff(values))


def shares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`shares_2xG`: what the densities of both samples (Gaussian kernels, Scott's bandwidth) put into each bin."""
    widths = [float(np.std(one, ddof=1)) * len(one) ** -0.2 for one in (a, b)]
    least = NARROWEST * max(float(np.ptp(np.concatenate([a, b]))), 1e-6)
    widths = [max(width, least) for width in widths]
    low, high = (min(float(one.min()) - REACH * width for one, width in zip((a, b), widths, strict=True)),
                 max(float(one.max()) + REACH * width for one, width in zip((a, b), widths, strict=True)))  # fmt: skip
    edges = np.linspace(low, high, BINS + 1)
    rows = [
        np.diff(ndtr((edges - _blocks(one)[:, None]) / width), axis=1).mean(axis=0)
        for one, width in zip((a, b), widths, strict=True)
    ]
    return np.array([row / row.sum() for row in rows])


def _blocks(values: np.ndarray) -> np.ndarray:
    """At most `BLOCKS` values that stand for many: means of neighbours, which lie far nearer than a bandwidth."""
    if len(values) <= BLOCKS:
        return values
    first = np.arange(BLOCKS) * len(values) // BLOCKS
    return np.asarray(np.add.reduceat(np.sort(values), first) / np.diff(np.append(first, len(values))))
