"""Frames of keys: which of the piano's keys sound in each frame, the convention of the polyphonic boards.

A step is one frame, its K tokens are the keys from the lowest up, each off or on. As in the rolls of
Boulanger-Lewandowski et al. (2012), a key that is held and one that is struck again look the same, and pieces have no
end symbol.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.representations.base import (
    Columns,
    Decoded,
    Grammar,
    Piece,
    Representation,
    Vocabulary,
    columns_of_notes,
    told,
)
from dalsegno.representations.options import Frames

OFF, ON = 0, 1
VELOCITY = 80


class KeyFrames(Representation):
    """The representation of kind `frames`.

    Args:
        options: grid, bar and keys.
    """

    options: Frames

    def __init__(self, options: Frames) -> None:
        super().__init__(options)
        self.step_ticks = TICKS_PER_QUARTER // options.steps_per_quarter
        self.keys = options.highest - options.lowest + 1

    @property
    def vocabulary(self) -> Vocabulary:
        options = self.options
        return Vocabulary(
            kind="frames",
            names=("Off", "On"),
            width=self.keys,
            period=options.beats_per_bar * options.steps_per_quarter,
            pitches=(0, 0),
            eos=None,
            step_ticks=self.step_ticks,
            options=options.model_dump(),
            layout=options.layout,
        )

    def encode(self, piece: Piece) -> np.ndarray:
        """`tokens_TxK` (int16) of a piece, up to the last frame that sounds.

        Raises:
            ValueError: nothing sounds, or a note is none of the keys.
        """
        notes = self._sounding(piece)
        first, last, key = notes
        if not len(key):
            raise ValueError("no note reaches a frame")
        if key.min() < 0 or key.max() >= self.keys:
            low, high = int(key.min()) + self.options.lowest, int(key.max()) + self.options.lowest
            raise ValueError(f"pitches {low}-{high} leave the keys {self.options.lowest}-{self.options.highest}")
        # What begins and ends is counted; a key sounds where more has begun than ended.
        change = np.zeros((int(last.max()) + 1, self.keys), np.int32)
        np.add.at(change, (first, key), 1)
        np.add.at(change, (last, key), -1)
        return (np.cumsum(change, axis=0)[:-1] > 0).astype(np.int16)

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
        """The music of any `tokens_TxK`: a key that is on in neighbouring frames is one note."""
        tokens = np.asarray(tokens_TxK).reshape(-1, vocabulary.width)
        step = vocabulary.step_ticks or 1
        silence = np.zeros((1, vocabulary.width), np.int8)
        change = np.diff(np.concatenate([silence, (tokens == ON).astype(np.int8), silence]), axis=0).T
        key, begins = np.nonzero(change == 1)
        _, ends = np.nonzero(change == -1)
        nothing = np.zeros_like(key)
        table = np.column_stack(
            [
                nothing,
                nothing,
                begins * step,
                (ends - begins) * step,
                key + vocabulary.options["lowest"],
                nothing + VELOCITY,
            ]
        )
        return Decoded(columns_of_notes(table), ticks_T=np.arange(len(tokens), dtype=np.int64) * step)

    def claim(self, piece: Piece) -> Piece:
        """Notes from frame to frame on one track, those that touch in one key as one; what reaches no frame is lost."""
        decoded = self.decode(self.encode(piece), self.vocabulary)
        return Piece(decoded.notes, piece.meters, piece.tempos)

    def kept(self, piece: Piece) -> np.ndarray:
        """Mask of the notes that are no drums."""
        return told(piece, False)

    def spans(self, tokens_TxK: np.ndarray) -> list[tuple[int, int] | None]:
        used = np.flatnonzero((tokens_TxK == ON).any(axis=0))
        return [(int(used[0]), int(used[-1])) if len(used) else None]

    def grammar(self, bounds: Sequence[tuple[int, int] | None]) -> Grammar:
        """One state a key: those beyond the training split's range stay off."""
        allowed_SxV = np.ones((self.keys, 2), bool)
        low, high = bounds[0] or (0, -1)
        keys = np.arange(self.keys)
        allowed_SxV[:, ON] = (keys >= low) & (keys <= high)
        return Grammar(allowed_SxV, np.repeat(((keys + 1) % self.keys)[:, None], 2, 1).astype(np.int16))

    def _sounding(self, piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First frame, the frame after the last, and key of every note that reaches a frame."""
        mask = self.kept(piece)
        notes: Columns = {name: column[mask].astype(np.int64) for name, column in piece.notes.items()}
        # A frame belongs to what sounds at its beginning.
        first = -(-notes["start"] // self.step_ticks)
        last = -(-(notes["start"] + notes["duration"]) // self.step_ticks)
        reaches = last > first
        return first[reaches], last[reaches], (notes["pitch"] - self.options.lowest)[reaches]
