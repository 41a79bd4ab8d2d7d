"""Rendering and reading of sound: level, silence, clipping, length; what is rejected and why."""

import numpy as np
import pytest

from dalsegno.data.notes import TICKS_PER_QUARTER, make_notes
from dalsegno.sound.rendering import LOUDNESS, PEAK, SAMPLE_RATE, loudness, normalised, render, ticks_within
from dalsegno.sound.signal import to_mono
from tests.unit.music import chorale


def test_pieces_sound_equally_loud_and_never_clip() -> None:
    soft = make_notes(start=np.arange(40) * 120, duration=np.full(40, 400), pitch=np.arange(40) + 40, velocity=[8] * 40)
    drums = make_notes(start=np.arange(60) * 240, duration=np.full(60, 100), pitch=[36, 42] * 30, program=[128] * 60)
    for notes in (soft, drums, chorale(0, bars=4)):
        sound = render(notes)
        peak, level = float(np.abs(sound).max()), loudness(sound, SAMPLE_RATE)
        assert peak <= PEAK
        assert np.isclose(level, LOUDNESS, atol=0.05)


def test_a_loud_attack_limits_the_level() -> None:
    sound = np.zeros(SAMPLE_RATE, np.float32)
    sound[::4410] = 0.1
    louder = normalised(sound, SAMPLE_RATE)
    assert np.isclose(louder.max(), PEAK) and loudness(louder, SAMPLE_RATE) < LOUDNESS
    assert not normalised(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE).any()


def test_ten_thousand_notes_at_once() -> None:
    generator = np.random.default_rng(0)
    sound = render(
        make_notes(
            start=np.zeros(10_000),
            duration=np.full(10_000, 480),
            pitch=generator.integers(20, 110, 10_000),
            velocity=generator.integers(1, 128, 10_000),
        )
    )
    assert np.isfinite(sound).all() and 0.1 < np.abs(sound).max() <= PEAK
    assert len(sound) < 2 * SAMPLE_RATE


@pytest.mark.parametrize("program", [0, 4, 16, 24, 33, 40, 48, 56, 73])
def test_notes_sound_at_their_pitch(program: int) -> None:
    """symusic's synthesizer plays an A3 of the piano 14 semitones higher."""
    for pitch in (57, 69):
        sound = render(make_notes(start=[0], duration=[1920], pitch=[pitch], program=[program]))
        spectrum = np.abs(np.fft.rfft(sound[:SAMPLE_RATE] * np.hanning(SAMPLE_RATE)))
        partial = spectrum.argmax() / (440 * 2 ** ((pitch - 69) / 12))
        # Organs have a stop an octave lower.
        assert partial > 0.45 and abs(1200 * np.log2(2 * partial / round(2 * partial))) < 25, f"{partial:.3f} of it"


def test_one_note_rings_and_ends() -> None:
    sound = render(make_notes(start=[0], duration=[960], pitch=[69]))
    assert len(sound) == pytest.approx(2 * SAMPLE_RATE, abs=100)
    assert np.abs(sound[:SAMPLE_RATE]).max() > 0.1 > 1e-3 > abs(sound[-1])


def test_a_piece_of_soft_notes_is_heard() -> None:
    """The renderer alone drops a note of velocity 3."""
    soft, loud = (render(make_notes(start=[0], duration=[960], pitch=[69], velocity=[v])) for v in (3, 126))
    assert np.allclose(soft, loud, atol=1e-3)


def test_more_instruments_than_channels() -> None:
    """Sixteen instruments in one MIDI file would share a channel, and one would play the other's notes."""
    flute = {"start": [0], "duration": [1920], "pitch": [84], "track": [0], "program": [73]}
    alone = render(make_notes(**flute))
    silent = [(track, track % 64) for track in range(1, 40)]
    many = make_notes(
        start=[0, *(1920 for _ in silent)],
        duration=[1920, *(10 for _ in silent)],
        pitch=[84, *(30 for _ in silent)],
        track=[0, *(track for track, _ in silent)],
        program=[73, *(program for _, program in silent)],
    )
    first, same = alone[:SAMPLE_RATE], render(many)[:SAMPLE_RATE]
    likeness = np.corrcoef(first, same)[0, 1]
    assert likeness > 0.95


def test_twelve_hours_are_cut() -> None:
    hours = 12 * 3600 * 2 * TICKS_PER_QUARTER
    sound = render(make_notes(start=[0, hours], duration=[hours, 480], pitch=[60, 62]), max_seconds=3)
    assert len(sound) == 3 * SAMPLE_RATE


@pytest.mark.parametrize("qpm", [0.0, -1.0, float("inf"), float("nan"), 1.0])
def test_a_tempo_that_midi_cannot_say_is_refused(qpm: float) -> None:
    with pytest.raises(ValueError, match=r"a tempo of .* quarter notes a minute \(tick 480\)"):
        render(make_notes(start=[0], duration=[960], pitch=[69]), [(0, 120.0), (480, qpm)])


def test_tempo_marks_are_followed() -> None:
    notes = make_notes(start=[0, 480, 960], duration=[480, 480, 480], pitch=[60, 62, 64])
    tempos = [(0, 120.0), (480, 60.0)]
    assert len(render(notes, tempos)) == pytest.approx((0.5 + 2 + 1) * SAMPLE_RATE, abs=100)
    assert ticks_within(0.25, tempos) == 240
    assert ticks_within(1.5, tempos) == 960
    assert ticks_within(1.0) == 960, "120 where the piece names no tempo"


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_sample_rates_of_rendering(rate: int) -> None:
    assert len(render(chorale(0, bars=1), rate=rate)) == pytest.approx(3 * rate, abs=rate // 100)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
def test_sample_rates_of_recordings(rate: int) -> None:
    content = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)[:, None].astype(np.float32)
    mono = to_mono(content, rate, 22050)
    assert mono.dtype == np.float32 and abs(len(mono) - 22050) <= 1
    spectrum = np.abs(np.fft.rfft(mono, 22050))
    assert spectrum.argmax() == 440 and np.isclose(np.abs(mono[1000:-1000]).max(), 1, atol=0.01)


def test_channels_are_averaged() -> None:
    left, right = np.full(100, 0.5, np.float32), np.full(100, -0.1, np.float32)
    assert np.allclose(to_mono(np.stack([left, right], axis=1), 22050, 22050), 0.2)
    surround = np.eye(6, dtype=np.float32).repeat(50, axis=0)
    assert np.allclose(to_mono(surround, 22050, 22050), 1 / 6)
    assert np.array_equal(to_mono(left[:, None], 22050, 22050), left)


def test_what_is_no_sound_is_refused_with_its_place() -> None:
    content = np.zeros((48000, 2), np.float32)
    content[24000, 1] = np.nan
    with pytest.raises(ValueError, match=r"a sample is no number \(0.500 s\)"):
        to_mono(content, 48000, 22050)
    with pytest.raises(ValueError, match="no samples"):
        to_mono(np.zeros((0, 2), np.float32), 48000, 22050)
    with pytest.raises(ValueError, match="a sample rate of 0 Hz"):
        to_mono(content, 0, 22050)
