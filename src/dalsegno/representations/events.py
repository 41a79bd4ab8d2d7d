"""Events as MidiTok writes them, in any of its tokenizations that fit.

MidiTok is used, not copied: this module gives it the notes, and takes its tokens. Reading them back is
`dalsegno.representations.reading`.

Without `meters` a *bar* is four quarter notes counted from the start of the piece, whatever the notated meter: Bar and
Position are a clock that every piece shares. Without `programs` all tracks are one stream.

Sources: REMI (Huang and Yang 2020), TSD (Fradet et al. 2023), MIDI-Like (Oore et al. 2018), Structured (Hadjeres and
Crestel 2021), CPWord (Hsiao et al. 2021), Octuple (Zeng et al. 2021), MuMIDI (Ren et al. 2020), MMM (Ens and Pasquier
2020), PerTok (Lenz and Mani 2024).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.data.tables import DEFAULT_QPM
from dalsegno.representations import automaton, phrases, remi
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
from dalsegno.representations.learned import Symbols
from dalsegno.representations.options import Events
from dalsegno.representations.reading import VELOCITY, decode_events

if TYPE_CHECKING:
    from miditok import MusicTokenizer

CLASSES = {
    "remi": "REMI",
    "tsd": "TSD",
    "midi_like": "MIDILike",
    "structured": "Structured",
    "cp_word": "CPWord",
    "octuple": "Octuple",
    "mumidi": "MuMIDI",
    "mmm": "MMM",
    "pertok": "PerTok",
}
PAD, IGNORE, EOS = "PAD_None", "Ignore_None", "EOS_None"
"""MidiTok always has a PAD; packed pieces need no padding, so it is left out of the vocabulary."""


class MidiTokEvents(Representation):
    """The representations of MidiTok.

    Args:
        options: the tokenization and what it tells.
    """

    options: Events

    def __init__(self, options: Events) -> None:
        super().__init__(options)
        self.tokenizer = tokenizer(options)
        ids = self.tokenizer.vocab
        self.fields: list[dict[str, int]] = ids if isinstance(ids, list) else [ids]
        # A symbol means the same in whatever field it stands; shorter steps are filled up with IGNORE.
        names: dict[str, None] = {}
        for field in self.fields:
            names |= dict.fromkeys(name for name in sorted(field, key=lambda name: field[name]) if name != PAD)
        if options.kind == "mumidi":
            names[IGNORE] = None
        self.names = tuple(names)
        self.ids = {name: i for i, name in enumerate(self.names)}
        self._tables = []
        for field in self.fields:
            table = np.full(max(field.values()) + 1, -1, np.int16)
            for name, own in field.items():
                table[own] = self.ids.get(name, -1)
            self._tables.append(table)
        self.writer = remi.Writer(options, self.ids) if options.kind == "remi" and not options.chords else None
        self.symbols: Symbols | None = None

    @cached_property
    def base(self) -> Vocabulary:
        """The vocabulary of single events."""
        return Vocabulary(
            kind=self.options.kind,
            names=self.names,
            width=len(self.fields),
            period=1,
            # An end of a note is transposed as its beginning is.
            pitches=self._range("NoteOn_", "NoteOff_") if self.options.kind == "midi_like" else self._range("Pitch_"),
            eos=self.ids[EOS],
            step_ticks=None,
            options=self.options.model_dump(),
            layout=self.options.layout,
            velocities=self._range("Velocity_"),
            tempos=self._range("Tempo_"),
        )

    @property
    def vocabulary(self) -> Vocabulary:
        return self.base if self.symbols is None else self.symbols.vocabulary(self.base)

    def encode(self, piece: Piece) -> np.ndarray:
        """`tokens_TxK` (int16) of a piece, EOS at the end; what starts after `max_bars` is cut.

        Two notes of one pitch (and program, where there are programs) that start on one grid line become one.

        Raises:
            ValueError: a piece that the tokenization cannot tell; the message is the reason.
        """
        score = self._score(piece)
        if self.writer is not None:
            symbols = self.writer.write(self.tokenizer.preprocess_score(score))
            return np.append(symbols, np.int16(self.ids[EOS]))[:, None]
        with warnings.catch_warnings():
            # MidiTok warns of pieces that end within the last bar.
            warnings.simplefilter("ignore")
            sequences = self.tokenizer.encode(score)
        (sequence,) = sequences if isinstance(sequences, list) else (sequences,)
        if not sequence.ids:
            raise ValueError("no notes")
        if len(self.fields) == 1:
            tokens = self._tables[0][np.array(sequence.ids)][:, None]
        else:
            width = len(self.fields)
            tokens = np.full((len(sequence.ids), width), self.ids.get(IGNORE, -1), np.int16)
            # Steps of one length at a time: mumidi's steps without notes are shorter.
            lengths = np.array([len(step) for step in sequence.ids])
            for length in np.unique(lengths).tolist():
                rows = np.flatnonzero(lengths == length)
                block = np.array([sequence.ids[row] for row in rows.tolist()])
                for k in range(length):
                    tokens[rows, k] = self._tables[k][block[:, k]]
        end = np.full((1, len(self.fields)), self.ids[EOS], np.int16)
        return np.concatenate([tokens, end])

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
        return decode_events(tokens_TxK, vocabulary)

    def claim(self, piece: Piece) -> Piece:
        """The piece on the grid: onsets and durations at the nearest lines, a duration of one step at least.

        Exact where all meters of a piece have one denominator and begin on bar lines.
        """
        options = self.options
        notes = _chosen(piece.notes, self.kept(piece))
        start, duration = notes["start"].astype(np.int64), notes["duration"].astype(np.int64)
        beat = 4 * TICKS_PER_QUARTER // (max((m[2] for m in piece.meters), default=4) if options.meters else 4)
        step = beat // options.steps_per_quarter
        steps = np.maximum((duration + step // 2) // step, 1)
        if options.kind == "pertok":
            level = step / options.timings
            start = np.maximum(np.ceil((start - level / 2) / level) * level, 0).astype(np.int64)
            # PerTok takes the shorter of two durations that are as near.
            steps = np.maximum(-((step // 2 - duration) // step), 1)
        else:
            start = (start + step // 2) // step * step
        if options.kind != "midi_like":
            longest = options.longest * options.steps_per_quarter - (options.kind == "pertok")
            steps = np.minimum(steps, longest)
        first, end = self.base.velocities
        # Of two levels as near MidiTok takes the louder.
        levels = np.array([int(name.partition("_")[2]) for name in self.names[first:end]] or [VELOCITY])[::-1]
        nearest = np.abs(levels[None] - notes["velocity"][:, None].astype(np.int64)).argmin(1)
        track = notes["track"].astype(np.int64) if options.kind == "mmm" else np.zeros(len(start), np.int64)
        program = notes["program"].astype(np.int64) if options.has_programs else np.zeros(len(start), np.int64)
        table = np.column_stack([track, program, start, steps * step, notes["pitch"], levels[nearest]])
        # MidiTok keeps the first, that is the shortest, of notes that begin together; before PerTok times them.
        timed = options.kind == "pertok"
        table = table[_firsts(table, *((notes["start"], notes["duration"]) if timed else (start, steps)))]
        if timed:
            # Of those that come together by their timing the reader keeps the longest.
            table[:, [3, 5]] *= -1
            table = table[_firsts(table, table[:, 2], table[:, 3])]
            table[:, [3, 5]] *= -1
        if options.kind == "midi_like":
            table = _first_in_first_out(table)
        table[:, 0] = np.unique(table[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
        return Piece(columns_of_notes(table), piece.meters, piece.tempos)

    def kept(self, piece: Piece) -> np.ndarray:
        """Mask of the notes that begin within `max_bars`, and are drums only where drums are told.

        Raises:
            ValueError: there is none; the message is the reason.
        """
        return told(piece, self.options.drums, self._end(piece))

    def spans(self, tokens_TxK: np.ndarray) -> list[tuple[int, int] | None]:
        first, end = self._range("NoteOn_") if self.options.kind == "midi_like" else self.base.pitches
        pitches = tokens_TxK[(tokens_TxK >= first) & (tokens_TxK < end)]
        return [(int(pitches.min()), int(pitches.max())) if len(pitches) else None]

    def grammar(self, bounds: Sequence[tuple[int, int] | None]) -> Grammar:
        lowest, highest = bounds[0] or (0, 0)
        first, end = self._range("NoteOn_") if self.options.kind == "midi_like" else self.base.pitches
        barred = [symbol for symbol in range(first, end) if not lowest <= symbol <= highest]
        if not self.options.drums and "Program_-1" in self.ids:
            barred.append(self.ids["Program_-1"])
        base = phrases.grammar(self.options.kind, self.names, barred)
        return base if self.symbols is None else automaton.composed(base, self.symbols.parts)

    def learn(self, training: Iterable[np.ndarray]) -> None:
        if self.options.learned is not None:
            begins = [i for i, name in enumerate(self.names) if name == "Bar_None"]
            self.symbols = Symbols.train(training, self.names, self.options.learned, begins, self.ids[EOS])

    def finish(self, tokens_TxK: np.ndarray) -> np.ndarray:
        return tokens_TxK if self.symbols is None else self.symbols.encode(tokens_TxK[:, 0])[:, None]

    def learned(self) -> Any:
        return None if self.symbols is None else self.symbols.document()

    def _range(self, *prefixes: str) -> tuple[int, int]:
        """The ids of the symbols with one of the prefixes, which stand side by side."""
        own = [i for i, name in enumerate(self.names) if name.startswith(prefixes)]
        return (own[0], own[-1] + 1) if own else (0, 0)

    def _end(self, piece: Piece) -> int:
        """The tick where `max_bars` are over; half a grid step earlier, since MidiTok rounds to the nearest."""
        step = TICKS_PER_QUARTER // self.options.steps_per_quarter
        meters = [(0, 4, 4), *piece.meters] if self.options.meters else [(0, 4, 4)]
        bars, end = self.options.max_bars, 0
        for (tick, numerator, denominator), after in zip(meters, [*meters[1:], None], strict=True):
            length = numerator * 4 * TICKS_PER_QUARTER // denominator
            held = bars if after is None else min(bars, -(-(after[0] - tick) // length))
            bars, end = bars - held, tick + held * length
            if not bars:
                break
        return end - (step + 1) // 2

    def _score(self, piece: Piece) -> Any:
        """The piece as a symusic score of what is told."""
        from symusic import Note, Score, Tempo, TimeSignature, Track

        options = self.options
        notes = _chosen(piece.notes, self.kept(piece))
        # symusic's stubs leave the unit of time open; these are ticks.
        score: Any = Score(TICKS_PER_QUARTER)
        if options.has_programs:
            parts, back = np.unique(np.column_stack([notes["track"], notes["program"]]), axis=0, return_inverse=True)
            back = back.reshape(-1)
        else:
            parts, back = np.array([[0, 0]]), np.zeros(len(notes["start"]), np.int64)
        order = np.lexsort((notes["velocity"], notes["pitch"], notes["duration"], notes["start"], back))
        cuts = np.searchsorted(back[order], np.arange(len(parts) + 1))
        for i, (_, program) in enumerate(parts.tolist()):
            rows = order[cuts[i] : cuts[i + 1]]
            track: Any = Track(program=0 if program == DRUMS else program, is_drum=program == DRUMS)
            track.notes = Note.from_numpy(
                notes["start"][rows].astype(np.int32),
                notes["duration"][rows].astype(np.int32),
                notes["pitch"][rows].astype(np.int8),
                notes["velocity"][rows].astype(np.int8),
            )
            score.tracks.append(track)
        if options.meters:
            able = set(options.signatures)
            for tick, numerator, denominator in piece.meters:
                if (numerator, denominator) not in able:
                    raise ValueError(f"meter {numerator}/{denominator} is none of {', '.join(options.meters)}")
                score.time_signatures.append(TimeSignature(tick, numerator, denominator))
        else:
            score.time_signatures.append(TimeSignature(0, 4, 4))
        if options.tempos:
            for tick, qpm in piece.tempos:
                if not (np.isfinite(qpm) and qpm > 0):
                    raise ValueError(f"a tempo of {qpm:g} quarters a minute")
                score.tempos.append(Tempo(tick, qpm))
        if not len(score.tempos):
            # MuMIDI asks for one in any case.
            score.tempos.append(Tempo(0, DEFAULT_QPM))
        if options.kind == "structured":
            # MidiTok would shorten a longer silence without a word.
            onsets = np.unique(np.concatenate([[0], notes["start"]]))
            longest = options.longest * TICKS_PER_QUARTER
            if len(onsets) > 1 and (gap := int(np.diff(onsets).max())) > longest:
                raise ValueError(
                    f"{gap / TICKS_PER_QUARTER:g} quarters between onsets are more than `longest`, {options.longest}"
                )
        return score


def tokenizer(options: Events) -> MusicTokenizer:
    """MidiTok's tokenizer of an options section."""
    import miditok

    more: dict[str, Any] = {}
    if options.kind in ("octuple", "mumidi"):
        more["max_bar_embedding"] = options.max_bars
    if options.kind == "mmm":
        more["base_tokenizer"] = "REMI"
    if options.kind == "pertok":
        shift = 0.5 / options.steps_per_quarter
        more |= {"ticks_per_quarter": TICKS_PER_QUARTER, "use_microtiming": True, "max_microtiming_shift": shift}
        more["num_microtiming_bins"] = options.timings
    if options.meters:
        signatures: dict[int, list[int]] = {}
        for numerator, denominator in options.signatures:
            signatures.setdefault(denominator, []).append(numerator)
        more["time_signature_range"] = signatures
    config = miditok.TokenizerConfig(
        pitch_range=(0, 127),
        beat_res={(0, options.longest): options.steps_per_quarter},
        num_velocities=options.velocities,
        special_tokens=["EOS"],
        use_velocities=options.velocities > 1,
        use_programs=options.has_programs,
        use_time_signatures=bool(options.meters),
        use_tempos=options.tempos > 0,
        num_tempos=max(options.tempos, 1),
        use_chords=options.chords,
        use_rests=False,
        use_pitch_intervals=False,
        use_pitchdrum_tokens=options.drums,
        drums_pitch_range=(0, 127),
        remove_duplicated_notes=True,
        encode_ids_split="no",
        **more,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: MusicTokenizer = getattr(miditok, CLASSES[options.kind])(config)
    return made


def _chosen(notes: Columns, rows: np.ndarray) -> Columns:
    return {name: column[rows] for name, column in notes.items()}


def _firsts(table: np.ndarray, onsets: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """The rows that come first by duration and velocity among those of one track, program, onset and pitch."""
    order = np.lexsort((table[:, 5], durations, table[:, 4], onsets, table[:, 1], table[:, 0]))
    keys = np.column_stack([table[:, [0, 1, 4]], onsets])[order]
    return order[np.concatenate([[True], np.any(keys[1:] != keys[:-1], axis=1)])]


def _first_in_first_out(table: np.ndarray) -> np.ndarray:
    """Notes as NoteOn and NoteOff tell them: of overlapping notes of one pitch the first that began ends first."""
    order = np.lexsort((table[:, 2], table[:, 4], table[:, 1]))
    table = table[order]
    ends = table[:, 2] + table[:, 3]
    group = np.unique(table[:, [1, 4]], axis=0, return_inverse=True)[1].reshape(-1)
    table[:, 3] = ends[np.lexsort((ends, group))] - table[:, 2]
    return table
