"""What a report is made of: paths, by what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalsegno.features.options import FEATURE_FILES


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts of one study; `docs/artifacts.md` says what each file holds.

    Attributes:
        study: the validated study as plain data; `study`, `title` and `description` are shown.
        metrics: `metrics.csv` of the study.
        runs: `runs.csv` of the study.
        comparisons: `comparisons.csv` of the study.
        leaks: `leak.csv` of the study.
        decoding: `decoding.csv` of the study.
        curves: run -> `curves.jsonl`.
        measures: (run, sampler) -> `histograms.json`.
        copying: (run, sampler) -> `pieces.csv` of verdicts.
        unseen: (dataset, representation) -> `null.csv`.
        samples: (run, sampler) -> folder of `notes.parquet` and exported pieces.
        references: dataset -> such a folder with real pieces.
        controls: dataset -> `histograms.json`.
        corpora: dataset -> corpus folder (`pieces.parquet`, `rejects.csv`).
        splits: dataset -> `split.csv`.
        families: dataset -> folder (`families.csv`, `pairs.csv`).
        representations: (dataset, representation) -> folder (`index.csv`, `rejects.csv`, `fidelity.json`).
        features: (dataset, features) -> folder (`features.parquet` or `features.safetensors` and `index.csv`,
            `scaler.json`, `rejects.csv`).
        specs: artifact, by a name for readers -> `spec.json`.
        gate: `gate.json`, where the study has gates.
        history: `history.parquet`, where a gate was run before.
        cards: dataset -> its entry of the catalog as plain data; only datasets that came from there.
        samples_per_run: pieces shown of each model and sampler, and of each dataset.
        seconds: of audio at most, of a sample that is rendered here.
    """

    study: Mapping[str, Any]
    metrics: Path
    runs: Path
    comparisons: Path
    leaks: Path
    decoding: Path
    curves: Mapping[str, Path] = field(default_factory=dict)
    measures: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    copying: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    unseen: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    samples: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    references: Mapping[str, Path] = field(default_factory=dict)
    controls: Mapping[str, Path] = field(default_factory=dict)
    corpora: Mapping[str, Path] = field(default_factory=dict)
    splits: Mapping[str, Path] = field(default_factory=dict)
    families: Mapping[str, Path] = field(default_factory=dict)
    representations: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    features: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    specs: Mapping[str, Path] = field(default_factory=dict)
    gate: Path | None = None
    history: Path | None = None
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    samples_per_run: int = 2
    seconds: float = 20.0

    @classmethod
    def of(cls, spec: Mapping[str, Any], study_folder: Path) -> ReportInputs:
        """The inputs of a study from its plan.

        Args:
            spec: of the report's job: `document`, the study; `places`, one row a job with its stage, wildcards and
                folder; `cards`, the catalog's entries; `history`, the digest of what past gates added to
                `history.parquet`, or nothing, and then none is shown, even if it was written since.
            study_folder: where the study's tables and `gate.json` lie.
        """

        document, places = spec["document"], spec["places"]

        def by(stage: str, *wildcards: str, name: str = "") -> dict[Any, Path]:
            rows = [row for row in places if row["stage"] == stage]
            keys = [tuple(row[wildcard] for wildcard in wildcards) for row in rows]
            paths = [Path(row["folder"]) / name for row in rows]
            return {key if len(key) > 1 else key[0]: path for key, path in zip(keys, paths, strict=True)}

        return cls(
            study=document,
            metrics=study_folder / "metrics.csv",
            runs=study_folder / "runs.csv",
            comparisons=study_folder / "comparisons.csv",
            leaks=study_folder / "leak.csv",
            decoding=study_folder / "decoding.csv",
            gate=study_folder / "gate.json",
            history=study_folder.parents[1] / "history.parquet" if spec["history"] else None,
            curves=by("train", "run", name="curves.jsonl"),
            measures=by("measure", "run", "sampler", name="histograms.json"),
            copying=by("copying", "run", "sampler", name="pieces.csv"),
            unseen=by("calibrate", "dataset", "representation", name="null.csv"),
            samples=by("sample", "run", "sampler"),
            references=by("reference", "dataset"),
            controls=by("control", "dataset", name="histograms.json"),
            corpora=by("corpus", "dataset"),
            splits=by("split", "dataset", name="split.csv"),
            families=by("families", "dataset"),
            representations=by("represent", "dataset", "representation"),
            features=by("features", "dataset", "features"),
            specs={row["folder"].partition("/")[2]: Path(row["folder"]) / "spec.json" for row in places},
            cards=spec["cards"],
            samples_per_run=document["report"]["samples"],
            seconds=document["report"]["seconds"],
        )

    def measured(self) -> list[Path]:
        """The `metrics.csv` beside every `histograms.json`."""
        return [path.with_name("metrics.csv") for path in [*self.measures.values(), *self.controls.values()]]

    def files(self) -> list[Path]:
        """Every file that the report may read."""
        single = [self.metrics, self.runs, self.comparisons, self.leaks, self.decoding]
        single += [one for one in (self.gate, self.history) if one]
        for group in (self.curves, self.measures, self.controls, self.splits, self.specs, self.copying, self.unseen):
            single += group.values()
        for folders, names in (
            (self.corpora, ("pieces.parquet", "rejects.csv")),
            (self.representations, ("index.csv", "rejects.csv", "fidelity.json")),
            (self.families, ("families.csv", "pairs.csv")),
        ):
            single += [folder / name for folder in folders.values() for name in names]
        single += [self.corpora[dataset] / "labels.parquet" for dataset, _ in self.features]
        names_of_features = {name for names in FEATURE_FILES.values() for name in names}
        for folder in self.features.values():
            single += [folder / name for name in names_of_features if (folder / name).exists()]
        for folder in [*self.samples.values(), *self.references.values()]:
            single += [path for path in folder.iterdir() if path.suffix in (".parquet", ".mid", ".flac")]
        return sorted([*single, *self.measured()])
