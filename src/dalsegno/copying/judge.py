"""The verdict on each sample: how near it comes to a training piece, and how near that is for real music."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.copying.calibrate import ALPHA, Null, Standing
from dalsegno.copying.index import Nearness, TrainingIndex
from dalsegno.copying.streams import BAR, Gridded
from dalsegno.metrics import bootstrap
from dalsegno.metrics.rows import Identity, Row, format_number

NEARER = "nearer than real music ever is"
RARE = f"nearer than {1 - ALPHA:.0%} of real music"
COMMON = "as near as real music comes"
EMPTY = "no notes"
FLAGGED = (NEARER, RARE)
METRICS = {
    "near_copied_samples": "share",
    "near_copied_bars": "share",
    "longest_match": "notes",
    "ngram_excess": "share",
    "two_bar_matches": "share",
}
"""The metrics of copying and their units."""


@dataclass(frozen=True)
class Judged:
    """One row of `pieces.csv`.

    Attributes:
        piece: number of the sample.
        verdict: see the module's constants; p: probability that unseen real music comes as near.
        nearness: 0 is the median of unseen real music, 1 a unit of its most telling figure (`calibrate.JUDGED`).
        unseen: real pieces behind p.
        near_copied_bars: share of the sample's bars that lie in a stretch nearer than real music comes.
        training_piece: where the nearest stretch stands, from `training_bar` on; both bars count from 1.
        figure: the figure that decided.
        ngram_excess: share of n-grams found in train, less the mean of unseen real music.
        p_longest_match, p_ngrams, p_two_bars: of single figures, not corrected for several.
    """

    piece: int
    verdict: str
    p: float
    nearness: float
    unseen: int
    near_copied_bars: float
    training_piece: str
    training_bar: int
    bar: int
    bars: float
    figure: str
    longest_match: float
    longest_match_bars: float
    p_longest_match: float
    ngram_excess: float
    p_ngrams: float
    two_bar_matches: float
    p_two_bars: float
    passage_lcs: float
    edit_distance: float


def judge(number: int, piece: Gridded, index: TrainingIndex, null: Null, names: Sequence[str], prompt: int) -> Judged:
    """The verdict on one sample.

    Args:
        piece: the generated part alone.
        names: id of each training piece.
        prompt: bars before the generated part, so that bars are those of the sample.
    """
    found = index.search(piece)
    figures = found.figures
    best = max(found.best, key=lambda span: null.of(span.figure, span.value), default=None)
    standing = null.among(figures) if best else Standing(float(np.nan), null.nearness)
    return Judged(
        piece=number,
        verdict=_verdict(standing),
        p=standing.p,
        nearness=standing.nearness,
        unseen=null.n,
        near_copied_bars=near_copied_bars(piece, found, null, standing.critical),
        training_piece=names[best.owner] if best and best.owner >= 0 else "",
        training_bar=best.at // BAR + 1 if best else 0,
        bar=prompt + best.begin // BAR + 1 if best else 0,
        bars=(best.end - best.begin) / BAR if best else 0.0,
        figure=best.figure if best else "",
        longest_match=figures.longest_match,
        longest_match_bars=figures.longest_match_bars,
        p_longest_match=null.p_of("longest_match", figures.longest_match),
        ngram_excess=figures.ngram_share - (float(null.table["ngram_share"].mean()) if null.n else np.nan),
        p_ngrams=null.p_of("ngram_share", figures.ngram_share),
        two_bar_matches=figures.two_bar_share,
        p_two_bars=null.p_of("two_bar_share", figures.two_bar_share),
        passage_lcs=figures.passage_lcs,
        edit_distance=figures.edit_distance,
    )


def near_copied_bars(piece: Gridded, found: Nearness, null: Null, critical: float) -> float:
    """Share of the bars with notes that a stretch touches which is nearer than real music comes."""
    bars = np.unique(piece.start // BAR)
    touched = np.zeros(len(bars), bool)
    for span in found.spans:
        if null.of(span.figure, span.value) > critical:
            touched |= (bars * BAR < span.end) & ((bars + 1) * BAR > span.begin)
    return float(touched.mean()) if len(bars) else 0.0


def _verdict(standing: Standing) -> str:
    if np.isnan(standing.nearness):
        return EMPTY
    if standing.nearness <= standing.critical:
        return COMMON
    return RARE if standing.nearer else NEARER


def rows(judged: Sequence[Judged], identity: Identity, resamples: int, seed: int) -> list[Row]:
    """The metrics of one run and sampler: means over the samples that have notes, but the longest match of all."""
    heard = [one for one in judged if one.verdict != EMPTY]
    values = {
        "near_copied_samples": [float(one.verdict in FLAGGED) for one in heard],
        "near_copied_bars": [one.near_copied_bars for one in heard],
        "ngram_excess": [one.ngram_excess for one in heard],
        "two_bar_matches": [one.two_bar_matches for one in heard],
        "longest_match": [one.longest_match for one in heard],
    }
    return [
        identity.row(name, unit, bootstrap.mean(np.array(values[name]), seed, resamples), split="train")
        for name, unit in METRICS.items()
    ]


def write_judged(path: Path, judged: Sequence[Judged]) -> None:
    """Write `pieces.csv`, one row a sample."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Judged)])
        for one in judged:
            writer.writerow([_cell(value) for value in asdict(one).values()])


def read_judged(path: Path) -> list[dict[str, str]]:
    """The rows of a `pieces.csv` as text."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_sidecar(path: Path, judged: Judged, facts: dict[str, Any]) -> None:
    """Write what questions of authorship and copyright need to know of one sample, as JSON.

    Args:
        facts: what the sample was made from: model, data and licences, seed, sampler.
    """
    copying = {
        name: float(format_number(value) or "nan") if isinstance(value, float) else value
        for name, value in asdict(judged).items()
        if name != "piece" and value == value
    }
    content = {"sample": judged.piece, **facts, "copying": copying}
    Path(path).write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    return format_number(value) if isinstance(value, float) else str(value)
