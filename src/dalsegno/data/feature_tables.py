"""The corpus of feature tables: rows are pieces, columns are features.

A reader of tables is `read(path, target, options) -> rejected rows`. It writes what it read into the folder `target`,
since a table may be larger than what should pass a pipe; see `dalsegno.data.read_features`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dalsegno.data.manifest import SourceFile
from dalsegno.data.quarantine import Failure, Progress, call_in_workers
from dalsegno.data.tables import PARQUET, Reject
from dalsegno.data.tracks import PieceWriter

SECONDS_A_TABLE = 600.0

PIECES = pa.schema(
    [
        ("piece", pa.string()),
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("content", pa.string()),
        ("licence", pa.string()),
    ]
)


def write(
    folder: Path,
    files: Sequence[tuple[SourceFile, str]],
    options: dict[str, Any],
    licence: str,
    rejects: list[Reject],
    jobs: int,
) -> int:
    """Write the tables of the corpus of `files` (file, sha256) into `folder`; what cannot be read joins `rejects`.

    Returns:
        The number of pieces.

    Raises:
        ValueError: two files have other features, or pieces of one name.
    """
    pieces = PieceWriter(folder, PIECES)
    progress = Progress(len(files), "parse")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".read-") as scratch:
        places = [Path(scratch) / str(index) for index in range(len(files))]
        calls = [(file.format, file.location, place, options) for (file, _), place in zip(files, places, strict=True)]
        found = dict(call_in_workers("dalsegno.data.readers:read_table", calls, jobs, SECONDS_A_TABLE))
        for index, (file, digest) in enumerate(files):
            result = found[index]
            if isinstance(result, Failure):
                rejects.append(Reject(file.path, digest, "parse", result.reason))
                continue
            rejects += [Reject(f"{file.path}#{row}", digest, "parse", reason) for row, reason in result]
            for batch in pq.ParquetFile(places[index] / "rows.parquet").iter_batches():
                for row in batch.to_pylist():
                    told = {"source": f"{file.path}#{row['row']}", "sha256": digest, "licence": licence}
                    piece = row["piece"] or f"{file.piece}#{row['row']}"
                    labels = tuple((one["label"], one["value"]) for one in row["labels"])
                    pieces.add({**told, "piece": piece, "content": row["content"]}, labels)
            progress.show(index + 1)
        pieces.close()
        read = [index for index in range(len(files)) if not isinstance(found[index], Failure)]
        _join([(files[index][0].path, places[index] / "features.parquet") for index in read], folder)
    return pieces.count


def _join(parts: Sequence[tuple[str, Path]], folder: Path) -> None:
    """Write the features of all files one below the other, with the column `piece` before them."""
    features = pq.read_schema(parts[0][1]) if parts else pa.schema([])
    schema = pa.schema([("piece", pa.int32()), *features])
    count = 0
    with pq.ParquetWriter(folder / "features.parquet", schema, **PARQUET) as file:
        for path, part in parts:
            if pq.read_schema(part).names != features.names:
                raise ValueError(f"{parts[0][0]} and {path} have other features: read one of them, or drop columns")
            for batch in pq.ParquetFile(part).iter_batches():
                numbers = pa.array(range(count, count + len(batch)), pa.int32())
                file.write_table(pa.table([numbers, *batch.columns], schema))
                count += len(batch)
