"""How commonplace a stretch of music is in a training set: what one would expect who knows all other families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from dalsegno.copying.suffixes import Suffixes

ORDER = 3
"""Tokens of context."""
PRIOR = 2.0
"""Weight of the shorter context, in observations (a Dirichlet prior whose mean is the next shorter context's)."""

CACHED = (600.0, 30.0, 5.0, 3.0, 2.0, 0.4)
"""Weight of what is known without it against a piece's own rest, in observations, after 0, 1, … tokens of context:
without context a piece says little of what follows, and a passage that comes back goes on as it did. Chosen for the
likelihood of bars of 320 pieces of four sets (docs/adr/0017), rounded."""


class Commonplace:
    """An n-gram model of each stream of a training set, from which pieces can be left out.

    Interpolated as in MacKay and Peto, "A hierarchical Dirichlet language model" (1995).

    Args:
        suffixes: one for each stream.
        family: int32 `[P]`, of each training piece.
    """

    def __init__(self, suffixes: Mapping[str, Suffixes], family: np.ndarray) -> None:
        self.suffixes = suffixes
        self.family = family

    def counts(self, name: str, tokens: np.ndarray) -> list[np.ndarray]:
        """How often the 1, 2, … tokens from each place of a stream stand in the whole training set."""
        return self.suffixes[name].counts(tokens, ORDER + 1)

    def bits(
        self,
        name: str,
        stretch: np.ndarray,
        counts: Sequence[np.ndarray],
        owner: int | None,
        left_out: np.ndarray | None,
    ) -> np.ndarray:
        """Information of each token of a stretch (uint32 `[n]`) after those before it, bits `[n]`.

        Args:
            counts: see `counts`, from the stretch's first token on.
            owner: a training piece whose family does not count.
            left_out: training pieces that do not count, either.
        """
        one = self.suffixes[name]
        rows = np.zeros(0, np.int64) if owner is None else np.flatnonzero(self.family == self.family[owner])
        rows = rows if left_out is None else np.union1d(rows, left_out)
        parts = [one.tokens[one.offsets[row] : one.offsets[row + 1]] for row in rows.tolist()]
        body = np.concatenate([np.zeros(0, np.uint32), *parts])
        agree = body[:, None] == stretch
        others = []
        together = agree
        for width, count in enumerate(counts[: len(stretch)]):
            if width:
                together = together[:-1, :-1] & agree[width:, width:]
            others.append(count[: len(stretch) - width] - together.sum(axis=0))
        total = max(len(one) - len(body), 0)
        share = (others[0] + PRIOR * self._commonness(name, stretch)) / (total + PRIOR)
        for width in range(1, len(others)):
            context = others[width - 1][: len(stretch) - width]
            share[width:] = (others[width] + PRIOR * share[width:]) / (context + PRIOR)
        return np.asarray(-np.log2(share))

    @staticmethod
    def knowing(bits: np.ndarray, tokens: np.ndarray, places: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Information of tokens of a piece for one who knows its rest, too, bits like `bits` `[n]`.

        What the training set says is the prior of the piece's own n-grams: a cache (Kuhn and De Mori, "A cache-based
        natural language model for speech recognition", 1990).

        Args:
            bits: what the training set says of them, see `bits`.
            tokens: uint32 `[m]`, a stream of the piece.
            places: int64 `[n]`, where they stand in it.
            rest: bool `[m]`, which of its tokens are known.
        """
        share = np.exp2(-bits)
        known = np.flatnonzero(rest & (tokens > 0))
        agree = tokens[known] == tokens[places, None]
        context = np.ones(agree.shape, bool)
        for width, weight in enumerate(CACHED):
            if width:
                ours, theirs = (np.where(at >= width, tokens[np.maximum(at - width, 0)], 0) for at in (places, known))
                context &= (theirs == ours[:, None]) & (ours > 0)[:, None]
            share = ((context & agree).sum(axis=1) + weight * share) / (context.sum(axis=1) + weight)
        return np.asarray(-np.log2(share))

    def _commonness(self, name: str, tokens: np.ndarray) -> np.ndarray:
        """What the n-gram model expects of tokens before it saw any: all alike, or of lines interval times wait."""
        if name != "lines":
            return np.full(len(tokens), 1 / max(len(self.suffixes[name]), 1))
        share = 1.0
        for values, own in zip(self._line_parts, np.divmod(tokens, 4096), strict=True):
            share = share * (values[own] + 0.5) / (values.sum() + 0.5 * len(values))
        return np.asarray(share)

    @cached_property
    def _line_parts(self) -> tuple[np.ndarray, np.ndarray]:
        """How often each interval and each wait stand in the lines."""
        tokens = self.suffixes["lines"].tokens
        interval, wait = np.divmod(tokens[tokens > 0], 4096)
        return np.bincount(interval, minlength=128), np.bincount(wait, minlength=4096)
