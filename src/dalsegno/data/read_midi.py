"""Reads a MIDI file with symusic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.data.tables import NOTE_COLUMNS, Music


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """The music of a MIDI file; tracks without notes are dropped, the others keep their order.

    The format has neither parts nor options.

    Raises:
        ValueError: the file is no MIDI file, or holds no note.
    """
    content = path.read_bytes()
    _check_chunks(content)

    from symusic import Score
    from symusic.core import ScoreTick

    try:
        score = cast(ScoreTick, Score.from_midi(content)).resample(TICKS_PER_QUARTER, min_dur=1)
    except RuntimeError as error:
        # The rest of symusic's message depends on what stands in memory behind the file.
        raise ValueError("a track chunk is malformed (symusic)") from error
    tracks = [track for track in score.tracks if len(track.notes)]
    notes = _rows(tracks)
    if not len(notes):
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


def _rows(tracks: Sequence[Any]) -> np.ndarray:
    """The notes of symusic's tracks, in `NOTE_COLUMNS`; a Python object a note would take most of the reader's time."""
    rows = np.empty((sum(len(track.notes) for track in tracks), len(NOTE_COLUMNS)), np.int32)
    first = 0
    for index, track in enumerate(tracks):
        columns = track.notes.numpy()
        block = rows[first : first + len(columns["time"])]
        block[:, 0] = index
        block[:, 1] = columns["time"]
        block[:, 2] = columns["pitch"]
        block[:, 3] = columns["duration"]
        block[:, 4] = DRUMS if track.is_drum else track.program
        block[:, 5] = columns["velocity"]
        first += len(block)
    _, start, pitch, duration, _, _ = rows.T
    kept = (duration > 0) & (start >= 0) & (pitch >= 0) & (pitch <= 127)
    return rows if kept.all() else rows[kept]


def _check_chunks(content: bytes) -> None:
    """Refuse what is no MIDI file or a torn one: symusic may read beyond the end of the latter.

    Raises:
        ValueError: the reason.
    """
    if not content:
        raise ValueError("the file is empty (0 bytes)")
    if content[:4] != b"MThd":
        raise ValueError("not a MIDI file (it does not start with MThd)")
    tracks = int.from_bytes(content[10:12], "big")
    position = 0
    while position + 8 <= len(content):
        tracks -= content[position : position + 4] == b"MTrk"
        position += 8 + int.from_bytes(content[position + 4 : position + 8], "big")
        # What follows the last announced track is no music.
        if tracks == 0:
            break
    if position > len(content):
        raise ValueError(f"the file is torn: its last chunk lacks {position - len(content)} bytes")
