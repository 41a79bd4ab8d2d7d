"""Which metrics of a piece tell real music from shuffled music and from noise, on each archive of MIDI files.

    python benchmarks/controls.py nottingham.zip pop909.zip > controls.md

Half of the pieces stand for training music, half are held out; pieces that share a melody stay together. Each piece is
cut to its first sixteen bars. The verdict is that of the studies (`dalsegno.metrics.discrimination`).
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
from symusic import Score

from dalsegno.data import families
from dalsegno.data.melodies import melody, related
from dalsegno.data.notes import DRUMS, TICKS_PER_BAR, Notes, make_notes
from dalsegno.metrics import bootstrap
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.control import noise, shuffle
from dalsegno.metrics.discrimination import verdict
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import METRICS, load_metric
from dalsegno.metrics.rows import Identity

BARS = 16
LARGEST = 400
RESAMPLES = 2000


def read(path: Path) -> list[Notes]:
    """At most `LARGEST` pieces of an archive, evenly spaced among its files."""
    pieces = []
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".mid", ".midi")))
        for i in np.unique(np.linspace(0, len(names) - 1, LARGEST).astype(int)).tolist():
            score = Score.from_midi(archive.read(names[i])).resample(480, min_dur=1)
            rows = [
                (number, DRUMS if track.is_drum else track.program, note.time, note.duration, note.pitch)
                for number, track in enumerate(score.tracks)
                for note in track.notes
            ]
            if rows:
                columns = zip(*sorted(rows), strict=True)
                pieces.append(
                    make_notes(**dict(zip(("track", "program", "start", "duration", "pitch"), columns, strict=True)))
                )
    return pieces


def verdicts(pieces: list[Notes]) -> dict[str, str]:
    """What each metric of a piece does not tell apart; an empty string where the controls stand in order."""
    columns = ("program", "start", "duration", "pitch")
    melodies = [melody({name: getattr(piece, name) for name in columns}) for piece in pieces]
    family = families.components(len(pieces), related(melodies))
    in_train = np.random.default_rng(0).permutation(len(pieces))[family] % 2 == 0
    cut = [piece.excerpt(BARS * TICKS_PER_BAR) for piece in pieces]
    held_out = np.flatnonzero(~in_train).tolist()
    real = [cut[i] for i in held_out]
    sets = {
        "train": [cut[i] for i in np.flatnonzero(in_train).tolist()],
        "held_out": real,
        "shuffled": [shuffle(piece, np.random.default_rng([0, i])) for i, piece in enumerate(real)],
        "noise": [noise(piece, np.random.default_rng([0, i])) for i, piece in enumerate(real)],
    }
    tables = {name: Pieces.of(music) for name, music in sets.items()}
    result = {}
    for name in METRICS:
        metric = load_metric(name)
        if not isinstance(metric, PieceMetric) or name.endswith("_compat"):
            continue
        rows = []
        for model, table in tables.items():
            names = [str(family[i]) for i in (held_out if model != "train" else np.flatnonzero(in_train).tolist())]
            estimate = bootstrap.mean(metric.values(table), 0, RESAMPLES, names)
            rows.append(Identity(study="", dataset="", model=model).row(name, metric.unit, estimate))
        result[name] = verdict(rows)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, nargs="+", help="zip files of MIDI files")
    table = {path.stem: verdicts(read(path)) for path in parser.parse_args().archives}
    print("|", " | ".join(["metric", *table]), "|")
    print("|", " | ".join(["---"] * (1 + len(table))), "|")
    for name in next(iter(table.values())):
        print("|", " | ".join([f"`{name}`", *(column[name] or "in order" for column in table.values())]), "|")


if __name__ == "__main__":
    main()
