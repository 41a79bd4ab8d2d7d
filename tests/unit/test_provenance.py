"""Provenance: canonical specs, code fingerprints that see meaning only, and dates that tell the truth."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno import provenance

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_canonical_text_survives_a_round_trip(value: object) -> None:
    text = provenance.canonical(value)
    assert provenance.canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.randoms(use_true_random=False))
def test_canonical_text_does_not_know_the_order_of_keys(value: dict, random: object) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert provenance.canonical({key: value[key] for key in keys}) == provenance.canonical(value)


def test_canonical_refuses_nan() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        provenance.canonical({"a": float("nan")})


SOURCE = '"""Module."""\nimport os\n\n\ndef f(a, b=1):\n    """Doc."""\n    return a + b  # sum\n'


@pytest.mark.parametrize(
    ("edited", "same"),
    [
        (SOURCE.replace("# sum", "# the sum"), True),
        (SOURCE.replace('"""Doc."""', '"""Documentation."""'), True),
        (SOURCE.replace('    """Doc."""\n', ""), True),
        (SOURCE.replace("a + b", "(a +\n            b)"), True),
        (SOURCE.replace("a + b", "a - b"), False),
        (SOURCE.replace("b=1", "b=2"), False),
        (SOURCE.replace("import os", "import sys"), False),
    ],
)
def test_code_digest_sees_meaning_only(edited: str, same: bool) -> None:
    assert (provenance.code_digest(edited) == provenance.code_digest(SOURCE)) is same


def project(root: Path) -> Path:
    for name, text in {
        "src/p/__init__.py": "",
        "src/p/a.py": "from p import b\nfrom p.sub.c import x\n",
        "src/p/b.py": "import numpy\n",
        "src/p/sub/__init__.py": "",
        "src/p/sub/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.d\n\n\ndef x():\n    import p.e\n",
        "src/p/d.py": "",
        "src/p/e.py": "",
        "src/p/f.py": "",
        "run.py": "import p.a\n",
        "page.html": "<p>",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_closure_follows_imports_wherever_they_stand(tmp_path: Path) -> None:
    prints = provenance.Fingerprints(project(tmp_path), "p")
    closure = prints.closure("run.py", ["p.f"], ["page.html"])
    assert list(closure) == ["p", "p.a", "p.b", "p.e", "p.f", "p.sub", "p.sub.c", "page.html", "run.py"]


def test_the_cache_changes_nothing(tmp_path: Path) -> None:
    root = project(tmp_path)
    cache = tmp_path / "cache.json"
    first = provenance.Fingerprints(root, "p", cache)
    cold = first.closure("run.py")
    first.save()
    assert provenance.Fingerprints(root, "p", cache).closure("run.py") == cold
    (root / "src/p/b.py").write_text("import numpy as n\n")
    warm = provenance.Fingerprints(root, "p", cache).closure("run.py")
    assert {name for name in warm if warm[name] != cold[name]} == {"p.b"}


def test_relative_imports_are_refused(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "src/p/b.py").write_text("from . import d\n")
    with pytest.raises(ValueError, match="relative imports"):
        provenance.Fingerprints(root, "p").closure("run.py")


def test_lock_digest_ignores_comments(tmp_path: Path) -> None:
    one, other, third = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    one.write_text("# a\nx==1\n")
    other.write_text("x==1\n\n# b\n")
    third.write_text("x==2\n")
    assert provenance.lock_digest(one) == provenance.lock_digest(other) != provenance.lock_digest(third)


def requests(**spec: int) -> list[provenance.Request]:
    return [
        provenance.Request(Path(name), provenance.canonical({"x": spec[name]}), '{"m":"1"}', "lock")
        for name in ("up", "down")
    ]


def make(request: provenance.Request, inputs: list[Path]) -> None:
    with provenance.recording(request.folder / "spec.json", inputs, [request.folder / "out"]) as spec:
        (request.folder / "out").write_text(str(spec["x"]))


def outdated(folder: str, inputs: list[str] = []) -> bool:  # noqa: B006
    """What Snakemake would say from the dates alone."""
    made = min(os.stat(f"{folder}/{name}").st_mtime for name in ("out", "run.json"))
    return any(os.stat(name).st_mtime > made for name in [f"{folder}/spec.json", *inputs])


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    up, down = requests(up=1, down=1)
    provenance.settle([up, down])
    make(up, [])
    make(down, [Path("up/out")])
    return tmp_path


def test_nothing_is_outdated_after_a_run(made: Path) -> None:
    assert provenance.settle(requests(up=1, down=1)) == {}
    assert not outdated("up")
    assert not outdated("down", ["up/out"])


def test_a_change_outdates_its_artifact_and_says_why(made: Path) -> None:
    assert provenance.settle(requests(up=1, down=2)) == {"down": ["spec.x: 1 -> 2"]}
    assert not outdated("up")
    assert outdated("down", ["up/out"])


def test_a_change_taken_back_outdates_nothing(made: Path) -> None:
    provenance.settle(requests(up=1, down=2))
    assert provenance.settle(requests(up=1, down=1)) == {}
    assert not outdated("down", ["up/out"])


def test_a_copy_that_shuffles_dates_outdates_nothing(made: Path) -> None:
    for age, name in enumerate(
        ["down/run.json", "down/out", "down/spec.json", "up/out", "up/run.json", "up/spec.json"]
    ):
        os.utime(name, (1e9 + age, 1e9 + age))
    assert outdated("down", ["up/out"])
    assert provenance.settle(requests(up=1, down=1)) == {}
    assert not outdated("up")
    assert not outdated("down", ["up/out"])


def test_an_input_of_other_content_stays_newer(made: Path) -> None:
    Path("up/out").write_text("edited by hand")
    os.utime("up/out", (3e9, 3e9))
    provenance.settle(requests(up=1, down=1))
    assert outdated("down", ["up/out"])


def test_a_failed_job_leaves_no_record(made: Path) -> None:
    with pytest.raises(RuntimeError), provenance.recording(Path("up/spec.json"), [], [Path("up/out")]):
        raise RuntimeError
    assert not Path("up/run.json").exists()


def test_a_lost_artifact_is_no_error(made: Path) -> None:
    shutil.rmtree("up")
    assert provenance.settle(requests(up=1, down=1)) == {}
    assert Path("up/spec.json").exists()


def test_the_record_names_changed_modules_and_the_lock() -> None:
    before = {"spec": {"a": {"b": 1}}, "code": {"m": "1", "n": "1"}, "lock": "x"}
    after = {"spec": {"a": {"b": 1, "c": 2}}, "code": {"m": "2", "o": "1"}, "lock": "y"}
    assert list(provenance.compare(before, after)) == [
        "spec.a.c: null -> 2",
        "code m: changed",
        "code n: no longer used",
        "code o: new",
        "lock: other library versions",
    ]


def test_differences_are_told_where_they_lie_and_in_short() -> None:
    before = {"spec": {"members": [{"a": 1, "b": 2}, {"a": 1}], "names": ["x"] * 50}}
    after = {"spec": {"members": [{"a": 1, "b": 3}, {"a": 1}], "names": ["y"]}}
    members, names = provenance.compare(before, after)
    assert members == "spec.members[0].b: 2 -> 3"
    assert names.startswith('spec.names: ["x","x",')
    assert names.endswith('… -> ["y"]')
    assert len(names) < 120
    assert list(provenance.compare(before, {"spec": {**before["spec"], "members": [{"a": 1, "b": 2}]}})) == [
        'spec.members: [{"a":1,"b":2},{"a":1}] -> [{"a":1,"b":2}]'
    ]
