"""Whole bars that the training set holds, and how much that says.

Real music repeats bars of other real music, too: cadences, scales, chords that are held. What tells a copied bar from
those is how little one would have expected it who knows all other families and the rest of the piece, and how badly it
goes with what stands around it: the odds

    p(bar copied) / p(bar composed here)

by a logistic regression on what n-gram models say of two views of the music, its lines and its texture beat by beat,
and on the bar's key and rhythm among the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dalsegno.copying.commonplace import ORDER, Commonplace
from dalsegno.copying.spans import Span
from dalsegno.copying.streams import BAR, GRID, Gridded, bars

MOST_BARS = 64
"""Bars of a piece whose information is asked for, those with the most notes; and bars, from the first onset on, whose
bar lines give the mean. More would change no verdict."""
A_BAR = 2 * BAR // GRID
"""Texture tokens of a bar and of the bar line after it."""
SURPRISE = 100.0
"""Bits of surprise around a bar that count as many; of more, less counts: what is rare is rarer in a model than in
music."""
KEY = 2.0
"""Weight of the key, since it is told once and the notes by two views."""
WEIGHTS = {"anew": 0.0865, "own": 0.836, "around": 0.1384, "rhythm": -3.254, "same_key": 1.101, "copied": -12.81}
"""Weights of `Evidence.told` in the odds, natural logarithms, fitted to bars planted among tunes that no null holds
(`tests/unit/test_copying_real.py`); `copied` is the constant."""


@dataclass(frozen=True)
class Evidence:
    """What one bar says, in bits.

    Attributes:
        own: of the bar by itself, by the training set.
        anew: the same for one who knows the rest of the piece, too.
        into, out: of what leads into it and out of it, for the same; each the other where
            there is nothing before or after the bar.
        line: what a bar line of the piece costs elsewhere, by the training set.
        key: of the transposition in which it stands, by the pitch classes of the rest of the piece.
        rhythm: share of its rhythm that it has in common with the bar of the piece most like it; no bits.
        same_key: whether the training piece holds it in the same key.
    """

    own: float
    anew: float
    into: float
    out: float
    line: float
    key: float
    rhythm: float
    same_key: bool

    @property
    def told(self) -> dict[str, float]:
        """What the regression looks at."""
        around = math.sqrt(SURPRISE * (self.into + self.out)) - self.line + KEY * self.key
        return {
            "anew": self.anew,
            "own": math.log1p(self.own),
            "around": around,
            "rhythm": self.rhythm,
            "same_key": float(self.same_key),
            "copied": 1.0,
        }

    @cached_property
    def value(self) -> float:
        """What the bar says for a copy, bits: -log2 of the probability that it was composed."""
        odds = sum(WEIGHTS[name] * value for name, value in self.told.items())
        return float(np.logaddexp(0, odds) / np.log(2))


@dataclass(frozen=True)
class Run:
    """Neighbouring bars that stand in one training piece, at one distance from each other.

    Attributes:
        begin, end: grid steps in the piece.
    """

    begin: int
    end: int
    bars: tuple[Evidence, ...]

    @property
    def value(self) -> float:
        """That of all as if they were one bar."""
        if len(self.bars) == 1:
            return self.bars[0].value
        # The most telling bar counts whole and the others half, since where music quotes, it often goes on.
        own, anew = ((max(x) + sum(x)) / 2 for x in ([b.own for b in self.bars], [b.anew for b in self.bars]))
        key, rhythm = max(bar.key for bar in self.bars), min(bar.rhythm for bar in self.bars)
        first, last = self.bars[0], self.bars[-1]
        same = all(bar.same_key for bar in self.bars)
        return Evidence(own, anew, first.into, last.out, last.line, key, rhythm, same).value


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
        length = np.minimum(piece.end, (piece.start // BAR + 1) * BAR) - piece.start
        onset = (piece.track * BAR + piece.start % BAR) * (BAR + 1) + length
        self.rhythm, self.onset = np.unique(np.stack([row, onset]), axis=1)
        self.onsets = np.bincount(self.rhythm)
        self._elsewhere()

    def evidence(self, number: int, owner: int) -> Evidence:
        """What bar `number` says that training piece `owner` holds as well, in another key."""
        own = anew = into = out = 0.0
        for name, (places, begins, ends, rest) in self._views(number).items():
            tokens = {"lines": self.lines, "texture": self.texture}[name]
            # One stretch a track.
            stretches = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else []
            parts = [self._bits(name, int(one[0]), int(one[-1]) + 1, owner) for one in stretches]
            bits = np.concatenate([np.zeros(0), *parts])
            known = self.model.knowing(bits, tokens, places, rest)
            own += float(bits[begins & ends].sum())
            anew += float(known[begins & ends].sum())
            into += float(known[~begins].sum())
            out += float(known[~ends].sum())
        if self.row[number] == 0:
            into = out
        elif self.row[number] == len(self.row) - 1:
            out = into
        key, rhythm = self._key(number), self._rhythm(number)
        return Evidence(own, anew, into, out, self._line(number), key, rhythm, same_key=False)

    def _views(self, number: int) -> dict[str, tuple[np.ndarray, ...]]:
        """The places of a bar's tokens and of those that lead into it and out of it in each stream; whether each begins
        and ends in the bar; and which tokens of the stream are none of these."""
        at = np.arange(len(self.texture) - 1)
        begins, ends = (at + side >= number * A_BAR for side in (0, 1))
        begins, ends = begins & (at < (number + 1) * A_BAR), ends & (at + 1 < (number + 1) * A_BAR)
        touched = begins | ends
        texture = np.flatnonzero(touched), begins[touched], ends[touched], np.append(~touched, False)
        begins, ends = self.from_bar == number, self.to_bar == number
        touched = (self.lines > 0) & (begins | ends)
        lines = np.flatnonzero(touched), begins[touched], ends[touched], ~touched
        return {"texture": texture, "lines": lines}

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

    def _rhythm(self, number: int) -> float:
        """Share of the onsets, by track and duration, that the bar and the one most like it have in common."""
        own = self.rhythm == self.row[number]
        common = np.bincount(self.rhythm[np.isin(self.onset, self.onset[own])], minlength=len(self.row))
        together = self.onsets + own.sum() - common
        share = common / together
        share[self.row[number]] = 0
        return float(share.max())

    def _key(self, number: int) -> float:
        """Bits of this transposition of the bar among the twelve, its notes drawn from the rest of the piece."""
        bar = self.classes[self.row[number]]
        rest = self.classes.sum(axis=0) - bar + 0.5
        nats = np.array([np.roll(bar, shift) @ np.log(rest / rest.sum()) for shift in range(12)])
        return float((np.logaddexp.reduce(nats) - nats[0]) / np.log(2))


@dataclass(frozen=True)
class Shared:
    """A bar of a piece that the training set holds, too.

    Attributes:
        number: the bar.
        places: of each that holds it: the training piece, its bar, and what that says.
    """

    number: int
    places: tuple[tuple[int, int, Evidence], ...]


def shared(
    table: Mapping[str, np.ndarray],
    model: Commonplace,
    piece: Gridded,
    tokens: Mapping[str, np.ndarray],
    counts: Mapping[str, Sequence[np.ndarray]],
    rows: np.ndarray,
    left_out: np.ndarray | None,
) -> Iterator[Shared]:
    """The bars of a piece that the training set holds in any key, in order; the `MOST_BARS` with the most notes.

    Args:
        table: the bars of training pieces (`index.BARS`), sorted by content.
        tokens, counts, rows, left_out: see `Bars`.
    """
    own = bars(piece)
    low, high = (np.searchsorted(table["content"], own.content, side) for side in ("left", "right"))
    found = np.flatnonzero(high > low)
    found = np.sort(found[np.argsort(-own.notes[found], kind="stable")[:MOST_BARS]])
    weighed: Bars | None = None
    for i in found.tolist():
        places = np.arange(low[i], high[i])
        if left_out is not None:
            places = places[~np.isin(table["owner"][places], left_out)]
        if not len(places):
            continue
        weighed = weighed or Bars(piece, tokens, counts, rows, model, left_out)
        owners, numbers, lowest = (table[name][places] for name in ("owner", "number", "lowest"))
        transposed = weighed.evidence(int(own.number[i]), int(owners[0]))
        evidence = {False: transposed, True: replace(transposed, same_key=True)}
        says = [evidence[same] for same in (lowest == own.lowest[i]).tolist()]
        yield Shared(int(own.number[i]), tuple(zip(owners.tolist(), numbers.tolist(), says, strict=True)))


def find(found: Iterable[Shared]) -> list[Span]:
    """The most telling run of whole bars up to each of those that are shared; of 0 bits for none."""
    result = [Span("bar_bits", 0.0, 0, 0, -1, 0)]
    runs: dict[tuple[int, int], Run] = {}
    for bar in found:
        begin = bar.number * BAR
        ending = []
        for owner, number, evidence in bar.places:
            key = owner, number * BAR - begin
            # A run goes on where the bar before stands before in the same piece.
            run = runs.get(key)
            if run is None or run.end != begin:
                run = Run(begin, begin + BAR, (evidence,))
            else:
                run = Run(run.begin, begin + BAR, (*run.bars, evidence))
            runs[key] = run
            ending.append(Span("bar_bits", run.value, run.begin, run.end, owner, run.begin + key[1]))
        result.append(max(ending, key=lambda span: span.value))
    return result
