"""What a representation hands to a model: a vocabulary, a grammar and packed tokens.

Legend of shape suffixes: N steps of all pieces, P pieces, T steps of one piece, K tokens a step,
S grammar states, V vocabulary.
"""

from __future__ import annotations

import csv
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dalsegno.data.notes import DRUMS

FILES = ("tokens.safetensors", "index.csv", "vocabulary.json", "rejects.csv", "fidelity.json")
"""What a representation writes for a dataset."""

Layout = Literal["voices", "events", "compound", "roll", "frames"]
"""What the K tokens of a step are: `voices` that sound together; `events`, one symbol; `compound`, the fields of one
event or note; `roll`, the coordinates of one note, which are no symbols; `frames`, keys that are off or on."""

Columns = dict[str, np.ndarray]
"""The note columns of one piece: those of the corpus without `piece`."""


@dataclass(frozen=True)
class Piece:
    """What is encoded: one piece of a corpus.

    Attributes:
        notes: note columns.
        meters: (tick, numerator, denominator); a row starts a bar.
        tempos: (tick, quarter notes a minute).
    """

    notes: Columns
    meters: Sequence[tuple[int, int, int]] = ()
    tempos: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class Decoded(Piece):
    """What tokens say, and what had to be mended on the way.

    Attributes:
        repairs: what was wrong -> how often; empty for every sequence that `encode` wrote.
        ticks_T: int64, the tick at which each step stands.
    """

    repairs: Mapping[str, int] = field(default_factory=dict)
    ticks_T: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


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
        kind: the representation's kind (`voices`, `remi` …).
        names: one name a symbol; the vocabulary's size V is their number.
        width: K, tokens a step, written one after the other; token k of a step may depend on tokens before k.
        period: steps after which the metrical position repeats; 1 where steps carry no time.
        pitches: `[first, last + 1)`, the ids of pitch symbols, one semitone apart; empty where symbols hold several.
        eos: the symbol that ends a piece, or None where pieces have no end symbol.
        step_ticks: duration of one step in corpus ticks, or None where steps carry no time.
        options: the representation's resolved options, enough to decode.
        layout: what the K tokens of a step are.
        velocities: like `pitches`, the ids of velocity levels from soft to loud; empty where there are none.
        tempos: like `pitches`, the ids of tempo levels from slow to fast; empty where there are none.
    """

    kind: str
    names: tuple[str, ...]
    width: int
    period: int
    pitches: tuple[int, int]
    eos: int | None
    step_ticks: int | None
    options: dict[str, Any]
    layout: Layout = "events"
    velocities: tuple[int, int] = (0, 0)
    tempos: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Row:
    """One packed piece: a row of `index.csv`.

    Attributes:
        family: id of the family's first piece, from `split.csv`.
        labels: what the corpus says of it: label -> value.
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
    labels: Mapping[str, str] = field(default_factory=dict)


class Packed:
    """The packed tokens of one dataset in one representation, memory-mapped: nothing is read before it is used.

    Args:
        folder: a `representations/<dataset>/<representation>` folder.
        splits: those that may be read; asking for a piece of another is an error. Training is not given the test split.
    """

    def __init__(self, folder: Path, splits: Collection[str] = ("train", "valid", "test")) -> None:
        self.folder, self.splits = Path(folder), frozenset(splits)
        self.vocabulary, self.grammar = read_vocabulary(self.folder / "vocabulary.json")
        self.rows = read_index(self.folder / "index.csv")
        arrays = map_arrays(self.folder / "tokens.safetensors")
        self.tokens_NxK, self.offsets = arrays["tokens"], arrays["offsets"]

    def piece(self, index: int) -> np.ndarray:
        """`tokens_TxK` (int16) of packed piece `index`, a view of the file."""
        self._check(self.rows[index].split)
        return self.tokens_NxK[self.offsets[index] : self.offsets[index + 1]]

    def indices(self, split: str) -> list[int]:
        """The packed pieces of `train`, `valid` or `test`, in order."""
        self._check(split)
        return [i for i, row in enumerate(self.rows) if row.split == split]

    def _check(self, split: str) -> None:
        if split not in self.splits:
            raise ValueError(f"the split {split!r} of {self.folder} must not be read here: {sorted(self.splits)} may")


class Representation(ABC):
    """One kind of representation, made from its options section.

    What depends on the training split is learned between the two passes of `dalsegno.representations.packing.pack`:
    every piece is encoded, `learn` sees what the training pieces gave, `finish` turns each piece into its final tokens.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """The vocabulary; after `learn` that of the final tokens."""

    @abstractmethod
    def encode(self, piece: Piece) -> np.ndarray:
        """`tokens_TxK` (int16) of a piece; a ValueError says why a piece does not fit."""

    @staticmethod
    @abstractmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
        """The music of any token sequence, a model's too; never raises."""

    @abstractmethod
    def claim(self, piece: Piece) -> Piece:
        """What `decode(encode(piece))` gives by the representation's own account: the piece at its resolution."""

    def kept(self, piece: Piece) -> np.ndarray:
        """Mask of the notes that the tokens speak of; all by default."""
        return np.ones(len(piece.notes["start"]), bool)

    @abstractmethod
    def grammar(self, bounds: Sequence[tuple[int, int] | None]) -> Grammar:
        """The automaton of well-formed sequences; `bounds` are the training split's, as `spans` gives them."""

    def spans(self, tokens_TxK: np.ndarray) -> list[tuple[int, int] | None]:
        """Lowest and highest pitch symbol, of the whole piece or of each voice; None where there is none."""
        return [span(tokens_TxK, self.vocabulary)]

    def learn(self, training: Iterable[np.ndarray]) -> None:  # noqa: B027
        """Learn what depends on the training split from its pieces' tokens; nothing by default."""

    def finish(self, tokens_TxK: np.ndarray) -> np.ndarray:
        """The final tokens of what `encode` gave."""
        return tokens_TxK

    def learned(self) -> Any:
        """What `learn` found beyond the vocabulary, as plain data for `vocabulary.json`."""
        return None


def told(piece: Piece, drums: bool, end: int | None = None) -> np.ndarray:
    """Mask of the notes that are told: not drums where there are none, not what starts at `end` or later.

    Raises:
        ValueError: no note is left, or a number that no music has; the message is the reason.
    """
    notes = piece.notes
    kept = np.ones(len(notes["start"]), bool) if drums else notes["program"] != DRUMS
    if end is not None:
        kept &= notes["start"] < end
    if not kept.any():
        raise ValueError("no notes" if drums or not len(kept) else "no notes but drums")
    if (notes["start"][kept] < 0).any():
        raise ValueError("a note starts before the piece")
    return kept


def span(tokens: np.ndarray, vocabulary: Vocabulary) -> tuple[int, int] | None:
    """Lowest and highest pitch symbol among tokens, or None where there is none."""
    first, end = vocabulary.pitches
    pitches = tokens[(tokens >= first) & (tokens < end)]
    return (int(pitches.min()), int(pitches.max())) if len(pitches) else None


NOTE_COLUMNS = {
    "track": np.int16,
    "program": np.int16,
    "start": np.int32,
    "duration": np.int32,
    "pitch": np.int16,
    "velocity": np.int16,
}
"""The note columns of a decoded piece, in the order of `docs/artifacts.md`."""


def columns_of_notes(notes: Sequence[tuple[int, int, int, int, int, int]] | np.ndarray) -> Columns:
    """Columns of notes given in the order of `NOTE_COLUMNS`, sorted by track, start, pitch, duration."""
    table = np.asarray(notes, np.int64).reshape(-1, len(NOTE_COLUMNS))
    table = table[np.lexsort((table[:, 3], table[:, 4], table[:, 2], table[:, 0]))]
    return {name: table[:, i].astype(dtype) for i, (name, dtype) in enumerate(NOTE_COLUMNS.items())}


class PackedWriter:
    """Writes `tokens.safetensors` piece by piece, in memory that does not grow with the tokens.

    The file is one for all splits, so that a job's outputs do not depend on the data; a split is a list of rows of the
    index. Its arrays begin at multiples of eight bytes, so that they are mapped and never copied.

    Args:
        path: the file; it stands there as soon as the writer is closed.
        width: K.
    """

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.width = Path(path), width
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._body = self.path.with_name(f".{self.path.name}.body")
        self._file = self._body.open("wb")
        self._lengths: list[int] = []

    def add(self, tokens_TxK: np.ndarray) -> None:
        """Append one piece."""
        tokens = np.ascontiguousarray(tokens_TxK, np.int16).reshape(-1, self.width)
        self._file.write(tokens.data)
        self._lengths.append(len(tokens))

    def close(self) -> None:
        """Write the file."""
        self._file.close()
        offsets = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        split = offsets.nbytes
        header = {
            "offsets": {"dtype": "I64", "shape": list(offsets.shape), "data_offsets": [0, split]},
            "tokens": {
                "dtype": "I16",
                "shape": [int(offsets[-1]), self.width],
                "data_offsets": [split, split + self._body.stat().st_size],
            },
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(self.path, "wb") as file, open(self._body, "rb") as body:
            file.write(len(text).to_bytes(8, "little") + text)
            file.write(offsets.data)
            shutil.copyfileobj(body, file)
        self._body.unlink()


_DTYPES: dict[str, Any] = {"I16": np.dtype("<i2"), "I64": np.dtype("<i8")}


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file as views of the mapped file (the library's own reader copies)."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    whole = np.memmap(path, np.uint8, "r")
    arrays = {}
    for name, entry in header.items():
        first, end = entry["data_offsets"]
        part = whole[8 + length + first : 8 + length + end]
        arrays[name] = part.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def write_index(path: Path, rows: Sequence[Row]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(Row.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            labels = json.dumps(dict(row.labels), sort_keys=True, ensure_ascii=False) if row.labels else ""
            writer.writerow({**asdict(row), "clean": str(row.clean).lower(), "labels": labels})


def write_packed(
    folder: Path, vocabulary: Vocabulary, grammar: Grammar, rows: Sequence[Row], pieces_TxK: Iterable[np.ndarray]
) -> None:
    """Write the packed form of `pieces_TxK`, one array a row, into `folder`."""
    writer = PackedWriter(Path(folder) / "tokens.safetensors", vocabulary.width)
    for piece in pieces_TxK:
        writer.add(piece)
    writer.close()
    write_vocabulary(Path(folder) / "vocabulary.json", vocabulary, grammar)
    write_index(Path(folder) / "index.csv", rows)


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
                labels=json.loads(row["labels"] or "{}"),
            )
            for row in csv.DictReader(file)
        ]


def write_vocabulary(path: Path, vocabulary: Vocabulary, grammar: Grammar, learned: Any = None) -> None:
    """Write vocabulary, grammar and what was learned as one JSON file; equal automaton rows are stored once,
    as runs of equal values."""
    rows: dict[str, int] = {}
    states = []
    for allowed, successor in zip(grammar.allowed_SxV, grammar.next_SxV, strict=True):
        key = json.dumps((_runs(allowed.astype(np.int16)), _runs(successor)))
        states.append(rows.setdefault(key, len(rows)))
    content = {
        "vocabulary": asdict(vocabulary),
        "grammar": {"start": grammar.start, "states": states, "rows": [json.loads(row) for row in rows]},
        "learned": learned,
    }
    Path(path).write_text(json.dumps(content, sort_keys=True) + "\n")


def read_vocabulary(path: Path) -> tuple[Vocabulary, Grammar]:
    content = json.loads(Path(path).read_text())
    fields = content["vocabulary"]
    spans = {name: tuple(fields[name]) for name in ("names", "pitches", "velocities", "tempos")}
    vocabulary = Vocabulary(**{**fields, **spans})
    stored = content["grammar"]
    rows = [[np.repeat(*np.array(runs, np.int16).T) for runs in row] for row in stored["rows"]]
    allowed = np.array([rows[state][0] for state in stored["states"]], bool)
    successor = np.array([rows[state][1] for state in stored["states"]], np.int16)
    return vocabulary, Grammar(allowed, successor, stored["start"])


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """Equal neighbours as (value, how many)."""
    begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.append(begins, len(values)))
    return list(zip(values[begins].tolist(), lengths.tolist(), strict=True))
