"""The features of a dataset: every window of every piece that has them, in its piece's split, and a fitted scaler."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.preprocessing import StandardScaler

from dalsegno.data import split as splits
from dalsegno.data.corpus import in_order
from dalsegno.data.options import Source
from dalsegno.data.quarantine import Failure, Progress, call_in_workers
from dalsegno.data.recordings import located
from dalsegno.data.tables import PARQUET, Corpus, Reject, write_rejects
from dalsegno.features import registry
from dalsegno.features.options import FEATURE_FILES, FeatureOptions, Sound, Written
from dalsegno.features.windows import Window

SECONDS_A_PIECE = 300.0
MEGABYTES = 4096
"""Limits of one piece: of `gtzan`, the dearest kind, ten minutes of sound take 9 s and 1,700 MiB."""


PIECES_AT_ONCE = 500
ROWS_AT_ONCE = 1 << 16


def files(options: FeatureOptions) -> tuple[str, ...]:
    """What `build` writes for one set of features."""
    return FEATURE_FILES[options.shape]


@dataclass(frozen=True)
class IndexRow:
    """One window of `index.csv` or `features.parquet`.

    Attributes:
        piece: id; its labels stand in the corpus.
        window: number within the piece.
        start, seconds: where it lies in the piece, and its length.
        rows: how many rows of values it has.
    """

    piece: str
    split: str
    window: int
    start: float
    seconds: float
    rows: int


def build(
    options: FeatureOptions, source: Source, corpus: Path, split: Path, folder: Path, jobs: int = 2, root: Path = Path()
) -> None:
    """Write the features of the corpus folder `corpus` into `folder`.

    Args:
        source: the dataset's source, with the place of its files: recordings are read from them.
        split: split.csv.
        jobs: worker processes.
        root: where a relative path of the source is taken from.

    Raises:
        ValueError: no training piece has features; names the reason of the first piece that has none.
    """
    folder = Path(folder)
    rows = splits.read(split)
    names = registry.load(options.kind).columns(options)
    rejects: list[Reject] = []
    index: list[IndexRow] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        values_path = Path(partial) / "values"
        with open(values_path, "wb") as values, _windows(options, source, corpus, rows, jobs, root, folder) as results:
            for row, digest, found in results:
                if isinstance(found, Failure):
                    rejects.append(Reject(row.piece, digest, "features", found.reason))
                    continue
                for number, window in enumerate(found):
                    if window.values is None:
                        where = f"{row.piece}@{window.start:g}s"
                        rejects.append(Reject(where, digest, "features", window.reason))
                        continue
                    block = np.ascontiguousarray(window.values, "<f4")
                    values.write(block.data)
                    index.append(IndexRow(row.piece, row.split, number, window.start, window.seconds, len(block)))
        if not any(row.split == "train" for row in index):
            reason = rejects[0].reason if rejects else "the split has no training piece"
            raise ValueError(f"no training piece has features of kind `{options.kind}`: {reason}")
        write_rejects(folder / "rejects.csv", rejects)
        _write_scaler(folder / "scaler.json", names, _fitted(values_path, index, len(names), options.shape))
        if options.shape == "table":
            _write_table(folder / "features.parquet", index, names, values_path)
        else:
            _write_index(folder / "index.csv", index)
            _write_tensor(folder / "features.safetensors", values_path, len(names))


@contextmanager
def _windows(
    options: FeatureOptions,
    source: Source,
    corpus: Path,
    rows: list[splits.SplitRow],
    jobs: int,
    root: Path,
    scratch: Path,
) -> Iterator[Iterator[tuple[splits.SplitRow, str, list[Window] | Failure]]]:
    """For each piece of the split, in the corpus's order: its row, the digest of its file, and its windows."""
    used = [number for number, row in enumerate(rows) if row.split != "unused"]
    if not isinstance(options, Sound):
        yield _written(options, Corpus(corpus), used, rows)
        return
    document = options.model_dump(mode="json")
    # Workers inherit it: a sum over threads depends on their number.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    if source.modality == "audio":
        with located(source, corpus, scratch, root) as recordings:
            calls: list[tuple[Any, ...]] = [(recordings[number].location, document) for number in used]
            digests = [recordings[number].content for number in used]
            yield _called("of_recording", calls, [rows[number] for number in used], digests, jobs)
    else:
        tables = Corpus(corpus)
        calls = [(tables.piece(number), tables.tempos(number), document) for number in used]
        digests = [tables.pieces[number]["sha256"] for number in used]
        yield _called("of_notes", calls, [rows[number] for number in used], digests, jobs)


def _called(
    function: str, calls: list[tuple[Any, ...]], rows: list[splits.SplitRow], digests: list[str], jobs: int
) -> Iterator[tuple[splits.SplitRow, str, list[Window] | Failure]]:
    results = call_in_workers(f"dalsegno.features.windows:{function}", calls, jobs, SECONDS_A_PIECE, MEGABYTES)
    progress = Progress(len(calls), "features")
    for done, (row, digest, result) in enumerate(zip(rows, digests, in_order(results), strict=True), 1):
        yield row, digest, result
        progress.show(done)


def _written(
    options: Written, tables: Corpus, used: list[int], rows: list[splits.SplitRow]
) -> Iterator[tuple[splits.SplitRow, str, list[Window] | Failure]]:
    """The features of notes, many pieces at once."""
    module = registry.load(options.kind)
    progress = Progress(len(used), "features")
    empty = Failure("a piece without notes has no features")
    for first in range(0, len(used), PIECES_AT_ONCE):
        numbers = used[first : first + PIECES_AT_ONCE]
        for number, found in zip(numbers, module.windows(tables, numbers, options), strict=True):
            yield rows[number], tables.pieces[number]["sha256"], found if tables.pieces[number]["notes"] else empty
        progress.show(first + len(numbers))


def _fitted(values: Path, index: list[IndexRow], width: int, shape: str) -> StandardScaler:
    """The scaler of the training windows."""
    rows_NxD = np.memmap(values, "<f4", "r").reshape(-1, width)
    training = np.repeat([row.split == "train" for row in index], [row.rows for row in index])
    scaler = StandardScaler()
    if shape == "table":
        # At once: a column that is undefined in all of a first block would stay undefined.
        with np.errstate(invalid="ignore"):
            return scaler.fit(rows_NxD[training].astype(np.float64))
    for first in range(0, len(rows_NxD), ROWS_AT_ONCE):
        own = rows_NxD[first : first + ROWS_AT_ONCE][training[first : first + ROWS_AT_ONCE]]
        if len(own):
            scaler.partial_fit(own.astype(np.float64))
    return scaler


def _write_scaler(path: Path, names: Iterable[str], scaler: StandardScaler) -> None:
    # A column that is undefined in all training pieces is left as it is.
    defined = np.isfinite(scaler.mean_)
    content = {
        "columns": list(names),
        "mean": np.where(defined, scaler.mean_, 0.0).tolist(),
        "scale": np.where(defined, scaler.scale_, 1.0).tolist(),
        "rows": np.broadcast_to(scaler.n_samples_seen_, len(defined)).astype(int).tolist(),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _write_table(path: Path, index: list[IndexRow], names: tuple[str, ...], values: Path) -> None:
    table_NxD = np.fromfile(values, "<f4").reshape(len(index), len(names))
    columns = {
        "piece": pa.array([row.piece for row in index], pa.string()),
        "split": pa.array([row.split for row in index], pa.string()),
        "window": pa.array([row.window for row in index], pa.int32()),
        "start": pa.array([row.start for row in index], pa.float64()),
        "seconds": pa.array([row.seconds for row in index], pa.float64()),
    }
    columns |= {name: pa.array(table_NxD[:, i]) for i, name in enumerate(names)}
    pq.write_table(pa.table(columns), path, **PARQUET)


def _write_index(path: Path, index: list[IndexRow]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(IndexRow.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in index)


def _write_tensor(path: Path, values: Path, width: int) -> None:
    """One safetensors file with the tensor `values`, copied and never held in memory."""
    size = values.stat().st_size
    entry = {"values": {"dtype": "F32", "shape": [size // 4 // width, width], "data_offsets": [0, size]}}
    header = json.dumps(entry, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as target, open(values, "rb") as raw:
        target.write(len(header).to_bytes(8, "little") + header)
        shutil.copyfileobj(raw, target)
