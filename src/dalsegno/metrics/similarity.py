"""How alike the bars of a piece are, in chroma, rhythm and instruments; and how alike the bars of two pieces are.

Means over all pairs of bars are taken in closed form, so a piece of ten hours costs no more a bar than a short one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dalsegno.data.notes import DRUMS, Notes
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTHS_A_BAR, Bars, Pieces, bars, counts, ratio

PROGRAMS = DRUMS + 1


def chroma(pieces: Pieces) -> np.ndarray:
    """`chroma_Bx12`: onsets of each pitch class in each bar, as a vector of length 1; zeros for a bar without."""
    grid: Bars = pieces.shared(bars)
    pitched = pieces.notes.program != 128
    histogram = counts(grid.note_N[pitched], pieces.pitch_class[pitched], len(grid.piece_B), 12).astype(float)
    return np.nan_to_num(ratio(histogram, np.linalg.norm(histogram, axis=1, keepdims=True)))


def instruments(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_K`, `bars_K`: for each program of each piece, in how many bars it starts a note."""
    grid: Bars = pieces.shared(bars)
    key = pieces.piece * PROGRAMS + pieces.notes.program
    programs = np.flatnonzero(np.bincount(key, minlength=pieces.number * PROGRAMS))
    piece = programs // PROGRAMS
    # One cell for each bar and each program of its piece.
    cells = grid.counts_P[piece]
    first = np.cumsum(cells) - cells
    row = np.zeros(pieces.number * PROGRAMS, np.int64)
    row[programs] = first
    plays = np.zeros(int(cells.sum()), bool)
    plays[row[key] + grid.bar_B[grid.note_N]] = True
    return piece, np.add.reduceat(plays, first, dtype=np.int64) if len(first) else first


def _pairs(n: np.ndarray) -> np.ndarray:
    return n * (n - 1) / 2


def _summed(rows: np.ndarray, piece: np.ndarray, pieces: int) -> np.ndarray:
    """`sums_PxD` of rows sorted by piece."""
    total = np.zeros((pieces, rows.shape[1]))
    if len(rows):
        first = np.flatnonzero(np.diff(piece, prepend=-1))
        total[piece[first]] = np.add.reduceat(rows, first, axis=0)
    return total


def _chroma_similarity(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.shared(bars)
    unit = pieces.shared(chroma)
    n = np.bincount(grid.piece_B, unit.any(axis=1), minlength=pieces.number)
    total = _summed(unit, grid.piece_B, pieces.number)
    # |sum of unit vectors|² is n plus twice the sum over pairs; the last digits must not lift a mean above 1.
    return np.clip(ratio(((total**2).sum(axis=1) - n) / 2, _pairs(n)), 0, 1)


def _grooving_similarity(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.shared(bars)
    on = _summed(grid.onset_Bx16.astype(float), grid.piece_B, pieces.number)
    apart = (on * (grid.counts_P[:, None] - on)).sum(axis=1)
    return 1 - ratio(apart, SIXTEENTHS_A_BAR * _pairs(grid.counts_P))


def _instrumentation_similarity(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.shared(bars)
    piece, number = instruments(pieces)
    apart = np.bincount(piece, number * (grid.counts_P[piece] - number), minlength=pieces.number)
    used = np.bincount(piece, minlength=pieces.number)
    return 1 - ratio(apart, used * _pairs(grid.counts_P))


@dataclass(frozen=True)
class Likeness:
    """How alike two pieces are bar by bar, each in [0, 1]; NaN where it is undefined."""

    chroma: float
    grooving: float
    instrumentation: float


def likeness(piece: Notes, source: Notes) -> Likeness:
    """How alike each bar of a piece is to the same bar of its source, averaged over the bars that both have.

    Chroma and grooving as in Wu and Yang, MuseMorphose, 2021: the cosine of two bars' chroma, and the share of
    positions at which both start a note or neither does (here 16 positions a bar). Instrumentation: the share of
    the programs of either piece of which both bars start a note, or neither.
    """
    both = Pieces.of([piece, source])
    grid: Bars = both.shared(bars)
    n = int(grid.counts_P.min())
    first, second = slice(0, n), slice(int(grid.counts_P[0]), int(grid.counts_P[0]) + n)
    unit = both.shared(chroma)
    defined = unit[first].any(axis=1) & unit[second].any(axis=1)
    cosine = (unit[first] * unit[second]).sum(axis=1)[defined]
    onset = grid.onset_Bx16[first] == grid.onset_Bx16[second]
    programs = np.unique(both.notes.program)
    plays = np.zeros((len(grid.piece_B), len(programs)), bool)
    plays[grid.note_N, np.searchsorted(programs, both.notes.program)] = True
    same = plays[first] == plays[second]
    return Likeness(*(float(x.mean()) if x.size else np.nan for x in (cosine, onset, same)))


chroma_similarity = PieceMetric(_chroma_similarity, "cosine")
"""Mean cosine between the chroma of two bars of a piece, over all pairs of bars with pitched onsets.

Chroma counts onsets by pitch class. The sim_chr of Wu and Yang, MuseMorphose, 2021, compares a bar with the bar that
it was made from (`likeness`); here a piece is compared with itself. Undefined below two such bars.
"""

grooving_similarity = PieceMetric(_grooving_similarity, "share of positions")
"""Mean share of the sixteen positions at which two bars agree on whether a note starts, over all pairs of bars.

GS of Wu and Yang, ISMIR 2020 (there 64 positions, and 1,000 pairs drawn without a seed where there are more; all are
taken here). Bars run from tick 0 to the last onset. Undefined below two bars.
"""

instrumentation_similarity = PieceMetric(_instrumentation_similarity, "share of programs")
"""Mean share of a piece's programs on which two bars agree whether they start a note, over all pairs of bars.

Drums are one program. Undefined below two bars.
"""
