"""Whether a metric tells real music from shuffled music and from noise on a set, judged by its own controls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from dalsegno.metrics.rows import Row

ORDER = ("held_out", "shuffled", "noise")


def verdict(rows: Iterable[Row]) -> str:
    """Judge one metric on one dataset.

    A control beats another where its value is nearer to the training music's, and neither value lies within the other's
    interval.

    Args:
        rows: the metric's rows of controls on the dataset.

    Returns:
        An empty string where held-out music beats shuffled music and that beats noise; else which control it does not
        tell from the one before it (`shuffled`, `noise`, `shuffled and noise`), or `undefined`.
    """
    controls = {row.model: row for row in rows if not row.representation}
    chosen = [controls.get(name) for name in ("train", *ORDER)]
    if any(row is None or not math.isfinite(row.value) for row in chosen):
        return "undefined"
    target, *order = [row for row in chosen if row is not None]
    failed = [worse.model for better, worse in pairwise(order) if not _beats(better, worse, target.value)]
    return " and ".join(failed)


def _beats(better: Row, worse: Row, target: float) -> bool:
    nearer = abs(better.value - target) < abs(worse.value - target)
    return nearer and not _holds(better, worse.value) and not _holds(worse, better.value)


def _holds(row: Row, value: float) -> bool:
    # A control without an interval holds its own value only.
    low, high = (row.ci_low, row.ci_high) if math.isfinite(row.ci_low) else (row.value, row.value)
    return low <= value <= high
