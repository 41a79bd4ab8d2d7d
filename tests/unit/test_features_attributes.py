"""Attributes of pieces and bars: what is known of small music, and the classes of a column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import symusic

from dalsegno.data.notes import DRUMS, make_notes
from dalsegno.data.options import parse_source
from dalsegno.data.tables import Corpus
from dalsegno.features import registry
from dalsegno.features.attributes import COLUMNS, windows
from dalsegno.features.build import build
from dalsegno.features.loading import FeatureSet
from dalsegno.features.options import Attributes, parse
from tests.unit.music import chorale, write_corpus
from tests.unit.test_features_symbolic import corpus_of

BARS = Attributes(kind="attributes")


def rows(corpus: Corpus, per: str = "bar") -> list[dict[str, float]]:
    (found,) = windows(corpus, [0], Attributes(kind="attributes", per=per))  # type: ignore[arg-type]
    return [
        dict(zip(("start", "seconds", *COLUMNS), (w.start, w.seconds, *w.values[0].tolist()), strict=True))  # type: ignore[index]
        for w in found
    ]


def test_bars_follow_the_meters_and_notes_are_cut_at_their_lines(tmp_path: Path) -> None:
    notes = make_notes(
        # An upbeat, a bar of 3/4 with a scale in C, a note held over into an empty bar of 2/4, a silent bar, drums.
        start=[0, 480, 960, 1440, 1680, 4800],
        duration=[480, 480, 480, 240, 720, 120],
        pitch=[67, 60, 64, 67, 72, 36],
        velocity=[40, 60, 80, 100, 120, 90],
        program=[0] * 5 + [DRUMS],
        track=[0] * 5 + [1],
    )
    meters = ((0, 1, 4), (480, 3, 4), (1920, 2, 4))
    found = rows(corpus_of(tmp_path, [notes], meters=meters, tempos=((0, 60.0), (1920, 120.0))))
    assert [(r["tick"], r["ticks"]) for r in found] == [
        (0, 480),
        (480, 1440),
        (1920, 960),
        (2880, 960),
        (3840, 960),
        (4800, 960),
    ]
    assert [(r["meter_numerator"], r["meter_denominator"]) for r in found[:3]] == [(1, 4), (3, 4), (2, 4)]
    assert [r["density"] for r in found] == pytest.approx([1, 4 / 3, 0, 0, 0, 0.5])
    assert [r["polyphony"] for r in found[:3]] == [1, 1, 1] and np.isnan(found[3]["polyphony"])
    assert found[1]["register"] == pytest.approx((60 + 64 + 67 + 72) / 4) and found[2]["register"] == 72
    assert np.isnan(found[5]["register"]), "drums have no pitch"
    assert [r["rhythm_intensity"] for r in found] == pytest.approx([1 / 4, 4 / 12, 0, 0, 0, 1 / 8])
    assert found[1]["velocity"] == 90 and np.isnan(found[2]["velocity"])
    assert (found[1]["key"], found[1]["mode"]) == (0, 1) and found[1]["key_clarity"] > 0.8 and np.isnan(found[3]["key"])
    assert [r["qpm"] for r in found[:3]] == [60, 60, 120] and [r["tempo_class"] for r in found[1:3]] == [0, 4]
    assert [(r["start"], r["seconds"]) for r in found[:3]] == [(0, 1), (1, 3), (4, 1)]
    (whole,) = rows(Corpus(tmp_path), "piece")
    assert (whole["tick"], whole["ticks"], whole["key"], whole["mode"]) == (0, 4920, 0, 1)
    assert whole["density"] == pytest.approx(6 / (4920 / 480))
    # 1920 ticks at 60 and 3000 at 120.
    assert whole["qpm"] == pytest.approx(4920 / (1920 / 60 + 3000 / 120))
    assert whole["rhythm_intensity"] == pytest.approx(6 / 41)


def test_a_bar_in_a_minor_is_a_minor(tmp_path: Path) -> None:
    pitch = [57, 59, 60, 62, 64, 65, 68, 69]
    (bar,) = rows(corpus_of(tmp_path, [make_notes(start=np.arange(8) * 240, duration=[240] * 8, pitch=pitch)]))
    assert (bar["key"], bar["mode"]) == (9, 0)


def test_bars_begin_where_pretty_midi_has_its_downbeats(tmp_path: Path) -> None:
    notes = make_notes(start=[0, 480 * 30], duration=[480] * 2, pitch=[60, 62])
    meters, tempos = ((0, 3, 4), (480 * 9, 6, 8), (480 * 15, 4, 4)), ((0, 97.0), (480 * 7, 131.0))
    found = rows(corpus_of(tmp_path, [notes], meters=meters, tempos=tempos))
    score = symusic.Score(480)
    score.tracks.append(symusic.Track(notes=[symusic.Note(0, 480, 60, 80), symusic.Note(480 * 30, 480, 62, 80)]))
    score.time_signatures.extend(symusic.TimeSignature(*meter) for meter in meters)
    score.tempos.extend(symusic.Tempo(*tempo) for tempo in tempos)
    score.dump_midi(tmp_path / "a.mid")
    downbeats = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).get_downbeats()
    assert [row["start"] for row in found] == pytest.approx(downbeats[: len(found)].tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["note_roll", "note_chroma"])
def test_rolls_and_chroma_are_pretty_midis(kind: str, tmp_path: Path) -> None:
    from dalsegno.sampling.export import write_midi

    piece = chorale(3)
    corpus = corpus_of(tmp_path / "c", [piece], tempos=((0, 120.0),))
    write_midi(tmp_path / "a.mid", piece, 120.0)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))
    theirs = (midi.get_piano_roll if kind == "note_roll" else midi.get_chroma)(fs=20)
    options = parse({"kind": kind, "rate": 20, "seconds": 10})
    ((window,),) = registry.load(kind).windows(corpus, [0], options)
    assert window.values.shape == (200, len(registry.load(kind).columns(options)))
    assert np.array_equal(window.values, theirs.T[:200])
    (tmp_path / "c" / "split.csv").write_text("piece,split,family,clean\np000,train,p000,true\n")
    build(
        options, parse_source({"kind": "folder", "path": "."}), tmp_path / "c", tmp_path / "c/split.csv", tmp_path / "c"
    )
    assert np.array_equal(FeatureSet(tmp_path / "c").values, window.values)


def test_attributes_are_a_set_of_features_with_classes_of_the_training_split(tmp_path: Path) -> None:
    corpus, split = write_corpus(tmp_path, 8)
    source = parse_source({"kind": "folder", "path": str(tmp_path)})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build(BARS, source, corpus, split, tmp_path / name)
    assert (tmp_path / "one/features.parquet").read_bytes() == (tmp_path / "two/features.parquet").read_bytes()
    features = FeatureSet(tmp_path / "one")
    assert len(features) == 8 * 8
    assert features.piece[:8].tolist() == ["p000"] * 8 and features.start[:3].tolist() == [0, 2, 4]
    classes = features.classes("rhythm_intensity", 4)
    assert set(classes.tolist()) <= {0, 1, 2, 3}
    values = features.values[:, features.columns.index("rhythm_intensity")]
    assert all(
        values[classes == low].max() < values[classes == low + 1].min()
        for low in range(3)
        if (classes == low).any() and (classes == low + 1).any()
    )
    assert features.classes("register", 2)[features.split == "train"].mean() == pytest.approx(0.5, abs=0.2)
    with pytest.raises(ValueError, match="has no column 'mood'"):
        features.classes("mood", 2)
