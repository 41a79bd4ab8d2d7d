"""Datasets from addresses, archives and folders, of notes, sound and features: a YAML entry each, no code."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from dalsegno.data import families
from dalsegno.data.options import CORPUS_FILES
from tests.unit.webserver import serving
from tests.workflow.conftest import STUDY, copy_project, write_tunes

LABELS = {"file": "music/labels.csv", "group": "author"}


def pack(folder: Path, archive: Path) -> None:
    """Zip a folder of tunes with a table of labels, two tunes an author."""
    tunes = sorted(folder.glob("*.mid"))
    with zipfile.ZipFile(archive, "w") as file:
        for tune in tunes:
            file.write(tune, f"music/{tune.name}")
        rows = [f"music/{tune.name},{'reel' if i % 2 else 'jig'},a{i // 2}" for i, tune in enumerate(tunes)]
        file.writestr("music/labels.csv", "\n".join(["path,dance,author", *rows, ""]))


def test_an_archive_by_address_and_from_this_machine(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    pack(project.root / "tunes", tmp_path / "tunes.zip")
    cache = {"DALSEGNO_CACHE": str(tmp_path / "cache")}
    corpus, split = "results/corpora/tunes", "results/splits/tunes/split.csv"

    def study(**source: object) -> None:
        dataset = {"source": {"kind": "archive", "labels": LABELS, **source}, "split": {"kind": "family"}}
        project.write_study({**STUDY, "datasets": {"tunes": dataset}})

    content = (tmp_path / "tunes.zip").read_bytes()
    with serving() as site:
        address = site.at("/tunes.zip", lambda request: request.send("200 OK", content))
        study(addresses=[address])
        output = project.snakemake(split, **cache)
        assert "sha256" in output, "the first fetch says which hash to record"
        assert project.jobs(split) == set()
    pieces = pq.read_table(project.root / corpus / "pieces.parquet")["piece"].to_pylist()
    assert pieces == [f"music/tune{i:02d}" for i in range(24)]
    labels = pq.read_table(project.root / corpus / "labels.parquet").to_pylist()
    assert [row["value"] for row in labels if row["label"] == "dance"] == ["jig", "reel"] * 12
    with open(project.root / split, newline="") as file:
        families = {row["piece"]: row["family"] for row in csv.DictReader(file)}
    assert all(families[f"music/tune{i:02d}"] == families[f"music/tune{i + 1:02d}"] for i in range(0, 24, 2))

    # The server is gone; the same bytes from this machine are no other music.
    made = (project.root / corpus / "notes.parquet").read_bytes()
    study(path=str(tmp_path / "tunes.zip"))
    project.snakemake(split, **cache)
    assert (project.root / corpus / "notes.parquet").read_bytes() == made
    assert project.jobs(split) == set()


def test_a_study_of_data_alone_with_recordings_and_a_table_of_features(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    (project.root / "clips").mkdir()
    rows = ["path,genre,artist"]
    for i in range(8):
        sound = np.sin(np.arange(8000) * 0.05 * (i // 2 + 1)) * 0.5
        soundfile.write(project.root / f"clips/c{i}.{'flac' if i % 2 else 'wav'}", sound, 16_000)
        rows.append(f"c{i}.{'flac' if i % 2 else 'wav'},{'rock' if i % 2 else 'jazz'},a{i // 4}x{i % 4 // 2}")
    (project.root / "clips/torn.wav").write_bytes((project.root / "clips/c0.wav").read_bytes()[:-9])
    (project.root / "clips/labels.csv").write_text("\n".join([*rows, ""]))
    table = "clip,x,y,genre\n" + "".join(f"c{i},{i // 2},{i // 2},rock\n" for i in range(8)) + "c8,nan,1,rock\n"
    with zipfile.ZipFile(project.root / "table.zip", "w") as file:
        file.writestr("f/features.csv", table)
    share = {"kind": "family", "valid": 0.25, "test": 0.25}
    clips = {"kind": "folder", "path": "clips", "modality": "audio", "labels": {"group": "artist"}}
    options = {"piece": "clip", "labels": ["genre"]}
    features = {"kind": "archive", "path": "table.zip", "modality": "table", "options": options}
    project.write_study(
        {
            "study": "tiny",
            "title": "Data alone",
            "datasets": {"clips": {"source": clips, "split": share}, "features": {"source": features, "split": share}},
        }
    )
    project.snakemake()
    assert project.jobs() == set()
    results = project.root / "results"
    for dataset, found, rejected in (("clips", 8, 2), ("features", 8, 1)):
        assert pq.read_table(results / f"corpora/{dataset}/pieces.parquet").num_rows == found
        assert len((results / f"corpora/{dataset}/rejects.csv").read_text().splitlines()) == 1 + rejected
        with open(results / f"splits/{dataset}/split.csv", newline="") as file:
            split = list(csv.DictReader(file))
        assert {row["split"] for row in split} == {"train", "valid", "test"}
        assert {row["clean"] for row in split} == {"true"}, "equal pieces and artists stand on one side"
        assert len({row["family"] for row in split}) == 4
    page = (results / "studies/tiny/report.html").read_text()
    assert "Leaderboard" not in page and "Largest families" in page
    assert (results / "studies/tiny/metrics.csv").read_text().count("\n") == 1
    assert json.loads((results / "studies/tiny/snapshot.json").read_text())


ENTRY = """\
name: {name}
title: Tunes of a test
homepage: https://example.org/tunes
source:
  kind: archive
  addresses: ["{address}"]
  sha256: {sha256}
  include: ["*.mid"]
  labels: {{file: music/labels.csv, group: author}}
licence: {{name: CC0-1.0, allows: [commercial, redistribution, derivatives]}}
citation: Nobody, 2026
labels: dance and author, in the archive's table
group: the author
split: {{kind: family, valid: 0.2, test: 0.2}}
split_policy: by author
defects: none known
unverified: false
facts: {{source.addresses: this test, source.sha256: this test, source.labels: this test, licence: this test}}
"""


def test_a_catalog_entry_of_ones_own_and_a_folder_with_a_table_of_labels(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    pack(project.root / "tunes", tmp_path / "tunes.zip")
    with zipfile.ZipFile(tmp_path / "tunes.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    content = (tmp_path / "tunes.zip").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    cache = {"DALSEGNO_CACHE": str(tmp_path / "cache")}

    def enter(name: str, address: str) -> None:
        text = ENTRY.format(name=name, address=address, sha256=sha256)
        (project.root / f"config/datasets/{name}.yaml").write_text(text)

    folder = {"kind": "folder", "path": str(tmp_path / "unpacked"), "labels": LABELS}
    datasets = {"fetched": {"source": {"kind": "catalog", "name": "mine"}}, "folder": {"source": folder}}
    splits = [f"results/splits/{name}/split.csv" for name in datasets]
    with serving() as site:
        enter("mine", site.at("/tunes.zip", lambda request: request.send("200 OK", content)))
        project.write_study({"study": "tiny", "title": "Own data", "datasets": datasets})
        project.snakemake(*splits, **cache)
        assert [path for path, _ in site.requests] == ["/tunes.zip"]

    corpora = [project.root / f"results/corpora/{name}" for name in datasets]
    for name in ("notes.parquet", "labels.parquet"):
        assert (corpora[0] / name).read_bytes() == (corpora[1] / name).read_bytes(), "a folder is the same music"
    labels = pq.read_table(corpora[0] / "labels.parquet").to_pylist()
    assert sum(row["label"] == "dance" for row in labels) == sum(row["label"] == "group" for row in labels) == 24
    for path in splits:
        with open(project.root / path, newline="") as file:
            assert {row["clean"] for row in csv.DictReader(file)} == {"true"}

    # An address that nobody serves, and a file that somebody has brought: it is taken by its hash, whatever its name.
    seed = tmp_path / "other/seed/from a friend"
    seed.mkdir(parents=True)
    (seed / "x.bin").write_bytes(content)
    enter("elsewhere", "http://127.0.0.1:9/gone.zip")
    again = {"seeded": {"source": {"kind": "catalog", "name": "elsewhere"}}}
    project.write_study({"study": "tiny", "title": "Own data", "datasets": again})
    project.snakemake("results/splits/seeded/split.csv", DALSEGNO_CACHE=str(tmp_path / "other"), DALSEGNO_OFFLINE="1")
    made = project.root / "results/corpora/seeded/notes.parquet"
    assert made.read_bytes() == (corpora[0] / "notes.parquet").read_bytes()


def test_the_number_of_jobs_follows_shards_and_not_files(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    tune = "X:{0}\nT:tune {0}\nM:3/4\nL:1/8\nK:Gmin\n|: GABc dd | {1}3 B3 | cdcB {1}2 :|\n"
    for book in range(3):
        text = "\n".join(tune.format(number, "AGFE"[(book + number) % 4]) for number in range(4))
        (project.root / f"tunes/book{book}.abc").write_text(text)
    (project.root / "tunes/torn.mid").write_bytes((project.root / "tunes/tune00.mid").read_bytes()[:-9])

    def study(**sharded: int) -> None:
        source = {"kind": "folder", "path": "tunes"}
        datasets = {name: {"source": source, "shards": count} for name, count in sharded.items()}
        project.write_study({"study": "tiny", "title": "Shards", "datasets": datasets})

    study(one=1, three=3)
    parsing = {f"shard dataset=three, shard={number}of3" for number in (1, 2, 3)}
    assert {job for job in project.jobs() if "shard" in job} == parsing
    write_tunes(project.root / "more", count=90)
    for number, file in enumerate(sorted((project.root / "more").iterdir())):
        file.rename(project.root / f"tunes/more{number:02d}.mid")
    assert {job for job in project.jobs() if "shard" in job} == parsing
    project.snakemake("data", "results/families/three/pairs.csv", "results/families/one/pairs.csv")
    results = project.root / "results"
    assert pq.read_table(results / "corpora/one/pieces.parquet").num_rows == 24 + 90 + 3 * 4
    for stage, names in (("corpora", CORPUS_FILES["notes"]), ("families", families.FILES)):
        for name in names:
            made = [(results / stage / dataset / name).read_bytes() for dataset in ("one", "three")]
            assert made[0] == made[1], name
    # Another number of shards parses anew; what was one corpus stays one.
    study(one=1, three=2)
    assert {job for job in project.jobs() if job.startswith(("shard", "corpus"))} == {
        "shard dataset=three, shard=1of2",
        "shard dataset=three, shard=2of2",
        "corpus dataset=three",
    }
