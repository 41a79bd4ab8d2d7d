"""Seconds of CPU and peak memory of corpus, families and split as a corpus grows, against symusic alone and all pairs.

The pieces are MIDI files that vary real ones. Half are copies, transposed by -5 to +6 semitones with a tenth of the
notes dropped; half are made of bars of real ones, each bar from another piece, so that their phrases are as commonplace
as in real music. Each piece depends on its number alone.

    python benchmarks/scale.py FOLDER_OF_MIDI_FILES --count 1000 10000 100000 --folder SCRATCH

Every stage runs in a process of its own, so that its peak memory is its own. One line of CSV a count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from dalsegno.data import corpus, families, near_duplicates, split
from dalsegno.data.notes import DRUMS, TICKS_PER_BAR, TICKS_PER_QUARTER
from dalsegno.data.options import FamilyOptions, FamilySplit, FolderSource
from dalsegno.data.read_midi import read
from dalsegno.data.tables import NOTE_COLUMNS, Corpus

TRACK, START, PITCH, DURATION, PROGRAM, VELOCITY = range(len(NOTE_COLUMNS))
PAIRS, BLOCK = 4000, 400
"""Pairs drawn to estimate the time of all, and how many are aligned at once."""


def synthesise(originals: list[np.ndarray], number: int) -> np.ndarray:
    """The notes (int32 [n, 6]) of one piece."""
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
    notes[:, PITCH] = np.clip(notes[:, PITCH] + random.integers(-5, 7) * (notes[:, PROGRAM] != DRUMS), 0, 127)
    return notes


def dump(notes: np.ndarray, path: Path) -> None:
    score = symusic.Score(TICKS_PER_QUARTER)
    score.tempos.append(symusic.Tempo(0, 120.0))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for number in np.unique(notes[:, TRACK]).tolist():
        rows = notes[notes[:, TRACK] == number]
        program = int(rows[0, PROGRAM])
        track = symusic.Track(str(number), program % DRUMS, program == DRUMS)
        columns = [np.ascontiguousarray(rows[:, column]) for column in (START, DURATION, PITCH, VELOCITY)]
        kinds = (np.int32, np.int32, np.int8, np.int8)
        track.notes = symusic.core.NoteTickList.from_numpy(
            *(column.astype(kind) for column, kind in zip(columns, kinds, strict=True))
        )
        score.tracks.append(track)
    score.dump_midi(path)


def write_files(originals: Path, count: int, folder: Path) -> None:
    pieces = [read(path).notes for path in sorted(originals.rglob("*.mid"))]
    for number in range(count):
        target = folder / f"{number // 1000:03}" / f"{number:06}.mid"
        target.parent.mkdir(parents=True, exist_ok=True)
        dump(synthesise(pieces, number), target)


def load_alone(folder: Path) -> dict[str, float]:
    """Bare loads by symusic and the reader's work, file by file in one process; the best of three, a file."""
    files = sorted(folder.rglob("*.mid"))[:2000]
    found = {}
    for name, load in (("symusic", symusic.Score), ("read", read)):
        seconds = []
        for _ in range(3):
            begun = time.process_time()
            for file in files:
                load(file)
            seconds.append(time.process_time() - begun)
        found[f"{name}_ms"] = 1e3 * min(seconds) / len(files)
    return found


def build_corpus(folder: Path, shards: int) -> dict[str, float]:
    source, out = FolderSource(kind="folder", path=str(folder / "files")), folder / "corpus"
    if shards == 1:
        corpus.build(source, 0.0, out, jobs=1)
        return {}
    parts = [folder / "shards" / str(number) for number in range(shards)]
    for number, part in enumerate(parts):
        corpus.build_shard(source, number, shards, part)
    corpus.join_shards(source, parts, 0.0, out)
    return {}


def find_families(folder: Path) -> dict[str, float]:
    families.build(FamilyOptions(), folder / "corpus", folder / "families")
    return {}


def divide(folder: Path) -> dict[str, float]:
    split.build(FamilySplit(kind="family"), folder / "corpus", folder / "families", folder / "split.csv")
    rows = split.read(folder / "split.csv")
    groups = {row.family for row in rows}
    return {"families": len(groups), "crossing": len({(row.family, row.split) for row in rows}) - len(groups)}


def all_pairs(folder: Path) -> dict[str, float]:
    """CPU seconds that it would take to align all pairs, from pairs drawn at random."""
    tables, random = Corpus(folder / "corpus"), np.random.default_rng(0)
    count = len(tables)
    with tempfile.TemporaryDirectory() as scratch:
        tonal = near_duplicates.Tonal(Path(scratch))
        for begin, size, columns in tables.blocks(families.BLOCK):
            tonal.add(columns["piece"].astype(np.int64) - begin, size, columns)
        tonal.close()
        seconds = 0.0
        for _ in range(PAIRS // BLOCK):
            pieces = random.permutation(count)[: 2 * BLOCK] if count >= 2 * BLOCK else np.arange(count)
            pairs = random.permutation(len(pieces) // 2 * 2).reshape(-1, 2)
            outlines = tonal.outlines(pieces)
            begun = time.process_time()
            near_duplicates.align(outlines, pairs, FamilyOptions().near or 0)
            seconds += (time.process_time() - begun) / len(pairs)
    return {"all_pairs": seconds / (PAIRS // BLOCK) * count * (count - 1) / 2, "notes": float(tables.offsets[-1])}


STAGES = {"load": load_alone, "corpus": build_corpus, "families": find_families, "split": divide, "pairs": all_pairs}


def measured(stage: str, folder: Path, *more: int) -> dict[str, Any]:
    """What a stage says, with its CPU seconds, wall seconds and peak memory in MiB."""
    command = [sys.executable, __file__, str(folder), "--stage", stage, *(f"--shards={one}" for one in more)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_stage(stage: str, folder: Path, shards: int) -> None:
    begun = time.perf_counter()
    found = build_corpus(folder, shards) if stage == "corpus" else STAGES[stage](folder)  # type: ignore[operator]
    wall = time.perf_counter() - begun
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in both)
    peak = max(one.ru_maxrss for one in both) / 1024
    print(json.dumps({**found, "cpu": cpu, "wall": wall, "mib": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path, help="folder of real MIDI files")
    parser.add_argument("--count", type=int, nargs="+", default=[1000])
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="scratch; files that lie there already are used again")
    parser.add_argument("--stage", choices=list(STAGES), help="only this stage, of the files in the folder given first")
    arguments = parser.parse_args()
    if arguments.stage:
        return run_stage(arguments.stage, arguments.originals, arguments.shards)
    with tempfile.TemporaryDirectory() as name:
        for index, count in enumerate(arguments.count):
            folder = (arguments.folder or Path(name)) / str(count)
            if not (folder / "files").exists():
                write_files(arguments.originals, count, folder / "partial")
                os.replace(folder / "partial", folder / "files")
            row: dict[str, Any] = {"pieces": count}
            for stage in STAGES:
                told = measured(stage, folder, arguments.shards)
                row |= {key if key in ("families", "crossing") else f"{stage}_{key}": v for key, v in told.items()}
            row["all_pairs_times"] = row["pairs_all_pairs"] / row["families_cpu"]
            if index == 0:
                print(",".join(row))
            print(
                ",".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()),
                flush=True,
            )


if __name__ == "__main__":
    main()
