"""Two states are compared: runs, numbers with intervals, parameters and modules; and what cannot be is refused."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from dalsegno.comparing import render, states
from dalsegno.comparing.differences import Comparison, Delta, compare
from dalsegno.comparing.states import State, StateError
from dalsegno.gate import snapshot
from dalsegno.gate.snapshot import Snapshot

from .test_gate import document

OLD = document({0: 0.500, 1: 0.502})


def state(one: Snapshot, name: str = "x") -> State:
    return State(name, "results", {one.study: one}, one.modules, {})


def found(old: Snapshot, new: Snapshot) -> Comparison:
    return compare(state(old, "old"), state(new, "new"))


def delta(comparison: Comparison, metric: str = "nll", split: str = "test") -> Delta:
    (one,) = [one for one in comparison.studies[0].deltas if (one.metric, one.split) == (metric, split)]
    return one


def respecified(one: Snapshot, rate: float) -> Snapshot:
    (name,) = one.groups
    group = one.groups[name]
    return one.model_copy(
        update={"groups": {name: group.model_copy(update={"spec": {**group.spec, "model": {"rate": rate}}})}}
    )


def test_equal_states_are_identical() -> None:
    comparison = found(OLD, OLD)
    assert all(one.equal and one.difference == 0 for one in comparison.studies[0].deltas)
    assert not comparison.modules and not comparison.studies[0].parameters
    assert "No code module and no library differs" in render.to_markdown(comparison)


@pytest.mark.parametrize(
    ("values", "verdict"), [({2: 0.55, 3: 0.552}, "worse"), ({2: 0.45, 3: 0.452}, "better"), ({2: 0.48, 3: 0.53}, "")]
)
def test_a_delta_knows_the_noise_of_seeds_and_families(values: dict[int, float], verdict: str) -> None:
    # Other seeds of a model are other runs; the model is compared all the same.
    one = delta(found(OLD, document(values)))
    assert one.verdict == verdict and one.over == "seeds and families" and one.families == 12
    assert one.low is not None and one.high is not None and one.difference is not None
    assert one.low < one.difference < one.high
    assert one.difference == pytest.approx(sum(values.values()) / 2 - 0.501, abs=1e-3)
    assert one.unit == "nats/token"


def test_one_seed_each_leaves_the_interval_of_the_models_as_trained() -> None:
    one = delta(found(document({0: 0.50}), document({0: 0.55})))
    assert one.over == "families" and one.verdict == "worse"


def test_metrics_of_samples_have_the_spread_of_seeds() -> None:
    one = delta(found(OLD, document({2: 0.900, 3: 0.902})), "coverage", "")
    assert (one.over, one.families, one.verdict) == ("seeds", 0, "better")


def test_runs_are_matched_renamed_missing_and_new() -> None:
    study = found(document({0: 0.5, 1: 0.502}), document({1: 0.502, 2: 0.5})).studies[0]
    assert study.matched == ("d-r-gru-s1",)
    assert study.missing == ("d-r-gru-s0",) and study.new == ("d-r-gru-s2",)
    renamed = found(OLD, document({0: 0.500, 1: 0.502}, model="cell")).studies[0]
    assert renamed.renamed == (("d-r-gru-s0", "d-r-cell-s0"), ("d-r-gru-s1", "d-r-cell-s1"))
    assert not renamed.missing and not renamed.new and renamed.deltas
    other = found(OLD, respecified(document({0: 0.5}, model="cell"), 0.3)).studies[0]
    assert other.missing and other.new and not other.renamed and not other.deltas


def test_only_pieces_that_both_scored_count() -> None:
    new = document({0: 0.500, 1: 0.502})
    (name,) = new.groups
    group = new.groups[name]
    below = group.splits["test"].model_copy(update={"tokens": [999, *group.splits["test"].tokens[1:]]})
    changed = group.model_copy(
        update={
            "splits": {"valid": group.splits["valid"], "test": below},
            "runs": {key: run.model_copy(update={"scores": "other"}) for key, run in group.runs.items()},
        }
    )
    one = delta(found(OLD, new.model_copy(update={"groups": {name: changed}})))
    assert one.families == 11 and one.difference == 0


def test_changed_parameters_and_modules_are_named() -> None:
    new = respecified(OLD, 0.2).model_copy(update={"modules": {**OLD.modules, "a.b": "2"}})
    comparison = found(OLD, new)
    assert [dataclasses.astuple(one) for one in comparison.studies[0].parameters] == [
        ("model.rate", 0.1, 0.2, ("d-r-gru",))
    ]
    assert comparison.modules == {"a.b": "changed"}


def test_markdown_renders_as_written() -> None:
    new = respecified(document({2: 0.55, 3: 0.552}), 0.2)
    hostile = dataclasses.replace(state(new), name="a|b<script>`@all", about="x|y *bold* <img src=x> @all")
    text = render.to_markdown(compare(state(OLD, "old"), hostile))
    page = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert page.count("<table>") == 2 and "🔴 worse" in page
    assert "<script" not in page and "<img" not in page and "<em>" not in page and "@all" not in page.split("<code>")[0]
    assert "<details>" in page and page.count("<details>") == page.count("</details>")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {9, 5}


def test_json_and_page() -> None:
    comparison = found(OLD, document({2: 0.55, 3: 0.552}))
    content = json.loads(render.to_json(comparison))
    assert content["schema_version"] == 1
    assert {"subject", "metric", "unit", "low", "high", "over", "verdict"} <= content["studies"][0]["deltas"][0].keys()
    assert render.to_json(comparison) == render.to_json(found(OLD, document({2: 0.55, 3: 0.552})))
    page = render.to_html(comparison)
    assert "worse" in page and "http" not in page.replace("http://www.w3.org", "")


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two tagged revisions: a comment, a constant and a parameter differ; only the second has a baseline."""
    source, studies = tmp_path / "src/dalsegno", tmp_path / "config/studies"
    source.mkdir(parents=True)
    studies.mkdir(parents=True)
    (tmp_path / "envs").mkdir()
    git(tmp_path, "init", "-q")
    for tag, rate in (("one", 0.1), ("two", 0.2)):
        (source / "__init__.py").write_text("")
        (source / "commented.py").write_text(f"A = 1  # {tag}\n")
        (source / "valued.py").write_text(f"A = {rate}\n")
        (studies / "s.yaml").write_text(f"study: s\nmodels: {{gru: {{rate: {rate}}}}}\n")
        (tmp_path / "envs/lock.txt").write_text(f"numpy=={rate} \\\n    --hash=sha256:abc\n")
        if tag == "two":
            (source / "fresh.py").write_text("")
            snapshot.write(tmp_path / "config/baselines/s.json", OLD)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", tag)
        git(tmp_path, "tag", tag)
    return tmp_path


def test_revisions_tell_parameters_modules_and_libraries(repository: Path) -> None:
    comparison = compare(*(states.read(tag, repository, repository / "results") for tag in ("one", "two")))
    assert comparison.modules == {"dalsegno.fresh": "new", "dalsegno.valued": "changed"}
    (study,) = comparison.studies
    assert [(one.key, one.old, one.new) for one in study.parameters] == [("s.models.gru.rate", 0.1, 0.2)]
    assert "neither a baseline nor results are known for one" in study.note
    assert [(one.key, one.old, one.new) for one in comparison.libraries] == [("numpy", "0.1", "0.2")]


def test_a_revision_has_its_baseline_or_the_results_made_at_it(repository: Path) -> None:
    results = repository / "results"
    assert states.read("two", repository, results).snapshots["s"] == OLD
    new = document({0: 0.4, 1: 0.41})
    snapshot.write(results / "studies/s/snapshot.json", new)
    (results / "studies/s/gate").mkdir()
    commit = subprocess.run(["git", "rev-parse", "one"], cwd=repository, capture_output=True, text=True).stdout.strip()
    for dirty, expected in ((True, {}), (False, {"s": new})):
        record = {"git": {"commit": commit, "dirty": dirty}}
        (results / "studies/s/gate/run.json").write_text(json.dumps(record))
        assert states.read("one", repository, results).snapshots == expected
    assert delta(compare(*(states.read(tag, repository, results) for tag in ("one", "two")))).verdict == "worse"


def test_results_used_what_a_lock_allows() -> None:
    lock = State("lock", "", {"s": OLD}, {}, states.pins("numpy==1 ; a\nnumpy==2 ; b\njax==3\n"), whole=True)
    for used, changed in (("1", []), ("2", []), ("3", [("numpy", "1, 2", "3")])):
        comparison = compare(lock, State("used", "", {"s": OLD}, {}, {"numpy": used}))
        assert [(one.key, one.old, one.new) for one in comparison.libraries] == changed


def test_what_cannot_be_compared_is_refused(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(StateError, match="make gate"):
        states.read(str(empty), repository)
    (empty / "x.json").write_text("{}")
    with pytest.raises(StateError, match="no baseline"):
        states.read(str(empty / "x.json"), repository)
    snapshot.write(empty / "cut.json", OLD)
    (empty / "cut.json").write_text((empty / "cut.json").read_text().replace('"seed"', '"sed"'))
    with pytest.raises(StateError, match="damaged"):
        states.read(str(empty / "cut.json"), repository)
    for name in ("nosuch", "--all"):
        with pytest.raises(StateError, match="no git revision"):
            states.read(name, repository)
    with pytest.raises(StateError, match="nothing to compare: old has s, new has t"):
        found(OLD, OLD.model_copy(update={"study": "t"}))
