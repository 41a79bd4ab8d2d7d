"""MIDI and audio: the same bytes, the right notes, never too loud, never too long."""

from pathlib import Path

import miditoolkit
import numpy as np
import pretty_midi
import soundfile
import symusic

from dalsegno.data.notes import make_notes
from dalsegno.sampling.export import files, write, write_audio, write_midi
from dalsegno.sound.rendering import LOUDNESS, PEAK, SAMPLE_RATE, loudness, render
from tests.unit.music import chorale

EMPTY = make_notes(start=[], duration=[], pitch=[])


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        assert write(tmp_path / name, [chorale(0), EMPTY], seconds=5) == [1]
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["000.flac", "000.mid", "001.flac", "001.mid", "notes.parquet"]
    assert names == sorted(path.name for path in files(tmp_path, 2))
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_midi_holds_the_notes(tmp_path: Path) -> None:
    notes = make_notes(
        start=[0, 480, 0], duration=[480, 960, 120], pitch=[60, 64, 36], track=[0, 0, 1], program=[5, 5, 128]
    )
    write_midi(tmp_path / "x.mid", notes, qpm=90)
    score = symusic.Score(tmp_path / "x.mid")
    assert score.tpq == 480 and round(score.tempos[0].qpm) == 90
    piano, drums = score.tracks
    assert (piano.program, piano.is_drum, drums.is_drum) == (5, False, True)
    assert [(n.time, n.duration, n.pitch, n.velocity) for n in piano.notes] == [(0, 480, 60, 80), (480, 960, 64, 80)]


def test_audio_level_length_and_end() -> None:
    sound = render(chorale(0, bars=4), max_seconds=20)
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert np.abs(sound).max() <= PEAK and np.isclose(loudness(sound, SAMPLE_RATE), LOUDNESS, atol=0.01)
    assert abs(len(sound) - 9 * SAMPLE_RATE) < 100, "four bars at 120 are eight seconds, and one for the release"
    assert abs(sound[-1]) < 1e-6
    assert np.sqrt(np.mean(sound**2)) > 0.02


def test_length_is_capped_whatever_the_notes_say() -> None:
    endless = make_notes(start=[0, 2**30], duration=[2**30, 480], pitch=[60, 60])
    assert len(render(endless, max_seconds=2)) == 2 * SAMPLE_RATE


def test_a_piece_without_notes_is_a_second_of_silence(tmp_path: Path) -> None:
    assert not write_audio(tmp_path / "x.flac", EMPTY)
    sound, rate = soundfile.read(tmp_path / "x.flac")
    assert (len(sound), rate) == (SAMPLE_RATE, SAMPLE_RATE) and not sound.any()
    write_midi(tmp_path / "x.mid", EMPTY)
    assert symusic.Score(tmp_path / "x.mid").note_num() == 0


def test_notes_without_length_are_silent() -> None:
    assert not render(make_notes(start=[0], duration=[0], pitch=[60])).any()


def test_velocity_is_heard() -> None:
    sound = render(make_notes(start=[0, 960], duration=[480, 480], pitch=[60, 60], velocity=[24, 120]))
    first, second = sound[: SAMPLE_RATE // 2], sound[SAMPLE_RATE : SAMPLE_RATE * 3 // 2]
    ratio = np.abs(second).max() / np.abs(first).max()
    assert np.isclose(ratio, 25, rtol=0.05), "the square of their ratio, as SoundFont 2.01 has it"


def test_other_readers_find_the_same_notes(tmp_path: Path) -> None:
    notes = chorale(0, bars=4)
    write_midi(tmp_path / "x.mid", notes, qpm=90)
    written = sorted(
        zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist(), notes.velocity.tolist(), strict=True)
    )
    ticks = miditoolkit.MidiFile(str(tmp_path / "x.mid"))
    found = [(n.start, n.end, n.pitch, n.velocity) for track in ticks.instruments for n in track.notes]
    assert (sorted(found), ticks.ticks_per_beat) == (written, 480)
    seconds = pretty_midi.PrettyMIDI(str(tmp_path / "x.mid"))
    ends = sorted(n.end for track in seconds.instruments for n in track.notes)
    assert np.allclose(ends, np.sort(notes.end) / 480 * 60 / 90)
