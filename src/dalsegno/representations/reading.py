"""Reads events back as music: the one decoder of all tokenizations, whoever wrote the tokens.

It knows no tokenizer, so that jobs that only read tokens need not load one, and it takes every sequence: what has no
meaning is skipped or mended, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.representations import remi
from dalsegno.representations.base import Decoded, Vocabulary, columns_of_notes
from dalsegno.representations.remi import VELOCITY

Event = tuple[int, str, str]
"""Step, type, value."""


@lru_cache(maxsize=16)
def _split(names: tuple[str, ...]) -> list[list[tuple[str, str]]]:
    """Each symbol's events as (type, value); a learned symbol has several."""
    return [[(part.partition("_")[0], part.partition("_")[2]) for part in name.split(" ")] for name in names]


def decode_events(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
    """The music of any sequence of events; see `dalsegno.representations.base.Representation.decode`.

    - A note is a pitch with, where the vocabulary has them, a velocity and a duration right behind it.
    - Of notes of one pitch, program and onset the longest is kept.
    - Everything after the end symbol is dropped.
    """
    tokens = np.asarray(tokens_TxK).reshape(-1, vocabulary.width)
    kind = vocabulary.kind
    if kind == "remi" and (told := remi.read(tokens[:, 0], vocabulary)) is not None:
        return told
    reader = _Reader(vocabulary)
    if kind == "octuple":
        events = _octuple(tokens, vocabulary, reader.repairs)
    elif vocabulary.width > 1:
        events = _compound(tokens, vocabulary, reader.repairs)
    else:
        table = _split(vocabulary.names)
        events = ((t, *event) for t, token in enumerate(tokens[:, 0].tolist()) for event in table[token])
    return reader.read(events, len(tokens))


def _compound(tokens: np.ndarray, vocabulary: Vocabulary, repairs: Counter[str]) -> Iterator[Event]:
    """The events of cp_word and mumidi in the order in which one token a step would tell them."""
    table = _split(vocabulary.names)
    tempo = ""
    for t, row in enumerate(tokens.tolist()):
        fields: dict[str, str] = {}
        for token in row:
            name, value = table[token][0]
            if name in fields and name not in ("Ignore", "EOS"):
                repairs["a field stands twice in a step"] += 1
            fields.setdefault(name, value)
        if "EOS" in fields:
            yield t, "EOS", "None"
            return
        if "Bar" in fields:
            yield t, "Bar", "None"
            if "TimeSig" in fields:
                yield t, "TimeSig", fields["TimeSig"]
        if "Position" in fields:
            yield t, "Position", fields["Position"]
        # Every step of mumidi names the tempo, which holds from the first step that has a place in time.
        if "Tempo" in fields and fields["Tempo"] != tempo and ("Bar" in fields or "Position" in fields):
            tempo = fields["Tempo"]
            yield t, "Tempo", tempo
        for name in ("Program", "Pitch", "PitchDrum", "Velocity", "Duration"):
            if name in fields:
                yield t, name, fields[name]


def _octuple(tokens: np.ndarray, vocabulary: Vocabulary, repairs: Counter[str]) -> Iterator[Event]:
    """The events of octuple, whose steps are notes with their bar and position, in the order of time."""
    table = _split(vocabulary.names)
    rows = []
    for t, row in enumerate(tokens.tolist()):
        fields = dict(table[token][0] for token in reversed(row))
        if "EOS" in fields:
            break
        if not fields.keys() >= {"Bar", "Position"} or not fields.keys() & {"Pitch", "PitchDrum"}:
            repairs["a step is no note"] += 1
            continue
        rows.append((int(fields["Bar"]), int(fields["Position"]), t, fields))
    if any(rows[i][:2] > rows[i + 1][:2] for i in range(len(rows) - 1)):
        repairs["notes out of order"] += 1
        rows.sort(key=lambda one: one[:2])
    bar, last, tempo = -1, (-1, -1), ""
    for own, position, t, fields in rows:
        while bar < own:
            bar += 1
            yield t, "Bar", "None"
            # No note tells the meter of the bars before the first: they have its own, as in MidiTok.
            if "TimeSig" in fields and (bar == own or not bar):
                yield t, "TimeSig", fields["TimeSig"]
        if (own, position) != last:
            yield t, "Position", str(position)
            last = (own, position)
        if fields.get("Tempo", tempo) != tempo:
            tempo = fields["Tempo"]
            yield t, "Tempo", tempo
        for name in ("Program", "Pitch", "PitchDrum", "Velocity", "Duration"):
            if name in fields:
                yield t, name, fields[name]


class _Reader:
    """One pass over events.

    Args:
        vocabulary: says which fields a note has, and the grid.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        names = {event[0] for symbol in _split(vocabulary.names) for event in symbol}
        self.steps = int(vocabulary.options["steps_per_quarter"])
        self.longest = int(vocabulary.options["longest"]) * TICKS_PER_QUARTER
        self.with_velocity = "Velocity" in names
        self.with_duration = "Duration" in names
        self.with_tempo = "Tempo" in names
        self.kind = vocabulary.kind
        self.repairs: Counter[str] = Counter()

    def read(self, events: Iterator[Event], steps: int) -> Decoded:
        """The music of events, in order of their steps."""
        repairs = self.repairs
        # Music without tracks of its own is told apart by program alone.
        notes: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        sounding: dict[tuple[int, int], list[tuple[int, int]]] = {}
        tempos: list[tuple[int, float]] = []
        meters: list[tuple[int, int, int]] = []
        ticks = np.zeros(steps, np.int64)
        on_off, pertok, mmm = self.kind == "midi_like", self.kind == "pertok", self.kind == "mmm"
        beat, bar_ticks = TICKS_PER_QUARTER, 4 * TICKS_PER_QUARTER
        now = bar_start = 0
        # PerTok's first bar has no symbol.
        begun = pertok
        track = -1 if mmm else 0
        program, drum = 0, False
        pitch: int | None = None
        velocity: int | None = None
        shift = 0
        named = ended = False
        done = 0

        def close(duration: int) -> None:
            """End the note in hand."""
            nonlocal pitch
            assert pitch is not None
            if velocity is None and self.with_velocity:
                repairs["a note without a velocity"] += 1
            add(pitch, max(0, now + shift), duration, VELOCITY if velocity is None else velocity)
            pitch = None

        def add(key: int, start: int, duration: int, loud: int) -> None:
            own = (track, DRUMS if drum else program, start, key)
            if own in notes:
                repairs["a note stands twice"] += 1
            notes[own] = max(notes.get(own, (0, 0)), (duration, loud))

        def drop() -> None:
            nonlocal pitch
            if pitch is not None:
                repairs["a pitch without a duration"] += 1
                pitch = None

        for t, name, value in events:
            if t > done:
                ticks[done:t] = now
                done = t
            if name in ("Velocity", "MicroTiming", "Duration"):
                if pitch is None and name == "MicroTiming" and named:
                    # PerTok times the program of a note as well as the note.
                    continue
                if pitch is None:
                    repairs[f"a {name.lower()} without a pitch"] += 1
                elif name == "Velocity":
                    velocity = int(value)
                    if on_off:
                        sounding.setdefault((-1 if drum else program, pitch), []).append((now, velocity))
                        pitch = None
                elif name == "MicroTiming":
                    shift = int(value)
                else:
                    close(_ticks(value, beat))
                continue
            if pitch is not None:
                drop()
            named = name == "Program"
            if name in ("Pitch", "PitchDrum", "NoteOn", "DrumOn"):
                drum = name in ("PitchDrum", "DrumOn") or program == -1
                pitch, velocity, shift = int(value), None, 0
                if on_off and not self.with_velocity:
                    sounding.setdefault((-1 if drum else program, pitch), []).append((now, VELOCITY))
                    pitch = None
            elif name in ("NoteOff", "DrumOff"):
                drum = name == "DrumOff" or program == -1
                queue = sounding.get((-1 if drum else program, int(value)))
                if queue:
                    start, loud = queue.pop(0)
                    if now == start:
                        repairs["a note of no duration"] += 1
                    else:
                        add(int(value), start, now - start, loud)
                else:
                    repairs["a note ends that did not begin"] += 1
            elif name == "Position":
                if not begun:
                    repairs["a position before the first bar"] += 1
                    begun = True
                place = bar_start + int(value) * beat // self.steps
                if place < now:
                    repairs["a position goes back"] += 1
                if place >= bar_start + bar_ticks:
                    repairs["a position beyond its bar"] += 1
                now = place
            elif name == "Bar":
                now = bar_start = bar_start + bar_ticks if begun else 0
                begun = True
            elif name == "TimeShift":
                now += _ticks(value, beat)
            elif name == "Program":
                program = int(value)
            elif name == "TimeSig":
                numerator, denominator = map(int, value.split("/"))
                if track <= 0 and (not meters or meters[-1][1:] != (numerator, denominator)):
                    meters.append((now, numerator, denominator))
                beat = 4 * TICKS_PER_QUARTER // denominator
                bar_ticks = numerator * beat
            elif name == "Tempo":
                if track <= 0 and (not tempos or tempos[-1][1] != float(value)):
                    tempos.append((now, float(value)))
            elif name == "Track":
                if value == "Start":
                    track += 1
                    now = bar_start = 0
                    begun = False
                    program = 0
                    beat, bar_ticks = TICKS_PER_QUARTER, 4 * TICKS_PER_QUARTER
            elif name == "EOS":
                ended = True
                break
            elif name != "Chord":
                repairs[f"{name} has no meaning"] += 1
        drop()
        if ended and done < steps - 1:
            repairs["tokens after the end"] += steps - 1 - done
        ticks[done:] = now
        for (own, key), queue in sounding.items():
            for start, loud in queue:
                repairs["a note that never ends"] += 1
                drum, program = own == -1, max(own, 0)
                add(key, start, min(max(now - start, TICKS_PER_QUARTER // self.steps), self.longest), loud)
        if not self.with_tempo:
            tempos = []
        return Decoded(
            columns_of_notes(_rows(notes)), tuple(meters), tuple(tempos), dict(sorted(repairs.items())), ticks
        )


def _ticks(value: str, beat: int) -> int:
    """Ticks of a duration `beats.steps.resolution`."""
    beats, steps, resolution = map(int, value.split("."))
    return beats * beat + steps * beat // resolution


def _rows(notes: dict[tuple[int, int, int, int], tuple[int, int]]) -> np.ndarray:
    """A table in the order of `NOTE_COLUMNS`; where there are no tracks, one a program, drums last."""
    if not notes:
        return np.zeros((0, 6), np.int64)
    keys, values = np.array(list(notes), np.int64), np.array(list(notes.values()), np.int64)
    parts = np.unique(keys[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
    return np.column_stack([parts, keys[:, 1], keys[:, 2], values[:, 0], keys[:, 3], values[:, 1]])
