"""Grammars from phrases: which steps may follow which, and what the tokens of each may be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dalsegno.representations.base import Grammar


@dataclass(frozen=True)
class Step:
    """One kind of step.

    Attributes:
        fields: for each of the K tokens the symbols that it may be.
        follow: the kinds of step that may come next.
    """

    fields: Sequence[Collection[int]]
    follow: Collection[Any]


def automaton(steps: Mapping[Any, Step], start: Collection[Any], size: int, barred: Collection[int] = ()) -> Grammar:
    """The grammar of sequences of steps.

    A state is the set of kinds that the step in hand may still be, and how many of its tokens are written. Successors
    are total: a token that no kind in hand allows is read as one of any kind that has it there, so that a prompt that
    breaks the grammar leads to a sensible state.

    Args:
        steps: kind -> step; all of one width.
        start: the kinds that a piece may begin with.
        size: V.
        barred: symbols that are read but never written, e.g. pitches outside the training range.
    """
    kinds = list(steps)
    number = {kind: i for i, kind in enumerate(kinds)}
    width = len(steps[kinds[0]].fields)
    fits_MxKxV = np.zeros((len(kinds), width, size), bool)
    follow_MxM = np.zeros((len(kinds), len(kinds)), bool)
    for i, step in enumerate(steps.values()):
        for k, symbols in enumerate(step.fields):
            fits_MxKxV[i, k, list(symbols)] = True
        follow_MxM[i, [number[kind] for kind in step.follow]] = True
    open_V = np.ones(size, bool)
    open_V[list(barred)] = False

    # Symbols that the same kinds have in a field lead to the same states: one of each class stands for all.
    classes = [np.unique(fits_MxKxV[:, k].T, axis=0, return_inverse=True) for k in range(width)]
    first: np.ndarray = np.zeros(len(kinds), bool)
    first[[number[kind] for kind in start]] = True
    known: dict[tuple[bytes, int], int] = {(first.tobytes(), 0): 0}
    todo: list[tuple[np.ndarray, int]] = [(first, 0)]
    allowed, successors = [], []
    while todo:
        chosen, k = todo.pop(0)
        fits_CxM, class_V = classes[k][0], classes[k][1].reshape(-1)
        written_C = (fits_CxM & chosen).any(1)
        targets_C = np.zeros(len(fits_CxM), np.int16)
        for i, fits_M in enumerate(fits_CxM):
            read_M: np.ndarray = fits_M & chosen if written_C[i] else fits_M if fits_M.any() else chosen
            after: tuple[np.ndarray, int] = (follow_MxM[read_M].any(0), 0) if k + 1 == width else (read_M, k + 1)
            key = (after[0].tobytes(), after[1])
            if key not in known:
                known[key] = len(known)
                todo.append(after)
            targets_C[i] = known[key]
        allowed.append(written_C[class_V] & open_V)
        successors.append(targets_C[class_V])
    return Grammar(np.array(allowed), np.array(successors), 0)


def composed(grammar: Grammar, parts: Sequence[Sequence[int]]) -> Grammar:
    """The grammar of symbols that stand for several of another grammar's symbols.

    Args:
        grammar: of single symbols.
        parts: for each new symbol the symbols that it stands for.
    """
    states = np.arange(len(grammar.allowed_SxV))
    allowed = np.zeros((len(states), len(parts)), bool)
    successor = np.zeros(allowed.shape, np.int16)
    for symbol, spelled in enumerate(parts):
        state, fine = states, np.ones(len(states), bool)
        for part in spelled:
            fine = fine & grammar.allowed_SxV[state, part]
            state = grammar.next_SxV[state, part].astype(np.int64)
        allowed[:, symbol], successor[:, symbol] = fine, state
    return Grammar(allowed, successor, grammar.start)
