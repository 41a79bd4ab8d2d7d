"""Figures as SVG text for a page: the page's colours, deterministic bytes, nothing external.

Colours are written as reserved hexadecimal values and then replaced by CSS variables of the page, so that one figure
serves light and dark. Widths fit a card of a narrow screen; legends and titles are the page's own text.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator, NullLocator

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER, Notes
from dalsegno.gate.history import Series

COLOURS = 8
INK, MUTED, LINE, BAND = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", BAND: "band"} | {
    f"#0{i}0a0a": f"c{i}" for i in range(1, COLOURS + 1)
}
WIDTH = 4.6  # inches; shown at the width of a card
LINEAR = 2  # nearness up to which its axis is linear
NEARNESS_TICKS = (-100, -10, -2, -1, 0, 1, 2, 10, 100, 1000, 10_000)

STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "dalsegno",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
}


def colour(index: int) -> str:
    """The reserved colour of series `index`; it repeats after eight."""
    return f"#0{index % COLOURS + 1}0a0a"


@dataclass(frozen=True)
class Dot:
    """A value with its interval (NaN for none); the index chooses the colour."""

    value: float
    low: float
    high: float
    index: int


@dataclass(frozen=True)
class Point:
    """A place in a plane; the index chooses the colour."""

    x: float
    y: float
    index: int


def learning_curves(curves: Sequence[tuple[int, Sequence[Mapping[str, object]]]], alt: str) -> str:
    """Validation NLL (bold) and training NLL (thin) over steps; a model without steps is a dashed line.

    The frame holds what comes after the first tenth of the steps, since the fall before it says nothing of models.

    Args:
        curves: for each run the index of its model's colour and the rows of its `curves.jsonl`.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(3.0)
        for index, rows in curves:
            for split, width, alpha in (("train", 0.9, 0.5), ("valid", 1.7, 1.0)):
                points = np.array([(row["step"], row["nll"]) for row in rows if row["split"] == split], float)
                if len(points) == 1:
                    axes.axhline(points[0, 1], color=colour(index), linewidth=width, linestyle=(0, (4, 2)))
                elif len(points):
                    axes.plot(*points.T, color=colour(index), linewidth=width, alpha=alpha)
        axes.set_ylim(*_settled([rows for _, rows in curves]))
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("NLL (nats/token)")
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return _svg(figure, alt)


def dots(
    series: Sequence[tuple[str, Sequence[Dot]]],
    controls: Sequence[tuple[str, Dot]],
    band: tuple[float, float, float],
    label: str,
    alt: str,
) -> str:
    """A row a series, a dot a seed, with intervals; controls hollow below; the held-out value and interval behind."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(0.8 + 0.26 * (len(series) + len(controls)))
        value, low, high = band
        if np.isfinite([low, high]).all():
            axes.axvspan(low, high, color=BAND, linewidth=0)
        if np.isfinite(value):
            axes.axvline(value, color=MUTED, linewidth=1)
        for y, (_, seeds) in enumerate(series):
            for offset, dot in zip(np.linspace(-0.2, 0.2, len(seeds)) if len(seeds) > 1 else [0.0], seeds, strict=True):
                _dot(axes, dot, y + offset, colour(dot.index), hollow=False)
        for y, (_, dot) in enumerate(controls, len(series)):
            _dot(axes, dot, y, MUTED, hollow=True)
        names = [name for name, _ in [*series, *controls]]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(label)
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        return _svg(figure, alt)


def frontier(
    points: Sequence[tuple[str, Point]], controls: Sequence[tuple[str, Point]], labels: Sequence[str], alt: str
) -> str:
    """Points in a plane, best at the upper right; a line joins those that none beats in both directions.

    Points that lie together share a number; the numbers are explained below the axes, where no two names can collide.
    """
    with matplotlib.rc_context(STYLE):
        named = [(name, point, "o") for name, point in points] + [(name, point, "D") for name, point in controls]
        span_x, span_y = (
            max(values) - min(values) or 1.0 for values in zip(*((p.x, p.y) for _, p, _ in named), strict=True)
        )
        clusters: list[tuple[float, float, list[str]]] = []
        for name, point, _ in sorted(named, key=lambda one: (-one[1].x, -one[1].y, one[0])):
            near = (c for c in clusters if abs(c[0] - point.x) < 0.06 * span_x and abs(c[1] - point.y) < 0.08 * span_y)
            cluster = next(near, None)
            if cluster is None:
                clusters.append((point.x, point.y, [name]))
            else:
                cluster[2].append(name)
        key = [
            textwrap.fill(f"{number}  {', '.join(names)}", 62, subsequent_indent="    ")
            for number, (_, _, names) in enumerate(clusters, 1)
        ]
        figure, axes = _axes(3.2 + 0.16 * sum(line.count("\n") + 1 for line in key))
        for _, point, marker in named:
            ink, face = (colour(point.index), "full") if marker == "o" else (MUTED, "none")
            axes.plot([point.x], [point.y], marker, color=ink, fillstyle=face, markersize=5)
        for number, (x, y, _) in enumerate(clusters, 1):
            axes.annotate(str(number), (x, y), (0, 7), textcoords="offset points", ha="center", fontsize=9, color=INK)
        figure.supxlabel("\n".join(key), x=0.02, ha="left", fontsize=9, color=MUTED)
        edge = [one for _, one in points if not any(o.x >= one.x and o.y >= one.y and o != one for _, o in points)]
        edge = sorted(edge, key=lambda point: (point.x, -point.y))
        axes.plot([point.x for point in edge], [point.y for point in edge], color=LINE, linewidth=1, zorder=0)
        axes.margins(0.14)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.grid(axis="both")
        return _svg(figure, alt)


def history(series: Sequence[tuple[int, Series]], label: str, alt: str) -> str:
    """Means over seeds by commit, with the lowest and highest seed; a dashed line before which a level changed.

    Args:
        series: index of the colour, and the series; commits are joined by date.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(2.6)
        commits = sorted({(one.date, one.hash) for _, own in series for one in own.commits})
        for index, own in series:
            x = [commits.index((one.date, one.hash)) for one in own.commits]
            spread = np.abs(np.array([own.lows, own.highs]) - own.values)
            axes.errorbar(x, own.values, spread, color=colour(index), marker="o", markersize=3.2, elinewidth=1)
            if own.change is not None:
                axes.axvline(x[own.change] - 0.5, color=colour(index), linewidth=1.2, linestyle=(0, (4, 2)))
        step = -(-len(commits) // 6)
        axes.set_xticks(range(0, len(commits), step), [hash[:7] for _, hash in commits[::step]])
        axes.set_xlim(-0.5, len(commits) - 0.5)
        axes.set_xlabel("commit")
        axes.set_ylabel(label)
        axes.grid(axis="y")
        return _svg(figure, alt)


def nearness(
    unseen: Sequence[float], series: Sequence[tuple[str, int, Sequence[float]]], critical: float, alt: str
) -> str:
    """A row a series, a dot a sample; below them unseen real music as small strokes, and its limit as a line.

    Args:
        series: name, index of the colour, and the nearness of each sample.
        critical: about where a sample begins to be nearer than real music (`dalsegno.copying.calibrate.Null.critical`).
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(1.0 + 0.26 * (len(series) + 1))
        if np.isfinite(critical):
            axes.axvline(critical, color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
        for y, (_, index, values) in enumerate(series):
            heard = [value for value in values if np.isfinite(value)]
            offsets = np.linspace(-0.2, 0.2, len(heard)) if len(heard) > 1 else [0.0] * len(heard)
            axes.plot(heard, y + np.asarray(offsets), "o", markersize=4.2, color=colour(index))
        axes.plot(unseen, np.full(len(unseen), len(series)), "|", markersize=9, markeredgewidth=0.8, color=MUTED)
        axes.set_yticks(range(len(series) + 1), [*(name for name, _, _ in series), "unseen real music"])
        axes.set_ylim(len(series) + 0.6, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        # A copy of a whole piece lies a hundred times as far as the limit, and must not press the others together.
        axes.set_xscale("symlog", linthresh=LINEAR)
        shown = np.array([*unseen, *(value for _, _, values in series for value in values), critical, 0.0, 1.0])
        shown = shown[np.isfinite(shown)]
        low, high = (edge if abs(edge) < LINEAR else 1.5 * edge for edge in (shown.min(), shown.max()))
        axes.set_xlim(low - 0.3, high + 0.3)
        ticks = [tick for tick in NEARNESS_TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:,}".replace("-", "−") for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(f"nearness (logarithmic beyond {LINEAR})")
        axes.grid(axis="x")
        return _svg(figure, alt)


def histogram(
    labels: Sequence[str],
    reference: Sequence[float] | None,
    control: Sequence[float] | None,
    series: Sequence[tuple[int, Sequence[float] | None]],
    axis: str,
    alt: str,
) -> str:
    """Shares of samples as lines, held-out shares as bars, a control's as a dashed line.

    Bins below one in a thousand are cut off.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(2.8)
        shares = [np.asarray(values) for values in (reference, *(values for _, values in series)) if values]
        everywhere = np.max(shares, axis=0) if shares else np.ones(len(labels))
        bins = _shown_bins(everywhere)
        x = np.arange(len(bins))
        if reference:
            axes.bar(x, np.asarray(reference)[bins], width=0.86, color=BAND, linewidth=0)
        if control:
            axes.plot(x, np.asarray(control)[bins], color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
        for index, values in series:
            if values:
                shown = np.asarray(values)[bins]
                axes.plot(x, shown, color=colour(index), marker="o", markersize=2.6, linewidth=1.1)
        ticks = x if len(x) <= 12 else x[_round_numbers([labels[i] for i in bins])]
        axes.set_xticks(ticks, [labels[bins[i]] for i in ticks])
        axes.set_xlabel(axis)
        axes.set_ylabel("share of counts")
        axes.grid(axis="y")
        axes.set_ylim(bottom=0)
        return _svg(figure, alt)


def profiles(series: Sequence[tuple[int, Sequence[float]]], ends: tuple[str, str], alt: str) -> str:
    """One line a series over columns, of which the first and the last are named.

    Args:
        series: index of the colour, and a value a column.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(2.6)
        for index, values in series:
            axes.plot(np.arange(1, len(values) + 1), values, color=colour(index), linewidth=1.4)
        axes.set_xlabel(f"column, {ends[0]} to {ends[1]}")
        axes.set_ylabel("mean")
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        return _svg(figure, alt)


def piano_roll(notes: Notes, alt: str) -> str:
    """Pitch over bars, one colour a track; the piece must have notes."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(2.5, 5.2)
        bars = -(-int(notes.end.max()) // TICKS_PER_BAR)
        for order, track in enumerate(np.unique(notes.track).tolist()):
            axes.add_patch(_rectangles(notes[notes.track == track], colour(order)))
        axes.set_xlim(0, bars * TICKS_PER_BAR)
        step = max(1, -(-bars // 8))
        axes.set_xticks(np.arange(0, bars + 1, step) * TICKS_PER_BAR, [str(b + 1) for b in range(0, bars + 1, step)])
        octaves = np.arange(0, 128, 12)
        axes.set_yticks(octaves, [f"C{o // 12 - 1}" for o in octaves])
        axes.set_ylim(int(notes.pitch.min()) - 2, int(notes.pitch.max()) + 3)
        axes.set_xlabel("bar")
        axes.grid(axis="both")
        return _svg(figure, alt)


def _rectangles(notes: Notes, face: str) -> PathPatch:
    # One outline for all notes of a track: a tenth of the bytes of one patch a note.
    left, right = notes.start, notes.end - np.minimum(notes.duration // 8, TICKS_PER_QUARTER // 24)
    low, high = notes.pitch - 0.42, notes.pitch + 0.42
    corners = np.stack([left, low, left, high, right, high, right, low, left, low], axis=1).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY], len(notes))
    return PathPatch(Outline(corners.astype(float), codes), facecolor=face, edgecolor="none")


def _settled(curves: Sequence[Sequence[Mapping[str, object]]]) -> tuple[float, float]:
    points = np.array([(row["step"], row["nll"]) for rows in curves for row in rows], float)
    late = points[points[:, 0] >= points[:, 0].max() / 10, 1]
    alone = [len(rows) == 1 for rows in curves]
    flat = [float(str(rows[0]["nll"])) for rows, one in zip(curves, alone, strict=True) if one]
    values = np.append(late, flat)
    room = 0.05 * (values.max() - values.min()) or 0.1
    return float(values.min() - room), float(values.max() + room)


def _dot(axes: Axes, dot: Dot, y: float, ink: str, hollow: bool) -> None:
    if np.isfinite([dot.low, dot.high]).all():
        axes.plot([dot.low, dot.high], [y, y], color=ink, linewidth=1.4, solid_capstyle="butt")
    if np.isfinite(dot.value):
        axes.plot(
            [dot.value], [y], "D" if hollow else "o", markersize=4.2, color=ink, fillstyle="none" if hollow else "full"
        )


def _shown_bins(shares: np.ndarray) -> list[int]:
    """The range of bins that hold at least one in a thousand; without its empty bins, where most are empty."""
    seen = np.flatnonzero(shares >= 1e-3)
    if not len(seen):
        return list(range(len(shares)))
    span = range(int(seen[0]), int(seen[-1]) + 1)
    return seen.tolist() if len(seen) < len(span) / 2 else list(span)


def _round_numbers(labels: Sequence[str]) -> np.ndarray:
    """Whether each label is a multiple of the smallest step that leaves at most nine."""
    numbers = np.array([float(label) for label in labels])
    for step in (0.25, 0.5, 1, 2, 3, 6, 12):
        chosen = np.isclose(numbers / step, np.round(numbers / step), atol=1e-3)
        if chosen.sum() <= 9:
            break
    return np.asarray(chosen)


def _axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, alt: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"#0[0-9][0-9a]{2}[0-9a]{2}", lambda match: f"var(--{VARIABLES[match[0]]})", text)
    # Hundredths of a point are enough for outlines, and half the bytes.
    text = re.sub(r' d="[^"]*"', lambda match: re.sub(r"(\d+\.\d{2})\d+", r"\1", match[0]), text)
    label = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def numbered(svg: str, number: int) -> str:
    """The figure with ids of its own, so that many can stand in one page."""
    prefix = f"f{number}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    return re.sub(r'(href="#|url\(#)', rf"\1{prefix}", svg)
