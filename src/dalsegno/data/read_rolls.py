"""Reads the piano rolls of Boulanger-Lewandowski et al. (2012): MATLAB files with traindata, validdata and testdata.

A roll is a frames x 88 matrix of zeros and ones, key 0 is A0 (MIDI 21). It says which keys sound and not when they are
struck, so a key that sounds in neighbouring frames is one note.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.tables import Music

SPLITS = {"traindata": "train", "validdata": "valid", "testdata": "test"}
LOWEST = 21
KEYS = 88
VELOCITY = 80
"""Rolls carry no velocities; 80 is the usual mezzo-forte."""


def parts(path: Path, options: dict[str, Any] | None = None) -> list[str]:
    """The pieces of a file: `train/000`, `train/001` … in the file's order.

    Raises:
        ValueError: the file is no MATLAB file, or lacks one of the three lists.
    """
    return [
        f"{split}/{number:0{len(str(len(rolls)))}d}"
        for split, rolls in _content(path).items()
        for number in range(len(rolls))
    ]


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """One piece of the file on one track, with its split as a label.

    Args:
        options: `frames_per_quarter`, 2 unless told (the rolls are on eighths in Nottingham, on quarters in JSB).

    Raises:
        ValueError: the roll has not 88 keys, holds something else than 0 and 1, or nothing sounds.
    """
    split, _, number = (part or "").partition("/")
    frames_per_quarter = (options or {}).get("frames_per_quarter", 2)
    if not isinstance(frames_per_quarter, int) or frames_per_quarter < 1 or TICKS_PER_QUARTER % frames_per_quarter:
        raise ValueError(f"options.frames_per_quarter {frames_per_quarter!r} does not divide {TICKS_PER_QUARTER}")
    roll_TxP = np.asarray(_content(path)[split][int(number)])
    if roll_TxP.ndim != 2 or roll_TxP.shape[1] != KEYS:
        raise ValueError(f"a roll of shape {list(roll_TxP.shape)} instead of [frames, {KEYS}]")
    if not np.isin(roll_TxP, (0, 1)).all():
        raise ValueError("a roll with other cells than 0 and 1")
    notes = _notes(roll_TxP.astype(bool), TICKS_PER_QUARTER // frames_per_quarter)
    if not len(notes):
        raise ValueError("no notes")
    return Music("", notes, labels=(("split", split),))


def _notes(roll_TxP: np.ndarray, frame_ticks: int) -> np.ndarray:
    silence = np.zeros((1, KEYS), np.int8)
    change = np.diff(np.concatenate([silence, roll_TxP.astype(np.int8), silence]), axis=0).T
    key, begins = np.nonzero(change == 1)
    _, ends = np.nonzero(change == -1)
    notes = np.zeros((len(key), 6), np.int32)
    notes[:, 1], notes[:, 2] = begins * frame_ticks, key + LOWEST
    notes[:, 3], notes[:, 5] = (ends - begins) * frame_ticks, VELOCITY
    return notes


@lru_cache(maxsize=1)  # a worker reads the pieces of one file one after the other
def _content(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except Exception as error:
        raise ValueError(f"not a MATLAB file ({type(error).__name__}: {error})") from None
    if missing := [name for name in SPLITS if name not in content]:
        raise ValueError(f"the file lacks {', '.join(missing)}")
    return {split: list(content[name][0]) for name, split in SPLITS.items()}
