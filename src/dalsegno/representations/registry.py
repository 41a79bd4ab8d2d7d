"""The representations by kind. To add one: a file, a line here, and its options in `dalsegno.study`."""

from __future__ import annotations

import importlib

import numpy as np

from dalsegno.representations.base import Representation, Vocabulary
from dalsegno.representations.options import Remi, Voices

REPRESENTATIONS: dict[str, str] = {
    "voices": "dalsegno.representations.voices:VoiceGrid",
    "remi": "dalsegno.representations.remi:RemiEvents",
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


def load(options: Voices | Remi) -> Representation:
    """The representation of an options section."""
    return representation_class(options.kind)(options)


def decode(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> tuple[dict[str, np.ndarray], float]:
    """The note columns and the tempo of any token sequence; see `Representation.decode`."""
    return representation_class(vocabulary.kind).decode(tokens_TxK, vocabulary)
