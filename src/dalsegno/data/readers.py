"""The readers by format. Strings, so that a change of one reader is no change of another.

A reader is `read(path, part=None, options=None) -> Music`; whatever it raises makes a reject of its file.
"""

from __future__ import annotations

from pathlib import PurePosixPath

READERS: dict[str, str] = {
    "chorale": "dalsegno.data.read_chorale:read",
    "midi": "dalsegno.data.read_midi:read",
}

SUFFIXES: dict[str, str] = {".mid": "midi", ".midi": "midi"}
"""The format that a file's suffix means, in small letters; other files are no music."""


def format_of(path: str) -> str | None:
    """The format that the name of a file claims; None where it claims no music."""
    return SUFFIXES.get(PurePosixPath(path).suffix.lower())
