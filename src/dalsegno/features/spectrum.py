"""One sound's spectrum, computed once for all features that are read off it.

Values are librosa's own: each is what the function of that name gives for the sound with `pad_mode="reflect"`. That
is how librosa padded until 0.9, and how the tables that the field compares with were made (docs/adr/0020).
"""

from __future__ import annotations

import warnings
from functools import cached_property

import librosa
import numpy as np
from librosa.onset import onset_strength

from dalsegno.features import separation

FRAME = 2048
HOP = 512


class Spectrum:
    """The short-time spectrum of one sound, and what follows from it.

    Args:
        sound: float32 mono.
        rate: Hz.
        frame: samples of a window of the STFT (Hann).
        hop: samples between two windows.

    Raises:
        ValueError: the sound is too short for one window, or silent.
    """

    def __init__(self, sound: np.ndarray, rate: int, frame: int = FRAME, hop: int = HOP) -> None:
        if len(sound) < frame:
            raise ValueError(f"{len(sound)} samples are too few: a frame has {frame}")
        if not sound.any():
            raise ValueError("silence: no sample differs from 0")
        self.sound, self.rate, self.frame, self.hop = sound, rate, frame, hop

    @cached_property
    def stft(self) -> np.ndarray:
        """complex64 `[bins, frames]`."""
        return np.asarray(librosa.stft(self.sound, n_fft=self.frame, hop_length=self.hop, pad_mode="reflect"))

    @cached_property
    def magnitude(self) -> np.ndarray:
        return np.abs(self.stft)

    @cached_property
    def power(self) -> np.ndarray:
        return self.magnitude**2.0

    def log_mel(self, bands: int) -> np.ndarray:
        """float32 `[bands, frames]` in dB re full scale 1, at most 80 below the loudest."""
        mel = librosa.feature.melspectrogram(S=self.power, sr=self.rate, n_mels=bands)
        return np.asarray(librosa.power_to_db(mel))

    @cached_property
    def log_mel_128(self) -> np.ndarray:
        return self.log_mel(128)

    def mfcc(self, coefficients: int) -> np.ndarray:
        """float32 `[coefficients, frames]`: cosines of 128 log-mel bands, the first is the level."""
        return np.asarray(librosa.feature.mfcc(S=self.log_mel_128, n_mfcc=coefficients))

    @cached_property
    def chroma(self) -> np.ndarray:
        """float32 `[12, frames]`, C first, the strongest class of a frame 1; tuning is estimated."""
        with warnings.catch_warnings():
            # Where no pitch is found, the tuning is that of 440 Hz.
            warnings.filterwarnings("ignore", "Trying to estimate tuning from empty frequency set")
            return np.asarray(librosa.feature.chroma_stft(S=self.power, sr=self.rate, n_fft=self.frame))

    @cached_property
    def centroid(self) -> np.ndarray:
        return np.asarray(librosa.feature.spectral_centroid(S=self.magnitude, sr=self.rate))

    @cached_property
    def bandwidth(self) -> np.ndarray:
        return np.asarray(librosa.feature.spectral_bandwidth(S=self.magnitude, sr=self.rate, centroid=self.centroid))

    @cached_property
    def rolloff(self) -> np.ndarray:
        return np.asarray(librosa.feature.spectral_rolloff(S=self.magnitude, sr=self.rate))

    @cached_property
    def rms(self) -> np.ndarray:
        return np.asarray(
            librosa.feature.rms(y=self.sound, frame_length=self.frame, hop_length=self.hop, pad_mode="reflect")
        )

    @cached_property
    def zero_crossing_rate(self) -> np.ndarray:
        return np.asarray(librosa.feature.zero_crossing_rate(self.sound, frame_length=self.frame, hop_length=self.hop))

    @cached_property
    def tempo(self) -> float:
        """Beats a minute, by the autocorrelation of onset strength; NaN where nothing begins."""
        onsets = onset_strength(
            S=self.log_mel_128, sr=self.rate, n_fft=self.frame, hop_length=self.hop, aggregate=np.median
        )
        return float(librosa.feature.tempo(onset_envelope=onsets, sr=self.rate, hop_length=self.hop)[0])

    @cached_property
    def harmonic_percussive(self) -> tuple[np.ndarray, np.ndarray]:
        """The sound's harmonic and its percussive part, float32, each as long as the sound.

        As librosa gave it through 0.8.1, samples after the last whole hop are 0.
        """
        harmonic, percussive = (
            librosa.util.fix_length(librosa.istft(part, hop_length=self.hop), size=len(self.sound))
            for part in separation.harmonic_percussive(self.stft, self.magnitude)
        )
        return harmonic, percussive
