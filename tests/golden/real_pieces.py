"""Real pieces that every machine with the project has: music21's chorales, and a fourth of Ryan's fiddle tunes.

    python -m tests.golden.real_pieces pieces.json

writes them for `make_muspy.py`, which runs in another environment.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from dalsegno.data import corpus
from dalsegno.data.manifest import list_source
from dalsegno.data.notes import Notes, read_notes, read_piece_ids
from dalsegno.data.options import Music21Source

COLLECTIONS = {"bach_chorales": 1, "ryans_mammoth": 4}
"""Collection -> every so many a file."""


def real_pieces(folder: Path) -> dict[str, Notes]:
    """Piece id, with its collection before it -> notes; the corpora are built below `folder`."""
    pieces: dict[str, Notes] = {}
    for name, every in COLLECTIONS.items():
        source = Music21Source.model_validate({"kind": "music21", "collection": name})
        corpus.build_files(source, list_source(source)[::every], folder / name, max_rejects=0.01)
        ids = read_piece_ids(folder / name)
        notes = read_notes(folder / name / "notes.parquet").pieces(range(len(ids)))
        pieces |= {f"{name}/{piece}": view for piece, view in zip(ids, notes, strict=True)}
    return pieces


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pieces = real_pieces(Path(folder))
    columns = ("track", "program", "start", "duration", "pitch")
    rows = {
        name: np.stack([getattr(notes, column) for column in columns], axis=1).tolist()
        for name, notes in pieces.items()
    }
    Path(sys.argv[1]).write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
