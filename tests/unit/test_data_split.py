"""Families and splits: what shares a melody never stands on both sides."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dalsegno.data import families, melodies, split
from dalsegno.data.manifest import list_source
from dalsegno.data.notes import DRUMS
from dalsegno.data.options import FamilyOptions, FamilySplit, Music21Source, RandomSplit, Split, TableSplit
from dalsegno.data.tables import NOTE_COLUMNS, Entry, Music, write_corpus

JSB = Path(__file__).parents[2] / "config" / "splits" / "jsb.csv"


def tune(pitches: list[int], shift: int = 0) -> Music:
    return Music("", np.array([(0, 480 * i, pitch + shift, 480, 0, 80) for i, pitch in enumerate(pitches)], np.int32))


def write(folder: Path, tunes: dict[str, Music]) -> Path:
    folder.mkdir(exist_ok=True)
    write_corpus(folder, [Entry(name, f"{name}.mid", name, "none", music) for name, music in tunes.items()], [])
    return folder


def divide(options: Split, corpus: Path, out: Path, root: Path = Path()) -> None:
    """Families, then the split."""
    families.build(FamilyOptions(), corpus, out.parent / "families")
    split.build(options, corpus, out.parent / "families", out, root)


def random_tunes(count: int) -> dict[str, Music]:
    rng = np.random.default_rng(0)
    return {f"p{i:02}": tune(rng.integers(55, 80, 40).tolist()) for i in range(count)}


def longest_common(a: np.ndarray, b: np.ndarray) -> int:
    """Longest stretch of `a` with enough movement that stands in `b` (the plain definition)."""
    best = 0
    for i in range(len(a)):
        for j in range(len(b)):
            n = 0
            while i + n < len(a) and j + n < len(b) and a[i + n] == b[j + n]:
                n += 1
            if np.count_nonzero(a[i : i + n]) >= melodies.MIN_MOVES:
                best = max(best, n)
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 1), max_size=24), max_size=6))
def test_related_agrees_with_its_definition(lists: list[list[int]]) -> None:
    lines = [np.array(values, np.int16) for values in lists]
    found = {tuple(pair) for pair in melodies.related(lines).tolist()}
    for i in range(len(lines)):
        for j in range(i + 1, len(lines)):
            a, b = sorted((lines[i], lines[j]), key=len)
            needed = max(int(np.ceil(len(a) / 2)), melodies.MIN_QUARTERS)
            # A stretch of exactly the needed length must hold the movement itself.
            windows = [a[k : k + needed] for k in range(len(a) - needed + 1)]
            expected = any(
                np.count_nonzero(w) >= melodies.MIN_MOVES and longest_common(w, b) >= needed for w in windows
            )
            assert ((i, j) in found) == expected


def top_line(notes: dict[str, np.ndarray]) -> list[int]:
    """The melody by its definition, note by note."""
    tonal = notes["program"] != DRUMS
    keep = tonal if tonal.any() else np.ones(len(tonal), bool)
    rows = list(zip(*(notes[name][keep].tolist() for name in ("start", "duration", "pitch")), strict=True))
    line: dict[int, int] = {}
    for start, duration, pitch in rows:
        for quarter in range(-(-start // 480), -(-(start + duration) // 480)):
            line[quarter] = max(line.get(quarter, -1), pitch)
    held = []
    for quarter in range(min(line, default=0), max(line, default=-1) + 1):
        held.append(line.get(quarter, held[-1] if held else 0))
    return np.diff(held).tolist()


def test_melodies_of_a_block_are_those_of_its_pieces() -> None:
    random = np.random.default_rng(0)
    names = ("start", "duration", "pitch", "program")
    pieces = []
    for number in range(12):
        size = int(random.integers(0, 40)) if number else 0
        made = random.integers((0, 1, 30, 0), (20_000, 3000, 90, 3), (size, 4))
        # Drums beside notes, drums alone.
        made[:, 3] = np.where((made[:, 3] == 2) | (number % 5 == 4), DRUMS, made[:, 3])
        pieces.append(dict(zip(names, made.T, strict=True)))
    owner = np.repeat(np.arange(len(pieces)), [len(piece["start"]) for piece in pieces])
    together = {name: np.concatenate([piece[name] for piece in pieces]) for name in names}
    found = melodies.melodies(owner, len(pieces), together)
    assert [line.tolist() for line in found] == [top_line(piece) for piece in pieces]
    assert sum(map(len, found)) > 300


def test_a_stray_late_note_makes_no_long_melody() -> None:
    row = {"start": [0, 480, 1 << 30], "duration": [480, 480, 1 << 29], "pitch": [60, 62, 64], "program": [0, 0, 0]}
    notes = {name: np.array(column) for name, column in row.items()}
    line = melodies.melody(notes)
    assert len(line) == 1 + 64 + 64 and line[line != 0].tolist() == [2, 2]


def test_a_transposed_half_makes_a_family(tmp_path: Path) -> None:
    tunes = random_tunes(4)
    pitches = tunes["p01"].notes[:, NOTE_COLUMNS.index("pitch")].tolist()
    tunes["copy"] = tune([*pitches[10:32], 60, 71, 58, 77, 66, 70, 59], shift=3)
    folder = write(tmp_path / "corpus", tunes)
    divide(FamilySplit(kind="family"), folder, tmp_path / "split.csv")
    family = {row.piece: row.family for row in split.read(tmp_path / "split.csv")}
    assert family == {"copy": "copy", "p00": "p00", "p01": "copy", "p02": "p02", "p03": "p03"}


@given(
    st.lists(st.integers(0, 12), min_size=3, max_size=60),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 5),
)
def test_families_never_cross_and_no_split_is_empty(labels: list[int], valid: float, test: float, seed: int) -> None:
    family = np.array(labels)
    if len(set(labels)) < 3:
        with pytest.raises(ValueError, match="add unrelated pieces"):
            split.by_family(family, valid, test, seed)
        return
    assigned = split.by_family(family, valid, test, seed)
    assert set(assigned) == {"train", "valid", "test"}
    sides = {(f, name) for f, name in zip(labels, assigned, strict=True)}
    assert len(sides) == len(set(labels))
    assert assigned == split.by_family(family, valid, test, seed)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["reel", "jig", "waltz"])), min_size=12, max_size=120),
    st.floats(0.05, 0.3),
    st.integers(0, 3),
)
def test_strata_divide_families_and_never_cut_them(pieces: list[tuple[int, str]], share: float, seed: int) -> None:
    family = np.array([one for one, _ in pieces])
    assume(len(np.unique(family)) >= 3)
    assigned = split.by_family(family, share, share, seed, [label for _, label in pieces])
    assert set(assigned) == {"train", "valid", "test"}
    assert len({*zip(family.tolist(), assigned, strict=True)}) == len(np.unique(family))
    # Never more than the share, unless the smallest family alone is larger.
    most = max(round(share * len(pieces)), int(np.bincount(family)[np.unique(family)].max()), 1)
    assert all(assigned.count(name) <= most for name in ("valid", "test"))


@given(st.lists(st.integers(0, 30), min_size=10, max_size=80), st.floats(0.05, 0.3), st.integers(0, 3))
def test_random_splits_share_their_test_pieces_and_one_holds_no_relatives(
    labels: list[int], share: float, seed: int
) -> None:
    family = np.array(labels)

    def drawn(train: str) -> np.ndarray:
        return np.array(
            split.at_random(family, RandomSplit(kind="random", valid=share, test=share, seed=seed, train=train))
        )

    everything = drawn("all")
    held = np.isin(everything, ("valid", "test"))
    apart = ~held & ~np.isin(family, family[held])
    if not apart.any():
        with pytest.raises(ValueError, match="every piece has a relative"):
            drawn("without_relatives")
        return
    clean, many = drawn("without_relatives"), drawn("as_many")
    assert np.array_equal(clean == "train", apart)
    for other in (clean, many):
        assert np.array_equal(other[held], everything[held])
    assert (many == "train").sum() == apart.sum() and not (held & (many == "train")).any()


def test_the_table_says_the_split_and_relatives_in_train_are_not_clean(tmp_path: Path) -> None:
    tunes = random_tunes(5)
    tunes["twin"] = tunes["p00"]
    folder = write(tmp_path / "corpus", tunes)
    table = tmp_path / "table.csv"
    table.write_text("piece,split\np00,train\ntwin,test\np01,valid\np02,test\n")
    divide(TableSplit(kind="table", path="table.csv"), folder, tmp_path / "a.csv", root=tmp_path)
    divide(TableSplit(kind="table", path=str(table)), folder, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    rows = {row.piece: (row.split, row.clean) for row in split.read(tmp_path / "a.csv")}
    assert rows["twin"] == ("test", False)
    assert rows["p02"] == ("test", True)
    assert rows["p03"] == ("unused", True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,split\n", "must name the columns"),
        ("piece,split\np00,training\n", "unknown split 'training'"),
        ("piece,split\np00,train\np00,test\n", "more than once"),
        ("piece,split\nx,train\n", "not in the corpus"),
        ("piece,split\np00,train\np01,test\n", "no piece is in valid"),
    ],
)
def test_errors_of_a_table_name_it(tmp_path: Path, content: str, message: str) -> None:
    folder = write(tmp_path / "corpus", random_tunes(3))
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"table\.csv.*{message}"):
        divide(TableSplit(kind="table", path="table.csv"), folder, tmp_path / "out.csv", root=tmp_path)


def test_the_jsb_split_names_chorales_once() -> None:
    with open(JSB, newline="") as file:
        rows = [(row["piece"], row["split"]) for row in csv.DictReader(file)]
    pieces = [piece for piece, _ in rows]
    assert Counter(name for _, name in rows) == {"train": 222, "valid": 70, "test": 77}
    assert len(set(pieces)) == len(pieces)
    assert dict(rows)["bwv414"] == "train"
    assert set(pieces) <= {f.piece for f in list_source(Music21Source(kind="music21", collection="bach_chorales"))}
