"""Where music comes from and how it is divided: the `datasets` section of a study."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from dalsegno.options import Section


class Music21Source(Section):
    """Scores that ship in music21's wheel."""

    kind: Literal["music21"]
    collection: Literal["bach_chorales"]


class Labels(Section):
    """A table in the source that says more of its files; it becomes labels.parquet."""

    file: str = Field("labels.csv", description="CSV within the source, with a header")
    path: str = Field("path", description="column of the file's path within the source")
    group: str | list[str] | None = Field(None, description="column(s) whose equal values make a group of pieces")
    columns: list[str] | None = Field(None, description="columns to keep; absent: all")


class FolderSource(Section):
    """A folder of MIDI files, searched recursively."""

    kind: Literal["folder"]
    path: str = Field(description="folder of MIDI files, absolute or relative to where make runs")
    licence: str = Field("unknown", description="stands in the report and beside every sample")
    labels: Labels | None = None


Source = Annotated[Music21Source | FolderSource, Field(discriminator="kind")]


class TableSplit(Section):
    """An official split: a CSV with the columns piece and split."""

    kind: Literal["table"]
    path: str = Field(description="CSV file relative to the project, e.g. config/splits/jsb.csv")


class FamilySplit(Section):
    """A random split of families: pieces that share a melody never stand on both sides."""

    kind: Literal["family"]
    valid: float = Field(0.1, gt=0, lt=0.5, description="share of pieces")
    test: float = Field(0.1, gt=0, lt=0.5, description="share of pieces")
    seed: int = 0


Split = Annotated[TableSplit | FamilySplit, Field(discriminator="kind")]


class Dataset(Section):
    """Where music comes from and how it is divided."""

    source: Source
    split: Split
    max_rejects: float = Field(0.5, ge=0, le=1, description="share of unreadable files above which the job fails")


def parse_source(document: dict[str, Any]) -> Source:
    """The source section of a plain document, e.g. of a job's spec."""
    source: Source = TypeAdapter(Source).validate_python(document)
    return source


def parse_split(document: dict[str, Any]) -> Split:
    """The split section of a plain document."""
    split: Split = TypeAdapter(Split).validate_python(document)
    return split
