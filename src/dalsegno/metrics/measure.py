"""Measure a set of pieces against held-out music: the rows and histograms of one run and sampler."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data.excerpts import read_excerpts
from dalsegno.data.notes import Notes, read_notes
from dalsegno.embedding.encoder import Encoder
from dalsegno.metrics import bootstrap, jackknife
from dalsegno.metrics.base import HistogramDistance, PieceMetric, share
from dalsegno.metrics.features import Space
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import load_metric
from dalsegno.metrics.rows import Identity, Row
from dalsegno.metrics.sets import SetMetric

Histograms = dict[str, dict[str, Any]]


def measure(
    notes_parquet: Path,
    count: int,
    corpus: Path,
    split: Path,
    metrics: Sequence[str],
    identity: Identity,
    bars: int,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    criterion: Sequence[str] = (),
    encoder: Path | None = None,
) -> tuple[list[Row], Histograms]:
    """Measure the samples of one run and sampler.

    Args:
        notes_parquet: note table of the samples, pieces 0 to `count - 1`.
        count: number of samples; those without notes stand in no table but count.
        corpus: folder of the corpus whose test pieces are the held-out music.
        split: `split.csv` of that corpus.
        metrics: names of `METRICS`.
        bars: length of the samples; held-out pieces are cut to it.
        resamples: of the bootstrap over samples, for metrics of a piece.
        criterion: distances that are taken to the validation pieces, too: by them a decoding is chosen.
        encoder: `encoder.safetensors` of the dataset, for metrics that ask for embeddings.

    Returns:
        One row a metric (distances are to the split `test`), one a distance of `criterion` (split `valid`), and the
        histograms behind the distances to `test`.
    """
    notes = read_notes(notes_parquet)
    if len(notes) and not 0 <= notes.piece.min() <= notes.piece.max() < count:
        raise ValueError(f"{notes_parquet}: pieces outside 0 to {count - 1}")
    pieces = Pieces(notes, count)
    excerpts = read_excerpts(corpus, split, bars)
    held_out = excerpts["test"]
    loaded = {name: load_metric(name) for name in metrics}
    points = {
        name: (space.points(pieces), space.points(held_out))
        for name, space in spaces(loaded.values(), excerpts["train"], encoder).items()
    }
    rows = []
    histograms: Histograms = {}
    for name, metric in loaded.items():
        if isinstance(metric, PieceMetric):
            rows.append(identity.row(name, metric.unit, piece_estimate(metric, pieces, resamples, seed)))
        elif isinstance(metric, SetMetric):
            rows.append(identity.row(name, metric.unit, metric.estimate(*points[metric.space], seed), split="test"))
        else:
            estimate = distance_estimate(metric, pieces, held_out)
            rows.append(identity.row(name, metric.unit, estimate, split="test"))
            histograms[name] = histogram(metric, {"samples": pieces, "held_out": held_out})
    for name in criterion:
        metric = load_metric(name)
        assert isinstance(metric, HistogramDistance)
        estimate = distance_estimate(metric, pieces, excerpts["valid"])
        rows.append(identity.row(name, metric.unit, estimate, split="valid"))
    return rows, histograms


def spaces(
    metrics: Iterable[PieceMetric | HistogramDistance | SetMetric], train: Sequence[Notes], encoder: Path | None
) -> dict[str, Space | Encoder]:
    """What makes points of pieces, for each kind of points that the metrics ask for.

    Raises:
        ValueError: a metric asks for embeddings, and there is no encoder.
    """
    asked = {metric.space for metric in metrics if isinstance(metric, SetMetric)}
    if "embeddings" in asked and encoder is None:
        raise ValueError("a metric asks for embeddings: name the encoder of the dataset")
    made: dict[str, Space | Encoder] = {}
    if "features" in asked:
        made["features"] = Space(train)
    if "embeddings" in asked and encoder is not None:
        made["embeddings"] = Encoder.load(encoder)
    return made


def piece_estimate(
    metric: PieceMetric, pieces: Sequence[Notes], resamples: int, seed: int, families: Sequence[str] | None = None
) -> bootstrap.Estimate:
    """Mean of a metric over the pieces that define it; samples are families of their own."""
    return bootstrap.mean(metric.values(pieces), seed, resamples, families)


def distance_estimate(
    metric: HistogramDistance, pieces: Sequence[Notes], held_out: Sequence[Notes]
) -> bootstrap.Estimate:
    """Distance between the summed histograms; the interval is over the pieces, with the held-out music fixed."""
    return summed_distance(metric, metric.counts(pieces), metric.counts(held_out).sum(axis=0))


def summed_distance(metric: HistogramDistance, counts_NxB: np.ndarray, reference_B: np.ndarray) -> bootstrap.Estimate:
    """The same of the histograms of pieces; those without counts are left out."""
    counts = counts_NxB[counts_NxB.sum(axis=1) > 0]
    n, total = len(counts), counts.sum(axis=0)
    value = float(metric.distances(total[None], reference_B)[0])
    if n < 3:
        return bootstrap.Estimate(value, np.nan, np.nan, n)
    without = np.array([total - counts[rows].sum(axis=0) for rows in jackknife.left_out(n)])
    ends = jackknife.interval(value, metric.distances(without, reference_B), pairs=metric.pairs)
    return bootstrap.Estimate(value, *ends, n)


def histogram(metric: HistogramDistance, sets: Mapping[str, Sequence[Notes]]) -> dict[str, Any]:
    """The histograms of several sets of pieces as JSON: shares of all counts, None for a set without any."""
    shares = {name: share(metric.counts(pieces).sum(axis=0)) for name, pieces in sets.items()}
    return {
        "axis": metric.axis,
        "labels": list(metric.labels),
        "shares": {
            name: [float(f"{x:.10g}") for x in values] if np.isfinite(values).all() else None
            for name, values in shares.items()
        },
    }


def write_histograms(path: Path, histograms: Histograms) -> None:
    """Write `histograms.json`: metric name to axis, bin labels and the shares of each set of pieces."""
    Path(path).write_text(json.dumps(histograms, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
