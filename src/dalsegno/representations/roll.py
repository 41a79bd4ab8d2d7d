"""Piano rolls: tracks x time x pitch, bars as units, drums apart.

A roll is nearly empty, so a piece is stored as a list of its notes on the grid, sorted by time; `dense` draws it. A
step of the packed file is one note, its K = 6 numbers are those of `NUMBERS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.representations.base import (
    Columns,
    Decoded,
    Grammar,
    Piece,
    Representation,
    Vocabulary,
    columns_of_notes,
)
from dalsegno.representations.options import Roll

NUMBERS = ("bar", "step", "track", "pitch", "length", "velocity")
"""Bar of the piece and grid line within it, both from 0; track of the roll; MIDI pitch; length in grid lines."""
LIMIT = 32_767


class PianoRoll(Representation):
    """The representation of kind `roll`.

    Args:
        options: tracks, grid, bar and pitch range.
    """

    options: Roll

    @property
    def vocabulary(self) -> Vocabulary:
        options = self.options
        tracks = [f"Track_{name}" for name, _ in ordered(options.tracks)] + (["Track_drums"] if options.drums else [])
        return Vocabulary(
            kind="roll",
            names=tuple(tracks),
            width=len(NUMBERS),
            period=1,
            pitches=(0, 0),
            eos=None,
            step_ticks=None,
            options=options.model_dump(),
            layout=options.layout,
        )

    def encode(self, piece: Piece) -> np.ndarray:
        """`notes_TxK` (int16) of a piece; of notes of one track, grid line and pitch the longest stays.

        Raises:
            ValueError: the piece has no note within the tracks and the pitch range, or more bars than int16 counts.
        """
        table = self._gridded(piece)
        if not len(table):
            raise ValueError("no notes within the tracks and pitches of the roll")
        a_bar = self.options.beats_per_bar * self.options.steps_per_quarter
        line, length = table[:, 0], table[:, 3]
        if (line // a_bar).max() > LIMIT or length.max() > LIMIT:
            raise ValueError(f"more than {LIMIT} bars, or a note of more than {LIMIT} grid lines")
        return np.column_stack([line // a_bar, line % a_bar, table[:, 1:]]).astype(np.int16)

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
        """The music of any numbers; each track plays the first program of its range."""
        rows = np.asarray(tokens_TxK).reshape(-1, len(NUMBERS)).astype(np.int64)
        options = vocabulary.options
        step = TICKS_PER_QUARTER // options["steps_per_quarter"]
        a_bar = options["beats_per_bar"] * options["steps_per_quarter"]
        programs = [first for _, (first, _) in ordered(options["tracks"])] + ([DRUMS] if options["drums"] else [])
        bar, line, track, pitch, length, velocity = rows.T
        sound = (bar >= 0) & (line >= 0) & (track >= 0) & (track < len(programs)) & (length > 0)
        sound &= (pitch >= 0) & (pitch <= 127) & (velocity > 0) & (velocity <= 127)
        repairs = {} if sound.all() else {"numbers that are no note": int((~sound).sum())}
        # A drum is told by its number alone, so that it may come from any track.
        table = np.column_stack(
            [
                track,
                np.array(programs)[np.clip(track, 0, len(programs) - 1)],
                (bar * a_bar + line) * step,
                length * step,
            ]
        )
        notes = np.column_stack([table, pitch, velocity])[sound]
        return Decoded(columns_of_notes(notes), repairs=repairs, ticks_T=(bar * a_bar + line) * step)

    def kept(self, piece: Piece) -> np.ndarray:
        """Mask of the notes within the tracks and the pitch range."""
        pitch = piece.notes["pitch"]
        drums = piece.notes["program"] == DRUMS
        # The range of pitches is none of drums.
        within = drums | ((pitch >= self.options.lowest) & (pitch <= self.options.highest))
        mask: np.ndarray = (self._tracks(piece.notes) >= 0) & within
        return mask

    def claim(self, piece: Piece) -> Piece:
        """Onsets and lengths at the nearest grid lines, one at least; programs as the tracks have them."""
        table = self._gridded(piece)
        step = TICKS_PER_QUARTER // self.options.steps_per_quarter
        programs = np.array([*(first for _, (first, _) in ordered(self.options.tracks)), DRUMS])
        line, track, pitch, length, velocity = table.T
        notes = np.column_stack([track, programs[track], line * step, length * step, pitch, velocity])
        return Piece(columns_of_notes(notes), piece.meters, piece.tempos)

    def spans(self, tokens_TxK: np.ndarray) -> list[tuple[int, int] | None]:
        return [None]

    def grammar(self, bounds: Sequence[tuple[int, int] | None]) -> Grammar:
        """None: the numbers are no symbols."""
        return Grammar(
            np.ones((1, len(self.vocabulary.names)), bool), np.zeros((1, len(self.vocabulary.names)), np.int16)
        )

    def _tracks(self, notes: Columns) -> np.ndarray:
        """The track of the roll that each note belongs to, -1 for none; of overlapping ranges the first."""
        result = np.full(len(notes["program"]), -1, np.int64)
        for track, (_, (first, last)) in reversed(list(enumerate(ordered(self.options.tracks)))):
            result[(notes["program"] >= first) & (notes["program"] <= last)] = track
        if self.options.drums:
            result[notes["program"] == DRUMS] = len(self.options.tracks)
        return result

    def _gridded(self, piece: Piece) -> np.ndarray:
        """int64 [n, 5]: grid line, track, pitch, length, velocity; sorted, each place once."""
        kept = self.kept(piece)
        step = TICKS_PER_QUARTER // self.options.steps_per_quarter
        notes = {name: column[kept].astype(np.int64) for name, column in piece.notes.items()}
        line = (notes["start"] + step // 2) // step
        length = np.maximum((notes["duration"] + step // 2) // step, 1)
        track = self._tracks(piece.notes)[kept]
        table = np.column_stack([line, track, notes["pitch"], length, notes["velocity"]])
        table = table[np.lexsort((-table[:, 4], -table[:, 3], table[:, 2], table[:, 1], table[:, 0]))]
        fresh = np.any(table[1:, :3] != table[:-1, :3], axis=1)
        return table[np.concatenate([[True], fresh])] if len(table) else table


def ordered(tracks: Mapping[str, tuple[int, int]]) -> list[tuple[str, tuple[int, int]]]:
    """The tracks by their programs, since a mapping loses its order on the way through JSON."""
    return sorted(((name, (first, last)) for name, (first, last) in tracks.items()), key=lambda one: (one[1], one[0]))


def dense(rows_TxK: np.ndarray, vocabulary: Vocabulary, first_bar: int = 0, bars: int | None = None) -> np.ndarray:
    """`roll` (uint8) [bars, tracks, steps, pitches, 2] of a piece: velocity where a note sounds, and where it begins.

    Args:
        rows_TxK: the piece as `encode` or `Packed.piece` gives it.
        first_bar: the bar to begin with.
        bars: how many; by default up to the last that sounds.
    """
    options = vocabulary.options
    a_bar = options["beats_per_bar"] * options["steps_per_quarter"]
    rows = np.asarray(rows_TxK, np.int64).reshape(-1, len(NUMBERS))
    begin = (rows[:, 0] - first_bar) * a_bar + rows[:, 1]
    end = begin + rows[:, 4]
    if bars is None:
        bars = max(int(-(-end.max(initial=0) // a_bar)), 0)
    lowest, pitches = options["lowest"], options["highest"] - options["lowest"] + 1
    if options["drums"]:
        lowest, pitches = 0, 128
    flat = np.zeros((bars * a_bar, len(vocabulary.names), pitches, 2), np.uint8)
    heard = np.flatnonzero((end > 0) & (begin < len(flat)))
    lengths = np.minimum(end[heard], len(flat)) - np.maximum(begin[heard], 0)
    # Later notes write over earlier ones, cell by cell.
    own = np.repeat(heard, lengths)
    line = np.arange(len(own)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.maximum(begin[own], 0)
    flat[line, rows[own, 2], rows[own, 3] - lowest, 0] = rows[own, 5]
    onset = heard[begin[heard] >= 0]
    flat[begin[onset], rows[onset, 2], rows[onset, 3] - lowest, 1] = 1
    return flat.reshape(bars, a_bar, len(vocabulary.names), pitches, 2).transpose(0, 2, 1, 3, 4)
