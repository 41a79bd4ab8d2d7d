"""A dataset from an address and one from a local archive: a YAML entry each, no code."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pyarrow.parquet as pq

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
