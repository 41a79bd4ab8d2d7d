"""Paired tests between models: which share the star, and the file."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dalsegno.metrics.comparisons import Key, compare, over_seeds, read_comparisons, undistinguished, write_comparisons
from dalsegno.metrics.scores import PieceScore, read_scores, write_scores

HARD = np.random.default_rng(0).gamma(4, 250, 24)


def scored(added: np.ndarray | float, voices: bool = True) -> list[PieceScore]:
    """24 test pieces in 12 families, half of them clean, of 1000 tokens."""
    return [
        PieceScore(
            f"p{i}", f"f{i // 2}", "test", i < 12, 1000, 200, 30.0, float(nats), 250.0 if voices else math.nan,
            float(nats) / 2 if voices else math.nan,
        )
        for i, nats in enumerate(HARD + added)
    ]  # fmt: skip


def table() -> dict[Key, list[list[PieceScore]]]:
    random = np.random.default_rng(1)
    return {
        ("d", "voices", "good"): [scored(0.0), scored(random.normal(0, 1, 24))],
        ("d", "voices", "twin"): [scored(random.normal(0, 4, 24))],
        ("d", "voices", "poor"): [scored(random.normal(60, 9, 24))],
        ("d", "remi", "good"): [scored(random.normal(90, 9, 24), voices=False)],
    }


def test_a_star_is_shared_by_all_that_no_test_tells_from_the_best() -> None:
    rows = compare(table(), resamples=999)
    stars = undistinguished(rows, ("voices", "good"), "d", "nll", "test")
    assert stars == {("voices", "good"), ("voices", "twin")}
    assert undistinguished(rows, ("voices", "good"), "d", "nll_per_note", "test") == stars
    poor = next(r for r in rows if (r.metric, r.split, r.model, r.other_model) == ("nll", "test", "good", "poor"))
    assert poor.difference == pytest.approx(-0.06, abs=0.006) and poor.ci_low < poor.difference < poor.ci_high < 0
    assert (poor.n, poor.families) == (24, 12) and poor.p_adjusted >= poor.p


def test_tokens_are_compared_within_a_representation_and_notes_across() -> None:
    rows = compare(table(), resamples=999)
    pairs = {metric: {(r.representation, r.other_representation) for r in rows if r.metric == metric} for metric in
             ("nll", "nll_changed", "nll_per_note", "bits_per_second")}  # fmt: skip
    assert pairs["nll"] == pairs["nll_changed"] == {("voices", "voices")}
    assert ("voices", "remi") in pairs["nll_per_note"] and ("voices", "remi") in pairs["bits_per_second"]
    assert all(row.difference <= 0 for row in rows if math.isfinite(row.difference))
    valid = [row for row in rows if row.split == "valid"]
    assert valid and all(row.n == 0 and math.isnan(row.p) and not row.significant for row in valid)


def test_seeds_are_averaged_piece_by_piece() -> None:
    assert over_seeds([scored(0.0), scored(2.0)])[3].nats == pytest.approx(HARD[3] + 1)
    with pytest.raises(ValueError, match="different pieces"):
        over_seeds([scored(0.0), scored(0.0)[::-1]])


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    write_scores(tmp_path / "pieces.csv", scored(0.0, voices=False))
    again = read_scores(tmp_path / "pieces.csv")
    # NaN equals nothing.
    blank = {"changed_tokens": 0, "changed_nats": 0, "frames": 0, "frame_nats": 0}
    assert [replace(s, **blank) for s in again] == [
        replace(s, nats=float(f"{s.nats:.10g}"), **blank) for s in scored(0.0)
    ]
    assert math.isnan(again[0].changed_tokens)
    rows = compare(table(), resamples=200)
    for name, some in (("a.csv", rows), ("b.csv", rows[::-1])):
        write_comparisons(tmp_path / name, some)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert len(read_comparisons(tmp_path / "a.csv")) == len(rows)
