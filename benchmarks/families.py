"""Seconds and peak memory of families and split, against aligning all pairs.

Half of the pieces are copies of real ones, transposed by -5 to +6 semitones with a tenth of the notes dropped; half are
made of bars of real ones, each bar from another piece, so that their phrases are as commonplace as in real music.

    python benchmarks/families.py FOLDER_OF_MIDI_FILES --count 10000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dalsegno.data import families, near_duplicates, split
from dalsegno.data.notes import SCHEMA, TICKS_PER_BAR
from dalsegno.data.options import FamilyOptions, FamilySplit
from dalsegno.data.read_midi import read
from dalsegno.data.tables import METERS, NOTE_COLUMNS, PIECES, TEMPOS, Corpus, write_table

START, PITCH = NOTE_COLUMNS.index("start"), NOTE_COLUMNS.index("pitch")
PAIRS = 2000


def synthesise(originals: list[np.ndarray], number: int) -> np.ndarray:
    """The notes (int32 [n, 6]) of one piece; they depend on its number alone."""
    random = np.random.default_rng(number)
    notes = originals[int(random.integers(len(originals)))]
    if number % 2:
        notes = notes[random.random(len(notes)) >= 0.1].copy()
    else:
        bars = []
        for bar in range(int(notes[:, START].max()) // TICKS_PER_BAR + 1):
            other = originals[int(random.integers(len(originals)))]
            place = int(random.integers(int(other[:, START].max()) // TICKS_PER_BAR + 1))
            chosen = other[other[:, START] // TICKS_PER_BAR == place].copy()
            chosen[:, START] += (bar - place) * TICKS_PER_BAR
            bars.append(chosen)
        notes = np.concatenate(bars)
    notes[:, PITCH] = np.clip(notes[:, PITCH] + random.integers(-5, 7), 0, 127)
    return notes


def write_corpus(originals: list[np.ndarray], count: int, folder: Path) -> None:
    pieces = []
    with pq.ParquetWriter(folder / "notes.parquet", SCHEMA) as writer:
        for number in range(count):
            notes = synthesise(originals, number)
            columns = {name: notes[:, i] for i, name in enumerate(NOTE_COLUMNS)}
            columns["piece"] = np.full(len(notes), number)
            if len(pieces) % 1000 == 0:
                group: list[dict[str, np.ndarray]] = []
            group.append(columns)
            name = f"{number:06}"
            pieces.append(
                {
                    "piece": name,
                    "source": name,
                    "sha256": name,
                    "title": "",
                    "tracks": len(np.unique(columns["track"])),
                    "notes": len(notes),
                    "end": int(notes[:, START].max(initial=0)),
                    "licence": "unknown",
                }
            )
            if len(group) == 1000 or number == count - 1:
                arrays = [np.concatenate([one[field.name] for one in group]) for field in SCHEMA]
                fields = zip(arrays, SCHEMA, strict=True)
                writer.write_table(pa.table([pa.array(x).cast(field.type) for x, field in fields], SCHEMA))
    write_table(folder / "pieces.parquet", pa.Table.from_pylist(pieces, PIECES))
    write_table(folder / "meters.parquet", METERS.empty_table())
    write_table(folder / "tempos.parquet", TEMPOS.empty_table())


def build(folder: Path) -> None:
    """Families and split of the corpus in this process: seconds, peak memory, and what all pairs would take."""
    begun = time.process_time()
    families.build(FamilyOptions(), folder, folder / "families")
    found = time.process_time() - begun
    split.build(FamilySplit(kind="family"), folder, folder / "families", folder / "split.csv")
    divided = time.process_time() - begun - found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    corpus, random = Corpus(folder), np.random.default_rng(0)
    count = len(corpus)
    chosen = [random.choice(count, 2, replace=False).tolist() for _ in range(PAIRS)]
    outlines = {i: near_duplicates.outline(corpus.piece(i)) for pair in chosen for i in pair}
    begun = time.process_time()
    for i, j in chosen:
        near_duplicates.align(outlines[i], outlines[j], FamilyOptions().near or 0)
    pair = (time.process_time() - begun) / PAIRS
    everything = pair * count * (count - 1) / 2
    rows = split.read(folder / "split.csv")
    crossing = len({(row.family, row.split) for row in rows}) - len({row.family for row in rows})
    print(
        f"{count} pieces, {len(corpus.notes['start']) / count:.0f} notes each, {len({row.family for row in rows})} "
        f"families, {crossing} on two sides; families {found:.1f} s of CPU ({1e3 * found / count:.2f} ms a piece), "
        f"split {divided:.1f} s, peak {peak:.0f} MiB; all pairs ({1e3 * pair:.3f} ms each) {everything:.0f} s, "
        f"{everything / found:.0f} times as long"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path, help="folder of real MIDI files")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--build", action="store_true", help="only work on the corpus in this folder")
    arguments = parser.parse_args()
    if arguments.build:
        return build(arguments.originals)
    with tempfile.TemporaryDirectory() as name:
        originals = [read(path).notes for path in sorted(arguments.originals.rglob("*.mid"))]
        write_corpus([notes for notes in originals if len(notes)], arguments.count, Path(name))
        # A process of its own: the peak is not that of the synthesis.
        subprocess.run([sys.executable, __file__, name, "--build"], check=True)


if __name__ == "__main__":
    main()
