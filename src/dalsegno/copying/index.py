"""The training split as an index, and how near a piece comes to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from dalsegno.copying import passages, whole_bars
from dalsegno.copying.commonplace import Commonplace
from dalsegno.copying.spans import Span
from dalsegno.copying.streams import BAR, GRID, STREAMS, Gridded, bars, lines, streams
from dalsegno.copying.suffixes import Matches, Suffixes

NGRAM = 6
"""Notes of an n-gram."""
WINDOW = 4 * (2 * BAR // GRID) // 2 - 1
"""Texture tokens of two bars: a content a beat, and the moves between."""
NOTES = {"start": np.int32, "pitch": np.uint8, "track": np.int16}
"""What is kept of the notes of training pieces."""
CANDIDATES = 4
"""Alignments that are tried a stream and way of finding them."""
BARS = {"content": np.uint64, "owner": np.int32, "number": np.int32, "lowest": np.uint8}
"""What is kept of the bars of training pieces, sorted by content: equal ones stand together."""
SHORTEST = 7
"""Texture tokens of a bar: shorter stretches are shared by chance, whatever their tokens."""
LONGEST = 127
"""Texture tokens of sixteen bars: what a longer stretch adds changes no verdict."""
MOST_STRETCHES = 64
"""Stretches of texture that are weighed, the most telling by their tokens' shares alone; a longer piece has more."""


@dataclass(frozen=True)
class Figures:
    """How near a piece comes to the training set; more is nearer, except for `edit_distance`.

    Attributes:
        longest_match: notes of the longest stretch of a voice that stands in a training piece, transposed or not.
        longest_match_bars: its length in bars of four quarters.
        line_bits, skeleton_bits: information of the most telling stretch of each stream, the sum of -log2 of its
            tokens' shares of the training set: a long commonplace tells less than a short oddity.
        texture_bits: the same of a stretch of a bar or longer, by what an n-gram model of all *other* families
            expects: a formula of many pieces tells nothing, however long.
        bar_bits: information of the most telling run of whole bars that a training piece holds, onsets, pitches
            (transposed or not) and durations alike, that it was copied and not composed by one who knows all other
            families and the rest of the piece (`dalsegno.copying.whole_bars`).
        passage_notes: notes that agree in the best aligned passage, less those that do not (see `passages.Passage`).
        melody_notes: the same of the top line of the highest track alone: an accompaniment is shared by many pieces.
        ngram_share: share of the n-grams of six notes of a voice that stand in the training set.
        two_bar_share: share of the windows of two bars, one at each bar, whose texture stands there.
        passage_lcs: longest common subsequence of the pitches of the aligned passage, by the longer side's length.
        edit_distance: Levenshtein distance of the same, by the same.
    """

    longest_match: float
    longest_match_bars: float
    line_bits: float
    texture_bits: float
    skeleton_bits: float
    bar_bits: float
    passage_notes: float
    melody_notes: float
    ngram_share: float
    two_bar_share: float
    passage_lcs: float
    edit_distance: float


FIGURES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True)
class Nearness:
    """What a search finds: the figures, the best span of each kind, and the telling spans of all (only the best of
    each have their place in the training piece as a grid step)."""

    figures: Figures
    best: tuple[Span, ...]
    spans: tuple[Span, ...]


class TrainingIndex:
    """A search over the notes of training pieces.

    Args:
        suffixes: one for each stream.
        notes: the columns `NOTES` of all pieces, `offsets` (int64 `[P + 1]`) and `family` (int32 `[P]`).
        bars: the columns `BARS` of all pieces.
    """

    def __init__(
        self, suffixes: dict[str, Suffixes], notes: dict[str, np.ndarray], bars: dict[str, np.ndarray]
    ) -> None:
        self.suffixes = suffixes
        self.notes = notes
        self.bars = bars
        self._model = Commonplace(suffixes, notes["family"])

    @classmethod
    def of(cls, pieces: Iterable[Gridded], families: Sequence[str] | None = None) -> TrainingIndex:
        """The index over training pieces; each is looked at once.

        Args:
            families: family of each piece; each is its own where absent. What relatives share is no commonplace.
        """
        parts: dict[str, list[np.ndarray]] = {name: [] for name in (*STREAMS, *NOTES)}
        whole: dict[str, list[np.ndarray]] = {name: [] for name in BARS}
        for owner, piece in enumerate(pieces):
            own = bars(piece)
            for name, kind in BARS.items():
                whole[name].append(np.full(len(own.number), owner, kind) if name == "owner" else getattr(own, name))
            for name, tokens in streams(piece).items():
                parts[name].append(tokens)
            for name, kind in NOTES.items():
                parts[name].append(getattr(piece, name).astype(kind))
        lengths = [len(start) for start in parts["start"]]
        notes = {"offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)}
        names = np.arange(len(lengths)) if families is None else np.asarray(families, str)
        notes["family"] = np.unique(names, return_inverse=True)[1].astype(np.int32)
        for name, kind in NOTES.items():
            notes[name] = np.concatenate([np.zeros(0, kind), *parts.pop(name)])
        table = {name: np.concatenate([np.zeros(0, kind), *whole.pop(name)]) for name, kind in BARS.items()}
        order = np.argsort(table["content"], kind="stable")
        table = {name: column[order] for name, column in table.items()}
        suffixes = {}
        for name in STREAMS:
            offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts[name]])]).astype(np.int64)
            # Pieces are let go before they are sorted as a whole: that takes the most memory.
            suffixes[name] = Suffixes(np.concatenate([np.zeros(0, np.uint32), *parts.pop(name)]), offsets)
        return cls(suffixes, notes, table)

    def __len__(self) -> int:
        return len(self.notes["offsets"]) - 1

    def save(self, path: Path) -> None:
        """Write the index as safetensors; equal music gives equal bytes."""
        save_indexes(path, {None: self})

    @classmethod
    def load(cls, path: Path, given: int | None = None) -> TrainingIndex:
        """Read what `save` wrote, or the index without a given voice of those that `save_indexes` wrote."""
        prefix = _prefix(given)
        with safe_open(str(path), framework="np") as file:
            own = [name for name in file.keys() if name.startswith(prefix)]
            arrays = {name.removeprefix(prefix): file.get_tensor(name) for name in own}
        suffixes = {
            name: Suffixes(*(arrays[f"{name}.{part}"] for part in ("tokens", "offsets", "order"))) for name in STREAMS
        }
        notes, bars_ = (
            {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}
            for kind in ("notes.", "bars.")
        )
        return cls(suffixes, notes, bars_)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that an index is made of, by name."""
        arrays = {f"notes.{name}": array for name, array in self.notes.items()}
        arrays |= {f"bars.{name}": array for name, array in self.bars.items()}
        for name, one in self.suffixes.items():
            arrays |= {
                f"{name}.tokens": one.tokens[: len(one)],
                f"{name}.offsets": one.offsets,
                f"{name}.order": one.order,
            }
        return arrays

    def piece(self, number: int) -> Gridded:
        """The onsets of training piece `number`; its notes last one step, since nobody asks."""
        rows = slice(*self.notes["offsets"][number : number + 2].tolist())
        start = self.notes["start"][rows]
        pitch = self.notes["pitch"][rows].astype(np.int16)
        return Gridded(start, start + np.int32(1), pitch, self.notes["track"][rows])

    def search(self, piece: Gridded, left_out: np.ndarray | None = None) -> Nearness:
        """How near a piece comes.

        Args:
            left_out: numbers of training pieces that do not count, e.g. the piece's own relatives.
        """
        if not len(piece) or not len(self):
            zero = dict.fromkeys(FIGURES, 0.0) | {"edit_distance": 1.0}
            return Nearness(Figures(**zero), (), ())
        own = streams(piece)
        rows = lines(piece)[1]
        onsets = {
            "lines": np.append(piece.start[rows], piece.start[rows[-1:]]),
            "texture": np.arange(len(own["texture"]) + 1) // 2 * GRID,
            "skeleton": np.arange(len(own["skeleton"]) + 1) % piece.beats * GRID,
        }
        found: dict[str, Matches] = {}
        spans: list[Span] = []
        tried: set[tuple[int, int, int, int]] = set()
        counts = {name: self._model.counts(name, own[name]) for name in STREAMS}
        for name in STREAMS:
            matches = found[name] = self.suffixes[name].matches(own[name], left_out)
            bits = self._bits(own[name], counts[name][0], len(self.suffixes[name]), matches.length)
            spans += (
                self._stretches(own[name], counts[name], matches, bits, left_out)
                if name == "texture"
                else self._spans(name, matches, bits, onsets[name])
            )
            tried |= self._candidates(name, matches, bits, onsets[name])
        spans += whole_bars.find(whole_bars.shared(self.bars, self._model, piece, own, counts, rows, left_out))
        (passage, owner), (melody, singer) = self._passages(piece, tried)
        spans += [Span("passage_notes", passage.score, passage.begin, passage.end, owner, passage.at)]
        spans += [Span("melody_notes", melody.score, melody.begin, melody.end, singer, melody.at)]
        best = {span.figure: span for span in sorted(spans, key=lambda span: span.value)}
        longest = found["lines"].length.max(axis=1, initial=0)
        at = int(longest.argmax())
        ours, theirs = self._sides(piece, passage, owner)
        size = max(len(ours), len(theirs), 1)
        figures = Figures(
            longest_match=float(longest[at] + 1 if longest[at] else 0),
            longest_match_bars=float(onsets["lines"][at + longest[at]] - onsets["lines"][at]) / BAR,
            line_bits=best["line_bits"].value,
            texture_bits=best["texture_bits"].value,
            skeleton_bits=best["skeleton_bits"].value,
            bar_bits=best["bar_bits"].value,
            passage_notes=passage.score,
            melody_notes=melody.score,
            ngram_share=_share(longest >= NGRAM - 1, _whole(own["lines"], NGRAM - 1)),
            two_bar_share=_two_bars(own["texture"], found["texture"].length.max(axis=1)),
            passage_lcs=passages.lcs(ours, theirs) / size,
            edit_distance=passages.edit_distance(ours, theirs) / size if len(ours) else 1.0,
        )
        return Nearness(figures, tuple(best.values()), tuple(spans))

    @staticmethod
    def _bits(tokens: np.ndarray, count: np.ndarray, total: int, length: np.ndarray) -> np.ndarray:
        """Information of each match by the shares of its tokens, of `total`; float64 like `length`."""
        share = np.maximum(count, 1) / max(total, 1)
        before = np.concatenate([[0.0], np.cumsum(np.where(tokens == 0, 0.0, -np.log2(share)))])
        places = np.arange(len(tokens))[:, None]
        return np.where(length > 0, before[np.minimum(places + length, len(tokens))] - before[places], 0.0)

    def _spans(self, name: str, matches: Matches, bits: np.ndarray, onsets: np.ndarray) -> list[Span]:
        """The most telling match from each place of a stream."""
        column = bits.argmax(axis=1)
        places = np.arange(len(bits))
        figure = "line_bits" if name == "lines" else f"{name}_bits"
        length, value = matches.length[places, column], bits[places, column]
        result = []
        # What lies inside the match of the place before says nothing new.
        fresh = np.append(True, places[1:] + length[1:] > places[:-1] + length[:-1])
        for i in np.flatnonzero(fresh | (value == value.max())).tolist():
            reach = int(length[i]) if name == "lines" else max(int(length[i]) - 1, 0)
            end = int(onsets[min(i + reach, len(onsets) - 1)]) + (0 if name == "lines" else GRID)
            owner = int(matches.owner[i, column[i]]) if value[i] > 0 else -1
            at = int(matches.position[i, column[i]])
            result.append(Span(figure, float(value[i]), int(onsets[i]), end, owner, at))
        best = max(result, key=lambda span: span.value)
        # Only the best one's place is looked up: lines must be drawn again for it.
        at = self._onset(name, best.owner, best.at) if best.owner >= 0 else 0
        result[result.index(best)] = replace(best, at=at)
        return result

    def _stretches(
        self,
        tokens: np.ndarray,
        counts: Sequence[np.ndarray],
        matches: Matches,
        shares: np.ndarray,
        left_out: np.ndarray | None,
    ) -> list[Span]:
        """The stretches of texture of a bar or longer that the training set holds; none gives one of 0 bits.

        Args:
            counts: see `Commonplace.counts`.
            shares: information of each match by the shares of its tokens, see `_bits`.
        """
        column = matches.length.argmax(axis=1)
        places = np.arange(len(tokens))
        # A stretch begins and ends with the content of a beat: an odd number of tokens.
        length = matches.length[places, column]
        length = np.maximum(length - (length % 2 == 0), 0)
        owner, at = matches.owner[places, column], matches.position[places, column]
        result = [Span("texture_bits", 0.0, 0, 0, -1, 0)]
        begins = np.flatnonzero((length >= SHORTEST) & (places % 2 == 0))
        ends = begins + length[begins]
        # What lies inside the stretch before says nothing new.
        begins = begins[ends > np.append(0, np.maximum.accumulate(ends)[:-1])]
        telling = shares[begins, column[begins]]
        for i in np.sort(begins[np.argsort(-telling, kind="stable")[:MOST_STRETCHES]]).tolist():
            end = i + int(length[i])
            stretch = tokens[i : min(end, i + LONGEST)]
            bits = self._model.bits("texture", stretch, [count[i:] for count in counts], int(owner[i]), left_out)
            value = float(bits.sum())
            begin = self._onset("texture", int(owner[i]), int(at[i]))
            result.append(Span("texture_bits", value, i // 2 * GRID, (end + 1) // 2 * GRID, int(owner[i]), begin))
        return result

    def _onset(self, name: str, owner: int, position: int) -> int:
        """The grid step at which a token of a training piece lies."""
        return int(self._onsets(name, owner, np.array([position]))[0])

    def _onsets(self, name: str, owner: int, position: np.ndarray) -> np.ndarray:
        place = position - self.suffixes[name].offsets[owner]
        if name == "texture":
            return place // 2 * GRID
        if name == "skeleton":
            return place % self._beats(np.array([owner]))[0] * GRID
        piece = self.piece(owner)
        return piece.start[lines(piece)[1]][place]

    def _beats(self, owner: np.ndarray) -> np.ndarray:
        offsets = self.suffixes["texture"].offsets
        return np.maximum((offsets[owner + 1] - offsets[owner]) // 2, 1)

    def _candidates(
        self, name: str, matches: Matches, bits: np.ndarray, onsets: np.ndarray
    ) -> set[tuple[int, int, int, int]]:
        """(training piece, shift, begin, end) of alignments worth trying; shift, begin and end in grid steps."""
        flat = bits.reshape(-1)
        places = np.repeat(np.arange(len(bits)), bits.shape[1])
        owner, position, length = (x.reshape(-1) for x in (matches.owner, matches.position, matches.length))
        top = np.argsort(-flat, kind="stable")
        chosen: list[int] = []
        if name == "lines":
            seen: set[int] = set()
            for i in top[: 8 * matches.owner.shape[1]].tolist():
                if flat[i] > 0 and int(owner[i]) not in seen and len(seen) < CANDIDATES:
                    seen.add(int(owner[i]))
                    chosen.append(i)
            begins = {i: self._onset(name, int(owner[i]), int(position[i])) for i in chosen}
        else:
            place = position - self.suffixes[name].offsets[owner]
            step = place // 2 if name == "texture" else place % self._beats(owner)
            shift = step * GRID - onsets[places]
            key = owner * 2**24 + shift + 2**23
            kinds, group = np.unique(key, return_inverse=True)
            votes = np.bincount(group, flat)
            first = np.full(len(kinds), -1)
            first[group[top[::-1]]] = top[::-1]
            strongest = first[np.argsort(-votes, kind="stable")[:CANDIDATES]].tolist()
            longest = list(dict.fromkeys(first[group[top[: 4 * CANDIDATES]]].tolist()))[:CANDIDATES]
            chosen = [i for i in dict.fromkeys(strongest + longest) if flat[i] > 0]
            begins = {i: int(shift[i] + onsets[places[i]]) for i in chosen}
        result = set()
        for i in chosen:
            begin = int(onsets[places[i]])
            end = int(onsets[min(places[i] + length[i], len(onsets) - 1)]) + GRID
            result.add((int(owner[i]), begins[i] - begin, begin, max(end, begin + GRID)))
        return result

    def _passages(
        self, piece: Gridded, tried: set[tuple[int, int, int, int]]
    ) -> tuple[tuple[passages.Passage, int], tuple[passages.Passage, int]]:
        """The best aligned passage among candidates, of all notes and of the melodies alone, and its training piece.

        -1 stands for no piece.
        """
        best = [(passages.NOTHING, -1), (passages.NOTHING, -1)]
        melody = passages.melody(piece)
        for owner, shift, begin, end in sorted(tried):
            other = self.piece(owner)
            semitones = passages.transposition(piece, other, shift, begin, end)
            if semitones is None:
                continue
            for i, (ours, theirs) in enumerate(((piece, other), (melody, passages.melody(other)))):
                passage = passages.align(ours, theirs, shift, semitones)
                if passage.score > best[i][0].score:
                    best[i] = passage, owner
        return best[0], best[1]

    def _sides(self, piece: Gridded, passage: passages.Passage, owner: int) -> tuple[np.ndarray, np.ndarray]:
        if owner < 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        length = passage.end - passage.begin
        ours = passages.pitches(piece, passage.begin, passage.end) + passage.transposition
        return ours, passages.pitches(self.piece(owner), passage.at, passage.at + length)


def save_indexes(path: Path, indexes: Mapping[int | None, TrainingIndex]) -> None:
    """Write several indexes over the same pieces into one file.

    Args:
        indexes: by the voice that they leave out (`parts.without`), None for none.
    """
    arrays = {_prefix(given) + name: array for given, one in indexes.items() for name, array in one.arrays().items()}
    save_file({name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}, str(path))


def _prefix(given: int | None) -> str:
    return "whole/" if given is None else f"without {given}/"


def _whole(tokens: np.ndarray, width: int) -> np.ndarray:
    """Whether no separator lies among the `width` tokens from each place, bool like `tokens`."""
    zeros = np.concatenate([[0], np.cumsum(np.append(tokens == 0, np.ones(width, bool)))])
    places = np.arange(len(tokens))
    return zeros[places + width] == zeros[places]


def _share(hit: np.ndarray, counted: np.ndarray) -> float:
    return float((hit & counted).sum() / counted.sum()) if counted.any() else 0.0


def _two_bars(tokens: np.ndarray, length: np.ndarray) -> float:
    """Share of two-bar windows, one at each bar, that match as a whole; windows without an onset do not count."""
    begins = np.arange(0, len(tokens) - WINDOW, 2 * BAR // GRID)
    counted = np.array([np.any(tokens[b : b + WINDOW : 2] > 2) for b in begins.tolist()], bool)
    return _share(length[begins] >= WINDOW, counted) if len(begins) else 0.0
