"""The gate's figures: what each seed gave before and gives now, and by how much each family of pieces moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dalsegno.reporting import figures

NOWHERE = (math.nan, math.nan, math.nan)


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
