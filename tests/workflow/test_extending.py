"""The pages "add a model", "add a metric" and "add a dataset", done: one new file and one line each."""

from __future__ import annotations

import copy
import csv
import math
import shutil
from pathlib import Path

import pytest

from .conftest import STUDY, copy_project, write_tunes

MODEL = '''
"""Every token is equally likely."""

import numpy as np

from dalsegno.models.base import FamilyConfig

LAYOUTS = frozenset({"voices"})
SUPPORTS = frozenset({"likelihood", "prompt"})


class Config(FamilyConfig):
    """Nothing to choose."""


def fit(config, packed, augmentation, seed):
    return {"size": np.array([packed.vocabulary.size])}


def load(config, vocabulary, arrays):
    return Uniform(int(arrays["size"][0]), vocabulary.width)


class Uniform:
    def __init__(self, size, width):
        self.size, self.width = size, width

    def log_probs(self, pieces):
        return [np.full(piece.shape, -np.log(self.size), np.float32) for piece in pieces]

    def generate(self, request):
        random = np.random.default_rng(request.seed)
        pieces = []
        for prompt in request.prompts:
            tokens = list(np.asarray(prompt).reshape(-1))
            state = request.grammar.state_after(np.asarray(tokens, np.int16))
            while len(tokens) < request.steps * self.width:
                token = int(random.choice(np.flatnonzero(request.grammar.allowed_SxV[state])))
                state = int(request.grammar.next_SxV[state, token])
                tokens.append(token)
            pieces.append(np.array(tokens, np.int16).reshape(-1, self.width))
        return pieces
'''

METRIC = '''
"""How often the pitch is an A."""

from dalsegno.metrics.base import PieceMetric

share_of_a = PieceMetric(lambda pieces: pieces.mean(pieces.pitch % 12 == 9), "share of notes")
'''


def add_line(path: Path, after: str, line: str) -> None:
    text = path.read_text()
    assert after in text
    path.write_text(text.replace(after, f"{after}\n{line}", 1))


def test_a_model_a_metric_and_a_dataset(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    library = project.root / "src/dalsegno"
    (library / "models/uniform.py").write_text(MODEL)
    add_line(
        library / "models/registry.py", "FAMILIES: dict[str, str] = {", '    "uniform": "dalsegno.models.uniform",'
    )
    (library / "metrics/letters.py").write_text(METRIC)
    add_line(
        library / "metrics/registry.py",
        "METRICS: dict[str, str] = {",
        '    "share_of_a": "dalsegno.metrics.letters:share_of_a",',
    )
    write_tunes(project.root / "others", 20)
    study = copy.deepcopy(STUDY)
    study["datasets"] = {"others": {**study["datasets"]["tunes"], "source": {"kind": "folder", "path": "others"}}}
    study["models"] = {"flat": {"family": "uniform"}}
    study["metrics"] = ["share_of_a"]
    study["runs"] = [{"representations": ["voices"], "seeds": [0]}]
    study["gates"] = []
    project.write_study(study)
    project.snakemake()
    with open(project.root / "results/studies/tiny/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    nll = [row for row in rows if row["metric"] == "nll" and row["split"] == "test" and row["seed"] == "0"]
    assert [(row["dataset"], row["model"], row["unit"]) for row in nll] == [("others", "flat", "nats/token")]
    assert float(nll[0]["value"]) == pytest.approx(math.log(47), rel=1e-6)
    measured = {
        row["model"]: float(row["value"]) for row in rows if row["metric"] == "share_of_a" and row["seed"] != "all"
    }
    assert measured.keys() == {"flat", "held_out", "train", "shuffled", "noise"}
    assert "share of a" in (project.root / "results/studies/tiny/report.html").read_text().lower()


def test_bad_files_cost_only_themselves(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    broken = (project.root / "tunes/tune00.mid").read_bytes()
    (project.root / "tunes/broken.mid").write_bytes(broken[: len(broken) // 2])
    (project.root / "tunes/empty.mid").write_bytes(b"")
    (project.root / "tunes/notes.txt").write_text("no music")
    project.snakemake("results/splits/tunes/split.csv")
    with open(project.root / "results/corpora/tunes/rejects.csv", newline="") as file:
        rejects = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert rejects.keys() == {"broken.mid", "empty.mid", "notes.txt"}
    assert all(rejects.values())


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (
            lambda study: study["models"]["lstm"]["config"].update(featurs=3),
            "models.lstm.config.featurs: unknown key; did you mean 'features'?",
        ),
        (
            lambda study: study["models"]["ngram"].update(training={}),
            "models.ngram.training: the family 'ngram' is fitted in closed form",
        ),
        (
            lambda study: study["models"]["lstm"].pop("training"),
            "models.lstm.training: the family 'lstm' needs this section",
        ),
        (
            lambda study: study["datasets"]["tunes"]["source"].update(path="nowhere"),
            "datasets.tunes.source: the source folder nowhere does not exist",
        ),
        (
            lambda study: study["datasets"]["tunes"].update(split={"kind": "table", "path": "no.csv"}),
            "datasets.tunes.split.path: cannot read",
        ),
        (lambda study: study.update(seedz=[1]), "tiny.yaml is not a valid study:"),
    ],
)
def test_mistakes_are_told_before_any_job(tmp_path: Path, break_it: object, told: str) -> None:
    project = copy_project(tmp_path / "p")
    study = copy.deepcopy(STUDY)
    break_it(study)
    project.write_study(study)
    output = project.snakemake(check=False)
    assert told in output
    assert "steps" not in output
    shutil.rmtree(project.root)
