"""A comparison as Markdown for a pull request, as JSON for programs, as a page that opens from disk."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from dalsegno.comparing.differences import Change, Comparison, Delta, Study
from dalsegno.provenance import canonical

SCHEMA = 1
MARKS = {"better": "🟢 better", "worse": "🔴 worse", "moved": "🟡 moved", "": "within noise"}
HEADLINE = ("nll", "nll_per_note")
LONGEST = 90  # characters of a parameter's value
INTERVALS = (
    "Differences are new minus old, means over seeds, on the pieces that both scored; intervals are 95 %, over "
    "training seeds and families of pieces where two seeds or more tell of the seeds' noise. A verdict says that an "
    "interval excludes 0; of many, one in twenty does so by chance. The gate, which corrects for that, decides."
)


def to_json(comparison: Comparison) -> str:
    """See `docs/compare.md`."""
    content = {"schema_version": SCHEMA, **asdict(comparison)}
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(comparison: Comparison) -> str:
    """GitHub's Markdown: what moved, then all numbers folded, then what was changed."""
    lines = [f"## {_code(comparison.old)} → {_code(comparison.new)}", ""]
    lines += [f"- old: {_text(comparison.old_about)}", f"- new: {_text(comparison.new_about)}", ""]
    lines += [f"- {_text(note)}: {', '.join(map(_code, names))}" for note, names in bare(comparison).items()]
    for study in shown_studies(comparison):
        lines += ["", f"### {_text(study.study)}", "", _text(summary(study)), ""]
        shown = [one for one in study.deltas if one.verdict or (one.metric in HEADLINE and one.split == "test")]
        if shown:
            lines += [*_table(HEADS, [cells(one) for one in shown]), ""]
        rest = [one for one in study.deltas if one not in shown]
        if rest:
            told = f"{len(rest)} more numbers, none of which moved beyond noise"
            lines += ["<details>", f"<summary>{told}</summary>", "", *_table(HEADS, [cells(one) for one in rest])]
            lines += ["", "</details>", ""]
        lines += [f"- {what}: {', '.join(map(_code, names))}" for what, names in runs(study) if names]
        if study.parameters:
            rows = [parameter(one) for one in study.parameters]
            lines += ["", *_folded(f"{len(rows)} changed parameters", _table(("parameter", "old", "new", "of"), rows))]
        lines.append("")
    if comparison.modules:
        rows = [[name, verb] for name, verb in comparison.modules.items()]
        lines += _folded(f"{len(rows)} changed modules", _table(("module", "what"), rows))
    if comparison.libraries:
        rows = [parameter(one)[:3] for one in comparison.libraries]
        lines += _folded(f"{len(rows)} changed libraries", _table(("library", "old", "new"), rows))
    if not comparison.modules and not comparison.libraries:
        lines += ["No code module and no library differs.", ""]
    if any(study.deltas for study in comparison.studies):
        lines += [f"<sub>{INTERVALS}</sub>", ""]
    return "\n".join(lines)


def bare(comparison: Comparison) -> dict[str, list[str]]:
    """The studies of which there is nothing to show but a note, by that note."""
    found: dict[str, list[str]] = {}
    for study in comparison.studies:
        if study not in shown_studies(comparison):
            found.setdefault(study.note, []).append(study.study)
    return found


def shown_studies(comparison: Comparison) -> list[Study]:
    """The studies with numbers, changed parameters or runs."""
    return [one for one in comparison.studies if not one.note or one.parameters]


def to_html(comparison: Comparison) -> str:
    """One file with everything in it, in the look of the report."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("dalsegno.comparing"), PackageLoader("dalsegno.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"summary": summary, "runs": runs, "heads": HEADS, "intervals": INTERVALS}
    environment.globals |= {"bare": bare, "shown_studies": shown_studies}
    environment.filters |= {"cells": cells, "parameter": parameter}
    return environment.get_template("compare.html.j2").render(comparison=comparison)


def summary(study: Study) -> str:
    """One sentence on a study."""
    if study.note:
        return study.note
    parts = [f"{len(names)} runs {what}" for what, names in runs(study) if names]
    equal = sum(one.equal for one in study.deltas)
    moved = {verdict: sum(one.verdict == verdict for one in study.deltas) for verdict in ("worse", "better", "moved")}
    found = [f"{number} {verdict}" for verdict, number in moved.items() if number]
    numbers = f"{len(study.deltas)} numbers: {', '.join(found) or 'none moved beyond noise'}"
    return "; ".join([*parts, numbers, *([f"{equal} the same byte for byte"] if equal else [])])


def runs(study: Study) -> list[tuple[str, list[str]]]:
    """What became of the runs."""
    renamed = [f"{old} → {new}" for old, new in study.renamed]
    return [
        ("matched", list(study.matched)),
        ("renamed", renamed),
        ("missing", list(study.missing)),
        ("new", list(study.new)),
    ]


HEADS = ("verdict", "of", "metric", "old", "new", "difference", "95 % interval", "rests on")


def cells(one: Delta) -> list[str]:
    """The row of one metric."""
    of = " · ".join(part for part in (one.subject, one.sampler) if part)
    metric = " ".join(part for part in (one.metric, one.split) if part) + (f" ({one.unit})" if one.unit else "")
    interval = f"{one.low:+.3g} to {one.high:+.3g}" if one.low is not None and one.high is not None else "—"
    seeds = f"{one.old_seeds} and {one.new_seeds} seeds"
    pieces = f", {one.families} families" if one.families else ""
    over = f"; over {one.over}" if one.over else ""
    if one.equal:
        return ["identical", of, metric, _number(one.old), _number(one.new), "0", "—", seeds + pieces]
    verdict = "undefined" if one.difference is None else "noise unknown" if one.low is None else MARKS[one.verdict]
    difference = "—" if one.difference is None else f"{one.difference:+.3g}"
    return [verdict, of, metric, _number(one.old), _number(one.new), difference, interval, seeds + pieces + over]


def parameter(one: Change) -> list[str]:
    """The row of one parameter or library."""
    if isinstance(one.old, list) and isinstance(one.new, list):
        # Of two lists, what only one of them holds.
        sides = [[item for item in a if item not in b] for a, b in ((one.old, one.new), (one.new, one.old))]
        if any(sides):
            return [one.key, *(", ".join(map(_value, side)) or "—" for side in sides), ", ".join(one.subjects)]
    return [one.key, _value(one.old), _value(one.new), ", ".join(one.subjects)]


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.5g}"


def _value(value: Any) -> str:
    text = "absent" if value is None else value if isinstance(value, str) else canonical(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    if not any(row[-1] for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    body = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *body]


def _folded(title: str, table: list[str]) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", *table, "", "</details>", ""]


def _text(text: str) -> str:
    """A text that Markdown shows as it is, on one line and within a table's cell."""
    for sign in "\\`*_[]<>|~":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("@", "@\u200b").replace("\n", " ")


def _code(text: str) -> str:
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"
