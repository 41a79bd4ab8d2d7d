"""What a gate writes: `gate.json` for programs, `gate.md` for a pull request, `gate.xml` (JUnit) for CI."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dalsegno.gate.snapshot import Snapshot
from dalsegno.gate.verdicts import Verdict
from dalsegno.metrics.rows import format_number

MARKS = {
    "fail": "❌",
    "worse": "❌",
    "changed": "❌",
    "missing": "❌",
    "inconclusive": "⚠️",
    "elsewhere": "⚠️",
    "better": "⬆️",
}


def document(study: str, verdicts: Sequence[Verdict], heard: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """`gate.json`: whether the gate passed, how many verdicts of each status, and all of them, red ones first.

    Args:
        heard: samples of the baseline that are others now, see `to_hear`.
    """
    ordered = sorted(verdicts, key=lambda one: (one.passed, one.status != "inconclusive", one.kind))
    return {
        "study": study,
        "passed": all(one.passed for one in verdicts),
        "counts": dict(sorted(Counter(one.status for one in verdicts).items())),
        "verdicts": [_plain(asdict(one)) | {"passed": one.passed} for one in ordered],
        "heard": list(heard),
    }


def to_hear(old: Snapshot, new: Snapshot) -> list[dict[str, Any]]:
    """The first sample of every model and sampler, where it is another than the baseline's.

    Returns:
        Each with its group and sampler, the run whose first sample stands in its place now, and the baseline's notes.
    """
    found = []
    for name in sorted(old.groups.keys() & new.groups.keys()):
        before, after = ({one.seed: one for one in state.groups[name].runs.values()} for state in (old, new))
        first, now = before[min(before)], after[min(after)]
        (run,) = [key for key, one in new.groups[name].runs.items() if one is now]
        for sampler in sorted(first.samples.keys() & now.samples.keys()):
            heard = first.samples[sampler].heard
            if heard is not None and heard != now.samples[sampler].heard:
                found.append({"group": name, "sampler": sampler, "run": run, "old": heard.model_dump()})
    return found


def write(folder: Path, study: str, verdicts: Sequence[Verdict], heard: Sequence[dict[str, Any]] = ()) -> None:
    """Write all three into the study's folder."""
    content = document(study, verdicts, heard)
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (Path(folder) / "gate.json").write_text(text, encoding="utf-8")
    (Path(folder) / "gate.md").write_text(markdown(content), encoding="utf-8")
    (Path(folder) / "gate.xml").write_text(junit(content), encoding="utf-8")


def markdown(content: dict[str, Any]) -> str:
    """A summary for people: the verdict, what is not as it was, and what differs from the baseline's making."""
    counts = ", ".join(f"{number} {status}" for status, number in content["counts"].items())
    lines = [f"## Gate of `{content['study']}`: {'passed' if content['passed'] else 'failed'}", "", counts, ""]
    told = [one for one in content["verdicts"] if one["status"] in MARKS]
    if told:
        lines += ["| | verdict | of | metric | why |", "|---|---|---|---|---|"]
        for one in told:
            metric = " ".join(part for part in (one["metric"], one["split"]) if part)
            cells = [MARKS[one["status"]], one["status"], one["subject"], metric, one["reason"]]
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        lines.append("")
        causes: dict[str, list[str]] = {}
        for one in told:
            for cause in one["causes"]:
                subjects = causes.setdefault(cause, [])
                if one["subject"] not in subjects:
                    subjects.append(one["subject"])
        if causes:
            lines += ["What differs from the making of the baseline:", ""]
            lines += [f"- `{cause}` ({', '.join(subjects)})" for cause, subjects in causes.items()]
            lines.append("")
    if any(one["status"] in ("changed", "missing") for one in told):
        path = f"config/studies/{content['study']}.yaml"
        lines += [f"Is the change meant? Then `make baseline STUDY={path}`, and commit the file.", ""]
    return "\n".join(lines)


def junit(content: dict[str, Any]) -> str:
    """JUnit XML: a suite a kind, a case a verdict; inconclusive cases are skipped ones."""
    suites = ElementTree.Element("testsuites", name=f"gate of {content['study']}")
    for kind in sorted({one["kind"] for one in content["verdicts"]}):
        own = [one for one in content["verdicts"] if one["kind"] == kind]
        failed = [one for one in own if not one["passed"]]
        skipped = [one for one in own if one["status"] == "inconclusive"]
        counts = {"tests": len(own), "failures": len(failed), "errors": 0, "skipped": len(skipped)}
        suite = ElementTree.SubElement(
            suites, "testsuite", {"name": kind, **{key: str(value) for key, value in counts.items()}}
        )
        for one in own:
            name = " ".join(part for part in (one["subject"], one["metric"], one["split"]) if part)
            case = ElementTree.SubElement(suite, "testcase", classname=f"{content['study']}.{kind}", name=name)
            if not one["passed"]:
                failure = ElementTree.SubElement(case, "failure", message=one["reason"], type=one["status"])
                failure.text = "\n".join(one["causes"])
            elif one["status"] == "inconclusive":
                ElementTree.SubElement(case, "skipped", message=one["reason"])
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def lines(content: dict[str, Any]) -> list[str]:
    """The verdicts as lines of a terminal."""
    told = []
    for one in content["verdicts"]:
        where = " ".join(part for part in (one["subject"], one["metric"], one["split"]) if part)
        mark = one["status"] if one["passed"] else one["status"].upper()
        told.append(f"{mark} {where}: {one['reason']}")
        if one["status"] in MARKS:
            told += [f"    {cause}" for cause in one["causes"]]
    counts = ", ".join(f"{number} {status}" for status, number in content["counts"].items())
    return [*told, f"gate {'passed' if content['passed'] else 'failed'}: {counts}"]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(format_number(value)) if value == value and abs(value) != float("inf") else None
    return value
