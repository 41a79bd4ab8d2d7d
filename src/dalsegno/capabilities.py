"""What a study asks of its families, and whether they can do it: every family's full config, or all errors at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from dalsegno.metrics.base import HistogramDistance
from dalsegno.metrics.registry import load_metric
from dalsegno.models.registry import FAMILIES
from dalsegno.sampling.options import Sampler
from dalsegno.study import Model, Study, StudyError, expand, nearest

GIFTS: dict[str, Callable[[Sampler], bool]] = {
    "prompt": lambda sampler: sampler.prompt_bars > 0,
    "voice": lambda sampler: sampler.voice is not None,
    "attributes": lambda sampler: bool(sampler.attributes),
}
"""What a family may say that it takes -> whether a sampler gives it."""


def resolve(study: Study) -> dict[str, dict[str, Any]]:
    """Ask every family of the study for its full config, defaults written out.

    Raises:
        StudyError: where a family does not know a key, or does not support what the study asks of it.
    """
    configs, lines = {}, []
    for name, model in study.models.items():
        family = importlib.import_module(FAMILIES[model.family])
        used = sorted({sampler for run in expand(study) if run.model == name for sampler in run.samplers})
        lines += _untrainable(name, model, family)
        lines += _untaken(study, name, family, used)
        try:
            config = configs[name] = family.Config.model_validate(model.config)
        except ValidationError as error:
            lines += _unknown(name, family, error)
            config = None
        lines += _misfits(study, name, family.LAYOUTS, config)
        if config is not None and "attributes" in family.SUPPORTS:
            lines += _untellable(study, name, config, used)
    lines += _memberless(study, configs)
    for index, name in enumerate(study.sweep.criterion if study.sweep else []):
        if not isinstance(load_metric(name), HistogramDistance):
            lines.append(f"sweep.criterion.{index}: {name!r} is no distance between distributions")
    if lines:
        raise StudyError("\n".join([f"the study {study.study} asks for what its families cannot do:", *lines]))
    return {name: config.model_dump(mode="json") for name, config in configs.items()}


def _unknown(name: str, family: Any, error: ValidationError) -> list[str]:
    """What is wrong with a model's config, key by key."""
    lines = []
    for one in error.errors():
        key = ".".join(str(part) for part in one["loc"])
        unknown = one["type"] == "extra_forbidden"
        told = f"unknown key{nearest(key, family.Config.model_fields)}" if unknown else one["msg"]
        lines.append(f"models.{name}.config.{key}: {told}")
    return lines


def _untrainable(name: str, model: Model, family: Any) -> list[str]:
    """A `training` section that a family has no use for or lacks, and augmentation that only training gives."""
    if hasattr(family, "Network"):
        if model.training is None:
            return [f"models.{name}.training: the family {model.family!r} needs this section"]
        return []
    lines = [
        f"models.{name}.augmentation.{key}: what is fitted in closed form is varied by transpose alone"
        for key in ("velocity", "tempo", "voice_dropout")
        if getattr(model.augmentation, key)
    ]
    if model.training is not None:
        lines.append(f"models.{name}.training: the family {model.family!r} is fitted in closed form: drop this key")
    return lines


def _untaken(study: Study, name: str, family: Any, samplers: Iterable[str]) -> list[str]:
    """Conditions that samplers give and a family does not take."""
    lines = []
    for what, gives in GIFTS.items():
        if (named := [one for one in samplers if gives(study.samplers[one])]) and what not in family.SUPPORTS:
            told = f"the family {study.models[name].family!r} takes no {what}, but samplers {named} give one"
            lines.append(f"models.{name}: {told}")
    return lines


def _memberless(study: Study, configs: dict[str, Any]) -> list[str]:
    """Ensembles whose members are not all networks of the study, trained in as many runs, whose mean can be taken."""
    runs, lines = {run.name: run for run in expand(study)}, []
    for run in runs.values():
        for name in getattr(configs.get(run.model), "members", []):
            where = f"models.{run.model}.config.members"
            if not isinstance(name, str):
                lines.append(f"{where}: a member is named as in `models`")
            elif (member := study.models.get(name)) is None:
                lines.append(f"{where}: the study has no model {name!r}{nearest(name, study.models)}")
            elif member.training is None:
                lines.append(f"{where}: {name!r} is no network that is trained by gradient descent")
            elif "mixture" not in importlib.import_module(FAMILIES[member.family]).SUPPORTS:
                lines.append(f"{where}: {name!r} is of {member.family}, which no ensemble can average")
            elif (needed := replace(run, model=name).name) not in runs:
                lines.append(f"{where}: {run.name} needs {needed}, which `runs` leaves out")
    return list(dict.fromkeys(lines))


def _untellable(study: Study, name: str, config: Any, samplers: Iterable[str]) -> list[str]:
    """What samplers tell a model that it does not know, and what cannot be measured on its representations."""
    from dalsegno.models.attributes import Measured, wished

    lines = []
    for sampler in samplers:
        try:
            wished(study.samplers[sampler].attributes, config.attributes, 1, 1)
        except ValueError as error:
            lines.append(f"samplers.{sampler}.attributes for models.{name}: {error}")
    measured = [key for key, one in config.attributes.items() if isinstance(one, Measured)]
    for representation in sorted({run.representation for run in expand(study) if run.model == name}):
        if measured and (layout := study.representations[representation].layout) != "voices":
            where = f"models.{name} on representations.{representation}"
            lines.append(f"{where}: attributes.{measured[0]} is measured on voices, and this is {layout}")
    return lines


def _misfits(study: Study, name: str, layouts: frozenset[str], config: Any) -> list[str]:
    """What a model cannot do with the representations that it runs on."""
    model, lines = study.models[name], []
    runs = [run for run in expand(study) if run.model == name]
    for representation in sorted({run.representation for run in runs}):
        options = study.representations[representation]
        where = f"models.{name} on representations.{representation}"
        if options.layout not in layouts:
            told = f"takes {', '.join(sorted(layouts))}, and {options.kind} gives {options.layout}: exclude the pair"
            lines.append(f"{where}: the family {model.family!r} {told}")
        if not options.transposes:
            semitones = {"augmentation": model.augmentation.transpose, "config": getattr(config, "transpose", 0)}
            lines += [
                f"{where}: its symbols cannot be transposed; leave out {section}.transpose"
                for section, asked in semitones.items()
                if asked
            ]
        lines += [
            f"{where}: {told}; leave out augmentation.{key}"
            for key, told in _lacking(options).items()
            if getattr(model.augmentation, key)
        ]
        samplers = sorted({s for run in runs if run.representation == representation for s in run.samplers})
        for sampler in samplers:
            voice, voices = study.samplers[sampler].voice, getattr(options, "voices", 0)
            if voice is not None and not (options.layout == "voices" and voice < voices):
                lines.append(f"{where}: samplers.{sampler}.voice: there is no voice {voice}, of {voices} from 0")
        if options.kind == "mmm" and (given := sorted(s for s in samplers if study.samplers[s].prompt_bars)):
            lines.append(f"{where}: mmm tells one track after the other and cannot continue samplers {given}")
    return lines


def _lacking(options: Any) -> dict[str, str]:
    """What the symbols of a representation cannot be varied by, with the reason."""
    levels = {"velocity": getattr(options, "velocities", 1) > 1, "tempo": getattr(options, "tempos", 0) > 0}
    lacking = {key: f"it has no {key} levels" for key, able in levels.items() if not able or not options.transposes}
    if options.layout != "voices":
        lacking["voice_dropout"] = "its steps are no voices"
    return lacking
