"""Interpolated back-off counts: the baseline that needs no gradient. NumPy only.

Event sequences (K = 1) are a Markov chain of order `order`. Voices (K > 1) are two questions a token: does the
voice hold, and if not, which pitch comes next; their contexts are the voice, how long it has held, the metrical
phase, the voices above in this step, and what the other voices did last.

A level's estimate interpolates its discounted counts with the shorter context's (Pitman-Yor form, Teh 2006):
p(y | c) = (max(n(c, y) - d, 0) + (a + d · types(c)) · p(y | c')) / (n(c) + a). Each level's discount d and
concentration a are chosen on the validation split.

Legend of shape suffixes: N predictions, L levels of context from the shortest, K tokens a step, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field

from dalsegno.models import filters
from dalsegno.models.base import FREE, Arrays, FamilyConfig, Request
from dalsegno.representations.base import Packed, Vocabulary
from dalsegno.study import Augmentation

SUPPORTS = frozenset({"likelihood", "prompt", "voice"})
LAYOUTS = frozenset({"voices", "events"})
LONGEST_RUN = 16
DISCOUNTS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
CONCENTRATIONS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
SWEEPS = 2


class Config(FamilyConfig):
    """Sizes of the Markov model."""

    order: int = Field(5, ge=1, le=16, description="tokens of context for event sequences; voices have their own")


@dataclass(frozen=True)
class Level:
    """Counts of one context length.

    Attributes:
        events: sorted hashes of (context, symbol), uint64; counts: how often each occurred.
        contexts: sorted hashes of contexts; totals: how often each occurred; types: distinct symbols after it.
    """

    events: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    types: np.ndarray

    def find(self, contexts_N: np.ndarray, symbols_N: np.ndarray) -> np.ndarray:
        """`found_3xN` (float64): n(c, y), n(c) and types(c)."""
        at, known = _find(self.contexts, contexts_N)
        count_at, seen = _find(self.events, _mix(contexts_N, symbols_N))
        return np.stack(
            [
                np.where(seen, self.counts[count_at], 0),
                np.where(known, self.totals[at], 0),
                np.where(known, self.types[at], 0),
            ]
        ).astype(np.float64)


def _mix(hashes_N: np.ndarray, values_N: np.ndarray | int) -> np.ndarray:
    """Extend context hashes by one value (splitmix64's finalizer)."""
    with np.errstate(over="ignore"):
        mixed = (hashes_N ^ np.asarray(values_N).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def _find(keys: np.ndarray, wanted_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.minimum(np.searchsorted(keys, wanted_N), len(keys) - 1)
    return at, keys[at] == wanted_N


def _count(contexts_N: np.ndarray, symbols_N: np.ndarray) -> Level:
    events, first, counts = np.unique(_mix(contexts_N, symbols_N), return_index=True, return_counts=True)
    contexts, of_event = np.unique(contexts_N[first], return_inverse=True)
    totals = np.bincount(of_event, weights=counts, minlength=len(contexts))
    types = np.bincount(of_event, minlength=len(contexts))
    return Level(events, counts.astype(np.int32), contexts, totals.astype(np.int32), types.astype(np.int32))


class Question:
    """A distribution over `size` symbols given L nested contexts.

    Args:
        size: number of symbols; the shortest context backs off to the uniform distribution.
        levels: counts, from the shortest context.
        smoothing_Lx2: discount and concentration of each level.
    """

    def __init__(self, size: int, levels: Sequence[Level], smoothing_Lx2: np.ndarray) -> None:
        self.size, self.levels, self.smoothing_Lx2 = size, list(levels), smoothing_Lx2

    @classmethod
    def fit(cls, size: int, contexts_LxN: np.ndarray, symbols_N: np.ndarray) -> Question:
        """Counts with a neutral smoothing."""
        levels = [_count(contexts_N, symbols_N) for contexts_N in contexts_LxN]
        return cls(size, levels, np.tile([0.4, 1.0], (len(levels), 1)))

    def probability(self, contexts_LxN: np.ndarray, symbols_N: np.ndarray) -> np.ndarray:
        """`p_N` of given symbols."""
        return self._blend(self._found(contexts_LxN, symbols_N), self.smoothing_Lx2)

    def others(self, contexts_LxN: np.ndarray, symbols_N: np.ndarray) -> np.ndarray:
        """`q_N`, the probability of all symbols but the given ones: what 1 - p would round to nothing near 1."""
        found = self._found(contexts_LxN, symbols_N)
        q_N = np.full(found[0].shape[1], 1 - 1 / self.size)
        for (count, total, types), (discount, concentration) in zip(found, self.smoothing_Lx2, strict=True):
            # Each symbol that was seen gave the discount, which is less than one occurrence.
            kept = (total - count) - discount * (types - (count > 0))
            q_N = (kept + (concentration + discount * types) * q_N) / (total + concentration)
        return q_N

    def distribution(self, contexts_LxN: np.ndarray) -> np.ndarray:
        """`p_NxV` of all symbols."""
        number = contexts_LxN.shape[1]
        symbols = np.tile(np.arange(self.size), number)
        return self.probability(np.repeat(contexts_LxN, self.size, axis=1), symbols).reshape(number, self.size)

    def tune(self, contexts_LxN: np.ndarray, symbols_N: np.ndarray) -> None:
        """Choose each level's discount and concentration for the likelihood of given symbols, one after the other."""
        found = self._found(contexts_LxN, symbols_N)

        def loss(smoothing_Lx2: np.ndarray) -> float:
            return -float(np.log(self._blend(found, smoothing_Lx2)).mean())

        best = loss(self.smoothing_Lx2)
        for _ in range(SWEEPS):
            for level in range(len(self.levels)):
                for column, choices in ((1, CONCENTRATIONS), (0, DISCOUNTS)):
                    for choice in choices:
                        candidate = self.smoothing_Lx2.copy()
                        candidate[level, column] = choice
                        if (score := loss(candidate)) < best:
                            best, self.smoothing_Lx2 = score, candidate

    def _found(self, contexts_LxN: np.ndarray, symbols_N: np.ndarray) -> list[np.ndarray]:
        return [level.find(c_N, symbols_N) for level, c_N in zip(self.levels, contexts_LxN, strict=True)]

    def _blend(self, found: list[np.ndarray], smoothing_Lx2: np.ndarray) -> np.ndarray:
        p_N = np.full(found[0].shape[1], 1 / self.size)
        for (count, total, types), (discount, concentration) in zip(found, smoothing_Lx2, strict=True):
            kept = np.maximum(count - discount, 0)
            p_N = (kept + (concentration + discount * types) * p_N) / (total + concentration)
        return p_N

    def arrays(self, name: str) -> Arrays:
        """Everything, for a checkpoint."""
        arrays = {f"{name}.smoothing": self.smoothing_Lx2}
        for number, level in enumerate(self.levels):
            arrays |= {f"{name}.{number:02d}.{key}": value for key, value in vars(level).items()}
        return arrays

    @classmethod
    def of_arrays(cls, name: str, size: int, arrays: Arrays) -> Question:
        """The inverse of `arrays`."""
        smoothing = arrays[f"{name}.smoothing"]
        levels = [
            Level(**{key: arrays[f"{name}.{number:02d}.{key}"] for key in Level.__dataclass_fields__})
            for number in range(len(smoothing))
        ]
        return cls(size, levels, smoothing)


class History(NamedTuple):
    """What is known before a step, one row a prediction; V stands before the beginning.

    Attributes:
        recent_OxNxK: the tokens of the last O steps, latest first.
        runs_NxK: steps for which each voice has held its token; 0 before the first step.
        older_NxK: each voice's token before the one it holds.
        before_NxK: each voice's run length of that older token.
        phase_N: step modulo the period.
    """

    recent_OxNxK: np.ndarray
    runs_NxK: np.ndarray
    older_NxK: np.ndarray
    before_NxK: np.ndarray
    phase_N: np.ndarray

    @classmethod
    def start(cls, number: int, order: int, vocabulary: Vocabulary) -> History:
        """Before the first step of `number` sequences."""
        shape = (number, vocabulary.width)
        nothing = np.full(shape, vocabulary.size)
        return cls(
            np.full((order, *shape), vocabulary.size),
            np.zeros(shape, int),
            nothing,
            np.zeros(shape, int),
            np.zeros(number, int),
        )

    def after(self, tokens_NxK: np.ndarray, period: int) -> History:
        """One step later."""
        previous = self.recent_OxNxK[0]
        held = tokens_NxK == previous
        return History(
            np.concatenate([tokens_NxK[None], self.recent_OxNxK[:-1]]),
            np.where(held, np.minimum(self.runs_NxK + 1, LONGEST_RUN), 1),
            np.where(held, self.older_NxK, previous),
            np.where(held, self.before_NxK, self.runs_NxK),
            (self.phase_N + 1) % period,
        )


def _histories(pieces: Sequence[np.ndarray], order: int, vocabulary: Vocabulary) -> tuple[History, np.ndarray]:
    """The history before every step of all pieces, and `tokens_NxK`."""
    longest = max(len(piece) for piece in pieces)
    lengths = np.array([len(piece) for piece in pieces])
    padded = np.zeros((len(pieces), longest, vocabulary.width), int)
    for row, piece in enumerate(pieces):
        padded[row, : len(piece)] = piece
    history = History.start(len(pieces), order, vocabulary)
    each = []
    for step in range(longest):
        each.append(history)
        history = history.after(padded[:, step], vocabulary.period)
    inside = np.arange(longest) < lengths[:, None]
    recent = np.stack([h.recent_OxNxK for h in each], axis=2)[:, inside]
    rest = [np.stack([h[field] for h in each], axis=1)[inside] for field in range(1, len(History._fields))]
    return History(recent, *rest), padded[inside]


def _chain(columns: Sequence[Sequence[np.ndarray]], number: int) -> np.ndarray:
    """Nested contexts: level l is hashed from the columns of all groups up to l."""
    hashes = np.zeros(number, np.uint64)
    levels = []
    for group in columns:
        for column in group:
            hashes = _mix(hashes, column)
        levels.append(hashes)
    return np.stack(levels)


def _hold_contexts(k: int, history: History, tokens_NxK: np.ndarray) -> np.ndarray:
    """Contexts of "does voice k hold?"; of the step's own tokens those before k are read."""
    previous = history.recent_OxNxK[0]
    width = previous.shape[1]
    voice = np.full(len(previous), k)
    runs = history.runs_NxK
    moved = [tokens_NxK[:, j] != previous[:, j] for j in range(k)]
    above = [tokens_NxK[:, j] for j in range(k)]
    columns = [
        [voice, history.phase_N % 4, np.minimum(runs[:, k], 5)],
        moved,
        [runs[:, k]],
        [history.phase_N],
        [np.minimum(runs[:, j], 4) for j in range(k + 1, width)],
        [history.before_NxK[:, k]],
        [previous[:, k]],
        above[-1:],
        above[:-1],
    ]
    return _chain(columns, len(previous))


def _pitch_contexts(k: int, history: History, tokens_NxK: np.ndarray) -> np.ndarray:
    """Contexts of "which token follows in voice k, given that it moves?"."""
    previous = history.recent_OxNxK[0]
    width = previous.shape[1]
    voice = np.full(len(previous), k)
    above = [tokens_NxK[:, j] for j in range(k)]
    columns = [
        [voice],
        [previous[:, k]],
        above[:1],
        [history.older_NxK[:, k]],
        above[1:],
        [previous[:, j] for j in range(k + 1, width)],
        [history.phase_N],
    ]
    return _chain(columns, len(previous))


class NGram:
    """A fitted model; a `dalsegno.models.base.Trained`."""

    def __init__(self, config: Config, vocabulary: Vocabulary, questions: dict[str, Question]) -> None:
        self.config, self.vocabulary, self.questions = config, vocabulary, questions

    def log_probs(self, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `dalsegno.models.base.Trained`."""
        history, tokens = _histories(pieces, self.config.order, self.vocabulary)
        logp = np.stack([self._log_prob(k, history, tokens) for k in range(tokens.shape[1])], axis=1)
        return np.split(logp.astype(np.float32), np.cumsum([len(piece) for piece in pieces])[:-1])

    def _log_prob(self, k: int, history: History, tokens_NxK: np.ndarray) -> np.ndarray:
        token = tokens_NxK[:, k]
        if self.vocabulary.width == 1:
            return np.log(self.questions["token"].probability(_event_contexts(history), token))
        previous = history.recent_OxNxK[0, :, k]
        begun = previous < self.vocabulary.size
        held = token == previous
        hold = self.questions["hold"].probability(_hold_contexts(k, history, tokens_NxK), held.astype(int))
        contexts = _pitch_contexts(k, history, tokens_NxK)
        pitch = self.questions["pitch"].probability(contexts, token)
        moved = pitch / np.where(begun, self.questions["pitch"].others(contexts, previous), 1.0)
        return np.log(np.where(begun, np.where(held, hold, hold * moved), pitch))

    def _distribution(self, k: int, history: History, tokens_NxK: np.ndarray) -> np.ndarray:
        """`p_NxV` of token k."""
        if self.vocabulary.width == 1:
            return self.questions["token"].distribution(_event_contexts(history))
        previous = history.recent_OxNxK[0, :, k]
        moves, holds = np.split(self.questions["hold"].distribution(_hold_contexts(k, history, tokens_NxK)), 2, axis=1)
        p = self.questions["pitch"].distribution(_pitch_contexts(k, history, tokens_NxK))
        same = np.arange(self.vocabulary.size) == previous[:, None]
        begun = (previous < self.vocabulary.size)[:, None]
        p = np.where(same, 0, p)
        p = p / p.sum(axis=1, keepdims=True)
        return np.where(begun, np.where(same, holds, moves * p), p)

    def generate(self, request: Request) -> list[np.ndarray]:
        """See `dalsegno.models.base.Trained`."""
        vocabulary, grammar = self.vocabulary, request.grammar
        batch, width = len(request.prompts), vocabulary.width
        given = request.given(width)
        random = np.random.default_rng(request.seed)
        history = History.start(batch, self.config.order, vocabulary)
        automaton = np.full(batch, grammar.start)
        buffer = np.zeros((batch, request.steps, width), np.int16)
        ends, bars, done = np.zeros(batch, int), np.zeros(batch, int), np.zeros(batch, bool)
        for t in range(request.steps):
            tokens = np.zeros((batch, width), int)
            for k in range(width):
                with np.errstate(divide="ignore"):
                    logits = np.maximum(np.log(self._distribution(k, history, tokens)), filters.REFUSED)
                scores = filters.restrict(
                    logits, grammar.allowed_SxV[automaton], request.temperature, request.top_k, request.top_p, np
                )
                tokens[:, k] = np.argmax(scores + random.gumbel(size=scores.shape), axis=1)
                tokens[:, k] = np.where(given[:, t, k] == FREE, tokens[:, k], given[:, t, k])
                automaton = grammar.next_SxV[automaton, tokens[:, k]]
            over = done
            if request.bar is not None and request.bars is not None:
                bars += np.any(tokens == request.bar, axis=1)
                over = over | (bars > request.bars)
            ends = np.where(over, ends, t + 1)
            done = over if vocabulary.eos is None else over | np.any(tokens == vocabulary.eos, axis=1)
            buffer[:, t] = tokens
            history = history.after(tokens, vocabulary.period)
            if done.all():
                break
        return [buffer[row, : ends[row]] for row in range(batch)]


def _event_contexts(history: History) -> np.ndarray:
    recent = history.recent_OxNxK[:, :, 0]
    return _chain([[], *([token] for token in recent)], recent.shape[1])


def _asked(
    pieces: Sequence[np.ndarray], config: Config, vocabulary: Vocabulary
) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
    """Each question's number of symbols, contexts and answers in given pieces."""
    history, tokens = _histories(pieces, config.order, vocabulary)
    if vocabulary.width == 1:
        return {"token": (vocabulary.size, _event_contexts(history), tokens[:, 0])}
    held = tokens == history.recent_OxNxK[0]
    begun = history.runs_NxK[:, 0] > 0
    hold, pitch = [], []
    for k in range(vocabulary.width):
        hold.append((_hold_contexts(k, history, tokens)[:, begun], held[begun, k]))
        pitch.append((_pitch_contexts(k, history, tokens)[:, ~held[:, k]], tokens[~held[:, k], k]))
    return {
        name: (size, np.concatenate([c for c, _ in asked], axis=1), np.concatenate([s for _, s in asked]).astype(int))
        for name, size, asked in (("hold", 2, hold), ("pitch", vocabulary.size, pitch))
    }


def fit(config: Config, packed: Packed, augmentation: Augmentation, seed: int) -> Arrays:
    """Count the training split, in every transposition asked for; smooth on the validation split.

    `seed` is not used: nothing is drawn.
    """
    vocabulary = packed.vocabulary
    first, end = vocabulary.pitches
    pieces = []
    for i in packed.indices("train"):
        tokens, row = packed.piece(i), packed.rows[i]
        low, high = max(row.transpose_low, -augmentation.transpose), min(row.transpose_high, augmentation.transpose)
        pitched = (tokens >= first) & (tokens < end)
        pieces += [np.where(pitched, tokens + shift, tokens) for shift in range(low, high + 1)]
    valid = _asked([packed.piece(i) for i in packed.indices("valid")], config, vocabulary)
    arrays: Arrays = {}
    for name, (size, contexts, symbols) in _asked(pieces, config, vocabulary).items():
        question = Question.fit(size, contexts, symbols)
        question.tune(*valid[name][1:])
        arrays |= question.arrays(name)
    return arrays


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> NGram:
    """The fitted model of a checkpoint."""
    sizes = {"token": vocabulary.size} if vocabulary.width == 1 else {"hold": 2, "pitch": vocabulary.size}
    return NGram(config, vocabulary, {name: Question.of_arrays(name, size, arrays) for name, size in sizes.items()})
