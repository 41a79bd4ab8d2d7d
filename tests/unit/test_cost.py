"""What jobs will cost: like jobs scaled by work, the table where nothing was run, honest where nothing is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dalsegno import cost
from dalsegno.cost import START, Duration, Task

TABLE = [Duration("train", "lstm", 100.0, 50.0), Duration("measure", "", 1.0, 4.0)]


def spec(stage: str, family: str = "lstm", steps: int = 10) -> dict[str, Any]:
    training = {"steps": steps, "batch_size": 5, "window": 2}
    return {"stage": stage, "model": {"family": family, "training": training}, "sampler": {"count": 3, "bars": 8}}


def task(name: str, after: tuple[str, ...] = (), **about: Any) -> Task:
    return Task(name, spec(**{"stage": "train", **about}), 1, frozenset(after))


def test_estimates_scale_with_work_and_prefer_what_ran_here() -> None:
    assert cost.estimate(task("a", steps=20), [], TABLE) == START + 100
    own = [Duration("train", "lstm", 100.0, seconds) for seconds in (9.0, 10.0, 99.0)]
    assert cost.estimate(task("a", steps=20), own, TABLE) == START + 20
    assert cost.estimate(task("a", family="new"), own, TABLE) == START + 10
    assert cost.estimate(task("a", stage="measure"), own, TABLE) == START + 4
    assert cost.estimate(task("a", stage="split"), own, TABLE) is None
    # A model in closed form says nothing of a network, whose work is counted in tokens.
    closed = [Duration("train", "ngram", 1.0, 7.0)]
    assert cost.estimate(task("a", steps=20), closed, TABLE) == START + 100
    assert cost.estimate(task("a", family="new"), closed, []) is None


def test_work_is_what_a_stage_grows_with() -> None:
    assert cost.duration_of(spec("train"), 1.0) == Duration("train", "lstm", 100.0, 1.0)
    assert cost.duration_of(spec("sample"), 1.0) == Duration("sample", "lstm", 24.0, 1.0)
    assert cost.duration_of(spec("measure"), 1.0) == Duration("measure", "", 1.0, 1.0)
    closed = {"stage": "train", "model": {"family": "ngram", "training": None}}
    assert cost.duration_of(closed, 1.0) == Duration("train", "ngram", 1.0, 1.0)


@pytest.mark.parametrize(("after", "cores"), [((), 2), (("a",), 2), ((), 1)])
def test_one_line(after: tuple[str, ...], cores: int) -> None:
    both = [task("a"), task("b", after)]
    told = cost.tell(both, [], TABLE, cores)
    parallel = cores == 2 and not after
    assert told.startswith("2 jobs to run: train 2 (2 min); ")
    assert ("about 52 s on 2 cores" in told) == parallel and ("about 2 min" in told) == (not parallel)


def test_what_is_not_known_is_said() -> None:
    told = cost.tell([task("a"), task("b", stage="split")], [], TABLE, 2)
    assert "split 1," not in told and "train 1 (52 s), split 1; about 52 s on 2 cores, and 1 job of which" in told


def test_records_and_table(tmp_path: Path) -> None:
    for name, content in (
        ("a", json.dumps({"spec": spec("train"), "seconds": 3})),
        ("b", json.dumps({"spec": spec("train"), "seconds": 5})),
        ("c", "{half"),
        ("d", "{}"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(content)
    found = cost.recorded(tmp_path)
    assert [one.seconds for one in found] == [3.0, 5.0]
    cost.write_table(tmp_path / "t.csv", found)
    assert cost.read_table(tmp_path / "t.csv") == [Duration("train", "lstm", 100.0, 4.0)]
    assert cost.read_table(tmp_path / "none.csv") == []
