"""A stretch that a piece and a training piece share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A stretch of a piece that a training piece holds as well.

    Attributes:
        figure: the figure that it is measured by, and `value` what it says.
        begin, end: grid steps in the piece.
        owner: training piece; `at` is where the stretch begins there, in grid steps.
    """

    figure: str
    value: float
    begin: int
    end: int
    owner: int
    at: int
