"""REMI events (Huang and Yang 2020) as MidiTok writes them: Bar, Position, Pitch, (Velocity), Duration.

All tracks become one stream. A *bar* is four quarter notes counted from the start of the piece, whatever the notated
meter: the vocabulary has no meters, so Bar and Position are a clock that every piece shares, and decoding needs no
context. Durations reach up to eight quarter notes; longer ones are shortened to that. Drums are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.data.tables import DEFAULT_QPM, Corpus, write_rejects
from dalsegno.representations.base import Grammar, Row, Vocabulary, columns_of_notes, write_packed
from dalsegno.representations.options import Remi
from dalsegno.representations.packing import encode_pieces

if TYPE_CHECKING:
    from miditok import REMI

QUARTERS_A_BAR = 4
LONGEST_QUARTERS = 8
VELOCITY = 80
PAD = "PAD_None"
"""MidiTok always has it; packed pieces need no padding, so it is left out of the vocabulary."""


class RemiEvents:
    """The representation of kind `remi`.

    Args:
        options: grid, velocity levels and the longest piece.

    Raises:
        ValueError: the grid does not divide the quarter note.
    """

    def __init__(self, options: Remi) -> None:
        if TICKS_PER_QUARTER % options.steps_per_quarter:
            raise ValueError(
                f"steps_per_quarter {options.steps_per_quarter} does not divide {TICKS_PER_QUARTER}: use 1, 2, 4, 6 …"
            )
        self.options = options
        self.tokenizer = _tokenizer(options)
        ids = self.tokenizer.vocab
        assert isinstance(ids, dict)
        names = tuple(name for name in sorted(ids, key=lambda name: ids[name]) if name != PAD)
        self.ids = {name: i for i, name in enumerate(names)}
        self.vocabulary = Vocabulary(
            kind="remi",
            names=names,
            width=1,
            period=1,
            pitches=(self.ids["Pitch_0"], self.ids["Pitch_127"] + 1),
            eos=self.ids["EOS_None"],
            step_ticks=None,
            options=options.model_dump(),
        )

    def encode(self, notes: dict[str, np.ndarray]) -> np.ndarray:
        """`tokens_Tx1` (int16) of a piece's note columns, EOS at the end; bars after `max_bars` are cut.

        Two notes of one pitch that start on the same grid line become one.

        Raises:
            ValueError: the piece has no note, or drums only; the message is the reason.
        """
        from symusic import Note, Score, TimeSignature, Track

        keep = (notes["program"] != DRUMS) & (notes["start"] < self._end_of_last_bar)
        if not keep.any():
            raise ValueError("no notes but drums")
        columns = (notes[name][keep].tolist() for name in ("start", "duration", "pitch", "velocity"))
        ordered = sorted(zip(*columns, strict=True))
        # symusic's stubs leave the unit of time open; these are ticks.
        score: Any = Score(TICKS_PER_QUARTER)
        track: Any = Track(program=0)
        for note in ordered:
            track.notes.append(Note(*note))
        score.tracks.append(track)
        score.time_signatures.append(TimeSignature(0, QUARTERS_A_BAR, 4))
        (sequence,) = self.tokenizer.encode(score)
        tokens = [self.ids[name] for name in sequence.tokens]
        return np.array([*tokens, self.vocabulary.eos], np.int16)[:, None]

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> tuple[dict[str, np.ndarray], float]:
        """The note columns and tempo (quarter notes a minute) of any token sequence.

        What has no meaning is skipped: a Pitch without a Duration, a Duration without a Pitch, everything after EOS.
        Of notes of one pitch that start together the longest is kept.
        """
        grid = TICKS_PER_QUARTER // vocabulary.options["steps_per_quarter"]
        bar, position, pitch, velocity = 0, 0, None, VELOCITY
        begun = False
        lengths: dict[tuple[int, int], tuple[int, int]] = {}
        for token in np.asarray(tokens_TxK).reshape(-1).tolist():
            kind, _, value = vocabulary.names[token].partition("_")
            if kind == "Bar":
                bar, position, begun, pitch = bar + begun, 0, True, None
            elif kind == "Position":
                position, begun, pitch = int(value), True, None
            elif kind == "Pitch":
                pitch, velocity = int(value), VELOCITY
            elif kind == "Velocity":
                velocity = int(value)
            elif kind == "Duration" and pitch is not None:
                quarters, steps, resolution = map(int, value.split("."))
                duration = quarters * TICKS_PER_QUARTER + steps * TICKS_PER_QUARTER // resolution
                key = (bar * QUARTERS_A_BAR * TICKS_PER_QUARTER + position * grid, pitch)
                lengths[key] = max(lengths.get(key, (0, 0)), (duration, velocity))
                pitch = None
            elif kind == "EOS":
                break
        notes = [(0, 0, start, duration, pitch, v) for (start, pitch), (duration, v) in lengths.items()]
        return columns_of_notes(notes), DEFAULT_QPM

    def pack(self, corpus: Path, split: Path, folder: Path) -> None:
        """Write the packed representation of every train, valid and test piece that has pitched notes.

        Raises:
            ValueError: no training piece fits; names the reason of the first that does not.
        """
        tables = Corpus(corpus)
        pieces, rejects = encode_pieces(tables, split, self.encode, "remi")
        spans = [self._pitch_span(piece.tokens_TxK) for piece in pieces]
        training = [span for span, piece in zip(spans, pieces, strict=True) if piece.row.split == "train"]
        lowest, highest = min(low for low, _ in training), max(high for _, high in training)
        rows = []
        for piece, (low, high) in zip(pieces, spans, strict=True):
            row, notes = piece.row, tables.piece(piece.index)
            kept = notes["start"] < self._end_of_last_bar
            end = int((notes["start"] + notes["duration"])[kept].max())
            rows.append(
                Row(
                    piece=row.piece,
                    split=row.split,
                    clean=row.clean,
                    steps=len(piece.tokens_TxK),
                    notes=int((kept & (notes["program"] != DRUMS)).sum()),
                    seconds=round(tables.seconds(piece.index, end), 6),
                    transpose_low=min(0, lowest - low),
                    transpose_high=max(0, highest - high),
                    family=row.family,
                )
            )
        write_packed(
            folder, self.vocabulary, self.grammar(lowest, highest), rows, [piece.tokens_TxK for piece in pieces]
        )
        write_rejects(Path(folder) / "rejects.csv", rejects)

    def grammar(self, lowest: int, highest: int) -> Grammar:
        """The automaton of well-formed pieces with pitch tokens from `lowest` to `highest` (ids, inclusive).

        States: before the first Bar; after a Bar; after EOS; and for each position: after Position, after Pitch,
        after Velocity (where there are velocities), after a whole note. Positions rise within a bar, EOS may stand
        only after a note.
        """
        names = self.vocabulary.names
        by_kind: dict[str, list[int]] = {}
        for token, name in enumerate(names):
            by_kind.setdefault(name.partition("_")[0], []).append(token)
        bars, ends, durations, positions = (by_kind[kind] for kind in ("Bar", "EOS", "Duration", "Position"))
        pitches = list(range(lowest, highest + 1))
        velocities = by_kind.get("Velocity", [])
        count = len(positions)
        start, bar, end, at, pitched, struck, noted = 0, 1, 2, 3, 3 + count, 3 + 2 * count, 3 + 3 * count
        allowed_SxV = np.zeros((3 + 4 * count, len(names)), bool)
        next_SxV = np.zeros(allowed_SxV.shape, np.int16)
        allowed_SxV[start, bars] = True
        allowed_SxV[bar, bars + positions] = True
        allowed_SxV[end, ends] = True
        for p in range(count):
            allowed_SxV[at + p, pitches] = True
            allowed_SxV[pitched + p, velocities or durations] = True
            allowed_SxV[struck + p, durations] = True
            allowed_SxV[noted + p, pitches + positions[p + 1 :] + bars + ends] = True
        # Successors are total, so that a prompt which does not obey the grammar leads to a sensible state too.
        place = np.zeros(len(allowed_SxV), int)
        for group in (at, pitched, struck, noted):
            place[group : group + count] = np.arange(count)
        next_SxV[:, bars] = bar
        next_SxV[:, ends] = end
        next_SxV[:, positions] = at + np.arange(count)
        next_SxV[:, by_kind["Pitch"]] = (pitched + place)[:, None]
        next_SxV[:, velocities] = (struck + place)[:, None]
        next_SxV[:, durations] = (noted + place)[:, None]
        return Grammar(allowed_SxV, next_SxV, start)

    @property
    def _end_of_last_bar(self) -> int:
        """The tick where `max_bars` are over; half a grid step earlier, since MidiTok rounds to the nearest."""
        grid = TICKS_PER_QUARTER // self.options.steps_per_quarter
        return self.options.max_bars * QUARTERS_A_BAR * TICKS_PER_QUARTER - (grid + 1) // 2

    def _pitch_span(self, tokens: np.ndarray) -> tuple[int, int]:
        first, end = self.vocabulary.pitches
        pitches = tokens[(tokens >= first) & (tokens < end)]
        return int(pitches.min()), int(pitches.max())


def _tokenizer(options: Remi) -> REMI:
    from miditok import REMI, TokenizerConfig

    return REMI(
        TokenizerConfig(
            pitch_range=(0, 127),
            beat_res={(0, LONGEST_QUARTERS): options.steps_per_quarter},
            num_velocities=options.velocities,
            special_tokens=["EOS"],
            use_velocities=options.velocities > 1,
            use_programs=False,
            use_time_signatures=False,
            use_tempos=False,
            use_chords=False,
            use_rests=False,
            use_pitch_intervals=False,
            use_pitchdrum_tokens=False,
            remove_duplicated_notes=True,
            encode_ids_split="no",
        )
    )
