"""The study: one typed document that says everything, and the errors that help to mend it.

Nothing here imports JAX: the Snakefile loads this module at every start.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Section(BaseModel):
    """A part of a study: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Music21Source(Section):
    """Scores that ship in music21's wheel."""

    kind: Literal["music21"]
    collection: Literal["bach_chorales"]


class FolderSource(Section):
    """A folder of MIDI files, searched recursively."""

    kind: Literal["folder"]
    path: str = Field(description="folder of MIDI files, absolute or relative to where make runs")
    licence: str = Field("unknown", description="stands in the report and beside every sample")


Source = Annotated[Music21Source | FolderSource, Field(discriminator="kind")]


class TableSplit(Section):
    """An official split: a CSV with the columns piece and split."""

    kind: Literal["table"]
    path: str = Field(description="CSV file relative to the project, e.g. config/splits/jsb.csv")


class FamilySplit(Section):
    """A random split of families: pieces that share a melody never stand on both sides."""

    kind: Literal["family"]
    valid: float = Field(0.1, gt=0, lt=0.5, description="share of pieces")
    test: float = Field(0.1, gt=0, lt=0.5, description="share of pieces")
    seed: int = 0


Split = Annotated[TableSplit | FamilySplit, Field(discriminator="kind")]


class Dataset(Section):
    """Where music comes from and how it is divided."""

    source: Source
    split: Split
    max_rejects: float = Field(0.5, ge=0, le=1, description="share of unreadable files above which the job fails")


class Voices(Section):
    """Voices on a grid, interleaved from the highest down; no hold symbol."""

    kind: Literal["voices"]
    voices: int = Field(4, ge=1, le=16)
    steps_per_quarter: int = Field(4, ge=1, le=48)
    lowest: int = Field(36, ge=0, le=127, description="lowest MIDI pitch of the vocabulary")
    highest: int = Field(81, ge=0, le=127, description="highest MIDI pitch of the vocabulary")


class Remi(Section):
    """REMI events by MidiTok (Huang and Yang 2020)."""

    kind: Literal["remi"]
    steps_per_quarter: int = Field(4, ge=1, le=48, description="positions a quarter note")
    velocities: int = Field(1, ge=1, le=127, description="velocity levels; 1 leaves velocity out")
    max_bars: int = Field(512, ge=1, description="longer pieces are cut here")


RepresentationOptions = Annotated[Voices | Remi, Field(discriminator="kind")]


class Training(Section):
    """How a model is fitted by gradient descent; chosen on validation, never on test."""

    steps: int = Field(600, ge=1, description="optimizer steps at most")
    batch_size: int = Field(16, ge=1, description="windows a step")
    window: int = Field(128, ge=2, description="length of a window in steps of the representation")
    learning_rate: float = Field(2e-3, gt=0, description="peak of a warm-up cosine schedule (AdamW)")
    warmup_steps: int = Field(50, ge=0)
    final_learning_rate: float = Field(0.05, ge=0, le=1, description="share of the peak that is left at the end")
    weight_decay: float = Field(0.01, ge=0)
    clip_norm: float = Field(1.0, gt=0, description="global norm of the gradient")
    eval_every: int = Field(100, ge=1, description="steps between evaluations on the validation split")
    patience: int = Field(5, ge=1, description="evaluations without a better validation NLL before stopping")


class Augmentation(Section):
    """What the training split (and no other) is varied by."""

    transpose: int = Field(0, ge=0, le=12, description="semitones up or down at most, within the training range")


class Model(Section):
    """One model of the study."""

    family: str = Field(description="a name of dalsegno.models.registry.FAMILIES")
    config: dict[str, Any] = Field(default_factory=dict, description="the family's own Config")
    training: Training | None = Field(None, description="absent for families that are fitted in closed form")
    augmentation: Augmentation = Augmentation()


class Sampler(Section):
    """How pieces are generated."""

    count: int = Field(4, ge=1, le=999, description="pieces a run")
    bars: int = Field(8, ge=1, description="length in bars of four quarters, prompt included")
    prompt_bars: int = Field(0, ge=0, description="bars taken from test pieces and continued; 0 is unconditional")
    temperature: float = Field(1.0, gt=0)
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 keeps all")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus: keep the likeliest tokens of this joint probability")
