"""How well a model predicts unseen music: negative log-likelihood with its unit, and intervals over families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dalsegno.metrics import bootstrap
from dalsegno.metrics.rows import Identity, Row
from dalsegno.metrics.scores import RATIOS, SPLITS, PieceScore, applies, of_split, terms
from dalsegno.representations.base import Packed


class Likelihood(Protocol):
    """A model that gives the probability of what is there."""

    def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """From `tokens_TxK` a piece to `logp_TxK` in nats, every token given all before it in its piece."""


def score(model: Likelihood, packed: Packed) -> list[PieceScore]:
    """Score the whole pieces of valid and test, never windows.

    Raises:
        ValueError: the model gave another shape, a NaN or a positive log-probability.
    """
    chosen = [i for i, row in enumerate(packed.rows) if row.split in ("valid", "test")]
    pieces = [np.asarray(packed.piece(i)) for i in chosen]
    log_probs = model.log_probs(pieces)
    _check(pieces, log_probs, [packed.rows[i].piece for i in chosen])
    scores = []
    for i, piece, logp in zip(chosen, pieces, log_probs, strict=True):
        row = packed.rows[i]
        # Elsewhere "the same voice one step before" means nothing.
        changed = _changed(piece) if packed.vocabulary.layout == "voices" else None
        frames = packed.vocabulary.layout == "frames"
        scores.append(
            PieceScore(
                piece=row.piece,
                family=row.family,
                split=row.split,
                clean=row.clean,
                tokens=piece.size,
                notes=row.notes,
                seconds=row.seconds,
                nats=float(-np.sum(logp, dtype=float)),
                changed_tokens=np.nan if changed is None else float(changed.sum()),
                changed_nats=np.nan if changed is None else float(-np.sum(logp[changed], dtype=float)),
                frames=len(piece) - 1 if frames else np.nan,
                frame_nats=float(-np.sum(logp[1:], dtype=float)) if frames else np.nan,
            )
        )
    return scores


def summarise(
    scores: Sequence[PieceScore], identity: Identity, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> list[Row]:
    """The rows of a run.

    Returns:
        For the splits `valid`, `test` and `test_clean` (test pieces without a member of their family in train):

        - `nll`, nats/token: sum over all tokens over their number (a micro average);
        - `nll_changed`, `nll_held`, nats/token, where a step has several voices: the tokens that differ from, or
          equal, the same voice's token one step before (a piece's first step counts as changed), since held tokens
          are most of a fine grid and easy;
        - `nll_per_frame`, nats/frame, where a step is a frame of keys: as the polyphonic boards count, all keys of a
          frame together and no piece's first frame;
        - `nll_per_note`, nats/note: total nats over notes, which compares representations;
        - `bits_per_second`, bits/s: total bits over the music's seconds.

        Every interval is over families (sums resampled together, a ratio estimator); n is the number of pieces.
    """
    rows = []
    for split in SPLITS:
        chosen = of_split(scores, split)
        families = [score.family for score in chosen]
        for name, ratio in RATIOS.items():
            if applies(name, scores):
                above, below = terms(ratio, chosen)
                estimate = bootstrap.ratio(above, below, seed, resamples, families)
                rows.append(identity.row(name, ratio.unit, estimate, split))
    return rows


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
