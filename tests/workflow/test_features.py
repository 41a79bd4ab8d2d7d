"""Features as a stage: in jobs whose number is the study's, run again for their own changes alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from tests.workflow.conftest import copy_project

SHARE = {"kind": "family", "valid": 0.25, "test": 0.25}


def write_clips(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    rows = ["path,genre"]
    for i in range(count):
        time = np.arange(16_000) / 8000
        sound = 0.5 * np.sin(2 * np.pi * 220 * (1 + i) * time) * (1 if i % 2 else (time * 4) % 1)
        soundfile.write(folder / f"c{i}.wav", sound, 8000)
        rows.append(f"c{i}.wav,{'drone' if i % 2 else 'beat'}")
    (folder / "labels.csv").write_text("\n".join([*rows, ""]))


def test_features_are_a_stage(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    write_clips(project.root / "clips", 8)
    study = {
        "study": "sounds",
        "title": "Sounds",
        "datasets": {
            "clips": {
                "source": {"kind": "folder", "path": "clips", "modality": "audio", "labels": {}},
                "split": SHARE,
            },
        },
        "features": {
            "seconds": {"kind": "gtzan", "window": 1.0, "seconds": 3, "sample_rate": 8000},
            "mel": {"kind": "log_mel", "bands": 20, "sample_rate": 8000, "seconds": 2, "datasets": ["clips"]},
        },
    }
    project.write_study(study)
    project.snakemake()
    folder = project.root / "results/features"
    rows = pq.read_table(folder / "clips/seconds/features.parquet").to_pylist()
    with open(project.root / "results/splits/clips/split.csv", newline="") as file:
        splits = {row["piece"]: row["split"] for row in csv.DictReader(file)}
    assert len(rows) == 16 and all(row["split"] == splits[row["piece"]] for row in rows)
    page = (project.root / "results/studies/sounds/report.html").read_text()
    assert "clips · mel" in page and "by genre" in page

    study["features"]["mel"]["bands"] = 24
    project.write_study(study)
    assert project.jobs() == {"features_sequence dataset=clips, features=mel", "verdict", "report"}
    study["features"]["mel"]["bands"] = 20
    project.write_study(study)
    gtzan = project.root / "src/dalsegno/features/gtzan.py"
    gtzan.write_text(gtzan.read_text() + "\nCHANGED = 1\n")
    assert project.jobs() == {"features_table dataset=clips, features=seconds", "verdict", "report"}
