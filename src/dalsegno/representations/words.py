"""Note names and chords as words, as in the VAE-LSTM of Pricop and Iftene (KES 2024).

A word is what begins at one onset: a single note by its name (`C4` is middle C), several notes as a pitch-class set
(`0.4.7`). Rhythm, velocity and the octaves of chords are not told; words are read back at a steady pace. Drums are left
out. The vocabulary is that of the training split; a word that stands in no training piece is `Unknown`, and rests when
it is read back.

The paper's models read windows of 100 words: `training.window: 100`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.representations.base import Decoded, Grammar, Piece, Representation, Vocabulary, columns_of_notes, told
from dalsegno.representations.options import Words

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
PITCHES = 128
VELOCITY = 80
UNKNOWN, END = 0, 1


class NoteChordWords(Representation):
    """The representation of kind `words`.

    Args:
        options: how words are read back.
    """

    options: Words

    def __init__(self, options: Words) -> None:
        super().__init__(options)
        # Before `learn`: every note and every set of pitch classes.
        self.words = np.arange(PITCHES + (1 << 12))

    @property
    def vocabulary(self) -> Vocabulary:
        names = ("Unknown", "EOS", *(_name(int(word)) for word in self.words))
        return Vocabulary(
            kind="words",
            names=names,
            width=1,
            period=1,
            pitches=(0, 0),
            eos=END,
            step_ticks=None,
            options=self.options.model_dump(),
            layout=self.options.layout,
        )

    def encode(self, piece: Piece) -> np.ndarray:
        """`tokens_Tx1` (int16): one word an onset, EOS at the end; a chord of one pitch class is a set too."""
        kept = self.kept(piece)
        start, pitch = piece.notes["start"][kept], piece.notes["pitch"][kept].astype(np.int64)
        pairs = np.unique(np.column_stack([start, pitch]), axis=0)
        heads = np.flatnonzero(np.concatenate([[True], pairs[1:, 0] != pairs[:-1, 0]]))
        sets = np.bitwise_or.reduceat(1 << (pairs[:, 1] % 12), heads)
        single = np.diff(np.append(heads, len(pairs))) == 1
        words = np.where(single, pairs[heads, 1], PITCHES + sets)
        return np.append(words + 2, END).astype(np.int16)[:, None]

    @staticmethod
    def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
        """One word after the other, each as long as `step`; chords stand in the octave of the options."""
        tokens = np.asarray(tokens_TxK).reshape(-1)
        step = int(vocabulary.options["step"] * TICKS_PER_QUARTER)
        base = 12 * (vocabulary.options["octave"] + 1)
        ends = np.flatnonzero(tokens == END)
        length = int(ends[0]) if len(ends) else len(tokens)
        repairs = {}
        if unknown := int((tokens[:length] == UNKNOWN).sum()):
            repairs["an unknown word"] = unknown
        if length < len(tokens) - 1:
            repairs["tokens after the end"] = len(tokens) - 1 - length
        notes = []
        for t, token in enumerate(tokens[:length].tolist()):
            if token != UNKNOWN:
                notes += [(0, 0, t * step, step, pitch, VELOCITY) for pitch in _pitches(vocabulary.names[token], base)]
        ticks = np.minimum(np.arange(len(tokens), dtype=np.int64), length) * step
        return Decoded(columns_of_notes(notes), repairs=repairs, ticks_T=ticks)

    def kept(self, piece: Piece) -> np.ndarray:
        return told(piece, drums=False)

    def claim(self, piece: Piece) -> Piece:
        """The onsets in order, a step apart: single notes at their pitch, chords by their pitch classes."""
        kept = self.kept(piece)
        step = int(self.options.step * TICKS_PER_QUARTER)
        base = 12 * (self.options.octave + 1)
        sounding: dict[int, set[int]] = {}
        for start, pitch in zip(piece.notes["start"][kept].tolist(), piece.notes["pitch"][kept].tolist(), strict=True):
            sounding.setdefault(start, set()).add(pitch)
        notes = []
        for place, (_, chord) in enumerate(sorted(sounding.items())):
            read = chord if len(chord) == 1 else {base + pitch % 12 for pitch in chord}
            notes += [(0, 0, place * step, step, pitch, VELOCITY) for pitch in read]
        return Piece(columns_of_notes(notes), piece.meters, piece.tempos)

    def learn(self, training: Iterable[np.ndarray]) -> None:
        """The vocabulary: every word of the training pieces."""
        found = np.zeros(len(self.words), bool)
        for tokens in training:
            own = tokens[tokens != END]
            found[own[own > END].astype(np.int64) - 2] = True
        self.words = np.flatnonzero(found)

    def finish(self, tokens_TxK: np.ndarray) -> np.ndarray:
        number = np.full(PITCHES + (1 << 12) + 2, UNKNOWN, np.int16)
        number[END] = END
        number[self.words + 2] = np.arange(len(self.words)) + 2
        return number[tokens_TxK]

    def spans(self, tokens_TxK: np.ndarray) -> list[tuple[int, int] | None]:
        return [None]

    def grammar(self, bounds: Sequence[tuple[int, int] | None]) -> Grammar:
        """Known words, and the end after one word at least."""
        size = 2 + len(self.words)
        allowed_SxV = np.ones((3, size), bool)
        allowed_SxV[:, UNKNOWN] = False
        allowed_SxV[0, END] = False
        allowed_SxV[2] = np.arange(size) == END
        next_SxV = np.ones((3, size), np.int16)
        next_SxV[:, END] = 2
        return Grammar(allowed_SxV, next_SxV, 0)


def _name(word: int) -> str:
    if word < PITCHES:
        return f"{NAMES[word % 12]}{word // 12 - 1}"
    return ".".join(str(pitch) for pitch in range(12) if (word - PITCHES) >> pitch & 1) or "None"


def _pitches(name: str, base: int) -> list[int]:
    """The pitches of a word: of a note its own, of a set those from `base` up."""
    if name[0] in "ABCDEFG":
        letter = name.rstrip("-0123456789")
        return [NAMES.index(letter) + 12 * (int(name[len(letter) :]) + 1)]
    return [base + int(pitch) for pitch in name.split(".")] if name[0].isdigit() else []
