"""The history's figures: each metric over commits, with change-points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dalsegno.gate.history import Series
from dalsegno.reporting import figures


def curves(series: Sequence[Series], colours: Mapping[str, int]) -> list[tuple[str, list[tuple[str, str]], list[str]]]:
    """For each dataset and representation: a title, (title, figure) of every metric, and the models shown.

    A metric that never moved has no figure.
    """
    found = []
    for place in sorted({(one.dataset, one.representation) for one in series}):
        here = [one for one in series if (one.dataset, one.representation) == place and one.model in colours]
        panels = []
        for name in sorted({(one.metric, one.split, one.sampler) for one in here}):
            own = [one for one in here if (one.metric, one.split, one.sampler) == name]
            if all(len(set(one.values)) < 2 for one in own):
                continue
            title = " · ".join(part for part in name if part)
            changes = [
                f"{one.model} changed at {one.commits[one.change].hash[:7]} (p = {one.p:.2g})"
                for one in own
                if one.change is not None
            ]
            number = max(len(one.commits) for one in own)
            alt = f"{title} over {number} commits: {'; '.join(changes) or 'no change-point'}"
            lines = [(colours[one.model], one) for one in own]
            panels.append((title, figures.history(lines, own[0].unit, alt)))
        if panels:
            found.append((" · ".join(place), panels, sorted({one.model for one in here})))
    return found


def told(series: Sequence[Series]) -> str:
    """What the history says in a sentence or two."""
    commits = {commit for one in series for commit in one.commits}
    if not commits:
        return "No gated run is recorded yet: make gate adds one for each commit."
    if len(commits) == 1:
        return "One commit is recorded; curves begin with the second."
    changes = [
        f"{one.metric} {one.split or one.sampler} of {one.dataset} · {one.representation} · {one.model} "
        f"at {one.commits[one.change].hash[:7]} (p = {one.p:.2g})"
        for one in series
        if one.change is not None
    ]
    if not changes:
        return f"{len(commits)} commits; no series changes its level beyond noise."
    return f"{len(commits)} commits; change-points: {'; '.join(changes)}."
