"""Whole pieces in batches of one length each, so that little is padded and shapes are few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dalsegno.representations.base import Packed

SHORTEST = 256
"""Steps of the shortest bucket; each further one is twice as long."""
STEPS_A_BATCH = 4096
"""Steps of a batch, padding included; a longer piece is a batch of its own."""


@dataclass(frozen=True)
class Batch:
    """Pieces that are padded to one length.

    Attributes:
        length: steps a row.
        rows: how many, those without a piece included; equal for all batches of a length.
        members: which of the pieces stand in the first rows.
    """

    length: int
    rows: int
    members: tuple[int, ...]


def batches(lengths: Sequence[int] | np.ndarray, steps: int = STEPS_A_BATCH, multiple: int = 1) -> list[Batch]:
    """Every piece once, shorter buckets first, in the order of the pieces within a bucket.

    Args:
        lengths: steps of each piece.
        steps: of a batch.
        multiple: rows are a multiple of it.
    """
    lengths = np.asarray(lengths, np.int64)
    bucket = np.ceil(np.log2(np.maximum(lengths, SHORTEST) / SHORTEST)).astype(np.int64)
    made = []
    for exponent in np.unique(bucket).tolist():
        length = SHORTEST << exponent
        rows = -(-max(1, steps // length) // multiple) * multiple
        members = np.flatnonzero(bucket == exponent).tolist()
        made += [Batch(length, rows, tuple(members[i : i + rows])) for i in range(0, len(members), rows)]
    return made


def padding(lengths: Sequence[int] | np.ndarray, made: Sequence[Batch]) -> float:
    """Share of the steps of batches that hold no piece."""
    steps = sum(batch.length * batch.rows for batch in made)
    return 1 - int(np.sum(lengths)) / steps if steps else 0.0


def padded(pieces_TxK: Sequence[np.ndarray], batch: Batch, width: int) -> np.ndarray:
    """`tokens_BxTxK` (int32): the pieces of a batch, 0 where there is none."""
    tokens = np.zeros((batch.rows, batch.length, width), np.int32)
    for row, piece in zip(tokens, pieces_TxK, strict=False):
        row[: len(piece)] = piece
    return tokens


def read(packed: Packed, split: str, steps: int = STEPS_A_BATCH) -> Iterator[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Every piece of a split once, as (`tokens_BxTxK`, `lengths_B`, rows of the index).

    Pieces are read from the mapped file when their batch is asked for.
    """
    own = packed.indices(split)
    for batch in batches([packed.rows[i].steps for i in own], steps):
        members = [own[i] for i in batch.members]
        lengths_B = np.zeros(batch.rows, np.int64)
        lengths_B[: len(members)] = [packed.rows[i].steps for i in members]
        yield padded([packed.piece(i) for i in members], batch, packed.vocabulary.width), lengths_B, members
