"""Samples to see and hear: a piano roll, a player and a MIDI file each, all inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dalsegno.data.notes import read_notes
from dalsegno.reporting.figures import piano_roll


@dataclass(frozen=True)
class Card:
    """One piece; `audio` and `midi` are data URIs; `roll` and `audio` are empty where the piece is."""

    title: str
    file_name: str
    roll: str
    audio: str
    midi: str
    notes: int


@dataclass(frozen=True)
class Shelf:
    """The pieces of one model and sampler, or of the held-out music."""

    title: str
    about: str
    colour: int | None
    cards: tuple[Card, ...]


def cards(folder: Path, limit: int, title: str, prefix: str) -> tuple[Card, ...]:
    """The first `limit` pieces of a folder of samples, by number: nobody chose them."""
    notes = read_notes(Path(folder) / "notes.parquet")
    numbers = [int(path.stem) for path in sorted(Path(folder).glob("[0-9][0-9][0-9].mid"))][:limit]
    result = []
    for number, piece in zip(numbers, notes.pieces(numbers), strict=True):
        stem = Path(folder) / f"{number:03d}"
        pitches = f", MIDI pitches {piece.pitch.min()} to {piece.pitch.max()}" if len(piece) else ""
        alt = f"Piano roll of {title.lower()} {number + 1}: {len(piece)} notes{pitches}"
        result.append(
            Card(
                title=f"{title} {number + 1}",
                file_name=f"{prefix}-{number:03d}.mid",
                roll=piano_roll(piece, alt) if len(piece) else "",
                audio=data_uri(stem.with_suffix(".flac"), "audio/flac") if len(piece) else "",
                midi=data_uri(stem.with_suffix(".mid"), "audio/midi"),
                notes=len(piece),
            )
        )
    return tuple(result)


def data_uri(path: Path, kind: str) -> str:
    """A file's bytes inside a URI."""
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def shelves(
    samples: Mapping[tuple[str, str], Path],
    references: Mapping[str, Path],
    runs: Mapping[str, tuple[str, str, str, str]],
    colours: Mapping[str, int],
    limit: int,
) -> dict[str, list[Shelf]]:
    """For each dataset the held-out music, then one shelf a representation, model and sampler (its lowest seed).

    Args:
        samples: (run, sampler) -> folder.
        references: dataset -> folder.
        runs: run -> (dataset, representation, model, seed).
    """
    result: dict[str, list[Shelf]] = {}
    for dataset, folder in sorted(references.items()):
        pieces = cards(folder, limit, "Held-out piece", f"{dataset}-held_out")
        result.setdefault(dataset, []).append(Shelf("Held-out music", "real pieces of the test split", None, pieces))
    lowest: dict[tuple[str, str, str, str], tuple[int, Path]] = {}
    for (run, sampler), folder in samples.items():
        dataset, representation, model, seed = runs[run]
        key = (dataset, model, representation, sampler)
        lowest[key] = min(lowest.get(key, (int(seed), folder)), (int(seed), folder))
    for (dataset, model, representation, sampler), (first, folder) in sorted(lowest.items()):
        prefix = f"{dataset}-{representation}-{model}-s{first}-{sampler}"
        pieces = cards(folder, limit, "Sample", prefix)
        about = f"{representation} · {sampler} · seed {first}"
        result.setdefault(dataset, []).append(Shelf(model, about, colours[model], pieces))
    return result
