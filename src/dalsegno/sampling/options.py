"""How pieces are generated: the sections `samplers` and `sweep` of a study."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from dalsegno.options import Section


class Sampler(Section):
    """How pieces are generated."""

    count: int = Field(4, ge=1, le=999, description="pieces a run")
    bars: int = Field(8, ge=1, description="length in bars of four quarters, prompt included")
    prompt_bars: int = Field(0, ge=0, description="bars taken from test pieces and continued; 0 is unconditional")
    voice: int | None = Field(
        None, ge=0, description="voice taken whole from test pieces, the others are written to it; 0 is the highest"
    )
    attributes: dict[str, int | str | list[int]] = Field(
        {}, description="what the model is told: an attribute's value, or a list with one for every bar"
    )
    temperature: float = Field(1.0, gt=0)
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 keeps all")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus: keep the likeliest tokens of this joint probability")


class Sweep(Section):
    """Decodings that every model is sampled with, so that each is ranked with the one that suits it.

    There are no prompts here: they come from test pieces, which a choice must not see.
    """

    temperature: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [1.0]
    top_k: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    top_p: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0]
    count: int = Field(8, ge=1, le=999, description="pieces a run and decoding")
    bars: int = Field(8, ge=1, description="length in bars of four quarters")
    criterion: Annotated[list[str], Field(min_length=1)] = Field(
        ["pitch_class_distance", "interval_distance", "duration_distance"],
        description="distances to the validation pieces by which a model's decoding is chosen",
    )

    @model_validator(mode="after")
    def lists_each_once(self) -> Self:
        for name in ("temperature", "top_k", "top_p", "criterion"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"`{name}` lists a value twice")
        return self

    @property
    def samplers(self) -> dict[str, Sampler]:
        """One sampler a decoding, named by its settings; what keeps all tokens is not named.

        So a name does not change when the sweep is widened, and what was sampled stays valid.
        """
        return {
            "_".join(
                [
                    f"sweep_t{_spelled(temperature)}",
                    *([f"k{top_k}"] if top_k else []),
                    *([f"p{_spelled(top_p)}"] if top_p < 1 else []),
                ]
            ): Sampler(count=self.count, bars=self.bars, temperature=temperature, top_k=top_k, top_p=top_p)
            for temperature, top_k, top_p in itertools.product(self.temperature, self.top_k, self.top_p)
        }


def _spelled(value: float) -> str:
    """A positive number without exponent, `_` for the point."""
    return format(Decimal(repr(value)), "f").removesuffix(".0").replace(".", "_")
