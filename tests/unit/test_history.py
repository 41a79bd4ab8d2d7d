"""The history: each commit once, whole after any crash, and a change-point only where there is a change."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dalsegno.gate import history
from dalsegno.gate.history import Commit, append, change_point, read
from dalsegno.metrics.rows import Row
from dalsegno.reporting import history_page


def row(value: float, seed: str = "0", model: str = "gru") -> Row:
    run = f"d-r-{model}-s{seed}" if seed.isdigit() else ""
    return Row("s", run, "d", "r", model, seed, "", "test", "nll", "nats/token", value, value - 0.1, value + 0.1, 9)


def commit(number: int) -> Commit:
    return Commit(f"{number:x}".ljust(40, "0"), f"2026-01-{number + 1:02d}T00:00:00Z")


def test_a_commit_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    rows = [row(0.5, "0"), row(0.7, "1"), row(0.6, "all"), row(float("nan"), "", "noise")]
    assert append(path, commit(1), "s", "a", rows) == 3
    once = path.read_bytes()
    append(path, commit(1), "s", "a", rows)
    assert path.read_bytes() == once
    append(path, commit(0), "s", "a", [row(0.9)])
    append(path, commit(1), "other", "a", [row(9.9)])
    append(path, commit(1), "s", "b", [row(0.1)])
    assert len(pq.read_table(path)) == 6
    (one,) = read(path, "s")
    assert one.commits == (commit(0), commit(1)) and one.values == pytest.approx((0.9, 0.1))
    assert pq.read_table(path).column("ci_low").null_count == 1


def test_the_order_of_appending_does_not_show(tmp_path: Path) -> None:
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        for number in order:
            append(tmp_path / name, commit(number), "s", "a", [row(number), row(number, "1")])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_crash_while_writing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.parquet"
    append(path, commit(0), "s", "a", [row(1.0)])
    before = path.read_bytes()

    def crash(table: object, where: Path) -> None:
        Path(where).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(history.pq, "write_table", crash)
        with pytest.raises(OSError, match="disk full"):
            append(path, commit(1), "s", "a", [row(2.0)])
    assert path.read_bytes() == before
    append(path, commit(1), "s", "a", [row(2.0)])
    assert len(pq.read_table(path)) == 2


def _append(path: Path, number: int) -> None:
    append(path, commit(number), "s", "a", [row(number)])


def test_appends_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, number)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [one["value"] for one in pq.read_table(path).to_pylist()] == [0, 1, 2, 3, 4, 5]


def test_a_damaged_history_is_no_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises((OSError, ValueError)):
        append(path, commit(0), "s", "a", [row(1.0)])
    assert path.read_bytes() == b"PAR1 and then nothing"


def seeds(random: np.random.Generator, levels: list[float], noise: float, count: int = 2) -> list[list[float]]:
    return [(level * (1 + noise * random.standard_normal(count))).tolist() for level in levels]


def test_a_change_of_level_is_found_where_it_is() -> None:
    random = np.random.default_rng(0)
    for at in (2, 3, 5, 10, 15):
        commits = seeds(random, [0.50] * at + [0.55] * (20 - at), 0.01)
        found, p = change_point(commits)
        assert found == at and p < 1e-3


def test_chance_alone_seldom_makes_a_change_point() -> None:
    random = np.random.default_rng(1)
    alarms = sum(change_point(seeds(random, [1.0] * 12, 0.01))[1] < 0.05 for _ in range(400))
    assert alarms <= 30  # 400 x 0.05 = 20 expected at most; the chance of more than 30 is one in a hundred


def test_commits_that_trained_nothing_add_no_evidence() -> None:
    random = np.random.default_rng(2)
    first, second = seeds(random, [1.0, 1.0], 0.01)
    once, p = change_point([first, second])
    again, p_again = change_point([first] * 9 + [second[::-1]] * 9)
    assert (once, again) == (1, 9) and p_again == p > 0.05


def test_what_has_no_seeds_changes_where_it_differs() -> None:
    assert change_point([[0.57, 0.57]] * 3 + [[0.58, 0.58]] * 4) == (3, 0.0)


@pytest.mark.parametrize("values", [[], [[1.0]], [[1.0]] * 7, [[1.0], [2.0]], [[1.0, 2.0]] * 3])
def test_no_change_point_where_nothing_can_be_told(values: list[list[float]]) -> None:
    assert change_point(values)[0] is None


def test_of_many_curves_few_are_marked_by_chance(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    path = tmp_path / "history.parquet"
    for number in range(8):
        rows = [row(1 + 0.01 * random.standard_normal(), str(s), f"m{m:02d}") for m in range(60) for s in range(2)]
        moved = [row(1 + 0.05 * (number > 4) + 0.01 * random.standard_normal(), str(s), "moved") for s in range(2)]
        append(path, commit(number), "s", "a", [*rows, *moved])
    marked = [one for one in read(path, "s") if one.change is not None]
    assert [(one.model, one.change) for one in marked] == [("moved", 5)]


def test_the_page_says_how_much_it_knows(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    assert "No gated run" in history_page.told(read(path, "s"))
    append(path, commit(0), "s", "a", [row(1.0)])
    assert "One commit" in history_page.told(read(path, "s"))
    for number in range(1, 16):
        append(path, commit(number), "s", "a", [row(1.0 + number % 3 / 1000 + (number > 9))])
    told = history_page.told(read(path, "s"))
    assert "16 commits" in told and f"at {commit(10).hash[:7]}" in told
    ((title, panels, models),) = history_page.curves(read(path, "s"), {"gru": 0})
    assert title == "d · r" and models == ["gru"]
    assert panels[0][0] == "nll · test" and panels[0][1].startswith("<svg")
    assert "changed at" in panels[0][1]
