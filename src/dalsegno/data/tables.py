"""The corpus tables: music as columns, in files whose bytes depend on the music alone.

The unit of time is the tick, 480 a quarter note. `docs/artifacts.md` explains every column.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

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
class Entry:
    """One parsed file on its way into the tables."""

    piece: str
    source: str
    sha256: str
    licence: str
    music: Music


@dataclass(frozen=True)
class Reject:
    """One file (or piece) that was left out, and why."""

    path: str
    sha256: str
    stage: str
    reason: str


def write_table(path: Path, table: pa.Table) -> None:
    """Write `table` as parquet; equal tables give equal bytes with one version of pyarrow."""
    pq.write_table(table, path, compression="zstd", use_dictionary=False)


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write rejects, sorted by path, as CSV."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(Reject.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(reject) for reject in sorted(rejects, key=lambda reject: reject.path))


def write_corpus(folder: Path, entries: Iterable[Entry], rejects: Iterable[Reject]) -> None:
    """Write the tables of a corpus into `folder`; `entries` may come in any order.

    Raises:
        ValueError: two entries have the same piece id.
    """
    entries = sorted(entries, key=lambda entry: entry.piece)
    for one, other in pairwise(entries):
        if one.piece == other.piece:
            raise ValueError(
                f"{one.source} and {other.source} both want the piece id {one.piece!r}: rename one of them"
            )
    notes, pieces, meters, tempos, keys, labels = [], [], [], [], [], []
    for index, entry in enumerate(entries):
        music = entry.music
        # The end of a note may leave int32.
        block = music.notes[np.lexsort(music.notes.T[::-1])].astype(np.int64)
        notes.append(np.column_stack([np.full(len(block), index), block]))
        pieces.append(
            {
                "piece": entry.piece,
                "source": entry.source,
                "sha256": entry.sha256,
                "title": music.title,
                "tracks": len(np.unique(block[:, 0])),
                "notes": len(block),
                "end": int((block[:, 1] + block[:, 3]).max(initial=0)),
                "licence": entry.licence,
            }
        )
        meters += [(index, *row) for row in sorted(set(music.meters))]
        tempos += [(index, *row) for row in sorted(set(music.tempos))]
        keys += [(index, *row) for row in sorted(set(music.keys))]
        labels += [(index, *row) for row in sorted(set(music.labels))]
    columns = np.concatenate(notes) if notes else np.zeros((0, 7), np.int64)
    by_name = {name: columns[:, i] for i, name in enumerate(("piece", *NOTE_COLUMNS))}
    write_table(
        folder / "notes.parquet", pa.table([pa.array(by_name[n]).cast(NOTES.field(n).type) for n in NOTES.names], NOTES)
    )
    write_table(folder / "pieces.parquet", pa.Table.from_pylist(pieces, PIECES))
    for name, schema, rows in (
        ("meters", METERS, meters),
        ("tempos", TEMPOS, tempos),
        ("keys", KEYS, keys),
        ("labels", LABELS, labels),
    ):
        table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        write_table(folder / f"{name}.parquet", table)
    write_rejects(folder / "rejects.csv", rejects)


class Corpus:
    """A corpus folder, read as numpy columns.

    Attributes:
        pieces: one dict a piece, in order.
        notes: the note columns, sorted by piece; `offsets[i]:offsets[i + 1]` are the rows of piece i.
    """

    def __init__(self, folder: Path) -> None:
        folder = Path(folder)
        self.pieces: list[dict] = pq.read_table(folder / "pieces.parquet").to_pylist()
        table = pq.read_table(folder / "notes.parquet")
        self.notes = {name: table[name].to_numpy() for name in table.column_names}
        self.offsets = np.searchsorted(self.notes["piece"], np.arange(len(self.pieces) + 1))
        self._meters = _by_piece(folder / "meters.parquet")
        self._tempos = _by_piece(folder / "tempos.parquet")

    def __len__(self) -> int:
        return len(self.pieces)

    def piece(self, index: int) -> dict[str, np.ndarray]:
        """The note columns of piece `index`, without the column `piece`."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return {name: column[rows] for name, column in self.notes.items() if name != "piece"}

    def meters(self, index: int) -> list[tuple[int, int, int]]:
        """(tick, numerator, denominator) of piece `index`; empty where the source gives no meter."""
        return [(row["tick"], row["numerator"], row["denominator"]) for row in self._meters.get(index, [])]

    def seconds(self, index: int, end: int | None = None) -> float:
        """Duration of piece `index` (up to tick `end`) by its tempo marks, 120 quarter notes a minute before them."""
        end = self.pieces[index]["end"] if end is None else end
        marks = [(0, DEFAULT_QPM), *((row["tick"], row["qpm"]) for row in self._tempos.get(index, []))]
        total = 0.0
        for (tick, qpm), following in zip(marks, [*(tick for tick, _ in marks[1:]), end], strict=True):
            total += max(0, min(following, end) - tick) / TICKS_PER_QUARTER * 60 / qpm
        return total


def _by_piece(path: Path) -> dict[int, list[dict]]:
    rows: dict[int, list[dict]] = {}
    for row in pq.read_table(path).to_pylist():
        rows.setdefault(row["piece"], []).append(row)
    return rows
