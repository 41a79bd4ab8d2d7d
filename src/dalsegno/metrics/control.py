"""Controls: what the same metrics say of real music, of shuffled music and of noise.

A sample's figure means something beside these alone. All are cut to the samples' length, and distances are taken
between sets as large as the set of samples, since divergences grow as sets shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dalsegno.data.excerpts import read_excerpts, read_families
from dalsegno.data.notes import TICKS_PER_BAR, Notes, make_notes
from dalsegno.metrics import bootstrap
from dalsegno.metrics.base import HistogramDistance, PieceMetric
from dalsegno.metrics.measure import Histograms, histogram, piece_estimate, spaces
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import load_metric
from dalsegno.metrics.rows import Identity, Row
from dalsegno.metrics.sets import SetMetric
from dalsegno.representations.base import Packed
from dalsegno.representations.registry import decode

CONTROLS = ("held_out", "train", "shuffled", "noise")
DRAWS = 1000  # sets of pieces behind the band of a distance, at most


def shuffle(notes: Notes, random: np.random.Generator) -> Notes:
    """The piece with its pitches dealt anew to its notes: rhythm and pitch content kept, melody and harmony lost."""
    drums = notes.program == 128
    pitch = notes.pitch.copy()
    pitch[~drums] = random.permutation(pitch[~drums])
    return replace(notes, pitch=pitch)


def noise(notes: Notes, random: np.random.Generator) -> Notes:
    """As many notes of the same durations, at random ticks of the piece's span, uniform within its pitch range."""
    if not len(notes):
        return notes
    first, last = int(notes.start.min()), int(notes.end.max())
    latest = np.maximum(last - notes.duration, first)
    start = random.integers(first, latest, endpoint=True).astype(notes.start.dtype)
    pitch = random.integers(notes.pitch.min(), notes.pitch.max(), len(notes), endpoint=True)
    return replace(notes, start=start, pitch=pitch.astype(notes.pitch.dtype))


def control(
    corpus: Path,
    split: Path,
    metrics: Sequence[str],
    study: str,
    dataset: str,
    bars: int,
    count: int,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    packed: Mapping[str, Path] | None = None,
    encoder: Path | None = None,
) -> tuple[list[Row], Histograms]:
    """Measure the controls of one dataset.

    Args:
        corpus, split, metrics, bars, resamples, encoder: as for `dalsegno.metrics.measure.measure`.
        count: samples a run, the size of the sets whose distance is taken.
        packed: representation -> folder of packed tokens, for what held-out music is once written in tokens.

    Returns:
        Rows of the models `held_out`, `train`, `shuffled`, `noise`. Metrics of a piece: the mean over all test pieces
        (train pieces for `train`) and its interval over families. Distances and numbers of sets: from `count` pieces
        drawn from valid (for `shuffled` and `noise` made of them, for `train` from train) to all of test; value and
        interval are mean and central 95 % of the draws, that is the band in which as many real pieces would fall. With
        them the histograms of all pieces of each control. Rows of `held_out` with a representation are of real music
        that was written in that representation's tokens and read back: what it cannot say (a repeated note, a triplet)
        no model of it can.
    """
    excerpts = read_excerpts(corpus, split, bars)
    families = read_families(corpus, split)
    makers: dict[str, Callable[[Notes, np.random.Generator], Notes]] = {"shuffled": shuffle, "noise": noise}

    def pieces_of(model: str, source: str) -> list[Notes]:
        if model == "train":
            return excerpts["train"]
        if model not in makers:
            return excerpts[source]
        # One generator a piece: the music of a piece does not depend on how many stand before it.
        return [makers[model](piece, np.random.default_rng([seed, i])) for i, piece in enumerate(excerpts[source])]

    rows: list[Row] = []
    loaded = {name: load_metric(name) for name in metrics}
    places = spaces(loaded.values(), excerpts["train"], encoder)
    reference = {name: space.points(excerpts["test"]) for name, space in places.items()}

    def evaluate(identity: Identity, own: Sequence[Notes], other: list[Notes], own_families: list[str]) -> None:
        own = Pieces.of(own)
        pool = {name: space.points(other) for name, space in places.items()}
        for name, metric in loaded.items():
            if isinstance(metric, PieceMetric):
                estimate = piece_estimate(metric, own, resamples, seed, own_families)
                split_name = "train" if identity.model == "train" else "test"
            elif isinstance(metric, SetMetric):
                estimate = metric.drawn(pool[metric.space], reference[metric.space], count, seed)
                split_name = "test"
            else:
                estimate = drawn_distance(metric, other, excerpts["test"], count, resamples, seed)
                split_name = "test"
            rows.append(identity.row(name, metric.unit, estimate, split=split_name))

    histograms: Histograms = {}
    for model in CONTROLS:
        identity = Identity(study=study, dataset=dataset, model=model)
        own_families = families["train" if model == "train" else "test"]
        evaluate(identity, pieces_of(model, "test"), pieces_of(model, "valid"), own_families)
    for representation, folder in sorted((packed or {}).items()):
        identity = Identity(study=study, dataset=dataset, representation=representation, model="held_out")
        tokens = Packed(folder)
        read_back = decoded_excerpts(tokens, bars)
        own_families = [tokens.rows[index].family for index in tokens.indices("test")]
        evaluate(identity, read_back["test"], read_back["valid"], own_families)
    for name, metric in loaded.items():
        if isinstance(metric, HistogramDistance):
            # held_out is the reference itself, as in the histograms of samples.
            histograms[name] = histogram(metric, {model: pieces_of(model, "test") for model in CONTROLS})
    return rows, histograms


def decoded_excerpts(tokens: Packed, bars: int) -> dict[str, list[Notes]]:
    """The first `bars` bars of the packed valid and test pieces as their tokens tell them, by split."""
    return {
        name: [
            make_notes(**decode(tokens.piece(index), tokens.vocabulary).notes).excerpt(bars * TICKS_PER_BAR)
            for index in tokens.indices(name)
        ]
        for name in ("valid", "test")
    }


def drawn_distance(
    metric: HistogramDistance, pieces: list[Notes], held_out: list[Notes], count: int, resamples: int, seed: int
) -> bootstrap.Estimate:
    """Mean distance of `count` pieces drawn without replacement to the held-out set, and the draws' central 95 %."""
    counts = metric.counts(pieces)
    counts = counts[counts.sum(axis=1) > 0]
    size = min(count, len(counts))
    if size == 0:
        return bootstrap.Estimate(np.nan, np.nan, np.nan, 0)
    random = np.random.default_rng(seed)
    chosen = random.permuted(np.tile(np.arange(len(counts)), (min(resamples, DRAWS), 1)), axis=1)[:, :size]
    distances = metric.distances(counts[chosen].sum(axis=1), metric.counts(held_out).sum(axis=0))
    low, high = np.quantile(distances, [0.025, 0.975])
    return bootstrap.Estimate(float(distances.mean()), float(low), float(high), size)
