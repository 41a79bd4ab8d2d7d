"""Which files a source holds, and their digests: cheap enough for every start of the Snakefile.

No heavy import stands here; music21's corpus is found without importing music21.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dalsegno.data.options import FolderSource, Music21Source
from dalsegno.data.readers import format_of


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: relative to the source's folder, with forward slashes.
        location: where it lies on this machine.
        piece: the id its piece will have.
        format: a name of `dalsegno.data.readers.READERS`; None for a file that does not claim to be music.
    """

    path: str
    location: Path
    piece: str
    format: str | None


def list_source(source: FolderSource | Music21Source, root: Path = Path()) -> list[SourceFile]:
    """The files of `source`, sorted by path; a relative folder is taken from `root`.

    Raises:
        FileNotFoundError: the folder is missing, or holds no file.
    """
    if isinstance(source, Music21Source):
        folder = _music21_corpus() / "bach"
        found = [path for path in sorted(folder.glob("*")) if path.suffix in (".mxl", ".xml")]
        return [SourceFile(path.name, path, path.stem, "chorale") for path in found]
    folder = Path(root) / source.path
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the source folder {source.path} does not exist: correct `path` or unpack the music there"
        )
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(parent, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    if not paths:
        raise FileNotFoundError(f"the source folder {source.path} is empty: put MIDI files (*.mid, *.midi) there")
    paths.sort()
    stems = Counter(_stem(path) for path in paths if format_of(path))
    return [
        SourceFile(path, folder / path, _stem(path) if stems[_stem(path)] == 1 else path, format_of(path))
        for path in paths
    ]


def source_files(source: FolderSource | Music21Source, root: Path, cache: Path) -> list[tuple[str, str]]:
    """(path, sha256) of every file of `source`, sorted by path.

    Args:
        cache: a JSON file that remembers the digests of files by path, size and modification time; it is
            written only when it changes and may be deleted at any time.
    """
    cache = Path(cache)
    try:
        known = json.loads(cache.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        known = {}
    fresh = {}
    result = []
    for file in list_source(source, root):
        stat = file.location.stat()
        key = f"{file.location}|{stat.st_size}|{stat.st_mtime_ns}"
        fresh[key] = known.get(key) or sha256(file.location)
        result.append((file.path, fresh[key]))
    if any(key not in known for key in fresh):
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_name(f"{cache.name}.{os.getpid()}")
        partial.write_text(json.dumps({**known, **fresh}, sort_keys=True, indent=0) + "\n")
        partial.replace(cache)
    return result


def digest(files: list[tuple[str, str]]) -> str:
    """One sha256 over (path, sha256) pairs: the content digest of a source."""
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _music21_corpus() -> Path:
    spec = importlib.util.find_spec("music21")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("music21 is not installed: install the locked environment")
    return Path(spec.origin).parent / "corpus"
