"""The corpus tables: music as columns, in files whose bytes depend on the music alone.

The unit of time is the tick, 480 a quarter note. `docs/artifacts.md` explains every column.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
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


def read_rejects(path: Path) -> list[Reject]:
    """What `write_rejects` wrote."""
    with open(path, newline="") as file:
        return [Reject(**row) for row in csv.DictReader(file)]


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
        block = music.notes[np.lexsort(music.notes.T[::-1])]
        self._notes.append(block)
        rows = self._rows
        tracks = int(np.count_nonzero(np.diff(block[:, 0]))) + 1 if len(block) else 0
        # The end of a note may leave int32.
        end = int((block[:, 1].astype(np.int64) + block[:, 3]).max(initial=0))
        rows["pieces"].append(
            (entry.piece, entry.source, entry.sha256, music.title, tracks, len(block), end, entry.licence)
        )
        for name in ("meters", "tempos", "keys", "labels"):
            rows[name] += [(index, *row) for row in sorted(set(getattr(music, name)))]
        self.count += 1
        self._waiting += len(block)
        if self._waiting >= ROWS_A_GROUP:
            self._flush()

    @staticmethod
    def stored(folder: Path) -> Iterator[Entry[Music]]:
        """The pieces of a folder that a writer wrote, in its order, as `add` takes them."""
        corpus = Corpus(folder)
        keys, labels = (_Marks(Path(folder) / f"{name}.parquet") for name in ("keys", "labels"))
        for index, row in enumerate(corpus.pieces):
            notes = corpus.piece(index)
            music = Music(
                row["title"],
                np.stack([notes[name].astype(np.int32) for name in NOTE_COLUMNS], 1),
                tuple(corpus.meters(index)),
                tuple(corpus.tempos(index)),
                tuple(keys.of(index)),
                tuple(labels.of(index)),
            )
            yield Entry(row["piece"], row["source"], row["sha256"], row["licence"], music)

    def close(self) -> None:
        """Write what waits and end the files."""
        if self._notes or not self.count:
            self._flush()
        for file in self._files.values():
            file.close()

    def _flush(self) -> None:
        columns = np.concatenate([np.zeros((0, len(NOTE_COLUMNS)), np.int32), *self._notes])
        by_name = {name: columns[:, i] for i, name in enumerate(NOTE_COLUMNS)}
        first = self.count - len(self._notes)
        by_name["piece"] = np.repeat(np.arange(first, self.count), [len(block) for block in self._notes])
        # One row group, so that no piece stands in two.
        self._files["notes"].write_table(
            pa.table([pa.array(by_name[n]).cast(NOTES.field(n).type) for n in NOTES.names], NOTES), max(len(columns), 1)
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


HELD_GROUPS = 2
"""Row groups of notes that are held decoded, of `ROWS_A_GROUP` rows and 20 bytes a row."""


class Corpus:
    """A corpus folder, read as numpy columns; notes are read when they are asked for.

    Attributes:
        pieces: one dict a piece, in order.
        offsets: `offsets[i]:offsets[i + 1]` are the rows of piece i in the table of notes.

    Raises:
        ValueError: the tables of notes and of pieces contradict each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self.pieces: list[dict] = pq.read_table(self._folder / "pieces.parquet").to_pylist()
        self.offsets = np.cumsum([0, *(piece["notes"] for piece in self.pieces)])
        self._file = pq.ParquetFile(self._folder / "notes.parquet")
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._borders = np.cumsum([0, *sizes])
        if self._borders[-1] != self.offsets[-1]:
            raise ValueError(f"{folder}: notes.parquet and pieces.parquet count other notes: build the corpus again")
        self._group = lru_cache(maxsize=HELD_GROUPS)(lambda group: _columns(self._file.read_row_group(group)))
        self._meters = _Marks(self._folder / "meters.parquet")
        self._tempos = _Marks(self._folder / "tempos.parquet")
        self._labels = _Marks(self._folder / "labels.parquet")

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def notes(self) -> dict[str, np.ndarray]:
        """All note columns, sorted by piece: memory grows with the corpus."""
        return _columns(self._file.read())

    def piece(self, index: int) -> dict[str, np.ndarray]:
        """The note columns of piece `index`, without the column `piece`; fast where pieces are asked for in order."""
        return self._rows(int(self.offsets[index]), int(self.offsets[index + 1]), NOTE_COLUMNS)

    def blocks(self, rows: int) -> Iterator[tuple[int, int, dict[str, np.ndarray]]]:
        """The corpus in blocks of whole pieces: (first piece, pieces, all note columns), `rows` notes at most.

        A piece with more notes is a block of its own.
        """
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + rows, side="right")) - 1
            last = max(last, first + 1)
            yield first, last - first, self._rows(int(self.offsets[first]), int(self.offsets[last]), NOTES.names)
            first = last

    def _rows(self, first: int, last: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        parts = []
        group = int(np.searchsorted(self._borders, first, side="right")) - 1
        while first < last:
            begin = int(self._borders[group])
            columns = self._group(group)
            parts.append({name: columns[name][first - begin : last - begin] for name in names})
            first = int(self._borders[group + 1])
            group += 1
        if len(parts) == 1:
            return parts[0]
        empty = [np.zeros(0, NOTES.field(name).type.to_pandas_dtype()) for name in names]
        return {
            name: np.concatenate([none, *(part[name] for part in parts)])
            for name, none in zip(names, empty, strict=True)
        }

    def meters(self, index: int) -> list[tuple[int, int, int]]:
        """(tick, numerator, denominator) of piece `index`; empty where the source gives no meter."""
        return self._meters.of(index)

    def tempos(self, index: int) -> list[tuple[int, float]]:
        """(tick, quarter notes a minute) of piece `index`; empty where the source gives no tempo."""
        return self._tempos.of(index)

    def labels(self, index: int) -> dict[str, str]:
        """Label -> value of piece `index`."""
        return dict(self._labels.of(index))

    def seconds(self, index: int, end: int | None = None) -> float:
        """Duration of piece `index` (up to tick `end`) by its tempo marks, 120 quarter notes a minute before them.

        A mark that is no tempo (0, infinite) counts for nothing.
        """
        end = self.pieces[index]["end"] if end is None else end
        marks = self._timed(index)
        total = 0.0
        for (tick, qpm), following in zip(marks, [*(tick for tick, _ in marks[1:]), end], strict=True):
            total += max(0, min(following, end) - tick) / TICKS_PER_QUARTER * 60 / qpm
        return total

    def seconds_at(self, index: int, ticks: np.ndarray) -> np.ndarray:
        """Where ticks of piece `index` lie in seconds from its start; see `seconds`."""
        marks = np.array(self._timed(index), float)
        begin, pace = marks[:, 0], 60 / marks[:, 1] / TICKS_PER_QUARTER
        before = np.concatenate([[0.0], np.cumsum(np.diff(begin) * pace[:-1])])
        own = np.searchsorted(begin, ticks, side="right") - 1
        return np.asarray(before[own] + (ticks - begin[own]) * pace[own])

    def _timed(self, index: int) -> list[tuple[int, float]]:
        own = [(tick, qpm) for tick, qpm in self.tempos(index) if math.isfinite(qpm) and qpm > 0]
        return [(0, DEFAULT_QPM), *own]


class _Marks:
    """The rows of a table of marks, piece by piece, as tuples without their piece."""

    def __init__(self, path: Path) -> None:
        table = pq.read_table(path)
        self._piece = table["piece"].to_numpy()
        self._columns = [table[name] for name in table.column_names if name != "piece"]

    def of(self, index: int) -> list[tuple[Any, ...]]:
        first, last = np.searchsorted(self._piece, (index, index + 1)).tolist()
        if first == last:
            return []
        return list(zip(*(column.slice(first, last - first).to_pylist() for column in self._columns), strict=True))


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in table.column_names}
