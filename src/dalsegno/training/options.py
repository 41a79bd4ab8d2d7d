"""How a model is fitted: the `training` and `augmentation` sections of a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dalsegno.options import Section

LOOP = "dalsegno.training.loop"
"""The loop of gradient descent, loaded by name, so that what is fitted in closed form does not depend on it."""


class Training(Section):
    """How a model is fitted by gradient descent; chosen on validation, never on test."""

    steps: int = Field(600, ge=1, description="optimizer steps at most")
    batch_size: int = Field(16, ge=1, description="windows a step")
    window: int = Field(128, ge=2, description="length of a window in steps of the representation")
    optimizer: Literal["adamw", "lamb", "lion", "nadamw", "sgd"] = Field("adamw", description="of optax, by its name")
    b1: float = Field(0.9, ge=0, lt=1, description="decay of the mean of gradients; momentum of sgd")
    b2: float = Field(0.99, ge=0, lt=1, description="decay of the mean of squared gradients; not read by sgd")
    weight_decay: float = Field(0.01, ge=0, description="decoupled from the gradient; of sgd a part of it (L2)")
    schedule: Literal["cosine", "linear", "inverse_sqrt", "constant"] = Field(
        "cosine", description="of the learning rate after the warm-up; inverse_sqrt is that of Vaswani et al. (2017)"
    )
    learning_rate: float = Field(2e-3, gt=0, description="peak of the schedule")
    warmup_steps: int = Field(50, ge=0, description="steps of linear growth to the peak")
    final_learning_rate: float = Field(
        0.05, ge=0, le=1, description="share of the peak that is left at the end of cosine and linear"
    )
    clip_norm: float = Field(1.0, gt=0, description="global norm of the gradient")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="weight of the uniform distribution in the training target; never in evaluation"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights that stands in for them; 0: none",
    )
    eval_every: int = Field(100, ge=1, description="steps between evaluations on the validation split")
    patience: int = Field(5, ge=1, description="evaluations without a better validation NLL before stopping")


class Augmentation(Section):
    """What the training split (and no other) is varied by."""

    transpose: int = Field(0, ge=0, le=12, description="semitones up or down at most, within the training range")
    velocity: int = Field(0, ge=0, le=64, description="levels louder or softer at most, all notes of a window alike")
    tempo: int = Field(0, ge=0, le=64, description="levels faster or slower at most, all marks of a window alike")
    voice_dropout: float = Field(
        0.0, ge=0, lt=1, description="chance that a voice rests for a window; one is always heard"
    )
