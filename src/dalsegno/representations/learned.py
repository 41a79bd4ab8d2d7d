"""Symbols for frequent sequences of events: BPE, Unigram and WordPiece, learned from the training split alone.

The models and trainers are those of Hugging Face's tokenizers, which MidiTok uses too. Every event is one character,
a bar (or piece) is one word.

Sources: BPE (Sennrich et al. 2016), Unigram (Kudo 2018), WordPiece (Schuster and Nakajima 2012); for music Fradet et
al. (2023).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dalsegno.representations.base import Vocabulary
from dalsegno.representations.options import Learned

# Read when the library starts its threads: sums in another order would give other bytes.
os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

FIRST = 0x4E00
"""The character of event 0: no letter from here on is a space, a mark or changed by any normalisation."""
LONGEST_PIECE = 16
"""Events in a symbol of Unigram at most."""


@dataclass(frozen=True)
class Symbols:
    """A learned vocabulary.

    Attributes:
        parts: for each symbol the events that it stands for; single events first, in their own order.
        model: the trained model as the library's JSON.
        begins: the events that begin a word; none where a piece is one.
        eos: the event that ends a piece; it is never part of another symbol.
    """

    parts: list[list[int]]
    model: str
    begins: frozenset[int]
    eos: int

    @classmethod
    def train(
        cls, pieces: Iterable[np.ndarray], names: Sequence[str], options: Learned, begins: Sequence[int], eos: int
    ) -> Symbols:
        """Learn from the tokens of training pieces.

        Raises:
            ValueError: the size leaves no room beyond the single events.
        """
        from tokenizers import Tokenizer, models, trainers

        if options.size <= len(names):
            raise ValueError(
                f"learned.size {options.size} leaves no symbol to learn: there are {len(names)} single events"
            )
        starts = frozenset(begins if options.within == "bar" else ())
        words = [word for piece in pieces for word in _words(piece.reshape(-1).tolist(), starts, eos)]
        alphabet = [chr(FIRST + event) for event in range(len(names))]
        # The whole alphabet is kept, so that no event of another piece is unknown.
        common: dict[str, Any] = {"vocab_size": options.size, "initial_alphabet": alphabet, "show_progress": False}
        if options.model == "unigram":
            tokenizer = Tokenizer(models.Unigram())
            trainer: Any = trainers.UnigramTrainer(**common, max_piece_length=LONGEST_PIECE, special_tokens=[])
        elif options.model == "bpe":
            tokenizer = Tokenizer(models.BPE())
            trainer = trainers.BpeTrainer(**common, limit_alphabet=len(alphabet))
        else:
            longest = max(map(len, words), default=1)
            known = {letter: i for i, letter in enumerate(alphabet)}
            tokenizer = Tokenizer(
                models.WordPiece(
                    vocab=known,
                    unk_token=alphabet[0],
                    max_input_chars_per_word=max(longest, 1 << 20),
                    continuing_subword_prefix="",
                )
            )
            trainer = trainers.WordPieceTrainer(
                **common, limit_alphabet=len(alphabet), continuing_subword_prefix="", special_tokens=[]
            )
        # One string a word, sorted: the trainers' counts then do not depend on the order of pieces.
        tokenizer.train_from_iterator(sorted(words), trainer, len(words))
        model = tokenizer.to_str()
        return cls._of(_steady(model, words) if options.model == "unigram" else model, len(names), starts, eos)

    @classmethod
    def _of(cls, model: str, single: int, begins: frozenset[int], eos: int) -> Symbols:
        learned = sorted(_spelled(model), key=lambda one: one[1])
        parts = [[event] for event in range(single)]
        parts += [events for events, _ in learned if len(events) > 1]
        return cls(parts, model, begins, eos)

    def encode(self, events: np.ndarray) -> np.ndarray:
        """The symbols (int16) of a piece's events."""
        tokenizer, table = self._loaded()
        words = list(_words(events.tolist(), self.begins, self.eos))
        encoded = tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
        symbols = table[np.array(encoded.ids, np.int64)]
        if events[-1:].tolist() == [self.eos]:
            symbols = np.append(symbols, np.int16(self.eos))
        return symbols

    def vocabulary(self, base: Vocabulary) -> Vocabulary:
        """The vocabulary whose symbols are named by the events that they stand for.

        Pitches, velocities and tempos are hidden in symbols, so that none can be shifted.
        """
        names = tuple(" ".join(base.names[event] for event in part) for part in self.parts)
        nothing = (0, 0)
        return replace(base, names=names, pitches=nothing, velocities=nothing, tempos=nothing)

    def document(self) -> Any:
        """Plain data for `vocabulary.json`."""
        return json.loads(self.model)

    def _loaded(self) -> tuple[Any, np.ndarray]:
        if "_tokenizer" not in self.__dict__:
            from tokenizers import Tokenizer

            number = {tuple(part): i for i, part in enumerate(self.parts)}
            spelled = _spelled(self.model)
            table = np.zeros(1 + max(own for _, own in spelled), np.int16)
            for events, own in spelled:
                table[own] = number[tuple(events)]
            self.__dict__["_tokenizer"] = (Tokenizer.from_str(self.model), table)
        loaded: tuple[Any, np.ndarray] = self.__dict__["_tokenizer"]
        return loaded


def _steady(model: str, words: Sequence[str]) -> str:
    """A Unigram model with scores that are the same in every run.

    The library adds up expectations in an order that differs from run to run, so that the last digits of its scores do.
    They are rounded, all words are read with them, and how often each symbol was used, a whole number, gives its score:
    one more step of expectation maximisation, the hard one.
    """
    from tokenizers import Tokenizer

    document = json.loads(model)
    rounded = sorted((-round(score, 6), text) for text, score in document["model"]["vocab"])
    document["model"]["vocab"] = [[text, -score] for score, text in rounded]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    counts = np.ones(len(rounded), np.int64)
    for word in words:
        np.add.at(counts, tokenizer.encode([word], is_pretokenized=True).ids, 1)
    total = math.log(int(counts.sum()))
    scored = [(total - math.log(int(count)), text) for (_, text), count in zip(rounded, counts, strict=True)]
    document["model"]["vocab"] = [[text, -score] for score, text in sorted(scored)]
    return json.dumps(document)


def _words(events: Sequence[int], begins: frozenset[int], eos: int) -> Iterator[str]:
    """A piece cut before each event that begins a word; the end symbol is left out."""
    word: list[str] = []
    for event in events:
        if event == eos:
            break
        if event in begins and word:
            yield "".join(word)
            word = []
        word.append(chr(FIRST + event))
    if word:
        yield "".join(word)


def _spelled(model: str) -> list[tuple[list[int], int]]:
    """(events, number) of each symbol of a trained model."""
    vocabulary = json.loads(model)["model"]["vocab"]
    pairs = vocabulary.items() if isinstance(vocabulary, dict) else [(one[0], i) for i, one in enumerate(vocabulary)]
    return [([ord(letter) - FIRST for letter in text], number) for text, number in pairs]
