"""The small interface that every model family speaks, and the checkpoint that carries a trained model.

Legend of shape suffixes: B sequences of a batch, T steps, K tokens a step, V vocabulary, S grammar states,
D features.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

from dalsegno.models.registry import FAMILIES
from dalsegno.representations.base import Grammar, Layout, Vocabulary

Arrays = dict[str, np.ndarray]

FREE = -1
"""In place of a token: the model writes it."""


class FamilyConfig(BaseModel):
    """A family's hyper-parameters: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Request:
    """What `generate` is asked for: one sequence a prompt.

    Attributes:
        prompts: `tokens_TxK` that each sequence begins with, possibly of no steps.
        steps: length at most, prompt included.
        grammar: which tokens may follow; never violated after the prompt.
        temperature: divides the logits.
        top_k: keep the k likeliest tokens, 0 keeps all.
        top_p: keep the likeliest tokens of this joint probability (nucleus; Holtzman et al. 2020).
        seed: the same seed gives the same sequences.
        bars: a sequence ends before symbol `bar` occurs once more than this; None where steps carry time.
        bar: the symbol that begins a bar, or None.
        voices: number of a voice (0 the highest) -> its `tokens_T` in each sequence: what stands there is written to
            it, also beyond the prompt.
        attributes: what the model is told of the music, see `dalsegno.models.attributes`.
    """

    prompts: Sequence[np.ndarray]
    steps: int
    grammar: Grammar
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    bars: int | None = None
    bar: int | None = None
    voices: Mapping[int, Sequence[np.ndarray]] = field(default_factory=dict)
    attributes: Mapping[str, int | str | list[int]] = field(default_factory=dict)

    def given(self, width: int) -> np.ndarray:
        """`given_BxTxK` (int32): what must stand where; `FREE` where the model writes."""
        given = np.full((len(self.prompts), self.steps, width), FREE, np.int32)
        for k, lines in self.voices.items():
            for row, line in enumerate(lines):
                given[row, : len(line), k] = line[: self.steps]
        for row, prompt in enumerate(self.prompts):
            given[row, : len(prompt)] = prompt[: self.steps]
        return given


class Trained(Protocol):
    """A trained model."""

    def log_probs(self, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`logp_TxK` (float32, nats) of each `tokens_TxK`.

        The joint chain rule: token k of step t given all earlier steps and the tokens before k of step t; the
        first step is predicted too.
        """
        ...

    def generate(self, request: Request) -> list[np.ndarray]:
        """One `tokens_TxK` (int16) a prompt, prompt and end symbol included."""
        ...


class Family(Protocol):
    """What a family's module exports; `LAYOUTS` are those of the representations that it takes.

    Besides, exactly one of
    `Network(config, vocabulary, rngs)`, a `dalsegno.models.steps.StepModel` that gradient descent trains,
    `fit(config, packed, augmentation, seed) -> Arrays`, for what is fitted in closed form, or
    `combine(config, checkpoints) -> (Config, Arrays)`, for what is made of other models that `Config.members` names.
    """

    Config: type[FamilyConfig]
    SUPPORTS: frozenset[str]
    LAYOUTS: frozenset[Layout]

    def load(self, config: Any, vocabulary: Vocabulary, arrays: Arrays) -> Trained: ...


def family(name: str) -> Any:
    """The module (a `Family`) registered under `name`.

    Raises:
        ValueError: no such family; the message names those that exist.
    """
    if name not in FAMILIES:
        raise ValueError(f"no model family {name!r}; there are {', '.join(sorted(FAMILIES))}")
    return importlib.import_module(FAMILIES[name])


def digest(vocabulary: Vocabulary) -> str:
    """SHA-256 of everything a model knows of its representation."""
    return hashlib.sha256(json.dumps(asdict(vocabulary), sort_keys=True).encode()).hexdigest()


def save(path: Path, name: str, config: FamilyConfig, vocabulary: Vocabulary, arrays: Arrays) -> None:
    """Write a checkpoint that `load` reads; equal contents give equal bytes."""
    about = {"family": name, "config": config.model_dump(mode="json"), "vocabulary": digest(vocabulary)}
    write_arrays(path, arrays, about)


def load(path: Path, vocabulary: Vocabulary) -> Trained:
    """The trained model in the checkpoint at `path`.

    Raises:
        ValueError: the checkpoint was trained on another vocabulary.
    """
    arrays, about = read_arrays(path)
    if about["vocabulary"] != digest(vocabulary):
        raise ValueError(f"{path} was trained on another vocabulary than the given one ({vocabulary.kind})")
    module = family(about["family"])
    trained: Trained = module.load(module.Config(**about["config"]), vocabulary, arrays)
    return trained


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Arrays and a JSON document as one safetensors file, replaced as a whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    partial.write_bytes(to_bytes(ordered, {"about": json.dumps(about, sort_keys=True)}))
    os.replace(partial, path)


def read_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """What `write_arrays` wrote."""
    with safe_open(path, framework="numpy") as tensors:
        about = json.loads(tensors.metadata()["about"])
        return {name: tensors.get_tensor(name) for name in tensors.keys()}, about
