"""The beginnings of a corpus's pieces, cut to the length of samples so that the two compare."""

from __future__ import annotations

import csv
from pathlib import Path

from dalsegno.data.notes import TICKS_PER_BAR, Notes, read_notes, read_piece_ids


def read_excerpts(corpus: Path, split: Path, bars: int) -> dict[str, list[Notes]]:
    """The first `bars` bars (of four quarters) of every piece, by split, in the corpus's order."""
    return _by_split(read_notes(Path(corpus) / "notes.parquet").excerpt(bars * TICKS_PER_BAR), corpus, split)


def read_whole(corpus: Path, split: Path) -> dict[str, list[Notes]]:
    """Every piece of `read_excerpts` from beginning to end."""
    return _by_split(read_notes(Path(corpus) / "notes.parquet"), corpus, split)


def _by_split(notes: Notes, corpus: Path, split: Path) -> dict[str, list[Notes]]:
    split_of = _column(split, "split")
    ids = read_piece_ids(corpus)
    excerpts: dict[str, list[Notes]] = {"train": [], "valid": [], "test": []}
    for piece, view in zip(ids, notes.pieces(range(len(ids))), strict=True):
        if split_of.get(piece) in excerpts:
            excerpts[split_of[piece]].append(view)
    return excerpts


def read_families(corpus: Path, split: Path) -> dict[str, list[str]]:
    """The family of every piece of `read_excerpts`, by split, in the same order."""
    split_of, family_of = _column(split, "split"), _column(split, "family")
    families: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for piece in read_piece_ids(corpus):
        if split_of.get(piece) in families:
            families[split_of[piece]].append(family_of[piece])
    return families


def _column(split: Path, name: str) -> dict[str, str]:
    with open(split, newline="") as file:
        return {row["piece"]: row[name] for row in csv.DictReader(file)}
