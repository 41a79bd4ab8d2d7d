"""Note tables in memory: the columns of `notes.parquet`, and nothing else.

The one place where metrics, export and report read and write notes, so that a change of the file format is a
change of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TICKS_PER_QUARTER = 480
TICKS_PER_BAR = 4 * TICKS_PER_QUARTER
DRUMS = 128

SCHEMA = pa.schema(
    [
        ("piece", pa.int32()),
        ("track", pa.int16()),
        ("program", pa.int16()),
        ("start", pa.int32()),
        ("duration", pa.int32()),
        ("pitch", pa.int16()),
        ("velocity", pa.int16()),
    ]
)


@dataclass(frozen=True)
class Notes:
    """A note table: one array a column, all of one length, sorted by piece.

    Attributes:
        piece: number of the piece a note belongs to.
        track: part within the piece, 0 is the highest.
        program: General MIDI 0-127; 128 is drums.
        start: ticks from the start of the piece, 480 a quarter note.
        duration: ticks.
        pitch: MIDI number.
        velocity: MIDI number.
    """

    piece: np.ndarray
    track: np.ndarray
    program: np.ndarray
    start: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice | np.ndarray) -> Notes:
        """The notes that a slice, mask or index array chooses."""
        return Notes(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def end(self) -> np.ndarray:
        return self.start + self.duration

    def pitched(self) -> Notes:
        """The notes without drums, whose numbers name instruments and not pitches."""
        return self[self.program != DRUMS] if np.any(self.program == DRUMS) else self

    def pieces(self, numbers: Sequence[int] | np.ndarray) -> Iterator[Notes]:
        """One view for each piece number asked for; a piece without notes gives an empty table."""
        first = np.searchsorted(self.piece, numbers, side="left")
        last = np.searchsorted(self.piece, numbers, side="right")
        for low, high in zip(first.tolist(), last.tolist(), strict=True):
            yield self[low:high]

    def excerpt(self, ticks: int) -> Notes:
        """What sounds before `ticks`; notes that last longer are cut there."""
        kept = self[self.start < ticks]
        return replace(kept, duration=np.minimum(kept.duration, ticks - kept.start))


def make_notes(**columns: Any) -> Notes:
    """A note table from any array-likes; absent columns are 0, absent velocities 80.

    Raises:
        ValueError: columns of different lengths, or pieces out of order.
    """
    length = len(columns["start"])
    defaults = {"piece": 0, "track": 0, "program": 0, "velocity": 80}
    arrays = {
        field.name: np.asarray(
            columns.get(field.name, np.full(length, defaults.get(field.name, 0))), field.type.to_pandas_dtype()
        )
        for field in SCHEMA
    }
    if any(array.shape != (length,) for array in arrays.values()):
        raise ValueError("the columns of a note table differ in length")
    if np.any(np.diff(arrays["piece"]) < 0):
        raise ValueError("a note table is sorted by piece")
    return Notes(**arrays)


def join_notes(pieces: Sequence[Notes]) -> Notes:
    """One table of several pieces, numbered 0, 1, … in the order given."""
    parts = [replace(piece, piece=np.full(len(piece), number, np.int32)) for number, piece in enumerate(pieces)]
    if not parts:
        return make_notes(start=[], duration=[], pitch=[])
    return Notes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Notes)))


def read_notes(path: Path) -> Notes:
    """The note table of a `notes.parquet`."""
    table = pq.read_table(path, columns=SCHEMA.names)
    return make_notes(**{name: table.column(name).to_numpy() for name in SCHEMA.names})


def write_notes(path: Path, notes: Notes) -> None:
    """Write a `notes.parquet`, sorted by piece, track, start, pitch and duration."""
    order = np.lexsort((notes.duration, notes.pitch, notes.start, notes.track, notes.piece))
    ordered = notes[order]
    pq.write_table(pa.table([getattr(ordered, name) for name in SCHEMA.names], schema=SCHEMA), path)


def read_piece_ids(corpus: Path) -> list[str]:
    """The ids of a corpus folder's pieces, by piece number."""
    ids: list[str] = pq.read_table(Path(corpus) / "pieces.parquet", columns=["piece"]).column("piece").to_pylist()
    return ids
