"""Reads tunes in ABC notation with music21; a file holds many.

The fields are those of the ABC standard 2.1, section 3 (https://abcnotation.com/wiki/abc:standard:v2.1).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dalsegno.data.read_score import decode, looks_like
from dalsegno.data.score import to_music
from dalsegno.data.tables import Music

LABELS = {"C": "composer", "O": "origin", "R": "rhythm"}
"""The fields that become labels."""

START = re.compile(r"^X:", re.MULTILINE)
FIELD = re.compile(r"^([A-Za-z]):[ \t]*(.*?)[ \t]*(?:%.*)?$", re.MULTILINE)


def parts(path: Path, options: dict[str, Any] | None = None) -> list[str]:
    """The names of a file's tunes: "0001", "0002" and so on, by order; their numbers in X: may repeat.

    Raises:
        ValueError: the file holds no tune; says what it looks like.
    """
    return [f"{index:04d}" for index in range(1, len(_tunes(path)[1]) + 1)]


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """One tune; its title and labels are its fields T:, C:, O: and R:.

    Args:
        part: one of `parts`; None: the file's only tune.
        options: `file_label`, the name of a label whose value is the file's name without its suffix.

    Raises:
        ValueError: the file holds no such tune, or music21 finds no music in it.
    """
    header, tunes = _tunes(path)
    index = int(part or 1) - 1
    if not 0 <= index < len(tunes):
        raise ValueError(f"the file has {len(tunes)} tunes and none named {part}")
    tune = tunes[index]
    # The key closes a tune's header; what follows may change fields, but says nothing of the whole tune.
    own = FIELD.findall(re.split(r"(?m)^K:", tune, maxsplit=1)[0])
    common = [(letter, value) for letter, value in header if letter not in dict(own)]
    first, _, rest = tune.partition("\n")
    text = "\n".join([first, *(f"{letter}:{value}" for letter, value in common), rest])

    from music21 import converter

    score: Any = converter.parseData(text, format="abc")
    if "Opus" in score.classSet:
        score = score.scores[0]
    fields = [(letter, " ".join(value.split())) for letter, value in common + own]
    title = next((value for letter, value in fields if letter == "T"), "")
    labels = [(LABELS[letter], value) for letter, value in fields if letter in LABELS and value]
    if (options or {}).get("file_label"):
        labels.append((options["file_label"], path.stem))  # type: ignore[index]
    return to_music(score, title, list(dict.fromkeys(labels)))


def _tunes(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """The fields of the file's own header, which hold for every tune, and the text of every tune.

    A tune ends where the next begins: files in the wild have empty lines within tunes.
    """
    content = path.read_bytes()
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    begins = [match.start() for match in START.finditer(text)]
    if not begins or b"\0" in content:
        what = looks_like(content) if not begins else "binary data"
        raise ValueError(f"not ABC (no line starts with X:) but {what}")
    ends = [*begins[1:], len(text)]
    return FIELD.findall(text[: begins[0]]), [text[a:b] for a, b in zip(begins, ends, strict=True)]
