"""From a source to a corpus folder: every file found becomes a piece or a reject."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dalsegno.data.labels import path_labels, read_labels
from dalsegno.data.manifest import COLLECTIONS, SourceFile, included, list_folder, list_paths, list_source, sha256
from dalsegno.data.options import CORPUS_FILES, ArchiveSource, Content, Source
from dalsegno.data.quarantine import Failure, Progress, call_in_workers
from dalsegno.data.readers import PARTS, SUFFIXES, WRITERS, format_of, load
from dalsegno.data.tables import Entry, Reject, commonest, read_rejects, write_rejects
from dalsegno.data.unpacking import names, unpack

SECONDS_A_FILE = 60.0
MEGABYTES_A_FILE = 2048

NAMES = {"notes": "music file", "audio": "recording", "table": "table"}

FILES = CORPUS_FILES["notes"]


@dataclass(frozen=True)
class Unit:
    """One piece to be: a file, or one part of a file that holds several.

    Attributes:
        digest: sha256 of the file.
        part: name of the part within the file; None where a file is a piece.
    """

    file: SourceFile
    digest: str
    part: str | None = None

    @property
    def piece(self) -> str:
        return self.file.piece if self.part is None else f"{self.file.piece}#{self.part}"

    @property
    def path(self) -> str:
        return self.file.path if self.part is None else f"{self.file.path}#{self.part}"


def build(source: Source, max_rejects: float, folder: Path, jobs: int = 2, root: Path = Path()) -> None:
    """Write the corpus of `source` into `folder`.

    Args:
        max_rejects: share of unreadable files above which nothing is written.
        jobs: worker processes that parse.
        root: where a relative path of the source is taken from.

    Raises:
        FileNotFoundError: the source is missing or empty.
        ValueError: an archive is refused, or more than `max_rejects` of the music files could not be read; names the
            commonest reasons. Files that do not claim to be music (labels, texts) are rejects, but do not count here.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with opened(source, root, Path(folder)) as files:
        build_files(source, files, folder, max_rejects, jobs)


def build_shard(source: Source, shard: int, shards: int, folder: Path, jobs: int = 1, root: Path = Path()) -> None:
    """Write the tables of one of `shards` parts of `source` into `folder`; `join_shards` makes them one corpus.

    Of an archive this part alone is unpacked.

    Args:
        shard: number of the part, from 0.

    Raises:
        FileNotFoundError, ValueError: as `build`; how many files may be unreadable is not asked here.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with opened(source, root, Path(folder), lambda files: part_of(files, shard, shards)) as files:
        _build(source, files, part_of(files, shard, shards), Path(folder), None, jobs)


def join_shards(source: Source, shards: Sequence[Path], max_rejects: float, folder: Path) -> None:
    """Write the corpus of the shards' folders, in the order of their numbers: the bytes that `build` writes.

    Raises:
        ValueError: as `build`.
    """
    rejects: list[Reject] = []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
        writer = load(WRITERS[source.modality])(Path(name))
        before = ""
        for shard in shards:
            rejects += read_rejects(shard / "rejects.csv")
            for entry in writer.stored(shard):
                if entry.piece <= before:
                    raise ValueError(
                        f"the pieces {before!r} and {entry.piece!r} are out of order: rename the file of one"
                    )
                before = entry.piece
                writer.add(entry)
        writer.close()
        _finish(source, Path(name), writer.count, rejects, max_rejects, folder)


def part_of(files: Sequence[SourceFile], shard: int, shards: int) -> list[SourceFile]:
    """The files of shard number `shard` (from 0): successive ones in the order of their pieces, so that shards stand in
    the corpus one after the other."""
    ordered = sorted(files, key=lambda file: f"{file.piece}#" if file.format in PARTS else file.piece)
    return ordered[len(files) * shard // shards : len(files) * (shard + 1) // shards]


@contextmanager
def opened(
    source: Source,
    root: Path,
    scratch: Path,
    choose: Callable[[list[SourceFile]], list[SourceFile]] | None = None,
) -> Iterator[list[SourceFile]]:
    """The files of `source`; those of an archive lie in a folder within `scratch` until the end of the block.

    Args:
        choose: of all files those that are asked for; the others of an archive are not unpacked.
    """
    if not isinstance(source, ArchiveSource):
        yield list_source(source, root)
        return
    if source.path is None:
        raise FileNotFoundError("the archive has not been fetched")
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".unpacked-") as place:
        archive, content = Path(root) / source.path, Path(place) / "content"
        if choose is None:
            unpack(archive, content, wanted=lambda path: included(path, source))
            files = list_folder(content, source)
        else:
            files = list_paths(content, names(archive), source)
            wanted = {file.path for file in choose(files)} | ({source.labels.file} if source.labels else set())
            unpack(archive, content, wanted=wanted.__contains__)
        if not files:
            raise FileNotFoundError(f"the archive {source.path} holds no file of `include` and `exclude`")
        yield files


def build_files(source: Source, files: Sequence[SourceFile], folder: Path, max_rejects: float, jobs: int = 2) -> None:
    """Like `build`, of the given files of `source`."""
    _build(source, files, files, Path(folder), max_rejects, jobs)


def _build(
    source: Source,
    files: Sequence[SourceFile],
    part: Sequence[SourceFile],
    folder: Path,
    max_rejects: float | None,
    jobs: int,
) -> None:
    """Write the tables of the files `part`; all `files` of the source are there for what its labels name."""
    rejects: list[Reject] = []
    units = _units(source, part, rejects, jobs)
    licence = source.licence if isinstance(source, Content) else COLLECTIONS[source.collection].licence
    labels = _labels(source, files)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
        partial = Path(name)
        if source.modality == "table":
            tables = [(unit.file, unit.digest) for unit in units]
            parsed = load(WRITERS["table"])(partial, tables, _options(source), licence, rejects, jobs)
        else:
            parsed = _parse(source, units, labels, licence, rejects, partial, jobs)
        _finish(source, partial, parsed, rejects, max_rejects, folder)


def _finish(
    source: Source, partial: Path, parsed: int, rejects: Sequence[Reject], max_rejects: float | None, folder: Path
) -> None:
    """Write the rejects, ask whether they are too many (None: not here), and move the tables into `folder`."""
    write_rejects(partial / "rejects.csv", rejects)
    if max_rejects is not None:
        _check(source, parsed, rejects, max_rejects)
    for name in CORPUS_FILES[source.modality]:
        (partial / name).replace(folder / name)


def _parse(
    source: Source,
    units: Sequence[Unit],
    labels: Mapping[str, tuple[tuple[str, str], ...]],
    licence: str,
    rejects: list[Reject],
    folder: Path,
    jobs: int,
) -> int:
    """Write the tables of the units' music or recordings into `folder`; gives the number of pieces."""
    calls = [(unit.file.format, unit.file.location, unit.part, _options(source)) for unit in units]
    results = in_order(
        call_in_workers("dalsegno.data.readers:read_part", calls, jobs, SECONDS_A_FILE, MEGABYTES_A_FILE)
    )
    writer = load(WRITERS[source.modality])(folder)
    parsed = 0
    progress = Progress(len(units), "parse")
    for done, (unit, result) in enumerate(zip(units, results, strict=True), 1):
        if isinstance(result, Failure):
            rejects.append(Reject(unit.path, unit.digest, "parse", result.reason))
        else:
            given = labels.get(unit.file.path, ())
            # What the source says of its file goes before what the file says of itself.
            own = tuple(pair for pair in result.labels if pair[0] not in dict(given))
            music = replace(result, labels=own + given)
            writer.add(Entry(unit.piece, unit.path, unit.digest, licence, music))
            parsed += 1
        progress.show(done)
    writer.close()
    return parsed


def in_order(results: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """The results of calls 0, 1, 2 … as soon as all before them are there; those that came too early wait."""
    early: dict[int, Any] = {}
    wanted = 0
    for index, result in results:
        early[index] = result
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def _units(source: Source, files: Sequence[SourceFile], rejects: list[Reject], jobs: int) -> list[Unit]:
    """Every piece that the files claim to hold, in the corpus's order; the other files join `rejects`."""
    units: list[Unit] = []
    several: list[Unit] = []
    table = source.labels.file if isinstance(source, Content) and source.labels else None
    for file in files:
        try:
            unit = Unit(file, sha256(file.location))
        except OSError as error:
            rejects.append(Reject(file.path, "", "read", f"{type(error).__name__}: {error.strerror}"))
            continue
        if file.path == table:
            rejects.append(Reject(file.path, unit.digest, "list", "the table of labels"))
        elif file.format is None:
            endings = " or ".join(SUFFIXES[source.modality])
            reason = f"not a {NAMES[source.modality]} (its name does not end in {endings})"
            rejects.append(Reject(file.path, unit.digest, "list", reason))
        elif file.format in PARTS:
            several.append(unit)
        else:
            units.append(unit)
    calls = [(unit.file.format, unit.file.location, _options(source)) for unit in several]
    for index, parts in call_in_workers(
        "dalsegno.data.readers:list_parts", calls, jobs, SECONDS_A_FILE, MEGABYTES_A_FILE
    ):
        unit = several[index]
        if isinstance(parts, Failure):
            rejects.append(Reject(unit.path, unit.digest, "parse", parts.reason))
        elif not parts:
            rejects.append(Reject(unit.path, unit.digest, "parse", "the file holds no piece"))
        else:
            units += [replace(unit, part=part) for part in parts]
    return sorted(units, key=lambda unit: unit.piece)


def _options(source: Source) -> dict[str, Any]:
    return source.options if isinstance(source, Content) else COLLECTIONS[source.collection].options


def _labels(source: Source, files: Sequence[SourceFile]) -> dict[str, tuple[tuple[str, str], ...]]:
    """(label, value) by path, of a source's table and of its paths; a label of both is the table's.

    What the table and the files do not share is counted on stderr.
    """
    if not isinstance(source, Content):
        return {}
    music = [file.path for file in files if file.format]
    by_path = path_labels(source.path_labels, music) if source.path_labels else {}
    if source.labels is None:
        return by_path
    location = next((file.location for file in files if file.path == source.labels.file), None)
    if location is None:
        raise FileNotFoundError(f"the source has no file {source.labels.file}: correct labels.file")
    table = read_labels(source.labels, location, music)
    for what, paths in (("rows without their file", table.missing), ("files without a row", table.unlabelled)):
        if paths:
            print(f"{source.labels.file}: {len(paths)} {what} (first: {paths[0]})", file=sys.stderr)
    return {
        path: tuple({**dict(by_path.get(path, ())), **dict(table.rows.get(path, ()))}.items())
        for path in {*by_path, *table.rows}
    }


def _check(source: Source, parsed: int, rejects: Sequence[Reject], limit: float) -> None:
    unreadable = [reject for reject in rejects if reject.stage != "list"]
    music = parsed + len(unreadable)
    if parsed and len(unreadable) <= limit * music:
        return
    if not music:
        paths = sorted(reject.path for reject in rejects)
        others = [name for name in SUFFIXES if any(format_of(path, name) for path in paths)]
        remedy = f"say `modality: {others[0]}`" if others else "correct `path`"
        raise ValueError(f"none of the {len(paths)} files is a {NAMES[source.modality]} (first: {paths[0]}): {remedy}")
    reasons = commonest(reject.reason for reject in unreadable)[:3]
    told = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    example = min(reject.path for reject in unreadable)
    raise ValueError(
        f"{len(unreadable)} of {music} pieces cannot be read, more than max_rejects ({limit:g}) allows: {told} "
        f"(first: {example}). Remove these files from the source, or raise max_rejects."
    )
