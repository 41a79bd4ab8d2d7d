"""What a model said of each piece: the rows of a run's `pieces.csv`, and the ratios of their sums."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from dalsegno.metrics.rows import format_number

SPLITS = ("valid", "test", "test_clean")


@dataclass(frozen=True)
class PieceScore:
    """One validation or test piece under one trained model.

    Attributes:
        clean: no member of its family stands in train.
        nats: negative log-likelihood of all its tokens.
        changed_tokens, changed_nats: the tokens that differ from the same voice's token one step before, a piece's
            first step among them; NaN where a step is one token.
        frames, frame_nats: steps but the first, and their part of `nats`; NaN where steps are no frames of keys.
    """

    piece: str
    family: str
    split: str
    clean: bool
    tokens: int
    notes: int
    seconds: float
    nats: float
    changed_tokens: float
    changed_nats: float
    frames: float = math.nan
    frame_nats: float = math.nan


@dataclass(frozen=True)
class Ratio:
    """A metric that is a sum over pieces divided by another: its unit, and both terms of one piece."""

    unit: str
    above: Callable[[PieceScore], float]
    below: Callable[[PieceScore], float]


RATIOS = {
    "nll": Ratio("nats/token", lambda score: score.nats, lambda score: score.tokens),
    "nll_changed": Ratio("nats/token", lambda score: score.changed_nats, lambda score: score.changed_tokens),
    "nll_held": Ratio(
        "nats/token",
        lambda score: score.nats - score.changed_nats,
        lambda score: score.tokens - score.changed_tokens,
    ),
    "nll_per_frame": Ratio("nats/frame", lambda score: score.frame_nats, lambda score: score.frames),
    "nll_per_note": Ratio("nats/note", lambda score: score.nats, lambda score: score.notes),
    "bits_per_second": Ratio("bits/s", lambda score: score.nats / math.log(2), lambda score: score.seconds),
}
VOICES_ONLY = ("nll_changed", "nll_held")
"""Ratios of steps that have several voices."""
FRAMES_ONLY = ("nll_per_frame",)
"""Ratios of steps that are frames of keys."""


def terms(ratio: Ratio, scores: Iterable[PieceScore]) -> np.ndarray:
    """`terms_2xN`: what stands above and below the line for each piece."""
    return np.array([(ratio.above(score), ratio.below(score)) for score in scores], float).reshape(-1, 2).T


def of_split(scores: Iterable[PieceScore], split: str) -> list[PieceScore]:
    """The pieces of `valid`, `test` or `test_clean` (test pieces without a relative in train)."""
    part, _, clean = split.partition("_")
    return [score for score in scores if score.split == part and (score.clean or not clean)]


def has_voices(scores: Iterable[PieceScore]) -> bool:
    return any(math.isfinite(score.changed_tokens) for score in scores)


def applies(name: str, scores: Iterable[PieceScore]) -> bool:
    """Whether a ratio means something for the layout of these pieces' tokens."""
    if name in FRAMES_ONLY:
        return any(math.isfinite(score.frames) for score in scores)
    return name not in VOICES_ONLY or has_voices(scores)


FLOATS = ("seconds", "nats", "changed_tokens", "changed_nats", "frames", "frame_nats")


def write_scores(path: Path, scores: Sequence[PieceScore]) -> None:
    """Write `pieces.csv`, in the order of the packed pieces."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PieceScore)], lineterminator="\n")
        writer.writeheader()
        for score in scores:
            numbers = {name: format_number(float(getattr(score, name))) for name in FLOATS}
            writer.writerow({**asdict(score), "clean": str(score.clean).lower(), **numbers})


def read_scores(path: Path) -> list[PieceScore]:
    with open(path, newline="") as file:
        return [
            PieceScore(
                piece=row["piece"],
                family=row["family"],
                split=row["split"],
                clean=row["clean"] == "true",
                tokens=int(row["tokens"]),
                notes=int(row["notes"]),
                **{name: float(row[name] or "nan") for name in FLOATS},
            )
            for row in csv.DictReader(file)
        ]
