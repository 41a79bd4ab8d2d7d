"""Which files a source holds, and their digests: cheap enough for every start of the Snakefile.

No heavy import stands here; music21's corpus is found without importing music21.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from dalsegno.data.options import ArchiveSource, Content, FolderSource, Music21Source, Source
from dalsegno.data.readers import format_of

Listed = FolderSource | Music21Source
"""The sources whose files can be listed before any job runs."""


@dataclass(frozen=True)
class Collection:
    """One collection of music21's corpus.

    Attributes:
        folder: below music21's corpus.
        suffixes: of its scores; other files there are no scores (analyses, licences).
        format: a name of `dalsegno.data.readers.READERS`.
        options: for the format's reader.
    """

    folder: str
    suffixes: tuple[str, ...]
    format: str
    licence: str
    options: dict[str, Any] = field(default_factory=dict)


COLLECTIONS = {
    "aird": Collection("airdsAirs", (".abc",), "abc", "public domain (music); encoding: music21 corpus"),
    "bach_chorales": Collection("bach", (".mxl", ".xml"), "chorale", "public domain (Bach); encoding: music21 corpus"),
    "essen": Collection(
        "essenFolksong",
        (".abc",),
        "abc",
        "non-commercial (Essen Folksong Collection; legal status unclear: see music21 corpus)",
        {"file_label": "region"},
    ),
    "monteverdi": Collection("monteverdi", (".mxl",), "musicxml", "public domain (music); encoding: music21 corpus"),
    "oneill": Collection("oneills1850", (".abc",), "abc", "public domain (music); encoding: music21 corpus"),
    "palestrina": Collection("palestrina", (".krn",), "kern", "no derivatives: do not redistribute (music21 corpus)"),
    "ryans_mammoth": Collection("ryansMammoth", (".abc",), "abc", "public domain (music); encoding: music21 corpus"),
    "trecento": Collection("trecento", (".mxl", ".xml"), "musicxml", "public domain (music); encoding: music21 corpus"),
}
"""The collections of `Music21Source`."""


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


def list_source(source: Listed, root: Path = Path()) -> list[SourceFile]:
    """The files of `source`, sorted by path; a relative folder is taken from `root`.

    Raises:
        FileNotFoundError: the folder is missing, or holds no file.
    """
    if isinstance(source, Music21Source):
        collection = COLLECTIONS[source.collection]
        folder = _music21_corpus() / collection.folder
        names = sorted(path.name for path in folder.glob("*") if path.suffix in collection.suffixes)
        return _named(folder, dict.fromkeys(names, collection.format))
    folder = Path(root) / source.path
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the source folder {source.path} does not exist: correct `path` or unpack the music there"
        )
    files = list_folder(folder, source)
    if not files:
        wanted = "" if source.include == ["*"] and not source.exclude else " of `include` and `exclude`"
        raise FileNotFoundError(f"the source folder {source.path} holds no file{wanted}: put the music there")
    return files


def list_folder(folder: Path, content: Content) -> list[SourceFile]:
    """The files below `folder` that `content` includes, sorted by path; hidden ones are passed over."""
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(parent, name).relative_to(folder).as_posix() for name in names]
    return list_paths(folder, paths, content)


def list_paths(folder: Path, paths: Iterable[str], content: Content) -> list[SourceFile]:
    """Like `list_folder`, of the files `paths` below `folder`, whether they are there yet or not."""
    table = content.labels.file if content.labels else None
    seen = (path for path in paths if not any(part.startswith(".") for part in path.split("/")))
    paths = sorted(path for path in seen if included(path, content))
    formats = {path: None if path == table else content.format or format_of(path, content.modality) for path in paths}
    return _named(folder, formats)


def _named(folder: Path, formats: Mapping[str, str | None]) -> list[SourceFile]:
    """The files of `folder` by path; pieces whose files differ in their suffix alone keep it in their id."""
    stems = Counter(_stem(path) for path in formats if formats[path])
    return [
        SourceFile(path, folder / path, _stem(path) if stems[_stem(path)] == 1 else path, format)
        for path, format in formats.items()
    ]


def content_digest(source: Source, root: Path, cache: Path) -> str:
    """What stands for the content of `source` in a spec: cheap, and without a download.

    A folder's or a package's files, an archive's sha256 (declared, or of the local file) or, where nobody has declared
    one, its addresses.

    Raises:
        FileNotFoundError: the source is missing or empty.
    """
    if not isinstance(source, ArchiveSource):
        return digest(source_files(source, root, cache))
    if source.path is None:
        return source.sha256 or "fetched from " + " ".join(source.addresses)
    location = Path(root) / source.path
    if not location.is_file():
        raise FileNotFoundError(f"the archive {source.path} does not exist: correct `path`")
    return _remembered([location], cache)[0]


def source_files(source: Listed, root: Path, cache: Path) -> list[tuple[str, str]]:
    """(path, sha256) of every file of `source`, sorted by path.

    Args:
        cache: a JSON file that remembers the digests of files by path, size and modification time; it is
            written only when it changes and may be deleted at any time.
    """
    files = list_source(source, root)
    digests = _remembered([file.location for file in files], Path(cache))
    return [(file.path, one) for file, one in zip(files, digests, strict=True)]


def _remembered(locations: Sequence[Path], cache: Path) -> list[str]:
    """The sha256 of every file, from `cache` where size and modification time are the same."""
    try:
        known = json.loads(cache.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        known = {}
    fresh = {}
    digests = []
    for location in locations:
        stat = location.stat()
        key = f"{location}|{stat.st_size}|{stat.st_mtime_ns}"
        fresh[key] = known.get(key) or sha256(location)
        digests.append(fresh[key])
    if any(key not in known for key in fresh):
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_name(f"{cache.name}.{os.getpid()}")
        partial.write_text(json.dumps({**known, **fresh}, sort_keys=True, indent=0) + "\n")
        partial.replace(cache)
    return digests


def digest(files: list[tuple[str, str]]) -> str:
    """One sha256 over (path, sha256) pairs: the content digest of a source."""
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def included(path: str, content: Content) -> bool:
    """Whether a path within a source belongs to its content: by `include` and `exclude`, or as the table of labels."""
    if content.labels and path == content.labels.file:
        return True
    return any(fnmatchcase(path, pattern) for pattern in content.include) and not any(
        fnmatchcase(path, pattern) for pattern in content.exclude
    )


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _music21_corpus() -> Path:
    spec = importlib.util.find_spec("music21")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("music21 is not installed: install the locked environment")
    return Path(spec.origin).parent / "corpus"
