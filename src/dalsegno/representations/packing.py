"""The part of packing that all representations share: encode what fits, list what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dalsegno.data import split as splits
from dalsegno.data.tables import Corpus, Reject


@dataclass(frozen=True)
class Encoded:
    """One piece on its way into a packed representation.

    Attributes:
        index: its row in the corpus.
        row: its row in `split.csv`.
        tokens_TxK: its tokens, int16.
    """

    index: int
    row: splits.SplitRow
    tokens_TxK: np.ndarray


def encode_pieces(
    tables: Corpus, split: Path, encode: Callable[[dict[str, np.ndarray]], np.ndarray], kind: str
) -> tuple[list[Encoded], list[Reject]]:
    """Every train, valid and test piece that fits the representation `kind`, in the corpus's order, and the others.

    Args:
        encode: gives a piece's tokens; its ValueError is the reason why a piece does not fit.

    Raises:
        ValueError: no training piece fits; names the reason of the first piece that does not.
    """
    pieces, rejects = [], []
    for index, row in enumerate(splits.read(split)):
        if row.split == "unused":
            continue
        try:
            pieces.append(Encoded(index, row, encode(tables.piece(index))))
        except ValueError as error:
            rejects.append(Reject(row.piece, tables.pieces[index]["sha256"], "represent", str(error)))
    if not any(piece.row.split == "train" for piece in pieces):
        reason = rejects[0].reason if rejects else "the split has no training piece"
        raise ValueError(f"no training piece fits the representation `{kind}`: {reason}")
    return pieces, rejects
