"""Training examples made harder: masks over frequency and time, and noise. Of validation and test, never."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from dalsegno.options import Section


class Augmentation(Section):
    """SpecAugment (Park and others, Interspeech 2019, without time warping) and additive Gaussian noise."""

    frequency_masks: int = Field(1, ge=0)
    frequency_width: float = Field(0.2, ge=0, le=1, description="widest mask as a share of the columns")
    time_masks: int = Field(1, ge=0)
    time_width: float = Field(0.2, ge=0, le=1, description="longest mask as a share of the frames")
    noise: float = Field(0.3, ge=0, description="standard deviation of the noise, in those of the training pieces")


def augment(
    values_BxTxD: np.ndarray, lengths_B: np.ndarray, options: Augmentation, generator: np.random.Generator
) -> np.ndarray:
    """A changed copy of standardised values: noise first, then masks that hold 0, the training pieces' mean.

    Each example has masks of its own; their width is uniform from 0 to the widest. Frames beyond an example's length
    stay as they are.
    """
    examples, frames, columns = values_BxTxD.shape
    inside_BxT = np.arange(frames) < lengths_B[:, None]
    noise_BxTxD = generator.normal(0.0, 1.0, values_BxTxD.shape).astype(np.float32) * np.float32(options.noise)
    result = values_BxTxD + noise_BxTxD
    result[
        _spans(generator, options.frequency_masks, options.frequency_width, np.full(examples, columns), columns)[
            :, None, :
        ].repeat(frames, axis=1)
    ] = 0
    result[_spans(generator, options.time_masks, options.time_width, lengths_B, frames)] = 0
    return np.asarray(np.where(inside_BxT[:, :, None], result, values_BxTxD))


def _spans(generator: np.random.Generator, count: int, widest: float, lengths_B: np.ndarray, size: int) -> np.ndarray:
    """bool `[examples, size]`: `count` spans within each length, together."""
    chosen_BxS = np.zeros((len(lengths_B), size), bool)
    place = np.arange(size)
    for _ in range(count):
        width = np.floor(generator.uniform(0, 1, len(lengths_B)) * (np.floor(widest * lengths_B) + 1))
        start = np.floor(generator.uniform(0, 1, len(lengths_B)) * (lengths_B - width + 1))
        chosen_BxS |= (place >= start[:, None]) & (place < (start + width)[:, None])
    return chosen_BxS
