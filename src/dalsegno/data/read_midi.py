"""Reads a MIDI file with symusic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from symusic import Score
from symusic.core import ScoreTick

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.data.tables import LAST_TICK, NOTE_COLUMNS, Music


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """The music of a MIDI file; tracks without notes are dropped, the others keep their order.

    The format has neither parts nor options.

    Raises:
        ValueError: the file is no MIDI file, or holds no note.
    """
    with open(path, "rb", buffering=0) as file:
        content = file.readall()
    _check_chunks(content)
    try:
        score = cast(ScoreTick, Score.from_midi(content))
        # What has our ticks already need not be copied.
        if score.ticks_per_quarter != TICKS_PER_QUARTER:
            score = score.resample(TICKS_PER_QUARTER, min_dur=1)
    except RuntimeError as error:
        # The rest of symusic's message depends on what stands in memory behind the file.
        raise ValueError("a track chunk is malformed (symusic)") from error
    tracks = [track for track in score.tracks if len(track.notes)]
    notes = _rows(tracks)
    if not len(notes):
        raise ValueError("no notes")
    _check_notes(notes)
    return Music(
        title="",
        notes=notes,
        meters=tuple(
            (mark.time, mark.numerator, mark.denominator)
            for mark in score.time_signatures
            if 0 <= mark.time <= LAST_TICK and mark.numerator > 0 and 0 < mark.denominator < 1 << 15
        ),
        tempos=tuple(
            (mark.time, float(mark.qpm)) for mark in score.tempos if 0 <= mark.time <= LAST_TICK and 0 < mark.qpm < 1e4
        ),
        keys=tuple(
            (mark.time, (mark.key * 7 + (9 if mark.tonality else 0)) % 12, "minor" if mark.tonality else "major")
            for mark in score.key_signatures
            if 0 <= mark.time <= LAST_TICK
        ),
    )


def _rows(tracks: Sequence[Any]) -> np.ndarray:
    """The notes of symusic's tracks, in `NOTE_COLUMNS`; a Python object a note would take most of the reader's time."""
    held = [track.notes.numpy() for track in tracks]
    sizes = [len(columns["time"]) for columns in held]
    # Column by column: rows of six numbers would be written with gaps.
    table = np.empty((len(NOTE_COLUMNS), sum(sizes)), np.int32)
    first = 0
    for index, (track, columns, size) in enumerate(zip(tracks, held, sizes, strict=True)):
        block = table[:, first : first + size]
        block[0] = index
        block[1] = columns["time"]
        block[2] = columns["pitch"]
        block[3] = columns["duration"]
        block[4] = DRUMS if track.is_drum else track.program
        block[5] = columns["velocity"]
        first += size
    # As resampling would, where there was nothing to resample.
    np.maximum(table[3], 1, out=table[3], where=table[3] == 0)
    return table.T


def _check_notes(rows: np.ndarray) -> None:
    """Refuse what no MIDI file can say: damage that symusic reads on through.

    Raises:
        ValueError: the reason.
    """
    _, start, pitch, duration, program, velocity = (
        (low, high) for low, high in zip(rows.min(0).tolist(), rows.max(0).tolist(), strict=True)
    )
    limits = {"pitch": (pitch, 127), "velocity": (velocity, 127), "program": (program, DRUMS)}
    for name, ((low, high), most) in limits.items():
        if low < 0 or high > most:
            raise ValueError(f"damaged: a note has a {name} outside 0 to 127")
    late = start[1] + duration[1] > LAST_TICK
    if start[0] < 0 or duration[0] < 1 or (late and (rows[:, 1].astype(np.int64) + rows[:, 3]).max() > LAST_TICK):
        raise ValueError("damaged: a note ends before it starts, or after the last tick (2^30)")


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
