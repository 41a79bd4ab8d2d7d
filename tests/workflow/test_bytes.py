"""The same bytes twice: after kill -9 at several moments, from a cache, and beside an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from .conftest import Project, copy_project


def test_killed_runs_end_with_the_same_bytes(project: Project, tmp_path: Path) -> None:
    other = copy_project(tmp_path / "p")
    killed = 0
    # Moments are counted from the first trained run, so that some fall into training whatever the machine's speed.
    for delay in (0.5, 3.0, 6.0):
        run = subprocess.Popen(
            other.command(),
            cwd=other.root,
            env=other.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not (other.root / ".cache/resume").exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(delay)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            killed += 1
        run.wait()
    assert killed > 0
    other.snakemake()
    expected, found = project.artifacts(), other.artifacts()
    assert found.keys() == expected.keys()
    assert [name for name in expected if expected[name] != found[name]] == []


def test_a_cache_hit_equals_a_recompute(project: Project, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    first, second = copy_project(tmp_path / "1"), copy_project(tmp_path / "2")
    first.snakemake("data", "--cache", "corpus", "represent", SNAKEMAKE_OUTPUT_CACHE=str(cache))
    assert list(cache.iterdir())
    output = second.snakemake("data", "--cache", "corpus", "represent", SNAKEMAKE_OUTPUT_CACHE=str(cache))
    for name in ("corpora/tunes/notes.parquet", "representations/tunes/remi/tokens.safetensors"):
        assert f"Symlinking output file results/{name} from cache" in output, output
    expected = project.artifacts()
    for made in (first, second):
        found = {name: data for name, data in made.artifacts().items() if name.endswith((".parquet", ".safetensors"))}
        assert found
        assert {name: expected[name] for name in found} == found


def test_two_runs_in_one_folder_do_not_meet(project: Project) -> None:
    import fcntl

    with open(project.root / ".cache/run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another run is at work in this folder" in project.snakemake(check=False)
