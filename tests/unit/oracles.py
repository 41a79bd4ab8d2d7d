"""The formulas of MusDr, mgeval and MuseGAN's paper, written plainly: a loop over notes, bars and pairs each.

MusDr: Wu and Yang, The Jazz Transformer on the Front Line, ISMIR 2020. mgeval: Yang and Lerch, 2020. MuseGAN: Dong and
others, AAAI 2018, section "Objective Metrics for Evaluation".
"""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy import integrate, stats

from dalsegno.data.notes import Notes
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.harmony import chord_changes
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import load_metric

BAR = 1920
BEAT = 480
STEP = 20
"""Ticks of MuseGAN's time step: 96 a bar."""
MOST_PAIRS = 1000
"""Pairs of bars beyond which MusDr draws that many."""


def muspy_groove(notes: Notes, resolution: int) -> float:
    """MusPy's `groove_consistency` of the piece at `resolution` ticks a quarter."""
    bar, tick = np.divmod(notes.start * resolution // BEAT, 4 * resolution)
    onset = np.zeros((int(notes.end.max()) // BAR + 1, 4 * resolution), bool)
    onset[bar, tick] = True
    return float(np.mean(onset[:-1] == onset[1:]))


def musdr_entropy(notes: Notes, window: int) -> float:
    """MusDr's H, over tokens of a bar and one of its 64 positions each."""
    bar = (notes.start + 15) // BAR
    bars = int(bar.max()) + 1
    window = min(window, bars)
    values = []
    for first in range(bars - window + 1):
        classes = notes.pitch[(bar >= first) & (bar < first + window)] % 12
        if len(classes):
            shares = np.bincount(classes) / len(classes)
            shares = shares[shares > 0]
            values.append(-(shares * np.log2(shares)).sum())
    return float(np.mean(values))


def musdr_groove(notes: Notes, dice: random.Random | None = None) -> float:
    """MusDr's GS; the dice draw the pairs beyond `MOST_PAIRS`, without them all are taken."""
    step = (notes.start + 15) // 30
    onset = np.zeros((int(step.max()) // 64 + 1, 64))
    onset[step // 64, step % 64] = 1
    pairs = [1 - np.abs(a - b).sum() / 64 for a, b in itertools.combinations(onset, 2)]
    if dice and len(pairs) > MOST_PAIRS:
        pairs = dice.sample(pairs, MOST_PAIRS)
    return float(np.mean(pairs)) if pairs else np.nan


def musdr_irregularity(chords: list[int]) -> float:
    """MusDr's CPI."""
    if len(chords) <= 3:
        return 1.0
    grams = [tuple(chords[i : i + 3]) for i in range(len(chords) - 3)]
    return len(set(grams)) / len(grams)


def check_musdr_and_mgeval(notes: Notes) -> None:
    """The compat forms of one piece, to 1e-9."""
    _close("pitch_class_entropy_1bar_compat", notes, musdr_entropy(notes, 1))
    _close("pitch_class_entropy_4bar_compat", notes, musdr_entropy(notes, 4))
    _close("grooving_similarity_compat", notes, musdr_groove(notes))
    chords = chord_changes(Pieces.of([notes]))[1].tolist()
    _close("chord_irregularity_compat", notes, musdr_irregularity(chords))
    first = notes[notes.track == notes.track.min()]
    in_file = first.pitch[np.lexsort((first.duration, first.pitch, first.start))].astype(int).tolist()
    shifts = [abs(b - a) for a, b in itertools.pairwise(in_file)]
    _close("interval_size_compat", notes, float(np.mean(shifts)) if shifts else math.nan)
    waits = [(b - a) / BEAT for a, b in itertools.pairwise(sorted(notes.start.tolist()))]
    _close("inter_onset_interval_compat", notes, float(np.mean(waits)) if waits else math.nan)


def mgeval_intra_inter(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """mgeval's divergence and overlap of one feature of two sets: each piece against all others of its set."""
    n = min(len(own), len(other))
    intra = [abs(own[i] - own[j]) for i in range(n) for j in range(n) if j != i]
    inter = [abs(own[i] - other[j]) for i in range(n) for j in range(n)]
    first, second = stats.gaussian_kde(intra), stats.gaussian_kde(inter)
    grids = [np.linspace(min(x), max(x), 1000) for x in (intra, inter)]
    divergence = float(stats.entropy(first(grids[0]), second(grids[1])))
    low, high = min(intra + inter), max(intra + inter)
    area, *_ = integrate.quad(lambda x: min(first(x)[0], second(x)[0]), low, high, full_output=1)
    return divergence, float(area)


def musegan(notes: Notes) -> dict[str, float]:
    """EB, UPC, QN, DP and TD of one piece, each a mean as `dalsegno.metrics.musegan` says; NaN where undefined."""
    rows = list(
        zip(*(x.tolist() for x in (notes.track, notes.program, notes.start, notes.end, notes.pitch)), strict=True)
    )
    bars = -(-max(end for *_, end, _ in rows) // BAR)
    empty, classes = [], []
    for track in sorted({row[0] for row in rows}):
        for bar in range(bars):
            sounding = [
                (program, pitch % 12)
                for t, program, start, end, pitch in rows
                if t == track and start < (bar + 1) * BAR and end > bar * BAR and end > start
            ]
            empty.append(not sounding)
            pitched = {pitch_class for program, pitch_class in sounding if program != 128}
            if pitched:
                classes.append(len(pitched))
    durations = [end - start for _, program, start, end, _ in rows if program != 128]
    drums = [math.floor(start / STEP + 0.5) for _, program, start, *_ in rows if program == 128]
    return {
        "empty_track_bar_rate": float(np.mean(empty)) if not all(empty) else math.nan,
        "pitch_classes_per_bar": float(np.mean(classes)) if classes else math.nan,
        "qualified_note_rate": float(np.mean([d >= 3 * STEP for d in durations])) if durations else math.nan,
        "drum_pattern_rate": float(np.mean([step % 6 == 0 for step in drums])) if drums else math.nan,
        "tonal_distance": _tonal_distance([row for row in rows if row[1] != 128]),
    }


def _tonal_distance(rows: list[tuple[int, int, int, int, int]]) -> float:
    """Harte's six-dimensional centroids of two tracks in a beat, each pitch class weighted by the time it sounds."""
    chroma: dict[int, dict[int, list[float]]] = {}
    for track, _, start, end, pitch in rows:
        for beat in range(start // BEAT, -(-end // BEAT)):
            ticks = min(end, (beat + 1) * BEAT) - max(start, beat * BEAT)
            if ticks > 0:
                chroma.setdefault(beat, {}).setdefault(track, [0.0] * 12)[pitch % 12] += ticks
    far = []
    for tracks in chroma.values():
        places = []
        for weights in tracks.values():
            place = []
            for radius, turn in ((1, 7 / 6), (1, 3 / 2), (0.5, 2 / 3)):
                for wave in (math.sin, math.cos):
                    place.append(
                        sum(w * radius * wave(c * turn * math.pi) for c, w in enumerate(weights)) / sum(weights)
                    )
            places.append(place)
        far += [math.dist(a, b) for a, b in itertools.combinations(places, 2)]
    return float(np.mean(far)) if far else math.nan


def musegan_program(notes: Notes) -> dict[str, float]:
    """QN and DP as MuseGAN's program counts them: bar by bar, two steps suffice, near misses are a tenth of a hit."""
    qualified, drums = [], []
    for program, start, end in zip(notes.program, notes.start // STEP, notes.end // STEP, strict=True):
        if program == 128:
            drums.append((1.0, 0.1, 0.0, 0.0, 0.0, 0.1)[start % 6])
        else:
            cuts = [start, *range(96 * (start // 96 + 1), end, 96), end]
            qualified += [b - a >= 2 for a, b in itertools.pairwise(cuts)]
    return {
        "qualified_note_rate": float(np.mean(qualified)) if qualified else math.nan,
        "drum_pattern_rate": float(np.mean(drums)) if drums else math.nan,
    }


def check_musegan(notes: Notes) -> None:
    for name, expected in musegan(notes).items():
        _close(name, notes, expected)


def _close(name: str, notes: Notes, expected: float) -> None:
    metric = load_metric(name)
    assert isinstance(metric, PieceMetric)
    assert metric(notes) == pytest.approx(expected, abs=1e-9, rel=0, nan_ok=True), name
