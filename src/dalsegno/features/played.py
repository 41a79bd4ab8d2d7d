"""Sequences of written notes as the field reads them: pretty_midi's piano roll and chroma, frame by frame.

Notes lie in seconds by the corpus's tempo marks. A frame of the roll holds the velocities that sound, added up over
instruments; chroma adds up octaves. Drums are left out of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dalsegno.data.notes import DRUMS
from dalsegno.data.tables import Corpus
from dalsegno.features.options import NoteChroma, NoteRoll
from dalsegno.features.windows import Window

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def columns(options: NoteChroma | NoteRoll) -> tuple[str, ...]:
    """The name of each number of a frame."""
    return PITCH_CLASSES if isinstance(options, NoteChroma) else tuple(f"pitch_{pitch}" for pitch in range(128))


def windows(corpus: Corpus, numbers: Sequence[int], options: NoteChroma | NoteRoll) -> Iterator[list[Window]]:
    """One window a piece; it has no values where no pitch sounds for a frame."""
    for number in numbers:
        midi = pretty(corpus, number)
        read = midi.get_chroma if isinstance(options, NoteChroma) else midi.get_piano_roll
        frames_TxD = read(fs=options.rate).T.astype(np.float32)[: int(options.seconds * options.rate)]
        told = "" if len(frames_TxD) else "no pitch sounds for a frame"
        yield [Window(0.0, len(frames_TxD) / options.rate, None if told else frames_TxD, told)]


def pretty(corpus: Corpus, number: int) -> PrettyMIDI:
    """A piece as pretty_midi holds it: an instrument for each track and program."""
    from pretty_midi import Instrument, Note, PrettyMIDI

    notes = corpus.piece(number)
    start = corpus.seconds_at(number, notes["start"].astype(np.int64))
    end = corpus.seconds_at(number, notes["start"].astype(np.int64) + notes["duration"])
    parts: dict[tuple[int, int], Instrument] = {}
    rows = zip(*(notes[name].tolist() for name in ("track", "program", "pitch", "velocity")), strict=True)
    for (track, program, pitch, velocity), begin, until in zip(rows, start.tolist(), end.tolist(), strict=True):
        if (track, program) not in parts:
            parts[track, program] = Instrument(program % DRUMS, is_drum=program == DRUMS)
        parts[track, program].notes.append(Note(velocity, pitch, begin, until))
    midi = PrettyMIDI()
    midi.instruments = list(parts.values())
    return midi
