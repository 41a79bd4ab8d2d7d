"""Metrics of when something is played. Drums count."""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTHS_A_BAR, Bars, Pieces, bars, counts, entropy, ratio

TWELFTH = TICKS_PER_QUARTER // 12  # holds sixteenths and triplets alike
LONGEST = 8 * 12  # twelfths: eight quarters

# Depth of each sixteenth in a bar of four quarters: 0 the bar, 1 its half, 2 quarters, 3 eighths, 4 sixteenths.
DEPTH_16 = np.array([0, 4, 3, 4, 2, 4, 3, 4, 1, 4, 3, 4, 2, 4, 3, 4])
STRENGTH_16 = 5 - DEPTH_16
# Depth of the strongest position passed on the way from one to another, by the bits in which their numbers differ: the
# highest says which grid has a line between them. 5: none is passed; 16 and more: a bar line.
STRONGEST_PASSED_17 = np.array([5, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0])
# Largest total strength of n onsets.
STRONGEST_17 = np.concatenate([[0], np.cumsum(np.sort(STRENGTH_16)[::-1])])


def onset_intervals(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_I`, `ticks_I` between one onset of a piece and the next, all tracks taken together."""
    notes = pieces.by_time
    new = np.ones(len(notes.start), bool)
    new[1:] = (np.diff(notes.start) > 0) | (np.diff(notes.piece) > 0)
    start, piece = notes.start[new], notes.piece[new]
    within = piece[1:] == piece[:-1]
    return piece[1:][within], np.diff(start)[within]


def _twelfths(ticks: np.ndarray) -> np.ndarray:
    return np.minimum((ticks + TWELFTH // 2) // TWELFTH, LONGEST)


def _groove_consistency(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.shared(bars)
    neighbours = grid.piece_B[1:] == grid.piece_B[:-1]
    apart = (grid.onset_Bx16[1:] != grid.onset_Bx16[:-1]).sum(axis=1)[neighbours]
    total = np.bincount(grid.piece_B[1:][neighbours], apart, minlength=pieces.number)
    pairs = np.maximum(grid.counts_P - 1, 0)
    return 1 - ratio(total, SIXTEENTHS_A_BAR * pairs)


def _note_density(pieces: Pieces) -> np.ndarray:
    return ratio(pieces.sizes, (pieces.last - pieces.first) / TICKS_PER_QUARTER)


def _note_duration(pieces: Pieces) -> np.ndarray:
    return pieces.mean((pieces.end - pieces.start) / TICKS_PER_QUARTER)


def _duration_entropy(pieces: Pieces) -> np.ndarray:
    return entropy(pieces.counts(_twelfths(pieces.end - pieces.start), LONGEST + 1))


def _inter_onset_interval(pieces: Pieces) -> np.ndarray:
    piece, ticks = pieces.shared(onset_intervals)
    total = np.bincount(piece, ticks, minlength=pieces.number) / TICKS_PER_QUARTER
    return ratio(total, np.bincount(piece, minlength=pieces.number))


def _inter_onset_entropy(pieces: Pieces) -> np.ndarray:
    piece, ticks = pieces.shared(onset_intervals)
    return entropy(counts(piece, _twelfths(ticks), pieces.number, LONGEST + 1))


def _syncopation(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.shared(bars)
    place = np.flatnonzero(grid.onset_Bx16)
    piece = grid.piece_B[place // SIXTEENTHS_A_BAR]
    within = piece[1:] == piece[:-1]
    here, following, piece = place[:-1][within], place[1:][within], piece[1:][within]
    silent = STRONGEST_PASSED_17[np.minimum(here ^ (following - 1), SIXTEENTHS_A_BAR)]
    weight = np.maximum(DEPTH_16[here & (SIXTEENTHS_A_BAR - 1)] - silent, 0)
    filled = np.bincount(grid.piece_B, grid.heard, minlength=pieces.number)
    onsets = np.bincount(piece, minlength=pieces.number)
    return np.where(onsets > 0, ratio(np.bincount(piece, weight, minlength=pieces.number), filled), np.nan)


def _rhythm_complexity(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.shared(bars)
    lost = STRONGEST_17[grid.onset_Bx16.sum(axis=1)] - grid.onset_Bx16 @ STRENGTH_16
    filled = np.bincount(grid.piece_B, grid.heard, minlength=pieces.number)
    return ratio(np.bincount(grid.piece_B, lost, minlength=pieces.number), filled)


def _off_beat_share(pieces: Pieces) -> np.ndarray:
    return pieces.mean(pieces.shared(bars).position_N & 3 != 0)


groove_consistency = PieceMetric(_groove_consistency, "share of positions")
"""Share of metrical positions at which a bar and the next agree on whether a note starts, averaged over bar pairs.

Onsets are first rounded to a sixteenth grid with bars of four quarters, sixteen positions each, so that the value
does not depend on the file's resolution (a grid of ticks makes any two bars agree almost everywhere). Bars run from
tick 0 to the last onset; undefined below two bars. Source: Wu and Yang, ISMIR 2020, with their 64 positions made 16.
"""

note_density = PieceMetric(_note_density, "notes/quarter")
"""Notes a quarter note between the first onset and the last release; undefined where that span is empty."""

note_duration = PieceMetric(_note_duration, "quarters")
"""Mean duration of a piece's notes in quarter notes. Undefined without notes."""

duration_entropy = PieceMetric(_duration_entropy, "bits")
"""Entropy of the durations in bits, rounded to twelfths of a quarter (eight quarters and more are one class)."""

inter_onset_interval = PieceMetric(_inter_onset_interval, "quarters")
"""Mean time in quarter notes from one onset to the next; notes that start together are one onset.

Undefined below two onsets. After the IOI of Yang and Lerch (2020), which counts a zero for every further note of a
chord (`inter_onset_interval_compat`).
"""

inter_onset_entropy = PieceMetric(_inter_onset_entropy, "bits")
"""Entropy of the inter-onset intervals in bits, rounded as durations are. Undefined below two onsets."""

syncopation = PieceMetric(_syncopation, "levels/bar")
"""Syncopation after Longuet-Higgins and Lee, The Rhythmic Interpretation of Monophonic Music, 1984.

On the sixteenth grid of bars of four quarters, all tracks taken together: an onset that is followed by silence or a
held note on a stronger position counts the difference of their metrical levels (five levels, from the bar down to
the sixteenth). The sum, over the bars in which anything starts. Undefined below two onsets.
"""

rhythm_complexity = PieceMetric(_rhythm_complexity, "strength/bar")
"""Metrical complexity after Toussaint, A Mathematical Analysis of African, Brazilian and Cuban Clave Rhythms, 2002.

Each sixteenth of a bar has a strength from 1 (odd sixteenths) to 5 (the downbeat). The complexity of a bar is the
largest total strength that its number of onsets could reach minus the one that they have; here its mean over the bars
in which anything starts, all tracks taken together. Undefined without notes.
"""

off_beat_share = PieceMetric(_off_beat_share, "share of notes")
"""Share of notes whose onset, rounded to sixteenths, is on no beat of a quarter. Undefined without notes."""
