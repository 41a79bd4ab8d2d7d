"""Features of written music: pitch, intervals, rhythm, texture, harmony, dynamics, instruments and form.

After jSymbolic 2.2 (McKay, Cumming and Fujinaga, ISMIR 2018), computed over the columns of all pieces at once. What
`dalsegno.metrics` measures of a piece stands here under the same name and is the same number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER, join_notes, make_notes
from dalsegno.data.tables import Corpus
from dalsegno.features.options import Symbolic
from dalsegno.features.windows import Window
from dalsegno.metrics.base import PieceMetric, share
from dalsegno.metrics.harmony import SIZE, MEMBERS_4096x12
from dalsegno.metrics.melody import melodic_steps
from dalsegno.metrics.pieces import SIXTEENTHS_A_BAR, Bars, Pieces, bars, counts, ratio, reduce, tracks
from dalsegno.metrics.pitch import key_correlations, pitch_class_histograms
from dalsegno.metrics.registry import load_metric
from dalsegno.metrics.rhythm import onset_intervals
from dalsegno.metrics.texture import segments

METRICS = (
    "pitch_class_entropy",
    "pitch_class_entropy_1bar",
    "pitch_class_entropy_4bar",
    "pitch_entropy",
    "pitch_classes_used",
    "pitches_used",
    "scale_consistency",
    "key_clarity",
    "pitch_range",
    "mean_pitch",
    "interval_size",
    "repeat_share",
    "step_share",
    "leap_share",
    "groove_consistency",
    "note_density",
    "note_duration",
    "duration_entropy",
    "inter_onset_interval",
    "inter_onset_entropy",
    "syncopation",
    "rhythm_complexity",
    "off_beat_share",
    "polyphony",
    "polyphony_rate",
    "empty_beat_rate",
    "triad_share",
    "seventh_share",
    "chord_entropy",
    "chord_irregularity",
    "chord_tonal_distance",
    "tonal_distance",
    "self_similarity",
    "repeated_bars",
    "compression_ratio",
)
"""The metrics of a piece that are features, too."""

REGISTERS = {"bass": (0, 54), "middle": (55, 72), "treble": (73, 127)}
"""MIDI pitches; jSymbolic's registers (P-12 to P-14)."""

NOTE_VALUES = {"sixteenths": 0.375, "eighths": 0.75, "quarters": 1.5, "halves": 3.0, "longer": np.inf}
"""Quarters up to which a note counts as one of these: halfway (by ratio 3:2) to the next value."""

FAMILIES = (
    "piano",
    "chromatic_percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth_lead",
    "synth_pad",
    "synth_effects",
    "ethnic",
    "percussive",
    "sound_effects",
    "drums",
)
"""The instrument families of General MIDI, eight programs each, then drums."""

STACCATO_SECONDS = 0.1
"""jSymbolic's R-62: notes of less are staccato."""


def columns(options: Symbolic) -> tuple[str, ...]:
    """The name of each number of a row."""
    nothing = Pieces(make_notes(start=[], duration=[], pitch=[]), 0)
    return tuple(_features(nothing, _Time(*np.zeros((5, 0)))))


def values(corpus: Corpus, numbers: Sequence[int], options: Symbolic) -> np.ndarray:
    """float32 `[pieces, columns]` of pieces of a corpus; NaN where a feature is undefined.

    Args:
        numbers: rows of `pieces.parquet`.
    """
    pieces = Pieces(join_notes([make_notes(**corpus.piece(number)) for number in numbers]), len(numbers))
    rows = [_time(corpus, number) for number in numbers]
    found = _features(pieces, _Time(*np.array(rows, float).reshape(-1, 5).T))
    return np.column_stack(list(found.values())).astype(np.float32)


def windows(corpus: Corpus, numbers: Sequence[int], options: Symbolic) -> Iterator[list[Window]]:
    """One window a piece."""
    for number, row in zip(numbers, values(corpus, numbers, options), strict=True):
        yield [Window(0.0, corpus.seconds(number), row[None])]


@dataclass(frozen=True)
class _Time:
    """What the tables of tempos and meters say of each piece, `[pieces]`.

    Attributes:
        seconds, quarters: length.
        changes: tempo marks after the first.
        numerator, denominator: of the meter that lasts longest, 4/4 where there is none.
    """

    seconds: np.ndarray
    quarters: np.ndarray
    changes: np.ndarray
    numerator: np.ndarray
    denominator: np.ndarray


def _time(corpus: Corpus, number: int) -> tuple[float, float, int, int, int]:
    end = corpus.pieces[number]["end"]
    meters = corpus.meters(number) or [(0, 4, 4)]
    lasts: dict[tuple[int, int], int] = {}
    for (tick, *meter), (following, *_) in itertools.pairwise([*meters, (max(end, meters[-1][0]), 0, 0)]):
        lasts[meter[0], meter[1]] = lasts.get((meter[0], meter[1]), 0) + following - tick
    longest = max(lasts, key=lambda meter: (lasts[meter], meter))
    tempos = [qpm for _, qpm in corpus.tempos(number)]
    changes = sum(one != other for one, other in itertools.pairwise(tempos))
    return corpus.seconds(number), end / TICKS_PER_QUARTER, changes, *longest


def _features(pieces: Pieces, time: _Time) -> dict[str, np.ndarray]:
    """`[pieces]` of every column, by name."""
    found: dict[str, np.ndarray] = {}
    for name in METRICS:
        metric = load_metric(name)
        assert isinstance(metric, PieceMetric)
        found[name] = metric.values(pieces)
    for group in (_pitch, _intervals, _harmony, _texture, _dynamics, _instruments):
        found |= group(pieces)
    return found | _rhythm(pieces, time)


def _histogram(name: str, counts_PxB: np.ndarray, labels: Sequence[object]) -> dict[str, np.ndarray]:
    """Shares of the bins, one column each."""
    shares = share(counts_PxB)
    return {f"{name}_{label}": shares[:, bin] for bin, label in enumerate(labels)}


def _deviation(values: np.ndarray, piece: np.ndarray, number: int) -> np.ndarray:
    """`[pieces]`: standard deviation of the values of each piece; NaN without any."""
    n = np.bincount(piece, minlength=number)
    mean = ratio(np.bincount(piece, values, minlength=number), n)
    return np.sqrt(ratio(np.bincount(piece, (values - mean[piece]) ** 2, minlength=number), n))


def _pitch(pieces: Pieces) -> dict[str, np.ndarray]:
    """Pitch classes over the tonic of the best key, so that equal music in two keys is equal; registers; spread."""
    pitched = pieces.pitched
    correlations = pieces.shared(key_correlations)
    defined = np.isfinite(correlations).all(axis=1)
    best = np.where(defined, np.nan_to_num(correlations).argmax(axis=1), 0)
    degrees = np.take_along_axis(
        pitch_class_histograms(pieces), (np.arange(12) + (best % 12)[:, None]) % 12, axis=1
    ).astype(float)
    degrees[~defined] = 0
    modes = correlations.reshape(-1, 2, 12).max(axis=2)
    classes, pitches = share(pitch_class_histograms(pieces)), share(pitched.counts(pitched.pitch, 128))
    registers = {
        f"{name}_share": pitched.mean((pitched.pitch >= low) & (pitched.pitch <= high))
        for name, (low, high) in REGISTERS.items()
    }
    return {
        **_histogram("degree", degrees, range(12)),
        "major": modes[:, 0] - modes[:, 1],
        "pitch_deviation": _deviation(pitched.pitch, pitched.piece, pieces.number),
        "commonest_pitch_share": pitches.max(axis=1),
        "commonest_pitch_class_share": classes.max(axis=1),
        **registers,
    }


def _intervals(pieces: Pieces) -> dict[str, np.ndarray]:
    """Melodic intervals of each track by size, and their direction."""
    piece, semitones = pieces.shared(melodic_steps)
    sizes = counts(piece, np.minimum(np.abs(semitones), 13), pieces.number, 14)
    moving = np.bincount(piece, semitones != 0, minlength=pieces.number)
    same = piece[1:] == piece[:-1]
    turns = np.bincount(piece[1:][same], (semitones[1:] * semitones[:-1])[same] < 0, minlength=pieces.number)
    return {
        **_histogram("interval", sizes, [*range(13), "wider"]),
        "rising_share": ratio(np.bincount(piece, semitones > 0, minlength=pieces.number), moving),
        "turn_share": ratio(turns, np.bincount(piece[1:][same], minlength=pieces.number)),
    }


def _harmony(pieces: Pieces) -> dict[str, np.ndarray]:
    """What sounds together: interval classes between pitch classes, and how many pitch classes, by time."""
    parts = pieces.shared(segments)
    together = np.zeros((pieces.number, 6))
    for interval in range(1, 7):
        pairs = (MEMBERS_4096x12 & np.roll(MEMBERS_4096x12, -interval, axis=1)).sum(axis=1)
        pairs = pairs // 2 if interval == 6 else pairs
        together[:, interval - 1] = np.bincount(
            parts.piece, parts.ticks * pairs[parts.classes], minlength=pieces.number
        )
    size = np.minimum(SIZE[parts.classes], 5)
    sounding = size > 0
    sizes = counts(parts.piece[sounding], size[sounding] - 1, pieces.number, 5, parts.ticks[sounding])
    return {
        **_histogram("vertical_interval_class", together, range(1, 7)),
        **_histogram("simultaneous_pitch_classes", sizes, [1, 2, 3, 4, "more"]),
    }


def _texture(pieces: Pieces) -> dict[str, np.ndarray]:
    """How many pitches sound at once, by time, and how notes are divided among tracks."""
    parts = pieces.shared(segments)
    sounding = parts.pitches > 0
    piece, pitches, ticks = parts.piece[sounding], parts.pitches[sounding], parts.ticks[sounding].astype(float)
    total = np.bincount(piece, ticks, minlength=pieces.number)
    mean = ratio(np.bincount(piece, ticks * pitches, minlength=pieces.number), total)
    square = np.bincount(piece, ticks * (pitches - mean[piece]) ** 2, minlength=pieces.number)
    own = pieces.shared(tracks)
    piece_T = np.repeat(np.arange(pieces.number), own.counts_P)
    notes_T = np.bincount(own.note_N, minlength=len(piece_T))
    return {
        "pitches_at_once": mean,
        "pitches_at_once_deviation": np.sqrt(ratio(square, total)),
        "most_pitches_at_once": reduce(np.maximum, piece, pitches, pieces.number),
        "tracks": own.counts_P.astype(float),
        "largest_track_share": ratio(reduce(np.maximum, piece_T, notes_T, pieces.number), pieces.sizes),
    }


def _dynamics(pieces: Pieces) -> dict[str, np.ndarray]:
    """Velocities, and their change from note to note."""
    notes = pieces.by_time
    velocity = notes.notes.velocity.astype(float)
    within = notes.piece[1:] == notes.piece[:-1]
    change = np.abs(np.diff(velocity))[within]
    piece = notes.piece[1:][within]
    low, high = (reduce(ufunc, notes.piece, velocity, pieces.number) for ufunc in (np.minimum, np.maximum))
    return {
        "velocity": notes.mean(velocity),
        "velocity_deviation": _deviation(velocity, notes.piece, pieces.number),
        "velocity_range": high - low,
        "velocity_change": ratio(
            np.bincount(piece, change, minlength=pieces.number), np.bincount(piece, minlength=pieces.number)
        ),
    }


def _instruments(pieces: Pieces) -> dict[str, np.ndarray]:
    """Shares of notes by instrument family, and how many programs play."""
    program = pieces.notes.program.astype(np.int64)
    played = pieces.counts(program, DRUMS + 1) > 0
    return {
        **_histogram("notes", pieces.counts(program // 8, len(FAMILIES)), FAMILIES),
        "programs": played.sum(axis=1).astype(float),
    }


def _rhythm(pieces: Pieces, time: _Time) -> dict[str, np.ndarray]:
    """Note values, places in the bar (of four quarters), spread of onsets, tempo and meter."""
    duration = (pieces.end - pieces.start) / TICKS_PER_QUARTER
    value = np.searchsorted(list(NOTE_VALUES.values()), duration)
    grid: Bars = pieces.shared(bars)
    piece, ticks = pieces.shared(onset_intervals)
    waits = ticks / TICKS_PER_QUARTER
    # Of a piece whose tempo changes, the mean tempo.
    second = ratio(time.seconds, time.quarters)
    return {
        **_histogram("values", pieces.counts(value, len(NOTE_VALUES)), list(NOTE_VALUES)),
        **_histogram("onset", pieces.counts(grid.position_N, SIXTEENTHS_A_BAR), range(1, SIXTEENTHS_A_BAR + 1)),
        "duration_deviation": _deviation(duration, pieces.piece, pieces.number),
        "inter_onset_deviation": _deviation(waits, piece, pieces.number),
        "staccato_share": pieces.mean(duration * second[pieces.piece] < STACCATO_SECONDS),
        "qpm": 60 * ratio(time.quarters, time.seconds),
        "tempo_changes": time.changes,
        "notes_per_second": ratio(pieces.sizes, time.seconds),
        "seconds": time.seconds,
        "meter_numerator": time.numerator,
        "meter_denominator": time.denominator,
    }
