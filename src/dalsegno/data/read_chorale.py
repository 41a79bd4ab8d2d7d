"""Reads a chorale score with music21, as the JSB set does: four sung voices, repeats played.

The JSB set plays repeats: of 104 matched chorales whose score has repeat marks, 100 have the played length there
(`docs/data.md`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data.score import find_keys, find_meters, find_notes, find_tempos, has_repeats
from dalsegno.data.tables import Music

VOICES = ("Soprano", "Alto", "Tenor", "Bass")


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
    played = [voice.expandRepeats() for voice in voices] if any(map(has_repeats, voices)) else voices
    notes = [row for track, voice in enumerate(played) for row in find_notes(voice, track)]
    if not notes:
        raise ValueError("no notes")
    # Files without a title get their own name as title from music21.
    title = (score.metadata.bestTitle or "").strip() if score.metadata else ""
    return Music(
        title="" if title == path.name else title,
        notes=np.array(notes, np.int32),
        meters=tuple(find_meters(played[0])),
        tempos=tuple(find_tempos(score)),
        keys=tuple(find_keys(played[0])),
    )
