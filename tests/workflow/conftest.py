"""A tiny study on music made here, run once in a copy of the project; the tests then ask what an edit would cause."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import symusic
import yaml

ROOT = Path(__file__).parents[2]

STUDY = {
    "study": "tiny",
    "title": "Tiny",
    "seeds": [0, 1],
    "datasets": {
        "tunes": {
            "source": {"kind": "folder", "path": "tunes", "licence": "CC0-1.0"},
            "split": {"kind": "family", "valid": 0.2, "test": 0.2},
        }
    },
    "representations": {"voices": {"kind": "voices"}, "remi": {"kind": "remi"}},
    "models": {
        "ngram": {"family": "ngram"},
        "lstm": {
            "family": "lstm",
            "config": {"features": 16, "layers": 1, "hidden": 16},
            "training": {"steps": 12, "batch_size": 2, "window": 16, "eval_every": 4, "warmup_steps": 2},
            "augmentation": {"transpose": 2},
        },
    },
    "samplers": {
        "free": {"count": 2, "bars": 3},
        "continued": {"count": 2, "bars": 3, "prompt_bars": 1, "temperature": 0.9},
    },
    "metrics": ["scale_consistency", "note_density", "embedding_frechet_distance"],
    "evaluation": {"resamples": 100},
    "encoder": {"dimensions": 2, "hidden": 8, "steps": 5, "batch_size": 4},
    "runs": [
        {"representations": ["voices"]},
        {"representations": ["remi"], "models": ["lstm"], "seeds": [0], "samplers": ["free"]},
    ],
    "gates": [{"metric": "nll", "split": "test", "model": "ngram", "representation": "voices", "max": 6.0}],
}


def write_tunes(folder: Path, count: int = 24) -> None:
    """Write `count` unlike four-part pieces of four bars as MIDI files."""
    folder.mkdir(parents=True)
    for index in range(count):
        random = np.random.default_rng(index)
        score = symusic.Score(480)
        score.tempos.append(symusic.Tempo(0, 100))
        score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
        for voice, middle in enumerate((72, 65, 58, 50)):
            track = symusic.Track(name="SATB"[voice])
            start = 0
            while start < 4 * 1920:
                duration = int(random.choice([240, 480, 960]))
                duration = min(duration, 4 * 1920 - start)
                pitch = middle + int(random.choice([-5, -3, -1, 0, 2, 4]))
                track.notes.append(symusic.Note(start, duration, pitch, 80))
                start += duration
            score.tracks.append(track)
        score.dump_midi(folder / f"tune{index:02d}.mid")


@dataclass
class Project:
    """A copy of the project in which a study can be run."""

    root: Path

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> str:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=900,
        )
        output = done.stdout + done.stderr
        if check:
            assert done.returncode == 0, output
        return output

    def command(self, *arguments: str) -> list[str]:
        program = Path(sys.executable).with_name("snakemake")
        return [str(program), "--configfile", "tiny.yaml", "--cores", "2", *arguments]

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root / "src"), **extra}

    def jobs(self, *arguments: str) -> set[str]:
        """The jobs that a run would start now, as `rule` or `rule wildcard=value`."""
        output = self.snakemake("--dry-run", *arguments)
        found: dict[str, str] = {}
        rule = ""
        for line in output.splitlines():
            if match := re.match(r"^(?:local)?rule (\w+):", line):
                rule = match[1]
            elif match := re.match(r"^    jobid: (\d+)", line):
                job = match[1]
                found[job] = rule
            elif match := re.match(r"^    wildcards: (.*)", line):
                found[job] = f"{rule} {match[1]}"
        return set(found.values()) - {"all"}

    def write_study(self, study: dict) -> None:
        (self.root / "tiny.yaml").write_text(yaml.safe_dump(study, sort_keys=False))

    def artifacts(self) -> dict[str, bytes]:
        """Every result but the records, which hold times."""
        files = sorted((self.root / "results").rglob("*"))
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in files
            if path.is_file() and path.name != "run.json"
        }


def copy_project(target: Path) -> Project:
    """The tracked files and those that git does not ignore, as a clone would hold them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    project = Project(target)
    project.write_study(STUDY)
    write_tunes(target / "tunes")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with the tiny study's results."""
    made = copy_project(tmp_path_factory.mktemp("project") / "p")
    made.snakemake()
    return made
