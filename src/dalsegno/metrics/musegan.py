"""The per-track metrics of Dong, Hsiao, Yang and Yang, MuseGAN, AAAI 2018, by their definitions in the paper.

Their program differs in places: it asks qualified notes for two time steps where the paper says three, cuts notes at
bar lines, and lets a drum between two sixteenths count a tenth. The fifth, the tonal distance between tracks, stands
in `dalsegno.metrics.harmony`.
"""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTH, Pieces, Tracks, ratio, spans, tracks

THIRTY_SECOND = SIXTEENTH // 2
TIME_STEP = TICKS_PER_BAR // 96


def track_bars(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`piece_G`, `classes_Gx12`: pitch classes that sound in each bar of each track, up to the last release."""
    parts: Tracks = pieces.shared(tracks)
    bars_T = -(-np.nan_to_num(pieces.last).astype(np.int64) // TICKS_PER_BAR)[parts.piece_T]
    row, bar, _ = spans(pieces, TICKS_PER_BAR)
    classes = np.zeros((int(bars_T.sum()), 12), bool)
    classes[(np.cumsum(bars_T) - bars_T)[parts.note_N[row]] + bar, pieces.pitch_class[row]] = True
    return np.repeat(parts.piece_T, bars_T), classes


def _empty_track_bar_rate(pieces: Pieces) -> np.ndarray:
    piece, classes = pieces.shared(track_bars)
    used = np.bincount(piece, classes.any(axis=1), minlength=pieces.number)
    return np.where(used > 0, 1 - ratio(used, np.bincount(piece, minlength=pieces.number)), np.nan)


def _pitch_classes_per_bar(pieces: Pieces) -> np.ndarray:
    piece, classes = pieces.pitched.shared(track_bars)
    used = np.bincount(piece, classes.any(axis=1), minlength=pieces.number)
    return ratio(np.bincount(piece, classes.sum(axis=1), minlength=pieces.number), used)


def _qualified_note_rate(pieces: Pieces) -> np.ndarray:
    pitched = pieces.pitched
    return pitched.mean(pitched.end - pitched.start >= THIRTY_SECOND)


def _drum_pattern_rate(pieces: Pieces) -> np.ndarray:
    drums = pieces.drums
    step = (drums.start + TIME_STEP // 2) // TIME_STEP
    return drums.mean(step % (SIXTEENTH // TIME_STEP) == 0)


empty_track_bar_rate = PieceMetric(_empty_track_bar_rate, "share of bars")
"""EB: share of the bars (of four quarters, from tick 0 to the piece's last release) in which a track is silent.

The mean over the tracks that have notes at all, drums included. Undefined where nothing sounds.
"""

pitch_classes_per_bar = PieceMetric(_pitch_classes_per_bar, "pitch classes")
"""UPC: mean number of pitch classes that a track uses in a bar in which it sounds, held notes included, drums not."""

qualified_note_rate = PieceMetric(_qualified_note_rate, "share of notes")
"""QN: share of notes of a thirty-second (60 ticks, three of MuseGAN's time steps) or longer. Drums are left out.

Low values say that the music is in fragments. Undefined without pitched notes.
"""

drum_pattern_rate = PieceMetric(_drum_pattern_rate, "share of notes")
"""DP: share of drum notes on a sixteenth, rounded to MuseGAN's 96 time steps a bar. Undefined without drums."""
