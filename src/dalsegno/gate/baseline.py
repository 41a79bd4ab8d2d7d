"""Making a baseline: what it would change, and when it is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dalsegno.gate import snapshot
from dalsegno.gate.snapshot import BaselineError, Group, Snapshot


def path_of(study: str) -> Path:
    """Where a study's baseline stands, relative to the project."""
    return Path("config/baselines") / f"{study}.json"


def make(candidate: Path, study: str) -> list[str]:
    """Take a study's snapshot as its baseline, and tell what that changes.

    Raises:
        BaselineError: git has uncommitted changes besides the baseline itself, or the project is no git work tree.
    """
    target = path_of(study)
    _refuse_dirty(target)
    new = snapshot.read(candidate, study)
    old, told = None, []
    if target.exists():
        try:
            old = snapshot.read(target, study)
        except BaselineError as error:
            told.append(f"replaces one that cannot be read: {error}")
    told += changes(old, new)
    snapshot.write(target, new)
    return [*told, f"wrote {target}; commit it"]


def changes(old: Snapshot | None, new: Snapshot) -> list[str]:
    """A table of what a new baseline would change: a row a run and metric, old and new."""
    before = {} if old is None else _table(old)
    after = _table(new)
    rows = [
        (*key, before.get(key, "absent"), after.get(key, "absent"))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    if not rows:
        return ["no value changes"]
    table = [("run", "metric", "old", "new"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _table(one: Snapshot) -> dict[tuple[str, str], str]:
    values: dict[tuple[str, str], str] = {}
    for name, fact in one.facts.items():
        values |= {(name, key): str(value) for key, value in fact.values.items() if not name.startswith("controls")}
    for group in one.groups.values():
        for name, run in group.runs.items():
            values |= {(name, f"nll {split}"): f"{_nll(group, name, split):.6g}" for split in group.splits}
            for sampler, samples in run.samples.items():
                for metric, (value, _) in samples.values.items():
                    values[name, f"{metric} {sampler}"] = "undefined" if value is None else f"{value:.6g}"
    return values


def _nll(group: Group, run: str, split: str) -> float:
    tokens = sum(group.splits[split].tokens)
    return sum(group.runs[run].splits[split].nats) / tokens if tokens else float("nan")


def _refuse_dirty(target: Path) -> None:
    try:
        done = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=all"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        raise BaselineError("this is no git work tree: a baseline must belong to a commit") from None
    paths = [line[3:] for line in done.stdout.splitlines()]
    dirty = [path for path in paths if path != target.as_posix()]
    if dirty:
        raise BaselineError(
            f"the work tree has uncommitted changes ({', '.join(dirty[:3])}{' …' if len(dirty) > 3 else ''}): "
            "a baseline must belong to a commit; commit or stash them, then make it again"
        )
