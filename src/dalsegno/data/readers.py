"""The readers by format. Strings, so that a change of one reader is no change of another.

A reader is `read(path, part=None, options=None) -> Music`; whatever it raises makes a reject of its file. A format
whose files hold several pieces has `parts(path, options=None) -> list[str]` too, the names of the pieces in a file.
"""

from __future__ import annotations

import importlib
from pathlib import Path, PurePosixPath
from typing import Any

READERS: dict[str, str] = {
    "abc": "dalsegno.data.read_abc:read",
    "chorale": "dalsegno.data.read_chorale:read",
    "grid_json": "dalsegno.data.read_grid:read",
    "kern": "dalsegno.data.read_score:read_kern",
    "midi": "dalsegno.data.read_midi:read",
    "musicxml": "dalsegno.data.read_score:read_musicxml",
    "notes_csv": "dalsegno.data.read_notes_csv:read",
    "piano_roll_mat": "dalsegno.data.read_rolls:read",
}

PARTS: dict[str, str] = {
    "abc": "dalsegno.data.read_abc:parts",
    "grid_json": "dalsegno.data.read_grid:parts",
    "piano_roll_mat": "dalsegno.data.read_rolls:parts",
}
"""The formats whose files hold several pieces, and the functions that name them."""

SUFFIXES: dict[str, str] = {
    ".abc": "abc",
    ".krn": "kern",
    ".mat": "piano_roll_mat",
    ".mid": "midi",
    ".midi": "midi",
    ".musicxml": "musicxml",
    ".mxl": "musicxml",
    ".xml": "musicxml",
}
"""The format that a file's suffix means, in small letters; other files are no music."""


def format_of(path: str) -> str | None:
    """The format that the name of a file claims; None where it claims no music."""
    return SUFFIXES.get(PurePosixPath(path).suffix.lower())


def read_part(format: str, path: Path, part: str | None, options: dict[str, Any]) -> Any:
    """The music of one piece; runs in a worker process, which is where a reader's module is imported."""
    return _function(READERS[format])(path, part, options)


def list_parts(format: str, path: Path, options: dict[str, Any]) -> list[str]:
    """The names of the pieces in one file of a format of `PARTS`; runs in a worker process."""
    return list(_function(PARTS[format])(path, options))


def _function(name: str) -> Any:
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)
