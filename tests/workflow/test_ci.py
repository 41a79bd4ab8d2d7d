"""The path of a change through CI: a clone, restored results, what the change touches, red or green, the comment."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .conftest import STUDY, Project, copy_project

WHO = ["-c", "user.name=ci", "-c", "user.email=ci@example.org"]


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *WHO, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(project: Project, message: str) -> None:
    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", message)


def dalsegno(project: Project, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dalsegno", *arguments],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def restore(saved: Path, target: Path) -> None:
    """As a cache of CI restores: the content, with dates that say nothing."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(saved, target, copy_function=shutil.copyfile)
    for age, path in enumerate(sorted(target.rglob("*"), reverse=True)):
        os.utime(path, (1.7e9 + age, 1.7e9 + age))


def documented(project: Project) -> None:
    """A change of documentation and of comments, nothing else."""
    for name, text in (
        ("README.md", "\nA sentence more.\n"),
        ("docs/gate.md", "\nA sentence more.\n"),
        ("src/dalsegno/training/loop.py", "\n# a comment\n"),
        ("src/dalsegno/metrics/measure.py", "\n# a comment\n"),
        ("workflow/scripts/train.py", "\n# a comment\n"),
        ("tiny.yaml", "# a comment\n"),
    ):
        with open(project.root / name, "a") as file:
            file.write(text)


def test_documentation_and_comments_cost_no_job(project: Project, tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "clone")
    restore(project.root / "results", clone.root / "results")
    documented(clone)
    # The gate itself has no output: it reads the verdict aloud each time.
    assert clone.jobs("gate") == {"gate"}


def test_the_cost_is_told_before_anything_runs(project: Project, tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "clone")
    restore(project.root / "results", clone.root / "results")
    study = copy.deepcopy(STUDY)
    study["gates"][0]["max"] = 7.0
    clone.write_study(study)
    output = clone.snakemake("results/studies/tiny/gate.json")
    assert output.index("1 job to run: gate 1 (") < output.index("rule verdict")
    assert " on 2 cores" in output
    assert "to run:" not in clone.snakemake("results/studies/tiny/gate.json")


def harmed(project: Project) -> None:
    study = copy.deepcopy(STUDY)
    study["models"]["lstm"]["training"]["learning_rate"] = 1e-6
    project.write_study(study)


@pytest.mark.slow
def test_the_whole_path(project: Project, tmp_path: Path) -> None:
    # main: the study's results, its baseline, and what CI keeps of them.
    main = copy_project(tmp_path / "main")
    restore(project.root / "results", main.root / "results")
    git(main.root, "init", "-q")
    commit(main, "study")
    main.snakemake("baseline")
    commit(main, "baseline")
    base = git(main.root, "rev-parse", "HEAD")
    assert "gate passed" in main.snakemake("gate")
    saved = tmp_path / "cache"
    shutil.copytree(main.root / "results", saved)

    def pull_request(name: str, change: Callable[[Project], None]) -> Project:
        subprocess.run(["git", "clone", "-q", main.root, tmp_path / name], check=True, capture_output=True)
        clone = Project(tmp_path / name)
        change(clone)
        commit(clone, name)
        restore(saved, clone.root / "results")
        return clone

    harmless = pull_request("documented", documented)
    assert harmless.jobs("gate") == {"gate"}
    output = harmless.snakemake("gate")
    assert "gate passed" in output and "rule train" not in output
    told = dalsegno(harmless, "compare", base, "results")
    assert "none moved beyond noise" in told and "No code module and no library differs" in told

    harmful = pull_request("harmful", harmed)
    jobs = harmful.jobs("gate")
    assert {job for job in jobs if job.startswith("train")} == {
        f"train run=tunes-{run}" for run in ("remi-lstm-s0", "voices-lstm-s0", "voices-lstm-s1")
    }
    output = harmful.snakemake("gate", check=False)
    assert "gate failed" in output
    summary = (harmful.root / "results/studies/tiny/gate.md").read_text()
    assert "failed" in summary.splitlines()[0] and "worse" in summary
    assert "spec.model.training.learning_rate: 0.002 -> 1e-06" in summary
    told = dalsegno(harmful, "compare", base, "results")
    assert "🔴 worse" in told and "learning\\_rate" in told and "1e-06" in told

    # A red gate is part of the history, too; each commit stands once.
    harmful.snakemake("gate", check=False)
    history = pq.read_table(harmful.root / "results/history.parquet").to_pylist()
    head = git(harmful.root, "rev-parse", "HEAD")
    assert {one["commit"] for one in history} == {base, head}
    rows = [one for one in history if one["commit"] == head]
    assert len(rows) == len(
        {(one["run"], one["model"], one["representation"], one["sampler"], one["split"], one["metric"]) for one in rows}
    )

    # Undone, it is green again, from what was restored.
    harmful.write_study(STUDY)
    commit(harmful, "undone")
    assert "gate passed" in harmful.snakemake("gate")
