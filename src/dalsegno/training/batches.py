"""Windows of training pieces: the batch of step n is a function of the seed and n alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dalsegno.models.attributes import UNTOLD, UNTOLD_SHARE, Attribute, Reader
from dalsegno.models.recall import sources, taken
from dalsegno.models.steps import LONGEST_RUN, Inputs, blank, recent
from dalsegno.representations.base import Packed, Row, Vocabulary
from dalsegno.training.options import Augmentation

CACHED_PIECES = 1024
"""Of which it is remembered what their steps recall; others are gone through anew."""


class Batch(NamedTuple):
    """Attributes:
    inputs: of every step of the windows, as in the whole piece.
    tokens_BxTxK: what is to be predicted.
    mask_BxT: 1.0 where a step belongs to a piece, 0.0 after its end.
    """

    inputs: Inputs
    tokens_BxTxK: np.ndarray
    mask_BxT: np.ndarray


def transposed(tokens: np.ndarray, semitones: int, vocabulary: Vocabulary) -> np.ndarray:
    """Every pitch symbol shifted, or every key of frames; other symbols stay.

    Raises:
        ValueError: a pitch would leave the vocabulary.
    """
    if vocabulary.layout == "frames":
        # Silence that leaves at one end enters at the other.
        moved = np.roll(tokens, semitones, axis=-1)
        edge = slice(0, semitones) if semitones > 0 else slice(vocabulary.width + semitones, None)
        if semitones and np.any(moved[..., edge] == 1):
            raise ValueError(f"transposition by {semitones} semitones leaves the keys")
        return moved
    first, end = vocabulary.pitches
    pitched = (tokens >= first) & (tokens < end)
    shifted = np.where(pitched, tokens + semitones, tokens)
    if np.any(pitched & ((shifted < first) | (shifted >= end))):
        raise ValueError(f"transposition by {semitones} semitones leaves the vocabulary")
    return shifted.astype(tokens.dtype)


def levelled(tokens: np.ndarray, levels: int, span: tuple[int, int]) -> np.ndarray:
    """Symbols of a span of ordered levels (velocities, tempos) shifted, the outermost at most; other symbols stay."""
    first, end = span
    own = (tokens >= first) & (tokens < end)
    return np.where(own, np.clip(tokens + levels, first, end - 1), tokens).astype(tokens.dtype)


def shifts(low: int, high: int, most: int) -> tuple[int, int]:
    """The range of transpositions (both ends included) of a piece whose own range is `low` … `high`."""
    return max(low, -most), min(high, most)


class Windows:
    """Random windows of the training split.

    A piece is drawn in proportion to its steps; windows begin anywhere, and at either end as often as windows
    that reach beyond it would. A window is read from the mapped file when it is drawn, so that memory does not grow
    with the training split; what steps recall is kept of the last `CACHED_PIECES` pieces, twelve bytes a step.

    Args:
        packed: tokens; only pieces of the split `train` are read.
        batch_size: windows a batch.
        window: steps a window; shorter pieces are padded.
        augmentation: what each window is varied by.
        seed: of the run.
        attributes: what a model is told of each window, now and then.
    """

    def __init__(
        self,
        packed: Packed,
        batch_size: int,
        window: int,
        augmentation: Augmentation,
        seed: int,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        self.packed, self.indices = packed, packed.indices("train")
        if not self.indices:
            raise ValueError(f"{packed.folder} has no piece in the training split")
        self.vocabulary = packed.vocabulary
        self.reader = Reader(attributes, packed) if attributes else None
        steps = np.array([packed.rows[i].steps for i in self.indices], np.float64)
        self.chances = steps / steps.sum()
        self.batch_size, self.window, self.augmentation, self.seed = batch_size, window, augmentation, seed
        # A window's steps recall those of the whole piece, which is the same in every epoch and in every key.
        self._sources = lru_cache(maxsize=CACHED_PIECES)(lambda index: sources(packed.piece(index)))

    def batch(self, step: int) -> Batch:
        """The batch of optimizer step `step`."""
        random = np.random.default_rng([self.seed, step])
        shape = (self.batch_size, self.window)
        tokens = np.zeros((*shape, self.vocabulary.width), np.int32)
        inputs = blank(*shape, self.vocabulary)
        mask = np.zeros(shape, np.float32)
        told = np.zeros((*shape, len(self.reader.attributes)), np.int32) if self.reader else None
        for row, chosen in enumerate(random.choice(len(self.indices), self.batch_size, p=self.chances).tolist()):
            piece, about = self.packed.piece(self.indices[chosen]), self.packed.rows[self.indices[chosen]]
            half = self.window // 2
            start = int(np.clip(random.integers(-half, len(piece) - half + 1), 0, max(0, len(piece) - self.window)))
            stop = min(start + self.window, len(piece))
            # How long a token has been held, and what was held before it, is remembered up to the longest run.
            before, length = min(start, LONGEST_RUN), stop - start
            stretch = np.arange(start - before, stop)
            if inputs.match_BxT is not None:
                # What is recalled lies anywhere before, and is varied as the window is.
                source_T, match_T = (told_T[start:stop] for told_T in self._sources(self.indices[chosen]))
                stretch = np.concatenate([stretch, np.maximum(source_T, 0)])
            varied = self._varied(piece[stretch], about, random)
            own = recent(varied[: before + length], self.vocabulary)
            tokens[row, :length] = varied[before : before + length]
            inputs.previous_BxTxK[row, :length] = own.previous_BxTxK[before:]
            inputs.runs_BxTxK[row, :length] = own.runs_BxTxK[before:]
            inputs.earlier_BxTxK[row, :length] = own.earlier_BxTxK[before:]
            inputs.phase_BxT[row, :length] = np.arange(start, stop) % self.vocabulary.period
            if inputs.match_BxT is not None:
                inputs.recalled_BxTxK[row, :length] = taken(source_T, varied[before + length :], self.vocabulary.size)
                inputs.match_BxT[row, :length] = match_T
            mask[row, :length] = 1
            if self.reader is not None and told is not None:
                kept_A = random.random(told.shape[-1]) >= UNTOLD_SHARE
                told[row, :length] = np.where(kept_A, self.reader.of(self.indices[chosen])[start:stop], UNTOLD)
        return Batch(inputs._replace(attributes_BxTxA=told), tokens, mask)

    def _varied(self, tokens_TxK: np.ndarray, about: Row, random: np.random.Generator) -> np.ndarray:
        """A stretch of a piece as one window shows it. What is not asked for draws no number."""
        options, vocabulary = self.augmentation, self.vocabulary
        low, high = shifts(about.transpose_low, about.transpose_high, options.transpose)
        varied = transposed(tokens_TxK, int(random.integers(low, high + 1)), vocabulary)
        for most, span in ((options.velocity, vocabulary.velocities), (options.tempo, vocabulary.tempos)):
            if most:
                varied = levelled(varied, int(random.integers(-most, most + 1)), span)
        if options.voice_dropout:
            silent_K = random.random(vocabulary.width) < options.voice_dropout
            # One voice is always heard.
            silent_K[random.integers(vocabulary.width)] = False
            varied[:, silent_K] = vocabulary.names.index("Rest")
        return varied
