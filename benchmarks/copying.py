"""Copying against a large training set: time to index, time a sample, memory.

    python benchmarks/copying.py results/corpora/chorales 100000
    python benchmarks/copying.py results/corpora/chorales 100000 --index index.safetensors

Floor: at most 50 ms a sample after indexing and 2 GB of memory. Times are of the processor, on one thread, so that
what else the machine does counts little. The training set is synthesised in memory by varying the real pieces of a
corpus: transposed, phrases of two bars in another order, one note in five moved by step. With `--index` it is built
where the file does not exist, and only read where it does: then the memory is that of searching alone.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dalsegno.copying.index import TrainingIndex
from dalsegno.copying.streams import BAR, Gridded, gridded
from dalsegno.data.notes import TICKS_PER_BAR, read_notes, read_piece_ids

PHRASE = 2 * BAR
SAMPLES = 100
BARS = 8
LIMIT_MS, LIMIT_GB = 50.0, 2.0


def varied(piece: Gridded, random: np.random.Generator) -> Gridded:
    """The piece with its phrases in another order, transposed, and one note in five moved by step."""
    phrase = piece.start // PHRASE
    place = np.argsort(random.permutation(int(phrase.max()) + 1)).astype(np.int32)
    shift = (place[phrase] - phrase) * np.int32(PHRASE)
    moved = (random.random(len(piece)) < 0.2) * random.choice([-2, -1, 1, 2], len(piece))
    pitch = np.clip(piece.pitch + moved + random.integers(-6, 7), 0, 127).astype(np.int16)
    start, end = piece.start + shift, piece.end + shift
    order = np.lexsort((piece.track, pitch, start))
    return Gridded(start[order], end[order], pitch[order], piece.track[order])


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of note tables")
    parser.add_argument("pieces", type=int, nargs="?", default=100_000, help="training pieces to synthesise")
    parser.add_argument("--index", type=Path, help="file to keep the index in")
    arguments = parser.parse_args()
    notes = read_notes(arguments.corpus / "notes.parquet")
    views = list(notes.pieces(range(len(read_piece_ids(arguments.corpus)))))
    random = np.random.default_rng(0)
    # A tenth of the real pieces stays unseen; samples are their beginnings, one in ten varied as a whole.
    unseen, seen = [gridded(view) for view in views[::10]], [gridded(view) for i, view in enumerate(views) if i % 10]

    def training() -> Iterator[Gridded]:
        for number in range(arguments.pieces):
            yield varied(seen[number % len(seen)], random)

    start = time.process_time()
    if arguments.index and arguments.index.exists():
        index = TrainingIndex.load(arguments.index)
        done = "reading the index"
    else:
        index = TrainingIndex.of(training())
        done = "synthesis and indexing"
    spent = time.process_time() - start
    tokens = sum(len(one) for one in index.suffixes.values())
    print(f"{len(index):,} pieces, {len(index.notes['start']):,} notes, {tokens:,} tokens")
    print(f"{done} {spent:.1f} s of processor time, peak memory {peak_gb():.2f} GB")
    if arguments.index and not arguments.index.exists():
        index.save(arguments.index)
    samples = [gridded(views[i * 10 % len(views)].excerpt(BARS * TICKS_PER_BAR)) for i in range(SAMPLES)]
    samples[::10] = [varied(unseen[i % len(unseen)], random) for i in range(len(samples[::10]))]
    index.search(samples[0])
    seconds = []
    for sample in samples:
        start = time.process_time()
        index.search(sample)
        seconds.append(time.process_time() - start)
    milliseconds = 1000 * np.array(seconds)
    median, slow = np.quantile(milliseconds, [0.5, 0.95])
    print(f"a sample of {BARS} bars: median {median:.1f} ms, 95 % {slow:.1f} ms")
    print(f"peak memory {peak_gb():.2f} GB")
    held = median <= LIMIT_MS and peak_gb() <= LIMIT_GB
    print(f"at most {LIMIT_MS:g} ms and {LIMIT_GB:g} GB: {'held' if held else 'MISSED'}")
    raise SystemExit(not held)


if __name__ == "__main__":
    main()
