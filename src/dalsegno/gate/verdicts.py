"""The verdicts of a gate: bounds, checks of the results alone, facts of the data, and metrics against the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dalsegno import provenance
from dalsegno.gate import bounds
from dalsegno.gate.snapshot import Group, Run, Sampled, Snapshot
from dalsegno.gate.statistics import Better, Cell, Outcome, judge
from dalsegno.metrics.probes import TOLERANCE
from dalsegno.metrics.rows import Row
from dalsegno.metrics.scores import RATIOS, SPLITS, PieceScore, terms

DEFAULTS: tuple[dict[str, Any], ...] = tuple(
    {"metric": metric, "split": split, "margin": "1%"}
    for metric, split in (("nll", "test"), ("nll_per_note", "test"), ("nll", "valid"))
)
"""What a study with a baseline gates without being told."""

LOWER = ("near_copied_samples", "near_copied_bars", "longest_match", "ngram_excess", "two_bar_matches")
HIGHER = ("precision", "recall", "density", "coverage", "diversity")
ROUNDING = 1e-5  # relative; how far float32 moves a sum of log-probabilities between machines
PROBES = {
    "foresight": "scores of notes change when what follows is cut off, so the model looks ahead",
    "probability_sum": "probabilities do not sum to one",
}
PASSING = ("pass", "better", "same", "inconclusive", "elsewhere")


@dataclass(frozen=True)
class Verdict:
    """One line of `gate.json`.

    Attributes:
        kind: `bound` (a limit of the study), `check` (of the results alone), `fact` (data, compared exactly),
            `comparison` (a metric against the baseline), `baseline` (the baseline itself).
        status: pass, fail; better, same, worse, inconclusive; changed (the comparison has no ground: see the reason,
            and make a new baseline if the change is meant); missing (no baseline); elsewhere (a baseline of another
            machine or other libraries).
        subject: what it speaks of.
        reason: one sentence.
        causes: spec keys and modules that differ from the baseline's, for what is not as it was.
        numbers: what a comparison rests on.
    """

    kind: str
    status: str
    subject: str
    metric: str
    reason: str
    split: str = ""
    unit: str = ""
    causes: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.status in PASSING


def verdicts(
    now: Snapshot,
    baseline: Snapshot | None,
    problem: str,
    gates: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    closures: Mapping[str, Mapping[str, str]],
) -> list[Verdict]:
    """Judge a study.

    Args:
        baseline: None where there is none that can be read, which `problem` explains.
        gates: the study's.
        rows: of its `metrics.csv`.
        closures: for each group and fact, by its name, the modules behind it now.
    """
    bounded = [gate for gate in gates if gate.get("max") is not None or gate.get("min") is not None]
    stated = [{key: value for key, value in gate.items() if key not in ("margin", "better")} for gate in bounded]
    found = [of_bound(one) for one in bounds.check(rows, stated)]
    found += checks(now)
    if baseline is None:
        return [Verdict("baseline", "missing", now.study, "baseline", problem), *found]
    why = _Causes(baseline, now, closures)
    found.append(_environment(now.study, why))
    found += _facts(baseline, now, why)
    cells, places, certain = _comparisons(baseline, now, gates, why)
    found += certain
    for place, cell, outcome in zip(places, cells, judge(cells), strict=True):
        found.append(_of_outcome(place, cell, outcome, why))
    return found


def checks(now: Snapshot) -> list[Verdict]:
    """What must hold in any results, whatever the baseline."""
    found = []
    for name, group in now.groups.items():
        problems = []
        for run_name, run in group.runs.items():
            if run.scored != run.weights:
                problems.append(f"{run_name} was scored with other weights than it was trained to")
            scored = sum(run.splits["valid"].nats) / sum(group.splits["valid"].tokens)
            if abs(scored - run.valid_nll) > ROUNDING * abs(run.valid_nll):
                problems.append(
                    f"{run_name}: training saw {run.valid_nll:.6g} nats a token on valid, scoring {scored:.6g}"
                )
        for run_name, run in group.runs.items():
            for probe, error in run.probes.items():
                if not error <= TOLERANCE:
                    problems.append(f"{run_name}: {PROBES[probe]} (by {error:.3g})")
        weights = [run.weights for run in group.runs.values()]
        if not group.fixed and len(set(weights)) < len(weights):
            problems.append("two seeds have the same weights")
        if problems:
            found.append(Verdict("check", "fail", name, "sound", "; ".join(problems)))
        else:
            reason = (
                f"weights of {len(weights)} runs are those trained, and score valid as training did; none looks ahead"
            )
            found.append(Verdict("check", "pass", name, "sound", reason))
    return found


def _environment(study: str, why: _Causes) -> Verdict:
    """Whether the baseline was made on a machine and with libraries like these; elsewhere less is compared exactly."""
    differences = [*why.machine(), *why.libraries()]
    if not differences:
        return Verdict("baseline", "pass", study, "environment", "made on a like machine with the same libraries")
    reason = "made elsewhere, so that samples of the same weights are compared by their metrics, not note for note"
    return Verdict("baseline", "elsewhere", study, "environment", reason, causes=tuple(differences))


@dataclass(frozen=True)
class _Place:
    subject: str
    metric: str
    split: str
    unit: str
    relative: bool


class _Causes:
    """What differs between the baseline and now, for each group and fact."""

    def __init__(self, old: Snapshot, new: Snapshot, closures: Mapping[str, Mapping[str, str]]) -> None:
        self.old, self.new, self.closures = old, new, closures

    def spec(self, name: str) -> list[str]:
        old: Any = self.old.groups.get(name) or self.old.facts.get(name)
        new: Any = self.new.groups.get(name) or self.new.facts.get(name)
        if old is None or new is None:
            return []
        return list(provenance.compare({"spec": old.spec}, {"spec": new.spec}))

    def all(self, name: str) -> tuple[str, ...]:
        lines = self.spec(name)
        for module, own in sorted(self.closures.get(name, {}).items()):
            before = self.old.modules.get(module)
            if before != own:
                lines.append(f"code {module}: {'new' if before is None else 'changed'}")
        lines += [*self.libraries(), *self.machine()]
        return tuple(lines) or ("nothing in spec, code or environment",)

    def libraries(self) -> list[str]:
        old, new = self.old.environment, self.new.environment
        if old.locks == new.locks:
            return []
        names = sorted(old.libraries.keys() | new.libraries.keys())
        versions = [
            f"{name}: {', '.join(old.libraries.get(name, ['none']))} -> {', '.join(new.libraries.get(name, ['none']))}"
            for name in names
            if old.libraries.get(name) != new.libraries.get(name)
        ]
        return versions or ["lock: other library versions"]

    def machine(self) -> list[str]:
        old, new = self.old.environment, self.new.environment
        pairs = [("platform", old.platforms, new.platforms), ("device", old.devices, new.devices)]
        pairs += [("python", old.python, new.python)]
        return [f"{what}: {', '.join(a)} -> {', '.join(b)}" for what, a, b in pairs if a != b]


def _facts(old: Snapshot, new: Snapshot, why: _Causes) -> list[Verdict]:
    found = []
    for name in sorted(old.facts.keys() | new.facts.keys()):
        before, after = old.facts.get(name), new.facts.get(name)
        if before is None or after is None:
            told = "is not in the baseline" if before is None else "is in the baseline and no longer in the study"
            found.append(Verdict("fact", "changed", name, "data", f"{name} {told}", causes=why.all(name)))
            continue
        if name.startswith("controls") and before.spec != after.spec:
            reason = "not compared: the study asks other controls than the baseline's"
            found.append(Verdict("fact", "pass", name, "data", reason, causes=why.all(name)))
            continue
        keys = sorted(before.values.keys() | after.values.keys())
        lines = [
            f"{key} {before.values.get(key, 'absent')} -> {after.values.get(key, 'absent')}"
            for key in keys
            if not _equal(before.values.get(key), after.values.get(key))
        ]
        if lines:
            declared = "as the study declares" if before.spec != after.spec else "though the study declares no change"
            more = f" and {len(lines) - 4} more" if len(lines) > 4 else ""
            reason = f"{'; '.join(lines[:4])}{more}, {declared}"
            found.append(Verdict("fact", "changed", name, "data", reason, causes=why.all(name)))
        else:
            found.append(Verdict("fact", "pass", name, "data", f"all {len(keys)} values as in the baseline"))
    return found


def _equal(old: float | int | str | None, new: float | int | str | None) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return abs(old - new) <= ROUNDING * max(abs(old), abs(new)) or (old != old and new != new)
    return old == new


def _comparisons(
    old: Snapshot, new: Snapshot, gates: Sequence[Mapping[str, Any]], why: _Causes
) -> tuple[list[Cell], list[_Place], list[Verdict]]:
    """The cells to test, and what is certain without a test."""
    cells: list[Cell] = []
    places: list[_Place] = []
    certain: list[Verdict] = []
    stated = [{key: value for key, value in gate.items() if value is not None} for gate in gates]
    stated = [gate for gate in stated if "margin" in gate]
    used = [False] * len(stated)
    asked = [*stated, *(gate for gate in DEFAULTS if not any(_covers(own, gate) for own in stated))]
    for name in sorted(old.groups.keys() | new.groups.keys()):
        before, after = old.groups.get(name), new.groups.get(name)
        if before is None or after is None:
            told = "has no baseline" if before is None else "is in the baseline and no longer in the study"
            certain.append(Verdict("comparison", "changed", name, "runs", f"{name} {told}", causes=why.all(name)))
            continue
        if before.splits != after.splits:
            reason = "the scored pieces are not the baseline's, so scores do not compare"
            certain.append(Verdict("comparison", "changed", name, "pieces", reason, causes=why.all(name)))
            continue
        equal_weights = _paired(before, after, "weights")
        certain += _measurement(name, before, after, old, new, why)
        for index, gate in enumerate(asked):
            if not _speaks_of(gate, after):
                continue
            for place, old_S, new_S, cell_of in _values(name, gate, before, after, new.units):
                if index < len(stated):
                    used[index] = True
                if place.subject == name and _paired(before, after, "scores"):
                    certain.append(_same(place, old_S, new_S, "the scores are the baseline's, byte for byte"))
                elif place.subject != name and _same_samples(before, after, place.subject.split(" ")[1]):
                    certain.append(_same(place, old_S, new_S, "the samples are the baseline's, note for note"))
                elif not (np.isfinite(old_S).all() and np.isfinite(new_S).all()):
                    reason = "undefined in the baseline or now, so there is nothing to compare"
                    certain.append(
                        Verdict("comparison", "changed", place.subject, place.metric, reason, place.split, place.unit)
                    )
                else:
                    margin = _margin(gate["margin"], float(old_S.mean()))
                    cells.append(cell_of(margin, equal_weights))
                    places.append(place)
    for gate, was in zip(stated, used, strict=True):
        if not was:
            told = " ".join(f"{key}={value}" for key, value in gate.items() if key != "margin")
            certain.append(
                Verdict("comparison", "changed", old.study, gate["metric"], f"no run in both has {told}: mend the gate")
            )
    return cells, places, certain


def _measurement(name: str, before: Group, after: Group, old: Snapshot, new: Snapshot, why: _Causes) -> list[Verdict]:
    """The same weights must score, and write, as they did: a difference is one of measurement, not of noise."""
    found = []
    pairs = [(run, before.runs[run], own) for run, own in after.runs.items() if run in before.runs]
    pairs = [(run, a, b) for run, a, b in pairs if a.weights == b.weights]
    scored = [
        run
        for run, a, b in pairs
        if any(
            not np.allclose(a.splits[split].nats, b.splits[split].nats, rtol=ROUNDING, atol=ROUNDING)
            for split in a.splits
        )
    ]
    if scored:
        reason = f"the same weights score otherwise in {', '.join(scored)}"
        found.append(Verdict("comparison", "changed", name, "scoring", reason, causes=why.all(name)))
    told = {run: _moved(a.reported, b.reported) for run, a, b in pairs if a.scores == b.scores}
    found += _retold(name, "reporting", "the same scores are reported otherwise", told, why)
    if why.machine() or why.libraries():
        return found
    for sampler in sorted(before.samplers.keys() & after.samplers.keys()):
        subject = f"{name} {sampler}"
        both = [
            (run, a.samples[sampler], b.samples[sampler])
            for run, a, b in pairs
            if {sampler} <= a.samples.keys() & b.samples.keys()
        ]
        told = {run: _moved(_values_of(a), _values_of(b)) for run, a, b in both if a.notes == b.notes}
        found += _retold(subject, "measuring", "the same notes are measured otherwise", told, why)
        other = [run for run, a, b in both if a.notes != b.notes]
        if other and before.samplers[sampler] == after.samplers[sampler]:
            reason = f"the same weights and sampler write other notes in {', '.join(other)}"
            found.append(Verdict("comparison", "changed", subject, "sampling", reason, causes=why.all(name)))
    return found


def _moved(old: Mapping[str, float], new: Mapping[str, float]) -> list[str]:
    """The numbers that both states tell, and not alike."""
    return [name for name in sorted(old.keys() & new.keys()) if not _equal(old[name], new[name])]


def _values_of(samples: Sampled) -> dict[str, float]:
    return {name: np.nan if value is None else value for name, (value, _) in samples.values.items()}


def _retold(subject: str, what: str, reason: str, told: Mapping[str, Sequence[str]], why: _Causes) -> Iterator[Verdict]:
    numbers = sorted({name for names in told.values() for name in names})
    if numbers:
        runs = [run for run, names in told.items() if names]
        more = f" and {len(numbers) - 4} more" if len(numbers) > 4 else ""
        text = f"{reason}: {', '.join(numbers[:4])}{more} ({', '.join(runs)})"
        yield Verdict("comparison", "changed", subject, what, text, causes=why.all(subject.split(" ")[0]))


def _values(
    name: str, gate: Mapping[str, Any], before: Group, after: Group, units: Mapping[str, str]
) -> list[tuple[_Place, np.ndarray, np.ndarray, Any]]:
    """Every place that a gate speaks of in a group: its values, and what makes a cell of them."""
    metric = gate["metric"]
    relative = isinstance(gate["margin"], str)
    found: list[tuple[_Place, np.ndarray, np.ndarray, Any]] = []
    if metric in RATIOS:
        for split in [gate["split"]] if "split" in gate else SPLITS:
            if split not in SPLITS:
                continue
            above, below_F = zip(*(sums(group, metric, split) for group in (before, after)), strict=True)
            if not len(below_F[0]) or below_F[0].sum() == 0:
                continue
            old_S, new_S = (one.sum(axis=1) / below_F[0].sum() for one in above)
            place = _Place(name, metric, split, RATIOS[metric].unit, relative)

            def ratio_cell(
                margin: float,
                equal: bool,
                old_S: np.ndarray = old_S,
                new_S: np.ndarray = new_S,
                above: Any = above,
                below: Any = below_F,
            ) -> Cell:
                fixed = equal or (before.fixed and after.fixed)
                better: Better = gate.get("better", "lower")
                return Cell(old_S, new_S, margin, better, fixed, above[0], above[1], below[0], "likelihood")

            found.append((place, old_S, new_S, ratio_cell))
        return found
    for sampler in sorted(before.samplers.keys() & after.samplers.keys()):
        measured = _has(before, sampler, metric) and _has(after, sampler, metric)
        if gate.get("sampler", sampler) != sampler or not measured:
            continue
        old_S, new_S = (sampled(group, sampler, metric) for group in (before, after))

        def sample_cell(margin: float, equal: bool, old_S: np.ndarray = old_S, new_S: np.ndarray = new_S) -> Cell:
            return Cell(old_S, new_S, margin, gate.get("better", direction(metric)), pool=metric)

        found.append((_Place(f"{name} {sampler}", metric, "", units[metric], relative), old_S, new_S, sample_cell))
    return found


def direction(metric: str) -> Better:
    """Which way a metric is better: `same` where real music stands at neither end."""
    if metric in RATIOS or metric in LOWER or "distance" in metric:
        return "lower"
    return "higher" if metric in HIGHER else "same"


def _has(group: Group, sampler: str, metric: str) -> bool:
    return all(metric in run.samples[sampler].values for run in group.runs.values())


def sampled(group: Group, sampler: str, metric: str) -> np.ndarray:
    """A metric of the samples under each seed; NaN where undefined."""
    values = [run.samples[sampler].values[metric][0] for run in _by_seed(group)]
    return np.array([np.nan if value is None else value for value in values])


def sums(group: Group, metric: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """`above_SxF` and `below_F` of a ratio: seeds by families."""
    part, _, clean = split.partition("_")
    pieces = group.splits[part]
    kept = [i for i in range(len(pieces.families)) if pieces.clean[i] or not clean]
    above, below = [], np.zeros(0)
    for run in _by_seed(group):
        scored = run.splits[part]
        scores = [
            PieceScore(
                pieces.families[i],
                pieces.families[i],
                part,
                pieces.clean[i],
                pieces.tokens[i],
                pieces.notes[i],
                pieces.seconds[i],
                scored.nats[i],
                np.nan if (changed := pieces.changed_tokens[i]) is None else changed,
                scored.changed_nats[i],
            )
            for i in kept
        ]
        numerators, below = terms(RATIOS[metric], scores)
        above.append(numerators)
    return np.array(above), below


def _by_seed(group: Group) -> list[Run]:
    return sorted(group.runs.values(), key=lambda run: run.seed)


def _paired(before: Group, after: Group, what: str) -> bool:
    """Whether every run of now stands in the baseline with the same digest, and none is gone."""
    old = {name: getattr(run, what) for name, run in before.runs.items()}
    return old == {name: getattr(run, what) for name, run in after.runs.items()}


def _same_samples(before: Group, after: Group, sampler: str) -> bool:
    old, new = ({name: run.samples[sampler] for name, run in group.runs.items()} for group in (before, after))
    return old == new


def _covers(own: Mapping[str, Any], default: Mapping[str, Any]) -> bool:
    """Whether the study says itself what a default would, of every run."""
    scope = {"dataset", "representation", "model", "sampler"} & set(own)
    return own["metric"] == default["metric"] and own.get("split", default["split"]) == default["split"] and not scope


def _speaks_of(gate: Mapping[str, Any], group: Group) -> bool:
    return all(gate[key] == group.spec["names"][key] for key in ("dataset", "representation", "model") if key in gate)


def _margin(stated: str | float, value: float) -> float:
    return float(stated.rstrip("%")) / 100 * abs(value) if isinstance(stated, str) else float(stated)


def _same(place: _Place, old_S: np.ndarray, new_S: np.ndarray, reason: str) -> Verdict:
    numbers = {"old": old_S.tolist(), "new": new_S.tolist()}
    return Verdict("comparison", "same", place.subject, place.metric, reason, place.split, place.unit, numbers=numbers)


def of_bound(one: bounds.Verdict) -> Verdict:
    """The verdict of one bound."""
    keys = ("dataset", "representation", "model", "sampler")
    subject = " ".join(str(one.gate[key]) for key in keys if key in one.gate) or "every run"
    numbers: dict[str, Any] = {key: value for key, value in one.gate.items() if key in ("max", "min")}
    numbers |= {"value": one.value, "rows": one.rows}
    status = "pass" if one.passed else "fail"
    split = one.gate.get("split", "")
    return Verdict("bound", status, subject, one.gate["metric"], one.reason, split, one.unit, numbers=numbers)


def _of_outcome(place: _Place, cell: Cell, outcome: Outcome, why: _Causes) -> Verdict:
    old = float(cell.old_S.mean())
    scale, unit = (100 / abs(old), " %") if place.relative else (1.0, f" {place.unit}")
    change = f"{outcome.difference * scale:+.3g}{unit}"
    if np.isfinite(outcome.low):
        change += f" (95 %: {outcome.low * scale:+.3g} to {outcome.high * scale:+.3g})"
    margin = f"{cell.margin * scale:.3g}{unit}"
    told = {
        "worse": f"{change}, a loss beyond noise (q = {outcome.q:.2g}) and above the margin of {margin}",
        "better": f"{change}, a gain beyond noise",
        "same": f"{change}, no loss above the margin of {margin}",
        "inconclusive": f"{change}: a loss above {margin} may hide in the noise; {_decided_by(outcome, cell)}",
    }[outcome.status]
    numbers: dict[str, Any] = {
        "old": cell.old_S.tolist(),
        "new": cell.new_S.tolist(),
        "difference": outcome.difference,
        "low": outcome.low if np.isfinite(outcome.low) else None,
        "high": outcome.high if np.isfinite(outcome.high) else None,
        "p": outcome.p,
        "q": outcome.q,
        "margin": cell.margin,
        "seeds": outcome.seeds,
    }
    if cell.below_F is not None and cell.old_SxF is not None and cell.new_SxF is not None:
        by_family = (cell.new_SxF.mean(axis=0) - cell.old_SxF.mean(axis=0)) / cell.below_F
        numbers["families"] = [float(f"{x:.6g}") for x in by_family]
    return Verdict(
        "comparison",
        outcome.status,
        place.subject,
        place.metric,
        told,
        place.split,
        place.unit,
        why.all(place.subject.split(" ")[0]),
        numbers,
    )


def _decided_by(outcome: Outcome, cell: Cell) -> str:
    if outcome.seeds is not None:
        return f"{outcome.seeds} seeds would decide"
    if not np.isfinite(outcome.low):
        return "one seed says nothing of its noise: train two or more"
    return "more test pieces would decide, or over 50 seeds"
