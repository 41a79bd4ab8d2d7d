"""Metrics of when something is played. Drums count."""

from __future__ import annotations

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER, Notes
from dalsegno.metrics.base import PieceMetric

SIXTEENTH = TICKS_PER_QUARTER // 4
SIXTEENTHS_A_BAR = 16


def _groove_consistency(notes: Notes) -> float:
    if not len(notes):
        return np.nan
    position = (notes.start + SIXTEENTH // 2) // SIXTEENTH
    bars = int(position.max()) // SIXTEENTHS_A_BAR + 1
    if bars < 2:
        return np.nan
    onset = np.zeros(bars * SIXTEENTHS_A_BAR, bool)
    onset[position] = True
    grid = onset.reshape(bars, SIXTEENTHS_A_BAR)
    return float(1 - (grid[1:] != grid[:-1]).mean())


def _note_density(notes: Notes) -> float:
    if not len(notes):
        return np.nan
    ticks = int(notes.end.max()) - int(notes.start.min())
    return len(notes) / (ticks / TICKS_PER_QUARTER) if ticks else np.nan


groove_consistency = PieceMetric(_groove_consistency, "share of positions")
"""Share of metrical positions at which a bar and the next agree on whether a note starts, averaged over bar pairs.

Onsets are first rounded to a sixteenth grid with bars of four quarters, sixteen positions each, so that the value
does not depend on the file's resolution (a grid of ticks makes any two bars agree almost everywhere). Bars run from
tick 0 to the last onset; undefined below two bars. Source: Wu and Yang, ISMIR 2020, with their 64 positions made 16.
"""

note_density = PieceMetric(_note_density, "notes/quarter")
"""Notes a quarter note between the first onset and the last release; undefined where that span is empty."""
