"""Writes muspy.json: what MusPy 0.5 says of invented pieces, which `dalsegno.metrics.compat` must repeat.

MusPy is no dependency of the project. In an environment of its own (`python3 -m venv /tmp/muspy`,
`/tmp/muspy/bin/pip install muspy==0.5.0`), from the repository's root:

    /tmp/muspy/bin/python tests/golden/make_muspy.py > tests/golden/muspy.json

Real pieces that `tests/golden/real_pieces.py` wrote (an object of name to rows of track, program, start, duration, pitch)
are measured into a table of their values alone:

    /tmp/muspy/bin/python tests/golden/make_muspy.py pieces.json > tests/golden/muspy_real.csv
"""

from __future__ import annotations

import csv
import json
import math
import random
import sys
from collections import defaultdict

import muspy

RESOLUTION = 480
BAR = 4 * RESOLUTION
CALLS = {
    "pitch_range_compat": muspy.pitch_range,
    "pitches_used_compat": muspy.n_pitches_used,
    "pitch_classes_used_compat": muspy.n_pitch_classes_used,
    "pitch_entropy_compat": muspy.pitch_entropy,
    "pitch_class_entropy_compat": muspy.pitch_class_entropy,
    "scale_consistency_compat": muspy.scale_consistency,
    "polyphony_compat": muspy.polyphony,
    "polyphony_rate_compat": muspy.polyphony_rate,
    "empty_beat_rate_compat": muspy.empty_beat_rate,
    "empty_bar_rate_compat": lambda music: muspy.empty_measure_rate(music, BAR),
    "groove_consistency_compat": lambda music: muspy.groove_consistency(music, BAR),
    "drum_pattern_consistency_compat": muspy.drum_pattern_consistency,
}


def invented() -> list[list[list[int]]]:
    """Pieces of every kind: dense and sparse, on and off the grid, drums, unisons, late starts, one note, none."""
    dice = random.Random(6)
    pieces: list[list[list[int]]] = [[], [[0, 0, 0, 480, 60]], [[0, 128, 0, 120, 36], [0, 128, 480, 120, 38]]]
    for number in range(21):
        step = dice.choice([60, 120, 1])
        tracks = dice.randint(1, 5)
        programs = [128 if dice.random() < 0.2 else dice.randint(0, 127) for _ in range(tracks)]
        late = dice.choice([0, 0, 3000])
        notes = []
        for _ in range(dice.randint(2, 60)):
            track = dice.randrange(tracks)
            start = late + dice.randrange(dice.choice([2000, 15000]) // step) * step
            notes.append([track, programs[track], start, dice.randint(1, 1500 // step) * step, dice.randint(40, 75)])
        if number % 3 == 0:  # a unison, and a note struck again while it sounds
            notes.append([notes[0][0], notes[0][1], notes[0][2] + 1, 500, notes[0][4]])
        pieces.append(sorted(notes))
    return pieces


def music_of(notes: list[list[int]]) -> muspy.Music:
    tracks = defaultdict(list)
    for track, program, start, duration, pitch in notes:
        tracks[track, program].append(muspy.Note(time=start, pitch=pitch, duration=duration, velocity=80))
    return muspy.Music(
        resolution=RESOLUTION,
        tracks=[
            muspy.Track(program=min(program, 127), is_drum=program == 128, notes=mine)
            for (_, program), mine in sorted(tracks.items())
        ],
    )


def value(call, music: muspy.Music) -> float | None:
    """The number; None where it is NaN or MusPy raises."""
    try:
        number = float(call(music))
    except ValueError:
        return None
    return None if math.isnan(number) else number


def main() -> None:
    if len(sys.argv) > 1:
        with open(sys.argv[1]) as file:
            pieces = json.load(file)
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["piece", *CALLS])
        for name, notes in pieces.items():
            numbers = [value(call, music_of(notes)) for call in CALLS.values()]
            table.writerow([name, *("" if number is None else repr(number) for number in numbers)])
        return
    rows = []
    for notes in invented():
        music = music_of(notes)
        rows.append({"notes": notes, "values": {name: value(call, music) for name, call in CALLS.items()}})
    print("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]")


main()
