"""What a whole bar tells that the training set holds, too: by itself, and by how it stands among the others."""

from __future__ import annotations

import numpy as np
import pytest

from dalsegno.copying.commonplace import Commonplace
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
        own = streams(moved)
        counts = {name: INDEX._model.counts(name, own[name]) for name in ("lines", "texture")}
        weighed = Bars(moved, own, counts, lines(moved)[1], INDEX._model, None)
        evidence[semitones] = weighed.evidence(5, 7)
    assert evidence[6].own == pytest.approx(evidence[0].own, rel=0.2)
    assert evidence[6].key > evidence[0].key + 3 and evidence[6].into > evidence[0].into
    assert evidence[6].value > evidence[0].value + 10


def test_one_planted_bar_is_told_in_its_key_and_transposed() -> None:
    honest = [gridded(chorale(1000 + seed, 12)) for seed in range(20)]
    usual = {figure: max(told(piece, figure) for piece in honest) for figure in ("bar_bits", "same_key_bar_bits")}
    for semitones in (0, 5, -4):
        sample = with_bar(TRAIN[7], semitones)
        best = next(span for span in INDEX.search(sample).best if span.figure == "bar_bits")
        assert best.value > usual["bar_bits"] and (best.owner, best.begin, best.at) == (7, 6 * BAR, 5 * BAR)
        assert (told(sample, "same_key_bar_bits") > usual["same_key_bar_bits"]) == (semitones == 0)


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
    assert Evidence(own=30, into=10, out=8, line=6, key=1).value == 30 + 10 + 8 - 6 + 2
    assert Evidence(own=3, into=40, out=40, line=6, key=4).value == 9, "a whole note tells little wherever it stands"
    disjointed = Evidence(own=30, into=40, out=40, line=80, key=0)
    assert disjointed.value == 30, "where every bar line is a leap, two leaps say nothing"
    ends = Evidence(own=0, into=10, out=8, line=6, key=1)
    assert Run(0, BAR, 30, 30, ends).value == 44 and Run(0, 2 * BAR, 30, 50, ends).value == 40 + 14


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
