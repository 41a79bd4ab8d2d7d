"""The 57 features of rendered pieces: one shared spectrum and two processes against a plain loop over librosa.

    python benchmarks/features.py nottingham.zip

Pieces are rendered first, untimed, and heard for ten seconds each. The plain loop is what notebooks on GTZAN do: one
librosa function after the other on the samples. Rounds alternate; times are the best of the rounds, values are compared
piece by piece.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
import zipfile
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import librosa
import numpy as np
from symusic import Score

from dalsegno.data.notes import DRUMS, make_notes
from dalsegno.data.quarantine import call_in_workers
from dalsegno.features.gtzan import COLUMNS, summary
from dalsegno.sound.rendering import render

RATE = 22050


def sounds(archive: Path, count: int, seconds: float) -> list[np.ndarray]:
    """Rendered pieces of an archive of MIDI files, evenly spaced among its files."""
    found = []
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.lower().endswith((".mid", ".midi")))
        for i in np.unique(np.linspace(0, len(names) - 1, count).astype(int)).tolist():
            score = Score.from_midi(opened.read(names[i])).resample(480, min_dur=1)
            rows = [
                (DRUMS if track.is_drum else track.program, note.time, note.duration, note.pitch, note.velocity)
                for track in score.tracks
                for note in track.notes
            ]
            if rows:
                columns = ("program", "start", "duration", "pitch", "velocity")
                notes = make_notes(**dict(zip(columns, zip(*rows, strict=True), strict=True)))
                found.append(render(notes, max_seconds=seconds, rate=RATE))
    return found


def plain(sound: np.ndarray) -> np.ndarray:
    """The same columns by one librosa function after the other."""
    feature = librosa.feature
    harmonic, percussive = librosa.decompose.hpss(librosa.stft(sound, pad_mode="reflect"))
    parts = [
        feature.chroma_stft(y=sound, sr=RATE, pad_mode="reflect"),
        feature.rms(y=sound, pad_mode="reflect"),
        feature.spectral_centroid(y=sound, sr=RATE, pad_mode="reflect"),
        feature.spectral_bandwidth(y=sound, sr=RATE, pad_mode="reflect"),
        feature.spectral_rolloff(y=sound, sr=RATE, pad_mode="reflect"),
        feature.zero_crossing_rate(sound),
        librosa.util.fix_length(librosa.istft(harmonic), size=len(sound)),
        librosa.util.fix_length(librosa.istft(percussive), size=len(sound)),
    ]
    values = [moment for part in parts for moment in (np.mean(part), np.var(part))]
    onsets = librosa.onset.onset_strength(y=sound, sr=RATE, aggregate=np.median, pad_mode="reflect")
    values.append(feature.tempo(onset_envelope=onsets, sr=RATE)[0])
    for row in feature.mfcc(y=sound, sr=RATE, n_mfcc=20, pad_mode="reflect"):
        values += [np.mean(row), np.var(row)]
    return np.array(values, np.float32)


def shared(pieces: list[np.ndarray], jobs: int) -> np.ndarray:
    results = dict(call_in_workers("dalsegno.features.gtzan:summary", [(piece, RATE) for piece in pieces], jobs, 300.0))
    return np.array([results[i] for i in range(len(pieces))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    pieces = sounds(arguments.archive, arguments.pieces, arguments.seconds)
    total = sum(map(len, pieces)) / RATE
    print(f"{len(pieces)} pieces of {arguments.archive.name}, {total:.0f} s of sound; peak, loudest and softest:")
    peaks = [float(np.abs(piece).max()) for piece in pieces]
    print(f"  {max(peaks):.3f}, {min(peaks):.3f}")
    plain(pieces[0]), summary(pieces[0], RATE)
    best: dict[str, float] = {}
    ways = {
        "plain loop": lambda: np.array([plain(piece) for piece in pieces]),
        "shared spectrum, one process": lambda: np.array([summary(piece, RATE) for piece in pieces]),
        "shared spectrum, two processes": lambda: shared(pieces, 2),
    }
    results = {}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            begun = time.perf_counter()
            results[name] = way()
            best[name] = min(best.get(name, np.inf), time.perf_counter() - begun)
    for name, seconds in best.items():
        print(f"{name:32s} {seconds:7.1f} s   {seconds / best['plain loop']:.3f} x plain")
    reference = results["plain loop"]
    for name, values in results.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.where(values == reference, 0, np.abs(values - reference) / np.abs(reference))
        worst = apart.max(axis=0)
        print(f"{name:32s} largest relative difference {worst.max():.1e} ({COLUMNS[int(worst.argmax())]})")


if __name__ == "__main__":
    main()
