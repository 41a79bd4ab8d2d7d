"""From the samples of a recording to the sound that features are computed on: one channel, one rate, finite."""

from __future__ import annotations

import numpy as np

LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
"""Sample rates in Hz; what lies outside is a damaged header."""


def to_mono(content_FxC: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """The mean of all channels at another sample rate, as librosa.load gives it.

    Args:
        content_FxC: float samples, full scale ±1, of any number of channels; those of 5.1 count alike.
        rate: Hz.
        wanted: Hz.

    Returns:
        float32 `[samples]`.

    Raises:
        ValueError: there is no sample, one that is no number, or no such sample rate.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"a sample rate of {rate} Hz is none of a recording ({LOWEST_RATE:,} to {HIGHEST_RATE:,})")
    if content_FxC.ndim != 2 or not content_FxC.size:
        raise ValueError("no samples")
    if not np.isfinite(content_FxC).all():
        bad = int(np.flatnonzero(~np.isfinite(content_FxC).all(axis=1))[0])
        raise ValueError(f"a sample is no number ({bad / rate:.3f} s)")
    mono = content_FxC.mean(axis=1, dtype=np.float32)
    if rate != wanted:
        import soxr

        mono = soxr.resample(mono, rate, wanted, quality="HQ")
    return np.ascontiguousarray(mono, np.float32)
