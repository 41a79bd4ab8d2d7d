"""Every archive of real music at hand becomes a corpus with its labels, groups, families and split, in one study of data alone."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.workflow.conftest import ROOT, copy_project

SHARED = Path(os.getenv("DALSEGNO_SHARED") or ROOT.parent / "shared") / "data"

COUNTS = {
    "asap": 378,
    "groove": 1021,
    "gtzan_clips": 2,
    "gtzan_features": 1000,
    "jsb": 382,
    "nottingham": 800,
    "openewld": 434,
    "pianomidi": 333,
    "polyphonic": 2326,
    "pop909": 732,
    "symbtr": 1577,
    "vgmidi": 139,
    "wjd": 203,
}
"""Pieces that the description of each archive promises."""

ENTRIES = {
    "asap": "asap",
    "groove": "groove",
    "gtzan_clips": "gtzan",
    "gtzan_features": "gtzan_features",
    "jsb": "jsb",
    "nottingham": "nottingham",
    "openewld": "openewld",
    "pianomidi": "piano_midi_de",
    "pop909": "pop909",
    "symbtr": "symbtr",
    "vgmidi": "vgmidi",
    "wjd": "weimar_jazz",
}
"""The catalog's entry of each archive; the four sets of piano rolls have one each and are read as one here."""

TABLES = {"vgmidi": "vgmidi_emotion/labels.csv"}


def source(name: str) -> dict[str, Any]:
    """The source of one archive, with the archive's own table of labels where it has one."""
    path = str(SHARED / f"{name}.zip")
    if name == "polyphonic":
        return {"kind": "archive", "path": path, "options": {"frames_per_quarter": 4}}
    made: dict[str, Any] = {"kind": "catalog", "name": ENTRIES[name], "path": path}
    if name == "vgmidi":
        made["include"] = ["*.mid"]
    rows = labels(name)
    if rows and name != "jsb":
        made["labels"] = {"file": table(name), "group": "group"}
    return made


def table(name: str) -> str:
    return TABLES.get(name, f"{name}/labels.csv")


def labels(name: str) -> list[dict[str, str]]:
    """The rows of an archive's labels.csv; none where it has no such table."""
    with zipfile.ZipFile(SHARED / f"{name}.zip") as archive:
        if table(name) not in archive.namelist():
            return []
        return list(csv.DictReader(io.StringIO(archive.read(table(name)).decode())))


@pytest.mark.slow
def test_all_archives_build(tmp_path: Path) -> None:
    if lacking := [name for name in COUNTS if not (SHARED / f"{name}.zip").exists()]:
        pytest.skip(f"no real music at hand: {SHARED} lacks {', '.join(lacking)}")
    project = copy_project(tmp_path / "p")
    datasets: dict[str, Any] = {name: {"source": source(name), "max_rejects": 0.0} for name in COUNTS}
    datasets["polyphonic"]["split"] = {"kind": "official"}
    # Two clips are no split of three.
    datasets["gtzan_clips"]["split"] = {"kind": "family"}
    project.write_study({"study": "tiny", "title": "All archives", "datasets": datasets})
    divided = [f"results/splits/{name}/split.csv" for name in COUNTS if name != "gtzan_clips"]
    project.snakemake(*divided, "results/families/gtzan_clips/pairs.csv")

    for name, count in COUNTS.items():
        corpus = project.root / "results/corpora" / name
        pieces = pq.read_table(corpus / "pieces.parquet", columns=["piece", "source"]).to_pylist()
        assert len(pieces) == count, name
        with open(corpus / "rejects.csv", newline="") as file:
            rejects = list(csv.DictReader(file))
        assert all(row["stage"] == "list" for row in rejects), (name, rejects[:3])
        found = Counter[str]()
        for row in pq.read_table(corpus / "labels.parquet").to_pylist():
            found[row["label"]] += 1
        given = given_labels(corpus)
        check_labels(name, pieces, given)
        if name in ("jsb", "polyphonic"):
            assert found["split"] == count
        if name.startswith("gtzan"):
            assert found["genre"] == count
        if name != "gtzan_clips":
            check_split(project.root / "results/splits" / name / "split.csv", official=name in ("jsb", "polyphonic"))


def given_labels(corpus: Path) -> dict[int, dict[str, str]]:
    """Label -> value of each piece."""
    rows: dict[int, dict[str, str]] = {}
    for row in pq.read_table(corpus / "labels.parquet").to_pylist():
        rows.setdefault(row["piece"], {})[row["label"]] = row["value"]
    return rows


def check_labels(name: str, pieces: list[dict], given: dict[int, dict[str, str]]) -> None:
    """Every cell of the archive's table stands at its piece."""
    by_path = {piece["source"]: given.get(number, {}) for number, piece in enumerate(pieces)}
    rows = [row for row in labels(name) if name != "jsb"]
    assert not rows or {row["path"] for row in rows} == by_path.keys(), name
    for row in rows:
        told = {label: value for label, value in row.items() if value and label != "path"}
        assert told.items() <= by_path[row["path"]].items(), (name, row)


def check_split(path: Path, official: bool) -> None:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} >= {"train", "valid", "test"}
    crossing = sum(row["clean"] == "false" for row in rows)
    assert official or not crossing, path


def test_the_cards_name_the_known_defects(tmp_path: Path) -> None:
    from dalsegno.data import cards, catalog

    told = {name: cards.card(catalog.load(name, ROOT / "config/datasets")) for name in ("pop909", "symbtr")}
    assert "time signatures" in told["pop909"] and "unreliable" in told["pop909"]
    assert "hold no notes" in told["symbtr"]
