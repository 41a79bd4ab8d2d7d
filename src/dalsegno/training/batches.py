"""Windows of training pieces: the batch of step n is a function of the seed and n alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dalsegno.models.steps import Inputs, inputs_of
from dalsegno.representations.base import Packed, Vocabulary


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
    """Every pitch symbol shifted; other symbols stay.

    Raises:
        ValueError: a pitch would leave the vocabulary.
    """
    first, end = vocabulary.pitches
    pitched = (tokens >= first) & (tokens < end)
    shifted = np.where(pitched, tokens + semitones, tokens)
    if np.any(pitched & ((shifted < first) | (shifted >= end))):
        raise ValueError(f"transposition by {semitones} semitones leaves the vocabulary")
    return shifted.astype(tokens.dtype)


def shifts(low: int, high: int, most: int) -> tuple[int, int]:
    """The range of transpositions (both ends included) of a piece whose own range is `low` … `high`."""
    return max(low, -most), min(high, most)


class Windows:
    """Random windows of the training split.

    A piece is drawn in proportion to its steps; windows begin anywhere, and at either end as often as windows
    that reach beyond it would. A window is read from the mapped file when it is drawn, so that memory does not grow with
    the training split.

    Args:
        packed: tokens; only pieces of the split `train` are read.
        batch_size: windows a batch.
        window: steps a window; shorter pieces are padded.
        transpose: semitones up or down at most, within each piece's own range.
        seed: of the run.
    """

    def __init__(self, packed: Packed, batch_size: int, window: int, transpose: int, seed: int) -> None:
        indices = packed.indices("train")
        if not indices:
            raise ValueError(f"{packed.folder} has no piece in the training split")
        self.vocabulary = packed.vocabulary
        self.packed, self.indices = packed, indices
        steps = np.array([packed.rows[i].steps for i in indices], np.float64)
        self.chances = steps / steps.sum()
        self.transpose = transpose
        self.batch_size, self.window, self.seed = batch_size, window, seed

    def batch(self, step: int) -> Batch:
        """The batch of optimizer step `step`."""
        random = np.random.default_rng([self.seed, step])
        shape = (self.batch_size, self.window)
        width = self.vocabulary.width
        tokens = np.zeros((*shape, width), np.int32)
        previous = np.zeros((*shape, width), np.int32)
        runs = np.zeros((*shape, width), np.int32)
        phase = np.zeros(shape, np.int32)
        mask = np.zeros(shape, np.float32)
        for row, chosen in enumerate(random.choice(len(self.indices), self.batch_size, p=self.chances).tolist()):
            index = self.indices[chosen]
            piece, about = self.packed.piece(index), self.packed.rows[index]
            half = self.window // 2
            start = int(np.clip(random.integers(-half, len(piece) - half + 1), 0, max(0, len(piece) - self.window)))
            low, high = shifts(about.transpose_low, about.transpose_high, self.transpose)
            semitones = int(random.integers(low, high + 1))
            part = slice(start, min(start + self.window, len(piece)))
            length = part.stop - part.start
            inputs = inputs_of(piece, self.vocabulary, part.start, part.stop)
            tokens[row, :length] = transposed(piece[part], semitones, self.vocabulary)
            previous[row, :length] = transposed(inputs.previous_BxTxK, semitones, self.vocabulary)
            runs[row, :length] = inputs.runs_BxTxK
            phase[row, :length] = inputs.phase_BxT
            mask[row, :length] = 1
        return Batch(Inputs(previous, runs, phase), tokens, mask)
