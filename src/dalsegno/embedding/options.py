"""The encoder that a study trains for distances between embeddings: the section `encoder`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from dalsegno.options import Section


class EncoderOptions(Section):
    """An encoder of a dataset's training pieces; trained only where a metric asks for embeddings."""

    dimensions: int = Field(12, ge=1, le=256, description="of an embedding; distances need twice as many pieces")
    hidden: int = Field(64, ge=1, description="features of a bar and of a window")
    steps: int = Field(1000, ge=1)
    batch_size: int = Field(64, ge=1, description="windows a step")
    learning_rate: float = Field(2e-3, gt=0)
    seed: int = Field(0, ge=0, description="of initial values and batches")

    @model_validator(mode="after")
    def keeps_fewer_than_it_has(self) -> Self:
        if self.dimensions > self.hidden:
            raise ValueError(f"`dimensions` {self.dimensions} are taken from `hidden` {self.hidden} features")
        return self
