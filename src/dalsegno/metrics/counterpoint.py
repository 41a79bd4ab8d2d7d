"""Faults of voice leading, for pieces whose pitched tracks are two to eight single voices.

Voices are ordered by their mean pitch, highest first, so that the order of a file's tracks does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces, packed, ratio, sorting

MOST = 8


@dataclass(frozen=True)
class Score:
    """What each voice sings at each onset of a piece.

    Attributes:
        piece: of each moment, sorted.
        pitch_MxV: pitch of each voice, -1 where it rests or does not exist; `V` is `MOST` or less.
    """

    piece: np.ndarray
    pitch_MxV: np.ndarray


def score(pieces: Pieces) -> Score:
    """The pieces that are made of single voices, as what sounds at each onset."""
    notes = pieces.pitched.by_time
    sounding = notes.end > notes.start
    notes = notes if sounding.all() else notes.where(sounding)
    track = packed(notes.piece, notes.notes.track)
    order = sorting(track)
    by_track, start, end = track[order], notes.start[order], notes.end[order]
    first = np.flatnonzero(np.diff(by_track, prepend=-1))
    owner = notes.piece[order[first]]
    voices_P = np.bincount(owner, minlength=pieces.number)
    fit_P = (voices_P >= 2) & (voices_P <= MOST)
    clash = (by_track[1:] == by_track[:-1]) & (start[1:] < end[:-1])
    fit_P[notes.piece[order[1:][clash]]] = False
    if not fit_P.any():
        return Score(np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    lengths = np.diff(np.append(first, len(track)))
    mean = np.add.reduceat(notes.pitch[order], first) / lengths
    ranked = np.lexsort((-mean, owner))
    rank = np.empty(len(first), np.int64)
    rank[ranked] = np.arange(len(first)) - (np.cumsum(voices_P) - voices_P)[owner]
    voice = np.empty(len(track), np.int64)
    voice[order] = np.repeat(rank, lengths)
    kept = fit_P[notes.piece]
    piece, start, end, pitch, voice = (x[kept] for x in (notes.piece, notes.start, notes.end, notes.pitch, voice))
    new = (np.diff(piece, prepend=-1) != 0) | (np.diff(start, prepend=-1) != 0)
    moment = np.cumsum(new) - 1
    owner, when = piece[new], start[new]
    sung = np.full((len(owner), int(voices_P[fit_P].max())), -1, np.int16, order="F")
    for v in range(sung.shape[1]):
        mine = np.flatnonzero(voice == v)
        latest = np.full(len(owner), -1, np.int64)
        latest[moment[mine]] = mine
        latest = np.maximum.accumulate(latest)
        holds = (latest >= 0) & (piece[latest] == owner) & (end[latest] > when)
        sung[holds, v] = pitch[latest[holds]]
    return Score(owner, sung)


def parallels(pieces: Pieces) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Interval class (7: fifths, 0: octaves and unisons) to `parallel_P`, and `moves_P` of two voices at once."""
    sung = pieces.shared(score)
    piece = sung.piece[1:]
    before, after = sung.pitch_MxV[:-1], sung.pitch_MxV[1:]
    heard = (before >= 0) & (after >= 0) & (piece == sung.piece[:-1])[:, None]
    step = (after - before) * heard
    moves = np.zeros(pieces.number)
    found = {7: np.zeros(pieces.number), 0: np.zeros(pieces.number)}
    for high, low in combinations(range(sung.pitch_MxV.shape[1]), 2):
        both = np.flatnonzero((step[:, high] != 0) & (step[:, low] != 0))
        moves += np.bincount(piece[both], minlength=pieces.number)
        alike = both[(step[both, high] > 0) == (step[both, low] > 0)]
        apart = np.abs(before[alike, high] - before[alike, low]) % 12
        kept = apart == np.abs(after[alike, high] - after[alike, low]) % 12
        for interval, total in found.items():
            total += np.bincount(piece[alike[kept & (apart == interval)]], minlength=pieces.number)
    return {interval: (total, moves) for interval, total in found.items()}


def _crossings(pieces: Pieces) -> np.ndarray:
    sung = pieces.shared(score)
    crossed, pairs = np.zeros(pieces.number), np.zeros(pieces.number)
    for high, low in pairwise(range(sung.pitch_MxV.shape[1])):
        above, below = sung.pitch_MxV[:, high], sung.pitch_MxV[:, low]
        both = (above >= 0) & (below >= 0)
        crossed += np.bincount(sung.piece, both & (above < below), minlength=pieces.number)
        pairs += np.bincount(sung.piece, both, minlength=pieces.number)
    return ratio(crossed, pairs)


parallel_fifths = PieceMetric(lambda pieces: ratio(*pieces.shared(parallels)[7]), "share of moves")
"""Share of the moves of two voices at once that go in one direction from a perfect fifth to a perfect fifth.

Fifths and octaves may be compound; a move is a change of pitch of both voices at one onset, neither resting before it.
Undefined unless the pitched tracks are two to eight voices that never overlap themselves, and without such moves.
Source: the rule of every counterpoint book, e.g. Aldwell, Schachter and Cadwallader, Harmony and Voice Leading.
"""

parallel_octaves = PieceMetric(lambda pieces: ratio(*pieces.shared(parallels)[0]), "share of moves")
"""As `parallel_fifths`, for octaves and unisons."""

voice_crossings = PieceMetric(_crossings, "share of pairs")
"""Share of the pairs of neighbouring voices, at the onsets of a piece, in which the lower voice is above the higher.

Undefined as `parallel_fifths` is, and where no two voices sound together.
"""
