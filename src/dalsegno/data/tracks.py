"""The corpus of recordings: what each is, never its samples, which stay in the source's files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dalsegno.data.tables import LABELS, PARQUET, Entry

PIECES = pa.schema(
    [
        ("piece", pa.string()),
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("content", pa.string()),
        ("title", pa.string()),
        ("codec", pa.string()),
        ("rate", pa.int32()),
        ("channels", pa.int16()),
        ("frames", pa.int64()),
        ("seconds", pa.float64()),
        ("peak", pa.float32()),
        ("licence", pa.string()),
    ]
)
ROWS_A_GROUP = 1 << 14


@dataclass(frozen=True)
class Track:
    """What a reader says of one recording.

    Attributes:
        title: its tag, or "".
        codec: container and encoding, e.g. `WAV PCM_16`.
        rate: Hz.
        frames: samples of one channel.
        peak: largest absolute sample, full scale 1; 0 is silence.
        content: sha256 of rate, channels and decoded samples (float32): equal sound in another container is equal.
        labels: (label, value), what the file itself says.
    """

    title: str
    codec: str
    rate: int
    channels: int
    frames: int
    peak: float
    content: str
    labels: tuple[tuple[str, str], ...] = ()


class PieceWriter:
    """Writes `pieces.parquet` and `labels.parquet` in memory that does not grow with their number.

    Args:
        folder: where the tables go.
        schema: of `pieces.parquet`; the first column is the piece's id.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.count = 0
        self._sources: dict[str, str] = {}
        self._schemas = {"pieces": schema, "labels": LABELS}
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in self._schemas}
        self._files = {
            name: pq.ParquetWriter(Path(folder) / f"{name}.parquet", schema, **PARQUET)
            for name, schema in self._schemas.items()
        }

    def add(self, row: dict[str, Any], labels: tuple[tuple[str, str], ...]) -> None:
        """Append one piece; pieces keep the order in which they come.

        Raises:
            ValueError: a piece of this id is there already.
        """
        if known := self._sources.get(row["piece"]):
            raise ValueError(f"{known} and {row['source']} both want the piece id {row['piece']!r}: rename one of them")
        self._sources[row["piece"]] = row["source"]
        self._rows["pieces"].append(tuple(row[name] for name in self._schemas["pieces"].names))
        self._rows["labels"] += [(self.count, *pair) for pair in sorted(set(labels))]
        self.count += 1
        if len(self._rows["pieces"]) >= ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what waits and end the files."""
        self._flush()
        for file in self._files.values():
            file.close()

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            schema = self._schemas[name]
            columns = zip(*rows, strict=True) if rows else [() for _ in schema]
            arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
            self._files[name].write_table(pa.table(arrays, schema))
            rows.clear()


class TrackWriter:
    """Writes the corpus of recordings into `folder`, one by one."""

    def __init__(self, folder: Path) -> None:
        self._pieces = PieceWriter(folder, PIECES)

    @property
    def count(self) -> int:
        """Recordings so far."""
        return self._pieces.count

    def add(self, entry: Entry[Track]) -> None:
        """Append one recording."""
        track = entry.music
        row = {**vars(entry), **vars(track), "seconds": track.frames / track.rate}
        self._pieces.add(row, track.labels)

    @staticmethod
    def stored(folder: Path) -> Iterator[Entry[Track]]:
        """The recordings of a folder that a writer wrote, in its order, as `add` takes them."""
        labels: dict[int, list[tuple[str, str]]] = {}
        for row in pq.read_table(Path(folder) / "labels.parquet").to_pylist():
            labels.setdefault(row["piece"], []).append((row["label"], row["value"]))
        own = [field.name for field in fields(Track) if field.name != "labels"]
        for index, row in enumerate(pq.read_table(Path(folder) / "pieces.parquet").to_pylist()):
            track = Track(**{name: row[name] for name in own}, labels=tuple(labels.get(index, ())))
            yield Entry(row["piece"], row["source"], row["sha256"], row["licence"], track)

    def close(self) -> None:
        """End the files."""
        self._pieces.close()
