"""Sequences of frames: log-mel spectrograms, MFCCs, chroma."""

from __future__ import annotations

import numpy as np

from dalsegno.features.options import Chroma, LogMel, Mfcc
from dalsegno.features.spectrum import Spectrum

CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def columns(options: LogMel | Mfcc | Chroma) -> tuple[str, ...]:
    """The name of each number of a frame."""
    if isinstance(options, LogMel):
        return tuple(f"mel{number}" for number in range(1, options.bands + 1))
    if isinstance(options, Mfcc):
        return tuple(f"mfcc{number}" for number in range(1, options.coefficients + 1))
    return CLASSES


def values(sound: np.ndarray, rate: int, options: LogMel | Mfcc | Chroma) -> np.ndarray:
    """float32 `[frames, columns]` of one sound; a frame is centred on every multiple of the hop.

    Raises:
        ValueError: the sound is too short or silent.
    """
    spectrum = Spectrum(sound, rate, options.frame, options.hop)
    if isinstance(options, LogMel):
        frames = spectrum.log_mel(options.bands)
    elif isinstance(options, Mfcc):
        frames = spectrum.mfcc(options.coefficients)
    else:
        frames = spectrum.chroma
    return np.ascontiguousarray(frames.T, np.float32)
