"""Rows survive the file, sorted, with fixed digits."""

import math
from pathlib import Path

import pytest

from dalsegno.metrics.bootstrap import Estimate
from dalsegno.metrics.rows import COLUMNS, CONTRACT, Identity, format_number, read_rows, write_rows

IDENTITY = Identity(study="s", dataset="d", run="d-r-m-s0", representation="r", model="m", seed="0")


def test_columns_are_those_of_the_contract() -> None:
    assert ",".join(COLUMNS) == (
        "study,run,dataset,representation,model,seed,sampler,split,metric,unit,value,ci_low,ci_high,n,note"
    )


def test_round_trip_and_order(tmp_path: Path) -> None:
    rows = [
        IDENTITY.row("polyphony", "notes", Estimate(1 / 3, math.nan, math.nan, 1)),
        IDENTITY.row("nll", "nats/token", Estimate(0.5, 0.25, 0.75, 77), split="test"),
        IDENTITY.row("nll", "nats/token", Estimate(math.nan, math.nan, math.nan, 0), split="test_clean"),
    ]
    write_rows(tmp_path / "a.csv", rows)
    write_rows(tmp_path / "b.csv", rows[::-1])
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    again = read_rows(tmp_path / "a.csv")
    assert [row.metric for row in again] == ["polyphony", "nll", "nll"]
    assert again[0].value == 0.3333333333
    assert math.isnan(again[2].value) and again[2].n == 0


def test_last_bits_do_not_show() -> None:
    assert format_number(0.1 + 0.2) == format_number(0.3) == "0.3"
    assert format_number(math.nan) == ""


def test_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("run,value\na,1\n")
    with pytest.raises(ValueError, match="expected the columns study, run"):
        read_rows(tmp_path / "m.csv")


def test_a_studys_table_has_the_columns_that_others_rely_on(tmp_path: Path) -> None:
    rows = [Identity("s", "d").row("m", "u", Estimate(math.nan, math.nan, math.nan, 3, "undefined: 3 pieces"))]
    write_rows(tmp_path / "metrics.csv", rows, CONTRACT)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == (
        "study,run,dataset,representation,model,seed,sampler,split,metric,unit,value,ci_low,ci_high,n"
    )
    assert read_rows(tmp_path / "metrics.csv")[0].note == ""
