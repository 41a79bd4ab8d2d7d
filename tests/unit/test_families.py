"""Planted duplicates among unrelated music: found, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dalsegno.data import families, near_duplicates, split
from dalsegno.data.fingerprints import Fingerprints, fingerprints
from dalsegno.data.notes import DRUMS
from dalsegno.data.options import (
    FamilyOptions,
    FamilySplit,
    GroupedSplit,
    OfficialSplit,
    RandomSplit,
)
from dalsegno.data.tables import NOTE_COLUMNS, Corpus, CorpusWriter, Entry, Music

OPTIONS = FamilyOptions()
Columns = dict[str, np.ndarray]


def columns(rows: list[tuple[int, int, int, int, int]]) -> Columns:
    """Columns of (track, start, pitch, duration, program)."""
    table = np.array(sorted(rows), np.int64)
    return dict(zip(("track", "start", "pitch", "duration", "program"), table.T, strict=True))


def invented(random: np.random.Generator, notes: int = 120) -> Columns:
    """Two voices that move by small steps through a scale, with rhythms of their own."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    rows = []
    for track, floor in ((0, 60), (1, 40)):
        steps = np.cumsum(random.choice([-3, -2, -1, 1, 2, 3], notes)) % 14
        waits = random.choice([120, 240, 240, 480, 720], notes)
        starts = np.cumsum(waits) - waits[0]
        pitches = floor + 12 * (steps // 7) + scale[steps % 7]
        rows += [(track, int(a), int(p), int(w), 0) for a, p, w in zip(starts, pitches, waits, strict=True)]
    return columns(rows)


def transposed(piece: Columns, random: np.random.Generator) -> Columns:
    return {**piece, "pitch": piece["pitch"] + random.choice([-5, -3, 2, 4, 6])}


def stretched(piece: Columns, random: np.random.Generator) -> Columns:
    ratio = random.choice([1 / 2, 2 / 3, 3 / 4, 3 / 2, 2, 3])
    return {**piece, "start": np.round(piece["start"] * ratio).astype(np.int64)}


def thinned(piece: Columns, random: np.random.Generator) -> Columns:
    kept = random.random(len(piece["start"])) >= 0.3
    return {name: column[kept] for name, column in piece.items()}


def requantised(piece: Columns, random: np.random.Generator) -> Columns:
    grid = int(random.choice([80, 120, 160, 240]))
    return {**piece, "start": np.round(piece["start"] / grid).astype(np.int64) * grid}


def revoiced(piece: Columns, random: np.random.Generator) -> Columns:
    """Every note of the track with fewest notes elsewhere by up to a major third."""
    tracks, sizes = np.unique(piece["track"], return_counts=True)
    changed = piece["track"] == tracks[sizes.argmin()]
    return {**piece, "pitch": piece["pitch"] + changed * random.choice([-4, -3, -2, -1, 1, 2, 3, 4], len(changed))}


EASY = (transposed, stretched)
HARD = (thinned, requantised, revoiced)


def corpus_of(pieces: list[Columns], folder: Path, sources: list[tuple[str, str]] | None = None) -> Corpus:
    """A corpus of these pieces; `sources` are their paths and hashes."""
    folder.mkdir(parents=True)
    writer = CorpusWriter(folder)
    for number, piece in enumerate(pieces):
        columns = {"velocity": np.full(len(piece["start"]), 80), "duration": np.full(len(piece["start"]), 120), **piece}
        notes = np.stack([columns[name] for name in NOTE_COLUMNS], 1).astype(np.int32)
        source, digest = sources[number] if sources else (f"{number}.mid", str(number))
        writer.add(Entry(f"p{number:05d}", source, digest, "", Music("", notes)))
    writer.close()
    return Corpus(folder)


def joined(
    pieces: list[Columns], sources: list[tuple[str, str]] | None = None, options: FamilyOptions = OPTIONS
) -> list[families.Found]:
    """What `families.join` says of these pieces."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name) / "scratch"
        scratch.mkdir()
        return families.join(corpus_of(pieces, Path(name) / "corpus", sources), options, {}, scratch)


NEAR_ALONE = FamilyOptions(melody=None)


def near(pieces: list[Columns]) -> set[tuple[int, int]]:
    """Pairs that are joined as near duplicates."""
    return {(one, other) for one, other, kind, *_ in joined(pieces, options=NEAR_ALONE) if kind == "near"}


def recall(pieces: list[Columns], change: Callable[[Columns, np.random.Generator], Columns], seed: int) -> float:
    random = np.random.default_rng(seed)
    family = family_of([*pieces, *(change(piece, random) for piece in pieces)], NEAR_ALONE)
    return float((family[: len(pieces)] == family[len(pieces) :]).mean())


def family_of(pieces: list[Columns], options: FamilyOptions = OPTIONS) -> np.ndarray:
    pairs = np.array([pair[:2] for pair in joined(pieces, options=options)], np.int64).reshape(-1, 2)
    return families.components(len(pieces), pairs)


@pytest.fixture(scope="module")
def tunes() -> list[Columns]:
    random = np.random.default_rng(0)
    return [invented(random) for _ in range(40)]


def test_unrelated_music_is_not_joined(tunes: list[Columns]) -> None:
    assert joined(tunes) == []


def test_parts_of_one_file_are_no_copies_of_each_other(tunes: list[Columns]) -> None:
    found = joined(tunes[:4], [("a.json#0", "a"), ("a.json#1", "a"), ("b.mid", "b"), ("c.mid", "b")])
    assert [(one, other, kind) for one, other, kind, *_ in found] == [(2, 3, "exact")]


@pytest.mark.parametrize("change", EASY)
def test_transposed_and_stretched_copies_are_found(tunes: list[Columns], change: Callable) -> None:
    assert recall(tunes, change, 1) >= 0.95


@pytest.mark.parametrize("change", HARD)
def test_damaged_copies_are_found(tunes: list[Columns], change: Callable) -> None:
    assert recall(tunes, change, 2) >= 0.85


def outlines(pieces: list[Columns]) -> near_duplicates.Outlines:
    owner = np.repeat(np.arange(len(pieces)), [len(piece["start"]) for piece in pieces])
    onset, pitch, track = (
        np.concatenate([piece[name] for piece in pieces]).astype(np.int64) for name in ("start", "pitch", "track")
    )
    return near_duplicates.outlines(owner, len(pieces), onset, pitch, track)


def test_the_alignment_tells_shift_and_pace(tunes: list[Columns]) -> None:
    other = {**tunes[0], "pitch": tunes[0]["pitch"] - 3, "start": tunes[0]["start"] * 2 + 960}
    made = near_duplicates.align(outlines([tunes[0], tunes[1], other]), np.array([[0, 1], [0, 2], [2, 0]]))
    assert made.share.tolist()[1:] == [1.0, 1.0] and made.share[0] < 0.2
    assert made.shift.tolist()[1:] == [-3, 3]
    assert made.ratio.tolist()[1:] == [2.0, 0.5]
    assert made.notes.tolist()[1:] == [240, 240]


def test_an_alignment_does_not_depend_on_the_block_it_stands_in(tunes: list[Columns]) -> None:
    random = np.random.default_rng(3)
    pieces = [*tunes[:6], *(thinned(piece, random) for piece in tunes[:6]), columns([(0, 0, 60, 120, 0)])]
    pairs = np.array([(i, j) for i in range(len(pieces)) for j in range(i)])
    together = near_duplicates.align(outlines(pieces), pairs)
    for row, (i, j) in enumerate(pairs.tolist()):
        alone = near_duplicates.align(outlines([pieces[i], pieces[j]]), np.array([[0, 1]]))
        for name in ("share", "notes", "shift", "ratio"):
            assert getattr(alone, name)[0] == getattr(together, name)[row], (i, j, name)


def test_an_alignment_agrees_with_notes_counted_one_by_one(tunes: list[Columns]) -> None:
    random = np.random.default_rng(4)
    other = thinned({**tunes[0], "pitch": tunes[0]["pitch"] + 2}, random)
    made = near_duplicates.align(outlines([tunes[0], other]), np.array([[0, 1]]))
    assert made.notes[0] == len({*zip(other["start"].tolist(), other["pitch"].tolist(), strict=True)})
    whole, kept = (len(np.unique(piece["start"])) for piece in (tunes[0], other))
    assert made.shift[0] == 2 and made.ratio[0] == 1 and whole > kept
    # All of the thinner piece agrees; what agrees by chance cannot take more than a part of it away.
    assert made.share[0] > 0.9


def prints(pieces: list[Columns], notes: int = 24) -> Fingerprints:
    owner = np.repeat(np.arange(len(pieces)), [len(piece["start"]) for piece in pieces])
    return fingerprints(
        owner, len(pieces), {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}, notes
    )


def test_fingerprints_know_neither_key_nor_pace_but_the_notes(tunes: list[Columns]) -> None:
    piece = tunes[0]
    moved = {**piece, "pitch": piece["pitch"] + 5, "start": piece["start"] * 3 + 480}
    other = {**piece, "pitch": piece["pitch"].copy()}
    other["pitch"][7] += 1
    made = prints([piece, moved, other, piece])
    assert made.shape[0] == made.shape[1] != made.shape[2]
    assert made.content[0] == made.content[3] and len({*made.content}) == 3
    assert made.lowest[1] - made.lowest[0] == 5 and made.span[1] == 3 * made.span[0]
    short = {name: column[:3] for name, column in piece.items()}
    made = prints([short, {**short, "pitch": short["pitch"] + 1}])
    assert made.shape[0] != made.shape[1], "three notes are commonplace"


def test_drums_keep_their_numbers_in_a_fingerprint(tunes: list[Columns]) -> None:
    drums = {**tunes[0], "program": np.full(len(tunes[0]["start"]), DRUMS)}
    made = prints([drums, {**drums, "pitch": drums["pitch"] + 1}])
    assert made.shape[0] != made.shape[1] and made.voices == [[], []]


def test_a_whole_voice_joins_what_differs_in_another(tunes: list[Columns]) -> None:
    def other_bass(piece: Columns, seed: int) -> Columns:
        low = piece["track"] == 1
        pitch = piece["pitch"] + low * np.random.default_rng(seed).integers(-9, 10, len(low))
        return {**piece, "pitch": pitch, "start": piece["start"] * (1 + low)}

    changed = {**other_bass(tunes[0], 1)}
    changed["pitch"] = changed["pitch"] + 3
    assert [(one, other, kind) for one, other, kind, *_ in joined([tunes[0], tunes[1], changed])] == [(0, 2, "voice")]
    made = prints([tunes[0], changed], notes=len(tunes[0]["start"]))
    assert made.voices == [[], []], "a voice of fewer notes is none"


def test_drums_make_no_phrases(tunes: list[Columns], tmp_path: Path) -> None:
    drums = {**tunes[0], "program": np.full(len(tunes[0]["start"]), DRUMS)}
    tonal = near_duplicates.Tonal(tmp_path)
    phrases = tonal.add(np.zeros(len(drums["start"]), np.int64), 1, drums)
    tonal.close()
    assert len(phrases.key) == 0 and tonal.sizes.tolist() == [0]
    assert not near_duplicates.signatures(phrases).any()


def test_candidates_are_those_that_resemble_each_other() -> None:
    random = np.random.default_rng(0)
    signatures = random.integers(1, 1 << 32, (300, near_duplicates.PERMUTATIONS), dtype=np.uint32)
    # Ten of a kind, a pair that shares every eighth column, a piece without phrases.
    for one in range(11, 20):
        signatures[one, :128] = signatures[10, :128]
    signatures[200, ::8] = signatures[100, ::8]
    signatures[250] = 0
    pairs = near_duplicates.candidates(signatures, 0.1)
    assert [100, 200] in pairs.tolist()
    assert {*pairs.ravel().tolist()} == {*range(10, 20), 100, 200}
    kind = pairs[pairs[:, 1] < 20]
    assert len(np.unique(families.components(300, kind)[10:20])) == 1
    assert np.bincount(kind[:, 0]).max() <= 9 and len(kind) <= 45
    assert [100, 200] not in near_duplicates.candidates(signatures, 0.2).tolist()
    assert len(near_duplicates.candidates(signatures[:0], 0.1)) == 0


def test_families_do_not_depend_on_blocks(tunes: list[Columns], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    pieces = [*tunes[:12], *(thinned(piece, random) for piece in tunes[:6]), transposed(tunes[7], random), tunes[8]]
    whole = joined(pieces)
    assert {kind for _, _, kind, *_ in whole} >= {"exact", "transposed", "near"}
    for rows in (1, 700):
        monkeypatch.setattr(families, "BLOCK", rows)
        assert joined(pieces) == whole


def test_a_stratified_split_is_even() -> None:
    family = np.arange(300) // 2
    strata = ["reel"] * 180 + ["jig"] * 90 + ["waltz"] * 30
    assigned = np.array(split.by_family(family, 0.1, 0.2, 3, strata))
    for name, share in (("valid", 0.1), ("test", 0.2)):
        counts = [np.sum((assigned == name) & (np.array(strata) == one)) for one in ("reel", "jig", "waltz")]
        assert np.allclose(counts, np.array([180, 90, 30]) * share, atol=1)


def test_the_random_split_has_one_test_set_and_two_trains_of_one_size() -> None:
    family = np.arange(200) // 3
    sides = {
        train: np.array(split.at_random(family, RandomSplit(kind="random", train=train)))
        for train in ("all", "without_relatives", "as_many")
    }
    for name in ("valid", "test"):
        assert all(np.array_equal(side == name, sides["all"] == name) for side in sides.values())
    held = set(family[(sides["all"] == "valid") | (sides["all"] == "test")])
    apart, many = (sides[name] == "train" for name in ("without_relatives", "as_many"))
    assert not held & set(family[apart])
    assert held & set(family[many])
    assert apart.sum() == many.sum() < (sides["all"] == "train").sum()


@pytest.mark.parametrize("options", [OfficialSplit(kind="official"), GroupedSplit(kind="grouped", label="artist")])
def test_a_split_by_a_label_that_is_not_there_says_so(tmp_path: Path, options: OfficialSplit | GroupedSplit) -> None:
    from tests.unit.test_data_split import random_tunes, write

    folder = write(tmp_path / "corpus", random_tunes(4))
    families.build(OPTIONS, folder, tmp_path / "families")
    with pytest.raises(ValueError, match="no piece has the label"):
        split.build(options, folder, tmp_path / "families", tmp_path / "split.csv")


def test_labels_group_pieces_and_say_the_split(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.unit.test_data_split import random_tunes, write

    folder = write(tmp_path / "corpus", random_tunes(6))
    rows = [(i, "group", "ab" if i < 2 else f"g{i}") for i in range(6)]
    rows += [(i, "split", ("train", "test", "valid", "train", "test", "train")[i]) for i in range(6)]
    table = dict(zip(("piece", "label", "value"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table({**table, "piece": pa.array(table["piece"], pa.int32())}), folder / "labels.parquet")
    families.build(OPTIONS, folder, tmp_path / "families")
    assert families.read_pairs(tmp_path / "families") == [families.Pair("p00", "p01", "group", "", "ab")]
    split.build(OfficialSplit(kind="official"), folder, tmp_path / "families", tmp_path / "official.csv")
    official = split.read(tmp_path / "official.csv")
    assert [row.split for row in official] == ["train", "test", "valid", "train", "test", "train"]
    assert [row.clean for row in official] == [True, False, True, True, True, True]
    options = FamilySplit(kind="family", valid=0.3, test=0.3)
    split.build(options, folder, tmp_path / "families", tmp_path / "family.csv")
    assert len({(row.family, row.split) for row in split.read(tmp_path / "family.csv")}) == 5
