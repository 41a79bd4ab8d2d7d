"""The beginnings of a corpus's pieces, cut to the length of samples so that the two compare."""

from __future__ import annotations

import csv
from pathlib import Path

from dalsegno.data.notes import TICKS_PER_BAR, Notes, read_notes, read_piece_ids


def read_excerpts(corpus: Path, split: Path, bars: int) -> dict[str, list[Notes]]:
    """The first `bars` bars (of four quarters) of every piece, by split, in the corpus's order."""
    with open(split, newline="") as file:
        split_of = {row["piece"]: row["split"] for row in csv.DictReader(file)}
    notes = read_notes(Path(corpus) / "notes.parquet").excerpt(bars * TICKS_PER_BAR)
    ids = read_piece_ids(corpus)
    excerpts: dict[str, list[Notes]] = {"train": [], "valid": [], "test": []}
    for piece, view in zip(ids, notes.pieces(range(len(ids))), strict=True):
        if split_of.get(piece) in excerpts:
            excerpts[split_of[piece]].append(view)
    return excerpts
