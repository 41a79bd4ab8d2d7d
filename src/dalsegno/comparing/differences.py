"""What two states of studies differ in: runs, metrics with intervals, parameters, modules, libraries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dalsegno.comparing.states import State, StateError
from dalsegno.gate.snapshot import Group, Snapshot
from dalsegno.gate.statistics import Cell, judge
from dalsegno.gate.verdicts import direction, sampled, sums
from dalsegno.metrics import bootstrap
from dalsegno.metrics.scores import RATIOS, SPLITS
from dalsegno.provenance import canonical, changed_values


@dataclass(frozen=True)
class Delta:
    """One metric of one model in both states.

    Attributes:
        subject: the model's runs, by their name without the seed (the new one, where it was renamed).
        old, new: means over seeds; None where undefined.
        low, high: 95 % interval of new minus old; None where nothing tells it.
        over: what the interval knows of: `seeds and families`, `seeds`, `families` (the models as trained: another
            seed may move them), or nothing.
        old_seeds, new_seeds: how many; families: of pieces that both states scored (0 for metrics of samples).
        equal: the scores or samples are the same, byte for byte.
        verdict: `better` or `worse` where the interval excludes 0, `moved` where neither way is better, else empty.
    """

    subject: str
    sampler: str
    split: str
    metric: str
    unit: str
    old: float | None
    new: float | None
    difference: float | None
    low: float | None
    high: float | None
    over: str
    old_seeds: int
    new_seeds: int
    families: int
    equal: bool
    verdict: str


@dataclass(frozen=True)
class Change:
    """A parameter: its key, both values (None where absent), and what it is a parameter of."""

    key: str
    old: Any
    new: Any
    subjects: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """One study in both states.

    Attributes:
        matched: runs of the same name; renamed: pairs of runs that are the same but for their names.
        missing: runs that only the old state has; new: those that only the new one has.
        note: why there are no numbers, where there are none.
    """

    study: str
    matched: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    deltas: tuple[Delta, ...]
    parameters: tuple[Change, ...]
    note: str


@dataclass(frozen=True)
class Comparison:
    """Everything, as `--format json` writes it.

    Attributes:
        modules: code module -> changed, new or gone, by digests without comments and formatting.
    """

    old: str
    old_about: str
    new: str
    new_about: str
    studies: tuple[Study, ...]
    modules: Mapping[str, str]
    libraries: tuple[Change, ...]


def compare(old: State, new: State) -> Comparison:
    """Compare two states, study by study.

    Raises:
        StateError: both have results or baselines alone, and no study in common.
    """
    own, other = ({*state.snapshots, *state.documents} for state in (old, new))
    # Results and baselines hold some of a project's studies; revisions hold all, so what one lacks is gone or new.
    studies = own | other if old.whole and new.whole else own & other
    if not studies:
        raise StateError(
            f"nothing to compare: {old.name} has {', '.join(sorted(own)) or 'no study'}, "
            f"{new.name} has {', '.join(sorted(other)) or 'no study'}"
        )
    return Comparison(
        old.name,
        old.about,
        new.name,
        new.about,
        tuple(_study(name, old, new) for name in sorted(studies)),
        _modules(old, new),
        tuple(_libraries(old, new)),
    )


def _modules(old: State, new: State) -> dict[str, str]:
    """What became of every module; where one state knows only what it ran, of those modules alone."""
    verbs = {}
    for name in sorted(old.modules.keys() | new.modules.keys()):
        before, after = old.modules.get(name), new.modules.get(name)
        if before == after:
            continue
        if before and after:
            verbs[name] = "changed"
        elif before is None and old.whole:
            verbs[name] = "new"
        elif after is None and new.whole:
            verbs[name] = "gone"
        elif old.whole == new.whole:
            verbs[name] = "no longer used" if before else "newly used"
    return verbs


def _libraries(old: State, new: State) -> Iterator[Change]:
    """Other versions; between a lock and what some results used, where the lock does not allow what was used."""
    for key in sorted(old.libraries.keys() | new.libraries.keys()):
        before, after = old.libraries.get(key), new.libraries.get(key)
        if old.whole == new.whole:
            differs = before != after
        else:
            differs = bool(before and after and not {*before.split(", ")} & {*after.split(", ")})
        if differs:
            yield Change(key, before, after, ())


def _study(name: str, old: State, new: State) -> Study:
    before, after = old.snapshots.get(name), new.snapshots.get(name)
    if before is not None and after is not None:
        return _measured(name, before, after)
    lacking = " and ".join(state.name for state, own in ((old, before), (new, after)) if own is None)
    note = f"no numbers: neither a baseline nor results are known for {lacking}"
    documents = [state.documents.get(name) for state in (old, new)]
    if None in documents and old.whole and new.whole:
        note = f"the study is {'new' if documents[0] is None else 'gone'}"
    if None in documents:
        return Study(name, (), (), (), (), (), (), note)
    changes = tuple(Change(key, a, b, ()) for key, a, b in changed_values(name, *documents))
    return Study(name, (), (), (), (), (), changes, note)


def _measured(name: str, old: Snapshot, new: Snapshot) -> Study:
    pairs = _matching(old, new)
    matched, renamed, missing, fresh = [], [], [], []
    deltas: list[Delta] = []
    cells: list[tuple[int, Cell]] = []
    changes: dict[str, Change] = {}
    for own, other in pairs:
        runs = _runs(old.groups[own], new.groups[other], own != other)
        matched += [one for one, two in runs if one == two]
        renamed += [(one, two) for one, two in runs if one != two]
        missing += sorted(set(old.groups[own].runs) - {one for one, _ in runs})
        fresh += sorted(set(new.groups[other].runs) - {two for _, two in runs})
        for delta, cell in _deltas(other, old.groups[own], new.groups[other], new.units):
            if cell is not None:
                cells.append((len(deltas), cell))
            deltas.append(delta)
        specs = [_parameters(old.groups[own]), _parameters(new.groups[other])]
        _collect(changes, other, *specs)
    for fact in sorted(old.facts.keys() & new.facts.keys()):
        _collect(changes, fact, old.facts[fact].spec, new.facts[fact].spec)
    missing += [run for group in old.groups.keys() - {a for a, _ in pairs} for run in old.groups[group].runs]
    fresh += [run for group in new.groups.keys() - {b for _, b in pairs} for run in new.groups[group].runs]
    for (index, cell), outcome in zip(cells, judge([cell for _, cell in cells]), strict=True):
        deltas[index] = _with_interval(deltas[index], cell, outcome.low, outcome.high)
    return Study(
        name,
        tuple(sorted(matched)),
        tuple(sorted(renamed)),
        tuple(sorted(missing)),
        tuple(sorted(fresh)),
        tuple(deltas),
        tuple(changes[key] for key in sorted(changes)),
        "",
    )


def _matching(old: Snapshot, new: Snapshot) -> list[tuple[str, str]]:
    """Groups of the same name, and groups that are the same but for their names."""
    pairs = [(name, name) for name in sorted(old.groups.keys() & new.groups.keys())]
    gone = sorted(old.groups.keys() - new.groups.keys())
    for name in sorted(new.groups.keys() - old.groups.keys()):
        alike = [one for one in gone if _parameters(old.groups[one]) == _parameters(new.groups[name])]
        if len(alike) == 1:
            gone.remove(alike[0])
            pairs.append((alike[0], name))
    return pairs


def _runs(old: Group, new: Group, renamed: bool) -> list[tuple[str, str]]:
    """Runs of one group in both states: by name, or by seed where the group was renamed."""
    if not renamed:
        return [(name, name) for name in sorted(old.runs.keys() & new.runs.keys())]
    by_seed = {run.seed: name for name, run in new.runs.items()}
    return [(name, by_seed[run.seed]) for name, run in sorted(old.runs.items()) if run.seed in by_seed]


def _parameters(group: Group) -> dict[str, Any]:
    """A group's parameters, without what it is called."""
    spec = {key: value for key, value in group.spec.items() if key != "names"}
    return {**spec, "samplers": group.samplers}


def _collect(changes: dict[str, Change], subject: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Add the differences of two specs; the same difference of several subjects is one change."""
    for name in sorted(old.keys() | new.keys()):
        for key, a, b in changed_values(name, old.get(name), new.get(name)):
            known = changes.setdefault(canonical([key, a, b]), Change(key, a, b, ()))
            changes[canonical([key, a, b])] = replace(known, subjects=(*known.subjects, subject))


def _deltas(subject: str, old: Group, new: Group, units: Mapping[str, str]) -> list[tuple[Delta, Cell | None]]:
    """Every metric that both have, without intervals, and what the test of noise needs to give them."""
    found: list[tuple[Delta, Cell | None]] = []
    weights = {run.weights for run in old.runs.values()} == {run.weights for run in new.runs.values()}
    fixed = (old.fixed and new.fixed) or weights
    for metric, ratio in RATIOS.items():
        for split in SPLITS:
            place = (subject, "", split, metric, ratio.unit)
            cell = _ratio_cell(old, new, metric, split, fixed)
            if cell is not None:
                scores = [{run.scores for run in group.runs.values()} for group in (old, new)]
                found.append(_entry(place, cell, scores[0] == scores[1]))
    for sampler in sorted(old.samplers.keys() & new.samplers.keys()):
        if any(sampler not in run.samples for group in (old, new) for run in group.runs.values()):
            continue
        ours, theirs = (
            set.intersection(*(set(run.samples[sampler].values) for run in group.runs.values())) for group in (old, new)
        )
        notes = [{run.samples[sampler].notes for run in group.runs.values()} for group in (old, new)]
        for metric in sorted(ours & theirs):
            values = [sampled(group, sampler, metric) for group in (old, new)]
            # Noise is pooled relative to values, which a value of 0 has no part in.
            pool = f"{sampler} {metric}" if all(np.mean(one) for one in values) else f"{subject} {sampler} {metric}"
            cell = Cell(values[0], values[1], 0.0, direction(metric), pool=pool)
            place = (subject, sampler, "", metric, units[metric])
            found.append(
                _entry(place, cell, notes[0] == notes[1] and bool(np.array_equal(values[0], values[1], equal_nan=True)))
            )
    return found


def _ratio_cell(old: Group, new: Group, metric: str, split: str, fixed: bool) -> Cell | None:
    """The ratio on the families that both scored alike; None where there are none or it is undefined."""
    part = split.partition("_")[0]
    if part not in old.splits or part not in new.splits:
        return None
    (old_SxF, old_F), (new_SxF, new_F) = (sums(group, metric, split) for group in (old, new))
    names = [_families(group, split) for group in (old, new)]
    places = {family: index for index, family in enumerate(names[1])}
    kept = [
        (i, places[family])
        for i, family in enumerate(names[0])
        if family in places and old_F[i] == new_F[places[family]]
    ]
    if not kept:
        return None
    ours, theirs = (np.array(index) for index in zip(*kept, strict=True))
    below_F = old_F[ours]
    if not below_F.sum() > 0:  # NaN, where a representation has no such tokens
        return None
    above = old_SxF[:, ours], new_SxF[:, theirs]
    old_S, new_S = (one.sum(axis=1) / below_F.sum() for one in above)
    return Cell(old_S, new_S, 0.0, "lower", fixed, *above, below_F, pool=metric)


def _families(group: Group, split: str) -> list[str]:
    part, _, clean = split.partition("_")
    pieces = group.splits[part]
    return [name for name, own in zip(pieces.families, pieces.clean, strict=True) if own or not clean]


def _entry(place: tuple[str, str, str, str, str], cell: Cell, equal: bool) -> tuple[Delta, Cell | None]:
    defined = bool(np.isfinite(cell.old_S).all() and np.isfinite(cell.new_S).all())
    old, new = (_number(float(np.mean(values))) for values in (cell.old_S, cell.new_S))
    difference = new - old if old is not None and new is not None else None
    families = 0 if cell.below_F is None else len(cell.below_F)
    seeds = len(cell.old_S), len(cell.new_S)
    delta = Delta(*place, old, new, difference, None, None, "", *seeds, families, equal, "")
    return delta, cell if defined and not equal else None


def _with_interval(delta: Delta, cell: Cell, low: float, high: float) -> Delta:
    over = "seeds" if cell.below_F is None else "families" if cell.fixed else "seeds and families"
    if not math.isfinite(low) and cell.below_F is not None and cell.old_SxF is not None and cell.new_SxF is not None:
        above = np.stack([cell.new_SxF.mean(axis=0), cell.old_SxF.mean(axis=0)])
        names = [str(index) for index in range(len(cell.below_F))]
        found = bootstrap.difference(above, np.stack([cell.below_F] * 2), names, seed=0)
        low, high, over = found.low, found.high, "families"
    if not (math.isfinite(low) and math.isfinite(high)):
        return delta
    verdict = ""
    if low > 0 or high < 0:
        gain = {"lower": high < 0, "higher": low > 0}
        verdict = {True: "better", False: "worse"}[gain[cell.better]] if cell.better in gain else "moved"
    return replace(delta, low=low, high=high, over=over, verdict=verdict)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
