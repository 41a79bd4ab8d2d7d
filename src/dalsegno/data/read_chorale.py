"""Reads a chorale score with music21, as the JSB set does: four sung voices, repeats played.

The JSB set plays repeats: of 104 matched chorales whose score has repeat marks, 100 have the played length there
(`docs/data.md`).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.tables import Music

VOICES = ("Soprano", "Alto", "Tenor", "Bass")
VELOCITY = 80
"""Scores carry no velocities; 80 is the usual mezzo-forte."""


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """The sung voices of a chorale, highest first; instruments that double or accompany are left out.

    Time starts with the first measure, which may be an upbeat. Tied notes are one note, grace notes are dropped,
    fermatas do not stretch. Scores with five voices keep five tracks.
    A file is one chorale, and there are no options.

    Raises:
        ValueError: the score has no sung voices.
    """
    from music21 import converter

    # Without forceSource and storePickle music21 reads and writes pickles in the user's scratch folder.
    score: Any = converter.parse(path, forceSource=True, storePickle=False)
    parts = list(score.parts)
    names = [(part.partName or "").split() for part in parts]
    voices = parts
    if len(parts) != len(VOICES):
        voices = [part for part, name in zip(parts, names, strict=True) if name and name[0] in VOICES]
    if not voices:
        raise ValueError(f"not a chorale: none of its {len(parts)} parts is named {', '.join(VOICES)}")
    played = [voice.expandRepeats() for voice in voices] if any(map(_has_repeats, voices)) else voices
    notes = [row for track, voice in enumerate(played) for row in _notes(voice, track)]
    if not notes:
        raise ValueError("no notes")
    # Files without a title get their own name as title from music21.
    title = (score.metadata.bestTitle or "").strip() if score.metadata else ""
    return Music(
        title="" if title == path.name else title,
        notes=np.array(notes, np.int32),
        meters=tuple(_meters(played[0])),
        tempos=tuple(_tempos(score)),
        keys=tuple(_keys(played[0])),
    )


def _has_repeats(part: Any) -> bool:
    """Expanding copies the whole part, so it is asked for only where there is something to repeat."""
    from music21.repeat import RepeatMark

    return bool(part.recurse().getElementsByClass(RepeatMark))


def _ticks(quarters: float | Fraction) -> int:
    return round(Fraction(quarters) * TICKS_PER_QUARTER)


def _notes(part: Any, track: int) -> list[tuple[int, int, int, int, int, int]]:
    """The rows of one part, ties merged."""
    merged: list[tuple[int, int, int, int, int, int]] = []
    sounding: dict[int, int] = {}  # pitch -> index in merged of its latest note
    for element in part.flatten().notes:
        if element.duration.isGrace or not element.duration.quarterLength:
            continue
        start, end = _ticks(element.offset), _ticks(element.offset + element.duration.quarterLength)
        for note in getattr(element, "notes", (element,)):
            pitch = int(note.pitch.midi)
            tied = note.tie is not None and note.tie.type in ("stop", "continue") and pitch in sounding
            if tied:
                _, begun, _, duration, _, _ = merged[sounding[pitch]]
                if begun + duration == start:
                    merged[sounding[pitch]] = (track, begun, pitch, end - begun, 0, VELOCITY)
                    continue
            sounding[pitch] = len(merged)
            merged.append((track, start, pitch, end - start, 0, VELOCITY))
    return merged


def _meters(part: Any) -> list[tuple[int, int, int]]:
    """A row wherever the meter changes, and one for an upbeat."""
    rows: list[tuple[int, int, int]] = []
    for index, measure in enumerate(part.getElementsByClass("Measure")):
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


def _tempos(score: Any) -> list[tuple[int, float]]:
    marks = score.flatten().getElementsByClass("MetronomeMark")
    return [(_ticks(mark.offset), float(mark.getQuarterBPM())) for mark in marks if mark.getQuarterBPM()]


def _keys(part: Any) -> list[tuple[int, int, str]]:
    """Only keys with a mode: a bare signature does not say major or minor."""
    keys = part.flatten().getElementsByClass("Key")
    return [(_ticks(key.offset), key.tonic.pitchClass, key.mode) for key in keys if key.mode in ("major", "minor")]
