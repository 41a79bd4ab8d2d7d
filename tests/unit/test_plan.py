"""The plan: what each job is made from stands in its spec and code, as plain canonical text."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dalsegno import capabilities, plan, provenance, study
from dalsegno.plan import Plan
from dalsegno.study import StudyError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return build(tmp_path_factory.mktemp("plan"), {})


def build(folder: Path, changes: dict) -> Plan:
    document = yaml.safe_load((ROOT / "config/studies/first_light.yaml").read_text()) | changes
    loaded = study.load(document, "first_light.yaml", datasets=ROOT / "config/datasets")
    return Plan(loaded, ROOT, folder / "results", folder / "cache")


def test_specs_and_code_are_canonical_text(made: Plan) -> None:
    for request in made.requests.values():
        for text in (request.spec, request.code):
            assert isinstance(text, str)
            assert provenance.canonical(json.loads(text)) == text


def test_every_job_has_its_own_folder(made: Plan) -> None:
    folders = [request.folder for request in made.requests.values()]
    assert len(set(folders)) == len(folders)


def test_the_seed_stands_in_the_spec(made: Plan) -> None:
    one, other = (made.request("train", {"run": f"chorales-voices-lstm-s{seed}"}) for seed in (0, 1))
    assert list(provenance.compare(one.content, other.content)) == ["spec.seed: 0 -> 1"]


def test_data_jobs_never_import_jax_and_runs_depend_on_their_family_alone(made: Plan) -> None:
    for job, request in made.requests.items():
        modules = json.loads(request.code)
        families = {name for name in modules if name.startswith("dalsegno.models.")} & set(plan.FAMILIES.values())
        if job.stage in ("corpus", "split", "represent", "measure", "reference", "control", "tables", "report"):
            assert not families, job
        if job.stage in ("train", "likelihood", "sample"):
            model = dict(job.wildcards)["run"].split("-")[2]
            assert families == {f"dalsegno.models.{model}"}, job


def test_defaults_of_a_family_are_written_out(made: Plan) -> None:
    resolved = json.loads((made.results / "studies/first_light/study.json").read_text())
    sizes, dropouts = {"features", "layers", "hidden"}, {"dropout", "locked", "weight_dropout", "head_dropout"}
    assert resolved["families"]["lstm"].keys() == sizes | dropouts | {"tied", "attributes"}


def test_a_second_plan_does_not_ask_the_families(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(study: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(capabilities, "resolve", refuse)
    again = build(made.results.parent, {})
    assert again.requests == made.requests
    with pytest.raises(AssertionError, match="asked again"):
        build(made.results.parent, {"title": "Another"})


def test_a_job_that_the_study_does_not_have_is_told_with_the_nearest(made: Plan) -> None:
    with pytest.raises(StudyError, match=r"no train job for .*did you mean .*chorales-voices-lstm-s[012]"):
        made.request("train", {"run": "chorales-voices-lstm-s7"})


def test_an_unsupported_wish_is_an_error_before_any_job(tmp_path: Path) -> None:
    models = {"ngram": {"family": "ngram", "training": {}}, "lstm": {"family": "lstm"}}
    with pytest.raises(StudyError) as caught:
        build(tmp_path, {"models": models, "gates": []})
    assert "models.ngram.training: the family 'ngram' is fitted in closed form" in str(caught.value)
    assert "models.lstm.training: the family 'lstm' needs this section" in str(caught.value)


def test_conditions_that_a_family_does_not_take_are_errors_before_any_job(tmp_path: Path) -> None:
    training = {"steps": 1}
    told = {"density": {"measure": "density", "levels": 4}}
    models = {
        "ngram": {"family": "ngram"},
        "lstm": {"family": "lstm", "training": training, "config": {"attributes": told}},
        "masked": {"family": "masked", "training": training, "config": {"sweeps": 2}},
        "both": {"family": "ensemble", "config": {"members": ["lstm", "masked"]}},
    }
    samplers = {
        "dense": {"count": 4, "attributes": {"density": [1, 5]}},
        "moody": {"count": 4, "attributes": {"mood": "calm"}},
        "low": {"count": 4, "voice": 4},
    }
    with pytest.raises(StudyError) as caught:
        build(tmp_path, {"models": models, "samplers": samplers, "gates": []})
    for line in (
        "models.ngram: the family 'ngram' takes no attributes, but samplers ['dense', 'moody'] give one",
        "models.masked: the family 'masked' takes no attributes",
        "samplers.dense.attributes for models.lstm: density: 5 is no level from 1 to 4",
        "samplers.moody.attributes for models.lstm: mood: the model is told density",
        "models.lstm on representations.remi: attributes.density is measured on voices, and this is events",
        "models.ngram on representations.voices: samplers.low.voice: there is no voice 4, of 4 from 0",
        "models.ngram on representations.remi: samplers.low.voice: there is no voice 4, of 0 from 0",
        "models.masked on representations.remi: the family 'masked' takes voices",
        "models.both.config.members: 'masked' is of masked, which no ensemble can average",
    ):
        assert line in str(caught.value)
    models = {"frames": {"family": "frame_rnn", "training": training}}
    with pytest.raises(StudyError, match="models.frames: the family 'frame_rnn' takes no voice"):
        build(tmp_path, {"models": models, "samplers": {"low": {"voice": 0}}, "gates": []})


def test_check_lists_the_runs_of_a_study_and_refuses_what_a_run_would(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "config/studies/first_light.yaml").read_text())
    document["datasets"] = {"own": {"source": {"kind": "folder", "path": str(tmp_path)}}}
    path = tmp_path / "study.yaml"

    def check(changes: dict) -> subprocess.CompletedProcess[str]:
        path.write_text(yaml.safe_dump(document | {"gates": []} | changes))
        return subprocess.run([sys.executable, "-m", "dalsegno", "check", str(path)], capture_output=True, text=True)

    models = {"ngram": {"family": "ngram"}}
    done = check(
        {"models": models, "samplers": {"low": {"voice": 3}}, "representations": {"voices": {"kind": "voices"}}}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "own-voices-ngram-s0 low"
    done = check({"models": models, "samplers": {"low": {"voice": 4}}})
    assert (done.returncode, done.stdout) == (1, "")
    assert "models.ngram on representations.voices: samplers.low.voice: there is no voice 4" in done.stderr
    done = check({"models": models | {"both": {"family": "ensemble", "config": {"members": ["ngrm", "ngram"]}}}})
    assert done.returncode == 1
    assert "models.both.config.members: the study has no model 'ngrm'; did you mean 'ngram'?" in done.stderr


def test_what_symbols_cannot_be_varied_by_is_an_error_before_any_job(tmp_path: Path) -> None:
    augmentation = {"velocity": 2, "tempo": 1, "voice_dropout": 0.1}
    models = {
        "ngram": {"family": "ngram", "augmentation": augmentation},
        "lstm": {"family": "lstm", "training": {}, "augmentation": augmentation},
        "keys": {"family": "ensemble", "config": {"members": ["lstm"], "transpose": 2}},
    }
    representations = {
        "voices": {"kind": "voices"},
        "remi": {"kind": "remi", "velocities": 8, "learned": {}},
        "able": {"kind": "remi", "velocities": 8, "tempos": 8},
    }
    with pytest.raises(StudyError) as caught:
        build(tmp_path, {"models": models, "representations": representations, "gates": []})
    told = str(caught.value)
    assert "models.ngram.augmentation.velocity: what is fitted in closed form is varied by transpose alone" in told
    for name, keys in {
        "voices": ("velocity", "tempo"),
        "remi": ("velocity", "tempo", "voice_dropout"),
        "able": ("voice_dropout",),
    }.items():
        lines = [line for line in told.splitlines() if f"models.lstm on representations.{name}:" in line]
        assert [line.rpartition("augmentation.")[2] for line in lines] == list(keys), name
    where = "models.keys on representations"
    assert f"{where}.remi: its symbols cannot be transposed; leave out config.transpose" in told
    assert not any(line.startswith((f"{where}.voices", f"{where}.able")) for line in told.splitlines())


def test_an_ensemble_is_made_of_its_members_runs(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "config/studies/jsb.yaml").read_text())
    made = Plan(study.load(document, "jsb.yaml"), ROOT, tmp_path / "results", tmp_path / "cache")
    run = "chorales-voices-ensemble-s0"
    names = document["models"]["ensemble"]["config"]["members"]
    assert len(names) == 3
    assert made.members(run) == [f"chorales-voices-{name}-s0" for name in names]
    modules = json.loads(made.request("likelihood", {"run": run}).code)
    assert {"dalsegno.models.ensemble", "dalsegno.models.lstm"} <= modules.keys()
    document["runs"] = [{"exclude": [{"model": "lstm"}]}]
    del document["models"]["ensemble_in_keys"], document["gates"]
    with pytest.raises(StudyError, match=r"ensemble-s0 needs chorales-voices-lstm-s0, which `runs` leaves out"):
        Plan(study.load(document, "jsb.yaml"), ROOT, tmp_path / "results", tmp_path / "cache")
    document["models"]["ensemble"]["config"]["members"] = ["lstn", "ngram", {"family": "lstm", "config": {}}]
    with pytest.raises(StudyError) as caught:
        Plan(study.load(document, "jsb.yaml"), ROOT, tmp_path / "results", tmp_path / "cache")
    assert "no model 'lstn'; did you mean 'lstm'?" in str(caught.value)
    assert "'ngram' is no network" in str(caught.value)
    assert "models.ensemble.config.members: a member is named as in `models`" in str(caught.value)


def test_an_encoder_is_trained_only_where_a_metric_asks_for_it(made: Plan, tmp_path: Path) -> None:
    asked = build(tmp_path, {"metrics": [*made.study.metrics, "embedding_frechet_distance"], "encoder": {"seed": 3}})
    assert {job.stage for job in set(asked.requests) - set(made.requests)} == {"encode"}
    spec = json.loads(asked.request("encode", {"dataset": "chorales"}).spec)
    assert spec["encoder"]["seed"] == 3 and "split" in spec and "metrics" not in spec
    for job, request in asked.requests.items():
        assert ("encoder" in json.loads(request.spec)) == (job.stage in ("encode", "measure", "control")), job
    assert not any("encoder" in json.loads(request.spec) for request in made.requests.values())


def test_a_sweep_adds_jobs_and_changes_none_but_the_summaries(made: Plan, tmp_path: Path) -> None:
    plain = made.study.samplers["free"]
    sweep = {"temperature": [0.9, 1.1], "count": plain.count, "bars": plain.bars, "criterion": ["interval_distance"]}
    swept = build(tmp_path, {"sweep": sweep})
    new = set(swept.requests) - set(made.requests)
    assert {job.stage for job in new} == {"sample", "measure", "copying"}
    assert len(new) == 3 * 2 * len(made.runs)

    def specs(plan_: Plan) -> dict:
        return {
            job: request.spec
            for job, request in plan_.requests.items()
            if job.stage not in ("tables", "gate", "report")
        }

    assert specs(swept).items() >= specs(made).items()
    run = next(iter(made.runs))
    own = json.loads(swept.request("measure", {"run": run, "sampler": "sweep_t0_9"}).spec)
    assert own["criterion"] == ["interval_distance"]
    assert "criterion" not in json.loads(swept.request("measure", {"run": run, "sampler": "free"}).spec)


def test_a_criterion_is_a_distance_between_distributions(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"sweep.criterion.0: 'polyphony' is no distance between distributions"):
        build(tmp_path, {"sweep": {"criterion": ["polyphony"]}})


def test_an_edited_card_writes_the_report_anew_and_nothing_else(tmp_path: Path) -> None:
    for name in ("src", "workflow", "envs", "rules"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    document = yaml.safe_load((ROOT / "config/studies/first_light.yaml").read_text())
    split = document["datasets"]["chorales"].pop("split")
    document["datasets"]["chorales"]["source"] = {"kind": "catalog", "name": "bach_chorales"}

    def specs() -> dict:
        loaded = study.load(document, "first_light.yaml", datasets=tmp_path / "config/datasets")
        assert loaded.datasets["chorales"].split.model_dump(mode="json") == split
        made = Plan(loaded, tmp_path, tmp_path / "results", tmp_path / "cache")
        return {job: request.spec for job, request in made.requests.items()}

    before = specs()
    card = tmp_path / "config/datasets/bach_chorales.yaml"
    card.write_text(card.read_text().replace("labels: none beyond the titles", "labels: none at all beyond the titles"))
    after = specs()
    assert [job.stage for job in before if before[job] != after[job]] == ["report"]


def test_data_from_the_catalog_is_the_data_that_the_source_names(made: Plan, tmp_path: Path) -> None:
    source = {"kind": "catalog", "name": "bach_chorales"}
    named = build(tmp_path, {"datasets": {"chorales": {"source": source}}})
    jobs = [job for job in made.requests if job.stage in ("corpus", "families", "split", "represent")]
    assert [made.requests[job].spec for job in jobs] == [named.requests[job].spec for job in jobs]
    assert len(jobs) == 5
