"""The report: one HTML file that opens from disk and needs nothing else."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dalsegno.copying import judge
from dalsegno.gate import history
from dalsegno.gate.bounds import CONTROLS
from dalsegno.metrics.comparisons import read_comparisons
from dalsegno.metrics.decoding import Decoding, read_decodings
from dalsegno.metrics.leaks import read_leaks
from dalsegno.metrics.rows import Row, read_rows
from dalsegno.reporting import fidelity_cards, figures, history_page
from dalsegno.reporting.copying_page import copying_pages
from dalsegno.reporting.data_page import DatasetPage, dataset_page
from dalsegno.reporting.features_page import feature_page
from dalsegno.reporting.gate_page import beside, differences
from dalsegno.reporting.inputs import ReportInputs
from dalsegno.reporting.leaderboard import (
    across_representations,
    control_keys,
    control_name,
    decoding_tables,
    key_of,
    likelihoods,
    metrics_beside_controls,
    ordered_metrics,
    paired_tests,
    readable,
    series,
    show,
)
from dalsegno.reporting.leak_page import leak_pages
from dalsegno.reporting.listening import shelves
from dalsegno.reporting.origins import origins, versions
from dalsegno.reporting.tables import Run, read_runs


@dataclass(frozen=True)
class Panel:
    """A figure with its title."""

    title: str
    svg: str


@dataclass(frozen=True)
class Gallery:
    """Figures that share a dataset and a legend of (name, colour)."""

    title: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, int], ...]


def write_report(path: Path, inputs: ReportInputs) -> None:
    """Write the report of one study.

    The bytes follow from the inputs and the library versions alone. Nothing refers outside the file; audio, MIDI and
    figures are inside it.
    """
    Path(path).write_text(render(inputs), encoding="utf-8")


def render(inputs: ReportInputs) -> str:
    """The report as text."""
    every = _annotated(read_rows(inputs.metrics), inputs)
    # Distances of samples to validation pieces chose the decodings and say nothing else.
    rows = [row for row in every if row.metric not in judge.METRICS and not (row.sampler and row.split == "valid")]
    decodings = read_decodings(inputs.decoding)
    passed_over = {(row.dataset, row.representation, row.model, row.sampler) for row in decodings if not row.chosen}
    ranked = [row for row in rows if (row.dataset, row.representation, row.model, row.sampler) not in passed_over]
    runs = read_runs(inputs.runs)
    comparisons = read_comparisons(inputs.comparisons)
    models = sorted({run.model for run in runs})
    colours = {model: index for index, model in enumerate(models)}
    belongs = {run.run: (run.dataset, run.representation, run.model, run.seed) for run in runs}
    gate = json.loads(Path(inputs.gate).read_text()) if inputs.gate else {"passed": True, "verdicts": []}
    moved = differences(gate)
    past = history.read(inputs.history, inputs.study["study"]) if inputs.history else []
    found, modules = origins(inputs.specs)
    heard = {key: folder for key, folder in inputs.samples.items() if (*belongs[key[0]][:3], key[1]) not in passed_over}
    environment = Environment(
        loader=PackageLoader("dalsegno.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["figure"] = _numbering()
    environment.filters["show"] = show
    return environment.get_template("report.html.j2").render(
        study=inputs.study,
        runs=runs,
        models=models,
        colours=colours,
        datasets=sorted({*inputs.corpora, *(run.dataset for run in runs)}),
        likelihoods=likelihoods(rows, runs, colours, comparisons),
        paired=paired_tests(comparisons, runs),
        across=across_representations(rows, runs, colours, comparisons),
        leaks=leak_pages(read_leaks(inputs.leaks), colours),
        curves=_curves(inputs, runs, colours),
        decodings=decoding_tables(decodings, colours),
        beside=metrics_beside_controls(ranked, colours),
        dots=_dots(ranked, colours),
        frontiers=_frontiers(rows, colours, decodings),
        distributions=_distributions(inputs, belongs, colours),
        copying=copying_pages(inputs, every, belongs, colours),
        shelves=shelves(heard, inputs.references, belongs, colours, inputs.samples_per_run),
        overview=fidelity_cards.overview(inputs.representations),
        pages=_pages(inputs),
        features=[
            feature_page(dataset, name, folder, inputs.corpora[dataset])
            for (dataset, name), folder in sorted(inputs.features.items())
        ],
        gate=gate,
        moved=[Gallery("Against the baseline", tuple(Panel(*one) for one in moved), ())] if moved else [],
        heard=beside(gate, inputs.samples, inputs.seconds),
        history=[
            Gallery(title, tuple(Panel(*panel) for panel in panels), _legend(shown, colours))
            for title, panels, shown in history_page.curves(past, colours)
        ],
        history_told=history_page.told(past),
        origins=found,
        modules=modules,
        versions=versions(),
    )


def _annotated(rows: Sequence[Row], inputs: ReportInputs) -> list[Row]:
    """The rows with the notes that the measuring jobs wrote; the study's table has none."""

    def key(row: Row) -> tuple[str, ...]:
        return (row.run, row.dataset, row.representation, row.model, row.sampler, row.split, row.metric)

    notes = {key(row): row.note for path in inputs.measured() for row in read_rows(path) if row.note}
    return [replace(row, note=notes.get(key(row), "")) for row in rows]


def _numbering() -> Callable[[str], Markup]:
    numbers = itertools.count(1)
    return lambda svg: Markup(figures.numbered(svg, next(numbers)))


def _legend(models: Sequence[str], colours: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((model, colours[model]) for model in sorted(set(models)))


def _curves(inputs: ReportInputs, runs: Sequence[Run], colours: dict[str, int]) -> list[Gallery]:
    galleries = []
    for dataset in sorted({run.dataset for run in runs}):
        panels = []
        shown = []
        for representation in sorted({run.representation for run in runs if run.dataset == dataset}):
            mine = [
                run
                for run in runs
                if (run.dataset, run.representation) == (dataset, representation) and run.run in inputs.curves
            ]
            if any(run.steps for run in mine):
                curves = [(colours[run.model], _json_lines(inputs.curves[run.run])) for run in mine]
                alt = f"Learning curves on {dataset}, {representation}: " + "; ".join(
                    f"{run.run} ends at a best validation NLL of {show(run.valid_nll)} nats/token" for run in mine
                )
                panels.append(Panel(representation, figures.learning_curves(curves, alt)))
                shown += [run.model for run in mine]
        if panels:
            galleries.append(Gallery(dataset, tuple(panels), _legend(shown, colours)))
    return galleries


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def _dots(rows: Sequence[Row], colours: dict[str, int]) -> list[Gallery]:
    galleries = []
    sampled = [row for row in rows if row.sampler or row.model in CONTROLS]
    for dataset in sorted({row.dataset for row in sampled if row.sampler}):
        here = [row for row in sampled if row.dataset == dataset and row.seed != "all"]
        keys = series(here)
        names = _short_names(keys)
        panels = []
        for metric, unit in ordered_metrics(here):
            mine = [row for row in here if row.metric == metric]
            controls = {(row.model, row.representation): _dot(row, 0) for row in mine if row.model in CONTROLS}
            # A metric that says the same of all music, or nothing, needs no figure.
            if len({row.value for row in mine if math.isfinite(row.value)}) < 2:
                continue
            held_out = controls.pop(("held_out", ""), figures.Dot(math.nan, math.nan, math.nan, 0))
            dots = [
                (name, [_dot(row, colours[key[1]]) for row in mine if row.sampler and key_of(row) == key])
                for key, name in zip(keys, names, strict=True)
            ]
            means = "; ".join(
                f"{name} {show(float(np.mean([dot.value for dot in seeds])))}" for name, seeds in dots if seeds
            )
            alt = f"{readable(metric)} in {unit}, {dataset}: held-out music {show(held_out.value)}; {means}"
            panels.append(
                Panel(
                    readable(metric),
                    figures.dots(
                        dots,
                        [(control_name(*key), controls[key]) for key in control_keys(here) if key in controls],
                        (held_out.value, held_out.low, held_out.high),
                        unit,
                        alt,
                    ),
                )
            )
        galleries.append(Gallery(dataset, tuple(panels), _legend([key[1] for key in keys], colours)))
    return galleries


FRONTIERS = (("precision", "recall"), ("density", "coverage"))
"""Fidelity and diversity, as their papers pair them."""


def _frontiers(rows: Sequence[Row], colours: dict[str, int], decodings: Sequence[Decoding]) -> list[Gallery]:
    """For each dataset and representation: fidelity against diversity of every model and sampler, and of controls."""
    galleries = []
    chosen = {(row.dataset, row.representation, row.model, row.sampler) for row in decodings if row.chosen}
    sampled = sorted({(row.dataset, row.representation) for row in rows if row.sampler})
    for dataset, representation in sampled:
        here = [row for row in rows if row.dataset == dataset]
        own = [row for row in here if row.sampler and row.representation == representation and row.seed == "all"]
        controls = [row for row in here if row.model in CONTROLS and row.representation in ("", representation)]
        panels = []
        for pair in FRONTIERS:
            points = [
                (" · ".join(key[1:]) + " ★" * ((dataset, *key) in chosen), figures.Point(*place, colours[key[1]]))
                for key in series(own)
                if (place := _place([row for row in own if key_of(row) == key], pair))
            ]
            beside = [
                (control_name(*key), figures.Point(*place, 0))
                for key in control_keys(controls)
                if (place := _place([row for row in controls if (row.model, row.representation) == key], pair))
            ]
            if points:
                told = "; ".join(f"{name} {show(point.x)}, {show(point.y)}" for name, point in [*points, *beside])
                alt = f"{readable(pair[1])} against {pair[0]}, {dataset}, {representation}: {told}"
                labels = [f"{name} ({next(row.unit for row in own if row.metric == name)})" for name in pair]
                panels.append(
                    Panel(f"{readable(pair[0])} and {pair[1]}", figures.frontier(points, beside, labels, alt))
                )
        if panels:
            title = f"{dataset} · {representation}: fidelity against diversity"
            galleries.append(Gallery(title, tuple(panels), _legend([key[1] for key in series(own)], colours)))
    return galleries


def _place(rows: Sequence[Row], metrics: tuple[str, str]) -> tuple[float, float] | None:
    found = {row.metric: row.value for row in rows}
    x, y = (found.get(metric, math.nan) for metric in metrics)
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def _dot(row: Row, index: int) -> figures.Dot:
    return figures.Dot(row.value, row.ci_low, row.ci_high, index)


def _short_names(keys: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names of series without the parts that all of them share."""
    varying = [i for i in (1, 0, 2) if i == 1 or len({key[i] for key in keys}) > 1]
    return [" · ".join(key[i] for i in varying) for key in keys]


def _distributions(
    inputs: ReportInputs, belongs: dict[str, tuple[str, str, str, str]], colours: dict[str, int]
) -> list[Gallery]:
    groups: dict[tuple[str, str], dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for (run, sampler), path in sorted(inputs.measures.items()):
        dataset, representation, model, _ = belongs[run]
        series = groups.setdefault((dataset, representation), {}).setdefault((model, sampler), [])
        series.append(json.loads(Path(path).read_text(encoding="utf-8")))
    galleries = []
    controls = {
        dataset: json.loads(Path(path).read_text(encoding="utf-8")) for dataset, path in inputs.controls.items()
    }
    for (dataset, representation), contents in groups.items():
        panels = []
        for metric in sorted({metric for parts in contents.values() for part in parts for metric in part}):
            first = next(part[metric] for parts in contents.values() for part in parts if metric in part)
            lines = []
            for (model, _), parts in contents.items():
                shares = [part[metric]["shares"]["samples"] for part in parts if metric in part]
                defined = [values for values in shares if values]
                lines.append((colours[model], np.mean(defined, axis=0).tolist() if defined else None))
            shuffled = controls.get(dataset, {}).get(metric, {}).get("shares", {}).get("shuffled")
            alt = (
                f"Histogram of {first['axis']} on {dataset}, {representation}: bars of held-out music, lines of samples"
            )
            title = readable(metric.removesuffix("_distance"))
            svg = figures.histogram(first["labels"], first["shares"]["held_out"], shuffled, lines, first["axis"], alt)
            panels.append(Panel(title, svg))
        if panels:
            legend = _legend([model for model, _ in contents], colours)
            galleries.append(Gallery(f"{dataset} · {representation}", tuple(panels), legend))
    return galleries


def _pages(inputs: ReportInputs) -> list[DatasetPage]:
    return [
        dataset_page(
            dataset,
            corpus,
            inputs.splits[dataset],
            inputs.families[dataset],
            {name: folder for (owner, name), folder in inputs.representations.items() if owner == dataset},
            random=inputs.study["datasets"][dataset]["split"]["kind"] == "random",
            card=inputs.cards.get(dataset),
        )
        for dataset, corpus in sorted(inputs.corpora.items())
    ]
