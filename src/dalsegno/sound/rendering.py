"""From note tables to sound: RustySynth with the soundfont that pretty_midi ships, loudness-normalised.

Not symusic's synthesizer: it plays other pitches than are written (docs/adr/0021).
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np
from symusic import core

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER, Notes
from dalsegno.sound.signal import to_mono

SAMPLE_RATE = 22050
LOUDNESS = -18.0
"""LUFS, the reference level of ReplayGain 2.0: pieces sound equally loud, whatever their number of voices."""
PEAK = 10 ** (-1 / 20)
"""-1 dBFS, which a piece with loud attacks does not pass for its loudness."""
RING_SECONDS = 1.0
CHANNELS = 15
"""Parts with an instrument of their own that one MIDI file holds, besides drums."""
QPM = 120.0  # the default of the Standard MIDI File specification
SLOWEST, FASTEST = 60e6 / (2**24 - 1), 60e6
"""Quarter notes a minute that a MIDI file can say: 24 bits of microseconds a quarter."""

Tempos = Sequence[tuple[int, float]]
"""(tick, quarter notes a minute), in order; before the first mark the tempo is `QPM`."""


def to_score(notes: Notes, tempos: Tempos = ()) -> core.ScoreTick:
    """The notes of one piece as a symusic score, one MIDI track a (track, program).

    Raises:
        ValueError: a tempo that no MIDI file can say, e.g. 0.
    """
    score = core.ScoreTick(TICKS_PER_QUARTER)
    for tick, qpm in _marks(tempos):
        score.tempos.append(core.TempoTick(tick, qpm=qpm))
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


def render(notes: Notes, tempos: Tempos = (), max_seconds: float = 20.0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """The sound of one piece: mono float32 at `LOUDNESS`, or as loud as a peak of `PEAK` allows.

    Never longer than `max_seconds`, whatever the notes ask for. The last notes ring for a second and fade. A piece
    without notes gives one second of silence.

    Args:
        rate: sample rate in Hz.

    Raises:
        ValueError: a tempo that no MIDI file can say.
    """
    heard = notes.excerpt(ticks_within(max_seconds, tempos))
    heard = heard[(heard.duration > 0) & (heard.velocity > 0)]
    if not len(heard):
        return np.zeros(rate, np.float32)
    # The renderer drops notes below its threshold of hearing; an integer keeps the relations of velocities.
    heard = replace(heard, velocity=heard.velocity * np.int16(127 // heard.velocity.max()))
    last = int(heard.end.max())
    ring = round(RING_SECONDS * _marks(tempos, last)[-1][1] / 60 * TICKS_PER_QUARTER)
    layers = [_played(layer, tempos, last + ring, rate) for layer in _files(heard)]
    sound = np.zeros(min(int(max_seconds * rate), max(map(len, layers))), np.float32)
    for layer in layers:
        sound[: len(layer)] += layer[: len(sound)]
    fade = min(int(RING_SECONDS * rate), len(sound))
    sound[len(sound) - fade :] *= np.cos(np.linspace(0, np.pi / 2, fade)).astype(np.float32) ** 2
    return normalised(sound, rate)


def _files(notes: Notes) -> Iterator[Notes]:
    """The notes in as many parts as it takes to give each (track, program) a MIDI channel of its own."""
    drums = notes.program == DRUMS
    name = np.where(drums, -1, notes.track.astype(np.int64) * 256 + notes.program)
    part = np.unique(name, return_inverse=True)[1] - bool(drums.any())
    file = np.maximum(part, 0) // CHANNELS
    for number in range(int(file.max()) + 1):
        yield notes[file == number]


def _played(notes: Notes, tempos: Tempos, end: int, rate: int) -> np.ndarray:
    """The sound of one MIDI file up to the tick `end`, mono float32."""
    import midirenderer
    import soundfile

    score = to_score(notes, tempos)
    # Nothing is heard after a file's last event.
    score.markers.append(core.TextMetaTick(end, "end"))
    content_FxC, own = soundfile.read(
        io.BytesIO(midirenderer.render_wave_from(_soundfont(), score.dumps_midi())), dtype="float32", always_2d=True
    )
    return to_mono(content_FxC, own, rate)


def normalised(sound: np.ndarray, rate: int) -> np.ndarray:
    """The sound at `LOUDNESS` (ITU-R BS.1770-4), or with a peak of `PEAK` where that is less; silence stays silence."""
    peak = float(np.abs(sound).max(initial=0))
    if not peak:
        return sound
    gain = PEAK / peak
    if math.isfinite(level := loudness(sound, rate)):
        gain = min(gain, 10 ** ((LOUDNESS - level) / 20))
    return np.asarray(sound * np.float32(gain))


def loudness(sound: np.ndarray, rate: int) -> float:
    """Integrated loudness in LUFS; -inf below the gate of BS.1770 or for less than a block of 0.4 s."""
    from pyloudnorm import Meter

    meter = Meter(rate)
    if len(sound) <= meter.block_size * rate:
        return -math.inf
    return float(meter.integrated_loudness(sound.astype(np.float64)))


def ticks_within(seconds: float, tempos: Tempos = ()) -> int:
    """How many ticks of a piece are heard in its first `seconds`."""
    marks = _marks(tempos)
    left = seconds
    for (tick, qpm), (following, _) in itertools.pairwise(marks):
        lasts = (following - tick) / TICKS_PER_QUARTER * 60 / qpm
        if lasts >= left:
            return tick + int(left * qpm / 60 * TICKS_PER_QUARTER)
        left -= lasts
    tick, qpm = marks[-1]
    return tick + int(left * qpm / 60 * TICKS_PER_QUARTER)


def _marks(tempos: Tempos, until: int | None = None) -> list[tuple[int, float]]:
    """The tempo marks from tick 0 on, those after the tick `until` left out."""
    for tick, qpm in tempos:
        if not SLOWEST <= qpm <= FASTEST:
            raise ValueError(f"a tempo of {qpm:g} quarter notes a minute (tick {tick}) is none that MIDI can say")
    marks = [(0, QPM)] if not tempos or tempos[0][0] > 0 else []
    return marks + [(tick, qpm) for tick, qpm in tempos if until is None or not tick or tick <= until]


@cache
def _soundfont() -> bytes:
    return (resources.files("pretty_midi") / "TimGM6mb.sf2").read_bytes()
