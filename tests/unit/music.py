"""Small invented music for tests: chorale-like phrases in a major key, and a corpus folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dalsegno.data import tables
from dalsegno.data.notes import Notes, make_notes

MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])


def chorale(seed: int, bars: int = 8) -> Notes:
    """Four voices that walk by step through a major scale in quarters, halves and pairs of eighths."""
    random = np.random.default_rng(seed)
    tonic = 60 + int(random.integers(-3, 4))
    figures = [[480] * 4, [480, 480, 960], [960, 480, 480], [480, 240, 240, 480, 480]]
    durations = np.concatenate([figures[i] for i in random.choice(4, bars, p=[0.5, 0.2, 0.1, 0.2])])
    start = np.concatenate([[0], np.cumsum(durations)[:-1]])
    steps = np.cumsum(random.choice([-2, -1, 0, 1, 2], (4, len(start)), p=[0.1, 0.3, 0.2, 0.3, 0.1]), axis=1)
    degrees = np.abs(steps % 14 - 7) + np.array([7, 4, 2, -7])[:, None]
    pitch = tonic + MAJOR[degrees % 7] + 12 * (degrees // 7)
    return make_notes(
        track=np.repeat(np.arange(4), len(start)),
        start=np.tile(start, 4),
        duration=np.tile(durations, 4),
        pitch=pitch.reshape(-1),
    )


def listed(notes: Notes) -> np.ndarray:
    """The rows of a note table, as parsers give them."""
    return np.column_stack([getattr(notes, name) for name in tables.NOTE_COLUMNS]).astype(np.int32)


def write_corpus(folder: Path, count: int = 40) -> tuple[Path, Path]:
    """A corpus folder and split.csv: a half train, a quarter valid, a quarter test."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    ids = [f"p{i:03d}" for i in range(count)]
    entries = [
        tables.Entry(name, f"{name}.mid", "0" * 64, "CC0", tables.Music(f"Invented chorale {i}", listed(chorale(i))))
        for i, name in enumerate(ids)
    ]
    tables.write_corpus(corpus, entries, [tables.Reject("broken.mid", "00", "parse", "no notes")])
    split = folder / "split.csv"
    names = ["train", "train", "valid", "test"]
    lines = [f"{name},{names[i % 4]},{name},{'false' if i % 8 == 3 else 'true'}" for i, name in enumerate(ids)]
    split.write_text("piece,split,family,clean\n" + "\n".join(lines) + "\n")
    return corpus, split
