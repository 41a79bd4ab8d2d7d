"""Features of sound: librosa's own numbers, GTZAN's table, and what has none."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.ndimage
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dalsegno.features import frames, separation
from dalsegno.features.gtzan import COLUMNS, summary
from dalsegno.features.options import Chroma, LogMel, Mfcc
from dalsegno.sound.rendering import render
from tests.unit.music import chorale

SHARED = Path(__file__).parents[3] / "shared" / "data"
RATE = 22050


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return render(chorale(0, bars=2), max_seconds=4)


@pytest.mark.skipif(not (SHARED / "gtzan_clips.zip").exists(), reason="no ../shared/data: GTZAN's clips are not here")
@pytest.mark.parametrize("name", ["blues.00000", "classical.00000"])
def test_all_columns_agree_with_gtzan(name: str) -> None:
    with zipfile.ZipFile(SHARED / "gtzan_clips.zip") as clips:
        wave, rate = soundfile.read(io.BytesIO(clips.read(f"gtzan_clips/{name}.wav")), dtype="float32")
    with zipfile.ZipFile(SHARED / "gtzan_features.zip") as table:
        (entry,) = (one for one in table.namelist() if one.endswith("features_30_sec.csv"))
        rows = {row["filename"]: row for row in csv.DictReader(io.TextIOWrapper(table.open(entry)))}
    row = rows[f"{name}.au"]
    assert list(row)[2:-1] == list(COLUMNS) and int(row["length"]) == len(wave)
    values = dict(zip(COLUMNS, summary(wave, rate), strict=True))
    for column in COLUMNS:
        tolerance = 2e-5 if column in ("harmony_mean", "perceptr_mean") else 1e-5  # means of what is nearly 0
        assert values[column] == pytest.approx(float(row[column]), rel=tolerance), column


def test_the_summary_is_librosas(sound: np.ndarray) -> None:
    values = dict(zip(COLUMNS, summary(sound, RATE), strict=True))
    feature, options = librosa.feature, {"y": sound, "sr": RATE, "pad_mode": "reflect"}
    harmonic, percussive = librosa.decompose.hpss(librosa.stft(sound, pad_mode="reflect"))
    parts = {
        "chroma_stft": feature.chroma_stft(**options),
        "rms": feature.rms(y=sound, pad_mode="reflect"),
        "spectral_centroid": feature.spectral_centroid(**options),
        "spectral_bandwidth": feature.spectral_bandwidth(**options),
        "rolloff": feature.spectral_rolloff(**options),
        "zero_crossing_rate": feature.zero_crossing_rate(sound),
        "harmony": librosa.util.fix_length(librosa.istft(harmonic), size=len(sound)),
        "perceptr": librosa.util.fix_length(librosa.istft(percussive), size=len(sound)),
        **{f"mfcc{i + 1}": row for i, row in enumerate(feature.mfcc(n_mfcc=20, **options))},
    }
    for name, part in parts.items():
        # A mean of a sound is nearly 0: it is held against the sound's size.
        size = float(np.abs(part).max())
        assert values[f"{name}_mean"] == pytest.approx(float(np.mean(part)), rel=1e-6, abs=1e-8 * size), name
        assert values[f"{name}_var"] == pytest.approx(float(np.var(part)), rel=1e-6), name
    assert values["tempo"] == pytest.approx(float(feature.tempo(y=sound, sr=RATE)[0]))


def test_sequences_are_librosas(sound: np.ndarray) -> None:
    options = {"y": sound, "sr": RATE, "pad_mode": "reflect", "hop_length": 256, "n_fft": 1024}
    mel = librosa.power_to_db(librosa.feature.melspectrogram(n_mels=64, **options))
    ours = frames.values(sound, RATE, LogMel(kind="log_mel", bands=64, hop=256, frame=1024))
    assert ours.shape == (len(sound) // 256 + 1, 64) and ours.dtype == np.float32
    assert np.allclose(ours, mel.T, atol=1e-4)
    ours = frames.values(sound, RATE, Mfcc(kind="mfcc", coefficients=13, hop=256, frame=1024))
    assert np.allclose(ours, librosa.feature.mfcc(n_mfcc=13, **options).T, atol=1e-3)
    ours = frames.values(sound, RATE, Chroma(kind="chroma", hop=256, frame=1024))
    assert np.allclose(ours, librosa.feature.chroma_stft(**options).T, atol=1e-5)
    assert len(frames.columns(Chroma(kind="chroma"))) == ours.shape[1] == 12


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 90)),
        elements=st.sampled_from([0, 1, 2, 2.5, 3, 7]) | st.floats(0, 1e6, width=32),
    ),
    st.sampled_from([1, 3, 5, 31]),
)
def test_the_running_median_is_scipys(values: np.ndarray, size: int) -> None:
    expected = scipy.ndimage.median_filter(values, size=(1, size), mode="reflect")
    assert np.array_equal(separation.running_median(values, size), expected)


def test_chroma_of_one_pitch(sound: np.ndarray) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    chroma = frames.values(tone, RATE, Chroma(kind="chroma"))
    assert (chroma[2:-2].argmax(axis=1) == 9).all()


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000])
def test_features_at_other_rates(rate: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
    assert np.isfinite(summary(noise, rate)).all()


def test_what_has_no_spectrum_is_refused() -> None:
    with pytest.raises(ValueError, match="silence"):
        summary(np.zeros(RATE, np.float32), RATE)
    with pytest.raises(ValueError, match="2047 samples are too few"):
        summary(np.ones(2047, np.float32), RATE)


def test_a_click_a_constant_and_a_short_sound_have_numbers() -> None:
    click = np.zeros(RATE, np.float32)
    click[5000] = 1
    for sound in (click, np.full(RATE, 0.5, np.float32), np.random.default_rng(0).normal(0, 0.1, 2048)):
        assert np.isfinite(summary(sound.astype(np.float32), RATE)).all()
