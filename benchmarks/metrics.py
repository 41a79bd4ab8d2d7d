"""How long all metrics of a piece take, and MusPy's three slow ones beside ours.

    OPENBLAS_NUM_THREADS=1 .venv/bin/python benchmarks/metrics.py [corpora …] [--muspy-python /tmp/muspy/bin/python]

Without a corpus folder (of `dalsegno`, e.g. results/corpora/chorales, or of benchmarks/real_music.py), a thousand
invented chorales are measured. Each corpus gives an equal share, evenly spaced among its pieces; where there are not
enough, they are repeated, each time transposed by a semitone more. MusPy is no
dependency: its column is left out unless the interpreter named can import it (`python3 -m venv /tmp/muspy`,
`/tmp/muspy/bin/pip install muspy==0.5.0`). Times are of the process (CPU), the best of several runs; loading (reading
Parquet, making the objects of MusPy) is not counted. One thread for BLAS, since threads that wait for a busy core count
as process time, too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from dalsegno.data.notes import Notes, make_notes, read_notes, read_piece_ids
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import METRICS, load_metric

PIECES = 1000
RUNS = 7
SHOWN = 12
SLOW = ("polyphony", "polyphony_rate", "scale_consistency")
MUSPY_PIECES = 50
MUSPY_PROGRAM = """
import json, sys, time
import muspy
pieces = []
for notes in json.load(open(sys.argv[1])):
    tracks = {}
    for track, program, start, duration, pitch in notes:
        tracks.setdefault((track, program), []).append(muspy.Note(start, pitch, duration, 80))
    pieces.append(muspy.Music(resolution=480, tracks=[
        muspy.Track(program=min(program, 127), is_drum=program == 128, notes=mine)
        for (_, program), mine in tracks.items()]))
times = {}
for name in sys.argv[2:]:
    began = time.process_time()
    for music in pieces:
        getattr(muspy, name)(music)
    times[name] = (time.process_time() - began) / len(pieces)
print(json.dumps(times))
"""


def invented_chorale(seed: int) -> Notes:
    """Four voices in quarters and eighths over 16 bars, some 270 notes as a chorale has."""
    random = np.random.default_rng(seed)
    durations = random.choice([240, 480, 480, 960], (4, 67))
    start = np.cumsum(durations, axis=1) - durations
    degrees = np.cumsum(random.choice([-2, -1, -1, 0, 1, 1, 2], durations.shape), axis=1) % 14
    pitch = np.array([67, 60, 55, 43])[:, None] + np.array([0, 2, 4, 5, 7, 9, 11])[degrees % 7] + 12 * (degrees // 7)
    track = np.repeat(np.arange(4), durations.shape[1])
    return make_notes(track=track, start=start.ravel(), duration=durations.ravel(), pitch=pitch.ravel())


def music(corpora: list[Path]) -> Pieces:
    if not corpora:
        return Pieces.of([invented_chorale(seed) for seed in range(PIECES)])
    chosen: list[Notes] = []
    for share, corpus in zip(np.diff(np.arange(len(corpora) + 1) * PIECES // len(corpora)), corpora, strict=True):
        pieces = list(read_notes(corpus / "notes.parquet").pieces(range(len(read_piece_ids(corpus)))))
        for i in range(0, int(share), len(pieces)):
            part = min(int(share) - i, len(pieces))
            some = [pieces[at] for at in (np.arange(part) * len(pieces) // part).tolist()]
            chosen += [replace(piece, pitch=np.minimum(piece.pitch + i // len(pieces), 127)) for piece in some]
    return Pieces.of(chosen)


def best(run: Callable[[], object]) -> float:
    """CPU seconds of the fastest run."""
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def muspy_times(python: str, pieces: Pieces) -> dict[str, float]:
    """CPU seconds a piece of each of `SLOW`, of evenly spaced pieces; empty where MusPy cannot be imported."""
    if subprocess.run([python, "-c", "import muspy"], capture_output=True).returncode:
        return {}
    rows = [
        np.stack([piece.track, piece.program, piece.start, piece.duration, piece.pitch], axis=1).tolist()
        for piece in pieces[:: max(len(pieces) // MUSPY_PIECES, 1)]
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(rows, file)
        file.flush()
        command = [python, "-c", MUSPY_PROGRAM, file.name, *SLOW]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(result.stdout)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="*")
    parser.add_argument("--muspy-python", default=sys.executable)
    arguments = parser.parse_args()
    loaded = music(arguments.corpora)
    metrics = {name: metric for name in METRICS if isinstance(metric := load_metric(name), PieceMetric)}

    def fresh() -> Pieces:
        return Pieces(loaded.notes, len(loaded))

    def measure_all(names: list[str]) -> None:
        pieces = fresh()
        for name in names:
            metrics[name].values(pieces)

    own = [name for name in metrics if not name.endswith("_compat")]
    total, everything = best(lambda: measure_all(own)), best(lambda: measure_all(list(metrics)))
    print(f"{PIECES} pieces, {len(loaded.notes)} notes")
    print(f"all {len(own)} metrics: {total / PIECES * 1e3:.3f} ms a piece")
    print(f"with the {len(metrics) - len(own)} compat forms: {everything / PIECES * 1e3:.3f} ms a piece")
    alone = {name: best(lambda name=name: measure_all([name])) / PIECES for name in own}
    print(f"the {SHOWN} slowest, each alone (together they share columns):")
    for name in sorted(own, key=alone.__getitem__, reverse=True)[:SHOWN]:
        print(f"  {name:28s} {alone[name] * 1e6:7.1f} µs a piece")
    muspy = muspy_times(arguments.muspy_python, loaded)
    if not muspy:
        print(f"no MusPy in {arguments.muspy_python}: its column is left out (see --help)")
    for name, seconds in muspy.items():
        ours = best(lambda name=name: measure_all([f"{name}_compat"])) / PIECES
        print(
            f"  {name:28s} MusPy {seconds * 1e3:7.3f} ms, ours {ours * 1e6:6.1f} µs: {seconds / ours:5.0f} times faster"
        )
    if muspy:
        three = best(lambda: measure_all([f"{name}_compat" for name in SLOW])) / PIECES
        print(f"  the three together           {sum(muspy.values()) / three:5.0f} times faster")


if __name__ == "__main__":
    main()
