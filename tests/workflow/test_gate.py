"""A baseline is made, unchanged code passes at once, and a change that harms turns the gate red."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path

from .conftest import STUDY, Project, copy_project


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=gate", "-c", "user.email=gate@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def test_a_harmful_change_is_red_and_none_is_green(project: Project, tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "p")
    shutil.copytree(project.root / "results", clone.root / "results", dirs_exist_ok=True)
    # What is compiled already is not compiled again.
    shutil.copytree(project.root / ".cache/xla", clone.root / ".cache/xla")
    git(clone.root, "init", "-q")
    git(clone.root, "add", "-A")
    git(clone.root, "commit", "-qm", "before")
    assert "config/baselines/tiny.json does not exist" in clone.snakemake("gate", check=False)
    clone.snakemake("baseline")
    git(clone.root, "add", "-A")
    git(clone.root, "commit", "-qm", "baseline")
    assert clone.jobs() == {"verdict", "report"}
    assert "gate passed" in clone.snakemake("gate")

    harmful = copy.deepcopy(STUDY)
    harmful["models"]["lstm"]["training"]["learning_rate"] = 1e-6
    clone.write_study(harmful)
    output = clone.snakemake("gate", check=False)
    assert "gate failed" in output and "spec.model.training.learning_rate" in output
    found = json.loads((clone.root / "results/studies/tiny/gate.json").read_text())["verdicts"]
    assert {one["subject"] for one in found if one["status"] == "worse"} >= {"tunes-voices-lstm"}
    assert {one["status"] for one in found if one["subject"] == "tunes-voices-ngram"} == {"pass", "same"}
