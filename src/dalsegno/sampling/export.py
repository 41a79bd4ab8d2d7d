"""From note tables to what people open and hear: MIDI files and audio, the same bytes every time."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
from symusic import core

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER, Notes

SAMPLE_RATE = 22050
PEAK = 10 ** (-1 / 20)  # -1 dBFS
FADE_SECONDS = 0.5
RELEASE_SECONDS = 1.0


def to_score(notes: Notes, qpm: float = 100.0) -> core.ScoreTick:
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


def write_midi(path: Path, notes: Notes, qpm: float = 100.0) -> None:
    """Write one piece as a Standard MIDI File; a piece without notes is a file with a tempo alone."""
    Path(path).write_bytes(to_score(notes, qpm).dumps_midi())


def render(notes: Notes, qpm: float = 100.0, max_seconds: float = 20.0) -> np.ndarray:
    """The sound of one piece: mono float32 at 22.05 kHz with a peak of -1 dBFS.

    Never longer than `max_seconds`, whatever the notes ask for; a short fade ends it. A piece without notes gives one
    second of silence.
    """
    ticks = int(max_seconds * qpm / 60 * TICKS_PER_QUARTER)
    heard = notes.excerpt(ticks)
    heard = heard[heard.duration > 0]
    if not len(heard):
        return np.zeros(SAMPLE_RATE, np.float32)
    music_seconds = int(heard.end.max()) / TICKS_PER_QUARTER * 60 / qpm
    length = int(min(music_seconds + RELEASE_SECONDS, max_seconds) * SAMPLE_RATE)
    # Mono output sums the voices and may pass 1.0, so it is scaled; stereo=True would cost twice the bytes.
    sound = np.asarray(_synthesizer().render(to_score(heard, qpm), stereo=False))[0, :length].astype(np.float32)
    fade = min(int(FADE_SECONDS * SAMPLE_RATE), len(sound))
    sound[len(sound) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    peak = float(np.abs(sound).max())
    return sound * np.float32(PEAK / peak) if peak else sound


def write_audio(path: Path, notes: Notes, qpm: float = 100.0, max_seconds: float = 20.0) -> bool:
    """Write one piece as 16-bit FLAC and say whether there was anything to hear.

    FLAC and not OGG: libsndfile gives every OGG stream a random serial number.
    """
    sound = render(notes, qpm, max_seconds)
    soundfile.write(path, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return bool(sound.any())


def export(folder: Path, pieces: list[Notes], qpm: float = 100.0, max_seconds: float = 20.0) -> list[int]:
    """Write `000.mid`, `000.flac`, `001.mid`, … into `folder`; give the numbers of silent pieces."""
    silent = []
    for number, notes in enumerate(pieces):
        write_midi(Path(folder) / f"{number:03d}.mid", notes, qpm)
        if not write_audio(Path(folder) / f"{number:03d}.flac", notes, qpm, max_seconds):
            silent.append(number)
    return silent


@cache
def _synthesizer() -> core.Synthesizer:
    soundfont = files("pretty_midi") / "TimGM6mb.sf2"
    return core.Synthesizer(str(soundfont), SAMPLE_RATE, 0)
