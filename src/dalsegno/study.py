"""The study: one typed document that says everything, and the errors that help to mend it.

Nothing here imports JAX: the Snakefile loads this module at every start. What only a family's own module can
judge (its `config`, what it supports) is checked by `dalsegno.capabilities.resolve`.
"""

from __future__ import annotations

import difflib
import itertools
import json
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from dalsegno.data import catalog
from dalsegno.data.options import Dataset, RandomSplit
from dalsegno.embedding.options import EncoderOptions
from dalsegno.features.options import FeatureOptions, Sound
from dalsegno.models.registry import FAMILIES
from dalsegno.options import Name, Section
from dalsegno.representations.options import RepresentationOptions
from dalsegno.sampling.options import Sampler, Sweep
from dalsegno.training.options import Augmentation, Training

CONTROLS = ("held_out", "train", "shuffled", "noise")
"""Names in the column `model` of metrics.csv that no model of a study may take."""


class StudyError(ValueError):
    """A study that cannot run; the message names file, key and the nearest valid value."""


class Model(Section):
    """One model of the study."""

    family: str = Field(description="a name of dalsegno.models.registry.FAMILIES")
    config: dict[str, Any] = Field(default_factory=dict, description="the family's own Config")
    training: Training | None = Field(None, description="absent for families that are fitted in closed form")
    augmentation: Augmentation = Augmentation()


class Exclusion(Section):
    """Combinations that a product leaves out: every key that is given must match."""

    dataset: Name | None = None
    representation: Name | None = None
    model: Name | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("an exclusion without a key would exclude every run")
        return self


class Product(Section):
    """Runs as a product; a list that is left out means all of the study's. Where the study has no models, the datasets
    and the representations that they are written in."""

    datasets: list[Name] | None = None
    representations: list[Name] | None = None
    models: list[Name] | None = None
    seeds: list[int] | None = None
    samplers: list[Name] | None = None
    exclude: list[Exclusion] = []


class Evaluation(Section):
    """How certain the numbers are."""

    resamples: int = Field(10_000, ge=100, description="bootstrap resamples of families behind every 95 % interval")
    seed: int = Field(0, ge=0)


class Gate(Section):
    """What a metric must keep: bounds, seed by seed; a margin, against the baseline; or both."""

    metric: str
    split: str | None = Field(None, description="valid, test or test_clean")
    dataset: Name | None = None
    representation: Name | None = None
    model: str | None = Field(None, description="a model of the study or a control")
    sampler: Name | None = None
    max: float | None = None
    min: float | None = None
    margin: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?%$")] | Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="tolerated loss against the baseline: 1% of its value, or a number in the metric's unit",
    )
    better: Literal["lower", "higher", "same"] | None = Field(
        None, description="which way is better; the metric's own by default"
    )

    @model_validator(mode="after")
    def bounds_something(self) -> Self:
        if self.max is None and self.min is None and self.margin is None:
            raise ValueError("a gate needs `max`, `min` or `margin`")
        if self.better is not None and self.margin is None:
            raise ValueError("`better` speaks of a `margin`, which is missing")
        return self


class Leak(Section):
    """Two datasets that differ in one thing: whether relatives of test pieces stand in train."""

    name: Name
    leaky: Name = Field(description="dataset with split {kind: random, train: as_many}")
    clean: Name = Field(description="the same with split {kind: random, train: without_relatives}")


class Report(Section):
    """What the report shows of each run and sampler."""

    samples: int = Field(2, ge=0, description="pieces shown with piano roll and player")
    seconds: float = Field(20.0, gt=0, le=600, description="length of audio at most")


class Study(Section):
    """A whole study. Every key is documented in `config/study.schema.json`."""

    study: Name = Field(description="name of the study and of its folder under results/studies/")
    title: str
    description: str = ""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0, 1]
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    representations: dict[Name, RepresentationOptions] = {}
    features: dict[Name, FeatureOptions] = Field({}, description="numbers for classifiers, of sound and of notes")
    models: dict[Name, Model] = Field({}, description="absent: a study of data alone, without runs")
    samplers: dict[Name, Sampler] = {}
    sweep: Sweep | None = Field(None, description="decodings that join `samplers`; the best of each model ranks it")
    metrics: list[str] = Field([], description="names of dalsegno.metrics.registry.METRICS, computed on samples")
    evaluation: Evaluation = Evaluation()
    encoder: EncoderOptions = EncoderOptions()
    runs: Annotated[list[Product], Field(min_length=1)] = [Product()]
    gates: list[Gate] = []
    leaks: list[Leak] = []
    report: Report = Report()

    @model_validator(mode="after")
    def decodings_are_samplers(self) -> Self:
        for name, sampler in self.swept.items():
            if self.samplers.setdefault(name, sampler) != sampler:
                raise ValueError(f"`sweep` makes a sampler {name!r}, and `samplers` another: rename yours")
        return self

    @property
    def swept(self) -> dict[str, Sampler]:
        """The samplers that the sweep makes."""
        return self.sweep.samplers if self.sweep else {}


@dataclass(frozen=True, order=True)
class Run:
    """One row of the flat table: what is trained once, and what is sampled from it."""

    dataset: str
    representation: str
    model: str
    seed: int
    samplers: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.representation}-{self.model}-s{self.seed}"


def load(
    config: dict[str, Any],
    file: str,
    metrics: typing.Iterable[str] | None = None,
    datasets: Path = catalog.FOLDER,
) -> Study:
    """The validated study of a parsed YAML document; datasets of the catalog have their sources in it.

    Args:
        config: the document.
        file: its name, for errors.
        metrics: the metric names that exist.
        datasets: the catalog's folder.

    Raises:
        StudyError: with every mistake of the document, one a line.
    """
    try:
        config = catalog.expanded(config, datasets)
        study = Study.model_validate(config)
    except catalog.CatalogError as error:
        raise StudyError(_report(file, str(error).splitlines())) from None
    except ValidationError as error:
        lines = [_explain(config, one) for one in error.errors()]
        raise StudyError(_report(file, lines)) from None
    lines = list(_broken_references(study, sorted(metrics) if metrics is not None else None))
    if lines:
        raise StudyError(_report(file, lines))
    return study


def expand(study: Study) -> list[Run]:
    """The flat table of runs, sorted by name, each once; samplers of equal runs are united."""
    table: dict[tuple[str, str, str, int], set[str]] = {}
    for product in study.runs:
        axes = (
            product.datasets or _of_notes(study),
            product.representations or list(study.representations),
            product.models or list(study.models),
            product.seeds or study.seeds,
        )
        samplers = list(study.samplers) if product.samplers is None else product.samplers
        for row in itertools.product(*axes):
            if not any(_matches(exclusion, row) for exclusion in product.exclude):
                table.setdefault(row, set()).update(samplers)
    return sorted(Run(*row, samplers=tuple(sorted(samplers))) for row, samplers in table.items())


def written(study: Study) -> list[tuple[str, str]]:
    """Every dataset and the representations that it is written in, sorted: those of its runs, or, where the study is of
    data alone, what `runs` choose."""
    if study.models:
        return sorted({(run.dataset, run.representation) for run in expand(study)})
    pairs = {
        (dataset, representation)
        for product in study.runs
        for dataset in product.datasets or _of_notes(study)
        for representation in product.representations or list(study.representations)
        if not any(_matches(exclusion, (dataset, representation, None, None)) for exclusion in product.exclude)
    }
    return sorted(pairs)


def _of_notes(study: Study) -> list[str]:
    return [name for name, one in study.datasets.items() if one.source.modality == "notes"]


def schema() -> str:
    """The JSON schema of a study, as committed in `config/study.schema.json`."""
    return json.dumps(Study.model_json_schema(), indent=2, sort_keys=True) + "\n"


def nearest(wrong: object, valid: typing.Iterable[object]) -> str:
    """`, did you mean 'x'?` or the list of what is valid."""
    names = [str(name) for name in valid]
    close = difflib.get_close_matches(str(wrong), names, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(names) or 'none'}"


def _report(file: str, lines: list[str]) -> str:
    return "\n".join([f"{file} is not a valid study:", *(f"  {line}" for line in lines)])


def _matches(exclusion: Exclusion, row: tuple[str, str, str | None, int | None]) -> bool:
    wanted = (exclusion.dataset, exclusion.representation, exclusion.model, exclusion.seed)
    return all(want is None or want == have for want, have in zip(wanted, row, strict=True))


def _broken_references(study: Study, metrics: list[str] | None) -> typing.Iterator[str]:
    for name, model in study.models.items():
        if name in CONTROLS:
            yield f"models.{name}: this is the name of a control; choose another"
        if model.family not in FAMILIES:
            yield f"models.{name}.family: no family {model.family!r}{nearest(model.family, FAMILIES)}"
    if metrics is not None:
        for index, metric in enumerate(study.metrics):
            if metric not in metrics:
                yield f"metrics.{index}: no metric {metric!r}{nearest(metric, metrics)}"
        for index, metric in enumerate(study.sweep.criterion if study.sweep else []):
            if metric not in metrics:
                yield f"sweep.criterion.{index}: no metric {metric!r}{nearest(metric, metrics)}"
    for index, product in enumerate(study.runs):
        for axis, names in (
            ("datasets", study.datasets),
            ("representations", study.representations),
            ("models", study.models),
            ("samplers", study.samplers),
        ):
            for name in getattr(product, axis) or []:
                if name not in names:
                    yield f"runs.{index}.{axis}: the study has no {axis[:-1]} {name!r}{nearest(name, names)}"
        for name in product.datasets or []:
            if name in study.datasets and (kind := study.datasets[name].source.modality) != "notes":
                yield f"runs.{index}.datasets: {name} holds no notes ({kind}), which no representation can write"
        for position, exclusion in enumerate(product.exclude):
            for axis, names in (
                ("dataset", study.datasets),
                ("representation", study.representations),
                ("model", study.models),
            ):
                name = getattr(exclusion, axis)
                if name is not None and name not in names:
                    where = f"runs.{index}.exclude.{position}.{axis}"
                    yield f"{where}: the study has no {axis} {name!r}{nearest(name, names)}"
    yield from _broken_features(study)
    for index, gate in enumerate(study.gates):
        for axis, valid in (
            ("dataset", [*study.datasets]),
            ("representation", [*study.representations]),
            ("model", [*study.models, *CONTROLS]),
            ("sampler", [*study.samplers]),
        ):
            name = getattr(gate, axis)
            if name is not None and name not in valid:
                yield f"gates.{index}.{axis}: the study has no {axis} {name!r}{nearest(name, valid)}"
    yield from _broken_leaks(study)
    for name, sampler in study.samplers.items():
        if sampler.prompt_bars >= sampler.bars:
            told = f"a prompt of {sampler.prompt_bars} bars leaves nothing of {sampler.bars}"
            yield f"samplers.{name}.prompt_bars: {told}"
    if study.models and not study.representations:
        yield "representations: the models need one"
    elif study.models and not expand(study):
        yield "runs: the exclusions leave no run"
    if not study.models:
        for index, product in enumerate(study.runs):
            for key in ("models", "seeds", "samplers"):
                if getattr(product, key) is not None:
                    yield f"runs.{index}.{key}: the study has no models; its runs choose datasets and representations"
            for position, exclusion in enumerate(product.exclude):
                for key in ("model", "seed"):
                    if getattr(exclusion, key) is not None:
                        yield f"runs.{index}.exclude.{position}.{key}: the study has no models"


def _broken_features(study: Study) -> typing.Iterator[str]:
    for name, options in study.features.items():
        where = f"features.{name}"
        for index, dataset in enumerate(options.datasets or []):
            if dataset not in study.datasets:
                told = f"the study has no dataset {dataset!r}{nearest(dataset, study.datasets)}"
                yield f"{where}.datasets.{index}: {told}"
            elif (kind := study.datasets[dataset].source.modality) not in options.modalities:
                able = " or ".join(options.modalities)
                yield f"{where}.datasets.{index}: {dataset} is of modality {kind}, {options.kind} needs {able}"
        if isinstance(options, Sound) and options.window and options.window > options.seconds:
            yield f"{where}.window: {options.window:g} s do not fit in the {options.seconds:g} s of `seconds`"


def _broken_leaks(study: Study) -> typing.Iterator[str]:
    names = [leak.name for leak in study.leaks]
    for index, leak in enumerate(study.leaks):
        if leak.name in names[:index]:
            yield f"leaks.{index}.name: {leak.name!r} stands there twice; choose another"
        sides = {"leaky": (leak.leaky, "as_many"), "clean": (leak.clean, "without_relatives")}
        if unknown := [side for side, (name, _) in sides.items() if name not in study.datasets]:
            for side in unknown:
                name = sides[side][0]
                yield f"leaks.{index}.{side}: the study has no dataset {name!r}{nearest(name, study.datasets)}"
            continue
        for side, (name, train) in sides.items():
            split = study.datasets[name].split
            if not isinstance(split, RandomSplit) or split.train != train:
                yield f"leaks.{index}.{side}: datasets.{name}.split must be {{kind: random, train: {train}}}"
        leaky, clean = ({**study.datasets[name].model_dump(), "split": {}} for name, _ in sides.values())
        if differing := [key for key in leaky if leaky[key] != clean[key]]:
            yield f"leaks.{index}: {leak.leaky} and {leak.clean} differ in {differing[0]}; only split.train may differ"
        shares = [study.datasets[name].split.model_dump(exclude={"kind", "train"}) for name, _ in sides.values()]
        if differing := [key for key in shares[0] if shares[0].get(key) != shares[1].get(key)]:
            yield f"leaks.{index}: {leak.leaky} and {leak.clean} differ in split.{differing[0]}: the test pieces differ"
        trained = [
            {(run.representation, run.model, run.seed) for run in expand(study) if run.dataset == name}
            for name, _ in sides.values()
        ]
        if trained[0] != trained[1]:
            one = min(trained[0] ^ trained[1])
            yield (
                f"leaks.{index}: {one[1]} with seed {one[2]} in {one[0]} is trained on one of {leak.leaky} and "
                f"{leak.clean} only: let `runs` hold both"
            )
        elif not trained[0]:
            yield f"leaks.{index}: no run is trained on {leak.leaky} and {leak.clean}"


def _explain(config: dict[str, Any], error: Any) -> str:
    """One line for one Pydantic error: key, what is wrong, and the nearest valid value."""
    # A discriminated union puts its tag into the location; a reader's document has no such key.
    key: list[str] = []
    data: Any = config
    for part in error["loc"]:
        if isinstance(data, dict) and data.get("kind") == part and part not in data:
            continue
        key.append(str(part))
        data = data.get(part) if isinstance(data, dict) else data[part] if isinstance(data, list) else None
    where = ".".join(key)
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{nearest(key[-1], _fields(Study, list(error['loc'][:-1])))}"
    if error["type"] == "literal_error":
        expected = [value.strip("' ") for value in str(error["ctx"]["expected"]).replace(" or ", ",").split(",")]
        return f"{where}: {error['input']!r} is not valid{nearest(error['input'], expected)}"
    if error["type"] == "union_tag_invalid":
        expected = [value.strip("' ") for value in str(error["ctx"]["expected_tags"]).split(",")]
        return f"{where}.kind: {error['ctx']['tag']!r} is not valid{nearest(error['ctx']['tag'], expected)}"
    if error["type"] == "missing":
        return f"{where}: this key is missing"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return f"{where or 'study'}: {message}" + ("" if isinstance(given, dict) else f", not {given!r}")


def _fields(annotation: Any, path: list[Any]) -> list[str]:
    """The keys that are valid at `path` inside a type."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _fields(typing.get_args(annotation)[0], path)
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(annotation)
        if path and isinstance(path[0], str):
            tagged = [member for member in members if path[0] in _tags(member)]
            if tagged:
                return _fields(tagged[0], path[1:])
        return sorted({field for member in members for field in _fields(member, path)})
    if origin in (dict, list):
        return _fields(typing.get_args(annotation)[-1], path[1:]) if path else []
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if not path:
            return list(fields)
        if path[0] in fields:
            return _fields(fields[path[0]].annotation, path[1:])
    return []


def _tags(member: Any) -> tuple[str, ...]:
    """The values of `kind` that choose a member of a union."""
    kind = getattr(member, "model_fields", {}).get("kind")
    return typing.get_args(kind.annotation) if kind is not None else ()
