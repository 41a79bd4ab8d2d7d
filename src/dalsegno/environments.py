"""The conda environments that follow from the lock, so that there is one truth about versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ACCELERATORS = {"cpu": "", "cuda": "cuda12", "tpu": "tpu"}
"""Environment name -> extra of JAX."""


def pins(lock: Path) -> dict[str, str]:
    """`{package: version}` of the lock for Python 3.11."""
    found = {}
    for line in Path(lock).read_text().splitlines():
        match = re.match(r"^([a-z0-9-]+)==(\S+)(?: ; (.*?))? \\$", line)
        if match and ">= '3.12'" not in (match[3] or "") and "emscripten" not in (match[3] or ""):
            found[match[1]] = match[2]
    return found


def render(lock: Path, project: Path) -> dict[str, str]:
    """`{file name: content}` of `envs/*.yaml`: the project's own dependencies, as the lock pins them."""
    versions = pins(lock)
    declared = tomllib.loads(Path(project).read_text())["project"]["dependencies"]
    names = sorted(re.split(r"[=<>\[ ]", name)[0].replace("_", "-") for name in declared)
    files = {}
    for accelerator, extra in ACCELERATORS.items():
        wanted = [
            f"{name}{f'[{extra}]' if extra and name == 'jax' else ''}=={versions[name]}" for name in [*names, "jaxlib"]
        ]
        lines = [
            "# Made from envs/lock.txt by `make golden`; a test keeps the two in step.",
            f"name: dalsegno-{accelerator}",
            "channels:",
            "  - conda-forge",
            "  - nodefaults",
            "dependencies:",
            "  - python=3.11",
            "  - pip",
            "  - pip:",
            *(f"      - {name}" for name in sorted(wanted)),
        ]
        files[f"{accelerator}.yaml"] = "\n".join(lines) + "\n"
    return files
