"""What survives a representation: the notes of each piece held against the notes that its tokens give back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dalsegno.data.notes import DRUMS, TICKS_PER_QUARTER
from dalsegno.representations.base import Columns, Piece

NEAR = TICKS_PER_QUARTER // 2
"""A note may move by as much, in ticks, and still be the same note."""
TEMPO_STEP = 0.02
"""Tempos are one where they differ by no more than this share."""

COUNTS = (
    "pieces",
    "exact",
    "notes",
    "kept",
    "added",
    "onsets",
    "durations",
    "velocities",
    "programs",
    "out_of_range",
    "tempos",
    "tempos_kept",
    "meters",
    "meters_kept",
    "tokens",
    "onset_error",
    "duration_error",
)
"""What is counted of each piece:

- pieces, and those whose tokens give exactly what the representation claims;
- notes of the source; those found again (kept), and notes that no source note explains (added);
- of the kept notes those with the same onset tick, duration in ticks, velocity and program;
- notes that lie beyond what the representation speaks of (drums, pitches, bars after the last);
- tempo marks and meters of the source, and those that stand in the result at the same place (a tempo within 2 %);
- tokens; sums over kept notes of the distance of onset and duration, in ticks.
"""


def compare(source: Piece, told: Piece, claim: Piece, out_of_range: int, tokens: int) -> dict[str, int]:
    """The counts of one piece.

    Args:
        source: the corpus's piece.
        told: what its tokens give back.
        claim: what they should give back.
        out_of_range: notes that the representation leaves out by its own account.
        tokens: how many tokens the piece has.
    """
    pairs = matched(source.notes, told.notes)
    ours, theirs = pairs[:, 0], pairs[:, 1]
    same = {name: source.notes[name][ours] == told.notes[name][theirs] for name in source.notes}
    apart = {
        name: int(np.abs(source.notes[name][ours].astype(np.int64) - told.notes[name][theirs]).sum())
        for name in ("start", "duration")
    }
    tempos = [(tick, qpm) for tick, qpm in source.tempos if np.isfinite(qpm) and qpm > 0]
    return {
        "pieces": 1,
        "exact": int(equal(told, claim)),
        "notes": len(source.notes["start"]),
        "kept": len(pairs),
        "added": len(told.notes["start"]) - len(pairs),
        "onsets": int(same["start"].sum()),
        "durations": int(same["duration"].sum()),
        "velocities": int(same["velocity"].sum()),
        "programs": int(same["program"].sum()),
        "out_of_range": out_of_range,
        "tempos": len(tempos),
        "tempos_kept": sum(_tempo_stands(tick, qpm, told) for tick, qpm in tempos),
        "meters": len(source.meters),
        "meters_kept": len(set(source.meters) & set(told.meters)),
        "tokens": tokens,
        "onset_error": apart["start"],
        "duration_error": apart["duration"],
    }


def equal(one: Piece, other: Piece) -> bool:
    """Whether two pieces have the same notes; tracks count by their order."""

    def table(notes: Columns) -> np.ndarray:
        names = ("program", "start", "pitch", "duration", "velocity")
        rows = np.column_stack([notes[name].astype(np.int64) for name in names])
        return rows[np.lexsort(rows.T[::-1])]

    return np.array_equal(table(one.notes), table(other.notes))


def matched(source: Columns, told: Columns) -> np.ndarray:
    """Pairs (row of `source`, row of `told`) of notes of one pitch, in the order of time, each at most once.

    First come notes that agree in onset, program and duration, then those in onset and program, in onset, and last
    those that begin within an eighth of each other.
    """
    left, right = [np.arange(len(one["start"])) for one in (source, told)]
    drums = source["program"] == DRUMS, told["program"] == DRUMS
    found = []
    for fields in (("start", "program", "duration"), ("start", "program"), ("start",)):
        ours, theirs = _keys(source, left, told, right, ("pitch", *fields))
        pairs = _ranked(ours, theirs)
        found.append(np.column_stack([left[pairs[:, 0]], right[pairs[:, 1]]]))
        left, right = np.delete(left, pairs[:, 0]), np.delete(right, pairs[:, 1])
    # What is left moved: the k-th note of a pitch goes with the k-th that is near enough.
    near = []
    waiting: dict[tuple[int, bool], list[int]] = {}
    for row in right[np.argsort(told["start"][right], kind="stable")].tolist():
        waiting.setdefault((int(told["pitch"][row]), bool(drums[1][row])), []).append(row)
    taken: dict[tuple[int, bool], int] = {}
    for row in left[np.argsort(source["start"][left], kind="stable")].tolist():
        key = (int(source["pitch"][row]), bool(drums[0][row]))
        queue, start = waiting.get(key, []), int(source["start"][row])
        at = taken.get(key, 0)
        while at < len(queue) and told["start"][queue[at]] < start - NEAR:
            at += 1
        if at < len(queue) and told["start"][queue[at]] <= start + NEAR:
            near.append((row, queue[at]))
            at += 1
        taken[key] = at
    return np.concatenate([*found, np.array(near, np.int64).reshape(-1, 2)])


def _keys(
    source: Columns, ours: np.ndarray, told: Columns, theirs: np.ndarray, fields: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """One number for each chosen row of both tables, equal where the rows agree in all fields."""
    keys = np.zeros(len(ours) + len(theirs), np.int64)
    for name in fields:
        column = np.concatenate([source[name][ours], told[name][theirs]]).astype(np.int64)
        column -= column.min(initial=0)
        size = int(column.max(initial=0)) + 1
        if int(keys.max(initial=0)) >= 2**62 // size:
            keys = np.unique(keys, return_inverse=True)[1]
        keys = keys * size + column
    return keys[: len(ours)], keys[len(ours) :]


def _ranked(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Pairs of rows with equal keys; the k-th of equal keys goes with the k-th."""
    if not len(ours) or not len(theirs):
        return np.zeros((0, 2), np.int64)
    order = np.argsort(np.concatenate([ours, theirs]), kind="stable")
    keys = np.concatenate([ours, theirs])[order]
    # Of rows with one key ours stand first, so that a row's partner is as far away as the key has rows of ours.
    theirs_too = order >= len(ours)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    group = np.cumsum(np.concatenate([[True], keys[1:] != keys[:-1]])) - 1
    own = np.bincount(group[~theirs_too], minlength=len(first))
    size = np.diff(np.append(first, len(keys)))
    rank = np.arange(len(keys)) - first[group]
    at = np.flatnonzero(~theirs_too & (rank < (size - own)[group]))
    return np.column_stack([order[at], order[at + own[group[at]]] - len(ours)])


def _tempo_stands(tick: int, qpm: float, told: Piece) -> bool:
    standing = [own for at, own in told.tempos if at <= tick + NEAR]
    return bool(standing) and abs(standing[-1] - qpm) <= TEMPO_STEP * qpm


def card(counts: Mapping[str, int], lengths: Iterable[int], symbols: int, unit: str) -> dict[str, Any]:
    """The fidelity card of a dataset in a representation, as plain data for `fidelity.json`.

    Args:
        counts: sums over the pieces that fit.
        lengths: steps of each piece.
        symbols: size of the vocabulary.
        unit: what a step is.
    """
    steps = np.array(sorted(lengths), np.int64)
    quantiles = (
        [int(np.quantile(steps, share, method="lower")) for share in (0.0, 0.5, 0.95, 1.0)] if len(steps) else []
    )
    return {
        "counts": {name: counts.get(name, 0) for name in COUNTS},
        "steps": dict(zip(("shortest", "median", "percentile_95", "longest"), quantiles, strict=False)),
        "symbols": symbols,
        "unit": unit,
    }
