"""Pieces as embeddings: a small network over windows of four bars, read and used without JAX.

Trained by `dalsegno.embedding.fitting`. A piece's embedding is the mean of the network's hidden features over its
windows, one every two bars, along the principal components of the training pieces, in their standard deviations there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from dalsegno.data.notes import TICKS_PER_QUARTER, Notes

WINDOW = 4
"""Bars of a window."""
HOP = 2
"""Bars from a window of a piece to its next."""
POSITIONS = 16
"""Sixteenths of a bar of four quarters."""
SIXTEENTH = TICKS_PER_QUARTER // 4
LOWEST, HIGHEST = 28, 100
"""Pitches that the network sees; what lies beyond counts as its octave nearest to them."""
PITCHES = HIGHEST - LOWEST
HELD = 0.5
"""A note that goes on, where one that begins is 1."""
BLOCK = 512
"""Windows that are embedded at once."""

Weights = Mapping[str, Any]


@dataclass(frozen=True)
class Cells:
    """The piano roll of one piece as its cells that are not silent, sorted by sixteenth.

    Attributes:
        step_C: int64, sixteenth from the piece's beginning.
        pitch_C: int64, from 0 to `PITCHES` - 1.
        value_C: float32, 1 where a note begins, `HELD` where one goes on.
        bars: up to the last that sounds.
    """

    step_C: np.ndarray
    pitch_C: np.ndarray
    value_C: np.ndarray
    bars: int

    def window(self, bar: int, semitones: int = 0) -> np.ndarray:
        """`roll_4x16xP` (float32) from a bar on, transposed; what leaves the roll at one side stays at its edge."""
        low, high = np.searchsorted(self.step_C, [bar * POSITIONS, (bar + WINDOW) * POSITIONS])
        rows = slice(int(low), int(high))
        roll = np.zeros((WINDOW * POSITIONS, PITCHES), np.float32)
        pitch = np.clip(self.pitch_C[rows] + semitones, 0, PITCHES - 1)
        np.maximum.at(roll, (self.step_C[rows] - bar * POSITIONS, pitch), self.value_C[rows])
        return roll.reshape(WINDOW, POSITIONS, PITCHES)

    @property
    def begins(self) -> np.ndarray:
        """The bars at which windows begin: every second one, as long as a whole window fits, one at least."""
        return np.arange(0, max(self.bars - WINDOW, 0) + 1, HOP)


def cells(notes: Notes) -> Cells:
    """The cells of one piece, drums left out."""
    kept = notes.pitched()
    first = (kept.start.astype(np.int64) + SIXTEENTH // 2) // SIXTEENTH
    length = np.maximum((kept.duration.astype(np.int64) + SIXTEENTH // 2) // SIXTEENTH, 1)
    later = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    pitch = kept.pitch.astype(np.int64) - LOWEST
    pitch = np.where((pitch < 0) | (pitch >= PITCHES), pitch % 12 + np.where(pitch < 0, 0, PITCHES - 12), pitch)
    step = np.repeat(first, length) + later
    order = np.argsort(step, kind="stable")
    value = np.where(later == 0, 1.0, HELD).astype(np.float32)
    bars = int(step.max(initial=-1)) // POSITIONS + 1
    return Cells(step[order], np.repeat(pitch, length)[order], value[order], bars)


def shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """The weights of the network by name."""
    return {
        "bar.kernel": (POSITIONS * PITCHES, hidden),
        "bar.bias": (hidden,),
        "window.kernel": (WINDOW * hidden, hidden),
        "window.bias": (hidden,),
    }


def forward(weights: Weights, rolls_Nx4x16xP: Any, xp: Any = np) -> Any:
    """`hidden_NxH` of windows: each bar alone, then the four together.

    Args:
        xp: the array library, numpy or jax.numpy; training differentiates what measuring computes.
    """
    n = rolls_Nx4x16xP.shape[0]
    bars = rolls_Nx4x16xP.reshape(n, WINDOW, POSITIONS * PITCHES) @ weights["bar.kernel"] + weights["bar.bias"]
    return xp.maximum(xp.maximum(bars, 0).reshape(n, -1) @ weights["window.kernel"] + weights["window.bias"], 0)


class Encoder:
    """A trained encoder.

    Args:
        weights: arrays as `shapes` names them, `mean` (`[H]`) of the training pieces, and their principal `components`
            (`[H, D]`), divided by the deviation along each.
        about: how it was trained; `seed` among it.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
        self.weights = dict(weights)
        self.about = dict(about)

    def points(self, pieces: Sequence[Notes]) -> np.ndarray:
        """`points_NxD` of the pieces that have a pitched note; the others are left out."""
        return np.asarray((hidden(self.weights, pieces) - self.weights["mean"]) @ self.weights["components"], float)

    def save(self, path: Path) -> None:
        """Write the encoder as safetensors; equal weights give equal bytes."""
        arrays = {name: np.ascontiguousarray(array) for name, array in sorted(self.weights.items())}
        save_file(arrays, str(path), {"about": json.dumps(self.about, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> Encoder:
        """Read what `save` wrote."""
        with safe_open(path, framework="numpy") as tensors:
            names = tensors.keys()
            return cls({name: tensors.get_tensor(name) for name in names}, json.loads(tensors.metadata()["about"]))


def hidden(weights: Weights, pieces: Sequence[Notes]) -> np.ndarray:
    """`hidden_NxH` of the pieces that have a pitched note: the mean over their windows."""
    heard = [one for one in map(cells, pieces) if one.bars]
    # Twice the precision, so that a piece's point does not depend on what stands beside it.
    weights = {name: np.asarray(array, float) for name, array in weights.items()}
    rolls: list[np.ndarray] = []
    found: list[np.ndarray] = []
    owner: list[int] = []
    for number, one in enumerate(heard):
        for bar in one.begins.tolist():
            roll = one.window(bar)
            # Silence is no music to embed.
            if roll.any():
                rolls.append(roll)
                owner.append(number)
        if len(rolls) >= BLOCK or (rolls and number == len(heard) - 1):
            found.append(forward(weights, np.stack(rolls)))
            rolls = []
    width = len(weights["window.bias"])
    windows = np.concatenate([np.zeros((0, width)), *found])
    if not len(heard):
        return windows
    sums = np.zeros((len(heard), width))
    np.add.at(sums, owner, windows)
    count = np.bincount(owner, minlength=len(heard))
    return sums[count > 0] / count[count > 0, None]
