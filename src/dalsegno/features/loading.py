"""Features for a classifier: memory-mapped, standardised by the training pieces, in batches."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dalsegno.features.augmentation import Augmentation, augment


class FeatureSet:
    """One folder of features.

    Args:
        folder: of a table (`features.parquet`) or of sequences (`features.safetensors`).

    Attributes:
        columns: the name of each number of a row.
        piece, split, start, seconds: one entry a window.
        offsets: rows `offsets[i]:offsets[i + 1]` of `values` are those of window i.
        mean, scale: of each column over the training pieces.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        scaler = json.loads((self.folder / "scaler.json").read_text())
        self.columns: list[str] = scaler["columns"]
        self.mean, self.scale = (np.array(scaler[name], float) for name in ("mean", "scale"))
        if (self.folder / "features.parquet").exists():
            table = pq.read_table(self.folder / "features.parquet", columns=["piece", "split", "start", "seconds"])
            index = {name: table[name].to_pylist() for name in table.column_names}
            rows = np.ones(len(table), np.int64)
        else:
            with open(self.folder / "index.csv", newline="") as file:
                lines = list(csv.DictReader(file))
            index = {name: [line[name] for line in lines] for name in ("piece", "split", "start", "seconds")}
            rows = np.array([line["rows"] for line in lines], np.int64)
        self.piece, self.split = np.array(index["piece"], object), np.array(index["split"], object)
        self.start, self.seconds = np.array(index["start"], float), np.array(index["seconds"], float)
        self.offsets = np.concatenate([[0], np.cumsum(rows)])

    def __len__(self) -> int:
        return len(self.piece)

    @cached_property
    def values(self) -> np.ndarray:
        """float32 `[rows, columns]` as they were computed; those of sequences are mapped, not read."""
        path = self.folder / "features.parquet"
        if path.exists():
            table = pq.read_table(path, columns=self.columns)
            return np.column_stack([table[name].to_numpy() for name in self.columns])
        path = self.folder / "features.safetensors"
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            shape = json.loads(file.read(size))["values"]["shape"]
        return np.memmap(path, "<f4", "r", 8 + size, tuple(shape))

    def windows(self, split: str) -> np.ndarray:
        """The windows of a split."""
        return np.flatnonzero(self.split == split)

    def standardised(self, window: int) -> np.ndarray:
        """float32 `[rows, columns]` of one window in standard deviations from the training pieces' mean.

        What is undefined in a piece is 0, that mean.
        """
        rows = self.values[self.offsets[window] : self.offsets[window + 1]]
        return np.nan_to_num(((rows - self.mean) / self.scale).astype(np.float32))

    def classes(self, column: str, number: int) -> np.ndarray:
        """Each row's class by a column, 0 to `number` - 1, about equally many training rows in each; -1 if undefined.

        Raises:
            ValueError: no such column.
        """
        if column not in self.columns:
            raise ValueError(f"{self.folder} has no column {column!r}; it has {', '.join(self.columns)}")
        values = self.values[:, self.columns.index(column)]
        training = values[np.repeat(self.split == "train", np.diff(self.offsets))]
        bounds = np.nanquantile(training, np.arange(1, number) / number, method="lower")
        return np.where(np.isfinite(values), np.searchsorted(bounds, values, side="left"), -1)

    def batches(
        self,
        split: str,
        size: int,
        generator: np.random.Generator | None = None,
        augmentation: Augmentation | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Every window of a split once, as (values_BxTxD, lengths_B, windows_B); shorter ones are padded by zeros.

        Args:
            generator: shuffles, and augments; absent: the order of the corpus.
            augmentation: for the training split only.

        Raises:
            ValueError: augmentation of another split, or without a generator.
        """
        if augmentation is not None and split != "train":
            raise ValueError(f"the {split} split is never augmented: it would measure other music than there is")
        if augmentation is not None and generator is None:
            raise ValueError("augmentation needs a generator")
        order = self.windows(split)
        if generator is not None:
            order = generator.permutation(order)
        for first in range(0, len(order), size):
            windows_B = order[first : first + size]
            blocks = [self.standardised(window) for window in windows_B.tolist()]
            lengths_B = np.array([len(block) for block in blocks])
            values = np.zeros((len(blocks), int(lengths_B.max()), len(self.columns)), np.float32)
            for row, block in zip(values, blocks, strict=True):
                row[: len(block)] = block
            if augmentation is not None and generator is not None:
                values = augment(values, lengths_B, augmentation, generator)
            yield values, lengths_B, windows_B
