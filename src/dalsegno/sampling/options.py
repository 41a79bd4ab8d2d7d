"""How pieces are generated: the `samplers` section of a study."""

from __future__ import annotations

from pydantic import Field

from dalsegno.options import Section


class Sampler(Section):
    """How pieces are generated."""

    count: int = Field(4, ge=1, le=999, description="pieces a run")
    bars: int = Field(8, ge=1, description="length in bars of four quarters, prompt included")
    prompt_bars: int = Field(0, ge=0, description="bars taken from test pieces and continued; 0 is unconditional")
    temperature: float = Field(1.0, gt=0)
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 keeps all")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus: keep the likeliest tokens of this joint probability")
