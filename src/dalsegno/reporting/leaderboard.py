"""The tables of numbers: likelihoods, paired tests, likelihoods across representations, metrics beside controls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dalsegno.gate.bounds import CONTROLS
from dalsegno.metrics.comparisons import Comparison, undistinguished
from dalsegno.metrics.decoding import Decoding
from dalsegno.metrics.discrimination import verdict
from dalsegno.metrics.rows import Row
from dalsegno.metrics.scores import RATIOS
from dalsegno.reporting.tables import Run


@dataclass(frozen=True)
class Column:
    """A column of numbers; every one has a unit."""

    label: str
    unit: str


@dataclass(frozen=True)
class Cell:
    """A number as shown, what stands below it in small print, and whether it is the column's best or none tells it
    from the best."""

    text: str
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A row: names, then numbers; `kind` is `model`, `seed` or `control`, `colour` the model's colour or None."""

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    kind: str
    colour: int | None = None


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    title: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    note: str = ""


LIKELIHOODS = (
    ("nll", "test", "Test NLL"),
    ("nll", "valid", "Valid NLL"),
    ("nll", "test_clean", "Test NLL, clean"),
    ("nll_changed", "test", "Test NLL, changed"),
    ("nll_held", "test", "Test NLL, held"),
    ("nll_per_frame", "test", "Test NLL a frame"),
    ("nll_per_frame", "valid", "Valid NLL a frame"),
    ("nll_per_frame", "test_clean", "Test NLL a frame, clean"),
)
ACROSS = (
    ("nll_per_note", "test", "Test NLL a note"),
    ("nll_per_note", "test_clean", "Test NLL a note, clean"),
    ("bits_per_second", "test", "Test bits a second"),
)


def show(value: float) -> str:
    """A number for readers: three decimals, fewer for large numbers, a dash where undefined."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 1}f}".replace("-", "−")


def count(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def _range(row: Row) -> str:
    return f"{show(row.ci_low)} … {show(row.ci_high)}" if math.isfinite(row.ci_low) else ""


def _find(rows: Iterable[Row], metric: str, split: str) -> Row | None:
    return next((row for row in rows if row.metric == metric and row.split == split), None)


def likelihoods(
    rows: Sequence[Row], runs: Sequence[Run], colours: dict[str, int], comparisons: Sequence[Comparison]
) -> list[Table]:
    """For each dataset and representation, since a token is another thing in each: the models, best test NLL first."""
    tables = []
    for dataset, representation in sorted({(run.dataset, run.representation) for run in runs}):
        here = [
            row for row in rows if (row.dataset, row.representation) == (dataset, representation) and not row.sampler
        ]
        shown = [entry for entry in LIKELIHOODS if any(row.metric == entry[0] for row in here)]
        columns = [Column(label, RATIOS[metric].unit) for metric, _, label in shown]
        columns += [Column("Parameters", "values"), Column("Training", "steps"), Column("Best", "step")]
        lines: list[Line] = []
        best = [_best(here, comparisons, metric, split) for metric, split, _ in shown]
        own = [run for run in runs if (run.dataset, run.representation) == (dataset, representation)]
        for model in _ranked(here, sorted({run.model for run in own})):
            seeds = sorted((run for run in own if run.model == model), key=lambda run: int(run.seed))
            several = len(seeds) > 1
            for seed in ["all", *(run.seed for run in seeds)] if several else [seeds[0].seed]:
                mine = [row for row in here if row.model == model and row.seed == seed]
                cells = []
                for (metric, split, _), top in zip(shown, best, strict=True):
                    row = _find(mine, metric, split)
                    is_best = (seed == "all" or not several) and (representation, model) in top
                    cells.append(Cell(show(row.value), _range(row), is_best) if row else Cell("–"))
                told = [run for run in seeds if seed in ("all", run.seed)]
                cells += [
                    _same([count(getattr(run, name)) for run in told]) for name in ("parameters", "steps", "best_step")
                ]
                about = told[0].family if told[0].family != model else ""
                kind = "model" if seed == "all" or not several else "seed"
                who = model if kind == "model" else f"seed {seed}"
                if seed == "all":
                    about = " · ".join(part for part in (about, f"mean of {len(seeds)} seeds") if part)
                elif kind == "model":
                    about = " · ".join(part for part in (about, f"seed {seed}") if part)
                lines.append(Line((who, about if kind == "model" else ""), tuple(cells), kind, colours[model]))
        title = f"{dataset} · {representation}"
        tables.append(Table(title, ("Model",), tuple(columns), tuple(lines)))
    return tables


TESTED = (("nll", "test"), ("nll", "test_clean"))


def paired_tests(comparisons: Sequence[Comparison], runs: Sequence[Run]) -> list[Table]:
    """For each dataset and representation: every two models on the same test pieces, the better one first."""
    tables = []
    for dataset, representation in sorted({(run.dataset, run.representation) for run in runs}):
        found = {
            (row.metric, row.split, row.model, row.other_model): row
            for row in comparisons
            if (row.dataset, row.representation, row.other_representation) == (dataset, representation, representation)
        }
        lines = []
        # A pair may change places between the splits, so each has its line where it is the right way round.
        for first, second in sorted({key[2:] for key in found if key[:2] in TESTED}):
            cells: list[Cell] = []
            for metric, split in TESTED:
                row = found.get((metric, split, first, second))
                interval = f"{show(row.ci_low)} … {show(row.ci_high)}" if row and math.isfinite(row.ci_low) else ""
                cells.append(Cell(show(row.difference), interval) if row else Cell("–"))
                told = f"{row.families} families" if row else ""
                cells.append(Cell(_chance(row.p_adjusted), told) if row else Cell("–"))
            lines.append(Line((f"{first} – {second}",), tuple(cells), "pair"))
        columns = (
            Column("Test NLL, difference", "nats/token"),
            Column("p, corrected", "probability"),
            Column("Test NLL, clean, difference", "nats/token"),
            Column("p, corrected", "probability"),
        )
        if lines:
            tables.append(Table(f"{dataset} · {representation}", ("Models",), columns, tuple(lines)))
    return tables


def _chance(p: float) -> str:
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else show(p)


def across_representations(
    rows: Sequence[Row], runs: Sequence[Run], colours: dict[str, int], comparisons: Sequence[Comparison]
) -> list[Table]:
    """For each dataset with the units that all representations share."""
    tables = []
    for dataset in sorted({run.dataset for run in runs}):
        here = [row for row in rows if row.dataset == dataset and row.seed == "all" and not row.sampler]
        best = [_best(here, comparisons, metric, split) for metric, split, _ in ACROSS]
        lines = []
        for model, representation in sorted(
            {(run.model, run.representation) for run in runs if run.dataset == dataset},
            key=lambda key: (_nats_per_note(here, *key), key),
        ):
            mine = [row for row in here if (row.model, row.representation) == (model, representation)]
            cells = []
            for (metric, split, _), top in zip(ACROSS, best, strict=True):
                row = _find(mine, metric, split)
                seeds = f"{row.n} seed{'s' if row.n > 1 else ''}" if row else ""
                small = _range(row) or seeds if row else ""
                cells.append(Cell(show(row.value), small, (representation, model) in top) if row else Cell("–"))
            lines.append(Line((model, representation), tuple(cells), "model", colours[model]))
        columns = tuple(
            Column(label, next((row.unit for row in here if row.metric == metric), "nats/note"))
            for metric, _, label in ACROSS
        )
        tables.append(Table(dataset, ("Model",), columns, tuple(lines)))
    return tables


def metrics_beside_controls(rows: Sequence[Row], colours: dict[str, int]) -> list[Table]:
    """For each dataset: a column a metric, first the controls, then every model and sampler."""
    tables = []
    sampled = [row for row in rows if row.sampler or row.model in CONTROLS]
    for dataset in sorted({row.dataset for row in sampled}):
        here = [row for row in sampled if row.dataset == dataset]
        metrics = ordered_metrics(here)
        lines = []
        for model, representation in control_keys(here):
            mine = [row for row in here if (row.model, row.representation) == (model, representation)]
            lines.append(Line((control_name(model, representation), ""), _cells(mine, metrics), "control"))
        lines.append(Line(("does not tell apart", ""), _untold(here, metrics), "control"))
        for key in series(here):
            mine = [row for row in here if key_of(row) == key]
            seeds = sorted({row.seed for row in mine} - {"all"}, key=int)
            chosen = [row for row in mine if row.seed == ("all" if len(seeds) > 1 else seeds[0])]
            about = f"{key[0]} · {key[2]} · " + (f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}")
            lines.append(Line((key[1], about), _cells(chosen, metrics), "model", colours[key[1]]))
        columns = tuple(Column(readable(metric), unit) for metric, unit in metrics)
        tables.append(Table(f"{dataset}: all metrics", ("Music",), columns, tuple(lines)))
    return tables


def decoding_tables(decodings: Sequence[Decoding], colours: dict[str, int]) -> list[Table]:
    """For each dataset and representation: every model, the decoding that ranks it first, the others behind it."""
    tables = []
    columns = (
        Column("Temperature", "factor"),
        Column("Top k", "tokens"),
        Column("Top p", "probability"),
        Column("Criterion, validation", "1 = average"),
    )
    for dataset, representation in sorted({(row.dataset, row.representation) for row in decodings}):
        own = [row for row in decodings if (row.dataset, row.representation) == (dataset, representation)]
        lines = []
        for row in sorted(own, key=lambda row: (row.model, not row.chosen, row.sampler)):
            settings = [show(row.temperature), count(row.top_k) if row.top_k else "all", show(row.top_p)]
            seeds = f"{row.n} seed" + "s" * (row.n != 1)
            cells = (*map(Cell, settings), Cell(show(row.criterion), seeds, row.chosen))
            lines.append(Line((row.model, row.sampler), cells, "model", colours[row.model]))
        tables.append(Table(f"{dataset} · {representation}", ("Model",), columns, tuple(lines)))
    return tables


CONTROL_NAMES = {
    "held_out": "held-out",
    "train": "training",
    "shuffled": "shuffled pitches",
    "noise": "noise",
}


def control_keys(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """(model, representation) of the controls among rows, in the order in which they are shown."""
    return sorted(
        {(row.model, row.representation) for row in rows if row.model in CONTROLS},
        key=lambda key: (CONTROLS.index(key[0]), key[1]),
    )


def control_name(model: str, representation: str) -> str:
    """A control for readers."""
    return f"{CONTROL_NAMES[model]} as {representation}" if representation else CONTROL_NAMES[model]


def readable(metric: str) -> str:
    """`pitch_class_entropy` as a heading."""
    return metric.replace("_", " ").capitalize()


def ordered_metrics(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """(metric, unit), metrics of pieces first, distances last."""
    return sorted({(row.metric, row.unit) for row in rows}, key=lambda pair: (pair[0].endswith("_distance"), pair))


def key_of(row: Row) -> tuple[str, str, str]:
    """What one series of sample metrics belongs to."""
    return row.representation, row.model, row.sampler


def series(rows: Iterable[Row]) -> list[tuple[str, str, str]]:
    """(representation, model, sampler) of all samples, sorted."""
    return sorted({key_of(row) for row in rows if row.sampler})


def _cells(rows: Sequence[Row], metrics: Sequence[tuple[str, str]]) -> tuple[Cell, ...]:
    found = [next((row for row in rows if row.metric == metric), None) for metric, _ in metrics]
    return tuple(Cell(show(row.value), _range(row) or row.note) if row else Cell("–") for row in found)


def _untold(rows: Sequence[Row], metrics: Sequence[tuple[str, str]]) -> tuple[Cell, ...]:
    """For each metric what it does not tell on this dataset, judged by its controls; a tick where it tells all."""
    controls = [row for row in rows if row.model in CONTROLS]
    found = [verdict(row for row in controls if row.metric == metric) for metric, _ in metrics]
    return tuple(Cell("✓" if not told else "?" if told == "undefined" else "✗", told) for told in found)


def _mean_rows(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.seed == "all" and math.isfinite(row.value)]


def _best(rows: Iterable[Row], comparisons: Sequence[Comparison], metric: str, split: str) -> set[tuple[str, str]]:
    """(representation, model) of the lowest mean and of all that no paired test tells from it."""
    found = [row for row in _mean_rows(rows) if (row.metric, row.split) == (metric, split)]
    # One model alone is no best.
    if len(found) < 2:
        return set()
    best = min(found, key=lambda row: row.value)
    return undistinguished(comparisons, (best.representation, best.model), best.dataset, metric, split)


def _nats_per_note(rows: Iterable[Row], model: str, representation: str) -> float:
    mine = [row for row in _mean_rows(rows) if (row.model, row.representation) == (model, representation)]
    row = _find(mine, "nll_per_note", "test")
    return row.value if row else math.inf


def _ranked(rows: Sequence[Row], models: Sequence[str]) -> list[str]:
    means = {row.model: row.value for row in _mean_rows(rows) if (row.metric, row.split) == ("nll", "test")}
    return sorted(models, key=lambda model: (means.get(model, math.inf), model))


def _same(texts: Sequence[str]) -> Cell:
    """One text where all agree, else the first and last of their range."""
    kinds = sorted(set(texts), key=lambda text: int(text.replace("\u202f", "")))
    return Cell(kinds[0] if len(kinds) == 1 else f"{kinds[0]} … {kinds[-1]}")
