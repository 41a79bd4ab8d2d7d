"""Datasets from addresses, archives and folders, of notes, sound and features: a YAML entry each, no code."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from tests.unit.webserver import serving
from tests.workflow.conftest import STUDY, copy_project

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
