"""What a model can be asked for: attributes of each piece, or of each of its bars.

A bar is made a piece of its own, notes cut at its lines, so that what is measured of it is what `dalsegno.metrics`
measures of a piece. Labels stand in the corpus (`labels.parquet`), by piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER, Notes, make_notes
from dalsegno.data.tables import Corpus
from dalsegno.features.options import Attributes
from dalsegno.features.windows import Window
from dalsegno.metrics.pieces import Pieces, ratio
from dalsegno.metrics.pitch import key_correlations
from dalsegno.metrics.texture import polyphony

COLUMNS = (
    "tick",
    "ticks",
    "meter_numerator",
    "meter_denominator",
    "key",
    "mode",
    "key_clarity",
    "qpm",
    "tempo_class",
    "density",
    "polyphony",
    "register",
    "rhythm_intensity",
    "velocity",
)
"""Of each piece or bar:

- where it begins, and its length in ticks; the meter in force there (4/4 where the source names none);
- tonic (0 is C), mode (1 major, 0 minor) and correlation of the best of 24 keys (Krumhansl and Kessler 1982);
- quarters a minute, and their class: how many of `TEMPO_CLASSES` they reach;
- density: onsets of notes a quarter; polyphony: notes that sound, over the time during which any does;
- register: mean pitch of the notes that sound; velocity: of those that begin;
- rhythm intensity: share of the sixteenths on which a note begins (MuseMorphose, Wu and Yang 2023).

NaN where nothing tells it. Polyphony and rhythm intensity become the classes of MuseMorphose by
`dalsegno.features.loading.FeatureSet.classes`.
"""

TEMPO_CLASSES = (66.0, 76.0, 108.0, 120.0, 168.0)
"""Where adagio, andante, moderato, allegro and presto begin on a common metronome; below is largo."""

SIXTEENTH = TICKS_PER_QUARTER // 4


def columns(options: Attributes) -> tuple[str, ...]:
    """The name of each number of a row."""
    return COLUMNS


def windows(corpus: Corpus, numbers: Sequence[int], options: Attributes) -> Iterator[list[Window]]:
    """The windows of each piece: the piece, or its bars.

    Args:
        numbers: rows of `pieces.parquet`.
    """
    for number in numbers:
        bars = _bars(corpus, number) if options.per == "bar" else _whole(corpus, number)
        begin = corpus.seconds_at(number, bars[:, 0])
        seconds = corpus.seconds_at(number, bars[:, 0] + bars[:, 1]) - begin
        values = _values(make_notes(**corpus.piece(number)), bars, seconds)
        rows = zip(begin.tolist(), seconds.tolist(), values.astype(np.float32), strict=True)
        yield [Window(start, length, row[None]) for start, length, row in rows]


def _whole(corpus: Corpus, number: int) -> np.ndarray:
    _, numerator, denominator = (corpus.meters(number) or [(0, 4, 4)])[0]
    return np.array([[0, max(corpus.pieces[number]["end"], 1), numerator, denominator]], np.int64)


def _bars(corpus: Corpus, number: int) -> np.ndarray:
    """int64 `[bars, 4]`: tick, ticks, numerator and denominator of each bar, up to the end of the piece.

    A meter starts a bar wherever it stands, so that the bar before may be short.
    """
    end = max(corpus.pieces[number]["end"], 1)
    meters = [meter for meter in corpus.meters(number) if meter[0] < end]
    if not meters or meters[0][0] > 0:
        meters = [(0, 4, 4), *meters]
    bars = []
    for (tick, numerator, denominator), following in zip(
        meters, [*(tick for tick, _, _ in meters[1:]), end], strict=True
    ):
        length = max(4 * TICKS_PER_QUARTER * numerator // denominator, 1)
        begins = np.arange(tick, following, length)
        # The last bar of a piece is whole; one before another meter ends where that begins.
        cut = following if following < end else np.iinfo(np.int64).max
        ticks = np.minimum(length, cut - begins)
        bars.append(np.column_stack([begins, ticks, np.full((len(begins), 2), (numerator, denominator))]))
    return np.concatenate(bars)


def _values(notes: Notes, bars: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """`[bars, columns]` of bars as `_bars` gives them and how long each lasts."""
    begin, ticks = bars[:, 0], bars[:, 1]
    number = len(bars)
    start, end = notes.start.astype(np.int64), notes.start.astype(np.int64) + np.maximum(notes.duration, 1)
    first = np.searchsorted(begin, start, side="right") - 1
    last = np.maximum(np.searchsorted(begin, end, side="left") - 1, first)
    held = last - first + 1
    row = np.repeat(np.arange(len(start)), held)
    bar = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(held) - held, held)
    order = np.argsort(bar, kind="stable")
    row, bar = row[order], bar[order]
    low = np.maximum(start[row], begin[bar])
    high = np.minimum(end[row], begin[bar] + ticks[bar])
    sounding = Pieces(
        make_notes(
            piece=bar,
            track=notes.track[row],
            program=notes.program[row],
            start=low - begin[bar],
            duration=high - low,
            pitch=notes.pitch[row],
            velocity=notes.velocity[row],
        ),
        number,
    )
    correlations = key_correlations(sounding)
    keyed = np.isfinite(correlations).all(axis=1)
    best = np.where(keyed, np.nan_to_num(correlations).argmax(axis=1), 0)
    nothing = np.where(keyed, 0.0, np.nan)
    # Of a bar whose tempo changes, the mean tempo.
    qpm = ticks / TICKS_PER_QUARTER / (seconds / 60)
    places = -(-ticks // SIXTEENTH)
    place = np.minimum((start - begin[first] + SIXTEENTH // 2) // SIXTEENTH, places[first] - 1)
    offsets = np.cumsum(places) - places
    struck = np.bincount(offsets[first] + place, minlength=int(places.sum())) > 0
    onsets = np.bincount(first, minlength=number)
    return np.column_stack(
        [
            bars,
            best % 12 + nothing,
            (best < 12) + nothing,
            np.where(keyed, np.nan_to_num(correlations).max(axis=1), np.nan),
            qpm,
            np.searchsorted(TEMPO_CLASSES, qpm, side="right"),
            onsets / (ticks / TICKS_PER_QUARTER),
            polyphony.values(sounding),
            sounding.pitched.mean(sounding.pitched.pitch),
            np.add.reduceat(struck, offsets) / places,
            ratio(np.bincount(first, notes.velocity, minlength=number), onsets),
        ]
    )
