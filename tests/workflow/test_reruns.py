"""Exactly what changed is played again: an edit, and the set of jobs that it causes, neither more nor fewer."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from .conftest import STUDY, Project, copy_project

VOICES = ["tunes-voices-lstm-s0", "tunes-voices-lstm-s1", "tunes-voices-ngram-s0", "tunes-voices-ngram-s1"]
LSTM = ["tunes-remi-lstm-s0", "tunes-voices-lstm-s0", "tunes-voices-lstm-s1"]
NGRAM = ["tunes-voices-ngram-s0", "tunes-voices-ngram-s1"]
REMI = ["tunes-remi-lstm-s0"]
RUNS = sorted({*VOICES, *LSTM})
END = {"tables", "verdict", "report"}
DATASET = {
    "corpus dataset=tunes",
    "families dataset=tunes",
    "split dataset=tunes",
    "reference dataset=tunes",
    "encode dataset=tunes",
    "control dataset=tunes",
}


def samplers(run: str) -> list[str]:
    return ["free"] if run in REMI else ["continued", "free"]


def sampled(runs: list[str], which: tuple[str, ...] = ("continued", "free")) -> set[str]:
    pairs = [(run, sampler) for run in runs for sampler in samplers(run) if sampler in which]
    made = {f"{rule}_{s} run={run}" for rule in ("sample", "copying") for run, s in pairs}
    return made | measured(runs, which)


def measured(runs: list[str], which: tuple[str, ...] = ("continued", "free")) -> set[str]:
    return {f"measure run={run}, sampler={s}" for run in runs for s in samplers(run) if s in which}


def copying(runs: list[str]) -> set[str]:
    return {f"copying_{s} run={run}" for run in runs for s in samplers(run)}


def trained(runs: list[str]) -> set[str]:
    return {f"{rule} run={run}" for rule in ("train", "likelihood") for run in runs} | sampled(runs)


def represented(*names: str) -> set[str]:
    return {f"{rule} dataset=tunes, representation={name}" for rule in ("represent", "calibrate") for name in names}


EVERYTHING = DATASET | represented("voices", "remi") | trained(RUNS) | END


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text, f"{name} no longer holds {old!r}: choose another edit"
        (root / name).write_text(text.replace(old, new, 1))

    return edit


def appended(name: str, text: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        with open(root / name, "a") as file:
            file.write(text)

    return edit


def studied(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        study = copy.deepcopy(STUDY)
        change(study)
        (root / "tiny.yaml").write_text(yaml.safe_dump(study, sort_keys=False))

    return edit


CODE = "\n\n_EDITED = 1\n"
RENAMED_SEED = [run.replace("-s1", "-s2") for run in VOICES if run.endswith("s1")]

EDITS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a comment in the training loop": (appended("src/dalsegno/training/loop.py", "\n# a comment\n"), set()),
    "a docstring": (replaced("src/dalsegno/metrics/measure.py", '"""', '"""Reworded. '), set()),
    "reformatting": (replaced("src/dalsegno/data/split.py", "\n\n\n", "\n\n\n\n\n"), set()),
    "a comment in the study": (appended("tiny.yaml", "# a comment\n"), set()),
    "the order of keys in the study": (lambda root: sort_study(root), set()),
    "learning rate of one model": (
        studied(lambda s: s["models"]["lstm"]["training"].update(learning_rate=1e-3)),
        trained(LSTM) | END,
    ),
    "augmentation of the n-gram": (
        studied(lambda s: s["models"]["ngram"].update(augmentation={"transpose": 1})),
        trained(NGRAM) | END,
    ),
    "one seed more": (
        studied(lambda s: s.update(seeds=[0, 1, 2])),
        trained([run.replace("-s1", "-s2") for run in VOICES if run.endswith("-s1")]) | END,
    ),
    "one model more": (
        studied(lambda s: s["models"].update(smooth={"family": "ngram"})),
        trained(["tunes-voices-smooth-s0", "tunes-voices-smooth-s1"]) | END,
    ),
    "one metric more": (
        studied(lambda s: s["metrics"].append("pitch_range")),
        measured(RUNS) | {"control dataset=tunes"} | END,
    ),
    "the encoder": (
        studied(lambda s: s["encoder"].update(seed=1)),
        {"encode dataset=tunes", "control dataset=tunes"} | measured(RUNS) | END,
    ),
    "encoder code": (
        appended("src/dalsegno/embedding/fitting.py", CODE),
        {"encode dataset=tunes", "control dataset=tunes"} | measured(RUNS) | END,
    ),
    "sampler temperature": (
        studied(lambda s: s["samplers"]["continued"].update(temperature=0.8)),
        sampled(VOICES, ("continued",)) | END,
    ),
    "a sweep of decodings": (
        studied(lambda s: s.update(sweep={"temperature": [0.8, 0.95], "top_p": [0.9, 1.0], "count": 2, "bars": 3})),
        {
            f"{rule}_{name} run={run}" if rule != "measure" else f"measure run={run}, sampler={name}"
            for rule in ("sample", "copying", "measure")
            for name in ("sweep_t0_8", "sweep_t0_8_p0_9", "sweep_t0_95", "sweep_t0_95_p0_9")
            for run in VOICES
        }
        | END,
    ),
    "a gate": (studied(lambda s: s["gates"][0].update(max=5.0)), {"verdict", "report"}),
    "the title": (studied(lambda s: s.update(title="Tinier")), {"report"}),
    "resamples of the bootstrap": (
        studied(lambda s: s["evaluation"].update(resamples=200)),
        {f"likelihood run={run}" for run in RUNS} | measured(RUNS) | copying(RUNS) | {"control dataset=tunes"} | END,
    ),
    "another split": (
        studied(lambda s: s["datasets"]["tunes"]["split"].update(seed=1)),
        EVERYTHING - {"corpus dataset=tunes", "families dataset=tunes"},
    ),
    "one piece less": (lambda root: (root / "tunes/tune00.mid").unlink(), EVERYTHING),
    "option of one representation": (
        studied(lambda s: s["representations"]["remi"].update(max_bars=64)),
        represented("remi") | {"control dataset=tunes"} | trained(REMI) | END,
    ),
    "tokenizer code": (appended("src/dalsegno/representations/events.py", CODE), represented("remi") | {"control dataset=tunes"} | trained(REMI) | END),
    "metric code": (
        appended("src/dalsegno/metrics/measure.py", CODE),
        measured(RUNS) | {"control dataset=tunes"} | END,
    ),
    "model code": (appended("src/dalsegno/models/lstm.py", CODE), trained(LSTM) | END),
    "copying code": (
        appended("src/dalsegno/copying/passages.py", CODE),
        {f"calibrate dataset=tunes, representation={name}" for name in ("remi", "voices")} | copying(RUNS) | END,
    ),
    "verdict code": (appended("src/dalsegno/copying/judge.py", CODE), copying(RUNS) | END),
    "length of samples": (
        studied(lambda s: s["samplers"]["continued"].update(bars=2)),
        sampled(VOICES, ("continued",)) | {"calibrate dataset=tunes, representation=voices"} | copying(VOICES) | END,
    ),
    "code of a model that the study does not use": (appended("src/dalsegno/models/transformer.py", CODE), set()),
    "training loop": (appended("src/dalsegno/training/loop.py", CODE), trained(LSTM) | END),
    "family code": (appended("src/dalsegno/data/families.py", CODE), EVERYTHING - {"corpus dataset=tunes"}),
    "report template": (appended("src/dalsegno/reporting/templates/report.html.j2", "<!-- x -->\n"), {"report"}),
    "a script": (appended("workflow/scripts/tables.py", CODE), END),
    "the lock": (appended("envs/lock.txt", "another==1.0\n"), EVERYTHING),
    "a comment in the lock": (appended("envs/lock.txt", "# a comment\n"), set()),
}  # fmt: skip


def sort_study(root: Path) -> None:
    (root / "tiny.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=True))


@contextmanager
def edited(project: Project, edit: Callable[[Path], None]) -> Iterator[None]:
    """The project with an edit, which is taken back afterwards."""
    kept = project.root.with_name("kept")
    shutil.copytree(project.root, kept, ignore=shutil.ignore_patterns("results", ".snakemake", ".cache", "logs"))
    try:
        edit(project.root)
        yield
    finally:
        for path in project.root.iterdir():
            if path.name not in ("results", ".snakemake", ".cache", "logs"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in kept.iterdir():
            shutil.move(path, project.root / path.name)
        shutil.rmtree(kept)


def test_a_second_run_does_nothing(project: Project) -> None:
    assert project.jobs() == set()
    assert "Nothing to be done" in project.snakemake()


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_causes_exactly_its_jobs(project: Project, name: str) -> None:
    edit, expected = EDITS[name]
    with edited(project, edit):
        assert project.jobs() == expected


def test_touching_every_file_causes_nothing(project: Project) -> None:
    for path in project.root.rglob("*"):
        if path.is_file() and not {"results", ".snakemake", ".cache", "logs"} & set(
            path.relative_to(project.root).parts
        ):
            path.touch()
    assert project.jobs() == set()


@pytest.mark.parametrize("metadata", [True, False], ids=["with .snakemake", "without .snakemake"])
def test_results_beside_a_fresh_clone(project: Project, tmp_path: Path, metadata: bool) -> None:
    clone = copy_project(tmp_path / "clone")
    shutil.rmtree(clone.root / "results")
    shutil.copytree(project.root / "results", clone.root / "results")
    if metadata:
        shutil.copytree(project.root / ".snakemake", clone.root / ".snakemake")
    assert clone.jobs() == set()
    EDITS["learning rate of one model"][0](clone.root)
    assert clone.jobs() == EDITS["learning rate of one model"][1]


def test_a_copy_that_scrambles_dates(project: Project, tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "clone")
    shutil.rmtree(clone.root / "results")
    shutil.copytree(project.root / "results", clone.root / "results", copy_function=shutil.copyfile)
    for age, path in enumerate(sorted((clone.root / "results").rglob("*"), reverse=True)):
        os.utime(path, (1.7e9 + age, 1.7e9 + age))
    assert clone.jobs() == set()


def test_the_dry_run_names_what_changed(project: Project) -> None:
    def edit(root: Path) -> None:
        EDITS["learning rate of one model"][0](root)
        appended("src/dalsegno/representations/events.py", CODE)(root)

    with edited(project, edit):
        output = project.snakemake("--dry-run")
    assert "spec.model.training.learning_rate: 0.002 -> 0.001" in output
    assert "code dalsegno.representations.events: changed" in output


def test_another_study_replaces_the_default(project: Project) -> None:
    output = project.snakemake("--dry-run")
    assert "chorales" not in output
