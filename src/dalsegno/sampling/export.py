"""From note tables to what people open and hear: MIDI files and audio, the same bytes every time."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import soundfile

from dalsegno.data.notes import Notes, join_notes, write_notes
from dalsegno.sound.rendering import QPM, SAMPLE_RATE, render, to_score


def write_midi(path: Path, notes: Notes, qpm: float = QPM) -> None:
    """Write one piece as a Standard MIDI File; a piece without notes is a file with a tempo alone."""
    Path(path).write_bytes(to_score(notes, [(0, qpm)]).dumps_midi())


def write_audio(path: Path, notes: Notes, qpm: float = QPM, max_seconds: float = 20.0) -> bool:
    """Write one piece as 16-bit FLAC and say whether there was anything to hear.

    FLAC and not OGG: libsndfile gives every OGG stream a random serial number.
    """
    sound = render(notes, [(0, qpm)], max_seconds)
    soundfile.write(path, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return bool(sound.any())


def files(folder: Path, count: int) -> list[Path]:
    """What `write` writes for `count` pieces: `notes.parquet`, then `000.mid`, `000.flac`, `001.mid`, …"""
    pieces = [Path(folder) / f"{number:03d}.{ending}" for number in range(count) for ending in ("mid", "flac")]
    return [Path(folder) / "notes.parquet", *pieces]


def write(folder: Path, pieces: list[Notes], seconds: float = 20.0, qpm: Sequence[float] = ()) -> list[int]:
    """Write a set of pieces, as one note table and each as MIDI and audio; give the numbers of silent pieces.

    Args:
        qpm: the tempo of each piece; by default 120.
    """
    write_notes(Path(folder) / "notes.parquet", join_notes(pieces))
    silent = []
    for number, (notes, tempo) in enumerate(zip(pieces, qpm or [QPM] * len(pieces), strict=True)):
        write_midi(Path(folder) / f"{number:03d}.mid", notes, tempo)
        if not write_audio(Path(folder) / f"{number:03d}.flac", notes, tempo, seconds):
            silent.append(number)
    return silent


def write_repairs(path: Path, pieces: Sequence[Mapping[str, int]]) -> None:
    """Write what had to be mended in each piece's tokens (piece, repair, count); only a header where nothing had."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("piece", "repair", "count"))
        writer.writerows((number, *one) for number, repairs in enumerate(pieces) for one in sorted(repairs.items()))
