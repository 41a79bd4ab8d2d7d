"""Verdicts on copying: each series of samples beside unseen real music, and the nearest pieces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dalsegno.copying import judge
from dalsegno.copying.calibrate import read_null
from dalsegno.copying.parts import Part
from dalsegno.metrics.rows import Row
from dalsegno.reporting import figures
from dalsegno.reporting.inputs import ReportInputs
from dalsegno.reporting.leaderboard import Cell, Column, Line, Table, count, show

NEAREST = 3
"""Samples of each series that are named in the table."""


@dataclass(frozen=True)
class CopyingPanel:
    """A figure with its title."""

    title: str
    svg: str


@dataclass(frozen=True)
class CopyingGallery:
    """The figures of one dataset and representation, one for each length of samples."""

    title: str
    panels: tuple[CopyingPanel, ...]
    legend: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CopyingPage:
    """What the report says of one dataset and representation."""

    gallery: CopyingGallery
    tables: tuple[Table, ...]


Pieces = Sequence[Mapping[str, str]]


def copying_pages(
    inputs: ReportInputs,
    rows: Sequence[Row],
    belongs: Mapping[str, tuple[str, str, str, str]],
    colours: Mapping[str, int],
) -> list[CopyingPage]:
    """One page a dataset and representation.

    Args:
        rows: of `metrics.csv`.
        belongs: run -> (dataset, representation, model, seed).
    """
    pages = []
    for (dataset, representation), null_csv in sorted(inputs.unseen.items()):
        found: dict[str, dict[str, list[tuple[str, Pieces]]]] = {}
        for (run, sampler), path in sorted(inputs.copying.items()):
            if belongs[run][:2] == (dataset, representation):
                _, _, model, seed = belongs[run]
                found.setdefault(sampler, {}).setdefault(model, []).append((seed, judge.read_judged(path)))
        panels = []
        for sampler, models in found.items():
            part = Part.of_sampler(inputs.study["samplers"][sampler])
            null = read_null(null_csv, part)
            every = {model: [one for _, pieces in seeds for one in pieces] for model, seeds in models.items()}
            series = [
                (model, colours[model], [float(one["nearness"] or "nan") for one in pieces])
                for model, pieces in every.items()
            ]
            beyond = "; ".join(f"{model}: {_flagged(pieces)} samples beyond" for model, pieces in every.items())
            alt = (
                f"Nearness of samples to the training set, {dataset}, {representation}, {sampler}: "
                f"limit of {null.n} unseen real pieces {show(null.critical)}; {beyond}"
            )
            svg = figures.nearness(null.nearness.tolist(), series, null.critical, alt)
            left_out = "" if part.given is None else " · without the given voice"
            panels.append(CopyingPanel(f"{sampler} · {null.n} unseen real pieces{left_out}", svg))
        if panels:
            title = f"{dataset} · {representation}"
            shown = sorted({model for models in found.values() for model in models})
            gallery = CopyingGallery(title, tuple(panels), tuple((model, colours[model]) for model in shown))
            here = [row for row in rows if (row.dataset, row.representation) == (dataset, representation)]
            pages.append(CopyingPage(gallery, (_summary(found, here, colours), _nearest(found, colours))))
    return pages


def _flagged(pieces: Pieces) -> str:
    return f"{sum(one['verdict'] in judge.FLAGGED for one in pieces)} of {len(pieces)}"


def _summary(
    found: Mapping[str, Mapping[str, Sequence[tuple[str, Pieces]]]], rows: Sequence[Row], colours: Mapping[str, int]
) -> Table:
    lines = []
    for sampler, models in found.items():
        for model, seeds in models.items():
            every = [one for _, pieces in seeds for one in pieces]
            cells = [Cell(_flagged(every))]
            for metric in ("near_copied_bars", "longest_match", "ngram_excess", "two_bar_matches"):
                values = [row for row in rows if (row.metric, row.sampler, row.model) == (metric, sampler, model)]
                row = next((row for row in values if row.seed == "all"), None)
                small = f"{show(row.ci_low)} … {show(row.ci_high)}" if row and math.isfinite(row.ci_low) else ""
                cells.append(Cell(show(row.value), small) if row else Cell("–"))
            cells.append(Cell(show(min((float(one["p"]) for one in every), default=math.nan))))
            about = f"{sampler} · {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
            lines.append(Line((model, about), tuple(cells), "model", colours[model]))
    columns = (
        Column("Nearer than real music", "samples"),
        Column("Near-copied bars", "share"),
        Column("Longest match", "notes, mean"),
        Column("N-gram excess", "share"),
        Column("Two-bar matches", "share"),
        Column("Smallest p", "probability"),
    )
    return Table("Samples against the training set", ("Music",), columns, tuple(lines))


def _nearest(found: Mapping[str, Mapping[str, Sequence[tuple[str, Pieces]]]], colours: Mapping[str, int]) -> Table:
    lines = []
    for sampler, models in found.items():
        for model, seeds in models.items():
            every = [(seed, one) for seed, pieces in seeds for one in pieces if one["nearness"]]
            every.sort(key=lambda pair: -float(pair[1]["nearness"]))
            for seed, one in every[:NEAREST]:
                about = f"{sampler} · seed {seed} · sample {int(one['piece']) + 1}"
                numbers = (show(float(one["nearness"])), show(float(one["p"])), show(float(one["near_copied_bars"])))
                cells = (
                    Cell(one["verdict"]),
                    *(Cell(number) for number in numbers),
                    Cell(count(int(float(one["longest_match"])))),
                    *_places(one),
                )
                lines.append(Line((model, about), cells, "model", colours[model]))
    columns = (
        Column("Verdict", ""),
        Column("Nearness", "units of unseen"),
        Column("p", "probability"),
        Column("Near-copied bars", "share"),
        Column("Longest match", "notes"),
        Column("From bar", "of the sample"),
        Column("Nearest training piece", "id"),
    )
    return Table(f"The {NEAREST} nearest samples of each series", ("Sample",), columns, tuple(lines))


def _places(one: Mapping[str, str]) -> tuple[Cell, Cell]:
    """Where the nearest stretch lies in the sample and in the training set; dashes where there is none."""
    if not one["training_piece"]:
        return Cell("–"), Cell("–")
    return Cell(one["bar"], f"{show(float(one['bars']))} bars"), Cell(
        one["training_piece"], f"bar {one['training_bar']}"
    )
