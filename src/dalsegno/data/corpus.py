"""From a source to a corpus folder: every file found becomes a piece or a reject."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dalsegno.data.labels import LabelTable, read_labels
from dalsegno.data.manifest import SourceFile, list_source, sha256
from dalsegno.data.options import FolderSource, Source
from dalsegno.data.quarantine import Failure, Progress, call_on_files
from dalsegno.data.readers import READERS, SUFFIXES
from dalsegno.data.tables import Entry, Reject, write_corpus

SECONDS_A_FILE = 60.0


FILES = (
    "notes.parquet",
    "pieces.parquet",
    "meters.parquet",
    "tempos.parquet",
    "keys.parquet",
    "labels.parquet",
    "rejects.csv",
)


def build(source: Source, max_rejects: float, folder: Path, jobs: int = 2, root: Path = Path()) -> None:
    """Write the corpus of `source` into `folder`.

    Args:
        max_rejects: share of unreadable files above which nothing is written.
        jobs: worker processes that parse.
        root: where a relative source folder is taken from.

    Raises:
        FileNotFoundError: the source is missing or empty.
        ValueError: more than `max_rejects` of the music files could not be read; names the commonest reasons. Files
            that do not claim to be music (labels, texts) are rejects, but do not count here.
    """
    build_files(source, list_source(source, root), folder, max_rejects, jobs)


def build_files(source: Source, files: Sequence[SourceFile], folder: Path, max_rejects: float, jobs: int = 2) -> None:
    """Like `build`, of the given files of `source`."""
    licence = source.licence if isinstance(source, FolderSource) else "public domain (Bach); encoding: music21 corpus"
    labels = _labels(source, files)
    digests: dict[int, str] = {}
    rejects: list[Reject] = []
    readable: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        try:
            digests[index] = sha256(file.location)
            if isinstance(source, FolderSource) and source.labels and file.path == source.labels.file:
                rejects.append(Reject(file.path, digests[index], "list", "the table of labels"))
            elif file.format is None:
                reason = f"not a music file (its name does not end in {' or '.join(SUFFIXES)})"
                rejects.append(Reject(file.path, digests[index], "list", reason))
            else:
                readable.setdefault(file.format, []).append(index)
        except OSError as error:
            rejects.append(Reject(file.path, "", "read", f"{type(error).__name__}: {error.strerror}"))
    entries: list[Entry] = []
    progress = Progress(len(files), "parse")
    for name, indices in sorted(readable.items()):
        results = call_on_files(READERS[name], [files[i].location for i in indices], jobs, SECONDS_A_FILE)
        for position, result in results:
            index = indices[position]
            file = files[index]
            if isinstance(result, Failure):
                rejects.append(Reject(file.path, digests[index], "parse", result.reason))
            else:
                music = replace(result, labels=result.labels + labels.rows.get(file.path, ()))
                entries.append(Entry(file.piece, file.path, digests[index], licence, music))
            progress.show(len(entries) + len(rejects))
    _check(files, entries, rejects, max_rejects)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder, entries, rejects)


def _labels(source: Source, files: Sequence[SourceFile]) -> LabelTable:
    """The labels of a source's table; what the table and the files do not share is counted on stderr."""
    if not isinstance(source, FolderSource) or source.labels is None:
        return LabelTable({}, [], [])
    location = next((file.location for file in files if file.path == source.labels.file), None)
    if location is None:
        raise FileNotFoundError(f"the source has no file {source.labels.file}: correct labels.file")
    labels = read_labels(source.labels, location, [file.path for file in files if file.format])
    for what, paths in (("rows without their file", labels.missing), ("files without a row", labels.unlabelled)):
        if paths:
            print(f"{source.labels.file}: {len(paths)} {what} (first: {paths[0]})", file=sys.stderr)
    return labels


def _check(files: Sequence[SourceFile], entries: Sequence[Entry], rejects: Sequence[Reject], limit: float) -> None:
    if len(files) != len(entries) + len(rejects):
        raise AssertionError(f"{len(files)} files found, but {len(entries)} pieces and {len(rejects)} rejects")
    unreadable = [reject for reject in rejects if reject.stage != "list"]
    music = len(entries) + len(unreadable)
    if entries and len(unreadable) <= limit * music:
        return
    if not music:
        raise ValueError(f"none of the {len(files)} files is a music file (first: {files[0].path}): correct `path`")
    reasons = Counter(reject.reason for reject in unreadable).most_common(3)
    told = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    example = min(reject.path for reject in unreadable)
    raise ValueError(
        f"{len(unreadable)} of {music} files cannot be read, more than max_rejects ({limit:g}) allows: {told} "
        f"(first: {example}). Remove these files from the source, or raise max_rejects."
    )
