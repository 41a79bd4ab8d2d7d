"""The part of a piece that a sampler composed: copies are looked for in it alone.

A prompt and a given voice are music of a test piece, which may have relatives in train. Held against train they would
say how near that piece comes, and nothing of the model. Training pieces and unseen music are cut the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.copying.streams import Gridded, gridded
from dalsegno.data.notes import TICKS_PER_BAR, Notes


@dataclass(frozen=True)
class Part:
    """What of a piece counts.

    Attributes:
        first: bars left out at the beginning, of four quarters.
        last: bars up to the end.
        given: the track that is left out, the voice that a sampler was given; None for none.
    """

    first: int
    last: int
    given: int | None = None

    @classmethod
    def of_sampler(cls, options: Mapping[str, Any]) -> Part:
        """The part that a sampler of a study composes."""
        return cls(options["prompt_bars"], options["bars"], options["voice"])

    def cut(self, notes: Notes) -> Gridded:
        """These bars of a piece, counted from the first of them, without the given voice."""
        return gridded(without(notes, self.given).excerpt(self.last * TICKS_PER_BAR), self.first * TICKS_PER_BAR)


def without(notes: Notes, given: int | None) -> Notes:
    """A piece without a voice that was given."""
    return notes if given is None else notes[notes.track != given]
