"""The representations by kind. To add one: a file, a line here, and its options in `options.py`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from dalsegno.representations.base import Decoded, Representation, Vocabulary

_EVENTS = "dalsegno.representations.events:MidiTokEvents"

REPRESENTATIONS: dict[str, str] = {
    "voices": "dalsegno.representations.voices:VoiceGrid",
    "remi": _EVENTS,
    "tsd": _EVENTS,
    "midi_like": _EVENTS,
    "structured": _EVENTS,
    "cp_word": _EVENTS,
    "octuple": _EVENTS,
    "mumidi": _EVENTS,
    "mmm": _EVENTS,
    "pertok": _EVENTS,
    "words": "dalsegno.representations.words:NoteChordWords",
    "roll": "dalsegno.representations.roll:PianoRoll",
    "frames": "dalsegno.representations.frames:KeyFrames",
}
"""kind -> "module:class"; imported when asked for, so that no job pays for a representation that it does not use."""


def representation_class(kind: str) -> type[Representation]:
    """The class of a kind.

    Raises:
        ValueError: no representation has this kind.
    """
    if kind not in REPRESENTATIONS:
        raise ValueError(f"unknown representation {kind!r}; use one of {', '.join(sorted(REPRESENTATIONS))}")
    module, name = REPRESENTATIONS[kind].split(":")
    cls: type[Representation] = getattr(importlib.import_module(module), name)
    return cls


def load(options: Any) -> Representation:
    """The representation of an options section."""
    return representation_class(options.kind)(options)


def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> Decoded:
    """The music of any token sequence; see `Representation.decode`."""
    return representation_class(vocabulary.kind).decode(tokens_TxK, vocabulary)
