"""The gate against a baseline: its errors, its refusals, and what it writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from dalsegno.data.notes import make_notes
from dalsegno.gate import baseline, outputs, snapshot
from dalsegno.gate.snapshot import BaselineError, Snapshot
from dalsegno.gate.statistics import Cell, benjamini_hochberg, judge
from dalsegno.gate.verdicts import Verdict, verdicts
from dalsegno.reporting import gate_page
from dalsegno.sampling import export

FAMILIES = 12
CLOSURES = {"d-r-gru": {"dalsegno.training.loop": "new", "dalsegno.models.gru": "same"}, "split d": {"a.b": "1"}}


def document(values: dict[int, float], model: str = "gru", **changes: Any) -> Snapshot:
    """A study of one model whose NLL on both splits is given by seed."""
    tokens = [100 + 10 * i for i in range(FAMILIES)]
    below = {
        "families": [f"f{i}" for i in range(FAMILIES)],
        "clean": [True] * FAMILIES,
        "tokens": tokens,
        "notes": [40] * FAMILIES,
        "seconds": [9.5] * FAMILIES,
        "changed_tokens": [None] * FAMILIES,
    }
    runs = {}
    for seed, nll in values.items():
        nats = [round(nll * count * (1 + 0.001 * ((i + seed) % 3 - 1)), 9) for i, count in enumerate(tokens)]
        scored = {"nats": nats, "changed_nats": [0.0] * FAMILIES}
        own = f"w{nll}-{seed}"
        runs[f"d-r-{model}-s{seed}"] = {
            "seed": seed,
            "weights": own,
            "scored": own,
            "scores": own,
            "valid_nll": sum(nats) / sum(tokens),
            "probes": {"foresight": 0.0, "probability_sum": 1e-6},
            "reported": {"nll test": nll},
            "splits": {"valid": scored, "test": scored},
            "samples": {"free": {"notes": own, "values": {"coverage": [0.5 + nll, 4]}}},
        }
    group = {
        "fixed": False,
        "spec": {"names": {"dataset": "d", "representation": "r", "model": model}, "model": {"rate": 0.1}},
        "samplers": {"free": {"count": 4}},
        "splits": {"valid": below, "test": below},
        "runs": runs,
    }
    content: dict[str, Any] = {
        "schema_version": 1,
        "study": "s",
        "environment": {
            "python": ["3.11"],
            "platforms": ["Linux"],
            "devices": ["cpu"],
            "libraries": {},
            "locks": ["l"],
        },
        "modules": {"dalsegno.training.loop": "old", "dalsegno.models.gru": "same", "a.b": "1"},
        "facts": {"split d": {"spec": {"seed": 0}, "values": {"pieces in test": 12, "digest": "abc"}}},
        "groups": {f"d-r-{model}": group},
        "units": {"coverage": "share"},
    }
    return Snapshot.model_validate(content | changes)


OLD = document({0: 0.500, 1: 0.502})


def judged(new: Snapshot, old: Snapshot | None = OLD, gates: list[dict[str, Any]] | None = None) -> list[Verdict]:
    return verdicts(new, old, "no baseline", gates or [], [], CLOSURES)


def statuses(found: list[Verdict], metric: str, split: str = "") -> set[str]:
    return {one.status for one in found if one.metric == metric and (not split or one.split == split)}


def test_equal_results_pass_at_once() -> None:
    found = judged(OLD)
    assert all(one.passed for one in found)
    assert statuses(found, "nll") == {"same"} and "byte for byte" in str(found)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({2: 0.5005, 3: 0.5015}, "same"),
        ({2: 0.5500, 3: 0.5520}, "worse"),
        ({2: 0.4500, 3: 0.4520}, "better"),
        ({2: 0.4800, 3: 0.5300}, "inconclusive"),
        ({2: 0.5500}, "worse"),
    ],
)
def test_comparisons(values: dict[int, float], status: str) -> None:
    found = judged(document(values))
    assert statuses(found, "nll", "test") == {status}
    assert all(one.passed for one in found) == (status != "worse")


def test_a_loss_names_its_causes() -> None:
    new = document({0: 0.55, 1: 0.552})
    group = new.groups["d-r-gru"]
    changed = group.model_copy(update={"spec": {**group.spec, "model": {"rate": 0.2}}})
    (worse,) = [
        one
        for one in judged(new.model_copy(update={"groups": {"d-r-gru": changed}}))
        if (one.metric, one.split) == ("nll", "test")
    ]
    assert worse.causes == ("spec.model.rate: 0.1 -> 0.2", "code dalsegno.training.loop: changed")


def test_inconclusive_says_how_many_seeds_would_decide() -> None:
    (one,) = [v for v in judged(document({2: 0.490, 3: 0.512})) if (v.metric, v.split) == ("nll", "test")]
    assert one.status == "inconclusive" and 2 < one.numbers["seeds"] <= 50
    assert f"{one.numbers['seeds']} seeds would decide" in one.reason


def test_one_seed_astray_does_not_hide_behind_its_own_scatter() -> None:
    quiet = [Cell(np.array([0.5, 0.502]), np.array([0.501, 0.5]), 0.005, pool="p") for _ in range(3)]
    astray = Cell(np.array([0.5, 0.502]), np.array([0.501, 0.9]), 0.005, pool="p")
    assert judge([astray, *quiet])[0].status == "worse"


def test_changed_data_is_never_silent() -> None:
    facts = {"split d": snapshot.Fact(spec={"seed": 0}, values={"pieces in test": 11, "digest": "abd"})}
    (one,) = [one for one in judged(OLD.model_copy(update={"facts": facts})) if one.kind == "fact"]
    assert one.status == "changed" and "pieces in test 12 -> 11" in one.reason and "declares no change" in one.reason


def test_renamed_models_and_runs_are_never_silent() -> None:
    found = judged(document({0: 0.5, 1: 0.502}, model="lstm"))
    assert {one.subject for one in found if one.status == "changed"} == {"d-r-gru", "d-r-lstm"}


def test_gates_that_speak_of_nothing_are_never_silent() -> None:
    found = judged(document({2: 0.5, 3: 0.502}), gates=[{"metric": "nothing", "margin": "1%"}])
    assert statuses(found, "nothing") == {"changed"}
    lost = document({2: 0.5, 3: 0.502})
    for run in lost.groups["d-r-gru"].runs.values():
        run.samples["free"].values.clear()
    assert statuses(judged(lost, gates=[{"metric": "coverage", "margin": 0.1}]), "coverage") == {"changed"}


def test_the_same_weights_must_score_and_write_the_same() -> None:
    new = document({0: 0.500, 1: 0.502})
    group = new.groups["d-r-gru"]
    runs = {
        name: run.model_copy(
            update={
                "scores": "other",
                "splits": {
                    **run.splits,
                    "test": document({0: 0.51}).groups["d-r-gru"].runs["d-r-gru-s0"].splits["test"],
                },
                "samples": {"free": run.samples["free"].model_copy(update={"notes": "other"})},
            }
        )
        for name, run in group.runs.items()
    }
    changed = new.model_copy(update={"groups": {"d-r-gru": group.model_copy(update={"runs": runs})}})
    assert statuses(judged(changed), "scoring") == statuses(judged(changed), "sampling") == {"changed"}
    elsewhere = new.environment.model_copy(update={"platforms": ["Darwin"]})
    found = judged(changed.model_copy(update={"environment": elsewhere}))
    # Another machine may sample otherwise; it may not score otherwise.
    assert not statuses(found, "sampling") and statuses(found, "scoring") == {"changed"}
    assert any("platform: Linux -> Darwin" in one.causes for one in found)


def test_the_same_scores_and_notes_must_give_the_same_numbers() -> None:
    new = document({0: 0.500, 1: 0.502})
    run = new.groups["d-r-gru"].runs["d-r-gru-s0"]
    run.reported["nll test"] = 0.7
    run.samples["free"].values["coverage"] = (0.4, 4)
    found = judged(new)
    assert statuses(found, "reporting") == statuses(found, "measuring") == {"changed"}
    assert any("reported otherwise: nll test (d-r-gru-s0)" in one.reason for one in found)
    assert any("measured otherwise: coverage (d-r-gru-s0)" in one.reason for one in found)
    run.samples["free"].values["coverage"] = (None, 4)
    assert statuses(judged(new), "measuring") == {"changed"}
    assert all(one.passed for one in judged(document({0: 0.500, 1: 0.502})))


def test_another_machine_and_other_libraries_are_told() -> None:
    here = [one for one in judged(OLD) if one.metric == "environment"]
    assert [(one.status, one.causes) for one in here] == [("pass", ())]
    changed = OLD.environment.model_copy(
        update={"devices": ["gpu"], "locks": ["m"], "libraries": {"jax": ["0.11"], "numpy": ["2"]}}
    )
    found = judged(OLD.model_copy(update={"environment": changed}))
    (one,) = [one for one in found if one.metric == "environment"]
    assert one.status == "elsewhere" and one.passed
    assert set(one.causes) == {"device: cpu -> gpu", "jax: none -> 0.11", "numpy: none -> 2"}
    assert "| elsewhere | s | environment |" in outputs.markdown(outputs.document("s", found))


HEARD = {
    "qpm": 96.0,
    "track": [0, 1],
    "program": [0, 0],
    "start": [0, 480],
    "duration": [480, 960],
    "pitch": [72, 60],
    "velocity": [80, 80],
}


def test_samples_before_and_now_can_be_heard(tmp_path: Path) -> None:
    states = []
    for pitch in (60, 60, 61):
        state = document({3: 0.5, 4: 0.502})
        run = state.groups["d-r-gru"].runs["d-r-gru-s3"]
        run.samples["free"] = snapshot.Sampled.model_validate(
            {"notes": str(pitch), "values": {}, "heard": HEARD | {"pitch": [72, pitch]}}
        )
        states.append(state)
    old, same, new = states
    assert outputs.to_hear(old, same) == []
    (one,) = outputs.to_hear(old, new)
    assert one == {"group": "d-r-gru", "sampler": "free", "run": "d-r-gru-s3", "old": HEARD}
    folder = tmp_path / "samples"
    folder.mkdir()
    export.write(folder, [make_notes(start=[0], duration=[480], pitch=[61])])
    gate = outputs.document("s", judged(document({0: 0.55, 1: 0.552})), [one])
    (shelf,) = gate_page.beside(gate, {("d-r-gru-s3", "free"): folder}, 20.0)
    before, now = shelf.cards
    assert (before.title, before.notes, now.title, now.notes) == ("Baseline: sample 1", 2, "Now: sample 1", 1)
    assert before.audio.startswith("data:audio/flac") and before.audio != now.audio


def test_what_was_scored_must_be_what_was_trained() -> None:
    new = document({0: 0.5, 1: 0.502})
    new.groups["d-r-gru"].runs["d-r-gru-s0"].__dict__["scored"] = "stale"
    new.groups["d-r-gru"].runs["d-r-gru-s1"].__dict__["valid_nll"] = 0.4
    new.groups["d-r-gru"].runs["d-r-gru-s1"].probes["foresight"] = 0.3
    (one,) = [one for one in judged(new) if one.kind == "check"]
    assert one.status == "fail" and "other weights" in one.reason and "training saw 0.4" in one.reason
    assert "looks ahead (by 0.3)" in one.reason


def test_no_baseline_is_red() -> None:
    assert statuses(judged(OLD, None), "baseline") == {"missing"}


def damaged(content: dict[str, Any]) -> None:
    content["groups"]["d-r-gru"]["runs"]["d-r-gru-s0"]["splits"]["test"]["nats"].pop()


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda content: content.update(schema_version=0), "has the schema 0, this version reads 1"),
        (lambda content: content.update(study="other"), "is of the study 'other', not of 's'"),
        (lambda content: content.pop("groups"), "is damaged (groups"),
        (damaged, "columns of unlike length"),
    ],
)
def test_unfit_baselines_are_errors_that_say_what_to_do(tmp_path: Path, edit: Any, told: str) -> None:
    path = tmp_path / "s.json"
    snapshot.write(path, OLD)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BaselineError, match="make baseline") as error:
        snapshot.read(path, "s")
    assert told in str(error.value)


def test_a_torn_baseline_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    snapshot.write(path, OLD)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(BaselineError, match="damaged"):
        snapshot.read(path, "s")


def test_a_baseline_is_the_same_bytes_twice(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "a", OLD)
    snapshot.write(tmp_path / "b", snapshot.read(tmp_path / "a", "s"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_baseline_is_refused_in_a_dirty_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    candidate = tmp_path.with_name("candidate.json")
    snapshot.write(candidate, OLD)
    with pytest.raises(BaselineError, match="no git work tree"):
        baseline.make(candidate, "s")
    subprocess.run(["git", "init", "-q"], check=True)
    assert "absent" in baseline.make(candidate, "s")[1]
    assert baseline.make(candidate, "s")[0] == "no value changes"
    (tmp_path / "edited.py").write_text("")
    with pytest.raises(BaselineError, match=r"uncommitted changes \(edited.py\)"):
        baseline.make(candidate, "s")


def test_outputs_tell_the_same(tmp_path: Path) -> None:
    found = judged(document({2: 0.55, 3: 0.552}))
    outputs.write(tmp_path, "s", found)
    content = json.loads((tmp_path / "gate.json").read_text())
    assert not content["passed"] and content["verdicts"][0]["status"] == "worse"
    suites = ElementTree.fromstring((tmp_path / "gate.xml").read_text())
    assert len(suites.findall(".//testcase")) == len(found) == sum(int(one.attrib["tests"]) for one in suites)
    assert len(suites.findall(".//failure")) == sum(not one.passed for one in found) > 0
    text = (tmp_path / "gate.md").read_text()
    assert "failed" in text.splitlines()[0] and "| worse | d-r-gru | nll test |" in text
    assert "- `code dalsegno.training.loop: changed` (d-r-gru)" in text


def test_false_discovery_rates() -> None:
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert np.isnan(benjamini_hochberg([0.5, np.nan])[1])


def test_false_alarms_are_rare_where_nothing_changed() -> None:
    random = np.random.default_rng(0)
    red = 0
    for _ in range(400):
        spreads = (0.005, 0.007, 0.015)
        values = [1 + spread * random.standard_normal((2, 2)) for spread in spreads]
        cells = [Cell(one[0], one[1], 0.01, pool="nll") for one in values]
        red += any(outcome.status == "worse" for outcome in judge(cells))
    # 5 % of 400 is 20; 30 is two and a quarter standard deviations above.
    assert red <= 30
