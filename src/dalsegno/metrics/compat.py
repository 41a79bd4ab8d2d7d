"""What other programs say of a piece, to the last digit and with their defects, so that published figures compare.

MusPy 0.5 (Dong and others, MusPy, ISMIR 2020) of music at 480 ticks a quarter with bars of 1,920; MusDr (Wu and Yang,
The Jazz Transformer on the Front Line, ISMIR 2020); mgeval (Yang and Lerch, 2020). Where one of them raises an error,
the value is NaN. The plain name of each metric is the one to use; `docs/metrics.md` says how they differ.
"""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER
from dalsegno.metrics import harmony, pitch, texture
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTH, Pieces, counts, ratio, reduce

MUSDR_POSITIONS = 64
MUSDR_STEP = TICKS_PER_BAR // MUSDR_POSITIONS


def onsets(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_O`, `tick_O` of the different onsets of each piece, sorted."""
    notes = pieces.by_time
    new = (np.diff(notes.piece, prepend=-1) != 0) | (np.diff(notes.start, prepend=-1) != 0)
    return notes.piece[new], notes.start[new]


def _zero_without_notes(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0)


def _pitch_range(pieces: Pieces) -> np.ndarray:
    plain = pitch.pitch_range.values(pieces)
    # The highest pitch so far starts at 0 and the lowest at 127, and drums move neither.
    return np.where(np.isnan(plain), np.where(pieces.sizes > 0, -127.0, 0.0), plain)


def _empty_rate(pieces: Pieces, ticks: int) -> np.ndarray:
    last = np.nan_to_num(pieces.last).astype(np.int64)
    units = np.where(last >= 1, last // ticks + 1, 0)
    rows = units + 1
    before = np.cumsum(rows) - rows
    known = units[pieces.piece] > 0
    row = before[pieces.piece[known]]
    change = np.bincount(row + pieces.start[known] // ticks, minlength=int(rows.sum()))
    change -= np.bincount(row + pieces.end[known] // ticks + 1, minlength=int(rows.sum()))
    used = np.bincount(np.repeat(np.arange(pieces.number), rows), np.cumsum(change) > 0, minlength=pieces.number)
    return 1 - ratio(used, units)


def _polyphony(pieces: Pieces) -> np.ndarray:
    parts = pieces.shared(texture.segments)
    sounding = np.bincount(parts.piece, parts.ticks * (parts.pitches > 0), minlength=pieces.number)
    return ratio(np.bincount(parts.piece, parts.ticks * parts.pitches, minlength=pieces.number), sounding)


def _polyphony_rate(pieces: Pieces) -> np.ndarray:
    parts = pieces.shared(texture.segments)
    return ratio(np.bincount(parts.piece, parts.ticks * (parts.pitches > 2), minlength=pieces.number), pieces.last)


def _groove_consistency(pieces: Pieces) -> np.ndarray:
    piece, tick = pieces.shared(onsets)
    bars = np.nan_to_num(pieces.last).astype(np.int64) // TICKS_PER_BAR + 1
    bar = tick // TICKS_PER_BAR
    # A key with the room of one bar between pieces, so that no piece's first bar answers to another's last.
    key = piece * (int(tick.max(initial=0)) + 2 * TICKS_PER_BAR) + tick
    place = np.searchsorted(key, key + TICKS_PER_BAR)
    agree = np.bincount(piece, key[np.minimum(place, len(key) - 1)] == key + TICKS_PER_BAR, minlength=pieces.number)
    ends = np.where(bar == 0, 1, 0) + np.where(bar == bars[piece] - 1, 1, 0)
    apart = np.bincount(piece, 2 - ends, minlength=pieces.number) - 2 * agree
    return 1 - ratio(apart, np.where(pieces.sizes > 0, TICKS_PER_BAR * (bars - 1), 0))


def _drum_pattern_consistency(pieces: Pieces) -> np.ndarray:
    drums = pieces.drums
    tick = drums.start % TICKS_PER_QUARTER
    return np.fmax(drums.mean(tick % SIXTEENTH == 0), drums.mean(tick % (TICKS_PER_QUARTER // 3) == 0))


def _windows(pieces: Pieces) -> pitch.Windows:
    return pitch.windows(pieces, MUSDR_STEP // 2)


def _grooving_similarity(pieces: Pieces) -> np.ndarray:
    bar, position = np.divmod((pieces.start + MUSDR_STEP // 2) // MUSDR_STEP, MUSDR_POSITIONS)
    bars = np.nan_to_num(reduce(np.maximum, pieces.piece, bar + 1, pieces.number)).astype(np.int64)
    onset = np.zeros((int(bars.sum()), MUSDR_POSITIONS), bool)
    onset[(np.cumsum(bars) - bars)[pieces.piece] + bar, position] = True
    row, place = np.nonzero(onset)
    on = counts(np.repeat(np.arange(pieces.number), bars)[row], place, pieces.number, MUSDR_POSITIONS)
    apart = (on * (bars[:, None] - on)).sum(axis=1)
    return 1 - ratio(apart, MUSDR_POSITIONS * bars * (bars - 1) / 2)


def _chord_irregularity(pieces: Pieces) -> np.ndarray:
    plain = ratio(*harmony.chord_ngrams(pieces, 3, dropped=1))
    return np.where(np.isnan(plain), 1.0, plain)


def _interval_size(pieces: Pieces) -> np.ndarray:
    first = reduce(np.minimum, pieces.piece, pieces.notes.track, pieces.number)
    notes = pieces.where(pieces.notes.track == first[pieces.piece]).by_time
    within = notes.piece[1:] == notes.piece[:-1]
    piece = notes.piece[1:][within]
    total = np.bincount(piece, np.abs(np.diff(notes.pitch))[within], minlength=pieces.number)
    return ratio(total, np.bincount(piece, minlength=pieces.number))


def _inter_onset_interval(pieces: Pieces) -> np.ndarray:
    start = reduce(np.maximum, pieces.piece, pieces.start, pieces.number) - pieces.first
    return ratio(start / TICKS_PER_QUARTER, np.maximum(pieces.sizes - 1, 0))


pitch_range_compat = PieceMetric(_pitch_range, "semitones")
"""MusPy `pitch_range`: 0 without notes, -127 for drums alone."""

pitches_used_compat = PieceMetric(lambda pieces: _zero_without_notes(pitch.pitches_used.values(pieces)), "pitches")
"""MusPy `n_pitches_used`: 0 without pitched notes."""

pitch_classes_used_compat = PieceMetric(
    lambda pieces: _zero_without_notes(pitch.pitch_classes_used.values(pieces)), "pitch classes"
)
"""MusPy `n_pitch_classes_used`: 0 without pitched notes."""

pitch_entropy_compat = PieceMetric(pitch.pitch_entropy.evaluate, "bits")
"""MusPy `pitch_entropy`; ours agrees."""

pitch_class_entropy_compat = PieceMetric(pitch.pitch_class_entropy.evaluate, "bits")
"""MusPy `pitch_class_entropy`; ours agrees."""

scale_consistency_compat = PieceMetric(pitch.scale_consistency.evaluate, "share of notes")
"""MusPy `scale_consistency`; ours agrees."""

polyphony_compat = PieceMetric(_polyphony, "pitches")
"""MusPy `polyphony`: different pitches, so that a unison of two tracks is one note. Drums are left out."""

polyphony_rate_compat = PieceMetric(_polyphony_rate, "share of time")
"""MusPy `polyphony_rate`: documented as "multiple pitches", but asks for three; from tick 0 to the last release."""

empty_beat_rate_compat = PieceMetric(lambda pieces: _empty_rate(pieces, TICKS_PER_QUARTER), "share of beats")
"""MusPy `empty_beat_rate`: a note fills the beat it ends on, and a piece that ends on a beat has one beat more."""

empty_bar_rate_compat = PieceMetric(lambda pieces: _empty_rate(pieces, TICKS_PER_BAR), "share of bars")
"""MusPy `empty_measure_rate` with bars of 1,920 ticks: the same two defects."""

groove_consistency_compat = PieceMetric(_groove_consistency, "share of ticks")
"""MusPy `groove_consistency` with bars of 1,920 ticks: compares ticks, so that any two bars agree almost everywhere."""

drum_pattern_consistency_compat = PieceMetric(_drum_pattern_consistency, "share of notes")
"""MusPy `drum_pattern_consistency`: the share of drum notes exactly on a tick of sixteenths, or of eighth triplets."""

pitch_class_entropy_1bar_compat = PieceMetric(lambda pieces: pitch.windowed_entropy(pieces.shared(_windows), 1), "bits")
"""MusDr H1: onsets rounded to a sixty-fourth of a bar."""

pitch_class_entropy_4bar_compat = PieceMetric(lambda pieces: pitch.windowed_entropy(pieces.shared(_windows), 4), "bits")
"""MusDr H4: onsets rounded to a sixty-fourth of a bar."""

grooving_similarity_compat = PieceMetric(_grooving_similarity, "share of positions")
"""MusDr GS with 64 positions a bar; above 1,000 pairs of bars it draws pairs without a seed, this takes them all."""

chord_irregularity_compat = PieceMetric(_chord_irregularity, "share of trigrams")
"""MusDr CPI of our chords: the last trigram is left out, and three chords or fewer give 1."""

interval_size_compat = PieceMetric(_interval_size, "semitones")
"""mgeval `avg_pitch_shift` of the first track: intervals inside chords count, too."""

inter_onset_interval_compat = PieceMetric(_inter_onset_interval, "quarters")
"""mgeval `avg_IOI` in quarter notes (there seconds): each further note of a chord counts an interval of 0."""
