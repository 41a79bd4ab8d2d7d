"""The readers by format. Strings, so that a change of one reader is no change of another.

A reader of notes is `read(path, part=None, options=None) -> Music`, one of audio the same with a `Track`; whatever it
raises makes a reject of its file. A format whose files hold several pieces has `parts(path, options=None) -> list[str]`
too, the names of the pieces in a file. A reader of feature tables is described in `dalsegno.data.feature_tables`.
"""

from __future__ import annotations

import importlib
from pathlib import Path, PurePosixPath
from typing import Any

READERS: dict[str, str] = {
    "abc": "dalsegno.data.read_abc:read",
    "audio": "dalsegno.data.read_audio:read",
    "chorale": "dalsegno.data.read_chorale:read",
    "features_csv": "dalsegno.data.read_features:read",
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

SUFFIXES: dict[str, dict[str, str]] = {
    "notes": {
        ".abc": "abc",
        ".krn": "kern",
        ".mat": "piano_roll_mat",
        ".mid": "midi",
        ".midi": "midi",
        ".musicxml": "musicxml",
        ".mxl": "musicxml",
        ".xml": "musicxml",
    },
    "audio": {
        ".aif": "audio",
        ".aiff": "audio",
        ".au": "audio",
        ".flac": "audio",
        ".mp3": "audio",
        ".oga": "audio",
        ".ogg": "audio",
        ".wav": "audio",
    },
    "table": {".csv": "features_csv", ".tsv": "features_csv"},
}
"""By modality, the format that a file's suffix means, in small letters; other files are no music."""


WRITERS: dict[str, str] = {
    "audio": "dalsegno.data.tracks:TrackWriter",
    "notes": "dalsegno.data.tables:CorpusWriter",
    "table": "dalsegno.data.feature_tables:write",
}
"""By modality, what writes the corpus's tables."""


def format_of(path: str, modality: str) -> str | None:
    """The format that the name of a file claims; None where it claims nothing of this modality."""
    return SUFFIXES[modality].get(PurePosixPath(path).suffix.lower())


def modality_of(format: str) -> str:
    """The modality of a format: what no suffix means (tables of notes, grids) is notes."""
    return next((name for name, suffixes in SUFFIXES.items() if format in suffixes.values()), "notes")


def read_part(format: str, path: Path, part: str | None, options: dict[str, Any]) -> Any:
    """The music of one piece; runs in a worker process, which is where a reader's module is imported."""
    return load(READERS[format])(path, part, options)


def read_table(format: str, path: Path, target: Path, options: dict[str, Any]) -> list[tuple[int, str]]:
    """Read a table of features into the folder `target`; gives the rows left out. Runs in a worker process."""
    return list(load(READERS[format])(path, target, options))


def list_parts(format: str, path: Path, options: dict[str, Any]) -> list[str]:
    """The names of the pieces in one file of a format of `PARTS`; runs in a worker process."""
    return list(load(PARTS[format])(path, options))


def load(name: str) -> Any:
    """What `package.module:name` means."""
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)
