"""What a representation hands to a model: a vocabulary, a grammar and packed tokens.

Legend of shape suffixes: N steps of all pieces, P pieces, T steps of one piece, K tokens a step,
S grammar states, V vocabulary.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

FILES = ("tokens.safetensors", "index.csv", "vocabulary.json", "rejects.csv")
"""What a representation writes for a dataset."""


@dataclass(frozen=True)
class Grammar:
    """A finite automaton that says which tokens may follow, so that every sample decodes.

    Attributes:
        allowed_SxV: bool, whether token v may be written in state s; every row has a True.
        next_SxV: int16, the state after token v in state s.
        start: the state before the first token.
    """

    allowed_SxV: np.ndarray
    next_SxV: np.ndarray
    start: int = 0

    def state_after(self, tokens: np.ndarray) -> int:
        """The state after a flat token sequence (a prompt), which need not obey the grammar."""
        state = self.start
        for token in np.asarray(tokens).reshape(-1):
            state = int(self.next_SxV[state, token])
        return state


@dataclass(frozen=True)
class Vocabulary:
    """What a model must know of a representation.

    Attributes:
        kind: the representation's kind (`voices`, `remi`).
        names: one name a symbol; the vocabulary's size V is their number.
        width: K, tokens a step, written one after the other; token k of a step may depend on tokens before k.
        period: steps after which the metrical position repeats; 1 where steps carry no time.
        pitches: `[first, last + 1)`, the ids of pitch symbols, one semitone apart.
        eos: the symbol that ends a piece, or None where pieces have no end symbol.
        step_ticks: duration of one step in corpus ticks, or None where steps carry no time.
        options: the representation's resolved options, enough to decode.
    """

    kind: str
    names: tuple[str, ...]
    width: int
    period: int
    pitches: tuple[int, int]
    eos: int | None
    step_ticks: int | None
    options: dict[str, Any]

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Row:
    """One packed piece: a row of `index.csv`.

    Attributes:
        family: id of the family's first piece, from `split.csv`.
    """

    piece: str
    split: str
    clean: bool
    steps: int
    notes: int
    seconds: float
    transpose_low: int
    transpose_high: int
    family: str


class Packed:
    """The packed tokens of one dataset in one representation, memory-mapped.

    Args:
        folder: a `representations/<dataset>/<representation>` folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.vocabulary, self.grammar = read_vocabulary(self.folder / "vocabulary.json")
        self.rows = read_index(self.folder / "index.csv")
        with safe_open(self.folder / "tokens.safetensors", framework="numpy") as tensors:
            self.tokens_NxK = tensors.get_tensor("tokens")
            self.offsets = tensors.get_tensor("offsets")

    def piece(self, index: int) -> np.ndarray:
        """`tokens_TxK` (int16) of packed piece `index`, a view."""
        return self.tokens_NxK[self.offsets[index] : self.offsets[index + 1]]

    def indices(self, split: str) -> list[int]:
        """The packed pieces of `train`, `valid` or `test`, in order."""
        return [i for i, row in enumerate(self.rows) if row.split == split]


class Representation(Protocol):
    """One kind of representation, made from its options section."""

    def __init__(self, options: Any) -> None: ...

    def encode(self, notes: dict[str, np.ndarray]) -> np.ndarray:
        """`tokens_TxK` (int16) of a piece's note columns; a ValueError says why a piece does not fit."""

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> tuple[dict[str, np.ndarray], float]:
        """Note columns (those of the corpus without `piece`) and tempo of any token sequence."""

    def pack(self, corpus: Path, split: Path, folder: Path) -> None:
        """Write `tokens.safetensors`, `index.csv`, `vocabulary.json`, `rejects.csv` into `folder`.

        Args:
            corpus: a corpus folder.
            split: its `split.csv`.
        """


NOTE_COLUMNS = {
    "track": np.int16,
    "program": np.int16,
    "start": np.int32,
    "duration": np.int32,
    "pitch": np.int16,
    "velocity": np.int16,
}
"""The note columns of a decoded piece, in the order of `docs/artifacts.md`."""


def columns_of_notes(notes: Sequence[tuple[int, int, int, int, int, int]]) -> dict[str, np.ndarray]:
    """Columns of notes given in the order of `NOTE_COLUMNS`, sorted by track, start, pitch, duration."""
    rows = sorted(notes, key=lambda note: (note[0], note[2], note[4], note[3]))
    table = np.array(rows, np.int64).reshape(-1, len(NOTE_COLUMNS))
    return {name: table[:, i].astype(dtype) for i, (name, dtype) in enumerate(NOTE_COLUMNS.items())}


def write_packed(
    folder: Path, vocabulary: Vocabulary, grammar: Grammar, rows: Sequence[Row], pieces_TxK: Sequence[np.ndarray]
) -> None:
    """Write the packed form of `pieces_TxK`, one array a row, into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces_TxK])]).astype(np.int64)
    tokens = np.concatenate([np.asarray(piece, np.int16).reshape(-1, vocabulary.width) for piece in pieces_TxK])
    (folder / "tokens.safetensors").write_bytes(save({"tokens": tokens, "offsets": offsets}))
    write_vocabulary(folder / "vocabulary.json", vocabulary, grammar)
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(Row.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(row), "clean": str(row.clean).lower()} for row in rows)


def read_index(path: Path) -> list[Row]:
    with open(path, newline="") as file:
        return [
            Row(
                piece=row["piece"],
                split=row["split"],
                clean=row["clean"] == "true",
                steps=int(row["steps"]),
                notes=int(row["notes"]),
                seconds=float(row["seconds"]),
                transpose_low=int(row["transpose_low"]),
                transpose_high=int(row["transpose_high"]),
                family=row["family"],
            )
            for row in csv.DictReader(file)
        ]


def write_vocabulary(path: Path, vocabulary: Vocabulary, grammar: Grammar) -> None:
    """Write vocabulary and grammar as one JSON file; equal automaton rows are stored once."""
    rows: dict[str, int] = {}
    states = []
    for allowed, successor in zip(grammar.allowed_SxV, grammar.next_SxV, strict=True):
        key = (np.flatnonzero(allowed).tolist(), successor.astype(int).tolist())
        states.append(rows.setdefault(json.dumps(key), len(rows)))
    content = {
        "vocabulary": asdict(vocabulary),
        "grammar": {"start": grammar.start, "states": states, "rows": [json.loads(row) for row in rows]},
    }
    Path(path).write_text(json.dumps(content, sort_keys=True) + "\n")


def read_vocabulary(path: Path) -> tuple[Vocabulary, Grammar]:
    content = json.loads(Path(path).read_text())
    fields = content["vocabulary"]
    vocabulary = Vocabulary(**{**fields, "names": tuple(fields["names"]), "pitches": tuple(fields["pitches"])})
    stored = content["grammar"]
    allowed = np.zeros((len(stored["states"]), vocabulary.size), bool)
    successor = np.zeros(allowed.shape, np.int16)
    for state, row in enumerate(stored["states"]):
        allowed[state, stored["rows"][row][0]] = True
        successor[state] = stored["rows"][row][1]
    return vocabulary, Grammar(allowed, successor, stored["start"])
