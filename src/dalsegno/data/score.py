"""What music21's scores say, as the tables hold it; shared by the readers of scores."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.data.tables import LAST_TICK, Music

VELOCITY = 80
"""Scores carry no velocities; 80 is the usual mezzo-forte."""


def to_music(score: Any, title: str, labels: Sequence[tuple[str, str]] = ()) -> Music:
    """All parts of a score with their programs, repeats played; parts without notes are dropped.

    Repeats are played only where music21 can expand them in every part to one length; else the score is read as it is
    written.

    Raises:
        ValueError: no note sounds, or a number is beyond what the tables hold.
    """
    parts = _played(list(score.parts) or [score])
    notes: list[tuple[int, int, int, int, int, int]] = []
    for part in parts:
        track = notes[-1][0] + 1 if notes else 0
        notes += find_notes(part, track, _program(part))
    if not notes:
        raise ValueError("no notes")
    music = Music(
        title=title,
        notes=np.array(_checked(notes), np.int32),
        meters=tuple(find_meters(parts[0])),
        # Every part may repeat the score's marks, or the first alone may hold them.
        tempos=tuple(sorted({tempo for part in parts for tempo in find_tempos(part)})),
        keys=tuple(find_keys(parts[0])),
        labels=tuple(labels),
    )
    for _, numerator, denominator in music.meters:
        if not (0 < numerator < 1 << 15 and 0 < denominator < 1 << 15):
            raise ValueError(f"the meter {numerator}/{denominator} is none")
    return music


def _checked(notes: list[tuple[int, int, int, int, int, int]]) -> list[tuple[int, int, int, int, int, int]]:
    kept = [row for row in notes if row[3] > 0]
    if not kept:
        raise ValueError("no note lasts a tick")
    if any(row[1] < 0 or row[1] + row[3] > LAST_TICK for row in kept):
        raise ValueError("a note lies before the beginning or beyond the last tick")
    if any(not 0 <= row[2] <= 127 for row in kept):
        raise ValueError("a note has a pitch that MIDI has not (0 to 127)")
    return kept


def _played(parts: list[Any]) -> list[Any]:
    """The parts with their repeats expanded, or as they are."""
    from music21.exceptions21 import Music21Exception

    if not any(map(has_repeats, parts)):
        return parts
    try:
        played = [part.expandRepeats() for part in parts]
    except (Music21Exception, IndexError):
        # Marks that contradict each other; an ending without a measure runs music21 out of a list.
        return parts
    lengths = {part.highestTime for part in parts}
    # Parts whose marks differ would drift apart.
    return played if len(lengths) > 1 or len({part.highestTime for part in played}) == 1 else parts


def _program(part: Any) -> int:
    """The General MIDI program that the part's instrument names; 0 where it names none."""
    instrument = part.getInstrument(returnDefault=False)
    if instrument is None:
        return 0
    # Channel 10 of a file counts as 9 here.
    if instrument.midiChannel == 9:
        return DRUMS
    return instrument.midiProgram or 0


def has_repeats(part: Any) -> bool:
    """Expanding copies the whole part, so it is asked for only where there is something to repeat."""
    from music21.repeat import RepeatMark

    return bool(part.recurse().getElementsByClass(RepeatMark))


def _ticks(quarters: float | Fraction) -> int:
    return round(Fraction(quarters) * TICKS_PER_QUARTER)


def find_notes(part: Any, track: int, program: int = 0) -> list[tuple[int, int, int, int, int, int]]:
    """The rows of one part, ties merged; grace notes, chord symbols and notes without a pitch do not sound."""
    merged: list[tuple[int, int, int, int, int, int]] = []
    sounding: dict[int, int] = {}  # pitch -> index in merged of its latest note
    for element in part.flatten().notes:
        if "Harmony" in element.classSet:
            continue
        if element.duration.isGrace or not element.duration.quarterLength:
            continue
        start, end = _ticks(element.offset), _ticks(element.offset + element.duration.quarterLength)
        for note in getattr(element, "notes", (element,)):
            if "Note" not in note.classSet:
                continue
            # music21 moves what MIDI has not by octaves until it fits.
            pitch = int(note.pitch.midi) if 0 <= note.pitch.ps <= 127 else round(note.pitch.ps)
            tied = note.tie is not None and note.tie.type in ("stop", "continue") and pitch in sounding
            if tied:
                _, begun, _, duration, _, _ = merged[sounding[pitch]]
                if begun + duration == start:
                    merged[sounding[pitch]] = (track, begun, pitch, end - begun, program, VELOCITY)
                    continue
            sounding[pitch] = len(merged)
            merged.append((track, start, pitch, end - start, program, VELOCITY))
    return merged


def find_meters(part: Any) -> list[tuple[int, int, int]]:
    """A row wherever the meter changes, and one for an upbeat."""
    measures = list(part.getElementsByClass("Measure"))
    if not measures:
        signatures = part.flatten().getElementsByClass("TimeSignature")
        return [(_ticks(one.offset), one.numerator, one.denominator) for one in signatures]
    rows: list[tuple[int, int, int]] = []
    for index, measure in enumerate(measures):
        signature = measure.timeSignature
        if index == 0:
            length = Fraction(measure.duration.quarterLength)
            signature = signature or measure.getContextByClass("TimeSignature")
            if signature is None:
                return []
            full = Fraction(signature.barDuration.quarterLength)
            if 0 < length < full:
                sixteenths = length * 4
                if sixteenths.denominator == 1:
                    numerator, denominator = int(sixteenths), 16
                    while numerator % 2 == 0 and denominator > 4:
                        numerator, denominator = numerator // 2, denominator // 2
                    rows.append((_ticks(measure.offset), numerator, denominator))
                    rows.append((_ticks(length), signature.numerator, signature.denominator))
                    continue
        if signature is not None:
            row = (_ticks(measure.offset), signature.numerator, signature.denominator)
            if not rows or rows[-1][1:] != row[1:]:
                rows.append(row)
    return rows


def find_tempos(score: Any) -> list[tuple[int, float]]:
    marks = score.flatten().getElementsByClass("MetronomeMark")
    tempos = [(_ticks(mark.offset), float(mark.getQuarterBPM() or 0)) for mark in marks]
    return [(tick, qpm) for tick, qpm in tempos if 0 < qpm < 1e4]


def find_keys(part: Any) -> list[tuple[int, int, str]]:
    """Only keys with a mode: a bare signature does not say major or minor."""
    keys = part.flatten().getElementsByClass("Key")
    return [(_ticks(key.offset), key.tonic.pitchClass, key.mode) for key in keys if key.mode in ("major", "minor")]
