"""Every family: probabilities, causality, caches, checkpoints."""

import itertools
import sys
import types
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dalsegno.models import base, registry
from dalsegno.models.ensemble import Config, Key, Mixture
from dalsegno.models.neural import Neural
from dalsegno.models.steps import Inputs, following, inputs_of
from dalsegno.representations.base import Packed
from dalsegno.sampling.options import Sampler
from dalsegno.study import Model
from dalsegno.training.options import Augmentation
from tests.unit.tiny import CONFIGS, EVENTS, NEURAL, PAIRS, STEPWISE, VOICES, packed, trained


@pytest.fixture
def data(kind, tmp_path) -> Packed:
    return packed(tmp_path / "packed", kind)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_probabilities_of_a_step_sum_to_one(name, data):
    vocabulary = data.vocabulary
    piece = data.piece(9)[:7]
    steps = list(itertools.product(range(vocabulary.size), repeat=vocabulary.width))
    for at in (0, 6):
        candidates = [np.concatenate([piece[:at], np.array([step], np.int16)]) for step in steps]
        total = sum(np.exp(logp[at].sum(dtype=np.float64)) for logp in trained(name, data).log_probs(candidates))
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_token_depends_on_earlier_tokens_only(name, data):
    model = trained(name, data)
    piece = data.piece(0)[:9]
    before = model.log_probs([piece])[0].reshape(-1)
    for at in range(piece.size):
        changed = piece.copy()
        changed.reshape(-1)[at] = (changed.reshape(-1)[at] + 1) % data.vocabulary.size
        after = model.log_probs([changed])[0].reshape(-1)
        np.testing.assert_array_equal(before[:at], after[:at])
        if name in STEPWISE and at + 1 < piece.size:
            assert before[at + 1] != after[at + 1]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_piece_scores_the_same_alone_and_among_others(name, data):
    model = trained(name, data)
    pieces = [data.piece(i) for i in range(6)]
    together = model.log_probs(pieces)
    for piece, logp in zip(pieces, together, strict=True):
        assert logp.shape == piece.shape
        np.testing.assert_allclose(model.log_probs([piece])[0], logp, atol=2e-6)


RELATIVE = CONFIGS["transformer"] | {"positions": "relative", "layers": 1}
NETWORKS = [pytest.param(name, CONFIGS[name], "voices", id=name) for name in STEPWISE]
NETWORKS.append(pytest.param("transformer", RELATIVE, "voices", id="relative"))
NETWORKS.append(pytest.param("frame_rnn", CONFIGS["frame_rnn"] | {"cell": "lstm"}, "frames", id="frame_rnn"))


@pytest.mark.parametrize(("name", "config", "kind"), NETWORKS)
def test_gradient_is_causal(name, config, data):
    module = base.family(name)
    network = module.Network(module.Config(**config), data.vocabulary, nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (1, 12, 8))
    gradient = jax.grad(lambda x: jnp.sum(network.trunk(x, None)[:, 7] ** 2))(x)
    sizes = np.abs(np.asarray(gradient)).sum(axis=(0, 2))
    assert np.all(sizes[:8][-6:] > 0)
    assert np.all(sizes[8:] == 0)


@pytest.mark.parametrize(("name", "config", "kind"), NETWORKS)
def test_cached_steps_equal_the_whole_window(name, config, data, monkeypatch):
    # A cache of six steps is read in three parts.
    monkeypatch.setattr("dalsegno.models.transformer.SMALLEST_PART", 2)
    module = base.family(name)
    network = module.Network(module.Config(**config), data.vocabulary, nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 20, 8))
    state = network.start(2)
    advance = jax.jit(network.advance)
    each = []
    for step in range(20):
        state, out = advance(state, x[:, step])
        each.append(out)
    np.testing.assert_allclose(jnp.stack(each, axis=1), network.trunk(x, None), atol=2e-5)


def test_lstm_gradient_is_that_of_autodiff():
    from dalsegno.models.lstm import _recur_forward, recur

    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((6, 3, 16), (4, 16), (16,))
    given = tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False))
    target = jax.random.normal(keys[3], (6, 3, 4))
    ours = jax.grad(lambda *x: jnp.sum(recur(*x) * target), (0, 1, 2))(*given)
    plain = jax.grad(lambda *x: jnp.sum(_recur_forward(*x)[0] * target), (0, 1, 2))(*given)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gru_gradient_is_that_of_autodiff():
    from dalsegno.models.gru import _recur_forward, recur

    keys = jax.random.split(jax.random.key(0), 5)
    shapes = ((6, 3, 12), (4, 12), (12,), (4,))
    given = tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False))
    target = jax.random.normal(keys[4], (6, 3, 4))
    ours = jax.grad(lambda *x: jnp.sum(recur(*x) * target), (0, 1, 2, 3))(*given)
    plain = jax.grad(lambda *x: jnp.sum(_recur_forward(*x)[0] * target), (0, 1, 2, 3))(*given)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["voices", "events"])
def test_tied_weights_are_one_array(data):
    module = base.family("gru")
    arrays = Neural(module.Network(module.Config(**CONFIGS["gru"]), data.vocabulary, nnx.Rngs(0)), data.vocabulary)
    assert not [name for name in arrays.arrays() if name.startswith("heads.") and name.endswith("absolute")]
    assert "embedding.tokens.0" in arrays.arrays()
    with pytest.raises(ValueError, match=r"hidden \(4\) equal to features \(8\)"):
        module.Config(features=8, hidden=4, tied=True)


@pytest.mark.parametrize("kind", ["voices", "events"])
def test_inputs_of_a_piece_are_those_of_decoding(data):
    piece, vocabulary = data.piece(0), data.vocabulary
    whole = inputs_of(piece, vocabulary)
    previous = jnp.full(vocabulary.width, vocabulary.size)
    runs = jnp.zeros(vocabulary.width, int)
    earlier = jnp.full(vocabulary.width, vocabulary.size)
    for step, tokens in enumerate(piece):
        expected = Inputs(previous, runs, earlier, step % vocabulary.period)
        assert whole.attributes_BxTxA is None
        for ours, theirs in zip(whole[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(ours[step], theirs)
        runs, earlier = following(expected, jnp.asarray(tokens), vocabulary.size)
        previous = jnp.asarray(tokens)


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] in CONFIGS])
def test_checkpoint_restores_the_model(name, data, tmp_path):
    module = base.family(name)
    config = module.Config(**CONFIGS[name])
    model = trained(name, data)
    arrays = model.arrays() if name in NEURAL else module.fit(config, data, Augmentation(), 0)
    path = tmp_path / "checkpoint.safetensors"
    base.save(path, name, config, data.vocabulary, arrays)
    first = path.read_bytes()
    base.save(path, name, config, data.vocabulary, arrays)
    assert path.read_bytes() == first
    pieces = [data.piece(12)]
    np.testing.assert_array_equal(base.load(path, data.vocabulary).log_probs(pieces)[0], model.log_probs(pieces)[0])


def test_checkpoint_of_another_vocabulary_is_refused(tmp_path):
    voices, events = packed(tmp_path / "v", "voices"), packed(tmp_path / "e", "events")
    module = base.family("ngram")
    path = tmp_path / "checkpoint.safetensors"
    base.save(path, "ngram", module.Config(), voices.vocabulary, module.fit(module.Config(), voices, Augmentation(), 0))
    with pytest.raises(ValueError, match="another vocabulary"):
        base.load(path, events.vocabulary)


def test_unknown_family_is_named_with_the_known():
    with pytest.raises(ValueError, match="ngram"):
        base.family("lstn")


def test_every_option_says_what_it_is():
    for name in registry.FAMILIES:
        module = base.family(name)
        assert {"likelihood", "prompt"} <= module.SUPPORTS
        assert all(field.description for field in module.Config.model_fields.values())


def test_ngram_learns_from_transpositions(tmp_path):
    """A pitch that only a transposed training piece holds becomes likelier."""
    data = packed(tmp_path, "voices")
    module = base.family("ngram")
    unseen = np.full((4, 2), 5, np.int16)
    scores = []
    for semitones in (0, 1):
        arrays = module.fit(module.Config(), data, Augmentation(transpose=semitones), 0)
        scores.append(module.load(module.Config(), data.vocabulary, arrays).log_probs([unseen])[0].sum())
    assert scores[1] > scores[0]


def test_ngram_never_rules_out_a_token():
    """Nor where eight levels of context are all but sure: 1 - p is then nothing in floating point."""
    module = base.family("ngram")
    steps = 100_000
    contexts = np.zeros((8, steps), np.uint64)
    symbols = np.arange(steps) < 1
    sure = module.Question.fit(2, contexts, symbols.astype(int))
    sure.smoothing_Lx2[:] = [0.0, 0.05]
    ask = contexts[:, :1]
    p = sure.probability(ask, np.zeros(1, int))
    q = sure.others(ask, np.zeros(1, int))
    assert q == pytest.approx(sure.probability(ask, np.ones(1, int)), rel=1e-12) and p + q == pytest.approx(1)
    never = module.Question.fit(2, contexts, np.zeros(steps, int))
    never.smoothing_Lx2[:] = [0.0, 0.05]
    assert never.probability(ask, np.zeros(1, int)) == 1
    assert never.others(ask, np.zeros(1, int)) == pytest.approx(0.5 * (0.05 / (steps + 0.05)) ** 8, rel=1e-9)


def test_ngram_scores_a_move_after_which_all_but_nothing_spoke():
    """A voice that never moved in training moves: unlikely, and of a finite likelihood."""
    module = base.family("ngram")
    still, moving = np.full((400, 2), [5, 3]), np.array([[5, 3], [4, 2]] * 4)
    config = module.Config()
    questions = {}
    for name, (size, contexts, symbols) in module._asked([still, moving], config, VOICES).items():
        questions[name] = module.Question.fit(size, contexts, symbols)
        questions[name].smoothing_Lx2[:] = [0.0, 0.05]
    model = module.NGram(config, VOICES, questions)
    moved = np.concatenate([still[:60], still[:1] - 1])
    logp = model.log_probs([moved])[0]
    assert np.isfinite(logp).all() and logp[-1, 0] < -20


def test_a_new_family_is_one_file_and_one_line(monkeypatch, tmp_path):
    """A family that knows nothing, written as `docs/` tells, goes through training and sampling."""
    from dalsegno.models.steps import StepModel
    from dalsegno.sampling.decode import generate
    from dalsegno.training.run import train

    toy = types.ModuleType("toy_family")

    class Config(base.FamilyConfig):
        features: int = 4

    class Network(StepModel):
        """Sees the step before and nothing else."""

        def __init__(self, config, vocabulary, rngs):
            super().__init__(vocabulary, config.features, 4, rngs)

        def trunk(self, x_BxTxD, key):
            return x_BxTxD

        def start(self, batch):
            return ()

        def advance(self, state, x_BxD):
            return state, x_BxD

    toy.Config, toy.Network, toy.SUPPORTS = Config, Network, frozenset({"likelihood"})
    toy.load = lambda config, vocabulary, arrays: Neural(Network(config, vocabulary, nnx.Rngs(0)), vocabulary, arrays)
    monkeypatch.setitem(sys.modules, "toy_family", toy)
    monkeypatch.setitem(registry.FAMILIES, "toy", "toy_family")
    data = packed(tmp_path / "packed", "voices")
    section = Model.model_validate({"family": "toy", "training": {"steps": 2, "batch_size": 2, "window": 8}})
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(
        section.model_dump(mode="json"),
        data,
        0,
        checkpoint,
        tmp_path / "curves.jsonl",
        tmp_path / "summary.json",
        tmp_path / "scratch",
    )
    pieces = generate(base.load(checkpoint, data.vocabulary), Sampler(count=2, bars=2), data, 0)
    assert [piece.shape for piece in pieces] == [(8, 2), (8, 2)]


@pytest.mark.parametrize("kind", ["voices", "events"])
def test_an_ensemble_is_the_mean_of_its_members(data):
    pieces = [data.piece(i) for i in range(3)]
    members = [trained(name, data).log_probs(pieces) for name in STEPWISE]
    for found, *own in zip(trained("ensemble", data, transpose=0).log_probs(pieces), *members, strict=True):
        np.testing.assert_allclose(np.exp(found), np.mean(np.exp(own), axis=0), atol=1e-6)


@pytest.mark.parametrize("kind", ["voices", "events"])
def test_a_geometric_ensemble_learns_whom_to_trust_and_what_a_piece_likes(data):
    piece = data.piece(0)[:8]
    length, width = piece.shape
    size = data.vocabulary.size

    def everything(model) -> np.ndarray:
        """`logp_TxKxV`: of every token in every place."""
        found = np.zeros((length, width, size))
        for t, k, v in np.ndindex(found.shape):
            changed = piece.copy()
            changed[t, k] = v
            found[t, k, v] = model.log_probs([changed])[0][t, k]
        return found

    opinions = np.stack([everything(trained(name, data)) for name in STEPWISE])
    weights, tokens, intervals = np.full(3, 0.3), np.zeros((width, size)), np.zeros((width, 2 * size))
    expected = np.zeros((length, width, size))
    for t in range(length):
        slope = np.zeros(3)
        for k in range(width):
            before = piece[t - 1, k] if t else size
            steps = np.arange(size) - before + size
            together = weights @ opinions[:, t, k] + tokens[k] + intervals[k, steps]
            expected[t, k] = together - np.logaddexp.reduce(together)
            share = np.exp(expected[t, k])
            slope += opinions[:, t, k, piece[t, k]] - opinions[:, t, k] @ share
            error = 0.3 * ((np.arange(size) == piece[t, k]) - share)
            tokens[k] += error
            intervals[k, steps] += error
        weights = weights + 0.2 * slope
    np.testing.assert_allclose(everything(trained("ensemble that learns", data, transpose=0)), expected, atol=1e-4)
    assert np.ptp(weights) > 0.05


@pytest.mark.parametrize("kind", ["voices"])
def test_an_ensemble_hears_the_music_in_other_keys(data):
    def first(model) -> np.ndarray:
        """Of the symbols as the first token: a rest and five pitches."""
        return np.exp([logp[0, 0] for logp in model.log_probs([np.array([[v, 0]], np.int16) for v in range(6)])])

    expected = np.zeros(6)
    for name in STEPWISE:
        own = first(trained(name, data))
        for heard in ([0, 2, 3, 4, 5, None], [0, 1, 2, 3, 4, 5], [0, None, 1, 2, 3, 4]):
            moved = np.array([0.0 if v is None else own[v] for v in heard])
            expected += moved / moved.sum() / 9
    np.testing.assert_allclose(first(trained("ensemble", data)), expected, atol=1e-6)


def test_a_pitch_beyond_the_vocabulary_is_heard_at_its_end():
    key = Key(2, VOICES)
    assert key.enter(jnp.arange(7)).tolist() == [0, 3, 4, 5, 5, 5, 6]
    wide = replace(VOICES, names=("Rest", *"abcdefghijklmnopqrst", "Hold"), pitches=(1, 21))
    assert Key(2, wide).enter(jnp.array([18, 19, 20, 21, 22])).tolist() == [20, 9, 10, 21, 22]
    assert Key(-3, wide).enter(jnp.array([0, 1, 3, 4])).tolist() == [0, 10, 12, 1]


def test_only_pitches_can_be_transposed(tmp_path):
    learned = replace(EVENTS, pitches=(0, 0))
    with pytest.raises(ValueError, match="cannot transpose remi: no symbol of it is one pitch"):
        Mixture([], Config(members=["lstm"], transpose=1), learned)
    with pytest.raises(ValueError, match="needs two members, or transpose"):
        Config(members=["lstm"])
    with pytest.raises(ValueError, match="are those of a geometric mean"):
        Config(members=["lstm", "gru"], learning_rate=0.1)
