"""A snapshot: what the gate must know of one state of a study. A baseline is a snapshot that was committed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import symusic
from pydantic import BaseModel, ConfigDict, ValidationError

from dalsegno.data import split as splits
from dalsegno.data.notes import read_notes
from dalsegno.data.tables import Corpus
from dalsegno.metrics.rows import format_number, read_rows
from dalsegno.metrics.scores import PieceScore, read_scores
from dalsegno.provenance import canonical, digest
from dalsegno.representations.base import Packed

SCHEMA = 1
FACTS = {"corpus": "corpus", "split": "split", "represent": "tokens", "control": "controls"}
"""Stages whose results are facts of the data: no seed, no training, nothing that may differ between two states."""


class BaselineError(ValueError):
    """A baseline that cannot be read, or is not this study's; the message says what to do."""


class Part(BaseModel):
    """A strict piece of a snapshot."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Environment(Part):
    """Where results were computed; several values where jobs ran in several places."""

    python: list[str]
    platforms: list[str]
    devices: list[str]
    libraries: dict[str, list[str]]
    locks: list[str]


class Fact(Part):
    """One data artifact: its spec's digest, and what it holds, compared exactly."""

    spec: dict[str, Any]
    values: dict[str, float | int | str]


class Scored(Part):
    """The scores of a split under one run, summed over families: nats, and those of changed tokens."""

    nats: list[float]
    changed_nats: list[float]


class Heard(Part):
    """One sample as it can be played again: the columns of its note table, and its tempo in quarter notes a minute."""

    qpm: float
    track: list[int]
    program: list[int]
    start: list[int]
    duration: list[int]
    pitch: list[int]
    velocity: list[int]


class Sampled(Part):
    """The samples of one run and sampler: digest of the notes, and every metric as [value, n].

    Attributes:
        heard: the first sample of the lowest seed, so that a later state can be heard beside it.
    """

    notes: str
    values: dict[str, tuple[float | None, int]]
    heard: Heard | None = None


class Run(Part):
    """One trained model.

    Attributes:
        weights: digest of the checkpoint; scored: digest of the checkpoint that was scored; scores: of `pieces.csv`.
        valid_nll: best validation NLL that training saw, nats/token.
        probes: errors of `dalsegno.metrics.probes`.
        reported: what the study's `metrics.csv` says of its likelihood, by metric and split.
    """

    seed: int
    weights: str
    scored: str
    scores: str
    valid_nll: float
    probes: dict[str, float]
    reported: dict[str, float]
    splits: dict[str, Scored]
    samples: dict[str, Sampled]


class Pieces(Part):
    """The families of a split: what stands below the line of every ratio."""

    families: list[str]
    clean: list[bool]
    tokens: list[int]
    notes: list[int]
    seconds: list[float]
    changed_tokens: list[float | None]


class Group(Part):
    """The runs of one dataset, representation and model.

    Attributes:
        fixed: no seed enters it (fitted in closed form, of no other models).
        spec: of its training and scoring, without the seed; samplers: those of its samples.
    """

    fixed: bool
    spec: dict[str, Any]
    samplers: dict[str, Any]
    splits: dict[str, Pieces]
    runs: dict[str, Run]


class Snapshot(Part):
    """Everything; see `config/baselines/`."""

    schema_version: Literal[1]
    study: str
    environment: Environment
    modules: dict[str, str]
    facts: dict[str, Fact]
    groups: dict[str, Group]
    units: dict[str, str]


def collect(study: str, places: Sequence[Mapping[str, str]]) -> Snapshot:
    """The snapshot of a study's results.

    Args:
        places: one row a job: its stage, wildcards and folder.
    """
    by_stage: dict[str, list[Mapping[str, str]]] = {}
    for row in places:
        by_stage.setdefault(row["stage"], []).append(row)
    records = {row["folder"]: _json(Path(row["folder"]) / "run.json") for row in places}
    modules: dict[str, str] = {}
    for record in records.values():
        modules |= record["code"]
    facts: dict[str, Fact] = {}
    for stage in FACTS:
        for row in by_stage.get(stage, []):
            facts[names(row)[0]] = Fact(
                spec=_without(records[row["folder"]]["spec"], ("study", "dataset")),
                values=_facts(stage, Path(row["folder"])),
            )
    units: dict[str, str] = {}
    groups: dict[str, dict[str, Any]] = {}
    folders = {(row["stage"], row["run"], row.get("sampler", "")): row["folder"] for row in places if "run" in row}
    scored_rows = by_stage.get("likelihood", [])
    lowest: dict[str, int] = {}
    for row in scored_rows:
        spec = records[row["folder"]]["spec"]
        lowest[_group(spec)] = min(spec["seed"], lowest.get(_group(spec), spec["seed"]))
    for row in scored_rows:
        name = row["run"]
        record = records[row["folder"]]
        spec = record["spec"]
        labels = spec["labels"]
        train = folders["train", name, ""]
        scores = read_scores(Path(row["folder"]) / "pieces.csv")
        model = spec["model"]
        group = groups.setdefault(
            _group(spec),
            {
                "fixed": model["training"] is None and not spec.get("members"),
                "spec": _without(spec, ("labels", "seed", "stage", "members"))
                | {"names": {key: labels[key] for key in ("dataset", "representation", "model")}},
                "samplers": {},
                "splits": {split: pieces(scores, split) for split in ("valid", "test")},
                "runs": {},
            },
        )
        samples = {}
        for stage, run, sampler in sorted(folders):
            if stage == "sample" and run == name:
                folder = folders[stage, run, sampler]
                rows = [*read_rows(Path(folders["measure", name, sampler]) / "metrics.csv")]
                rows += read_rows(Path(folders["copying", name, sampler]) / "metrics.csv")
                units |= {one.metric: one.unit for one in rows}
                values = {one.metric: (_number(one.value), one.n) for one in rows}
                heard = _heard(Path(folder)) if spec["seed"] == lowest[_group(spec)] else None
                samples[sampler] = Sampled(notes=_file(Path(folder) / "notes.parquet"), values=values, heard=heard)
                group["samplers"][sampler] = records[folder]["spec"]["sampler"]
        checkpoint = f"{train}/checkpoint.safetensors"
        group["runs"][name] = Run(
            seed=spec["seed"],
            weights=records[train]["outputs"][checkpoint][:16],
            scored=record["inputs"].get(checkpoint, "another file")[:16],
            scores=_file(Path(row["folder"]) / "pieces.csv"),
            valid_nll=_ten(_json(Path(train) / "summary.json")["best_valid_nll"]),
            probes=_json(Path(row["folder"]) / "probes.json"),
            reported={
                f"{one.metric} {one.split}": _ten(one.value)
                for one in read_rows(Path(row["folder"]) / "metrics.csv")
                if math.isfinite(one.value)
            },
            splits={split: scored(scores, split, group["splits"][split].families) for split in ("valid", "test")},
            samples=samples,
        )
    return Snapshot(
        schema_version=SCHEMA,
        study=study,
        environment=_environment(list(records.values())),
        modules=modules,
        facts=facts,
        groups={name: Group(**group) for name, group in groups.items()},
        units=units,
    )


def names(place: Mapping[str, str]) -> list[str]:
    """The fact or the group that a job's result belongs to; none for what the gate does not look at."""
    if place["stage"] in FACTS:
        about = [place[key] for key in ("dataset", "representation") if key in place]
        return [" ".join([FACTS[place["stage"]], *about])]
    return [place["run"].rpartition("-s")[0]] if "run" in place else []


def write(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot: sorted keys, a list of numbers a line, the same bytes for the same results."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(_pretty(snapshot.model_dump(mode="json")) + "\n", encoding="utf-8")


def read(path: Path, study: str) -> Snapshot:
    """The snapshot in a file; see `parse`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (ValueError, OSError) as error:
        raise BaselineError(f"{path} is damaged ({error}): {_remedy(study)}") from None
    return parse(text, str(path), study)


def parse(text: str, path: str, study: str) -> Snapshot:
    """The snapshot in a text.

    Args:
        path: where the text is from, for messages.

    Raises:
        BaselineError: the text is damaged, of another schema, or of another study.
    """
    remedy = _remedy(study)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BaselineError(f"{path} is damaged ({error}): {remedy}") from None
    if not isinstance(content, dict) or "schema_version" not in content:
        raise BaselineError(f"{path} is damaged (no schema_version): {remedy}")
    if content["schema_version"] != SCHEMA:
        raise BaselineError(f"{path} has the schema {content['schema_version']}, this version reads {SCHEMA}: {remedy}")
    if content.get("study") != study:
        raise BaselineError(f"{path} is of the study {content.get('study')!r}, not of {study!r}: {remedy}")
    try:
        snapshot = Snapshot.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BaselineError(f"{path} is damaged ({where}: {first['msg']}): {remedy}") from None
    for name, group in snapshot.groups.items():
        for split, below in group.splits.items():
            columns: list[Sequence[Any]] = [below.clean, below.tokens, below.notes, below.seconds]
            columns.append(below.changed_tokens)
            above = [run.splits[split] for run in group.runs.values() if split in run.splits]
            columns += [column for one in above for column in (one.nats, one.changed_nats)]
            if len(above) != len(group.runs) or {len(column) for column in columns} != {len(below.families)}:
                raise BaselineError(f"{path} is damaged ({name}, {split}: columns of unlike length): {remedy}")
    return snapshot


def _remedy(study: str) -> str:
    return f"take the file back with git, or make a new baseline: make baseline STUDY=config/studies/{study}.yaml"


def _facts(stage: str, folder: Path) -> dict[str, float | int | str]:
    if stage == "corpus" and not (folder / "notes.parquet").exists():
        contents = pq.read_table(folder / "pieces.parquet", columns=["piece", "content"])
        return {
            "pieces": len(contents),
            "rejects": len((folder / "rejects.csv").read_text().splitlines()) - 1,
            "digest": digest(canonical(contents.to_pylist())),
        }
    if stage == "corpus":
        corpus = Corpus(folder)
        columns: dict[str, np.ndarray] = corpus.notes
        return {
            "pieces": len(corpus.pieces),
            "rejects": len((folder / "rejects.csv").read_text().splitlines()) - 1,
            "notes": len(columns["pitch"]),
            "velocities": len(np.unique(columns["velocity"])),
            "digest": _digest_of([np.ascontiguousarray(columns[name]) for name in sorted(columns)]),
        }
    if stage == "split":
        rows = splits.read(folder / "split.csv")
        values: dict[str, float | int | str] = {}
        for split in splits.SPLITS:
            values[f"pieces in {split}"] = sum(row.split == split for row in rows)
        training = {row.family for row in rows if row.split == "train"}
        crossing = {row.family for row in rows if row.split in ("valid", "test")} & training
        return {
            **values,
            "families that cross": len(crossing),
            "digest": digest(canonical([[row.piece, row.split, row.family, row.clean] for row in rows])),
        }
    if stage == "represent":
        packed = Packed(folder)
        values = {
            "symbols": packed.vocabulary.size,
            "vocabulary": digest(canonical([packed.vocabulary.names, packed.vocabulary.options])),
        }
        for split in ("train", "valid", "test"):
            chosen = packed.indices(split)
            tokens = np.concatenate([packed.piece(i) for i in chosen]) if chosen else np.zeros((0, 1), np.int16)
            shares = np.unique(tokens, return_counts=True)[1] / max(tokens.size, 1)
            values |= {
                f"pieces in {split}": len(chosen),
                f"tokens in {split}": int(tokens.size),
                f"notes in {split}": sum(packed.rows[i].notes for i in chosen),
                f"entropy of {split}": _ten(float(-(shares * np.log(shares)).sum())),
                f"digest of {split}": _digest_of([np.array([len(packed.piece(i)) for i in chosen]), tokens]),
            }
        return values
    return {
        " ".join(part for part in (row.model, row.representation, row.split, row.metric) if part): _ten(row.value)
        if math.isfinite(row.value)
        else "undefined"
        for row in read_rows(folder / "metrics.csv")
    }


def pieces(scores: Sequence[PieceScore], split: str) -> Pieces:
    """The families of a split, and what stands below the line of its ratios."""
    own = [score for score in scores if score.split == split]
    families = sorted({score.family for score in own})
    members = {family: [score for score in own if score.family == family] for family in families}
    return Pieces(
        families=families,
        clean=[all(score.clean for score in members[family]) for family in families],
        tokens=[sum(score.tokens for score in members[family]) for family in families],
        notes=[sum(score.notes for score in members[family]) for family in families],
        seconds=[_ten(sum(score.seconds for score in members[family])) for family in families],
        changed_tokens=[_number(sum(score.changed_tokens for score in members[family])) for family in families],
    )


def scored(scores: Sequence[PieceScore], split: str, families: Sequence[str]) -> Scored:
    """A run's scores of a split, summed over families."""
    index = {family: i for i, family in enumerate(families)}
    nats, changed = np.zeros(len(families)), np.zeros(len(families))
    for score in scores:
        if score.split == split:
            nats[index[score.family]] += score.nats
            changed[index[score.family]] += score.changed_nats
    return Scored(nats=[_ten(x) for x in nats], changed_nats=[_ten(x) if math.isfinite(x) else 0.0 for x in changed])


def _group(spec: Mapping[str, Any]) -> str:
    labels = spec["labels"]
    return f"{labels['dataset']}-{labels['representation']}-{labels['model']}"


def _heard(samples: Path) -> Heard:
    """The first piece of a folder of samples."""
    (first,) = read_notes(samples / "notes.parquet").pieces([0])
    tempos = symusic.Score(samples / "000.mid").tempos
    columns = {name: getattr(first, name).tolist() for name in Heard.model_fields if name != "qpm"}
    return Heard(qpm=_ten(tempos[0].qpm), **columns)


def _environment(records: Sequence[Mapping[str, Any]]) -> Environment:
    names = sorted({name for record in records for name in record["libraries"]})
    return Environment(
        python=sorted({record["python"] for record in records}),
        platforms=sorted({record["platform"] for record in records}),
        devices=sorted({record["device"] for record in records if record["device"]}),
        libraries={name: sorted({str(record["libraries"].get(name)) for record in records}) for name in names},
        locks=sorted({record["lock"] for record in records}),
    )


def _without(spec: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in keys}


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def _file(path: Path) -> str:
    return digest(path.read_bytes())


def _digest_of(arrays: Sequence[np.ndarray]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).astype(np.int64).tobytes())
    return found.hexdigest()[:16]


def _ten(value: float) -> float:
    return float(format_number(float(value)))


def _number(value: float) -> float | None:
    return _ten(value) if math.isfinite(value) else None


def _pretty(value: Any, indent: int = 0) -> str:
    if isinstance(value, dict) and value:
        pad = " " * (indent + 1)
        lines = [f"{pad}{json.dumps(key)}: {_pretty(value[key], indent + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
