"""Decoding: the distribution drawn from, the grammar, prompts, ends."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from dalsegno.models import filters
from dalsegno.models.base import Request
from dalsegno.representations.base import Grammar
from dalsegno.sampling.decode import beginning, generate
from dalsegno.sampling.options import Sampler
from tests.unit.tiny import MODELS, PAIRS, family, packed, trained


def free(data) -> Grammar:
    grammar = data.grammar
    return Grammar(np.ones_like(grammar.allowed_SxV), grammar.next_SxV, grammar.start)


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[1] != "events"])
def test_samples_have_the_models_distribution(name, kind, tmp_path):
    data = packed(tmp_path, kind)
    size, width = data.vocabulary.size, data.vocabulary.width
    model = trained(name, data)
    prompt = data.piece(0)[:3]
    number = 6000
    drawn = model.generate(Request([prompt] * number, steps=4, grammar=free(data), seed=1))
    steps = list(itertools.product(range(size), repeat=width))
    logp = model.log_probs([np.concatenate([prompt, np.array([step], np.int16)]) for step in steps])
    expected = np.exp([score[3].sum(dtype=np.float64) for score in logp])
    codes = np.ravel_multi_index(np.array([piece[3] for piece in drawn]).T, (size,) * width)
    observed = np.bincount(codes, minlength=size**width).astype(float)
    large = expected * number > 5
    groups = np.append(observed[large], observed[~large].sum()), np.append(expected[large], expected[~large].sum())
    keep = groups[1] * number > 1
    chances = groups[1][keep] / groups[1][keep].sum()
    assert chisquare(groups[0][keep], chances * groups[0][keep].sum()).pvalue > 1e-3


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_grammar_is_never_violated(name, kind, tmp_path):
    data = packed(tmp_path, kind)
    pieces = generate(trained(name, data), Sampler(count=20, bars=4, temperature=3.0), data, 0)
    assert len(pieces) == 20
    for piece in pieces:
        state = data.grammar.start
        for token in piece.reshape(-1):
            assert data.grammar.allowed_SxV[state, token]
            state = data.grammar.next_SxV[state, token]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_prompts_are_continued(name, kind, tmp_path):
    data = packed(tmp_path, kind)
    sampler = Sampler(count=4, bars=4, prompt_bars=1)
    pieces = generate(trained(name, data), sampler, data, 0)
    tests = data.indices("test")
    for number, piece in enumerate(pieces):
        prompt = beginning(data.piece(tests[number % len(tests)]), 1, data.vocabulary)
        np.testing.assert_array_equal(piece[: len(prompt)], prompt)
        assert piece.dtype == np.int16
    again = generate(trained(name, data), sampler, data, 0)
    assert all(np.array_equal(one, other) for one, other in zip(pieces, again, strict=True))


@pytest.mark.parametrize("name", ["lstm", "ngram"])
def test_events_end_at_the_end_symbol_or_the_last_bar(name, tmp_path):
    data = packed(tmp_path, "events")
    pieces = generate(trained(name, data), Sampler(count=40, bars=2), data, 0)
    for piece in pieces:
        flat = piece[:, 0].tolist()
        assert flat.count(1) <= 2
        assert 0 not in flat[:-1]
    assert any(piece[-1, 0] == 0 for piece in pieces)


@pytest.mark.parametrize("name", [name for name in MODELS if "voice" in family(name).SUPPORTS])
def test_a_given_voice_is_kept_and_the_others_are_written_to_it(name, tmp_path):
    data = packed(tmp_path, "voices")
    pieces = generate(trained(name, data), Sampler(count=4, bars=4, voice=1, prompt_bars=1), data, 0)
    for number, piece in enumerate(pieces):
        source = data.piece(data.indices("test")[number % 3])[:16]
        np.testing.assert_array_equal(piece[:, 1], source[:, 1])
        np.testing.assert_array_equal(piece[:4], source[:4])
        assert not np.array_equal(piece, source)


def test_first_bars_of_events(tmp_path):
    data = packed(tmp_path, "events")
    tokens = np.array([1, 2, 4, 1, 3, 5, 1, 0], np.int16)[:, None]
    assert beginning(tokens, 1, data.vocabulary)[:, 0].tolist() == [1, 2, 4]
    assert beginning(tokens, 3, data.vocabulary)[:, 0].tolist() == [1, 2, 4, 1, 3, 5, 1]


def test_a_prompt_must_leave_room(tmp_path):
    data = packed(tmp_path, "voices")
    with pytest.raises(ValueError, match="less than bars"):
        generate(trained("ngram", data), Sampler(bars=2, prompt_bars=2), data, 0)


finite = arrays(np.float64, (3, 6), elements=st.floats(-20, 20))


@given(finite, st.integers(1, 6))
def test_top_k_keeps_the_k_likeliest(logits, k):
    kept = filters.restrict(logits, np.ones(logits.shape, bool), 1.0, k, 1.0, np) > filters.REFUSED
    for row, chosen in zip(logits, kept, strict=True):
        smallest = np.sort(row)[-k]
        assert np.array_equal(chosen, row >= smallest)


@given(finite, st.floats(0.05, 0.99), st.floats(0.3, 3))
def test_nucleus_is_the_smallest_set_that_suffices(logits, p, temperature):
    scores = filters.restrict(logits, np.ones(logits.shape, bool), temperature, 0, p, np)
    for row, score in zip(logits / temperature, scores, strict=True):
        chances = np.exp(row - row.max())
        chances /= chances.sum()
        kept = score > filters.REFUSED
        assert kept.any()
        assert chances[kept].sum() >= p - 1e-9
        least = chances[kept].min()
        assert np.all(chances[~kept] <= least)
        assert chances[chances > least].sum() < p + 1e-9


def test_refused_tokens_do_not_fill_the_top_k():
    logits = np.array([[5.0, 4.0, 3.0, 2.0]])
    allowed = np.array([[False, True, False, True]])
    kept = filters.restrict(logits, allowed, 1.0, 1, 1.0, np) > filters.REFUSED
    assert kept.tolist() == [[False, True, False, False]]
