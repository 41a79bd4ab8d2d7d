"""The corpus tables: music as columns, in files whose bytes depend on the music alone.

The unit of time is the tick, 480 a quarter note. `docs/artifacts.md` explains every column.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dalsegno.data.notes import SCHEMA as NOTES
from dalsegno.data.notes import TICKS_PER_QUARTER

DEFAULT_QPM = 120.0
"""The tempo of music that names none (chorales): the default of the Standard MIDI File specification."""

PIECES = pa.schema(
    [
        ("piece", pa.string()),
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("title", pa.string()),
        ("tracks", pa.int16()),
        ("notes", pa.int32()),
        ("end", pa.int32()),
        ("licence", pa.string()),
    ]
)
METERS = pa.schema(
    [("piece", pa.int32()), ("tick", pa.int32()), ("numerator", pa.int16()), ("denominator", pa.int16())]
)
TEMPOS = pa.schema([("piece", pa.int32()), ("tick", pa.int32()), ("qpm", pa.float64())])
KEYS = pa.schema([("piece", pa.int32()), ("tick", pa.int32()), ("tonic", pa.int16()), ("mode", pa.string())])
LABELS = pa.schema([("piece", pa.int32()), ("label", pa.string()), ("value", pa.string())])


LAST_TICK = 1 << 30
"""No music is longer: at 480 ticks a quarter and 120 quarters a minute, this is thirteen days."""

M = TypeVar("M")

NOTE_COLUMNS = ("track", "start", "pitch", "duration", "program", "velocity")
"""The columns of `Music.notes`; their order is the order in which notes are sorted."""


@dataclass(frozen=True, eq=False)
class Music:
    """What a parser reads from one file.

    Attributes:
        title: the work's name, or "".
        notes: int32 [n, 6], one row a note in any order; the columns are `NOTE_COLUMNS`.
        meters: (tick, numerator, denominator); a row starts a bar, so an upbeat is a short meter of its own.
        tempos: (tick, quarter notes a minute).
        keys: (tick, tonic pitch class, "major" or "minor"), only where the file says so.
        labels: (label, value), what the file itself says of its music.
    """

    title: str
    notes: np.ndarray
    meters: tuple[tuple[int, int, int], ...] = ()
    tempos: tuple[tuple[int, float], ...] = ()
    keys: tuple[tuple[int, int, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.notes.dtype != np.int32 or self.notes.ndim != 2 or self.notes.shape[1] != len(NOTE_COLUMNS):
            shape = f"{self.notes.dtype} {list(self.notes.shape)}"
            raise ValueError(f"notes are {shape} instead of int32 [n, {len(NOTE_COLUMNS)}]")


@dataclass(frozen=True)
class Entry(Generic[M]):
    """One parsed file on its way into the tables."""

    piece: str
    source: str
    sha256: str
    licence: str
    music: M


@dataclass(frozen=True)
class Reject:
    """One file (or piece) that was left out, and why."""

    path: str
    sha256: str
    stage: str
    reason: str


VARYING = re.compile(r"\d[\d.,]*|'[^']*'")
"""What tells one file's reason from another's of the same kind: numbers and what is quoted."""


def commonest(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Kinds of reasons with their counts, the commonest first; what differs within a kind is an ellipsis."""
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(VARYING.sub("…", reason), []).append(reason)
    told = [(found[0] if len(set(found)) == 1 else kind, len(found)) for kind, found in kinds.items()]
    return sorted(told, key=lambda one: (-one[1], one[0]))


PARQUET: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
"""How tables are written: equal tables give equal bytes with one version of pyarrow."""


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write rejects, sorted by path, as CSV."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(Reject.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(reject) for reject in sorted(rejects, key=lambda reject: reject.path))


ROWS_A_GROUP = 1 << 20
"""Notes that are held in memory before they are written."""


class CorpusWriter:
    """Writes the tables of a corpus piece by piece, in memory that does not grow with their number.

    Args:
        folder: where the tables go; each stands there as soon as the writer is closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.count = 0
        self._sources: dict[str, str] = {}
        self._schemas = {
            "notes": NOTES,
            "pieces": PIECES,
            "meters": METERS,
            "tempos": TEMPOS,
            "keys": KEYS,
            "labels": LABELS,
        }
        self._files = {
            name: pq.ParquetWriter(self.folder / f"{name}.parquet", schema, **PARQUET)
            for name, schema in self._schemas.items()
        }
        self._notes: list[np.ndarray] = []
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in self._schemas if name != "notes"}
        self._waiting = 0

    def add(self, entry: Entry[Music]) -> None:
        """Append one piece; pieces keep the order in which they come.

        Raises:
            ValueError: a piece of this id is there already.
        """
        if known := self._sources.get(entry.piece):
            raise ValueError(f"{known} and {entry.source} both want the piece id {entry.piece!r}: rename one of them")
        self._sources[entry.piece] = entry.source
        music, index = entry.music, self.count
        # The end of a note may leave int32.
        block = music.notes[np.lexsort(music.notes.T[::-1])].astype(np.int64)
        self._notes.append(np.column_stack([np.full(len(block), index), block]))
        rows = self._rows
        tracks, end = len(np.unique(block[:, 0])), int((block[:, 1] + block[:, 3]).max(initial=0))
        rows["pieces"].append(
            (entry.piece, entry.source, entry.sha256, music.title, tracks, len(block), end, entry.licence)
        )
        for name in ("meters", "tempos", "keys", "labels"):
            rows[name] += [(index, *row) for row in sorted(set(getattr(music, name)))]
        self.count += 1
        self._waiting += len(block)
        if self._waiting >= ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what waits and end the files."""
        if self._notes or not self.count:
            self._flush()
        for file in self._files.values():
            file.close()

    def _flush(self) -> None:
        columns = np.concatenate([np.zeros((0, 7), np.int64), *self._notes])
        by_name = {name: columns[:, i] for i, name in enumerate(("piece", *NOTE_COLUMNS))}
        self._files["notes"].write_table(
            pa.table([pa.array(by_name[n]).cast(NOTES.field(n).type) for n in NOTES.names], NOTES)
        )
        self._notes, self._waiting = [], 0
        for name, rows in self._rows.items():
            self._write(name, rows)
            rows.clear()

    def _write(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        schema = self._schemas[name]
        columns = zip(*rows, strict=True) if rows else [() for _ in schema]
        arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
        self._files[name].write_table(pa.table(arrays, schema))


def write_corpus(folder: Path, entries: Iterable[Entry[Music]], rejects: Iterable[Reject]) -> None:
    """Write the tables of a corpus into `folder`; sorted by piece id.

    Raises:
        ValueError: two entries have the same piece id.
    """
    writer = CorpusWriter(folder)
    for entry in sorted(entries, key=lambda entry: entry.piece):
        writer.add(entry)
    writer.close()
    write_rejects(Path(folder) / "rejects.csv", rejects)


class Corpus:
    """A corpus folder, read as numpy columns.

    Pieces that are asked for in order are read block by block, in memory that does not grow with the corpus; `notes`
    reads all of them at once.

    Attributes:
        pieces: one dict a piece, in order.
        offsets: notes `offsets[i]:offsets[i + 1]` are those of piece i.
    """

    def __init__(self, folder: Path) -> None:
        folder = Path(folder)
        self.pieces: list[dict] = pq.read_table(folder / "pieces.parquet").to_pylist()
        self.offsets = np.concatenate([[0], np.cumsum([piece["notes"] for piece in self.pieces])]).astype(np.int64)
        self._file = pq.ParquetFile(folder / "notes.parquet")
        self._names = [name for name in NOTES.names if name != "piece"]
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._blocks = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._block: tuple[int, dict[str, np.ndarray]] = (-1, {})
        self._meters = _by_piece(folder / "meters.parquet", len(self.pieces))
        self._tempos = _by_piece(folder / "tempos.parquet", len(self.pieces))

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def notes(self) -> dict[str, np.ndarray]:
        """The note columns of all pieces, sorted by piece."""
        return _columns(self._file.read())

    def piece(self, index: int) -> dict[str, np.ndarray]:
        """The note columns of piece `index`, without the column `piece`."""
        first, last = self.offsets[index : index + 2].tolist()
        if "notes" in self.__dict__:
            return {name: self.notes[name][first:last] for name in self._names}
        low = max(int(np.searchsorted(self._blocks, first, side="right")) - 1, 0)
        high = max(int(np.searchsorted(self._blocks, last, side="left")), low + 1)
        parts = []
        for block in range(low, min(high, len(self._blocks) - 1)):
            if self._block[0] != block:
                self._block = (block, _columns(self._file.read_row_group(block, self._names)))
            begin = int(self._blocks[block])
            rows = slice(max(first - begin, 0), last - begin)
            parts.append({name: self._block[1][name][rows] for name in self._names})
        if len(parts) == 1:
            return parts[0]
        empty = {name: np.zeros(0, NOTES.field(name).type.to_pandas_dtype()) for name in self._names}
        return {name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in self._names}

    def meters(self, index: int) -> list[tuple[int, int, int]]:
        """(tick, numerator, denominator) of piece `index`; empty where the source gives no meter."""
        return self._meters(index)

    def tempos(self, index: int) -> list[tuple[int, float]]:
        """(tick, quarter notes a minute) of piece `index`; empty where the source gives no tempo."""
        return self._tempos(index)

    def seconds(self, index: int, end: int | None = None) -> float:
        """Duration of piece `index` (up to tick `end`) by its tempo marks, 120 quarter notes a minute before them.

        A mark that is no tempo (0, infinite) counts for nothing.
        """
        end = self.pieces[index]["end"] if end is None else end
        marks = self._marks(index)
        total = 0.0
        for (tick, qpm), following in zip(marks, [*(tick for tick, _ in marks[1:]), end], strict=True):
            total += max(0, min(following, end) - tick) / TICKS_PER_QUARTER * 60 / qpm
        return total

    def seconds_at(self, index: int, ticks: np.ndarray) -> np.ndarray:
        """Where ticks of piece `index` lie in seconds from its start; see `seconds`."""
        marks = np.array(self._marks(index), float)
        begin, pace = marks[:, 0], 60 / marks[:, 1] / TICKS_PER_QUARTER
        before = np.concatenate([[0.0], np.cumsum(np.diff(begin) * pace[:-1])])
        own = np.searchsorted(begin, ticks, side="right") - 1
        return np.asarray(before[own] + (ticks - begin[own]) * pace[own])

    def _marks(self, index: int) -> list[tuple[int, float]]:
        own = [(tick, qpm) for tick, qpm in self.tempos(index) if math.isfinite(qpm) and qpm > 0]
        return [(0, DEFAULT_QPM), *own]


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in table.column_names}


def _by_piece(path: Path, pieces: int) -> Callable[[int], list[Any]]:
    """A function that gives the rows of a piece, without its number."""
    columns = _columns(pq.read_table(path))
    offsets = np.searchsorted(columns.pop("piece"), np.arange(pieces + 1))

    def rows(index: int) -> list[Any]:
        own = slice(offsets[index], offsets[index + 1])
        return list(zip(*(column[own].tolist() for column in columns.values()), strict=True))

    return rows
