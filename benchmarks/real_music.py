"""Build a corpus folder of every real set that the evaluation's benchmarks are run on.

    python benchmarks/real_music.py results/real --archives ../shared/data

The collections of music21 need nothing but the project's environment. The archives (jsb, nottingham, pop909, … as zip
files) are built where the folder holds them. What is built already is left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

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

ARCHIVES: dict[str, dict] = {
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
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the corpora go, one folder a set")
    parser.add_argument("--archives", type=Path, help="folder of zip files")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()

    def missing(name: str) -> bool:
        return not (arguments.folder / name / "notes.parquet").exists()

    for name, every in COLLECTIONS.items():
        if missing(name):
            source = Music21Source(kind="music21", collection=name)
            corpus.build_files(source, list_source(source)[::every], arguments.folder / name, 0.5, arguments.jobs)
    for name, options in ARCHIVES.items():
        path = (arguments.archives or Path()) / f"{name}.zip"
        if missing(name) and path.exists():
            source = ArchiveSource(kind="archive", path=str(path), **options)
            corpus.build(source, 0.5, arguments.folder / name, arguments.jobs)


if __name__ == "__main__":
    main()
