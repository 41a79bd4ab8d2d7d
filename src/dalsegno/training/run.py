"""One training run: fit a model and write its artifacts, however its family is fitted."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.models import base
from dalsegno.representations.base import Packed
from dalsegno.training.curves import write
from dalsegno.training.devices import Machine, leads
from dalsegno.training.locks import exclusive
from dalsegno.training.options import LOOP, Augmentation, Training

PLAIN = Machine()


@dataclass
class Progress:
    """Where a run stands; with the arrays it is all that resuming needs."""

    step: int = 0
    best_step: int = 0
    best_nll: float = math.inf
    worse: int = 0
    stopped_by: str = ""
    losses: list[float] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)


def train(
    model: dict[str, Any],
    packed: Packed,
    seed: int,
    checkpoint: Path,
    curves: Path,
    summary: Path,
    scratch: Path,
    members: Sequence[Path] = (),
    machine: Machine = PLAIN,
) -> None:
    """Fit one model and write its artifacts.

    Args:
        model: the study's section as a plain document: family, config, training, augmentation.
        packed: tokens; fitted on `train`, chosen on `valid`, `test` is not read.
        seed: of initial values, batches and dropout.
        checkpoint: written: weights with the best validation NLL, see `dalsegno.models.base.load`.
        curves: written: JSON lines with step, split, nll (nats a token) and learning_rate, and events for TensorBoard
            beside it (`dalsegno.training.curves`); both at each evaluation, too.
        summary: written: JSON with parameters, best_step, best_valid_nll, steps, stopped_by and, for gradient descent,
            the machine's precision, sharding and microbatches.
        scratch: folder that a killed run resumes from; holds nothing else of worth.
        members: checkpoints of the models that this one is made of, for families that combine others.
        machine: how gradient descent is laid out on the devices at hand.

    Raises:
        Diverged: the loss or its gradient became NaN or infinite; the step's batch and the last good state stay in
            `scratch`.
    """
    name = model["family"]
    family = base.family(name)
    config = family.Config(**model["config"])
    augmentation = Augmentation(**model["augmentation"])
    # Processes that train together share the folder; the first holds it for all.
    layout: dict[str, Any] = {}
    with exclusive(scratch) if leads() else nullcontext():
        if hasattr(family, "Network"):
            loop = importlib.import_module(LOOP)
            training = Training(**model["training"])
            arrays, progress = loop.descend(
                family, config, training, augmentation, packed, seed, scratch, machine, partial(write, curves)
            )
            layout = asdict(machine)
        else:
            if members:
                config, arrays = family.combine(config, members)
            else:
                arrays = family.fit(config, packed, augmentation, seed)
            trained = family.load(config, packed.vocabulary, arrays)
            progress = Progress(best_nll=valid_nll(trained.log_probs, packed), stopped_by="closed_form")
            progress.curve.append({"step": 0, "split": "valid", "nll": progress.best_nll, "learning_rate": None})
        if not leads():
            return
        base.save(checkpoint, name, config, packed.vocabulary, arrays)
        write(curves, progress.curve)
        result: dict[str, Any] = {
            "parameters": int(sum(array.size for array in arrays.values())),
            "best_step": progress.best_step,
            "best_valid_nll": progress.best_nll,
            "steps": progress.step,
            "stopped_by": progress.stopped_by,
            **layout,
        }
        summary.write_text(json.dumps(result, sort_keys=True, indent=1) + "\n")


def valid_nll(log_probs: Any, packed: Packed) -> float:
    """Mean NLL of the validation split in nats a token."""
    scores = log_probs([packed.piece(i) for i in packed.indices("valid")])
    return -float(sum(score.sum(dtype=np.float64) for score in scores) / sum(score.size for score in scores))
