"""The per-track metrics of Dong, Hsiao, Yang and Yang, MuseGAN, AAAI 2018, by their definitions in the paper.

Their program differs in places: it asks qualified notes for two time steps where the paper says three, cuts notes at
bar lines, and lets a drum between two sixteenths count a tenth. The fifth, the tonal distance between tracks, stands
in `dalsegno.metrics.harmony`.
"""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import SIXTEENTH, Pieces, Tracks, ratio, tracks

THIRTY_SECOND = SIXTEENTH // 2
TIME_STEP = TICKS_PER_BAR // 96


def track_bars(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """`bars_P` in which a track sounds, over all tracks, and `classes_P`: pitch classes that sound in them."""
    from dalsegno.metrics import sweeps

    parts: Tracks = pieces.shared(tracks)
    counted: tuple[np.ndarray, np.ndarray] = sweeps.track_bars(
        pieces.piece, parts.rank_N, pieces.start, pieces.end, pieces.pitch, pieces.number
    )
    return counted


def _empty_track_bar_rate(pieces: Pieces) -> np.ndarray:
    used, _ = pieces.shared(track_bars)
    parts: Tracks = pieces.shared(tracks)
    return np.where(used > 0, 1 - ratio(used, parts.counts_P * np.ceil(pieces.last / TICKS_PER_BAR)), np.nan)


def _pitch_classes_per_bar(pieces: Pieces) -> np.ndarray:
    used, classes = pieces.pitched.shared(track_bars)
    return ratio(classes, used)


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
