"""The table of 57 features that GTZAN (Tzanetakis and Cook 2002) is usually published with, column by column."""

from __future__ import annotations

import numpy as np

from dalsegno.features.options import Gtzan
from dalsegno.features.spectrum import Spectrum

COEFFICIENTS = 20
_PARTS = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)
_MFCC = tuple(f"mfcc{number}" for number in range(1, COEFFICIENTS + 1))

COLUMNS = (
    *(f"{part}_{moment}" for part in _PARTS for moment in ("mean", "var")),
    "tempo",
    *(f"{part}_{moment}" for part in _MFCC for moment in ("mean", "var")),
)
"""Names as in `features_30_sec.csv`; `perceptr` is the percussive part of the sound, `harmony` the harmonic one."""


def columns(options: Gtzan) -> tuple[str, ...]:
    """The name of each number of a row."""
    return COLUMNS


def values(sound: np.ndarray, rate: int, options: Gtzan) -> np.ndarray:
    """`[1, 57]`: one row; see `summary`."""
    return summary(sound, rate)[None]


def summary(sound: np.ndarray, rate: int) -> np.ndarray:
    """float32 `[57]` of one sound in the order of `COLUMNS`.

    Args:
        sound: float32 mono; the tables of the field are at 22.05 kHz.
        rate: Hz.

    Raises:
        ValueError: the sound is too short or silent.
    """
    spectrum = Spectrum(sound, rate)
    parts = [
        spectrum.chroma,
        spectrum.rms,
        spectrum.centroid,
        spectrum.bandwidth,
        spectrum.rolloff,
        spectrum.zero_crossing_rate,
        *spectrum.harmonic_percussive,
    ]
    values = [moment for part in parts for moment in (np.mean(part), np.var(part))]
    values.append(spectrum.tempo)
    values += [moment for row in spectrum.mfcc(COEFFICIENTS) for moment in (np.mean(row), np.var(row))]
    return np.array(values, np.float32)
