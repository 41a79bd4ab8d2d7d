"""What a report is made of: paths, by what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts of one study; `docs/artifacts.md` says what each file holds.

    Attributes:
        study: the validated study as plain data; `name`, `title` and `description` are shown.
        metrics: `metrics.csv` of the study.
        runs: `runs.csv` of the study.
        curves: run -> `curves.jsonl`.
        measures: (run, sampler) -> `histograms.json`.
        samples: (run, sampler) -> folder of `notes.parquet` and exported pieces.
        references: dataset -> such a folder with real pieces.
        controls: dataset -> `histograms.json`.
        corpora: dataset -> corpus folder (`pieces.parquet`, `rejects.csv`).
        splits: dataset -> `split.csv`.
        representations: (dataset, representation) -> folder (`index.csv`, `rejects.csv`).
        specs: artifact, by a name for readers -> `spec.json`.
        gate: `gate.json`, where the study has gates.
        samples_per_run: pieces shown of each model and sampler, and of each dataset.
    """

    study: Mapping[str, Any]
    metrics: Path
    runs: Path
    curves: Mapping[str, Path] = field(default_factory=dict)
    measures: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    samples: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    references: Mapping[str, Path] = field(default_factory=dict)
    controls: Mapping[str, Path] = field(default_factory=dict)
    corpora: Mapping[str, Path] = field(default_factory=dict)
    splits: Mapping[str, Path] = field(default_factory=dict)
    representations: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    specs: Mapping[str, Path] = field(default_factory=dict)
    gate: Path | None = None
    samples_per_run: int = 2
