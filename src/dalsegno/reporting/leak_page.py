"""What a leak is worth: the section of a report that prices relatives of test pieces in train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dalsegno.metrics.leaks import Leak
from dalsegno.reporting import figures
from dalsegno.reporting.leaderboard import Cell, Column, Line, Table, show

PIECES = {"all": "all", "with_relatives": "with relatives", "without_relatives": "without"}


@dataclass(frozen=True)
class LeakPage:
    """One leak, ready to be shown."""

    name: str
    sentences: tuple[str, ...]
    table: Table
    svg: str


def leak_pages(leaks: Sequence[Leak], colours: dict[str, int]) -> list[LeakPage]:
    """A page a leak, sorted by name."""
    return [
        _page(name, [row for row in leaks if row.leak == name], colours) for name in sorted({row.leak for row in leaks})
    ]


def _page(name: str, rows: Sequence[Leak], colours: dict[str, int]) -> LeakPage:
    several = len({row.representation for row in rows}) > 1
    titles = [f"{row.model} · {row.representation}" if several else row.model for row in rows]
    lines = tuple(
        Line(
            (title, f"{PIECES[row.pieces]}: {row.n} pieces of {row.families} families"),
            (
                Cell(show(row.leaky)),
                Cell(show(row.clean)),
                Cell(show(row.difference), f"{show(row.ci_low)} … {show(row.ci_high)}" if _certain(row) else ""),
            ),
            "model",
            colours[row.model],
        )
        for title, row in zip(titles, rows, strict=True)
    )
    columns = tuple(Column(label, "nats/token") for label in ("With the leak", "Without", "Price"))
    dots = [
        (f"{title}, {PIECES[row.pieces]}", [figures.Dot(row.difference, row.ci_low, row.ci_high, colours[row.model])])
        for title, row in zip(titles, rows, strict=True)
        if math.isfinite(row.difference)
    ]
    alt = f"What the leak {name} is worth: " + "; ".join(
        f"{told} {show(dot[0].value)} nats/token" for told, dot in dots
    )
    return LeakPage(
        name,
        tuple(_sentence(title, row) for title, row in zip(titles, rows, strict=True) if row.pieces == "all"),
        Table(name, ("Model",), columns, lines),
        figures.dots(dots, [], (0.0, math.nan, math.nan), "NLL without the leak minus with it (nats/token)", alt),
    )


def _certain(row: Leak) -> bool:
    return math.isfinite(row.ci_low) and math.isfinite(row.ci_high)


def _sentence(title: str, row: Leak) -> str:
    if not math.isfinite(row.difference):
        return f"{title}: no test pieces, no price."
    way = "lower (better)" if row.difference > 0 else "higher (worse)"
    told = f"{title}: relatives in train make the test NLL {show(abs(row.difference))} nats/token {way}"
    if not _certain(row):
        return f"{told}; too few families for an interval."
    inside = row.ci_low <= 0 <= row.ci_high
    end = "; the interval holds 0" if inside else ""
    return f"{told} (95 % interval of the difference {show(row.ci_low)} to {show(row.ci_high)}{end})."
