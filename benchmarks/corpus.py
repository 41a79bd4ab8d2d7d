"""Seconds and peak memory of building a corpus from many MIDI files, against a bare load of them by symusic.

The files vary real ones: transposed by -5 to +6 semitones, tempo scaled by 0.8 to 1.25, a tenth of the notes dropped.

    python benchmarks/corpus.py FOLDER_OF_MIDI_FILES --count 10000
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
import symusic

from dalsegno.data import corpus
from dalsegno.data.options import FolderSource


def synthesise(originals: list[Path], count: int, folder: Path) -> None:
    """Write `count` variants; each depends on its number alone."""
    for number in range(count):
        random = np.random.default_rng(number)
        score = symusic.Score(originals[number % len(originals)])
        shift, stretch = int(random.integers(-5, 7)), float(random.uniform(0.8, 1.25))
        for track in score.tracks:
            notes = track.notes.numpy()
            kept = random.random(len(notes["time"])) >= 0.1
            if not track.is_drum:
                notes["pitch"] = np.clip(notes["pitch"].astype(np.int16) + shift, 0, 127).astype(np.int8)
            columns = [notes[name][kept] for name in ("time", "duration", "pitch", "velocity")]
            track.notes = symusic.core.NoteTickList.from_numpy(*columns)
        for tempo in score.tempos:
            tempo.qpm *= stretch
        target = folder / f"{number % 100:02}" / f"{number:06}.mid"
        target.parent.mkdir(exist_ok=True)
        score.dump_midi(target)


def build(folder: Path, jobs: int) -> None:
    """Build the corpus in this process and print seconds and the peak memory of it and of its largest worker."""
    with tempfile.TemporaryDirectory() as out:
        begun = time.perf_counter()
        corpus.build(FolderSource(kind="folder", path=str(folder)), 0.5, Path(out), jobs)
        seconds = time.perf_counter() - begun
    own = resource.getrusage(resource.RUSAGE_SELF)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime
    print(
        f"build: {seconds:.1f} s, {cpu:.1f} s of CPU, peak {own.ru_maxrss / 1024:.0f} MiB, "
        f"largest worker {workers.ru_maxrss / 1024:.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path, help="folder of real MIDI files")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--build", action="store_true", help="only build the corpus of this folder")
    arguments = parser.parse_args()
    if arguments.build:
        return build(arguments.originals, arguments.jobs)
    with tempfile.TemporaryDirectory() as name:
        synthesise(sorted(arguments.originals.rglob("*.mid")), arguments.count, Path(name))
        files = sorted(Path(name).rglob("*.mid"))
        begun = time.process_time()
        for file in files:
            symusic.Score(file)
        bare = time.process_time() - begun
        print(f"{len(files)} files; symusic alone: {bare:.2f} s of CPU, {1e3 * bare / len(files):.3f} ms a file")
        # A process of its own: the peak is the build's, not that of the synthesis.
        subprocess.run([sys.executable, __file__, name, "--build", "--jobs", str(arguments.jobs)], check=True)


if __name__ == "__main__":
    main()
