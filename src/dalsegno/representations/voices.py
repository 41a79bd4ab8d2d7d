"""Voices on a grid: the convention of the JSB chorale benchmark.

A step is one grid line (a sixteenth), its K tokens are the pitches heard there from the highest voice down; token 0
is a rest. As in the benchmark, a held and a repeated note look the same unless the options ask for a hold symbol, and
pieces have no end symbol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.representations.base import (
    Decoded,
    Grammar,
    Piece,
    Representation,
    Vocabulary,
    columns_of_notes,
    span,
)
from dalsegno.representations.options import Voices

REST = 0
QUARTERS_A_PERIOD = 4
VELOCITY = 80


class VoiceGrid(Representation):
    """The representation of kind `voices`.

    Args:
        options: number of voices, grid, pitch range and whether there is a hold symbol.
    """

    options: Voices

    def __init__(self, options: Voices) -> None:
        super().__init__(options)
        self.step_ticks = TICKS_PER_QUARTER // options.steps_per_quarter

    @property
    def vocabulary(self) -> Vocabulary:
        options = self.options
        pitches = range(options.lowest, options.highest + 1)
        return Vocabulary(
            kind="voices",
            names=("Rest", *(f"Pitch_{pitch}" for pitch in pitches), *(["Hold"] if options.hold else [])),
            width=options.voices,
            period=QUARTERS_A_PERIOD * options.steps_per_quarter,
            pitches=(1, len(pitches) + 1),
            eos=None,
            step_ticks=self.step_ticks,
            options=options.model_dump(),
            layout=options.layout,
        )

    def encode(self, piece: Piece) -> np.ndarray:
        """`tokens_TxK` (int16) of a piece: the pitch that sounds on each grid line.

        Raises:
            ValueError: the piece has not K monophonic tracks within the pitch range; the message is the reason.
        """
        options, notes = self.options, piece.notes
        tracks = np.unique(notes["track"])
        if not len(tracks):
            raise ValueError("no notes")
        if len(tracks) != options.voices:
            raise ValueError(f"{len(tracks)} tracks instead of {options.voices} voices")
        low, high = int(notes["pitch"].min()), int(notes["pitch"].max())
        if low < options.lowest or high > options.highest:
            raise ValueError(f"pitches {low}-{high} leave the range {options.lowest}-{options.highest}")
        end = notes["start"].astype(np.int64) + notes["duration"]
        # A grid line belongs to a note that starts there, not to one that ends there.
        first, last = -(-notes["start"] // self.step_ticks), -(-end // self.step_ticks)
        tokens_TxK = np.full((int(last.max()), options.voices), REST, np.int16)
        held = self.vocabulary.size - 1
        for voice, track in enumerate(tracks):
            rows = np.flatnonzero(notes["track"] == track)
            rows = rows[np.argsort(notes["start"][rows], kind="stable")]
            if (end[rows][:-1] > notes["start"][rows][1:]).any():
                raise ValueError(f"track {track} is not monophonic")
            for row in rows:
                own = notes["pitch"][row] - options.lowest + 1
                tokens_TxK[first[row] : last[row], voice] = held if options.hold else own
                tokens_TxK[first[row] : min(first[row] + 1, last[row]), voice] = own
        return tokens_TxK

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
        """The music of any `tokens_TxK`; without a hold symbol equal neighbours are one note."""
        tokens = np.asarray(tokens_TxK).reshape(-1, vocabulary.width)
        step = vocabulary.step_ticks or 1
        lowest = vocabulary.options["lowest"]
        hold = vocabulary.size - 1 if vocabulary.options["hold"] else None
        repairs: Counter[str] = Counter()
        notes = []
        for voice in range(vocabulary.width):
            line = tokens[:, voice]
            if hold is None:
                begun = np.concatenate([[True], line[1:] != line[:-1]])[: len(line)]
            else:
                begun = line != hold
                # What is held before anything sounds, or after a rest, is a rest.
                first = np.maximum.accumulate(np.where(begun, np.arange(len(line)), -1))
                idle = ~begun & ((first < 0) | (line[first] == REST))
                if idle.any():
                    repairs["nothing to hold"] += int(idle.sum())
                    begun = begun | ((first < 0) & (np.arange(len(line)) == 0))
            begins = np.flatnonzero(begun)
            ends = np.append(begins[1:], len(line))
            notes += [
                (voice, 0, int(a) * step, int(b - a) * step, int(line[a]) - 1 + lowest, VELOCITY)
                for a, b in zip(begins, ends, strict=False)
                if line[a] != REST and line[a] != hold
            ]
        ticks = np.arange(len(tokens), dtype=np.int64) * step
        return Decoded(columns_of_notes(notes), repairs=dict(repairs), ticks_T=ticks)

    def claim(self, piece: Piece) -> Piece:
        """Notes from grid line to grid line; what fits between two lines is lost, and without a hold symbol a note that
        follows one of its pitch at once is one with it."""
        notes, step = piece.notes, self.step_ticks
        first = -(-notes["start"].astype(np.int64) // step) * step
        last = -(-(notes["start"].astype(np.int64) + notes["duration"]) // step) * step
        voices = np.unique(notes["track"], return_inverse=True)[1].reshape(-1)
        table = np.column_stack([voices, 0 * first, first, last - first, notes["pitch"], 0 * first + VELOCITY])
        table = table[table[:, 3] > 0]
        table = table[np.lexsort((table[:, 2], table[:, 0]))]
        if not self.options.hold and len(table):
            joined = np.all(table[1:, [0, 4]] == table[:-1, [0, 4]], axis=1)
            joined &= table[1:, 2] == table[:-1, 2] + table[:-1, 3]
            heads = np.flatnonzero(np.concatenate([[True], ~joined]))
            lengths = np.add.reduceat(table[:, 3], heads)
            table = table[heads]
            table[:, 3] = lengths
        return Piece(columns_of_notes(table), piece.meters, piece.tempos)

    def spans(self, tokens_TxK: np.ndarray) -> list[tuple[int, int] | None]:
        vocabulary = self.vocabulary
        return [span(tokens_TxK[:, k], vocabulary) for k in range(vocabulary.width)]

    def grammar(self, bounds: Sequence[tuple[int, int] | None]) -> Grammar:
        """One state a voice: a rest, a hold or a token within that voice's training range."""
        voices, size = self.options.voices, self.vocabulary.size
        allowed_SxV = np.zeros((voices, size), bool)
        allowed_SxV[:, REST] = True
        if self.options.hold:
            allowed_SxV[:, -1] = True
        for voice, bound in enumerate(bounds):
            if bound:
                allowed_SxV[voice, bound[0] : bound[1] + 1] = True
        successor = (np.arange(voices) + 1) % voices
        return Grammar(allowed_SxV, np.repeat(successor[:, None], size, 1).astype(np.int16))
