"""The features by kind. Strings, so that a change of one kind is no change of another, and no job pays for all.

A module of features of sound has `columns(options)`, the name of each number, and `values(sound, rate, options)`, the
numbers of one window as `[rows, columns]`. One of features of notes has `columns` and `windows(corpus, numbers,
options)`, the windows of each piece.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

FEATURES: dict[str, str] = {
    "gtzan": "dalsegno.features.gtzan",
    "log_mel": "dalsegno.features.frames",
    "mfcc": "dalsegno.features.frames",
    "chroma": "dalsegno.features.frames",
    "symbolic": "dalsegno.features.symbolic",
    "attributes": "dalsegno.features.attributes",
    "note_roll": "dalsegno.features.played",
    "note_chroma": "dalsegno.features.played",
}

WINDOWS = "dalsegno.features.windows"
"""What cuts pieces into windows, in the workers."""


def load(kind: str) -> ModuleType:
    """The module of a kind, imported only now."""
    return import_module(FEATURES[kind])
