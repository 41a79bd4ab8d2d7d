"""Build a corpus folder of every real set that the evaluation's benchmarks are run on.

    python benchmarks/real_music.py results/real --archives ../shared/data
    python benchmarks/real_music.py results/real jsb nottingham --archives ../shared/data

The collections of music21 need nothing but the project's environment. The archives (jsb, nottingham, pop909, … as zip
files) are built where the folder holds them. What is built already is left alone. Sets can be named; absent: all.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dalsegno.data import corpus
from dalsegno.data.manifest import list_source
from dalsegno.data.options import ArchiveSource, Music21Source

COLLECTIONS = {
    "bach_chorales": 1,
    "ryans_mammoth": 1,
    "monteverdi": 1,
    "trecento": 1,
    "aird": 1,
    "oneill": 4,
    "palestrina": 6,
    "essen": 8,
}
"""Collections of music21; of the large ones every so many a file."""


def _rolls(name: str, frames_per_quarter: int = 2) -> dict[str, Any]:
    return {
        "path": "polyphonic",
        "include": [f"*{name}.mat"],
        "format": "piano_roll_mat",
        "options": {"frames_per_quarter": frames_per_quarter},
    }


ARCHIVES: dict[str, dict[str, Any]] = {
    "jsb": {"include": ["*Jsb16thSeparated.json"], "format": "grid_json"},
    "nottingham": {"include": ["*.mid"]},
    "pop909": {"include": ["*.mid"], "exclude": ["*/versions/*"]},
    "pianomidi": {"include": ["*.mid"]},
    "asap": {"include": ["*.mid"]},
    "vgmidi": {"include": ["*.mid"]},
    "symbtr": {"include": ["*.mid"]},
    "groove": {"include": ["*.mid"]},
    "openewld": {"include": ["*.mxl"]},
    "wjd": {
        "include": ["*.csv"],
        "format": "notes_csv",
        "options": {"header": False, "unit": "seconds", "pitch": 0, "onset": 1, "duration": 2},
    },
    "jsb_rolls": _rolls("JSB_Chorales", 1),
    "nottingham_rolls": _rolls("Nottingham"),
    "musedata_rolls": _rolls("MuseData"),
    "pianomidi_rolls": _rolls("Piano_midi"),
}
"""Options of each set's source; its archive has its name unless `path` says another."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the corpora go, one folder a set")
    parser.add_argument("sets", nargs="*", default=[*COLLECTIONS, *ARCHIVES])
    parser.add_argument("--archives", type=Path, help="folder of zip files")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()

    for name in arguments.sets:
        folder = arguments.folder / name
        if (folder / "notes.parquet").exists():
            continue
        if name in COLLECTIONS:
            music21 = Music21Source(kind="music21", collection=name)
            files = list_source(music21)[:: COLLECTIONS[name]]
            corpus.build_files(music21, files, folder, 0.5, arguments.jobs)
            continue
        options = dict(ARCHIVES[name])
        path = (arguments.archives or Path()) / f"{options.pop('path', name)}.zip"
        if path.exists():
            archive = ArchiveSource(kind="archive", path=str(path), **options)
            corpus.build(archive, 0.5, folder, arguments.jobs)


if __name__ == "__main__":
    main()
