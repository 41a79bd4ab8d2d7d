"""Voices on a grid: the convention of the JSB chorale benchmark.

A step is one grid line (a sixteenth), its K tokens are the pitches heard there from the highest voice down; token 0
is a rest. A held and a repeated note look the same, as in the benchmark, and pieces have no end symbol.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.data.tables import DEFAULT_QPM, Corpus, write_rejects
from dalsegno.representations.base import Grammar, Row, Vocabulary, columns_of_notes, write_packed
from dalsegno.representations.options import Voices
from dalsegno.representations.packing import encode_pieces

REST = 0
QUARTERS_A_PERIOD = 4
VELOCITY = 80


class VoiceGrid:
    """The representation of kind `voices`.

    Args:
        options: number of voices, grid and pitch range.

    Raises:
        ValueError: the grid does not divide the quarter note, or the pitch range is empty.
    """

    def __init__(self, options: Voices) -> None:
        if TICKS_PER_QUARTER % options.steps_per_quarter:
            raise ValueError(
                f"steps_per_quarter {options.steps_per_quarter} does not divide {TICKS_PER_QUARTER}: use 1, 2, 4, 6 …"
            )
        if options.lowest > options.highest:
            raise ValueError(f"lowest {options.lowest} is above highest {options.highest}")
        self.options = options
        self.step_ticks = TICKS_PER_QUARTER // options.steps_per_quarter

    @property
    def vocabulary(self) -> Vocabulary:
        options = self.options
        pitches = range(options.lowest, options.highest + 1)
        return Vocabulary(
            kind="voices",
            names=("Rest", *(f"Pitch_{pitch}" for pitch in pitches)),
            width=options.voices,
            period=QUARTERS_A_PERIOD * options.steps_per_quarter,
            pitches=(1, len(pitches) + 1),
            eos=None,
            step_ticks=self.step_ticks,
            options=options.model_dump(),
        )

    def encode(self, notes: dict[str, np.ndarray]) -> np.ndarray:
        """`tokens_TxK` (int16) of a piece's note columns: the pitch that sounds on each grid line.

        Raises:
            ValueError: the piece has not K monophonic tracks within the pitch range; the message is the reason.
        """
        options = self.options
        tracks = np.unique(notes["track"])
        if len(tracks) != options.voices:
            raise ValueError(f"{len(tracks)} tracks instead of {options.voices} voices")
        low, high = int(notes["pitch"].min()), int(notes["pitch"].max())
        if low < options.lowest or high > options.highest:
            raise ValueError(f"pitches {low}-{high} leave the range {options.lowest}-{options.highest}")
        end = notes["start"] + notes["duration"]
        # A grid line belongs to a note that starts there, not to one that ends there.
        first, last = -(-notes["start"] // self.step_ticks), -(-end // self.step_ticks)
        tokens_TxK = np.full((int(last.max()), options.voices), REST, np.int16)
        for voice, track in enumerate(tracks):
            rows = np.flatnonzero(notes["track"] == track)
            rows = rows[np.argsort(notes["start"][rows], kind="stable")]
            if (end[rows][:-1] > notes["start"][rows][1:]).any():
                raise ValueError(f"track {track} is not monophonic")
            for row in rows:
                tokens_TxK[first[row] : last[row], voice] = notes["pitch"][row] - options.lowest + 1
        return tokens_TxK

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> tuple[dict[str, np.ndarray], float]:
        """The note columns and tempo (quarter notes a minute) of any `tokens_TxK`; equal neighbours are one note."""
        tokens = np.asarray(tokens_TxK).reshape(-1, vocabulary.width)
        step = vocabulary.step_ticks or 1
        notes = []
        for voice in range(vocabulary.width):
            line = tokens[:, voice]
            begins = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]])) if len(line) else np.zeros(0, int)
            ends = np.append(begins[1:], len(line))
            notes += [
                (voice, 0, int(a) * step, int(b - a) * step, int(line[a]) - 1 + vocabulary.options["lowest"], VELOCITY)
                for a, b in zip(begins, ends, strict=True)
                if line[a] != REST
            ]
        return columns_of_notes(notes), DEFAULT_QPM

    def pack(self, corpus: Path, split: Path, folder: Path) -> None:
        """Write the packed representation of every train, valid and test piece that fits.

        Raises:
            ValueError: no training piece fits; names the reason of the first that does not.
        """
        tables = Corpus(corpus)
        pieces, rejects = encode_pieces(tables, split, self.encode, "voices")
        training = [piece.tokens_TxK for piece in pieces if piece.row.split == "train"]
        bounds = [_range(np.concatenate([tokens[:, k] for tokens in training])) for k in range(self.options.voices)]
        rows = []
        for piece in pieces:
            row, tokens = piece.row, piece.tokens_TxK
            spans = [(_range(tokens[:, k]), bounds[k]) for k in range(self.options.voices)]
            room = [(bound[0] - own[0], bound[1] - own[1]) for own, bound in spans if own and bound]
            rows.append(
                Row(
                    piece=row.piece,
                    split=row.split,
                    clean=row.clean,
                    steps=len(tokens),
                    notes=tables.pieces[piece.index]["notes"],
                    seconds=round(tables.seconds(piece.index), 6),
                    transpose_low=min(0, max(low for low, _ in room)),
                    transpose_high=max(0, min(high for _, high in room)),
                    family=row.family,
                )
            )
        write_packed(folder, self.vocabulary, self.grammar(bounds), rows, [piece.tokens_TxK for piece in pieces])
        write_rejects(Path(folder) / "rejects.csv", rejects)

    def grammar(self, bounds: list[tuple[int, int] | None]) -> Grammar:
        """One state a voice: a rest or a token within that voice's training range (`bounds`, inclusive)."""
        voices, size = self.options.voices, self.vocabulary.size
        allowed_SxV = np.zeros((voices, size), bool)
        allowed_SxV[:, REST] = True
        for voice, bound in enumerate(bounds):
            if bound:
                allowed_SxV[voice, bound[0] : bound[1] + 1] = True
        successor = (np.arange(voices) + 1) % voices
        return Grammar(allowed_SxV, np.repeat(successor[:, None], size, 1).astype(np.int16))


def _range(tokens: np.ndarray) -> tuple[int, int] | None:
    """Lowest and highest pitch token, or None where there are only rests."""
    pitches = tokens[tokens != REST]
    return (int(pitches.min()), int(pitches.max())) if len(pitches) else None
