"""Where music comes from and how it is divided: the `datasets` section of a study."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, field_validator, model_validator

from dalsegno.data.readers import READERS, modality_of
from dalsegno.options import Name, Section

CORPUS_FILES: dict[str, tuple[str, ...]] = {
    "notes": (
        "notes.parquet",
        "pieces.parquet",
        "meters.parquet",
        "tempos.parquet",
        "keys.parquet",
        "labels.parquet",
        "rejects.csv",
    ),
    "audio": ("pieces.parquet", "labels.parquet", "rejects.csv"),
    "table": ("features.parquet", "pieces.parquet", "labels.parquet", "rejects.csv"),
}
"""The files of a corpus folder or of a shard's, by modality."""


class Music21Source(Section):
    """Scores that ship in music21's wheel."""

    modality: ClassVar[str] = "notes"
    kind: Literal["music21"]
    collection: Literal[
        "bach_chorales", "ryans_mammoth", "essen", "oneill", "aird", "palestrina", "monteverdi", "trecento"
    ]


class Labels(Section):
    """A table in the source that says more of its files; it becomes labels.parquet."""

    file: str = Field("labels.csv", description="CSV within the source, with a header")
    path: str = Field("path", description="column of the file's path within the source")
    group: str | list[str] | None = Field(None, description="column(s) whose equal values make a group of pieces")
    columns: list[str] | None = Field(None, description="columns to keep; absent: all")


class Content(Section):
    """What a folder or an archive holds."""

    modality: Literal["notes", "audio", "table"] = Field(
        "notes",
        description="what the files hold: notes (MIDI, scores, lists of notes), recordings, or tables of features",
    )
    licence: str = Field("unknown", description="stands in the report and beside every sample")
    include: list[str] = Field(["*"], description="patterns of paths to read; * stands for / too")
    exclude: list[str] = Field([], description="patterns of paths to leave out, of those included")
    format: str | None = Field(None, description="format of all files; absent: each file's suffix says it")
    options: dict[str, Any] = Field({}, description="what the format's reader asks for, e.g. the columns of notes_csv")
    labels: Labels | None = None
    path_labels: str | None = Field(
        None,
        description="regular expression that is looked for in each file's path; its named groups are labels, e.g. "
        "^(?P<genre>[^/]+)/(?P<group>[^/]+)/",
    )

    @field_validator("path_labels")
    @classmethod
    def names_labels(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            names = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if not names:
            raise ValueError("it names no group: write (?P<label>…)")
        return pattern

    @field_validator("format")
    @classmethod
    def is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in READERS:
            raise ValueError(f"no format {name!r}; valid: {', '.join(sorted(READERS))}")
        return name

    @model_validator(mode="after")
    def fits_its_modality(self) -> Self:
        if self.format is not None and modality_of(self.format) != self.modality:
            raise ValueError(f"the format {self.format!r} is read with `modality: {modality_of(self.format)}`")
        if self.modality == "table" and self.labels is not None:
            raise ValueError("labels: those of a table are its own columns; name them in options.labels")
        return self


class FolderSource(Content):
    """A folder of music files, searched recursively."""

    kind: Literal["folder"]
    path: str = Field(description="folder of music files, absolute or relative to where make runs")


class ArchiveSource(Content):
    """A zip or tar archive: a file of this machine, or addresses to fetch it from."""

    kind: Literal["archive"]
    path: str | None = Field(None, description="file of this machine; absent: fetched from the addresses")
    addresses: list[str] = Field([], description="where it is fetched from: the first that serves it")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the archive; printed by the first fetch")
    size: int | None = Field(None, gt=0, description="bytes of the archive")

    @model_validator(mode="after")
    def comes_from_somewhere(self) -> Self:
        if self.path is None and not self.addresses:
            raise ValueError("an archive needs a path or addresses")
        return self


Source = Annotated[Music21Source | FolderSource | ArchiveSource, Field(discriminator="kind")]


class CatalogSource(Section):
    """A dataset of the catalog; all that is left out stands in its entry. Replaced by its source when a study loads."""

    kind: Literal["catalog"]
    name: Name = Field(description="an entry of config/datasets; `python -m dalsegno datasets` lists them")
    path: str | None = Field(None, description="a folder or an archive of this machine, instead of a download")
    include: list[str] | None = None
    exclude: list[str] | None = None
    format: str | None = None
    options: dict[str, Any] | None = None
    labels: Labels | None = None
    path_labels: str | None = None


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


FAMILY_KINDS = ("exact", "transposed", "voice", "near", "melody", "group")
"""Why two pieces may belong together: see `dalsegno.data.families`."""


class FamilyOptions(Section):
    """What joins two pieces to a family, besides equal notes and the label `group`; null switches a kind off."""

    near: float | None = Field(
        0.4, gt=0, le=1, description="share of the shorter piece's notes that agree beyond chance"
    )
    notes: int = Field(24, ge=1, description="notes that must agree at least")
    resemblance: float = Field(0.02, ge=0, le=1, description="estimated Jaccard index from which pieces are aligned")
    melody: float | None = Field(0.5, gt=0, le=1, description="share of the shorter melody that stands in the other")


class Dataset(Section):
    """Where music comes from and how it is divided."""

    # What a study's file may say is more than what is left of it: `dalsegno.data.catalog.expanded` has been there.
    source: Annotated[Source, BeforeValidator(lambda given: given, json_schema_input_type=Source | CatalogSource)]
    catalog: Name | None = Field(None, description="the entry that the source came from; set by `kind: catalog`")
    split: Split = Field(FamilySplit(kind="family"), description="absent: the entry's, or by families")
    families: FamilyOptions = FamilyOptions()
    max_rejects: float = Field(0.5, ge=0, le=1, description="share of unreadable files above which the job fails")
    shards: int = Field(
        1,
        ge=1,
        le=1000,
        description="jobs that parse the files, a part of them each; the corpus is the same in any number",
    )

    @model_validator(mode="after")
    def has_files_to_share(self) -> Self:
        if self.shards > 1 and self.source.modality == "table":
            raise ValueError("shards: a table of features is read by one job: leave the key out")
        return self


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
