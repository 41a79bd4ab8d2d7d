"""Copying: what is found, how near it is, and what real music says to that."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.copying import calibrate, judge, passages
from dalsegno.copying.calibrate import Null, read_null, training_notes, unseen, write_unseen
from dalsegno.copying.index import FIGURES, Figures, TrainingIndex, save_indexes
from dalsegno.copying.parts import Part, without
from dalsegno.copying.streams import BAR, Gridded, gridded, lines, skeleton, streams, texture
from dalsegno.copying.suffixes import DEPTH, Suffixes
from dalsegno.data import split
from dalsegno.data.notes import Notes, make_notes
from dalsegno.metrics.rows import Identity
from dalsegno.representations.base import Packed
from dalsegno.representations.options import parse
from dalsegno.representations.packing import pack
from tests.unit.music import chorale, write_corpus
from tests.unit.plants import cut, ornamented, transposed
from tests.unit.test_metrics_edges import ten_hours

TRAIN = 80
UNSEEN = 100
BARS = 12
BAR_TICKS = 1920


def tokens(values: list[list[int]]) -> list[np.ndarray]:
    return [np.array([*piece, 0], np.uint32) for piece in values]


def longest_from(query: list[int], start: int, piece: list[int]) -> int:
    """The plain definition: the longest stretch of a query from one place that stands in a piece."""
    best = 0
    for at in range(len(piece)):
        n = 0
        while start + n < len(query) and at + n < len(piece) and query[start + n] == piece[at + n]:
            n += 1
        best = max(best, n)
    return best


pieces_of_tokens = st.lists(st.lists(st.integers(1, 3), max_size=12), min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(pieces_of_tokens, st.lists(st.integers(1, 3), min_size=1, max_size=12))
def test_the_longest_match_is_the_longest(body: list[list[int]], query: list[int]) -> None:
    matches = Suffixes.of(tokens(body)).matches(np.array(query, np.uint32))
    for start in range(len(query)):
        expected = max(longest_from(query, start, piece) for piece in body)
        assert matches.length[start].max() == expected


@settings(max_examples=50, deadline=None)
@given(pieces_of_tokens, st.lists(st.integers(1, 3), min_size=1, max_size=12))
def test_counts_are_counts(body: list[list[int]], query: list[int]) -> None:
    flat = [token for piece in body for token in [*piece, 0]]
    one, two, three = Suffixes.of(tokens(body)).counts(np.array(query, np.uint32), 3)
    assert one.tolist() == [flat.count(x) for x in query]
    for width, found in ((2, two), (3, three)):
        expected = [
            sum(flat[at : at + width] == query[start : start + width] for at in range(len(flat) - width + 1))
            for start in range(len(query) - width + 1)
        ]
        assert found.tolist() == expected


def test_matches_longer_than_the_sorted_depth() -> None:
    piece = np.random.default_rng(0).integers(1, 9, 4 * DEPTH).tolist()
    index = Suffixes.of(tokens([[5] * 20, piece]))
    matches = index.matches(np.array([7, *piece[10:120], 7], np.uint32))
    assert matches.length[1].max() == 110
    assert matches.owner[1, matches.length[1].argmax()] == 1
    assert index.matches(np.array(piece, np.uint32), np.array([1])).length.max() < DEPTH


@settings(max_examples=80, deadline=None)
@given(*[st.lists(st.integers(0, 3), max_size=9)] * 2)
def test_lcs_and_edit_distance(a: list[int], b: list[int]) -> None:
    common = np.zeros((len(a) + 1, len(b) + 1), int)
    edits = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            common[i + 1, j + 1] = common[i, j] + 1 if x == y else max(common[i, j + 1], common[i + 1, j])
            edits[i + 1, j + 1] = min(edits[i, j + 1] + 1, edits[i + 1, j] + 1, edits[i, j] + (x != y))
    assert passages.lcs(np.array(a), np.array(b)) == common[-1, -1]
    assert passages.edit_distance(np.array(a), np.array(b)) == edits[-1, -1]


def test_streams_do_not_know_the_key_nor_where_the_piece_begins() -> None:
    notes = chorale(1)
    one, other = streams(gridded(notes)), streams(transposed(gridded(notes), 5))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    begun = gridded(notes, begin=1920)
    assert begun.start.min() == 0 and len(begun) < len(notes)
    assert np.array_equal(texture(begun)[:-1], one["texture"][8 : 7 + len(texture(begun))])


def test_lines_are_skylines_of_voices() -> None:
    piece = gridded(
        make_notes(start=[0, 0, 480, 960, 0], duration=[480] * 5, pitch=[60, 64, 67, 64, 40], track=[0, 0, 0, 0, 1])
    )
    tokens_, rows = lines(piece)
    assert tokens_.tolist() == [(64 + 3) * 4096 + 12, (64 - 3) * 4096 + 12, 0, 0]
    assert piece.pitch[rows].tolist() == [64, 67, 64, 40]
    assert skeleton(piece).tolist() == [256 + 3, 256 - 3, 0, 256, 256, 0]


def test_ornaments_leave_the_skeleton() -> None:
    piece = gridded(make_notes(start=[0, 480, 960], duration=[480] * 3, pitch=[60, 62, 64]))
    turned = gridded(make_notes(start=[0, 240, 480, 960], duration=[240, 240, 480, 480], pitch=[60, 61, 62, 64]))
    assert np.array_equal(skeleton(piece), skeleton(turned))
    assert not np.array_equal(texture(piece), texture(turned))


@pytest.fixture(scope="module")
def train() -> list[Gridded]:
    return [gridded(chorale(seed, BARS)) for seed in range(TRAIN)]


@pytest.fixture(scope="module")
def index(train: list[Gridded]) -> TrainingIndex:
    return TrainingIndex.of(train)


@pytest.fixture(scope="module")
def null(index: TrainingIndex) -> Null:
    return Null([index.search(gridded(chorale(1000 + seed, BARS))).figures for seed in range(UNSEEN)])


PLANTS: dict[str, tuple[Callable[[Gridded, Gridded, np.random.Generator], Gridded], float]] = {
    "exact": (lambda source, host, random: source, 0.95),
    "transposed": (lambda source, host, random: transposed(source, int(random.integers(-6, 7))), 0.95),
    "ornamented": (lambda source, host, random: ornamented(transposed(source, 3), random), 0.8),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_planted_copies_are_found(index: TrainingIndex, null: Null, train: list[Gridded], kind: str) -> None:
    plant, recall = PLANTS[kind]
    found = []
    for seed in range(15):
        random = np.random.default_rng(seed)
        source = int(random.integers(TRAIN))
        sample = plant(train[source], gridded(chorale(3000 + seed, BARS)), random)
        judged = judge.judge(0, sample, index, null, [str(i) for i in range(TRAIN)], prompt=0)
        found.append(judged.verdict == judge.NEARER and judged.training_piece == str(source))
    assert np.mean(found) >= recall


def test_four_bars_in_twelve_are_found_where_they_are(index: TrainingIndex, null: Null, train: list[Gridded]) -> None:
    host, source = gridded(chorale(5000, BARS)), train[7]
    copied = cut(source, 4, 8)
    keep = (host.start < 8 * BAR) | (host.start >= 12 * BAR)
    columns = (
        np.concatenate([getattr(host, name)[keep], getattr(copied, name) + shift])
        for name, shift in (("start", 8 * BAR), ("end", 8 * BAR), ("pitch", 3), ("track", 0))
    )
    start, end, pitch, track = columns
    order = np.lexsort((track, pitch, start))
    sample = Gridded(start[order], end[order], pitch[order].astype(np.int16), track[order])
    judged = judge.judge(0, sample, index, null, [str(i) for i in range(TRAIN)], prompt=2)
    assert (judged.verdict, judged.training_piece) == (judge.NEARER, "7")
    assert judged.p == 1 / (1 + UNSEEN) and 0.33 <= judged.near_copied_bars <= 0.51
    assert judged.bar in (10, 11) and judged.training_bar in (4, 5), "bars of the sample count its prompt"


def test_false_alarms(index: TrainingIndex, null: Null) -> None:
    p = np.array([null.among(index.search(gridded(chorale(7000 + seed, BARS))).figures).p for seed in range(60)])
    # Of 60 honest pieces 0.6 and 6 are expected.
    assert np.sum(p <= calibrate.ALPHA) <= 3 and np.sum(p <= 0.1) <= 12 and 0.35 < p.mean() < 0.65


def test_a_texture_that_other_families_share_tells_nothing() -> None:
    bars = [gridded(chorale(seed, 8)) for seed in range(40)]
    formula = cut(bars[0], 2, 6)
    shared = [*bars, *[transposed(formula, i) for i in range(6)]]
    alone = TrainingIndex.of(bars).search(formula).figures.texture_bits
    commonplace = TrainingIndex.of(shared).search(formula).figures.texture_bits
    relatives = ["0", *[str(i) for i in range(1, 40)], *["0"] * 6]
    assert commonplace < alone / 2
    assert TrainingIndex.of(shared, relatives).search(formula).figures.texture_bits > alone * 0.9
    assert TrainingIndex.of(bars).search(cut(bars[0], 2, 3)).figures.texture_bits > 0
    assert TrainingIndex.of(bars).search(cut(bars[0], 2, 3), np.array([0])).figures.texture_bits == 0


def drawn(random: np.random.Generator) -> Figures:
    return Figures(*random.standard_exponential(len(FIGURES)))


def test_p_and_the_critical_nearness_agree() -> None:
    random = np.random.default_rng(0)
    null = Null([drawn(random) for _ in range(250)])
    for factor in np.linspace(0, 3, 500):
        standing = null.among(Figures(*factor * np.array(astuple(drawn(random)))))
        assert (standing.nearness > standing.critical) == (standing.p <= calibrate.ALPHA)
    few = Null([drawn(random) for _ in range(10)])
    assert few.critical == few.nearness.max() and Null([]).critical == math.inf


def test_each_piece_is_measured_by_the_units_of_all_others() -> None:
    random = np.random.default_rng(1)
    figures = [drawn(random) for _ in range(40)]
    standing = Null(figures[:-1]).among(figures[-1])
    found = [*standing.unseen, standing.nearness]
    for i, one in enumerate(figures):
        others = np.array([[getattr(x, name) for name in calibrate.JUDGED] for x in figures if x is not one])
        median, tail = np.median(others, axis=0), np.quantile(others, 0.99, axis=0)
        bars = list(calibrate.JUDGED).index("bar_bits")
        tail[bars] = np.sort(others[:, bars])[-2:].mean()
        own = np.array([getattr(one, name) for name in calibrate.JUDGED])
        units = np.maximum((tail - median) * list(calibrate.JUDGED.values()), 1.0)
        assert found[i] == pytest.approx(((own - median) / units).max())
    by_units = [Null(figures[:-1]).of(name, getattr(figures[-1], name)) for name in calibrate.JUDGED]
    assert max(by_units) == pytest.approx(standing.nearness)


def test_the_few_pieces_that_share_a_bar_set_no_limit_for_the_rest() -> None:
    """Figures as of piano music: a unit hardly depends on whether one of the few is left out."""
    nothing = Figures(*[0.0] * len(FIGURES))
    null = Null([*[nothing] * 329, *[replace(nothing, bar_bits=bits) for bits in (3.5, 3.6, 10.6, 10.8)]])
    assert null.critical == pytest.approx(3.6 / (1.2 * (3.5 + 10.6 + 10.8) / 10))


@pytest.mark.parametrize("n", [99, 150, 400])
def test_whoever_is_left_out_p_is_its_rank(n: int) -> None:
    """Of pieces that are each judged by all others no more are called than a share of ALPHA, whatever their figures."""
    random = np.random.default_rng(n)
    figures = [drawn(random) for _ in range(n)]
    p = [Null([*figures[:i], *figures[i + 1 :]]).among(one).p for i, one in enumerate(figures)]
    np.testing.assert_allclose(np.sort(p), np.arange(1, n + 1) / n)
    assert np.mean(np.array(p) <= calibrate.ALPHA) <= calibrate.ALPHA


def test_what_was_left_out_is_not_found(index: TrainingIndex, train: list[Gridded]) -> None:
    whole = index.search(train[3]).figures
    without = index.search(train[3], np.array([3])).figures
    assert whole.ngram_share == whole.two_bar_share == whole.passage_lcs == 1 and whole.edit_distance == 0
    assert without.longest_match < whole.longest_match and without.passage_notes < whole.passage_notes / 2


EDGES: dict[str, Notes] = {
    "no notes": make_notes(start=[], duration=[], pitch=[]),
    "one note": make_notes(start=[0], duration=[480], pitch=[60]),
    "one bar": chorale(9, 1),
    "drums only": make_notes(start=[0, 240, 480], duration=[120] * 3, pitch=[36, 42, 38], program=[128] * 3),
    "two hundred tracks": make_notes(start=[0] * 200, duration=[960] * 200, pitch=[60] * 200, track=range(200)),
    "rests": make_notes(start=[0, 48000], duration=[480] * 2, pitch=[60, 62]),
    "late by an hour": make_notes(start=[1800 * BAR_TICKS, 1801 * BAR_TICKS], duration=[480] * 2, pitch=[60, 62]),
    "ten hours": make_notes(
        start=np.arange(18_000) * BAR_TICKS, duration=[480] * 18_000, pitch=60 + np.arange(18_000) % 12
    ),
    "ten hours of four voices": ten_hours(),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_have_a_verdict(index: TrainingIndex, null: Null, name: str) -> None:
    judged = judge.judge(0, gridded(EDGES[name]), index, null, [str(i) for i in range(TRAIN)], prompt=0)
    assert (judged.verdict == judge.EMPTY) == (name == "no notes")
    assert 0 < judged.p <= 1 and 0 <= judged.near_copied_bars <= 1
    assert TrainingIndex.of([]).search(gridded(EDGES[name])).figures.longest_match == 0


@pytest.mark.parametrize("name", [name for name in EDGES if name != "ten hours"])
def test_edges_are_found_again(train: list[Gridded], name: str) -> None:
    """Such pieces as training music: they are searched for in themselves, and silence is no copy."""
    edge = gridded(EDGES[name])
    figures = TrainingIndex.of([*train, edge]).search(edge).figures
    assert np.isfinite(astuple(figures)).all()
    if name in ("one bar", "ten hours of four voices"):
        assert figures.bar_bits > 0 and figures.passage_lcs == 1 and figures.edit_distance == 0


@pytest.mark.slow
def test_ten_hours_of_one_formula_are_found_again(train: list[Gridded]) -> None:
    """Each place matches at thousands of others, and none can be followed for hours from each of them."""
    edge = gridded(EDGES["ten hours"])
    began = time.process_time()
    figures = TrainingIndex.of([*train, edge]).search(edge).figures
    assert figures.two_bar_share == 1 and figures.longest_match > 1000
    assert time.process_time() - began < 180


def test_the_index_survives_its_file(index: TrainingIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "a.safetensors")
    TrainingIndex.load(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    sample = gridded(chorale(4, 8))
    assert TrainingIndex.load(tmp_path / "b.safetensors").search(sample).figures == index.search(sample).figures


def test_a_voice_that_was_given_is_no_copy(tmp_path: Path) -> None:
    """The soprano of a training piece over other lower voices is called a copy, unless it is left out everywhere."""
    music = [chorale(seed, BARS) for seed in range(TRAIN)]
    others = [chorale(1000 + seed, BARS) for seed in range(UNSEEN)]
    indexes = {voice: TrainingIndex.of([gridded(without(piece, voice)) for piece in music]) for voice in (None, 0)}
    save_indexes(tmp_path / "index.safetensors", indexes)
    soprano, lower = music[3][music[3].track == 0], without(chorale(2000, BARS), 0)
    harmonised = join_tracks(soprano, lower)
    copied = join_tracks(others[0][others[0].track == 0], without(music[3], 0))
    verdicts = {}
    for voice in (None, 0):
        part = Part(0, BARS, voice)
        index = TrainingIndex.load(tmp_path / "index.safetensors", voice)
        null = Null([index.search(part.cut(piece)).figures for piece in others])
        names = [str(i) for i in range(TRAIN)]
        for name, sample in (("harmonised", harmonised), ("copied", copied)):
            verdicts[name, voice] = judge.judge(0, part.cut(sample), index, null, names, 0).verdict
    assert verdicts["harmonised", None] == verdicts["copied", 0] == judge.NEARER
    assert verdicts["harmonised", 0] == judge.COMMON
    assert set(part.cut(harmonised).track.tolist()) == {1, 2, 3}


def join_tracks(*voices: Notes) -> Notes:
    columns = ("track", "start", "duration", "pitch")
    return make_notes(**{name: np.concatenate([getattr(one, name) for one in voices]) for name in columns})


def test_unseen_music_is_cut_as_the_samples_are(tmp_path: Path) -> None:
    corpus, split_csv = write_corpus(tmp_path)
    pack(parse({"kind": "voices", "highest": 90}), corpus, split_csv, tmp_path / "voices")
    packed = Packed(tmp_path / "voices")
    music = training_notes(packed)
    family = {row.piece: row.family for row in split.read(split_csv)}
    indexes = {voice: TrainingIndex.of([gridded(without(piece, voice)) for piece in music]) for voice in (None, 2)}
    parts = [Part(0, 8), Part(0, 8, 2)]
    write_unseen(tmp_path / "null.csv", unseen(indexes, packed, music, family, parts))
    whole, three = (read_null(tmp_path / "null.csv", part) for part in parts)
    assert whole.n == three.n > 20
    assert read_null(tmp_path / "null.csv", Part(0, 8, 1)).n == 0
    assert (three.table["passage_notes"] <= whole.table["passage_notes"]).mean() > 0.5
    assert np.any(three.table["skeleton_bits"] != whole.table["skeleton_bits"])


def test_from_packed_tokens_to_verdicts(tmp_path: Path) -> None:
    corpus, split_csv = write_corpus(tmp_path)
    pack(parse({"kind": "remi"}), corpus, split_csv, tmp_path / "remi")
    packed = Packed(tmp_path / "remi")
    music = training_notes(packed)
    index = TrainingIndex.of([gridded(piece) for piece in music])
    family = {row.piece: row.family for row in split.read(split_csv)}
    rows = unseen({None: index}, packed, music, family, [Part(0, 8), Part(2, 8)])
    assert {row.split for row in rows} == {"train", "valid", "test"}
    unclean = {row.piece for row in packed.rows if not row.clean}
    assert unclean and not unclean & {row.piece for row in rows}
    assert len({row.piece for row in rows}) == len(packed.rows) - len(unclean) == len(rows) / 2
    assert all(row.figures.two_bar_share < 1 for row in rows), "a training piece was held against itself"
    write_unseen(tmp_path / "null.csv", rows)
    null = read_null(tmp_path / "null.csv", Part(2, 8))
    assert null.n == len(rows) / 2
    names = [packed.rows[i].piece for i in packed.indices("train")]
    judged = [
        judge.judge(0, gridded(music[1], 2 * 1920), index, null, names, 2),
        judge.judge(1, gridded(EDGES["no notes"]), index, null, names, 2),
    ]
    judge.write_judged(tmp_path / "pieces.csv", judged)
    first, second = judge.read_judged(tmp_path / "pieces.csv")
    assert (first["verdict"], first["training_piece"]) == (judge.NEARER, names[1]) and first[
        "near_copied_bars"
    ] == "1.0"
    assert (second["verdict"], second["nearness"], second["training_piece"]) == (judge.EMPTY, "", "")
    judge.write_sidecar(tmp_path / "001.json", judged[1], {"model": "m", "seed": "0"})
    sidecar = json.loads((tmp_path / "001.json").read_text())
    assert (sidecar["sample"], sidecar["model"], sidecar["copying"]["verdict"]) == (1, "m", judge.EMPTY)
    table = {row.metric: row for row in judge.rows(judged, Identity("s", "d", model="m"), 100, 0)}
    assert table["near_copied_samples"].value == 1 and table["near_copied_samples"].n == 1
    with open(tmp_path / "null.csv", newline="") as file:
        assert next(csv.reader(file)) == list(calibrate.COLUMNS)
