"""The choice of a decoding: by validation pieces alone, whatever the units, and none where nothing is known."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

from dalsegno.data.notes import join_notes, write_notes
from dalsegno.metrics.bootstrap import Estimate
from dalsegno.metrics.decoding import choose, read_decodings, write_decodings
from dalsegno.metrics.measure import measure
from dalsegno.metrics.rows import Identity, Row
from dalsegno.reporting.tables import over_seeds
from dalsegno.sampling.options import Sweep
from tests.unit.music import chorale, write_corpus

CRITERION = ["interval_distance", "duration_distance"]
SWEEP = Sweep(temperature=[1.1, 0.9], criterion=CRITERION)
HOT, COLD = SWEEP.samplers


def row(sampler: str, metric: str, value: float, split: str = "valid", seed: str = "0", model: str = "m") -> Row:
    identity = Identity("s", "d", f"r{seed}", "v", model, seed, sampler)
    return identity.row(metric, "bits", Estimate(value, value, value, 4), split)


def rows_of(values: dict[str, tuple[float, float]], **keys: str) -> list[Row]:
    return [
        row(sampler, metric, value, **keys)
        for sampler, pair in values.items()
        for metric, value in zip(CRITERION, pair, strict=True)
    ]


def chosen(rows: list[Row]) -> dict[str, str]:
    return {one.model: one.sampler for one in choose([*rows, *over_seeds(rows)], SWEEP) if one.chosen}


def test_validation_chooses_and_test_has_no_say() -> None:
    rows = rows_of({HOT: (0.3, 0.3), COLD: (0.2, 0.2)})
    assert chosen(rows) == {"m": COLD}
    assert chosen(rows + rows_of({HOT: (0.0, 0.0), COLD: (9.0, 9.0)}, split="test")) == {"m": COLD}


def test_units_do_not_matter() -> None:
    values = {HOT: (0.30, 1.0), COLD: (0.20, 1.2)}
    scaled = {name: (a, 1000 * b) for name, (a, b) in values.items()}
    one, other = (choose(over_seeds(rows_of(v)), SWEEP) for v in (values, scaled))
    assert chosen(rows_of(values)) == chosen(rows_of(scaled)) == {"m": COLD}
    for a, b in zip(one, other, strict=True):
        assert math.isclose(a.criterion, b.criterion)
    assert math.isclose(sum(a.criterion for a in one), 2)


def test_models_choose_each_for_itself_and_over_their_seeds() -> None:
    rows = rows_of({HOT: (0.1, 0.1), COLD: (0.2, 0.2)}, seed="0") + rows_of(
        {HOT: (0.5, 0.5), COLD: (0.2, 0.2)}, seed="1"
    )
    rows += rows_of({HOT: (0.1, 0.1), COLD: (0.2, 0.2)}, model="other")
    assert chosen(rows) == {"m": COLD, "other": HOT}


def test_equal_decodings_fall_to_the_first_and_undefined_ones_are_never_chosen() -> None:
    assert chosen(rows_of({HOT: (0.0, 0.0), COLD: (0.0, 0.0)})) == {"m": HOT}
    assert chosen(rows_of({HOT: (math.nan, 0.1), COLD: (0.2, 0.2)})) == {"m": COLD}
    assert chosen(rows_of({HOT: (math.nan, 0.1), COLD: (0.2, math.nan)})) == {}


def test_other_samplers_and_metrics_are_no_candidates() -> None:
    rows = rows_of({HOT: (0.3, 0.3), COLD: (0.2, 0.2), "free": (0.0, 0.0)})
    assert {one.sampler for one in choose(over_seeds(rows), SWEEP)} == {HOT, COLD}


def test_the_table_comes_back_as_it_was(tmp_path: Path) -> None:
    decodings = choose(over_seeds(rows_of({HOT: (0.3, 0.3), COLD: (0.25, 0.25)})), SWEEP)
    write_decodings(tmp_path / "decoding.csv", decodings)
    found = read_decodings(tmp_path / "decoding.csv")
    assert [replace(one, criterion=0) for one in found] == [replace(one, criterion=0) for one in decodings]


def test_the_distance_that_chooses_is_to_validation_pieces(tmp_path: Path) -> None:
    corpus, split = write_corpus(tmp_path)
    write_notes(tmp_path / "samples.parquet", join_notes([chorale(1000 + i) for i in range(4)]))
    identity = Identity("s", "d", "r", "v", "m", "0", HOT)

    def distances(table: Path) -> dict[str, float]:
        metrics = ["interval_distance"]
        rows, _ = measure(tmp_path / "samples.parquet", 4, corpus, table, metrics, identity, 8, 100, criterion=metrics)
        return {one.split: one.value for one in rows}

    def moved(source: str, kept: int) -> Path:
        """The split without the pieces of `source` beyond the first `kept`."""
        with open(split, newline="") as file:
            rows = list(csv.DictReader(file))
        mine = [one["piece"] for one in rows if one["split"] == source][kept:]
        with open(tmp_path / "moved.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(one for one in rows if one["piece"] not in mine)
        return tmp_path / "moved.csv"

    whole, few_test, few_valid = distances(split), distances(moved("test", 2)), distances(moved("valid", 2))
    assert few_test["valid"] == whole["valid"] and few_test["test"] != whole["test"]
    assert few_valid["test"] == whole["test"] and few_valid["valid"] != whole["valid"]
