"""The plan: which jobs a study means, what each is made from, and where its artifacts lie.

The rules look their rows up here; nothing about paths, specs or code is decided anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dalsegno import capabilities, provenance
from dalsegno.data import catalog
from dalsegno.data.manifest import content_digest, list_source
from dalsegno.data.options import CORPUS_FILES, ArchiveSource, Content, Source, TableSplit
from dalsegno.data.readers import PARTS, READERS, SUFFIXES, WRITERS
from dalsegno.features.registry import FEATURES, WINDOWS
from dalsegno.metrics.registry import METRICS, needs_encoder
from dalsegno.models.registry import FAMILIES
from dalsegno.representations.registry import REPRESENTATIONS
from dalsegno.study import Run, Study, StudyError, expand, nearest, written
from dalsegno.training.options import LOOP

FOLDERS = {
    "fetch": "sources/{dataset}",
    "shard": "shards/{dataset}/{shard}",
    "corpus": "corpora/{dataset}",
    "families": "families/{dataset}",
    "split": "splits/{dataset}",
    "represent": "representations/{dataset}/{representation}",
    "features": "features/{dataset}/{features}",
    "encode": "encoders/{dataset}",
    "train": "runs/{study}/{run}",
    "likelihood": "likelihood/{study}/{run}",
    "sample": "samples/{study}/{run}/{sampler}",
    "measure": "measures/{study}/{run}/{sampler}",
    "calibrate": "calibrations/{study}/{dataset}/{representation}",
    "copying": "copying/{study}/{run}/{sampler}",
    "reference": "references/{study}/{dataset}",
    "control": "controls/{study}/{dataset}",
    "tables": "studies/{study}/tables",
    "gate": "studies/{study}/gate",
    "report": "studies/{study}/report",
}
"""Where each stage's artifacts and provenance lie, below the results folder; in the order of the DAG."""

DATASET_STAGES = (
    "shard",
    "corpus",
    "families",
    "split",
    "represent",
    "features",
    "encode",
    "calibrate",
    "reference",
    "control",
)
"""The stages whose jobs are made of a dataset's files and of no run."""

PLACES = {"path", "addresses", "sha256", "size"}
"""The keys of a source that say where its content lies, or only check it."""

TEMPLATES = "src/dalsegno/reporting/templates"


@dataclass(frozen=True)
class Job:
    """One job: a stage and the values of its wildcards."""

    stage: str
    wildcards: tuple[tuple[str, str], ...]


class Plan:
    """All jobs of a study.

    Args:
        study: the validated study.
        root: the project's folder (`workflow/`, `src/`, `envs/`).
        results: the results folder.
        cache: a folder for what may be deleted at any time.
    """

    def __init__(self, study: Study, root: Path, results: Path = Path("results"), cache: Path = Path(".cache")) -> None:
        self.study = study
        self.root = Path(root)
        self.results = Path(results)
        self.runs: dict[str, Run] = {run.name: run for run in expand(study)}
        self.lock = provenance.lock_digest(self.root / "envs" / "lock.txt")
        self.cache = Path(cache)
        self.fingerprints = provenance.Fingerprints(self.root, cache=self.cache / "fingerprints.json")
        self._digests: dict[str, str] = {}
        self.families = self._resolve()
        self.requests = {job: self._request(job) for job in self._jobs()}
        self.fingerprints.save()

    def folder(self, stage: str, **wildcards: str) -> str:
        """A stage's folder; wildcards that are not given stay as `{name}` for a rule's pattern."""
        names = {name: f"{{{name}}}" for name in ("dataset", "shard", "representation", "features", "run", "sampler")}
        path = FOLDERS[stage].format(study=self.study.study, **{**names, **wildcards})
        return (self.results / path).as_posix()

    def request(self, stage: str, wildcards: Any) -> provenance.Request:
        """The request of the job with these wildcards (a mapping or Snakemake's wildcards)."""
        values = tuple((name, str(wildcards[name])) for name in _names(stage))
        try:
            return self.requests[Job(stage, values)]
        except KeyError:
            asked = self.folder(stage, **dict(values))
            known = [request.folder.as_posix() for job, request in self.requests.items() if job.stage == stage]
            raise StudyError(
                f"the study {self.study.study} has no {stage} job for {asked}{nearest(asked, known)}"
            ) from None

    def settle(self) -> dict[str, list[str]]:
        """Write the requests; see `provenance.settle`."""
        return provenance.settle(list(self.requests.values()))

    @cached_property
    def datasets(self) -> list[str]:
        """The datasets that get a corpus, families and a split: all of the study."""
        return sorted(self.study.datasets)

    @cached_property
    def trained(self) -> list[str]:
        """The datasets that models are trained on."""
        return sorted({run.dataset for run in self.runs.values()})

    @cached_property
    def encoded(self) -> list[str]:
        """The datasets whose training pieces an encoder is trained on: where a metric asks for embeddings."""
        return self.trained if needs_encoder(self.study.metrics) else []

    def of_modality(self, modality: str) -> list[str]:
        """The datasets whose corpus is of one kind: notes, audio or table."""
        return [name for name in self.datasets if self.study.datasets[name].source.modality == modality]

    @cached_property
    def featured(self) -> list[tuple[str, str]]:
        """Every dataset and set of features: those that a set names, or all whose pieces can have it."""
        return sorted(
            (dataset, name)
            for name, options in self.study.features.items()
            for dataset in options.datasets or self.datasets
            if self.study.datasets[dataset].source.modality in options.modalities
        )

    def shaped(self, shape: str) -> list[str]:
        """The sets of features of one shape: table or sequence."""
        return sorted(name for name, options in self.study.features.items() if options.shape == shape)

    def corpus_files(self, dataset: str) -> tuple[str, ...]:
        """The files of a dataset's corpus folder."""
        return CORPUS_FILES[self.study.datasets[dataset].source.modality]

    def shards(self, dataset: str) -> list[str]:
        """The parts in which a dataset's files are parsed, in order, as `2of8`; none where one job does it all."""
        count = self.study.datasets[dataset].shards
        return [f"{number}of{count}" for number in range(1, count + 1)] if count > 1 else []

    @cached_property
    def sampled(self) -> list[tuple[str, str]]:
        """Every run and sampler."""
        return [(name, sampler) for name, run in self.runs.items() for sampler in run.samplers]

    def members(self, run: str) -> list[str]:
        """The runs that an ensemble is made of; none for other models."""
        row = self.runs[run]
        return [replace(row, model=name).name for name in self.families[row.model].get("members", [])]

    def represented(self, dataset: str) -> list[str]:
        """The representations that a dataset is written in."""
        return [one for name, one in written(self.study) if name == dataset]

    @property
    def references(self) -> int:
        """How many real pieces are made audible for each dataset."""
        return max(self.study.report.samples, 1)

    def source_path(self, dataset: str) -> str:
        """The folder or archive of a dataset's files, or an empty string where a package holds them."""
        source = self.study.datasets[dataset].source
        if _fetched(source):
            return f"{self.folder('fetch', dataset=dataset)}/archive"
        return getattr(source, "path", "")

    def source_document(self, dataset: str) -> str:
        """A dataset's source as canonical JSON, with the places that its spec leaves out."""
        return provenance.canonical(_dump(self.study.datasets[dataset].source))

    def fetched(self, dataset: str) -> list[str]:
        """The archive that a job fetches for a dataset; none for other sources."""
        return [self.source_path(dataset)] if _fetched(self.study.datasets[dataset].source) else []

    def spec(self, stage: str, **wildcards: str) -> dict[str, Any]:
        """Everything that changes a job's output, except code and library versions."""
        study = self.study
        if stage in ("tables", "gate", "report"):
            return {"stage": stage, **self._study_spec(stage)}
        if stage == "fetch":
            archive = study.datasets[wildcards["dataset"]].source
            assert isinstance(archive, ArchiveSource)
            # Where a checksum is declared, it does not count where the bytes come from.
            return {"stage": stage} | (
                {"sha256": archive.sha256} if archive.sha256 else {"addresses": archive.addresses}
            )
        if stage in DATASET_STAGES:
            name = wildcards["dataset"]
            dataset = study.datasets[name]
            # Files count by content; where they lie does not.
            source = dataset.source.model_dump(mode="json", exclude=PLACES)
            spec: dict[str, Any] = {
                "stage": stage,
                "source": source,
                "files": self._files(name),
            }
            if stage == "shard":
                return {**spec, "shard": [int(number) for number in wildcards["shard"].split("of")]}
            # The number of shards is no part of what follows: the corpus is the same.
            if stage == "corpus":
                return {**spec, "max_rejects": dataset.max_rejects}
            spec["families"] = _dump(dataset.families)
            if stage == "families":
                return spec
            spec["split"] = _dump(dataset.split)
            if isinstance(dataset.split, TableSplit):
                spec["split_table"] = self._table(name)
            if stage in ("represent", "calibrate"):
                spec["representation"] = _dump(study.representations[wildcards["representation"]])
            if stage == "features":
                spec["features"] = study.features[wildcards["features"]].model_dump(mode="json", exclude={"datasets"})
            if stage == "encode":
                spec["encoder"] = _dump(study.encoder)
            if stage == "calibrate":
                own = [run for run in self.runs.values() if run.dataset == name]
                own = [run for run in own if run.representation == wildcards["representation"]]
                used = [study.samplers[sampler] for run in own for sampler in run.samplers]
                # What is composed: real music is held against train likewise, the given voice left out.
                parts = {(sampler.prompt_bars, sampler.bars, sampler.voice) for sampler in used}
                spec["parts"] = sorted(parts, key=lambda part: (*part[:2], -1 if part[2] is None else part[2]))
            if stage in ("reference", "control"):
                samplers = [study.samplers[name] for name in sorted({s for _, s in self.sampled})]
                spec |= {"study": study.study, "dataset": name, "bars": max((s.bars for s in samplers), default=8)}
            if stage == "reference":
                spec |= {"samples": self.references, "seconds": study.report.seconds}
            if stage == "control":
                count = max((s.count for s in samplers), default=4)
                spec |= {"metrics": study.metrics, "evaluation": _dump(study.evaluation), "count": count}
                spec["representations"] = {one: _dump(study.representations[one]) for one in self.represented(name)}
                if self.encoded:
                    spec["encoder"] = _dump(study.encoder)
            return spec
        run = self.runs[wildcards["run"]]
        spec = self.spec("represent", dataset=run.dataset, representation=run.representation) | {
            "stage": stage,
            "model": _dump(study.models[run.model]) | {"config": self.families[run.model]},
            "seed": run.seed,
        }
        if members := self.members(run.name):
            spec["members"] = [self.spec("train", run=name) for name in members]
        if stage == "train":
            return spec
        spec["labels"] = {
            "study": study.study,
            "run": run.name,
            "dataset": run.dataset,
            "representation": run.representation,
            "model": run.model,
            "seed": str(run.seed),
        }
        if stage == "likelihood":
            return spec | {"evaluation": _dump(study.evaluation)}
        sampler = study.samplers[wildcards["sampler"]]
        spec["labels"]["sampler"] = wildcards["sampler"]
        spec["sampler"] = _dump(sampler)
        if stage == "sample":
            return spec | {"seconds": study.report.seconds}
        if stage == "copying":
            return spec | {"evaluation": _dump(study.evaluation)}
        spec |= {"metrics": study.metrics, "evaluation": _dump(study.evaluation)}
        if study.sweep and wildcards["sampler"] in study.swept:
            spec["criterion"] = study.sweep.criterion
        if self.encoded:
            spec["encoder"] = _dump(study.encoder)
        return spec

    def code(self, stage: str, **wildcards: str) -> dict[str, str]:
        """The import closure of a job: its program and the modules that it loads by name."""
        extra: list[str] = []
        resources: Iterable[str] = ()
        if stage == "train" and self.study.models[self.runs[wildcards["run"]].model].training is not None:
            extra.append(LOOP)
        if stage in ("train", "likelihood", "sample"):
            run = self.runs[wildcards["run"]]
            models = [run.model, *(self.runs[name].model for name in self.members(run.name))]
            extra += [FAMILIES[self.study.models[name].family] for name in models]
        if stage in ("shard", "corpus"):
            extra += _readers(self.study.datasets[wildcards["dataset"]].source)
        if stage in ("represent", "calibrate"):
            extra.append(_module(REPRESENTATIONS[self.study.representations[wildcards["representation"]].kind]))
        if stage == "features":
            extra += [WINDOWS, FEATURES[self.study.features[wildcards["features"]].kind]]
        if stage == "sample":
            extra.append(_module(REPRESENTATIONS[self.study.representations[run.representation].kind]))
        if stage == "control":
            kinds = [self.study.representations[one].kind for one in self.represented(wildcards["dataset"])]
            extra += [_module(REPRESENTATIONS[kind]) for kind in kinds]
        if stage in ("measure", "control"):
            extra += [_module(METRICS[name]) for name in self.study.metrics]
        if stage == "measure" and self.study.sweep and wildcards["sampler"] in self.study.swept:
            extra += [_module(METRICS[name]) for name in self.study.sweep.criterion]
        if stage == "report":
            folder = self.root / TEMPLATES
            resources = sorted(path.relative_to(self.root).as_posix() for path in folder.iterdir() if path.is_file())
        return self.fingerprints.closure(f"workflow/scripts/{stage}.py", extra, resources)

    def _files(self, dataset: str) -> str:
        """Digest of the content of a dataset's files."""
        if dataset not in self._digests:
            try:
                content = content_digest(self.study.datasets[dataset].source, Path(), self.cache / "manifest.json")
            except FileNotFoundError as error:
                raise StudyError(f"datasets.{dataset}.source: {error}") from None
            self._digests[dataset] = content
        return self._digests[dataset]

    def _table(self, dataset: str) -> str:
        """Digest of the content of a dataset's split table."""
        split = self.study.datasets[dataset].split
        assert isinstance(split, TableSplit)
        path = self.root / split.path
        try:
            return provenance.digest(path.read_bytes())
        except OSError as error:
            raise StudyError(f"datasets.{dataset}.split.path: cannot read {path}: {error.strerror}") from None

    def _study_spec(self, stage: str) -> dict[str, Any]:
        study = self.study
        if stage == "gate":
            baseline = self.root / "config" / "baselines" / f"{study.study}.json"
            return {
                "study": study.study,
                "gates": [_dump(gate) for gate in study.gates],
                "baseline": provenance.digest(baseline.read_bytes()) if baseline.exists() else None,
                "places": self._places(("gate", "report", "tables")),
            }
        if stage == "tables":
            runs = [self._row(run) for run in self.runs.values()]
            leaks = [_dump(leak) for leak in study.leaks]
            sweep = _dump(study.sweep) if study.sweep else None
            return {
                "study": study.study,
                "runs": runs,
                "leaks": leaks,
                "sweep": sweep,
                "evaluation": _dump(study.evaluation),
            }
        # Gated runs add to it after the report was made, so it counts by content, as a baseline does.
        history = self.results / "history.parquet"
        return {
            "document": _dump(study),
            "places": self._places(("report",)),
            "cards": self._cards(),
            "history": provenance.digest(history.read_bytes()) if history.exists() else None,
        }

    def _cards(self) -> dict[str, dict[str, Any]]:
        """The catalog's entries of the datasets that came from it."""
        named = {name: dataset.catalog for name, dataset in self.study.datasets.items() if dataset.catalog}
        return {name: _dump(catalog.load(entry, self.root / catalog.FOLDER)) for name, entry in named.items()}

    def _places(self, without: Iterable[str]) -> list[dict[str, str]]:
        """One row a job: its stage, wildcards and folder."""
        return [
            {"stage": job.stage, **dict(job.wildcards), "folder": self.folder(job.stage, **dict(job.wildcards))}
            for job in self._jobs()
            if job.stage not in without
        ]

    def _row(self, run: Run) -> dict[str, Any]:
        """What `runs.csv` says of a run beyond the result of its training."""
        return {
            "run": run.name,
            "dataset": run.dataset,
            "representation": run.representation,
            "model": run.model,
            "seed": run.seed,
            "family": self.study.models[run.model].family,
            "spec": provenance.digest(provenance.canonical(self.spec("train", run=run.name))),
        }

    def _jobs(self) -> list[Job]:
        """Every job, upstream first."""
        rows: dict[str, list[tuple[str, ...]]] = {
            "dataset": [(name,) for name in self.datasets],
            "dataset shard": [(name, shard) for name in self.datasets for shard in self.shards(name)],
            "dataset representation": list(written(self.study)),
            "dataset features": list(self.featured),
            "run": [(name,) for name in self.runs],
            "run sampler": list(self.sampled),
            "": [()],
        }
        some: dict[str, list[tuple[str, ...]]] = {
            "fetch": [(name,) for name in self.datasets if _fetched(self.study.datasets[name].source)],
            "reference": [(name,) for name in self.trained],
            "control": [(name,) for name in self.trained],
            "calibrate": list(written(self.study)) if self.runs else [],
            "encode": [(name,) for name in self.encoded],
        }
        return [
            Job(stage, tuple(zip(_names(stage), values, strict=True)))
            for stage in FOLDERS
            for values in (some[stage] if stage in some else rows[" ".join(_names(stage))])
        ]

    def _request(self, job: Job) -> provenance.Request:
        wildcards = dict(job.wildcards)
        return provenance.Request(
            folder=Path(self.folder(job.stage, **wildcards)),
            spec=provenance.canonical(self.spec(job.stage, **wildcards)),
            code=provenance.canonical(self.code(job.stage, **wildcards)),
            lock=self.lock,
        )

    def _resolve(self) -> dict[str, dict[str, Any]]:
        """Every model's full family config, defaults included, checked by the family itself.

        Families import JAX, which takes a second; what they said is kept with the results until the study, their
        code, or what they are asked changes.
        """
        modules = sorted({FAMILIES[model.family] for model in self.study.models.values()})
        modules.append(capabilities.__name__)
        code = {name: self.fingerprints.closure(name) for name in modules}
        key = provenance.digest(provenance.canonical([_dump(self.study), code, self.lock]))
        path = self.results / "studies" / self.study.study / "study.json"
        if path.exists():
            known = json.loads(path.read_text())
            if known["key"] == key:
                return known["families"]
        families = capabilities.resolve(self.study)
        content = {"key": key, "study": _dump(self.study), "families": families}
        provenance.write_atomically(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
        return families


def _names(stage: str) -> list[str]:
    """The wildcards of a stage, in the order of its folder."""
    return [part[1:-1] for part in FOLDERS[stage].split("/") if part.startswith("{") and part != "{study}"]


def _readers(source: Source) -> list[str]:
    """The modules that read a source's files and write its corpus."""
    if isinstance(source, Content) and source.format is not None:
        formats = {source.format}
    elif isinstance(source, ArchiveSource):
        # What an archive holds is known only when it is there.
        formats = set(SUFFIXES[source.modality].values())
    else:
        formats = {file.format for file in list_source(source) if file.format is not None}
    readers = {_module(registry[name]) for name in formats for registry in (READERS, PARTS) if name in registry}
    return sorted({*readers, _module(WRITERS[source.modality])})


def _fetched(source: Source) -> bool:
    """Whether a job fetches the source before it is read."""
    return isinstance(source, ArchiveSource) and source.path is None


def _module(entry: str) -> str:
    return entry.partition(":")[0]


def _dump(section: BaseModel) -> dict[str, Any]:
    return section.model_dump(mode="json")
