"""The study: errors name file, key and the nearest valid value; the table of runs is flat and unique."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dalsegno import environments, study
from dalsegno.metrics.registry import METRICS

ROOT = Path(__file__).parents[2]
BASE = {
    "study": "x",
    "title": "X",
    "datasets": {
        "c": {
            "source": {"kind": "music21", "collection": "bach_chorales"},
            "split": {"kind": "table", "path": "config/splits/jsb.csv"},
        }
    },
    "representations": {"voices": {"kind": "voices"}, "remi": {"kind": "remi"}},
    "models": {"lstm": {"family": "lstm", "training": {}}, "ngram": {"family": "ngram"}},
    "samplers": {"free": {}},
}


def changed(path: str, value: object) -> dict:
    document = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    place = document
    for part in parents:
        place = place[part]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("models.lstm.training.learnin_rate", 1, "models.lstm.training.learnin_rate: unknown key; did you mean 'learning_rate'?"),
        ("models.lstm.family", "lstn", "models.lstm.family: no family 'lstn'; did you mean 'lstm'?"),
        ("representations.voices.kind", "voicse", "representations.voices.kind: 'voicse' is not valid; did you mean 'voices'?"),
        ("representations.voices.voicess", 3, "representations.voices.voicess: unknown key; did you mean 'voices'?"),
        ("datasets.c.source", {"kind": "music21"}, "datasets.c.source.collection: this key is missing"),
        ("modles", {}, "modles: unknown key; did you mean 'models'?"),
        ("runs", [{"models": ["lst"]}], "runs.0.models: the study has no model 'lst'; did you mean 'lstm'?"),
        ("runs", [{"exclude": [{}]}], "runs.0.exclude.0: an exclusion without a key would exclude every run"),
        ("runs", [{"exclude": [{"model": "ngrm"}]}], "runs.0.exclude.0.model: the study has no model 'ngrm'; did you mean 'ngram'?"),
        ("runs", [{"exclude": [{"seed": 0}, {"seed": 1}]}], "runs: the exclusions leave no run"),
        ("metrics", ["scale_consistensy"], "metrics.0: no metric 'scale_consistensy'; did you mean 'scale_consistency'?"),
        ("models.lstm.training.learning_rate", "fast", "models.lstm.training.learning_rate: Input should be a valid number"),
        ("samplers.free.prompt_bars", 8, "samplers.free.prompt_bars: a prompt of 8 bars leaves nothing of 8"),
        ("sweep", {"temperature": [0.9, 0.9]}, "sweep: `temperature` lists a value twice"),
        ("sweep", {"prompt_bars": 2}, "sweep.prompt_bars: unknown key"),
        ("sweep", {"criterion": ["intervl_distance"]}, "sweep.criterion.0: no metric 'intervl_distance'; did you mean 'interval_distance'?"),
        ("gates", [{"metric": "nll"}], "gates.0: a gate needs `max`, `min` or `margin`"),
        ("gates", [{"metric": "nll", "max": 1, "model": "ltsm"}], "gates.0.model: the study has no model 'ltsm'; did you mean 'lstm'?"),
    ],
)  # fmt: skip
def test_errors_name_file_key_and_nearest_value(path: str, value: object, expected: str) -> None:
    with pytest.raises(study.StudyError) as caught:
        study.load(changed(path, value), "config/studies/mine.yaml", METRICS)
    assert str(caught.value).startswith("config/studies/mine.yaml is not a valid study:")
    assert expected in str(caught.value)


def test_all_errors_are_told_at_once() -> None:
    document = changed("models.lstm.training.learnin_rate", 1) | {"modles": {}}
    with pytest.raises(study.StudyError) as caught:
        study.load(document, "mine.yaml", METRICS)
    assert len(str(caught.value).splitlines()) == 3


def test_products_and_exclusions() -> None:
    document = changed(
        "runs", [{"exclude": [{"model": "ngram", "representation": "remi"}, {"model": "ngram", "seed": 1}]}]
    )
    names = [run.name for run in study.expand(study.load(document, "x.yaml"))]
    assert names == [
        "c-remi-lstm-s0",
        "c-remi-lstm-s1",
        "c-voices-lstm-s0",
        "c-voices-lstm-s1",
        "c-voices-ngram-s0",
    ]


def test_runs_of_a_study_of_data_alone_choose_datasets_and_representations() -> None:
    document = changed("models", {})
    document = {key: value for key, value in document.items() if key not in ("samplers", "gates", "sweep", "metrics")}
    document["datasets"]["d"] = document["datasets"]["c"]
    assert study.written(study.load(document | {"runs": [{}]}, "x.yaml")) == [
        (dataset, one) for dataset in ("c", "d") for one in ("remi", "voices")
    ]
    runs: list = [
        {"exclude": [{"dataset": "d", "representation": "voices"}]},
        {"datasets": ["d"], "representations": ["remi"]},
    ]
    assert study.written(study.load(document | {"runs": runs}, "x.yaml")) == [
        ("c", "remi"),
        ("c", "voices"),
        ("d", "remi"),
    ]
    runs = [{"seeds": [1], "exclude": [{"model": "lstm"}]}]
    with pytest.raises(study.StudyError) as caught:
        study.load(document | {"runs": runs}, "x.yaml")
    assert "runs.0.seeds: the study has no models; its runs choose datasets and representations" in str(caught.value)
    assert "runs.0.exclude.0.model: the study has no models" in str(caught.value)


@given(st.permutations(list(range(4))), st.integers(1, 3))
def test_runs_are_unique_and_independent_of_order(seeds: list[int], copies: int) -> None:
    one = study.expand(study.load(changed("runs", [{"seeds": sorted(seeds)}]), "x.yaml"))
    other = study.expand(study.load(changed("runs", [{"seeds": seeds}] * copies), "x.yaml"))
    assert one == other
    assert len({run.name for run in one}) == len(one)


def test_samplers_of_equal_runs_are_united() -> None:
    document = changed("samplers", {"free": {}, "cold": {"temperature": 0.5}})
    document["runs"] = [{"samplers": ["free"]}, {"models": ["lstm"], "samplers": ["cold"]}]
    samplers = {run.model: run.samplers for run in study.expand(study.load(document, "x.yaml"))}
    assert samplers == {"lstm": ("cold", "free"), "ngram": ("free",)}


def test_a_sweep_is_ordinary_samplers() -> None:
    document = changed("sweep", {"temperature": [0.8, 0.95, 1], "top_k": [0, 5], "top_p": [0.9, 1.0], "count": 3})
    loaded = study.load(document, "x.yaml", METRICS)
    assert len(loaded.swept) == 12 and {"free", *loaded.swept} == set(loaded.samplers)
    assert {"sweep_t0_95_k5_p0_9", "sweep_t1", "sweep_t0_8_p0_9"} <= set(loaded.samplers)
    one = loaded.samplers["sweep_t0_95_k5_p0_9"]
    assert (one.temperature, one.top_k, one.top_p, one.count, one.prompt_bars) == (0.95, 5, 0.9, 3, 0)
    assert all(run.samplers == tuple(sorted(loaded.samplers)) for run in study.expand(loaded))
    assert study.Study.model_validate(loaded.model_dump()) == loaded


def test_names_of_a_sweep_outlive_its_widening() -> None:
    narrow = study.load(changed("sweep", {"temperature": [0.9]}), "x.yaml").swept
    wide = study.load(changed("sweep", {"temperature": [0.9, 1e-5], "top_k": [0, 3]}), "x.yaml").swept
    assert narrow.items() < wide.items() and "sweep_t0_00001_k3" in wide


def test_a_sweep_and_a_sampler_may_not_share_a_name() -> None:
    document = changed("samplers.sweep_t1", {"count": 5}) | {"sweep": {}}
    with pytest.raises(study.StudyError, match="`sweep` makes a sampler 'sweep_t1', and `samplers` another"):
        study.load(document, "x.yaml")


def test_the_committed_schema_is_the_studys() -> None:
    assert (ROOT / "config/study.schema.json").read_text() == study.schema(), "run `make golden`"
    json.loads(study.schema())


@pytest.mark.parametrize("path", sorted((ROOT / "config/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_committed_studies_are_valid(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert study.load(document, path.name, METRICS).study == path.stem


def test_the_conda_environments_are_the_locks() -> None:
    rendered = environments.render(ROOT / "envs/lock.txt", ROOT / "pyproject.toml")
    assert {name: (ROOT / "envs" / name).read_text() for name in rendered} == rendered, "run `make golden`"


def test_the_lock_names_no_registry_and_hashes_every_pin() -> None:
    text = (ROOT / "envs/lock.txt").read_text()
    assert "://" not in text
    assert "index-url" not in text
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry and not entry.startswith("#")]
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
