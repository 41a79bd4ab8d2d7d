"""Planted copies among real pieces, where the archives of music lie beside the project."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from dalsegno.copying.calibrate import JUDGED, PIECES, RELATED, Null
from dalsegno.copying.index import TrainingIndex
from dalsegno.copying.streams import Gridded, gridded
from dalsegno.data import families
from dalsegno.data.notes import Notes, make_notes
from tests.unit.plants import cut, ornamented, planted, transposed

SHARED = Path(os.getenv("DALSEGNO_SHARED") or Path(__file__).parents[3] / "shared")
BARS = 16
PLANTED = 60


def chorales() -> list[Notes]:
    """The 382 chorales on the sixteenth grid; a pitch that is repeated is held."""
    with zipfile.ZipFile(SHARED / "data" / "jsb.zip") as archive:
        splits = json.loads(archive.read("jsb/Jsb16thSeparated.json"))
    pieces = []
    for grid in (np.array(piece) for name in ("train", "valid", "test") for piece in splits[name]):
        rows = []
        for track, line in enumerate(grid.T):
            begins = np.flatnonzero(np.diff(line, prepend=-1))
            lengths = np.diff(begins, append=len(line))
            kept = [(track, 120 * b, 120 * n, line[b]) for b, n in zip(begins, lengths, strict=True) if line[b] > 0]
            rows += kept
        track, start, duration, pitch = zip(*rows, strict=True)
        pieces.append(make_notes(track=track, start=start, duration=duration, pitch=pitch))
    return pieces


def songs() -> list[Notes]:
    """Pop songs in three tracks."""
    return midi("pop909.zip")


def classics() -> list[Notes]:
    """Piano music."""
    return midi("pianomidi.zip")


def tunes() -> list[Notes]:
    """Folk tunes with chords."""
    return midi("nottingham.zip")


def midi(archive_name: str) -> list[Notes]:
    """The first 400 MIDI files of an archive."""
    from symusic import Score

    pieces = []
    with zipfile.ZipFile(SHARED / "data" / archive_name) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".mid"))[:400]:
            score = Score.from_midi(archive.read(name)).resample(480, min_dur=1)
            notes = [(t, n.time, n.duration, n.pitch) for t, track in enumerate(score.tracks) for n in track.notes]
            track, start, duration, pitch = zip(*sorted(notes), strict=True)
            pieces.append(make_notes(track=track, start=start, duration=duration, pitch=pitch))
    return pieces


PLANTS: dict[str, Callable[[Gridded, Gridded, np.random.Generator], Gridded]] = {
    "exact": lambda source, host, random: cut(source, 0, BARS),
    "transposed": lambda source, host, random: transposed(cut(source, 0, BARS), int(random.integers(-6, 7))),
    "ornamented": lambda source, host, random: ornamented(transposed(cut(source, 0, BARS), 2), random),
    "one bar in sixteen": lambda source, host, random: planted(host, source, 1, random),
    "two bars in sixteen": lambda source, host, random: planted(host, source, 2, random),
    "four bars in sixteen": lambda source, host, random: planted(host, source, 4, random),
}


def measured(pieces: list[Notes]) -> dict[str, float]:
    """Recall of each plant, and the false alarms on unseen pieces when they are calibrated on each other."""
    columns = ("program", "start", "duration", "pitch")
    melodies = [families.melody({name: getattr(piece, name) for name in columns}) for piece in pieces]
    family = families.components(len(pieces), families.related(melodies))
    looser = families.components(len(pieces), families.related(melodies, RELATED))
    random = np.random.default_rng(0)
    in_train = random.permutation(family.max() + 1)[family] % 5 > 0
    seen = [i for i in range(len(pieces)) if in_train[i]]
    grids = [gridded(piece) for piece in pieces]
    index = TrainingIndex.of([grids[i] for i in seen], [str(looser[i]) for i in seen])
    places, found = {number: place for place, number in enumerate(seen)}, []
    unseen = [i for i in range(len(pieces)) if not in_train[i]]
    for i in [*unseen, *seen[: max(0, PIECES - len(unseen))]]:
        left_out = None if not in_train[i] else np.array([places[j] for j in seen if looser[j] == looser[i] or j == i])
        found.append(index.search(cut(grids[i], 0, BARS), left_out).figures)
    null = Null(found)
    result = {"unseen": float(null.n), "held_out": float(len(unseen))}
    result["false alarms, held out"] = float(np.mean(null.nearness[: len(unseen)] > null.critical))
    # Each fifth of the unseen pieces is judged by the other four.
    fold = np.arange(null.n) % 5
    alarms = []
    for k in range(5):
        others = Null([one for one, other in zip(found, fold != k, strict=True) if other])
        judged = [one for one, own in zip(found, fold == k, strict=True) if own]
        alarms += [max(others.of(name, getattr(one, name)) for name in JUDGED) > others.critical for one in judged]
    result["false alarms, cross-fitted"] = float(np.mean(alarms))
    result["false alarms, all unseen"] = float(np.mean(null.nearness > null.critical))
    long = [i for i in range(len(pieces)) if grids[i].beats >= 4 * BARS]
    sources, hosts = [i for i in long if in_train[i]], [i for i in long if not in_train[i]]
    for name, plant in PLANTS.items():
        hits = []
        for _ in range(PLANTED):
            source, host = grids[int(random.choice(sources))], grids[int(random.choice(hosts))]
            near = index.search(plant(source, cut(host, 0, BARS), random))
            hits.append(max(null.of(span.figure, span.value) for span in near.best) > null.critical)
        result[name] = float(np.mean(hits))
    return result


FLOORS = {
    chorales: {"ornamented": 0.8, "one bar in sixteen": 0.15, "two bars in sixteen": 0.7},
    songs: {"ornamented": 0.95, "one bar in sixteen": 0.95, "two bars in sixteen": 0.95},
    classics: {"ornamented": 0.95, "one bar in sixteen": 0.6, "two bars in sixteen": 0.95},
    # A melody over held chords: what one bar of it holds, and what ornaments leave of it, other tunes hold as well.
    tunes: {"ornamented": 0.3, "two bars in sixteen": 0.3},
}
"""What was measured, less what another draw of sixty plants may take."""


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "jsb.zip").exists(), reason="the archives are not here")
@pytest.mark.parametrize("music", FLOORS)
def test_planted_copies_among_real_pieces(music: Callable[[], list[Notes]]) -> None:
    result = measured(music())
    print(music.__name__, json.dumps(result, indent=1))
    for name in ("exact", "transposed", "four bars in sixteen"):
        assert result[name] >= 0.95, name
    for name, floor in FLOORS[music].items():
        assert result[name] >= floor, name
    assert result["false alarms, all unseen"] <= 0.01
    # One in a hundred is expected of pieces that had no part in the calibration.
    expected = binom.ppf(0.975, int(result["unseen"]), 0.01) / result["unseen"]
    assert result["false alarms, cross-fitted"] <= expected
