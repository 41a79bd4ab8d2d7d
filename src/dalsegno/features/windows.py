"""From one piece to the numbers of its windows. Runs in worker processes, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data.notes import make_notes
from dalsegno.features import registry
from dalsegno.features.options import Sound, parse


@dataclass(frozen=True)
class Window:
    """What is known of one window.

    Attributes:
        start: seconds from the piece's start.
        seconds: length.
        values: float32 `[rows, columns]`; one row a frame, or one in all. None where there is a reason.
        reason: why it has no values.
    """

    start: float
    seconds: float
    values: np.ndarray | None
    reason: str = ""


def of_recording(path: Path, options: dict[str, Any]) -> list[Window]:
    """The windows of one recording.

    Raises:
        ValueError: why there are none.
    """
    from dalsegno.data.read_audio import samples
    from dalsegno.sound.signal import to_mono

    chosen = _sound(options)
    content_FxC, rate = samples(path, chosen.seconds)
    return windows(to_mono(content_FxC, rate, chosen.sample_rate), chosen)


def of_notes(columns: dict[str, np.ndarray], tempos: list[tuple[int, float]], options: dict[str, Any]) -> list[Window]:
    """The windows of one piece of notes as it is rendered.

    Raises:
        ValueError: why there are none.
    """
    from dalsegno.sound.rendering import render

    chosen = _sound(options)
    notes = make_notes(**columns)
    if not len(notes):
        raise ValueError("a piece without notes has no sound")
    return windows(render(notes, tempos, chosen.seconds, chosen.sample_rate), chosen)


def _sound(document: dict[str, Any]) -> Sound:
    options = parse(document)
    assert isinstance(options, Sound)
    return options


def windows(sound: np.ndarray, options: Sound) -> list[Window]:
    """The whole windows of a sound, or all of it as one where the options name no window.

    Raises:
        ValueError: no window has values; the reason of the first.
    """
    rate = options.sample_rate
    length = round(options.window * rate) if options.window else len(sound)
    if len(sound) < length:
        raise ValueError(f"{len(sound) / rate:.2f} s are less than a window of {options.window:g} s")
    module = registry.load(options.kind)
    found = []
    for start in range(0, max(len(sound) - length, 0) + 1, max(length, 1)):
        try:
            values, reason = module.values(sound[start : start + length], rate, options), ""
        except ValueError as error:
            values, reason = None, str(error)
        found.append(Window(start / rate, length / rate, values, reason))
    if all(window.values is None for window in found):
        raise ValueError(found[0].reason)
    return found
