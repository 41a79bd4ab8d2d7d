"""Whole bars that the training set holds, and how much that says.

Real music repeats bars of other real music, too: cadences, scales, chords that are held. What tells a copied bar from
those is how little one would have expected it who knows all other families and what stands around it, the logarithm of

    p(bar copied) / p(bar composed here) ~ p(what follows | what went before)
                                           / (p(bar | what went before) p(what follows | bar))

up to a constant, by n-gram models of two views of the music: its lines, and its texture beat by beat. The numerator is
the mean over the other bar lines of the piece, so that music that is disjointed everywhere gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dalsegno.copying.commonplace import ORDER, Commonplace
from dalsegno.copying.spans import Span
from dalsegno.copying.streams import BAR, GRID, Gridded, bars

FIGURES = ("bar_bits", "same_key_bar_bits")
MOST_BARS = 64
"""Bars of a piece whose information is asked for, those with the most notes; and bars, from the first onset on, whose
bar lines give the mean. More would change no verdict."""
A_BAR = 2 * BAR // GRID
"""Texture tokens of a bar and of the bar line after it."""
SURROUNDINGS = 2.0
"""How often a bar's own information what surrounds it counts at most: a whole note tells nothing wherever it stands."""
KEY = 2.0
"""Weight of the key, since it is told once and the notes by two views."""


@dataclass(frozen=True)
class Evidence:
    """What one bar says, in bits.

    Attributes:
        own: of the bar by itself.
        into, out: of what leads into it and out of it.
        line: what a bar line of the piece costs elsewhere.
        key: of the transposition in which it stands, by the pitch classes of the rest of the piece.
    """

    own: float
    into: float
    out: float
    line: float
    key: float

    @property
    def value(self) -> float:
        around = self.into + self.out - self.line + KEY * self.key
        return self.own + min(around, SURROUNDINGS * self.own)


@dataclass(frozen=True)
class Run:
    """Neighbouring bars that stand in one training piece, at one distance from each other.

    Attributes:
        peak: what the most telling bar says by itself.
        total: what all bars say together.
        ends: evidence of the run as if it were one bar, `own` left out.
    """

    begin: int
    end: int
    peak: float
    total: float
    ends: Evidence

    @property
    def value(self) -> float:
        # The most telling bar counts whole and the others half, since where music quotes, it often goes on.
        return replace(self.ends, own=(self.peak + self.total) / 2).value


class Bars:
    """The bars of one piece, ready to be weighed.

    Args:
        piece: of which `tokens` are the streams, and `rows` the notes that line tokens begin from (`streams.lines`).
        counts: of each stream, see `Commonplace.counts`.
        left_out: training pieces that do not count.
    """

    def __init__(
        self,
        piece: Gridded,
        tokens: Mapping[str, np.ndarray],
        counts: Mapping[str, Sequence[np.ndarray]],
        rows: np.ndarray,
        model: Commonplace,
        left_out: np.ndarray | None,
    ) -> None:
        self.model, self.left_out = model, left_out
        self.lines, self.texture = tokens["lines"], tokens["texture"]
        self.counts = counts
        self.from_bar = piece.start[rows] // BAR
        # A track's last token is 0 and leads nowhere.
        self.to_bar = np.where(self.lines > 0, np.append(self.from_bar[1:], -1), -1)
        bar, row = np.unique(piece.start // BAR, return_inverse=True)
        self.classes = np.zeros((len(bar), 12))
        np.add.at(self.classes, (row, piece.pitch % 12), 1)
        self.row = {number: i for i, number in enumerate(bar.tolist())}
        self._elsewhere()

    def evidence(self, number: int, owner: int) -> Evidence:
        """What bar `number` says that training piece `owner` holds as well."""
        own, into, out = self._of_texture(number, owner)
        touched = np.flatnonzero((self.lines > 0) & ((self.from_bar == number) | (self.to_bar == number)))
        # One stretch a track.
        for places in np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1) if len(touched) else []:
            bits = self._bits("lines", int(places[0]), int(places[-1]) + 1, owner)
            begins, ends = self.from_bar[places] == number, self.to_bar[places] == number
            own += float(bits[begins & ends].sum())
            into += float(bits[~begins].sum())
            out += float(bits[~ends].sum())
        return Evidence(own, into, out, self._line(number), self._key(number))

    def _of_texture(self, number: int, owner: int) -> tuple[float, float, float]:
        first, last = number * A_BAR, min((number + 1) * A_BAR - 1, len(self.texture) - 1)
        begin, end = max(first - 1, 0), min(last + 1, len(self.texture) - 1)
        bits = self._bits("texture", begin, end, owner)
        into, own, out = np.split(bits, [first - begin, last - begin])
        return float(own.sum()), float(into.sum()), float(out.sum())

    def _bits(self, name: str, begin: int, end: int, owner: int | None) -> np.ndarray:
        """Bits of the tokens of a stretch, with the context before it."""
        if begin >= end:
            return np.zeros(0)
        tokens = {"lines": self.lines, "texture": self.texture}[name]
        start = max(begin - ORDER, 0)
        counts = [count[start:] for count in self.counts[name]]
        return self.model.bits(name, tokens[start:end], counts, owner, self.left_out)[begin - start :]

    def _elsewhere(self) -> None:
        """What the bar lines of the piece's beginning cost, each by the bars on both sides of it."""
        first = int(self.from_bar.min())
        begin, last = first * A_BAR, min((first + MOST_BARS) * A_BAR, len(self.texture) - 1)
        at = np.arange(begin + A_BAR - 1, last, A_BAR)
        sides = [np.stack([at // A_BAR, at // A_BAR + 1], axis=1)]
        costs = [self._bits("texture", begin, last, None)[at - begin]]
        early = np.flatnonzero(self.from_bar < first + MOST_BARS)
        # One stretch a track.
        for places in np.split(early, np.flatnonzero(np.diff(early) > 1) + 1):
            bits = self._bits("lines", int(places[0]), int(places[-1]) + 1, None)
            both = np.stack([self.from_bar[places], self.to_bar[places]], axis=1)
            crosses = (both[:, 1] >= 0) & (both[:, 0] != both[:, 1])
            sides.append(both[crosses])
            costs.append(bits[crosses])
        self._sides, self._costs = np.concatenate(sides), np.concatenate(costs)

    def _line(self, number: int) -> float:
        """Mean cost of a bar line that is none of this bar's."""
        away = (self._sides != number).all(axis=1)
        lines = max(len(np.unique(self._sides[away, 1])), 1)
        return float(self._costs[away].sum()) / lines

    def _key(self, number: int) -> float:
        """Bits of this transposition of the bar among the twelve, its notes drawn from the rest of the piece."""
        bar = self.classes[self.row[number]]
        rest = self.classes.sum(axis=0) - bar + 0.5
        nats = np.array([np.roll(bar, shift) @ np.log(rest / rest.sum()) for shift in range(12)])
        return float((np.logaddexp.reduce(nats) - nats[0]) / np.log(2))


def find(
    table: Mapping[str, np.ndarray],
    model: Commonplace,
    piece: Gridded,
    tokens: Mapping[str, np.ndarray],
    counts: Mapping[str, Sequence[np.ndarray]],
    rows: np.ndarray,
    left_out: np.ndarray | None,
) -> list[Span]:
    """The runs of whole bars that the training set holds, in any key, and bars in the same; of 0 bits for none.

    Args:
        table: the bars of training pieces (`index.BARS`), sorted by content.
        tokens, counts, rows, left_out: see `Bars`.
    """
    own = bars(piece)
    low, high = (np.searchsorted(table["content"], own.content, side) for side in ("left", "right"))
    found = np.flatnonzero(high > low)
    found = np.sort(found[np.argsort(-own.notes[found], kind="stable")[:MOST_BARS]])
    result = [Span(name, 0.0, 0, 0, -1, 0) for name in FIGURES]
    weighed: Bars | None = None
    runs: dict[tuple[int, int], Run] = {}
    for i in found.tolist():
        places = np.arange(low[i], high[i])
        if left_out is not None:
            places = places[~np.isin(table["owner"][places], left_out)]
        if not len(places):
            continue
        weighed = weighed or Bars(piece, tokens, counts, rows, model, left_out)
        begin = int(own.number[i]) * BAR
        owners, numbers, lowest = (table[name][places] for name in ("owner", "number", "lowest"))
        evidence = weighed.evidence(int(own.number[i]), int(owners[0]))
        ending = []
        for owner, number in zip(owners.tolist(), numbers.tolist(), strict=True):
            key = owner, number * BAR - begin
            # A run goes on where the bar before stands before in the same piece.
            run = runs.get(key)
            if run is None or run.end != begin:
                run = Run(begin, begin + BAR, evidence.own, evidence.own, evidence)
            else:
                ends = replace(evidence, into=run.ends.into, key=max(run.ends.key, evidence.key))
                peak, total = max(run.peak, evidence.own), run.total + evidence.own
                run = Run(run.begin, begin + BAR, peak, total, ends)
            runs[key] = run
            ending.append(Span("bar_bits", run.value, run.begin, run.end, owner, run.begin + key[1]))
        result.append(max(ending, key=lambda span: span.value))
        if (same := np.flatnonzero(lowest == own.lowest[i])).size:
            at = int(numbers[same[0]]) * BAR
            result.append(Span("same_key_bar_bits", evidence.value, begin, begin + BAR, int(owners[same[0]]), at))
    return result
