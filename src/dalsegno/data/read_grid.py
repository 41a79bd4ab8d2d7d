"""Reads voices on a grid from JSON, as the JSB chorales are published (`Jsb16thSeparated.json`).

The file is an object of lists of pieces, one list a split; a piece is a list of steps, a step one pitch a voice, the
highest voice first, -1 (or NaN) where a voice rests. The grid does not tell a held note from a repeated one: equal
neighbours become one note.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.tables import Music

VELOCITY = 80
"""Grids carry no velocities; 80 is the usual mezzo-forte."""


def parts(path: Path, options: dict[str, Any] | None = None) -> list[str]:
    """The pieces of a file: `train/000`, `train/001` … in the file's order.

    Raises:
        ValueError: the file is no object of lists.
    """
    return [
        f"{split}/{number:0{len(str(len(pieces)))}d}"
        for split, pieces in _content(path).items()
        for number in range(len(pieces))
    ]


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """One piece of the file, with its split as a label.

    Args:
        options: `steps_per_quarter`, 4 unless told.

    Raises:
        ValueError: the steps are not all of one width, or a cell is no pitch; names step and voice.
    """
    split, _, number = (part or "").partition("/")
    steps_per_quarter = (options or {}).get("steps_per_quarter", 4)
    if not isinstance(steps_per_quarter, int) or steps_per_quarter < 1 or TICKS_PER_QUARTER % steps_per_quarter:
        raise ValueError(f"options.steps_per_quarter {steps_per_quarter!r} does not divide {TICKS_PER_QUARTER}")
    piece = _content(path)[split][int(number)]
    if len({len(step) for step in piece}) != 1:
        raise ValueError("the steps have different numbers of voices")
    grid_TxK = np.array([[_pitch(cell, t, k) for k, cell in enumerate(step)] for t, step in enumerate(piece)], np.int32)
    notes = held_notes(grid_TxK, TICKS_PER_QUARTER // steps_per_quarter)
    if not len(notes):
        raise ValueError("no notes")
    return Music("", notes, labels=(("split", split),))


def held_notes(grid_TxK: np.ndarray, step_ticks: int) -> np.ndarray:
    """The notes (int32 `[n, 6]`) of pitches on a grid, -1 for a rest; one track a column, equal neighbours held."""
    blocks = [np.zeros((0, 6), np.int32)]
    for voice, line in enumerate(grid_TxK.T):
        begins = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]]))
        ends = np.append(begins[1:], len(line))
        sounding = line[begins] >= 0
        begins, ends = begins[sounding], ends[sounding]
        block = np.zeros((len(begins), 6), np.int32)
        block[:, 0], block[:, 1], block[:, 2] = voice, begins * step_ticks, line[begins]
        block[:, 3], block[:, 5] = (ends - begins) * step_ticks, VELOCITY
        blocks.append(block)
    return np.concatenate(blocks)


@lru_cache(maxsize=1)  # a worker reads the pieces of one file one after the other
def _content(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(Path(path).read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(content, dict) or not all(isinstance(pieces, list) for pieces in content.values()):
        raise ValueError("not an object of lists of pieces, one list a split")
    return content


def _pitch(cell: Any, step: int, voice: int) -> int:
    if cell is None or cell == -1 or (isinstance(cell, float) and math.isnan(cell)):
        return -1
    if not isinstance(cell, int | float) or cell != int(cell) or not 0 <= cell <= 127:
        raise ValueError(f"step {step}, voice {voice}: {cell!r} is no MIDI pitch")
    return int(cell)
