"""The catalog: every entry valid and sourced, studies that name one, the cards, and the layouts that entries describe."""

from __future__ import annotations

import copy
import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from dalsegno import study
from dalsegno.data import cards, catalog
from dalsegno.data.labels import path_labels
from dalsegno.data.manifest import COLLECTIONS, included
from dalsegno.data.options import ArchiveSource, Content, FolderSource, Music21Source

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / catalog.FOLDER
SHARED = Path(os.getenv("DALSEGNO_SHARED") or ROOT.parent / "shared")
NAMES = catalog.names(FOLDER)

WANTED = [
    "bach_chorales",
    "ryans_mammoth",
    "essen",
    "oneill",
    "aird",
    "palestrina",
    "monteverdi",
    "trecento",
    "maestro",
    "lakh_full",
    "lakh_matched",
    "lakh_clean",
    "pop909",
    "nottingham",
    "jsb",
    "jsb_rolls",
    "nottingham_rolls",
    "musedata_rolls",
    "pianomidi_rolls",
    "groove",
    "emopia",
    "vgmidi",
    "giantmidi_piano",
    "adl_piano",
    "symbtr",
    "openewld",
    "weimar_jazz",
    "piano_midi_de",
    "asap",
    "nes_mdb",
    "gtzan",
    "fma_small",
    "fma_medium",
    "ismir2004",
    "maestro_audio",
    "gtzan_features",
    "million_song",
]


def document(name: str = "maestro") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def written(folder: Path, content: dict[str, Any]) -> Path:
    (folder / f"{content['name']}.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_the_catalog_holds_the_public_datasets() -> None:
    assert sorted(WANTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_valid_and_tells_what_a_reader_asks(name: str) -> None:
    entry = catalog.load(name, FOLDER)
    assert len(entry.citation) > 20
    assert entry.licence.name
    assert entry.defects == "none known" or all(defect.source for defect in entry.defects)
    package = isinstance(entry.source, Music21Source)
    assert entry.unverified is not package, "only what is installed with the project could be checked here"


def changed(key: str, value: Any) -> dict[str, Any]:
    content = document()
    *parents, last = key.split(".") if not key.startswith("facts.") else ("facts", key.removeprefix("facts."))
    place = content
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("homepage", "magenta.tensorflow.org", "homepage: 'magenta.tensorflow.org' is no address"),
        ("source.addresses", ["https://host.org/a b.zip"], "'https://host.org/a b.zip' is no address"),
        ("source.addresses", [], "an archive needs a path or addresses"),
        ("source.path", "here.zip", "a public archive has addresses and no path"),
        ("source.sha256", "70470ee2", "source.archive.sha256"),
        ("source.licence", "MIT", "source.licence: stands under `licence` already"),
        ("checksums", {"md5": "abc"}, "a md5 has 32 digits, not 3"),
        ("citation", None, "citation: Field required"),
        ("licence", None, "licence: Field required"),
        ("licence.allows", None, "licence.allows: Field required"),
        ("defects", [], "defects: list them, or say `none known`"),
        ("official_split", None, "official_split: say what the official split is"),
        ("facts.licence", None, "facts.licence: say where this was read"),
        ("facts.source.labels", None, "facts.source.labels: say where this was read"),
        ("facts.licence", " ", "facts.licence: say where it was read"),
        ("facts.checksums", "somewhere", "facts.checksums: the entry has no such fact"),
        ("colour", "red", "colour: Extra inputs are not permitted"),
    ],
)
def test_an_entry_that_says_too_little_or_too_much_is_refused(key: str, value: Any, told: str, tmp_path: Path) -> None:
    content = changed(key, value)
    if key == "official_split":
        del content["facts"]["official_split"]
    with pytest.raises(catalog.CatalogError, match=re.escape(told)):
        catalog.load("maestro", written(tmp_path, content))


def test_what_has_no_hash_cannot_have_been_verified(tmp_path: Path) -> None:
    content = document("pop909") | {"unverified": False}
    with pytest.raises(catalog.CatalogError, match="an archive without sha256 cannot have been verified"):
        catalog.load("pop909", written(tmp_path, content))


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(catalog.CatalogError, match="no dataset 'maestr'; did you mean 'maestro'"):
        catalog.load("maestr", FOLDER)
    with pytest.raises(catalog.CatalogError, match="valid: none"):
        catalog.load("maestro", tmp_path)
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(document()))
    with pytest.raises(catalog.CatalogError, match="name is 'maestro'; it must be the file's name, 'other'"):
        catalog.load("other", tmp_path)


def test_the_committed_schema_is_the_catalogs() -> None:
    assert (ROOT / "config/dataset.schema.json").read_text() == catalog.schema(), "run `make golden`"


def test_collections_of_music21_hold_as_many_pieces_as_their_entries_say() -> None:
    spec = importlib.util.find_spec("music21")
    assert spec is not None and spec.origin is not None
    corpus = Path(spec.origin).parent / "corpus"
    for name, collection in COLLECTIONS.items():
        files = [path for path in (corpus / collection.folder).iterdir() if path.suffix in collection.suffixes]
        count = len(files)
        if collection.format == "abc":
            count = sum(len(re.findall(r"^X:", path.read_text("latin-1"), re.MULTILINE)) for path in files)
        assert catalog.load(name, FOLDER).pieces == count, name


def test_the_fault_filtered_split_of_gtzan_is_whole() -> None:
    with open(ROOT / "config/splits/gtzan_fault_filtered.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["split"] for row in rows) == {"train": 443, "valid": 197, "test": 290}
    pieces = [row["piece"] for row in rows]
    assert len(set(pieces)) == 930
    assert all(re.fullmatch(r"genres/([a-z]+)/\1\.000\d\d", piece) for piece in pieces)
    genres = Counter((row["piece"].split("/")[1], row["split"]) for row in rows)
    assert len(genres) == 30 and min(genres.values()) >= 13


STUDY: dict[str, Any] = {
    "study": "x",
    "title": "X",
    "datasets": {"d": {"source": {"kind": "catalog", "name": "maestro"}}},
    "representations": {"remi": {"kind": "remi"}},
    "models": {"ngram": {"family": "ngram"}},
}


def loaded(**source: Any) -> study.Study:
    content = copy.deepcopy(STUDY)
    content["datasets"]["d"]["source"] = {"kind": "catalog", **source}
    return study.load(content, "x.yaml", datasets=FOLDER)


def test_a_study_that_names_an_entry_gets_its_source_split_and_licence() -> None:
    dataset = loaded(name="maestro").datasets["d"]
    entry = catalog.load("maestro", FOLDER)
    assert isinstance(dataset.source, ArchiveSource) and isinstance(entry.source, ArchiveSource)
    assert dataset.source == entry.source.model_copy(update={"licence": "CC-BY-NC-SA-4.0"})
    assert dataset.split.kind == "official"
    assert dataset.catalog == "maestro"
    assert loaded(name="palestrina").datasets["d"].source == catalog.load("palestrina", FOLDER).source


def test_what_the_study_says_goes_before_the_entry() -> None:
    content = copy.deepcopy(STUDY)
    content["datasets"]["d"]["split"] = {"kind": "family", "valid": 0.2}
    content["datasets"]["d"]["source"]["include"] = ["*/2018/*.midi"]
    dataset = study.load(content, "x.yaml", datasets=FOLDER).datasets["d"]
    assert dataset.split.kind == "family" and dataset.split.valid == 0.2
    assert isinstance(dataset.source, ArchiveSource)
    assert dataset.source.include == ["*/2018/*.midi"]
    assert dataset.source.labels is not None
    dataset = loaded(name="maestro", labels=None).datasets["d"]
    assert isinstance(dataset.source, ArchiveSource) and dataset.source.labels is None


def test_a_place_on_this_machine_stands_for_the_download(tmp_path: Path) -> None:
    folder = loaded(name="giantmidi_piano", path=str(tmp_path)).datasets["d"].source
    assert isinstance(folder, FolderSource)
    assert (folder.path, folder.licence) == (str(tmp_path), "CC-BY-4.0")
    archive = loaded(name="maestro", path="my/maestro.zip").datasets["d"].source
    assert isinstance(archive, ArchiveSource)
    assert (archive.path, archive.addresses, archive.sha256) == ("my/maestro.zip", [], None)
    assert archive.include == ["*.midi"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"name": "maestr"}, "datasets.d.source: .*no dataset 'maestr'; did you mean 'maestro'"),
        ({"name": "giantmidi_piano"}, r"datasets.d.source: giantmidi_piano cannot be downloaded: .*Then say `path:"),
        ({"name": "essen", "path": "x"}, "datasets.d.source: essen comes with music21: give its name alone"),
        ({}, "datasets.d.source.name: Field required"),
        ({"name": "maestro", "colour": "red"}, "datasets.d.source.colour: Extra inputs"),
        ({"name": "maestro", "format": "midy"}, "datasets.d.source.format: no format 'midy'"),
        ({"name": "maestro", "path_labels": "a(b"}, "datasets.d.source.path_labels: no regular expression"),
        ({"name": "maestro", "path_labels": "a(b)"}, "datasets.d.source.path_labels: it names no group"),
    ],
)
def test_mistakes_in_naming_an_entry_are_told_with_their_key(source: dict[str, Any], told: str) -> None:
    with pytest.raises(study.StudyError, match=told):
        loaded(**source)


@pytest.mark.parametrize("datasets", [None, [], "maestro", {"d": None}, {"d": {"source": None}}])
def test_a_document_without_datasets_is_left_to_the_studys_own_validation(datasets: Any) -> None:
    with pytest.raises(study.StudyError, match="datasets"):
        study.load(STUDY | {"datasets": datasets}, "x.yaml", datasets=FOLDER)


LAYOUTS = {
    "asap": "asap",
    "nottingham": "nottingham",
    "openewld": "openewld",
    "piano_midi_de": "pianomidi",
    "pop909": "pop909",
    "symbtr": "symbtr",
    "vgmidi": "vgmidi",
    "weimar_jazz": "wjd",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_by_path_fit_real_archives(name: str) -> None:
    path = SHARED / "data" / f"{LAYOUTS[name]}.zip"
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand")
    source = catalog.load(name, FOLDER).source
    assert isinstance(source, Content) and source.path_labels
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        table = next(entry for entry in names if entry.endswith("labels.csv"))
        rows = {row["path"]: row for row in csv.DictReader(archive.read(table).decode().splitlines())}
    # A subset has its own folders: what counts is the folders and names below them.
    music = [entry for entry in names if entry in rows]
    content = Content(include=[pattern.removeprefix("*/labelled/midi/") for pattern in source.include])
    assert [entry for entry in music if not included(entry, content)] == []
    found = path_labels(source.path_labels, music)
    assert len(found) >= 0.995 * len(music), sorted(set(music) - found.keys())[:5]
    groups = {path: dict(labels).get("group") for path, labels in found.items()}
    if name in ("asap", "openewld", "pop909", "symbtr", "vgmidi"):
        pairs = {(group, rows[path]["group"]) for path, group in groups.items() if group}
        assert len(pairs) > 5
        assert len({mine for mine, _ in pairs}) == len(pairs) == len({group for _, group in pairs})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dalsegno", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_listing_has_a_line_for_every_dataset() -> None:
    done = run("datasets")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["name", "modality", "pieces", "size", "licence", "verified", "split"]
    assert [line.split()[0] for line in lines] == NAMES
    maestro = next(line for line in lines if line.startswith("maestro "))
    assert maestro.split() == ["maestro", "notes", "1,276", "58.4", "MB", "CC-BY-NC-SA-4.0", "no", "official"]
    assert all(len(line) <= 120 for line in lines)


def test_a_card_tells_licence_defects_and_what_nobody_checked() -> None:
    done = run("datasets", "show", "symbtr")
    assert done.returncode == 0, done.stderr
    card = " ".join(done.stdout.split())
    for told in (
        "177 MIDI files hold no notes",
        "Allows redistribution, derivatives; not commercial use.",
        "Karaosmanoğlu",
        "SHA-256 unknown: the first fetch prints it",
        "read, not checked on the data itself",
    ):
        assert told in card, told
    assert "617 of 732 songs say 1/4" in " ".join(cards.card(catalog.load("pop909", FOLDER)).split())
    assert "not verified" not in cards.card(catalog.load("essen", FOLDER))


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["show", "symbt"], 1, "did you mean 'symbtr'?"),
        (["show"], 2, "datasets show NAME"),
        (["check", "symbtr"], 2, "datasets show NAME"),
    ],
)
def test_the_command_says_what_it_wants(arguments: list[str], status: int, told: str) -> None:
    done = run("datasets", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


def test_all_entries_are_checked_at_once() -> None:
    done = run("datasets", "check")
    assert (done.returncode, done.stdout) == (0, f"{len(NAMES)} entries are valid, 0 are not\n")
    json.loads(run("schema", "dataset").stdout)
