"""Metrics of repetition. Drums are left out."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTHS_A_BAR, Bars, Pieces, bars, ratio

FARTHEST = 64
"""Bars beyond which two passages are not compared, so that the cost grows with a piece's length and not its square."""

LENGTHS = (2, 4, 8)
"""Bars of a passage: 4, 8 and 16 seconds at 120 quarter notes a minute."""

WORDS = SIXTEENTHS_A_BAR * 12 // 64


def contents(pieces: Pieces) -> np.ndarray:
    """`cells_BxW`: which pitch class starts at which sixteenth of each bar, as bits in `WORDS` words of 64."""
    pitched = pieces.pitched
    grid: Bars = pitched.shared(bars)
    cells = np.zeros((len(grid.piece_B), SIXTEENTHS_A_BAR * 12), bool)
    cells[grid.note_N, grid.position_N * 12 + pitched.pitch_class] = True
    return np.packbits(cells, axis=1).view(np.uint64).reshape(-1, WORDS)


@dataclass(frozen=True)
class Repetition:
    """What comparing the bars of each piece gives.

    Attributes:
        mean_P: mean likeness of two bars.
        best: length of a passage -> `likeness_P` of its best repetition.
    """

    mean_P: np.ndarray
    best: dict[int, np.ndarray]


def repetition(pieces: Pieces) -> Repetition:
    """Compare each bar with the bars after it, and each passage with the passages after it."""
    grid: Bars = pieces.pitched.shared(bars)
    cells = pieces.shared(contents)
    size = np.bitwise_count(cells).sum(axis=1, dtype=np.int64)
    kept = _near(size > 0)
    piece_B = grid.piece_B[kept]
    counts_P = np.bincount(piece_B, minlength=pieces.number)
    longest = int(counts_P.max(initial=0))
    # Longest pieces first: the bars that have one `lag` bars later are then a beginning of the table, and no longer one
    # than it has to be.
    order = np.argsort(-counts_P[piece_B], kind="stable")
    piece_B, kept = piece_B[order], kept[order]
    words, size = np.ascontiguousarray(cells[kept].T), size[kept].astype(float)
    bars_B = counts_P[piece_B]
    first = np.flatnonzero(np.diff(piece_B, prepend=-1))
    end = np.append(first[1:], len(piece_B))[: len(first)]
    remaining = np.repeat(end, end - first)
    remaining -= np.arange(len(piece_B))
    total_B, pairs_B = np.zeros(len(piece_B)), np.zeros(len(piece_B))
    best_B = {length: np.full(len(piece_B), -1.0) for length in LENGTHS}
    for lag in range(1, min(FARTHEST, longest - 1) + 1):
        rows = int(np.searchsorted(-bars_B, -lag))
        near, far = slice(0, rows - lag), slice(lag, rows)
        within = remaining[near] > lag
        shared = np.bitwise_count(words[:, near] & words[:, far]).sum(axis=0, dtype=np.uint8)
        notes = size[near] + size[far]
        likeness = 2.0 * shared / np.maximum(notes, 1) * within
        total_B[near] += likeness
        pairs_B[near] += (notes > 0) & within
        # What reaches beyond a piece's end is no passage.
        likeness[~within] = -np.inf
        width, run = 1, likeness
        for length in LENGTHS:
            while width < length:
                run = run[:-width] + run[width:]
                width *= 2
            if lag >= length:
                np.maximum(best_B[length][: len(run)], run / length, out=best_B[length][: len(run)])
    best = {}
    for length, likest_B in best_B.items():
        likest = np.full(pieces.number, np.nan)
        likest[piece_B[first]] = np.maximum.reduceat(likest_B, first) if len(first) else []
        best[length] = np.where(likest >= 0, likest, np.nan)
    total, pairs = (np.bincount(piece_B, values, minlength=pieces.number) for values in (total_B, pairs_B))
    return Repetition(ratio(total, pairs), best)


def _near(heard_B: np.ndarray) -> np.ndarray:
    """The bars that some comparison of a bar with notes reaches, and enough silence between them to keep others apart.

    What is left out would add comparisons of silence with silence alone: a stray late note costs nothing.
    """
    reach = FARTHEST + max(LENGTHS)
    before = np.concatenate([[0], np.cumsum(heard_B)])
    bar = np.arange(len(heard_B))
    in_reach = before[np.minimum(bar + reach + 1, len(bar))] > before[np.maximum(bar - reach, 0)]
    return np.flatnonzero(in_reach)


def _repeated_bars(pieces: Pieces) -> np.ndarray:
    grid: Bars = pieces.pitched.shared(bars)
    cells = pieces.shared(contents)
    filled = cells.any(axis=1)
    piece, rows = grid.piece_B[filled], cells[filled]
    order = np.lexsort((*rows.T, piece))
    again = np.zeros(len(piece), bool)
    again[1:] = (rows[order][1:] == rows[order][:-1]).all(axis=1) & (piece[order][1:] == piece[order][:-1])
    n = np.bincount(piece, minlength=pieces.number)
    return np.where(n > 1, ratio(np.bincount(piece[order], again, minlength=pieces.number), n), np.nan)


def _compression_ratio(pieces: Pieces) -> np.ndarray:
    from dalsegno.metrics import sweeps

    notes = pieces.pitched.by_time
    text = sweeps.text(notes.piece, notes.start, notes.end, notes.pitch).tobytes()
    ends = 3 * np.cumsum(notes.sizes)
    result = np.full(pieces.number, np.nan)
    low = 0
    for piece, high in enumerate(ends.tolist()):
        if high - low > 3:
            result[piece] = (high - low) / len(zlib.compress(text[low:high], 6, -15))
        low = high
    return result


self_similarity = PieceMetric(lambda pieces: pieces.shared(repetition).mean_P, "likeness")
"""Mean likeness of two bars of a piece, over all pairs at most 64 bars apart of which one holds pitched onsets.

Likeness is Dice's coefficient of what starts in the bars: twice the cells (sixteenth and pitch class) that both have,
over the cells of one and of the other. Undefined below two bars. Source of the idea: Foote, Visualizing Music and Audio
using Self-Similarity, 1999.
"""

structureness_short = PieceMetric(lambda pieces: pieces.shared(repetition).best[2], "likeness")
"""How well the best repeated passage of two bars is repeated: 1 exactly, 0 not at all.

The mean likeness (see `self_similarity`) of a passage's bars to the bars of a later one that does not overlap it and
starts at most 64 bars later; the largest in the piece. A symbolic form of the structureness indicators of Wu and Yang,
ISMIR 2020: theirs is the largest fitness (how well *and how often*) of a segment in the scape plot of a synthesised
recording's chroma, tempo and key changes allowed, by seconds (3 to 8, 8 to 15, over 15) and costs minutes a piece; this
one reads notes and bars, takes the best pair alone and hears a transposed repetition as another passage. Grows with the
length of a piece: compare pieces of one length. Undefined where two such passages do not fit.
"""

structureness_mid = PieceMetric(lambda pieces: pieces.shared(repetition).best[4], "likeness")
"""As `structureness_short`, for passages of four bars."""

structureness_long = PieceMetric(lambda pieces: pieces.shared(repetition).best[8], "likeness")
"""As `structureness_short`, for passages of eight bars."""

repeated_bars = PieceMetric(_repeated_bars, "share of bars")
"""Share of the bars with pitched onsets that start the same pitch classes at the same sixteenths as an earlier bar.

Undefined below two such bars.
"""

compression_ratio = PieceMetric(_compression_ratio, "bytes/byte")
"""How many times shorter DEFLATE (level 6) makes a piece's notes: larger for more repetition, at any transposition.

Three bytes a note in order of time: sixteenths since the note before, semitones from it, sixteenths that it lasts.
Short pieces compress badly: compare pieces of one length. Undefined below two notes.
"""
