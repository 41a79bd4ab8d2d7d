"""From note tables to what people open and hear: MIDI files and audio, the same bytes every time."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
from symusic import core

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER, Notes, join_notes, write_notes

SAMPLE_RATE = 22050
PEAK = 10 ** (-1 / 20)  # -1 dBFS
RING_SECONDS = 1.0
LEVEL_WIDTH = 8  # velocities
QPM = 120.0  # the default of the Standard MIDI File specification


def to_score(notes: Notes, qpm: float = QPM) -> core.ScoreTick:
    """The notes of one piece as a symusic score, one MIDI track a (track, program), at `qpm` quarters a minute."""
    score = core.ScoreTick(TICKS_PER_QUARTER)
    score.tempos.append(core.TempoTick(0, qpm=qpm))
    score.time_signatures.append(core.TimeSignatureTick(0, 4, 4))
    parts = np.unique(np.stack([notes.track, notes.program], axis=1), axis=0)
    for track, program in parts.tolist():
        rows = np.flatnonzero((notes.track == track) & (notes.program == program))
        rows = rows[np.lexsort((notes.duration[rows], notes.pitch[rows], notes.start[rows]))]
        drums = program == DRUMS
        part = core.TrackTick(f"Track {track + 1}", program=0 if drums else program, is_drum=drums)
        part.notes = core.NoteTickList.from_numpy(
            notes.start[rows].astype(np.int32),
            notes.duration[rows].astype(np.int32),
            notes.pitch[rows].astype(np.int8),
            notes.velocity[rows].astype(np.int8),
        )
        score.tracks.append(part)
    return score


def write_midi(path: Path, notes: Notes, qpm: float = QPM) -> None:
    """Write one piece as a Standard MIDI File; a piece without notes is a file with a tempo alone."""
    Path(path).write_bytes(to_score(notes, qpm).dumps_midi())


def render(notes: Notes, qpm: float = QPM, max_seconds: float = 20.0) -> np.ndarray:
    """The sound of one piece: mono float32 at 22.05 kHz with a peak of -1 dBFS.

    Never longer than `max_seconds`, whatever the notes ask for. The last notes ring for a second and fade. A piece
    without notes gives one second of silence.
    """

    def ticks_of(seconds: float) -> int:
        return int(seconds * qpm / 60 * TICKS_PER_QUARTER)

    heard = notes.excerpt(ticks_of(max_seconds))
    heard = heard[heard.duration > 0]
    if not len(heard):
        return np.zeros(SAMPLE_RATE, np.float32)
    # The renderer stops dead at the end of the last note: those notes are held longer, and faded.
    ringing = heard.end == heard.end.max()
    heard = replace(heard, duration=heard.duration + np.int32(ticks_of(RING_SECONDS)) * ringing)
    sound = np.zeros(int(max_seconds * SAMPLE_RATE), np.float32)
    length = 0
    # symusic 0.5.9 renders every velocity alike, so each level is rendered apart and scaled.
    levels = -(-heard.velocity // LEVEL_WIDTH) * LEVEL_WIDTH
    for level in np.unique(levels).tolist():
        layer = np.asarray(_synthesizer().render(to_score(heard[levels == level], qpm), stereo=False))[0, : len(sound)]
        sound[: len(layer)] += layer * np.float32((level / 127) ** 2)
        length = max(length, len(layer))
    sound = sound[:length]
    fade = min(int(RING_SECONDS * SAMPLE_RATE), length)
    sound[length - fade :] *= np.cos(np.linspace(0, np.pi / 2, fade)).astype(np.float32) ** 2
    peak = float(np.abs(sound).max(initial=0))
    return sound * np.float32(PEAK / peak) if peak else sound


def write_audio(path: Path, notes: Notes, qpm: float = QPM, max_seconds: float = 20.0) -> bool:
    """Write one piece as 16-bit FLAC and say whether there was anything to hear.

    FLAC and not OGG: libsndfile gives every OGG stream a random serial number.
    """
    sound = render(notes, qpm, max_seconds)
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


@cache
def _synthesizer() -> core.Synthesizer:
    soundfont = resources.files("pretty_midi") / "TimGM6mb.sf2"
    return core.Synthesizer(str(soundfont), SAMPLE_RATE, 0)
