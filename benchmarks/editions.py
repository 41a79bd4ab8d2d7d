"""How the chorales of music21 differ from those of the JSB set, chorale by chorale; writes docs/jsb_editions.csv.

    python benchmarks/editions.py jsb.zip results/corpora/chorales

The archive holds `Jsb16thSeparated.json` and `m21_match.json` (chorale of the set -> file of music21, share of equal
cells); the corpus is that of `source: {kind: music21, collection: bach_chorales}`. Matches below 0.3 are none.
"""

from __future__ import annotations

import argparse
import csv
import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from dalsegno.data.tables import Corpus
from dalsegno.representations.base import Piece
from dalsegno.representations.options import Voices
from dalsegno.representations.voices import VoiceGrid

GRID = VoiceGrid(Voices(kind="voices", lowest=0, highest=127))
MATCHED = 0.3
BAR = 16
"""Grid lines; pieces whose lengths differ by more are not laid side by side."""


def held(grid_TxK: np.ndarray) -> np.ndarray:
    """Rests filled with the pitch before."""
    last = np.maximum.accumulate(np.where(grid_TxK >= 0, np.arange(len(grid_TxK))[:, None], 0), axis=0)
    return np.take_along_axis(grid_TxK, last, axis=0)


def difference(ours_TxK: np.ndarray, theirs_TxK: np.ndarray) -> tuple[str, int]:
    """The least that explains how two grids differ, and how many of the cells that both have do."""
    steps = min(len(ours_TxK), len(theirs_TxK))
    one, other = ours_TxK[:steps], theirs_TxK[:steps]
    cells = int((one != other).sum())
    if ours_TxK.shape == theirs_TxK.shape and not cells:
        return "none", 0
    if abs(len(ours_TxK) - len(theirs_TxK)) > BAR:
        longer = "theirs" if len(theirs_TxK) > len(ours_TxK) else "ours"
        return f"repeats or sections: {longer} is longer by more than a bar", cells
    if not cells:
        return "length of the last chord", cells
    filled = held(one), held(other)
    if np.array_equal(*filled):
        return "rests between phrases", cells
    octaves = ((one - other) % 12 == 0) & (one >= 0) & (other >= 0) | (one == other)
    if octaves.all():
        return "octaves", cells
    if (((filled[0] - filled[1]) % 12) == 0).all():
        return "rests and octaves", cells
    if cells <= 0.1 * one.size:
        return "some notes (a tenth of the cells at most)", cells
    return "many notes, or a shifted beginning", cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/jsb_editions.csv"))
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.archive) as archive:
        named = {Path(name).name: name for name in archive.namelist()}
        match = json.loads(archive.read(named["m21_match.json"]))
        grids = json.loads(archive.read(named["Jsb16thSeparated.json"]))
    tables = Corpus(arguments.corpus)
    numbers = {Path(piece["source"]).name: number for number, piece in enumerate(tables.pieces)}
    found: Counter[str] = Counter()
    rows = []
    for chorale, (file, share) in match.items():
        if share < MATCHED:
            continue
        split, number = chorale.split("/")
        theirs = np.array(grids[split][int(number)])
        tokens = GRID.encode(Piece(tables.piece(numbers[file])))
        ours = np.where(tokens == 0, -1, tokens.astype(np.int64) - 1)
        keys = {shift: np.where(ours >= 0, ours + shift, ours) for shift in (0, *range(-6, 0), *range(1, 7))}
        steps = min(len(ours), len(theirs))
        shift = max(keys, key=lambda shift: int((keys[shift][:steps] == theirs[:steps]).sum()))
        reason, cells = difference(keys[shift], theirs)
        if shift:
            reason = f"another key ({shift:+d}); besides: {reason}"
        found[reason.partition(" (")[0] if shift else reason] += 1
        rows.append((chorale, file, reason, cells, steps * 4, len(ours) - len(theirs)))
    with open(arguments.out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("chorale", "file", "difference", "differing_cells", "cells", "steps_longer"))
        writer.writerows(rows)
    print(f"{len(rows)} matched chorales")
    for reason, count in found.most_common():
        print(f"{count:5d}  {reason}")


if __name__ == "__main__":
    main()
