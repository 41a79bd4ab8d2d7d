"""A leak's price: exact on scores made by hand, and a study that asks for one is checked."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from dalsegno.metrics.leaks import price, read_leaks, write_leaks
from dalsegno.metrics.scores import PieceScore
from dalsegno.study import StudyError, load

LEAKS = [{"name": "tunes", "leaky": "mixed", "clean": "apart"}]


def score(piece: str, family: str, nats: float, clean: bool, split: str = "test") -> PieceScore:
    return PieceScore(piece, family, split, clean, 10, 5, 1.0, nats, float("nan"), float("nan"))


def scores(clean_b: float = 30.0) -> dict:
    """Two seeds on the leaky side (mean 10, 12, 20 nats), one on the clean side."""
    leaky = [
        [score("a", "a", 8, False), score("b", "b", 11, False), score("c", "c", 20, True), score("v", "v", 1, True)],
        [score("a", "a", 12, False), score("b", "b", 13, False), score("c", "c", 20, True), score("v", "v", 1, True)],
    ]
    leaky = [[*seed[:3], score("v", "v", 1, True, "valid")] for seed in leaky]
    clean = [[score("a", "a", 20, True), score("b", "b", clean_b, True), score("c", "c", 19, True)]]
    return {("mixed", "voices", "ngram"): leaky, ("apart", "voices", "ngram"): clean}


def test_the_price_is_the_difference_on_the_same_test_pieces() -> None:
    rows = {row.pieces: row for row in price(LEAKS, scores(), resamples=200)}
    every, those, others = rows["all"], rows["with_relatives"], rows["without_relatives"]
    assert (every.leaky, every.clean, every.n, every.families) == pytest.approx((1.4, 2.3, 3, 3))
    assert (those.leaky, those.clean, those.difference, those.n) == pytest.approx((1.1, 2.5, 1.4, 2))
    assert (others.difference, others.n) == pytest.approx((-0.1, 1))
    assert every.difference == pytest.approx(0.9)
    assert every.ci_low <= every.difference <= every.ci_high
    # One family has no interval.
    assert others.ci_low != others.ci_low


def test_rows_survive_their_file(tmp_path: Path) -> None:
    rows = price(LEAKS, scores(), resamples=200)[:2]
    write_leaks(tmp_path / "leak.csv", rows)
    read = read_leaks(tmp_path / "leak.csv")
    assert [(row.pieces, row.n, row.families) for row in read] == [("all", 3, 3), ("with_relatives", 2, 2)]
    assert [row.difference for row in read] == pytest.approx([row.difference for row in rows])
    write_leaks(tmp_path / "leak.csv", [])
    assert read_leaks(tmp_path / "leak.csv") == []


def test_different_test_pieces_are_refused() -> None:
    both = scores()
    both["apart", "voices", "ngram"][0].pop()
    with pytest.raises(ValueError, match="1 test pieces were scored on one side only"):
        price(LEAKS, both)


def test_a_model_on_one_side_only_has_no_price() -> None:
    both = scores()
    del both["apart", "voices", "ngram"]
    assert price(LEAKS, both) == []


def document() -> dict:
    source = {"kind": "music21", "collection": "bach_chorales"}
    return {
        "study": "leak",
        "title": "Leak",
        "datasets": {
            "mixed": {"source": source, "split": {"kind": "random", "train": "as_many"}},
            "apart": {"source": dict(source), "split": {"kind": "random", "train": "without_relatives"}},
        },
        "representations": {"voices": {"kind": "voices"}},
        "models": {"ngram": {"family": "ngram"}},
        "leaks": copy.deepcopy(LEAKS),
    }


def test_a_leak_of_two_fitting_datasets_is_valid() -> None:
    assert load(document(), "leak.yaml").leaks[0].clean == "apart"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("leaks", 0, "clean"), "apert", "did you mean 'apart'"),
        (("datasets", "apart", "split"), {"kind": "family"}, "leaks.0.clean: datasets.apart.split must be"),
        (("datasets", "mixed", "split", "train"), "all", "leaks.0.leaky: datasets.mixed.split must be"),
        (("datasets", "apart", "split", "seed"), 5, "differ in split.seed: the test pieces differ"),
        (("datasets", "apart", "max_rejects"), 0.1, "mixed and apart differ in max_rejects"),
        (("runs",), [{"datasets": ["mixed"]}], "is trained on one of mixed and apart only"),
        (("leaks",), LEAKS * 2, "leaks.1.name: 'tunes' stands there twice"),
    ],
)
def test_a_leak_that_would_compare_other_things_is_refused(path: tuple, value: object, told: str) -> None:
    study: dict = document()
    place = study
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StudyError, match=told):
        load(study, "leak.yaml")
