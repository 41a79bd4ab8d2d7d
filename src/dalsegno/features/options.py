"""What is computed of music for classifiers: the `features` section of a study."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter

from dalsegno.options import Name, Section

FEATURE_FILES = {
    "table": ("features.parquet", "scaler.json", "rejects.csv"),
    "sequence": ("features.safetensors", "index.csv", "scaler.json", "rejects.csv"),
}
"""What is written of a set of features, by its shape."""


class Features(Section):
    """What all kinds share."""

    shape: ClassVar[str] = "table"
    """Whether a window is one row of numbers or a sequence of frames."""
    modalities: ClassVar[tuple[str, ...]] = ("notes", "audio")
    """What the pieces are that have these features."""

    kind: str
    datasets: list[Name] | None = Field(None, description="whose features; absent: all datasets that have them")


class Sound(Features):
    """Features of sound: of recordings as they are, of notes as they are rendered."""

    sample_rate: int = Field(22050, ge=8000, le=96000, description="Hz; recordings are resampled, notes rendered at it")
    seconds: float = Field(300.0, gt=0, le=1200, description="what is heard of a piece at most, from its start")
    window: float | None = Field(
        None, ge=0.5, description="seconds of a window; whole windows only, in the split of their piece. Absent: pieces"
    )


class Gtzan(Sound):
    """The table of 57 means and variances that the GTZAN dataset is usually published with."""

    kind: Literal["gtzan"]


class LogMel(Sound):
    """Log-mel spectrograms in dB."""

    shape: ClassVar[str] = "sequence"
    kind: Literal["log_mel"]
    bands: int = Field(128, ge=8, le=512, description="mel bands")
    hop: int = Field(512, ge=32, le=8192, description="samples between two frames")
    frame: int = Field(2048, ge=64, le=16384, description="samples of a frame")


class Mfcc(Sound):
    """Mel-frequency cepstral coefficients, frame by frame."""

    shape: ClassVar[str] = "sequence"
    kind: Literal["mfcc"]
    coefficients: int = Field(20, ge=1, le=128)
    hop: int = Field(512, ge=32, le=8192, description="samples between two frames")
    frame: int = Field(2048, ge=64, le=16384, description="samples of a frame")


class Chroma(Sound):
    """Energy of the twelve pitch classes, frame by frame."""

    shape: ClassVar[str] = "sequence"
    kind: Literal["chroma"]
    hop: int = Field(512, ge=32, le=8192, description="samples between two frames")
    frame: int = Field(2048, ge=64, le=16384, description="samples of a frame")


class Symbolic(Features):
    """A row a piece of what is written, after jSymbolic: pitch, intervals, rhythm, texture, harmony, dynamics, form."""

    modalities: ClassVar[tuple[str, ...]] = ("notes",)
    kind: Literal["symbolic"]


class Attributes(Features):
    """What a model can be asked for: key, tempo, density, polyphony, register, rhythm … of each piece or bar."""

    modalities: ClassVar[tuple[str, ...]] = ("notes",)
    kind: Literal["attributes"]
    per: Literal["piece", "bar"] = Field("bar", description="bars are those of the source's meters")


class Played(Features):
    """Frames of what is written, as pretty_midi reads it."""

    shape: ClassVar[str] = "sequence"
    modalities: ClassVar[tuple[str, ...]] = ("notes",)
    rate: int = Field(10, ge=1, le=200, description="frames a second")
    seconds: float = Field(300.0, gt=0, le=3600, description="what is read of a piece at most, from its start")


class NoteRoll(Played):
    """pretty_midi's piano roll: the velocities that sound at each of 128 pitches."""

    kind: Literal["note_roll"]


class NoteChroma(Played):
    """pretty_midi's chroma: the velocities that sound of each of the twelve pitch classes."""

    kind: Literal["note_chroma"]


Written = Symbolic | Attributes | NoteRoll | NoteChroma
"""Features of notes as they are written."""

FeatureOptions = Annotated[Gtzan | LogMel | Mfcc | Chroma | Written, Field(discriminator="kind")]


def parse(document: dict[str, Any]) -> FeatureOptions:
    """The section of one set of features from a plain document, e.g. of a job's spec."""
    options: FeatureOptions = TypeAdapter(FeatureOptions).validate_python(document)
    return options
