"""How notes become tokens: the `representations` section of a study."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from dalsegno.options import Section


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


def parse(document: dict[str, Any]) -> RepresentationOptions:
    """The section of one representation from a plain document, e.g. of a job's spec."""
    options: RepresentationOptions = TypeAdapter(RepresentationOptions).validate_python(document)
    return options
