"""The base of every typed section of a study."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Section(BaseModel):
    """A part of a study: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
