"""Which metrics tell real music from shuffled music and from noise, on each corpus, by the controls of the studies.

    python benchmarks/controls.py results/real/jsb results/real/nottingham > controls.md

Folders as benchmarks/real_music.py builds them. At most 400 pieces of each, their first sixteen bars; families as the
stage `families` finds them, a half of them training music, a quarter valid, a quarter test. Distances and numbers of
sets are of 64 pieces. The verdict is that of the studies (`dalsegno.metrics.discrimination`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import redirect_stdout
from itertools import groupby
from pathlib import Path

import numpy as np

from dalsegno.data import families, split
from dalsegno.data.excerpts import read_families, read_whole
from dalsegno.data.notes import read_piece_ids
from dalsegno.data.options import FamilyOptions, FamilySplit
from dalsegno.embedding.fitting import fit
from dalsegno.embedding.options import EncoderOptions
from dalsegno.metrics.control import control
from dalsegno.metrics.discrimination import verdict
from dalsegno.metrics.registry import METRICS

BARS = 16
LARGEST = 400
COUNT = 64
RESAMPLES = 2000
SIGNS = {"": "✓", "shuffled": "s", "noise": "n", "shuffled and noise": "sn", "undefined": "–"}


def verdicts(corpus: Path) -> dict[str, str]:
    """What each metric does not tell apart, as in `SIGNS`."""
    names = [name for name in METRICS if not name.endswith("_compat")]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        families.build(FamilyOptions(), corpus, folder)
        split.build(FamilySplit(kind="family", valid=0.25, test=0.25), corpus, folder, folder / "all.csv")
        ids = read_piece_ids(corpus)
        kept = {ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, LARGEST).astype(int)).tolist()}
        head, *lines = (folder / "all.csv").read_text().splitlines()
        chosen = [line for line, row in zip(lines, split.read(folder / "all.csv"), strict=True) if row.piece in kept]
        (folder / "split.csv").write_text("\n".join([head, *chosen]) + "\n")
        rest = corpus, folder / "split.csv"
        try:
            encoder, _ = fit(EncoderOptions(), read_whole(*rest)["train"], read_families(*rest)["train"])
            encoder.save(folder / "encoder.safetensors")
        except ValueError:
            # Drums alone have no pitches to embed.
            names.remove("embedding_frechet_distance")
        rows, _ = control(*rest, names, "", corpus.name, BARS, COUNT, RESAMPLES, encoder=folder / "encoder.safetensors")
    rows.sort(key=lambda row: names.index(row.metric))
    return {name: SIGNS[verdict(mine)] for name, mine in groupby(rows, key=lambda row: row.metric)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+", help="corpus folders")
    table = {}
    for path in parser.parse_args().corpora:
        # The families tell of their progress; what is printed here is the table.
        with redirect_stdout(sys.stderr):
            table[path.name] = verdicts(path)
        print(path.name, file=sys.stderr, flush=True)
    names = [name for name in METRICS if any(name in column for column in table.values())]
    print("|", " | ".join(["metric", *table]), "|")
    print("|", " | ".join(["---"] * (1 + len(table))), "|")
    none = []
    for name in names:
        signs = [column.get(name, SIGNS["undefined"]) for column in table.values()]
        if SIGNS[""] in signs:
            print("|", " | ".join([f"`{name}`", *signs]), "|")
        else:
            none.append(f"`{name}`")
    print("\nIn order on none of them:", ", ".join(none))


if __name__ == "__main__":
    main()
