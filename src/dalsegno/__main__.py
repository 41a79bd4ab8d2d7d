"""`python -m dalsegno`: what people ask of a study outside the workflow."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from dalsegno import capabilities, environments, study
from dalsegno.data import cards, catalog
from dalsegno.gate import baseline, outputs
from dalsegno.gate.snapshot import BaselineError
from dalsegno.metrics.registry import METRICS

SCHEMAS = {
    "study": (Path("config/study.schema.json"), study.schema),
    "dataset": (Path("config/dataset.schema.json"), catalog.schema),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="dalsegno", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    check = commands.add_parser("check", help="validate a study and list its runs; no job is started")
    check.add_argument("file", type=Path)
    check.set_defaults(act=_check)

    datasets = commands.add_parser("datasets", help="the catalog: list it, show a dataset's card, or check all entries")
    datasets.add_argument("action", nargs="?", choices=["list", "show", "check"], default="list")
    datasets.add_argument("name", nargs="?", help="the dataset to show")
    datasets.set_defaults(act=_datasets)

    schema = commands.add_parser("schema", help="the JSON schema of a study or of a dataset of the catalog")
    schema.add_argument("of", nargs="?", choices=sorted(SCHEMAS), default="study")
    schema.add_argument("--write", action="store_true", help="rewrite config/*.schema.json")
    schema.set_defaults(act=_schema)

    envs = commands.add_parser("environments", help="the conda environments that follow from the lock")
    envs.add_argument("--write", action="store_true", help="rewrite envs/*.yaml")
    envs.set_defaults(act=_environments)

    verdict = commands.add_parser("verdict", help="print a gate.json; exit status 1 where a gate failed")
    verdict.add_argument("file", type=Path)
    verdict.set_defaults(act=_verdict)

    accept = commands.add_parser("baseline", help="take a study's snapshot.json as its baseline")
    accept.add_argument("study")
    accept.add_argument("snapshot", type=Path)
    accept.set_defaults(act=_baseline)

    record = commands.add_parser("record", help="add a study's metrics.csv to the history, at this commit")
    record.add_argument("metrics", type=Path)
    record.add_argument("history", type=Path)
    record.set_defaults(act=_record)

    compare = commands.add_parser("compare", help="what two results folders, baselines or git revisions differ in")
    compare.add_argument("old", help="a results folder, a baseline file, or a git revision")
    compare.add_argument("new", help="another")
    compare.add_argument("--format", choices=("markdown", "json", "html"), default="markdown")
    compare.add_argument("--output", type=Path, help="write to this file instead of the terminal")
    compare.set_defaults(act=_compare)

    arguments = parser.parse_args()
    return int(arguments.act(arguments))


def _check(arguments: argparse.Namespace) -> int:
    try:
        content = yaml.safe_load(arguments.file.read_text())
        checked = study.load(content, str(arguments.file), METRICS)
        capabilities.resolve(checked)
    except (OSError, yaml.YAMLError, study.StudyError) as error:
        print(error, file=sys.stderr)
        return 1
    for run in study.expand(checked):
        print(run.name, *run.samplers)
    return 0


def _datasets(arguments: argparse.Namespace) -> int:
    if (arguments.action == "show") != (arguments.name is not None):
        print("say: datasets, datasets show NAME, or datasets check", file=sys.stderr)
        return 2
    wanted = [arguments.name] if arguments.name else catalog.names()
    entries, wrong = [], 0
    for name in wanted:
        try:
            entries.append(catalog.load(name))
        except catalog.CatalogError as error:
            print(error, file=sys.stderr)
            wrong += 1
    if arguments.action == "show":
        for entry in entries:
            print(cards.card(entry))
    elif arguments.action == "list":
        print(cards.listing(entries))
    else:
        print(f"{len(entries)} entries are valid, {wrong} are not")
    return int(wrong > 0)


def _schema(arguments: argparse.Namespace) -> int:
    if arguments.write:
        for path, schema in SCHEMAS.values():
            path.write_text(schema())
    else:
        print(SCHEMAS[arguments.of][1](), end="")
    return 0


def _environments(arguments: argparse.Namespace) -> int:
    for name, text in environments.render(Path("envs/lock.txt"), Path("pyproject.toml")).items():
        if arguments.write:
            (Path("envs") / name).write_text(text)
        else:
            print(f"# envs/{name}\n{text}")
    return 0


def _verdict(arguments: argparse.Namespace) -> int:
    content = json.loads(arguments.file.read_text(encoding="utf-8"))
    print("\n".join(outputs.lines(content)))
    return int(not content["passed"])


def _baseline(arguments: argparse.Namespace) -> int:
    try:
        print("\n".join(baseline.make(arguments.snapshot, arguments.study)))
    except BaselineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _record(arguments: argparse.Namespace) -> int:
    # Parquet takes a while to import, which no other command should pay.
    from dalsegno.gate import history
    from dalsegno.metrics.rows import read_rows

    commit = history.head()
    if commit is None:
        print("not added to the history: the work tree has uncommitted changes, or is no git work tree")
        return 0
    folder = arguments.metrics.parent
    rows = read_rows(arguments.metrics)
    try:
        number = history.append(arguments.history, commit, folder.name, history.spec_digest(folder), rows)
    except (OSError, ValueError) as error:
        print(f"{arguments.history} cannot be added to ({error}): take it back with git, or delete it", file=sys.stderr)
        return 1
    print(f"{arguments.history}: {number} metrics of {folder.name} at {commit.hash[:7]}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    # Statistics and templates take a second to import, which no other command should pay.
    from dalsegno.comparing import differences, render, states

    try:
        found = differences.compare(states.read(arguments.old), states.read(arguments.new))
    except states.StateError as error:
        print(error, file=sys.stderr)
        return 2
    written = {"markdown": render.to_markdown, "json": render.to_json, "html": render.to_html}[arguments.format](found)
    if arguments.output is None:
        print(written, end="")
    else:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
