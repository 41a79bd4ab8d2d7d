"""Reads a MIDI file with symusic."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from dalsegno.data.manifest import MIDI_SUFFIXES
from dalsegno.data.tables import DRUMS, TICKS_PER_QUARTER, Music, Note


def read(path: Path) -> Music:
    """The music of a MIDI file; tracks without notes are dropped, the others keep their order.

    Raises:
        ValueError: the file is no MIDI file, or holds no note.
    """
    if not path.name.lower().endswith(MIDI_SUFFIXES):
        raise ValueError(f"not a MIDI file (its name does not end in {' or '.join(MIDI_SUFFIXES)})")
    if path.stat().st_size == 0:
        raise ValueError("the file is empty (0 bytes)")

    from symusic import Score
    from symusic.core import ScoreTick

    score = cast(ScoreTick, Score(path)).resample(TICKS_PER_QUARTER, min_dur=1)
    tracks = [track for track in score.tracks if len(track.notes)]
    notes = tuple(
        Note(index, note.time, note.pitch, note.duration, DRUMS if track.is_drum else track.program, note.velocity)
        for index, track in enumerate(tracks)
        for note in track.notes
        if note.duration > 0 and note.time >= 0 and 0 <= note.pitch <= 127
    )
    if not notes:
        raise ValueError("no notes")
    return Music(
        title="",
        notes=notes,
        meters=tuple(
            (s.time, s.numerator, s.denominator) for s in score.time_signatures if s.numerator > 0 and s.denominator > 0
        ),
        tempos=tuple((tempo.time, float(tempo.qpm)) for tempo in score.tempos if 0 < tempo.qpm < 1e4),
        keys=tuple(
            (key.time, (key.key * 7 + (9 if key.tonality else 0)) % 12, "minor" if key.tonality else "major")
            for key in score.key_signatures
        ),
    )
