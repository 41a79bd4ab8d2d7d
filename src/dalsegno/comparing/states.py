"""What can be compared: a results folder, a baseline file or a git revision, read into one form."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dalsegno import provenance
from dalsegno.gate import snapshot
from dalsegno.gate.snapshot import BaselineError, Snapshot

SOURCES = ("config/baselines", "config/studies", "src", "workflow/scripts", "envs/lock.txt")


class StateError(ValueError):
    """What was asked for cannot be read; the message says what to do."""


@dataclass(frozen=True)
class State:
    """One side of a comparison.

    Attributes:
        name: as it was asked for; about: what it turned out to be.
        snapshots: by study; where there are none, there are no numbers.
        documents: by study, what its file states (revisions only).
        modules: module or script -> digest; of the whole tree for a revision, of what ran for results.
        libraries: name -> version.
        whole: whether `modules` and `libraries` are all there are, and not only what some results needed.
    """

    name: str
    about: str
    snapshots: Mapping[str, Snapshot]
    modules: Mapping[str, str]
    libraries: Mapping[str, str]
    documents: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False


def read(name: str, root: Path = Path(), results: Path = Path("results")) -> State:
    """A state by its name: a folder or file that exists, or else a git revision.

    Args:
        root: the git work tree.
        results: where results of a revision may lie.

    Raises:
        StateError: nothing has this name, or it holds nothing that compares.
    """
    path = Path(name)
    try:
        if path.is_dir():
            return _of_snapshots(name, "results", _in_folder(path))
        if path.is_file():
            one = _of_file(path)
            return _of_snapshots(name, f"baseline of {one.study}", {one.study: one})
        return _of_revision(name, root, results)
    except BaselineError as error:
        raise StateError(str(error)) from None


def _in_folder(path: Path) -> dict[str, Snapshot]:
    """The studies of a results folder, or the one of a study's folder in it."""
    files = (
        [path / "snapshot.json"] if (path / "snapshot.json").exists() else sorted(path.glob("studies/*/snapshot.json"))
    )
    if not files:
        raise StateError(
            f"{path} holds no studies/<study>/snapshot.json: `make gate STUDY=…` writes it where the results lie"
        )
    return {file.parent.name: snapshot.read(file, file.parent.name) for file in files}


def _of_file(path: Path) -> Snapshot:
    try:
        study = json.loads(path.read_text(encoding="utf-8"))["study"]
    except (ValueError, KeyError, TypeError, OSError):
        raise StateError(f"{path} is no baseline: it has no `study`; give a file of config/baselines/") from None
    return snapshot.read(path, study)


def _of_snapshots(name: str, about: str, snapshots: Mapping[str, Snapshot]) -> State:
    modules: dict[str, str] = {}
    libraries: dict[str, str] = {}
    for one in snapshots.values():
        modules |= one.modules
        libraries |= {library: ", ".join(versions) for library, versions in one.environment.libraries.items()}
    return State(name, about, snapshots, modules, libraries)


def _of_revision(name: str, root: Path, results: Path) -> State:
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    if not commit:
        raise StateError(
            f"{name!r} is no folder, no file and no git revision here: give a results folder, a baseline, or what "
            "`git rev-parse` understands (in a shallow clone, fetch the commit first)"
        )
    texts = _texts(root, commit)
    documents, snapshots = {}, {}
    for path, text in texts.items():
        if path.startswith("config/studies/") and path.endswith((".yaml", ".yml")):
            document = yaml.safe_load(text)
            documents[str(document.get("study", Path(path).stem))] = document
        elif path.startswith("config/baselines/") and path.endswith(".json"):
            study = Path(path).stem
            snapshots[study] = snapshot.parse(text, f"{name}:{path}", study)
    sources = [f"baseline of {study}" for study in snapshots]
    for study in _made_at(commit, results):
        snapshots[study] = snapshot.read(results / "studies" / study / "snapshot.json", study)
        sources = [source for source in sources if source != f"baseline of {study}"] + [f"results of {study}"]
    subject = _git(root, "show", "--no-patch", "--format=%h %cs %s", commit).decode().strip()
    return State(
        name,
        f"revision {subject}; {', '.join(sorted(sources)) or 'no baseline and no results, so no numbers'}",
        snapshots,
        {_module(path): provenance.code_digest(text) for path, text in texts.items() if path.endswith(".py")},
        pins(texts.get("envs/lock.txt", "")),
        documents,
        whole=True,
    )


def pins(lock: str) -> dict[str, str]:
    """Name and version of every library that a lock file pins; several versions where systems need different ones."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE):
        found.setdefault(name, []).append(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _made_at(commit: str, results: Path) -> Iterable[str]:
    """The studies whose results in the folder were judged at a commit without other changes."""
    for path in sorted(results.glob("studies/*/gate/run.json")):
        git = json.loads(path.read_text())["git"]
        if git == {"commit": commit, "dirty": False}:
            yield path.parent.parent.name


def _texts(root: Path, commit: str) -> dict[str, str]:
    """The text files of a revision that shape results."""
    listed = _git(root, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *SOURCES).decode()
    entries = [entry.partition("\t") for entry in listed.split("\0") if entry]
    wanted = {
        path: meta.split()[2] for meta, _, path in entries if path.endswith((".py", ".json", ".yaml", ".yml", ".txt"))
    }
    answer = _git(root, "cat-file", "--batch", given="\n".join(wanted.values()) + "\n")
    texts, at = {}, 0
    for path in wanted:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].split()[2])
        texts[path] = answer[end + 1 : end + 1 + size].decode()
        at = end + size + 2
    return texts


def _module(path: str) -> str:
    """The name of a file in a code map: its module, or a script's own path."""
    if not path.startswith("src/"):
        return path
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _git(root: Path, *arguments: str, given: str | None = None) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            input=None if given is None else given.encode(),
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StateError(f"git does not answer: {error}") from None
    return done.stdout
