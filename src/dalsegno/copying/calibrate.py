"""How near unseen real music comes to the training set: the null distribution behind every verdict.

Unseen are the valid and test pieces without a relative in train. Where they are few, training pieces join them. Each is
held against the training set without its relatives, by a stricter measure than the split's: what is related to the
training set is no measure of how near unrelated music comes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dalsegno.copying.index import FIGURES, Figures, TrainingIndex
from dalsegno.copying.parts import Part
from dalsegno.data.melodies import melody, related
from dalsegno.data.notes import TICKS_PER_BAR, Notes, make_notes
from dalsegno.metrics.rows import format_number
from dalsegno.representations.base import Packed
from dalsegno.representations.registry import decode

PIECES = 400
"""Unseen pieces that are enough; with them the smallest p-value is 1/401."""
RELATED = 0.25
"""Share of a melody that makes two pieces relatives here: half of what the split asks for. One twin that stays would
hide every copy, and what is left out without need costs little."""
ALPHA = 0.01
"""A sample is nearer than real music where at most this share of unseen pieces comes as near."""
JUDGED = {
    "line_bits": 2.5,
    "texture_bits": 1.7,
    "skeleton_bits": 2.5,
    "bar_bits": 1.2,
    "passage_notes": 2.5,
    "melody_notes": 2.5,
}
"""The figures that verdicts rest on, each with its unit in distances from the median to the tail of unseen music; the
others describe. Most of the false alarms that are allowed go to what can tell a copy of one bar; longer copies pass
every limit by far. Chosen on other plants than `tests/unit/test_copying_real.py` reports, but for chorales
(docs/copying.md)."""
TAIL = 0.99
"""The tail of a figure is this quantile of it."""
SPARSE = frozenset({"bar_bits"})
"""But for figures that most pieces have none of: there a quantile hangs on the few that have. Without one of them it is
a fraction of what it is with it, so that this one would set the limit of all figures. What counts is a mean."""
HIGHEST = 0.03
"""Share of the pieces over which that mean is taken."""
COLUMNS = ("first_bar", "last_bar", "given_voice", "piece", "split", *FIGURES)


@dataclass(frozen=True)
class Unseen:
    """The figures of one piece of unseen real music.

    Attributes:
        part: of the piece that was held against the training set.
        split: where the piece comes from; `train` where it was held against the rest of train.
    """

    part: Part
    piece: str
    split: str
    figures: Figures


@dataclass(frozen=True)
class Standing:
    """How near a judged piece comes among unseen real music, each measured by the units of all others.

    Attributes:
        nearness: of the judged piece; NaN without figures.
        unseen: float64 `[n]`, of each unseen piece, the judged piece among the others.
    """

    nearness: float
    unseen: np.ndarray

    @property
    def nearer(self) -> int:
        """Unseen pieces that come as near."""
        return int((self.unseen >= self.nearness - 1e-9).sum())

    @property
    def p(self) -> float:
        """Probability that unseen real music comes as near: (1 + pieces that do) / (1 + pieces); 1 without figures."""
        return 1.0 if np.isnan(self.nearness) else (1 + self.nearer) / (1 + len(self.unseen))

    @property
    def critical(self) -> float:
        """The nearness above which p is at most `ALPHA` (or, with fewer than 99 pieces, as small as it can be)."""
        return _critical(self.unseen)


class Null:
    """The distribution of the figures over unseen real music.

    A judged piece is put among the unseen ones and each is measured by the medians and tails of all others: it is
    treated as they are, so its rank is uniform if it is music like theirs, and p <= a comes with probability a at most,
    whatever the figures are. This is full conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
    Random World", 2005, chapter 2).

    Args:
        figures: one for each piece.
    """

    def __init__(self, figures: Sequence[Figures]) -> None:
        self.table = {name: np.array([getattr(one, name) for one in figures]) for name in FIGURES}
        self.n = len(figures)
        self._judged = np.array([_judged(one) for one in figures]).reshape(self.n, len(JUDGED))
        nothing = np.zeros((1, len(JUDGED)))
        median, spread = _units_of_others(np.concatenate([self._judged, nothing]))
        self._median, self._spread = median[-1], spread[-1]

    def of(self, name: str, value: float) -> float:
        """What a value of a judged figure says: 0 is the median of unseen music, 1 its unit (see `JUDGED`)."""
        at = list(JUDGED).index(name)
        return float((value - self._median[at]) / self._spread[at])

    def among(self, figures: Figures) -> Standing:
        """Where a piece stands that is judged by these figures."""
        judged = np.concatenate([self._judged, [_judged(figures)]])
        nearness = _nearness(judged)
        return Standing(float(nearness[-1]), nearness[:-1])

    def p_of(self, name: str, value: float) -> float:
        """The same of one figure alone; not corrected for looking at several."""
        return (1 + int((self.table[name] >= value - 1e-9).sum())) / (1 + self.n)

    @property
    def nearness(self) -> np.ndarray:
        """Of each unseen piece among the others, nothing judged: float64 `[n]`."""
        return _nearness(self._judged)

    @property
    def critical(self) -> float:
        """About where the limit of a judged piece lies: that of `nearness`."""
        return _critical(self.nearness)


def _judged(figures: Figures) -> list[float]:
    return [getattr(figures, name) for name in JUDGED]


def _nearness(judged: np.ndarray) -> np.ndarray:
    """Of each piece, by the units of all others; judged figures `[m, JUDGED]`."""
    if not len(judged):
        return np.zeros(0)
    median, spread = _units_of_others(judged)
    return np.asarray(((judged - median) / spread).max(axis=1))


def _units_of_others(judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians and units of each judged figure without each piece in turn, `[m, JUDGED]` both."""
    median = _quantile_of_others(judged, 0.5)
    # Where nearly all pieces say the same, a unit is one bit or note.
    sparse = [name in SPARSE for name in JUDGED]
    tail = np.where(sparse, _mean_of_highest_others(judged, HIGHEST), _quantile_of_others(judged, TAIL)) - median
    return median, np.maximum(tail * list(JUDGED.values()), 1.0)


def _quantile_of_others(values: np.ndarray, q: float) -> np.ndarray:
    """The quantile of each column without each row in turn, like `values` `[m, k]`; 0 where there is no other row."""
    if len(values) < 2:
        return np.zeros(values.shape)
    order = np.argsort(values, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, axis=0)
    place = q * (len(values) - 2)
    low = int(place)
    # What comes after the row that is left out moves down by one.
    below, above = (np.take_along_axis(ranked, k + (rank <= k), axis=0) for k in (low, min(low + 1, len(values) - 2)))
    return np.asarray(below + (place - low) * (above - below))


def _mean_of_highest_others(values: np.ndarray, share: float) -> np.ndarray:
    """The mean of the highest values of each column without each row in turn; see `_quantile_of_others`."""
    if len(values) < 2:
        return np.zeros(values.shape)
    count = math.ceil(share * (len(values) - 1))
    ranked = -np.sort(-values, axis=0)
    # A row among the highest makes room for the next.
    return np.asarray((ranked[:count].sum(axis=0) - np.maximum(values, ranked[count]) + ranked[count]) / count)


def _critical(nearness: np.ndarray) -> float:
    allowed = max(int(ALPHA * (1 + len(nearness)) + 1e-9), 1) - 1
    return float(np.sort(nearness)[::-1][allowed]) if len(nearness) else np.inf


def training_notes(packed: Packed) -> list[Notes]:
    """The training pieces as their tokens tell them: what a model of this representation has seen."""
    return [make_notes(**decode(packed.piece(index), packed.vocabulary).notes) for index in packed.indices("train")]


def unseen(
    indexes: Mapping[int | None, TrainingIndex],
    packed: Packed,
    train: Sequence[Notes],
    family: Mapping[str, str],
    parts: Sequence[Part],
    enough: int = PIECES,
) -> list[Unseen]:
    """Hold unseen real music against the training set.

    Args:
        indexes: over `train`, the packed training pieces in order, by the voice that they leave out.
        family: piece -> family, as in `split.csv`.
        parts: of samples; each is taken from every piece, pieces that end before its last bar left out as long as
            others remain.
    """
    held_out = _spread([i for name in ("valid", "test") for i in packed.indices(name) if packed.rows[i].clean], enough)
    own = packed.indices("train")
    joining = _spread(range(len(train)), max(enough - len(held_out), 0) if len(train) > 1 else 0)
    music = [*train, *(make_notes(**decode(packed.piece(i), packed.vocabulary).notes) for i in held_out)]
    names = [packed.rows[i] for i in (*own, *held_out)]
    related = relatives(music, [family[row.piece] for row in names], len(train))
    notes = [(names[i], music[i], related[i]) for i in (*range(len(train), len(music)), *joining)]
    rows = []
    for part in parts:
        long = [one for one in notes if one[1].end.max(initial=0) > (part.last - 1) * TICKS_PER_BAR]
        for row, piece, left_out in long or notes:
            cut = part.cut(piece)
            if len(cut):
                rows.append(Unseen(part, row.piece, row.split, indexes[part.given].search(cut, left_out).figures))
    return rows


def write_unseen(path: Path, rows: Sequence[Unseen]) -> None:
    """Write `null.csv`."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            figures = [format_number(getattr(row.figures, name)) for name in FIGURES]
            writer.writerow([*_name(row.part), row.piece, row.split, *figures])


def read_null(path: Path, part: Part) -> Null:
    """The null distribution of one part from a `null.csv`."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if tuple(row[name] for name in COLUMNS[:3]) == _name(part)]
    return Null([Figures(**{name: float(row[name]) for name in FIGURES}) for row in rows])


def _name(part: Part) -> tuple[str, str, str]:
    """A part in the columns of `null.csv`."""
    return str(part.first), str(part.last), "" if part.given is None else str(part.given)


def relatives(music: Sequence[Notes], family: Sequence[str], train: int) -> list[np.ndarray]:
    """For each piece the numbers of its relatives among the first `train` ones, itself included."""
    columns = ("program", "start", "duration", "pitch")
    melodies = [melody({name: getattr(piece, name) for name in columns}) for piece in music]
    result = [{i} for i in range(len(music))]
    for one, other in related(melodies, RELATED).tolist():
        result[one].add(other)
        result[other].add(one)
    members: dict[str, list[int]] = {}
    for i, name in enumerate(family):
        members.setdefault(name, []).append(i)
    united = [sorted(own | set(members[name])) for own, name in zip(result, family, strict=True)]
    return [np.array([i for i in own if i < train], np.int64) for own in united]


def _spread(items: Sequence, count: int) -> list:
    """At most `count` items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in (np.arange(count) * len(items) // count).tolist()]
