"""Embeddings: what the network sees, what training makes of it, and distances between sets of them."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dalsegno.data.notes import Notes, join_notes, make_notes, write_notes
from dalsegno.embedding.encoder import HELD, LOWEST, PITCHES, WINDOW, Encoder, cells, forward, shapes
from dalsegno.embedding.fitting import fit, loss
from dalsegno.embedding.options import EncoderOptions
from dalsegno.metrics.control import control, noise, shuffle
from dalsegno.metrics.measure import measure, spaces
from dalsegno.metrics.registry import load_metric
from dalsegno.metrics.rows import Identity
from dalsegno.metrics.sets import SetMetric
from tests.unit.music import chorale, write_corpus

BAR = 1920
OPTIONS = EncoderOptions(dimensions=4, hidden=16, steps=60, batch_size=24)
TRAIN = [chorale(seed, 12) for seed in range(60)]
NAMES = [str(i) for i in range(len(TRAIN))]
REAL = [chorale(seed, 12) for seed in range(1000, 1060)]
OTHER = [chorale(seed, 12) for seed in range(2000, 2040)]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return fit(OPTIONS, TRAIN, NAMES)[0]


def test_a_roll_by_hand() -> None:
    notes = make_notes(
        start=[0, 480, BAR, 0], duration=[480, 120, 240, 960], pitch=[60, 60, 72, 36], program=[0, 0, 0, 128]
    )
    one = cells(notes)
    assert one.bars == 2 and one.begins.tolist() == [0]
    roll = one.window(0)
    expected = np.zeros((WINDOW, 16, PITCHES), np.float32)
    expected[0, [0, 4], 60 - LOWEST] = 1
    expected[0, 1:4, 60 - LOWEST] = HELD
    expected[1, 0, 72 - LOWEST], expected[1, 1, 72 - LOWEST] = 1, HELD
    np.testing.assert_array_equal(roll, expected)
    np.testing.assert_array_equal(one.window(0, 3)[..., 3:], expected[..., :-3])
    np.testing.assert_array_equal(one.window(1)[0], expected[1])


def test_pitches_beyond_the_roll_keep_their_class() -> None:
    one = cells(make_notes(start=[0, 0, 0, 0], duration=[120] * 4, pitch=[0, 27, 100, 127]))
    assert ((one.pitch_C + LOWEST) % 12).tolist() == [0, 3, 4, 7]
    assert one.pitch_C.min() >= 0 and one.pitch_C.max() < PITCHES


def test_windows_begin_every_second_bar_as_long_as_they_fit() -> None:
    assert cells(chorale(0, 12)).begins.tolist() == [0, 2, 4, 6, 8]
    assert cells(chorale(0, 7)).begins.tolist() == [0, 2]


def test_training_differentiates_what_measuring_computes() -> None:
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes(8).items()}
    rolls = np.stack([cells(piece).window(0) for piece in TRAIN[:5]])
    ours, theirs = forward(weights, rolls), forward(weights, jnp.asarray(rolls), jnp)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_the_same_bytes_twice_and_the_file_is_the_encoder(encoder: Encoder, tmp_path: Path) -> None:
    again, _ = fit(OPTIONS, TRAIN, NAMES)
    encoder.save(tmp_path / "a"), again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read = Encoder.load(tmp_path / "a")
    np.testing.assert_array_equal(read.points(REAL), encoder.points(REAL))
    assert read.about == encoder.about and read.about["families"] == 60
    other, _ = fit(OPTIONS.model_copy(update={"seed": 1}), TRAIN, NAMES)
    assert not np.allclose(other.points(REAL), encoder.points(REAL))


def test_the_scale_is_that_of_the_training_pieces(encoder: Encoder) -> None:
    points = encoder.points(TRAIN)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(points.T, bias=True), np.eye(4), atol=1e-9)
    few, _ = fit(OPTIONS, TRAIN[:3], NAMES[:3])
    assert few.points(TRAIN[:3]).shape == (3, 4) and np.isfinite(few.points(REAL)).all()


def repeated(seed: int) -> Notes:
    """Three times the same two bars, so that what is hidden can be known."""
    once = chorale(seed, 2)
    parts = {name: np.tile(getattr(once, name), 6) for name in ("track", "duration", "pitch")}
    return make_notes(start=np.concatenate([once.start + i * 2 * BAR for i in range(6)]), **parts)


def test_it_learns_what_is_hidden_in_unseen_pieces() -> None:
    names = [str(i) for i in range(60)]
    options = OPTIONS.model_copy(update={"steps": 300, "hidden": 64})
    _, network = fit(options, [repeated(seed) for seed in range(60)], names)
    unseen = [repeated(seed) for seed in range(1000, 1060)]
    value, blind = loss(network, unseen, names, 24)
    assert value < 0.95 * blind
    assert np.isnan(loss(network, [], [], 24)).all()


def test_a_large_family_counts_once() -> None:
    """A hundred versions of a dense piece beside a sparse one: both are drawn as often, so that both are learned."""
    sparse = make_notes(start=np.arange(12) * BAR, duration=[480] * 12, pitch=[48, 55] * 6)
    music, names = [TRAIN[0]] * 100 + [sparse], ["0"] * 100 + ["1"]
    _, both = fit(OPTIONS, music, names)
    _, alone = fit(OPTIONS, music[:100], names[:100])
    assert loss(both, [sparse], ["1"], 24)[0] < 0.95 * loss(alone, [sparse], ["1"], 24)[0]
    with pytest.raises(ValueError, match="there are none"):
        fit(OPTIONS, [EDGES["drums only"]], ["0"])


def test_real_beats_shuffled_beats_noise(encoder: Encoder) -> None:
    metric = load_metric("embedding_frechet_distance")
    assert isinstance(metric, SetMetric)
    made = [[make(piece, np.random.default_rng(i)) for i, piece in enumerate(OTHER)] for make in (shuffle, noise)]
    reference = encoder.points(REAL)
    real, shuffled, random = (metric.drawn(encoder.points(music), reference, 30, 0) for music in (OTHER, *made))
    assert real.high < shuffled.low and shuffled.value < random.low
    told = metric.estimate(encoder.points(OTHER), reference, seed=5)
    assert told.n == 40 and told.low < told.value < told.high
    assert told.note.startswith("two halves of held-out music: ") and told.note.endswith("(n = 30, seed 5)")
    few = metric.estimate(encoder.points(OTHER[:7]), reference)
    assert np.isnan(few.value) and few.note == "undefined: 7 pieces, needs 8"


def test_samples_and_controls_are_measured_by_the_datasets_encoder(encoder: Encoder, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path)
    write_notes(tmp_path / "notes.parquet", join_notes(OTHER[:9]))
    encoder.save(tmp_path / "encoder")
    name, identity = ["embedding_frechet_distance"], Identity(study="s", dataset="d", model="m")
    controls, _ = control(*corpus, name, "s", "d", bars=8, count=9, encoder=tmp_path / "encoder")
    rows, _ = measure(tmp_path / "notes.parquet", 9, *corpus, name, identity, bars=8, encoder=tmp_path / "encoder")
    value = {row.model: row.value for row in (*controls, *rows)}
    assert value["held_out"] < value["shuffled"] and value["m"] < value["noise"]
    assert [row.split for row in rows] == ["test"] and "too small for a null" in rows[0].note


EDGES: dict[str, Notes] = {
    "no notes": make_notes(start=[], duration=[], pitch=[]),
    "drums only": make_notes(start=[0, 240], duration=[120] * 2, pitch=[36, 42], program=[128] * 2),
    "one note": make_notes(start=[0], duration=[480], pitch=[60]),
    "no duration": make_notes(start=[0], duration=[0], pitch=[60]),
    "two hundred tracks": make_notes(start=[0] * 200, duration=[960] * 200, pitch=[60] * 200, track=range(200)),
    "silence of an hour": make_notes(start=[0, 1800 * BAR], duration=[480] * 2, pitch=[60, 62]),
    "ten hours": make_notes(start=np.arange(18_000) * BAR, duration=[480] * 18_000, pitch=60 + np.arange(18_000) % 12),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_a_point_or_left_out(encoder: Encoder, name: str) -> None:
    points = encoder.points([EDGES[name], TRAIN[0]])
    assert np.isfinite(points).all() and len(points) == 2 - (name in ("no notes", "drums only"))
    np.testing.assert_allclose(points[-1], encoder.points([TRAIN[0]])[0], rtol=0, atol=1e-9)


def test_no_encoder_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="name the encoder"):
        spaces([load_metric("embedding_frechet_distance")], TRAIN, None)
    assert spaces([load_metric("note_density")], TRAIN, None) == {}
