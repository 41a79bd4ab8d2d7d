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


class OfficialSplit(Section):
    """The split that the source's own labels give: the label `split` with the values train, valid and test."""

    kind: Literal["official"]


class Shares(Section):
    """How much goes to valid and test, the rest to train."""

    valid: float = Field(0.1, gt=0, lt=0.5, description="share of pieces")
    test: float = Field(0.1, gt=0, lt=0.5, description="share of pieces")
    seed: int = 0


class FamilySplit(Shares):
    """A random split of families: pieces that belong together never stand on both sides."""

    kind: Literal["family"]
    stratify: str | None = Field(None, description="label whose values every side shall hold in equal shares")


class GroupedSplit(Shares):
    """A random split of groups: pieces with one value of a label never stand on both sides, families may."""

    kind: Literal["grouped"]
    label: str = Field("group", description="label that groups the pieces")


class RandomSplit(Shares):
    """A random split of pieces, for comparison only: relatives of test pieces stand in train."""

    kind: Literal["random"]
    train: Literal["all", "without_relatives", "as_many"] = Field(
        "all",
        description="all the rest; or only pieces without a relative in valid or test; or as many as those, drawn at "
        "random. Valid and test are the same in all three, so that the last two show what relatives in train are worth",
    )


Split = Annotated[TableSplit | OfficialSplit | FamilySplit | GroupedSplit | RandomSplit, Field(discriminator="kind")]


class FamilyOptions(Section):
    """What joins two pieces to a family, besides equal notes and the label `group`; null switches a kind off."""

    near: float | None = Field(
        0.4, gt=0, le=1, description="share of the shorter piece's notes that agree beyond chance"
    )
    notes: int = Field(24, ge=1, description="notes that must agree at least")
    resemblance: float = Field(0.05, ge=0, le=1, description="estimated Jaccard index from which pieces are aligned")
    melody: float | None = Field(0.5, gt=0, le=1, description="share of the shorter melody that stands in the other")


class Dataset(Section):
    """Where music comes from and how it is divided."""

    source: Source
    split: Split
    families: FamilyOptions = FamilyOptions()
    max_rejects: float = Field(0.5, ge=0, le=1, description="share of unreadable files above which the job fails")


def parse_source(document: dict[str, Any]) -> Source:
    """The source section of a plain document, e.g. of a job's spec."""
    source: Source = TypeAdapter(Source).validate_python(document)
    return source


def parse_split(document: dict[str, Any]) -> Split:
    """The split section of a plain document."""
    split: Split = TypeAdapter(Split).validate_python(document)
    return split


def parse_families(document: dict[str, Any]) -> FamilyOptions:
    """The families section of a plain document."""
    return FamilyOptions.model_validate(document)
