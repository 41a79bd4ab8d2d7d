"""The gate's figures: what each seed gave before and gives now, by how much each family moved, and samples of both."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dalsegno.data.notes import make_notes
from dalsegno.reporting import figures
from dalsegno.reporting.listening import Card, Shelf, cards
from dalsegno.sampling import export

NOWHERE = (math.nan, math.nan, math.nan)
MOST_HEARD = 8


def differences(gate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and figure of every comparison that is not byte for byte the baseline's.

    Args:
        gate: the content of `gate.json`.
    """
    found = []
    for one in gate["verdicts"]:
        numbers = one["numbers"]
        if one["kind"] != "comparison" or "difference" not in numbers:
            continue
        where = " · ".join(part for part in (one["subject"], one["metric"], one["split"]) if part)
        rows = [
            (name, [figures.Dot(value, math.nan, math.nan, index) for value in numbers[key]])
            for index, (name, key) in enumerate((("baseline, by seed", "old"), ("now, by seed", "new")))
        ]
        alt = f"{where}: {one['reason']}"
        found.append((f"{where}: {one['status']}", figures.dots(rows, [], NOWHERE, one["unit"], alt)))
        if numbers.get("families"):
            dots = [figures.Dot(value, math.nan, math.nan, 2) for value in sorted(numbers["families"])]
            label = f"now minus baseline, {one['unit']}"
            alt = f"{where}: difference of {len(dots)} families of pieces, means over seeds"
            svg = figures.dots([("a family each", dots)], [], (0.0, math.nan, math.nan), label, alt)
            found.append((f"{where}: by family", svg))
    return found


def beside(gate: Mapping[str, Any], samples: Mapping[tuple[str, str], Path], seconds: float) -> list[Shelf]:
    """A sample of the baseline and the one in its place now, for models and samplers whose samples changed.

    Those with a red verdict come first, `MOST_HEARD` at most.

    Args:
        gate: the content of `gate.json`.
        samples: (run, sampler) -> folder.
        seconds: of audio at most.
    """
    red = {one["subject"].split(" ")[0] for one in gate["verdicts"] if not one["passed"]}
    ordered = sorted(gate.get("heard", []), key=lambda one: (one["group"] not in red, one["group"], one["sampler"]))
    found = []
    for one in ordered[:MOST_HEARD]:
        name = f"{one['group']}-{one['sampler']}"
        (now,) = cards(samples[one["run"], one["sampler"]], 1, "Now: sample", name)
        found.append(Shelf(one["group"], one["sampler"], None, (_before(one["old"], name, seconds), now)))
    return found


def _before(heard: Mapping[str, Any], name: str, seconds: float) -> Card:
    columns = {key: value for key, value in heard.items() if key != "qpm"}
    with tempfile.TemporaryDirectory() as folder:
        export.write(Path(folder), [make_notes(**columns)], seconds, [heard["qpm"]])
        (card,) = cards(Path(folder), 1, "Baseline: sample", f"{name}-baseline")
    return card
