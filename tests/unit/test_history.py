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


def test_a_change_of_level_is_found_where_it_is() -> None:
    random = np.random.default_rng(0)
    for at in (5, 10, 15):
        series = random.normal(0, 0.01, 20)
        series[at:] += 0.05
        assert change_point(series.tolist())[0] == at


def test_chance_alone_seldom_makes_a_change_point() -> None:
    random = np.random.default_rng(1)
    alarms = sum(change_point(random.standard_t(3, 15).tolist())[0] is not None for _ in range(200))
    assert alarms <= 7  # 200 × 0.01 = 2 expected; the chance of more than 7 is one in a thousand


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 7 + [2.0] * 0, [0, 0, 0, 9, 9, 9, 9], [1.0] * 30])
def test_no_change_point_where_nothing_can_be_told(values: list[float]) -> None:
    assert change_point(values)[0] is None


def test_the_page_says_how_much_it_knows(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    assert "No gated run" in history_page.told(read(path, "s"))
    append(path, commit(0), "s", "a", [row(1.0)])
    assert "One commit" in history_page.told(read(path, "s"))
    for number in range(1, 16):
        append(path, commit(number), "s", "a", [row(1.0 + number / 1000 + (number > 9))])
    told = history_page.told(read(path, "s"))
    assert "16 commits" in told and f"at {commit(10).hash[:7]}" in told
    ((title, panels, models),) = history_page.curves(read(path, "s"), {"gru": 0})
    assert title == "d · r" and models == ["gru"]
    assert panels[0][0] == "nll · test" and panels[0][1].startswith("<svg")
    assert "changed at" in panels[0][1]
