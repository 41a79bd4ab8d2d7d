"""What a whole bar tells that the training set holds, too: by itself, and by how it stands among the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dalsegno.copying.commonplace import CACHED, Commonplace
from dalsegno.copying.index import TrainingIndex
from dalsegno.copying.streams import BAR, Gridded, gridded, lines, streams
from dalsegno.copying.suffixes import Suffixes
from dalsegno.copying.whole_bars import Bars, Evidence, Run
from dalsegno.data.notes import make_notes
from tests.unit.music import chorale
from tests.unit.plants import cut, planted, transposed

TRAIN = [gridded(chorale(seed, 12)) for seed in range(60)]
INDEX = TrainingIndex.of(TRAIN)


def told(piece: Gridded, figure: str, index: TrainingIndex = INDEX) -> float:
    return max(span.value for span in index.search(piece).spans if span.figure == figure)


def with_bar(source: Gridded, semitones: int, seed: int = 1000) -> Gridded:
    """An unseen piece with bar 5 of another one, transposed, for its own bar 6."""
    host, copied = gridded(chorale(seed, 12)), transposed(cut(source, 5, 6), semitones)
    keep = host.start // BAR != 6
    columns = {
        name: np.concatenate([getattr(host, name)[keep], getattr(copied, name) + (6 * BAR if name in TIMES else 0)])
        for name in ("start", "end", "pitch", "track")
    }
    order = np.lexsort((columns["track"], columns["pitch"], columns["start"]))
    kinds = {"start": np.int32, "end": np.int32, "pitch": np.int16, "track": np.int16}
    return Gridded(**{name: columns[name][order].astype(kind) for name, kind in kinds.items()})


TIMES = ("start", "end")


def evidence_of(piece: Gridded, number: int) -> Evidence:
    """What a bar says that piece 7 holds, too."""
    own = streams(piece)
    counts = {name: INDEX._model.counts(name, own[name]) for name in ("lines", "texture")}
    return Bars(piece, own, counts, lines(piece)[1], INDEX._model, None).evidence(number, 7)


def test_the_model_is_an_interpolated_ngram_model() -> None:
    """Of 1 2 1 3 | 1 2 2 2, the second family left out: p(1) = (2 + 2/8) / (4 + 2), p(2 | 1) = (1 + 2 p(2)) / (2 + 2)."""
    suffixes = Suffixes.of([np.array(x, np.uint32) for x in ([1, 2, 1, 3], [1, 2, 2, 2])])
    model = Commonplace({"texture": suffixes}, np.array([0, 1], np.int32))
    stretch = np.array([1, 2], np.uint32)
    bits = model.bits("texture", stretch, model.counts("texture", stretch), 1, None)
    first, second = (2 + 2 / 8) / 6, (1 + 2 / 8) / 6
    np.testing.assert_allclose(bits, -np.log2([first, (1 + 2 * second) / (2 + 2)]))
    np.testing.assert_allclose(
        model.bits("texture", stretch, model.counts("texture", stretch), None, np.array([1])), bits
    )


def test_a_bar_tells_more_where_it_is_out_of_place() -> None:
    """The same bar in a foreign key: as much by itself, more by what surrounds it."""
    source = TRAIN[7]
    whole = source.pitch.astype(int)
    evidence = {}
    for semitones in (0, 6):
        piece = transposed(source, 0)
        pitch = whole + np.where(piece.start // BAR == 5, semitones, 0)
        order = np.lexsort((piece.track, pitch, piece.start))
        columns = [x[order] for x in (piece.start, piece.end, pitch.astype(np.int16), piece.track)]
        moved = Gridded(*columns)
        evidence[semitones] = evidence_of(moved, 5)
    assert evidence[6].own == pytest.approx(evidence[0].own, rel=0.2)
    assert evidence[6].key > evidence[0].key + 3 and evidence[6].into > evidence[0].into
    assert evidence[6].value > evidence[0].value + 1


def test_what_the_rest_of_a_piece_says_is_no_news() -> None:
    """A bar that stands in the piece a second time is expected there."""
    random = np.random.default_rng(3)
    once = with_bar(TRAIN[7], 0)
    twice = planted(cut(once, 0, 12), cut(TRAIN[7], 5, 6), 1, random, transpose=False)
    first, second = evidence_of(once, 6), evidence_of(twice, 6)
    assert second.own == pytest.approx(first.own, rel=0.2)
    assert second.anew < 0.5 * first.anew
    assert second.value < first.value


def test_rhythm_is_shared_with_the_bar_most_like_it() -> None:
    """Quarters, two halves, and two quarters and a half: 2 of 5 onsets are the first's, 1 of 4 the second's."""
    quarters = [(0, 12), (12, 12), (24, 12), (36, 12)], [(0, 24), (24, 24)], [(0, 12), (12, 12), (24, 24)]
    rows = [(number * BAR + start, length) for number, bar in enumerate(quarters) for start, length in bar]
    start, length = np.array(rows, np.int32).T
    pitch, track = np.full(len(rows), 60, np.int16), np.zeros(len(rows), np.int16)
    piece = Gridded(start, start + length, pitch, track)
    assert [evidence_of(piece, number).rhythm for number in range(3)] == [2 / 5, 1 / 4, 2 / 5]


def test_a_cache_is_an_interpolated_ngram_model_of_the_rest() -> None:
    """Of 5 6 5 7 | 5 6 with the last two asked for: 5 stands twice among four, 6 after it once of twice."""
    tokens = np.array([5, 6, 5, 7, 5, 6], np.uint32)
    places, rest = np.array([4, 5]), np.arange(6) < 4
    bits = Commonplace.knowing(np.array([3.0, 4.0]), tokens, places, rest)
    alone, after_one = CACHED[:2]
    five = (2 + alone / 8) / (4 + alone)
    # After 7 nothing else is known, so that longer contexts say nothing of the 5.
    six = (1 + after_one * (1 + alone / 16) / (4 + alone)) / (2 + after_one)
    np.testing.assert_allclose(bits, -np.log2([five, six]))


def test_a_passage_that_comes_back_is_expected_to_go_on_as_it_did() -> None:
    """Once heard after the same five tokens it is all but sure, once after other tokens hardly likelier than before."""
    tokens = np.array([1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 9, 5, 6], np.uint32)
    places, rest = np.array([12, 15]), (np.arange(16) < 7) | (np.arange(16) == 13)
    back, after_one = Commonplace.knowing(np.array([10.0, 10.0]), tokens, places, rest)
    assert back < 1 and after_one > 4


def test_one_planted_bar_is_told_in_its_key_and_transposed() -> None:
    honest = [gridded(chorale(1000 + seed, 12)) for seed in range(20)]
    usual = max(told(piece, "bar_bits") for piece in honest)
    for semitones in (0, 5, -4):
        best = next(span for span in INDEX.search(with_bar(TRAIN[7], semitones)).best if span.figure == "bar_bits")
        assert best.value > usual and (best.owner, best.begin, best.at) == (7, 6 * BAR, 5 * BAR)


def test_a_bar_that_other_families_hold_tells_little() -> None:
    copied = cut(TRAIN[7], 5, 6)
    random = np.random.default_rng(0)
    shared = [planted(piece, copied, 1, random) for piece in TRAIN[20:40]]
    sample = with_bar(TRAIN[7], 0)
    alone, common = told(sample, "bar_bits"), told(sample, "bar_bits", TrainingIndex.of([*TRAIN, *shared]))
    assert common < 0.7 * alone
    relatives = [*map(str, range(60)), *["7"] * len(shared)]
    assert told(sample, "bar_bits", TrainingIndex.of([*TRAIN, *shared], relatives)) > 0.9 * alone


def test_what_surrounds_a_bar_counts_in_measure() -> None:
    usual = Evidence(own=30, anew=30, into=20, out=20, line=20, key=2, rhythm=0.5, same_key=False)
    for more in (
        {"own": 40},
        {"anew": 40},
        {"into": 30},
        {"out": 30},
        {"line": 10},
        {"key": 4},
        {"rhythm": 0.3},
        {"same_key": True},
    ):
        assert replace(usual, **more).value > usual.value, more
    assert replace(usual, own=3, anew=3, into=40, out=40).value < usual.value, "a whole note tells little anywhere"
    assert replace(usual, into=100, out=100, line=100).value < usual.value, (
        "where every bar line is a leap, two say nothing"
    )
    bar = replace(usual, own=20, anew=25)
    run = Run(0, 2 * BAR, (usual, bar))
    assert run.value == replace(usual, own=40, anew=42.5).value and Run(0, BAR, (bar,)).value == bar.value


def test_noise_gains_nothing_by_being_disjointed() -> None:
    """A bar of one whole note ends many pieces; a sample of random leaps that holds it is not near any of them."""
    note = gridded(make_notes(start=[0], duration=[1920], pitch=[60]))
    random = np.random.default_rng(1)
    index = TrainingIndex.of([*TRAIN, *(planted(piece, note, 1, random) for piece in TRAIN[:20])])
    leaps = gridded(
        make_notes(
            start=np.arange(48) * 480 + random.integers(0, 240, 48),
            duration=[240] * 48,
            pitch=random.integers(30, 100, 48),
        )
    )
    assert 0 < told(planted(leaps, note, 1, random), "bar_bits", index) < 0.3 * told(with_bar(TRAIN[7], 6), "bar_bits")
