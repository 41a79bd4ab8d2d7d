"""The GitHub workflows: valid, pinned, with few rights; and the checks that say so can fail."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def check(program: str, *arguments: str | Path) -> int:
    path = Path(sys.executable).with_name(program)
    return subprocess.run([path, *arguments], capture_output=True, cwd=ROOT).returncode


def valid(path: Path) -> bool:
    return check("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path) == 0


def safe(path: Path) -> bool:
    return check("zizmor", "--offline", "--quiet", "--no-progress", path) == 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_valid_and_safe(path: Path) -> None:
    assert valid(path) and safe(path)


@pytest.mark.parametrize(
    ("old", "new", "checked"),
    [
        ("timeout-minutes", "timeout-minuets", valid),
        (r"@[0-9a-f]{40} # v6\.0\.1", "@v6", safe),
        (r"permissions:\n      contents: read", "permissions: write-all", safe),
        ("run: make install", "run: echo ${{ github.event.pull_request.title }}", safe),
    ],
    ids=["unknown key", "unpinned action", "all rights", "injection"],
)
def test_the_checks_can_fail(old: str, new: str, checked: Any, tmp_path: Path) -> None:
    text = (ROOT / ".github/workflows/quality.yml").read_text()
    changed = re.sub(old, new, text)
    assert changed != text
    (tmp_path / ".github/workflows").mkdir(parents=True)
    path = tmp_path / ".github/workflows/quality.yml"
    path.write_text(text)
    assert checked(path)
    path.write_text(changed)
    assert not checked(path)


def jobs() -> list[tuple[str, dict[str, Any]]]:
    documents = [(path.name, yaml.safe_load(path.read_text())) for path in WORKFLOWS]
    return [(f"{name} {job}", own) for name, document in documents for job, own in document["jobs"].items()]


def test_every_job_ends_and_only_one_may_write() -> None:
    assert all("timeout-minutes" in own and "permissions" in own for _, own in jobs())
    writing = {name: own for name, own in jobs() if "write" in own["permissions"].values()}
    assert writing.keys() == {"quality.yml comment"}
    # What may write runs nothing of the pull request.
    steps = writing["quality.yml comment"]["steps"]
    assert not any("run" in step or "checkout" in step.get("uses", "") for step in steps)
    for path in WORKFLOWS:
        document = yaml.safe_load(path.read_text())
        assert document["permissions"] == {} and "concurrency" in document


def test_every_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    asked = {
        target
        for _, own in jobs()
        for step in own["steps"]
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))
    }
    assert asked and asked <= targets
