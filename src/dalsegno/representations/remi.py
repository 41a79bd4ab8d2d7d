"""REMI over columns: the symbols that MidiTok writes for a score that it has prepared, and music from symbols.

MidiTok prepares a score (its grid, its levels, the order of its notes) with arrays, then makes an object of every
symbol. Here symbols are written, and read where nothing has to be mended, with arrays too. What is written are the
tokens of MidiTok, what is read is what `dalsegno.representations.reading` reads; both are tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.representations.base import Decoded, Vocabulary, columns_of_notes
from dalsegno.representations.options import Events

BAR, SIGNATURE, POSITION, TEMPO, NOTE = range(5)
"""What stands at one tick, in this order."""

VELOCITY = 80
"""Of notes whose tokens name none."""


class Writer:
    """Symbols of prepared scores.

    Args:
        options: without chords.
        ids: name -> symbol.
    """

    def __init__(self, options: Events, ids: Mapping[str, int]) -> None:
        self.options, self.ids = options, ids
        self.velocities = _by_value(ids, "Velocity_")
        self.programs = _by_value(ids, "Program_", offset=1)
        # Durations stand side by side, one grid step apart.
        self.duration = min((i for name, i in ids.items() if name.startswith("Duration_")), default=0)

    def write(self, score: Any) -> np.ndarray:
        """The symbols (int16) of a score that MidiTok's `preprocess_score` gave, without the end symbol.

        Raises:
            ValueError: there is nothing to write.
        """
        options, steps = self.options, self.options.steps_per_quarter
        quarter = score.ticks_per_quarter
        notes, programs = _notes(score)
        tempos = [(tempo.time, self.ids[f"Tempo_{round(tempo.tempo, 2)}"]) for tempo in self._tempos(score)]
        signatures = score.time_signatures.numpy() if options.meters else {}
        if not len(notes) and not tempos and not options.meters:
            raise ValueError("no notes")
        # The meter in force at a tick: where it began, ticks a bar, ticks a grid line, bars before it.
        begun = np.array(signatures.get("time", [0]), np.int64)
        numerator = np.array(signatures.get("numerator", [4]), np.int64)
        denominator = np.array(signatures.get("denominator", [4]), np.int64)
        beat = 4 * quarter // denominator
        a_bar, line = beat * numerator, beat // steps
        # A meter that comes later than tick 0 is in force from there on all the same.
        before = np.concatenate([[0], np.cumsum((np.diff(begun)) // a_bar[:-1])])

        start = notes["time"].astype(np.int64)
        ticks = np.unique(np.concatenate([start, np.array([tick for tick, _ in tempos], np.int64)]))
        meter = np.maximum(np.searchsorted(begun, ticks, side="right") - 1, 0)
        within = ticks - begun[meter]
        last = np.append(before[meter] + within // a_bar[meter], before[-1] if options.meters else -1).max()
        bars = np.arange(last + 1)
        bar_meter = np.maximum(np.searchsorted(before, bars, side="right") - 1, 0)
        bar_ticks = begun[bar_meter] + (bars - before[bar_meter]) * a_bar[bar_meter]

        blocks = [(bar_ticks, BAR, [np.full(len(bars), self.ids["Bar_None"])])]
        if options.meters:
            names = [f"TimeSig_{n}/{d}" for n, d in zip(numerator.tolist(), denominator.tolist(), strict=True)]
            blocks.append((bar_ticks, SIGNATURE, [np.array([self.ids[name] for name in names])[bar_meter]]))
        place = self.ids["Position_0"] + within % a_bar[meter] // line[meter]
        blocks.append((ticks, POSITION, [place]))
        if tempos:
            blocks.append((np.array([tick for tick, _ in tempos]), TEMPO, [np.array([own for _, own in tempos])]))
        section = np.maximum(np.searchsorted(begun, start, side="right") - 1, 0)
        drum = (programs < 0) & options.drums
        fields = [np.where(drum, self.ids.get("PitchDrum_0", 0), self.ids["Pitch_0"]) + notes["pitch"]]
        if options.has_programs:
            fields.insert(0, self.programs[programs + 1])
        if options.velocities > 1:
            fields.append(self.velocities[notes["velocity"]])
        fields.append(self.duration + notes["duration"] // line[section] - 1)
        blocks.append((start, NOTE, fields))
        return _interleaved(blocks)

    def _tempos(self, score: Any) -> Any:
        return score.tempos if self.options.tempos else ()


@dataclass(frozen=True)
class _Table:
    """What the symbols of a vocabulary stand for.

    Attributes:
        first, count: events `first[v]` … of symbol v; a learned symbol has several.
        kind, value, other: of each event: its type, its number (of a meter two).
    """

    first: np.ndarray
    count: np.ndarray
    kind: np.ndarray
    value: np.ndarray
    other: np.ndarray


KINDS = ("Bar", "TimeSig", "Position", "Tempo", "Chord", "Program", "Pitch", "PitchDrum", "Velocity", "Duration", "EOS")
(_BAR, _SIGNATURE, _POSITION, _TEMPO, _CHORD, _PROGRAM, _PITCH, _DRUM, _VELOCITY, _DURATION, _EOS) = range(len(KINDS))


@lru_cache(maxsize=16)
def _table(names: tuple[str, ...]) -> _Table:
    events = [event.partition("_")[::2] for name in names for event in name.split(" ")]
    count = np.array([name.count(" ") + 1 for name in names])
    kind = np.array([KINDS.index(name) if name in KINDS else -1 for name, _ in events])
    pairs = []
    for own, (_, value) in zip(kind.tolist(), events, strict=True):
        if own == _SIGNATURE:
            pairs.append(tuple(map(float, value.split("/"))))
        elif own == _DURATION:
            beats, steps, _ = map(int, value.split("."))
            pairs.append((beats, steps))
        else:
            pairs.append((float(value) if own not in (-1, _BAR, _CHORD, _EOS) else 0.0, 0.0))
    value, other = np.array(pairs).T
    return _Table(np.cumsum(count) - count, count, kind, value, other)


def read(tokens_T: np.ndarray, vocabulary: Vocabulary) -> Decoded | None:
    """The music of symbols, or None where something must be mended; equal to that of `reading`."""
    table = _table(vocabulary.names)
    tokens_T = np.asarray(tokens_T, np.int64)
    count_T = table.count[tokens_T]
    ends_T = np.cumsum(count_T)
    event = np.arange(int(count_T.sum())) + np.repeat(table.first[tokens_T] - ends_T + count_T, count_T)
    kind, value, other = table.kind[event], table.value[event], table.other[event]
    with_velocity = bool((table.kind == _VELOCITY).any())
    if not len(kind) or kind[0] != _BAR or (kind < 0).any() or (kind[:-1] == _EOS).any():
        return None

    # A note is told whole: a pitch, its velocity where there are velocities, its duration.
    heads = np.flatnonzero((kind == _PITCH) | (kind == _DRUM))
    tail = [_VELOCITY, _DURATION] if with_velocity else [_DURATION]
    if len(heads) and heads[-1] + len(tail) >= len(kind):
        return None
    if any((kind[heads + 1 + i] != own).any() or (kind == own).sum() != len(heads) for i, own in enumerate(tail)):
        return None

    # A meter follows a bar and holds until the next.
    bar_at = np.flatnonzero(kind == _BAR)
    bar = np.cumsum(kind == _BAR) - 1
    signed = np.flatnonzero(kind == _SIGNATURE)
    if (kind[signed - 1] != _BAR).any():
        return None
    own = np.full(len(bar_at), -1)
    own[bar[signed]] = signed
    own = np.maximum.accumulate(own)
    numerator = np.where(own < 0, 4, value[own]).astype(np.int64)
    denominator = np.where(own < 0, 4, other[own]).astype(np.int64)
    beat = 4 * TICKS_PER_QUARTER // denominator
    length = numerator * beat
    start_B = np.cumsum(length) - length

    resolution = int(vocabulary.options["steps_per_quarter"])
    placed = np.flatnonzero(kind == _POSITION)
    within = value[placed].astype(np.int64) * beat[bar[placed]] // resolution
    now = np.zeros(len(kind), np.int64)
    now[bar_at] = start_B
    now[placed] = start_B[bar[placed]] + within
    timed = np.where((kind == _BAR) | (kind == _POSITION), np.arange(len(kind)), 0)
    now = now[np.maximum.accumulate(timed)]
    if (within >= length[bar[placed]]).any() or (now[1:] < now[:-1]).any():
        return None

    told = np.maximum.accumulate(np.where(kind == _PROGRAM, np.arange(len(kind)), -1))
    program = np.where(told < 0, 0, value[told]).astype(np.int64)[heads]
    program[(kind[heads] == _DRUM) | (program < 0)] = DRUMS
    pitch, start = value[heads].astype(np.int64), now[heads]
    keys = (start * (DRUMS + 1) + program) * 128 + pitch
    if len(np.unique(keys)) < len(keys):
        return None
    last = heads + len(tail)
    beats = beat[bar[heads]]
    duration = value[last].astype(np.int64) * beats + other[last].astype(np.int64) * beats // resolution
    velocity = value[heads + 1].astype(np.int64) if with_velocity else np.full(len(heads), VELOCITY)
    part = np.unique(program, return_inverse=True)[1].reshape(-1)
    notes = columns_of_notes(np.column_stack([part, program, start, duration, pitch, velocity]))

    at = np.flatnonzero(kind == _TEMPO)
    fresh = at[np.concatenate([[True], value[at][1:] != value[at][:-1]])[: len(at)]]
    tempos = tuple(zip(now[fresh].tolist(), value[fresh].tolist(), strict=True))
    changed = (value[signed][1:] != value[signed][:-1]) | (other[signed][1:] != other[signed][:-1])
    fresh = signed[np.concatenate([[True], changed])[: len(signed)]]
    numbers = (now[fresh], value[fresh].astype(np.int64), other[fresh].astype(np.int64))
    meters = tuple(zip(*(column.tolist() for column in numbers), strict=True))
    return Decoded(notes, meters, tempos, {}, now[ends_T - 1])


def _by_value(ids: Mapping[str, int], prefix: str, offset: int = 0) -> np.ndarray:
    """value + offset -> symbol."""
    own = {int(name.removeprefix(prefix)) + offset: i for name, i in ids.items() if name.startswith(prefix)}
    table = np.zeros(max(own, default=0) + 1, np.int64)
    for value, i in own.items():
        table[value] = i
    return table


def _notes(score: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The notes of all tracks one after the other, and the program of each, -1 for drums."""
    parts = [track.notes.numpy() for track in score.tracks]
    programs = [-1 if track.is_drum else track.program for track in score.tracks]
    names = ("time", "duration", "pitch", "velocity")
    columns = {name: np.concatenate([np.zeros(0, np.int64), *(part[name] for part in parts)]) for name in names}
    sizes = [len(part["time"]) for part in parts]
    return columns, np.repeat(np.array(programs, np.int64), sizes)


def _interleaved(blocks: list[tuple[np.ndarray, int, list[np.ndarray]]]) -> np.ndarray:
    """Symbols by tick and rank; rows of equal ticks and ranks stay in their order, a row's symbols stay together."""
    tick = np.concatenate([ticks for ticks, _, _ in blocks])
    rank = np.concatenate([np.full(len(ticks), rank) for ticks, rank, _ in blocks])
    width = np.concatenate([np.full(len(ticks), len(fields)) for ticks, _, fields in blocks])
    order = np.argsort(tick * (NOTE + 1) + rank, kind="stable")
    at = np.empty(len(order), np.int64)
    at[order] = np.cumsum(width[order]) - width[order]
    symbols = np.empty(int(width.sum()), np.int16)
    row = 0
    for ticks, _, fields in blocks:
        for i, field in enumerate(fields):
            symbols[at[row : row + len(ticks)] + i] = field
        row += len(ticks)
    return symbols
