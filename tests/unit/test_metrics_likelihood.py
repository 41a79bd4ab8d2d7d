"""Likelihood rows by hand, with a model that knows nothing and one that knows what is held."""

from pathlib import Path

import numpy as np
import pytest

from dalsegno.metrics.likelihood import Likelihood, score, summarise
from dalsegno.metrics.rows import Identity, Row
from dalsegno.representations.base import Grammar, Packed, Vocabulary, write_packed
from dalsegno.representations.base import Row as Piece

IDENTITY = Identity(study="s", dataset="d", run="r", representation="v", model="m", seed="0")


def pack(folder: Path, width: int = 2) -> Packed:
    vocabulary = Vocabulary(
        "voices", tuple("abcd"), width, 1, (0, 4), None, 120, {}, "voices" if width > 1 else "events"
    )
    grammar = Grammar(np.ones((1, 4), bool), np.zeros((1, 4), np.int16))
    pieces = [
        ("x", "train", True, [[0, 1]] * 4),
        ("y", "valid", True, [[0, 1], [0, 2]]),
        ("z", "test", False, [[0, 1], [0, 1], [3, 1]]),
        ("w", "test", True, [[2, 2]]),
    ]
    rows = [Piece(name, split, clean, len(t), 2, 4.0, 0, 0, name) for name, split, clean, t in pieces]
    tokens = [np.array(t, np.int16).reshape(-1, width) for *_, t in pieces]
    write_packed(folder, vocabulary, grammar, rows, tokens)
    return Packed(folder)


class Uniform:
    def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        return [np.full(piece.shape, -np.log(4), np.float32) for piece in pieces]


class Holds:
    """-1 nat for a held token, -2 for a changed one."""

    def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        result = []
        for piece in pieces:
            logp = np.full(piece.shape, -2.0)
            logp[1:][piece[1:] == piece[:-1]] = -1.0
            result.append(logp)
        return result


def rows_of(model: Likelihood, packed: Packed) -> list[Row]:
    return summarise(score(model, packed), IDENTITY, resamples=200)


def table(rows: list[Row]) -> dict[tuple[str, str], Row]:
    return {(row.metric, row.split): row for row in rows}


def test_a_uniform_model_scores_the_logarithm_of_the_vocabulary(tmp_path: Path) -> None:
    rows = table(rows_of(Uniform(), pack(tmp_path)))
    for split in ("valid", "test", "test_clean"):
        for metric in ("nll", "nll_changed"):
            assert rows[metric, split].value == pytest.approx(np.log(4))
    assert rows["nll", "test"].unit == "nats/token"
    assert rows["nll", "test"].n == 2 and rows["nll", "test_clean"].n == 1
    assert rows["nll_per_note", "test"].value == pytest.approx(8 * np.log(4) / 4)
    assert rows["bits_per_second", "test"].value == pytest.approx(8 * 2 / 8)
    assert np.isnan(rows["nll_held", "test_clean"].value), "one step holds nothing"
    assert ("nll", "train") not in rows


def test_changed_and_held_apart_and_the_first_step_counts_as_changed(tmp_path: Path) -> None:
    rows = table(rows_of(Holds(), pack(tmp_path)))
    assert rows["nll_changed", "test"].value == pytest.approx(2.0)
    assert rows["nll_held", "test"].value == pytest.approx(1.0)
    # z: first step 2 changed, second 2 held, third 1 changed and 1 held; w: 2 changed.
    assert rows["nll", "test"].value == pytest.approx((5 * 2 + 3 * 1) / 8), "a micro average over tokens"


def test_event_sequences_have_no_voices(tmp_path: Path) -> None:
    metrics = {row.metric for row in rows_of(Uniform(), pack(tmp_path, width=1))}
    assert metrics == {"nll", "nll_per_note", "bits_per_second"}


@pytest.mark.parametrize("wrong", [np.nan, 0.1])
def test_impossible_log_probabilities_are_refused(tmp_path: Path, wrong: float) -> None:
    class Broken(Uniform):
        def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
            return [np.full(piece.shape, wrong) for piece in pieces]

    with pytest.raises(ValueError, match="piece y: a log-probability"):
        rows_of(Broken(), pack(tmp_path))


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    class Short(Uniform):
        def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
            return [logp[:-1] for logp in super().log_probs(pieces)]

    with pytest.raises(ValueError, match="shape"):
        rows_of(Short(), pack(tmp_path))
