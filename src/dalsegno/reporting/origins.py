"""Provenance for readers: what each artifact was asked for and which code it ran; no times, no hosts."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dalsegno.reporting.tables import digest

LIBRARIES = (
    "jax",
    "flax",
    "optax",
    "numpy",
    "scipy",
    "miditok",
    "symusic",
    "music21",
    "pyarrow",
    "matplotlib",
    "snakemake",
)


@dataclass(frozen=True)
class Origin:
    """One artifact: the digest of its `spec.json`, of its lock file, and the number of code modules it ran."""

    artifact: str
    spec: str
    lock: str
    modules: int


@dataclass(frozen=True)
class Module:
    """One version of one code module and how many artifacts ran it."""

    name: str
    digest: str
    artifacts: int


def origins(specs: Mapping[str, Path]) -> tuple[list[Origin], list[Module]]:
    """The artifacts, sorted, and every module version among them.

    Args:
        specs: artifact -> `spec.json` with the keys `spec`, `code` and `lock`.
    """
    found = []
    modules: dict[tuple[str, str], int] = {}
    for artifact, path in sorted(specs.items()):
        content = json.loads(Path(path).read_text())
        for item in content["code"].items():
            modules[item] = modules.get(item, 0) + 1
        found.append(Origin(artifact, digest(path), content["lock"], len(content["code"])))
    return found, [Module(*key, artifacts=number) for key, number in sorted(modules.items())]


def versions() -> list[tuple[str, str]]:
    """The libraries that shape results, with the versions that this report was made with."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    return [(name, importlib.metadata.version(name)) for name in LIBRARIES if name in installed]
