"""The catalog: what is known of public datasets, one file a dataset in `config/datasets`.

An entry says where a dataset comes from, what its licence allows, who made it, how it may be split and what is wrong
with it; every fact names the place where it was read.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from dalsegno.data.options import (
    ArchiveSource,
    CatalogSource,
    Content,
    FamilySplit,
    Music21Source,
    OfficialSplit,
    Split,
    TableSplit,
)
from dalsegno.options import Name, Section

FOLDER = Path("config/datasets")

NEED_A_SOURCE = (
    "source.addresses",
    "source.sha256",
    "source.size",
    "source.labels",
    "source.path_labels",
    "checksums",
    "pieces",
    "licence",
    "official_split",
)
"""Keys that, where they are given, have to stand in `facts`."""


class CatalogError(ValueError):
    """An entry that does not exist or is not valid; the message names file, key and what to do."""


def _checked(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http", "ftp") or "." not in parts.netloc or re.search(r"\s", address):
        raise ValueError(f"{address!r} is no address: write https://host/path")
    return address


Address = Annotated[str, AfterValidator(_checked)]
Text = Annotated[str, Field(min_length=1)]


class ByHand(Content):
    """An archive that no address serves: behind a login or an agreement, or many single files.

    A study gives its place: `source: {kind: catalog, name: …, path: …}`.
    """

    kind: Literal["by_hand"]
    how: Text = Field(description="what a person does to get it")


class Licence(Section):
    """Under what terms a dataset may be used; this is what was read, not legal advice."""

    name: Text = Field(description="SPDX identifier where there is one; `none stated` where nobody says")
    url: Address | None = None
    allows: list[Literal["commercial", "redistribution", "derivatives"]] = Field(
        description="what it allows; for research alone, or where nothing is stated: empty"
    )
    note: str = ""


class Defect(Section):
    """Something known to be wrong with a dataset, that changes numbers."""

    what: Text
    source: Text = Field(description="who found it")


class Entry(Section):
    """A public dataset."""

    name: Name = Field(description="the file's name without .yaml")
    title: Text
    homepage: Address
    source: Annotated[Music21Source | ArchiveSource | ByHand, Field(discriminator="kind")]
    checksums: dict[Literal["md5", "sha1"], Annotated[str, Field(pattern="^[0-9a-f]+$")]] = Field(
        {}, description="of the archive, as published where no sha256 is"
    )
    pieces: int | None = Field(None, gt=0, description="pieces, tracks or rows, as published")
    licence: Licence
    citation: Text
    labels: Text = Field(description="which labels there are, and where they come from")
    group: str | None = Field(None, description="what may never stand on both sides of a split; null: only families")
    official_split: str | None = Field(None, description="the publisher's or the field's split; null: none")
    split: Split = Field(FamilySplit(kind="family"), description="what a study gets that asks for no other")
    split_policy: Text = Field(description="why that one")
    defects: list[Defect] | Literal["none known"]
    unverified: bool = Field(description="facts were read, but not checked on the data itself")
    facts: dict[str, str] = Field(description="key of this entry: where it was read, or how it was measured")

    @property
    def modality(self) -> str:
        """What its pieces are: notes, audio or table."""
        return self.source.modality

    @field_validator("checksums")
    @classmethod
    def have_their_length(cls, checksums: dict[str, str]) -> dict[str, str]:
        lengths = {"md5": 32, "sha1": 40}
        for name, digits in checksums.items():
            if len(digits) != lengths[name]:
                raise ValueError(f"a {name} has {lengths[name]} digits, not {len(digits)}")
        return checksums

    @model_validator(mode="after")
    def is_consistent(self) -> Self:
        if isinstance(self.source, ArchiveSource):
            if self.source.path is not None or not self.source.addresses:
                raise ValueError("source: a public archive has addresses and no path")
            for address in self.source.addresses:
                _checked(address)
        if isinstance(self.source, Content) and self.source.licence != Content.model_fields["licence"].default:
            raise ValueError("source.licence: stands under `licence` already")
        if isinstance(self.split, OfficialSplit | TableSplit) and self.official_split is None:
            raise ValueError("official_split: say what the official split is")
        if self.defects == []:
            raise ValueError("defects: list them, or say `none known`")
        if not self.unverified and isinstance(self.source, ArchiveSource) and self.source.sha256 is None:
            raise ValueError("unverified: an archive without sha256 cannot have been verified")
        return self

    @model_validator(mode="after")
    def says_where_its_facts_come_from(self) -> Self:
        document = self.model_dump(mode="json")
        for key, where in self.facts.items():
            if not _at(document, key):
                raise ValueError(f"facts.{key}: the entry has no such fact")
            if not where.strip():
                raise ValueError(f"facts.{key}: say where it was read")
        for key in NEED_A_SOURCE:
            if _at(document, key) and key not in self.facts:
                raise ValueError(f"facts.{key}: say where this was read")
        return self


def names(folder: Path = FOLDER) -> list[str]:
    """The datasets of the catalog, sorted."""
    return sorted(path.stem for path in Path(folder).glob("*.yaml"))


def load(name: str, folder: Path = FOLDER) -> Entry:
    """The entry of one dataset.

    Raises:
        CatalogError: there is no such entry, or it is not valid; tells the nearest name, or every wrong key.
    """
    path = Path(folder) / f"{name}.yaml"
    if not path.is_file():
        known = names(folder)
        close = difflib.get_close_matches(name, known, 1)
        told = f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(known) or 'none'}"
        raise CatalogError(f"{folder} has no dataset {name!r}; {told}")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        entry = Entry.model_validate(document)
    except yaml.YAMLError as error:
        raise CatalogError(f"{path} is no YAML: {error}") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        ]
        raise CatalogError("\n".join([f"{path} is not a valid entry:", *lines])) from None
    if entry.name != name:
        raise CatalogError(f"{path}: name is {entry.name!r}; it must be the file's name, {name!r}")
    return entry


def expanded(study: dict[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """The document of a study, with the sources of the catalog in place of their names.

    What is no document of datasets is left as it is: the study's own validation tells what is wrong there.

    Raises:
        CatalogError: an entry or its mention is wrong; names the dataset's key.
    """
    datasets = study.get("datasets")
    if not isinstance(datasets, dict):
        return study
    return {**study, "datasets": {key: _expanded(key, value, folder) for key, value in datasets.items()}}


def schema() -> str:
    """The JSON schema of an entry, as committed in `config/dataset.schema.json`."""
    return json.dumps(Entry.model_json_schema(), indent=2, sort_keys=True) + "\n"


def _expanded(key: str, dataset: Any, folder: Path) -> Any:
    source = dataset.get("source") if isinstance(dataset, dict) else None
    if not isinstance(source, dict) or source.get("kind") != "catalog":
        return dataset
    try:
        asked = CatalogSource.model_validate(source)
        entry = load(asked.name, folder)
        concrete = _source(asked, entry)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise CatalogError(f"datasets.{key}.source.{told}") from None
    except CatalogError as error:
        raise CatalogError(f"datasets.{key}.source: {error}") from None
    return {"split": entry.split.model_dump(mode="json"), **dataset, "source": concrete, "catalog": entry.name}


def _source(asked: CatalogSource, entry: Entry) -> dict[str, Any]:
    """The source that an entry and what a study says beyond it make together."""
    said = asked.model_dump(mode="json", exclude={"kind", "name", "path"}, exclude_unset=True)
    if isinstance(entry.source, Music21Source):
        if said or asked.path is not None:
            raise CatalogError(f"{entry.name} comes with music21: give its name alone")
        return entry.source.model_dump(mode="json")
    content = entry.source.model_dump(mode="json", include=set(Content.model_fields)) | said
    content["licence"] = entry.licence.name
    if asked.path is not None:
        kind = "archive" if Path(asked.path).suffix and not Path(asked.path).is_dir() else "folder"
        return {"kind": kind, "path": asked.path, **content}
    if isinstance(entry.source, ByHand):
        raise CatalogError(f"{entry.name} cannot be downloaded: {entry.source.how} Then say `path: <where it lies>`.")
    return entry.source.model_dump(mode="json") | content


def _at(document: dict[str, Any], key: str) -> Any:
    """What stands at a dotted key; None where nothing does."""
    value: Any = document
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
