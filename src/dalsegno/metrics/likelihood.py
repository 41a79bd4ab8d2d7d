"""How well a model predicts unseen music: negative log-likelihood with its unit, and intervals over pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dalsegno.metrics import bootstrap
from dalsegno.metrics.rows import Identity, Row
from dalsegno.representations.base import Packed


class Likelihood(Protocol):
    """A model that gives the probability of what is there."""

    def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """From `tokens_TxK` a piece to `logp_TxK` in nats, every token given all before it in its piece."""


def score(
    model: Likelihood, packed: Packed, identity: Identity, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> list[Row]:
    """Score the whole pieces of valid and test, never windows.

    Returns:
        For the splits `valid`, `test` and `test_clean` (test pieces without a member of their family in train):

        - `nll`, nats/token: sum over all tokens over their number (a micro average);
        - `nll_changed`, `nll_held`, nats/token, where a step has several voices: the tokens that differ from, or
          equal, the same voice's token one step before (a piece's first step counts as changed), since held tokens
          are most of a fine grid and easy;
        - `nll_per_note`, nats/note: total nats over notes, which compares representations;
        - `bits_per_second`, bits/s: total bits over the music's seconds.

        Every interval is over pieces (sums resampled together, a ratio estimator); n is the number of pieces.

    Raises:
        ValueError: the model gave another shape, a NaN or a positive log-probability.
    """
    chosen = [i for i, row in enumerate(packed.rows) if row.split in ("valid", "test")]
    pieces = [np.asarray(packed.piece(i)) for i in chosen]
    log_probs = model.log_probs(pieces)
    _check(pieces, log_probs, [packed.rows[i].piece for i in chosen])

    nats = np.array([-np.sum(logp, dtype=float) for logp in log_probs])
    tokens = np.array([piece.size for piece in pieces], float)
    changed = [_changed(piece) for piece in pieces]
    changed_nats = np.array([-np.sum(logp[mask], dtype=float) for logp, mask in zip(log_probs, changed, strict=True)])
    changed_tokens = np.array([mask.sum() for mask in changed], float)
    notes = np.array([packed.rows[i].notes for i in chosen], float)
    seconds = np.array([packed.rows[i].seconds for i in chosen], float)

    ratios = {"nll": ("nats/token", nats, tokens)}
    if packed.vocabulary.width > 1:
        ratios["nll_changed"] = ("nats/token", changed_nats, changed_tokens)
        ratios["nll_held"] = ("nats/token", nats - changed_nats, tokens - changed_tokens)
    ratios["nll_per_note"] = ("nats/note", nats, notes)
    ratios["bits_per_second"] = ("bits/s", nats / np.log(2), seconds)

    is_split = np.array([packed.rows[i].split for i in chosen], dtype=object)
    is_clean = np.array([packed.rows[i].clean for i in chosen], bool)
    masks = {"valid": is_split == "valid", "test": is_split == "test", "test_clean": (is_split == "test") & is_clean}
    return [
        identity.row(name, unit, bootstrap.ratio(above[mask], below[mask], seed, resamples), split)
        for split, mask in masks.items()
        for name, (unit, above, below) in ratios.items()
    ]


def _changed(tokens_TxK: np.ndarray) -> np.ndarray:
    changed = np.ones(tokens_TxK.shape, bool)
    changed[1:] = tokens_TxK[1:] != tokens_TxK[:-1]
    return changed


def _check(pieces: Sequence[np.ndarray], log_probs: Sequence[np.ndarray], names: Sequence[str]) -> None:
    if len(pieces) != len(log_probs):
        raise ValueError(f"the model scored {len(log_probs)} of {len(pieces)} pieces")
    for piece, logp, name in zip(pieces, log_probs, names, strict=True):
        if logp.shape != piece.shape:
            raise ValueError(f"piece {name}: log-probabilities of shape {logp.shape} for tokens of shape {piece.shape}")
        # A float32 softmax may pass 0 by a rounding error.
        if not np.all(logp <= 1e-4):
            raise ValueError(f"piece {name}: a log-probability that is NaN or above 0")
