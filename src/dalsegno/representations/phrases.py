"""What well-formed events look like: the grammar of each of MidiTok's tokenizations.

Positions rise within a bar, a note is told whole, and the end stands only after a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dalsegno.representations.automaton import Step, automaton
from dalsegno.representations.base import Grammar

Key = tuple[str, int]
"""A kind of step: the type of its symbols and the position that it stands at, -1 before the first of a bar."""

FIELDS: dict[str, list[tuple[str, ...]]] = {
    "cp_word": [
        ("Family",),
        ("Bar", "Position"),
        ("Pitch", "PitchDrum"),
        ("Velocity",),
        ("Duration",),
        ("Program",),
        ("Chord",),
        ("Tempo",),
        ("TimeSig",),
    ],
    "octuple": [
        ("Pitch", "PitchDrum"),
        ("Position",),
        ("Bar",),
        ("Velocity",),
        ("Duration",),
        ("Program",),
        ("Tempo",),
        ("TimeSig",),
    ],
    "mumidi": [
        ("Pitch", "PitchDrum", "Position", "Bar", "Program", "Chord"),
        ("BarPosEnc",),
        ("PositionPosEnc",),
        ("Tempo",),
        ("Velocity",),
        ("Duration",),
    ],
}
"""The fields of a compound step in order, each with the types of symbol that it may hold; absent types fall out."""


def grammar(kind: str, names: Sequence[str], barred: Iterable[int]) -> Grammar:
    """The grammar of a tokenization.

    Args:
        kind: the tokenization.
        names: of all symbols.
        barred: pitch symbols outside the training range.
    """
    types: dict[str, list[int]] = {}
    for symbol, name in enumerate(names):
        types.setdefault(name.partition("_")[0], []).append(symbol)
    # A drum is told by its program too, so that drums and pitches never change places.
    drums = [symbol for symbol in types.get("Program", []) if names[symbol] == "Program_-1"]
    if drums:
        types["Program"].remove(drums[0])
    types["ProgramDrum"] = drums if {"PitchDrum", "DrumOn"} & types.keys() else []
    tracks = types.pop("Track", [])
    if kind == "pertok":
        # The program of a note is timed as well as the note, and a shift may stand between the two.
        types["ProgramTiming"] = types["DrumTiming"] = types["MicroTiming"]
        types["ProgramShift"] = types["DrumShift"] = types["TimeShift"]
    types["TrackStart"] = [symbol for symbol in tracks if names[symbol] == "Track_Start"]
    types["TrackEnd"] = [symbol for symbol in tracks if names[symbol] == "Track_End"]
    places = {symbol: int(names[symbol].partition("_")[2]) for symbol in types.get("Position", [])}
    types = {name: symbols for name, symbols in types.items() if symbols}
    steps, start = _compound(kind, types, places, names) if kind in FIELDS else _flat(kind, types, places)
    return automaton(steps, start, len(names), [*barred])


def _flat(kind: str, types: dict[str, list[int]], places: dict[int, int]) -> tuple[dict[Key, Step], list[Key]]:
    """Steps of one symbol; a step's kind is its type and the position it stands at, -1 before the first of a bar."""
    on_bars = kind in ("remi", "mmm")
    stream_programs = "Program" in types and kind != "mmm"

    def present(*wanted: str) -> list[str]:
        return [name for name in wanted if name in types]

    pitches, offs = present("Pitch", "NoteOn"), present("NoteOff")
    drums, drum_offs = present("PitchDrum", "DrumOn"), present("DrumOff")
    tail = present("MicroTiming", "Velocity", "Duration")
    end = ["TrackEnd"] if kind == "mmm" else ["EOS"]
    heads = present("Program", "ProgramDrum") if stream_programs else [*pitches, *drums, *offs, *drum_offs]
    chord = [] if stream_programs else present("Chord")
    tempo, signature = present("Tempo"), present("TimeSig")
    # PerTok tells no time of a tempo: it stands before what comes next.
    early = tempo if kind == "pertok" else []
    shifts = [] if on_bars else present("TimeShift", "Bar")

    def follow(name: str, at: int) -> list[Key]:
        here: list[str] = []
        later: list[Key] = []
        if on_bars:
            later = [("Position", place) for place in places.values() if place > at]
            later.append(("Bar", -1))
        ended = name in ("Duration", *offs, *drum_offs) or (name == "Velocity" and "Duration" not in types)
        ended |= name in pitches + drums and not tail
        if name in ("Program", "ProgramDrum") and kind == "mmm":
            return [("Bar", -1)]
        if name in ("Program", "ProgramDrum") and kind == "pertok":
            return [("ProgramTiming" if name == "Program" else "DrumTiming", at)]
        if name in ("ProgramTiming", "ProgramShift"):
            here = [*pitches, "ProgramShift"]
        elif name in ("DrumTiming", "DrumShift"):
            here = [*drums, "DrumShift"]
        elif name == "Program":
            here = [*pitches, *offs, *present("Chord")]
        elif name == "ProgramDrum":
            here = [*drums, *drum_offs]
        elif name in (*pitches, *drums, *tail) and not ended:
            order = ["", *tail]
            here = [order[order.index(name if name in tail else "") + 1]]
        elif name == "Bar" and on_bars:
            return [("TimeSig", -1)] if signature else later
        elif name == "TimeSig" and on_bars:
            return later
        elif name == "Position":
            here = [*tempo, *chord, *heads]
        elif name == "TrackStart":
            here = present("Program", "ProgramDrum")
        elif name == "TrackEnd":
            here = ["TrackStart", "EOS"]
        elif name == "EOS":
            here = ["EOS"]
        elif kind == "structured":
            here = ["TimeShift", "EOS"] if ended else heads
        elif name == "Chord":
            here = [*chord, *heads]
        elif name == "Tempo":
            here = [*early, *chord, *heads, *shifts, *end]
            return [*((one, at) for one in here), *later]
        elif ended:
            here = [*early, *chord, *heads, *shifts]
            # An end in midi_like stands after a note that has ended.
            here += end if kind != "midi_like" or name in (*offs, *drum_offs) else []
            return [*((one, at) for one in here), *later]
        else:  # TimeShift, Bar and TimeSig where time is told by shifts
            here = [*(signature if name != "TimeSig" else []), *tempo, *chord, *heads, *shifts]
        return [(one, at) for one in here]

    steps: dict[Key, Step] = {}
    todo: list[Key] = []
    if kind == "mmm":
        start = ["TrackStart"]
    elif on_bars:
        start = ["Bar"]
    elif kind == "structured":
        start = ["TimeShift"]
    else:
        start = signature or tempo or [*chord, *heads, *shifts]
    first: list[Key] = [(name, -1) for name in start]
    todo += first
    by_place = {place: symbol for symbol, place in places.items()}
    while todo:
        key = todo.pop()
        if key in steps:
            continue
        name, at = key
        after = follow(name, at)
        steps[key] = Step(([by_place[at]] if name == "Position" else types[name],), after)
        todo += after
    return steps, first


def _compound(
    kind: str, types: dict[str, list[int]], places: dict[int, int], names: Sequence[str]
) -> tuple[dict[Key, Step], list[Key]]:
    fields = [present for field in FIELDS[kind] if (present := [name for name in field if name in types])]
    ignore = types.get("Ignore", [])
    drums = "ProgramDrum" in types

    def step(given: dict[str, list[int]], follow: list[Key]) -> Step:
        """A step whose fields hold what is given, and are ignored otherwise."""
        held = []
        for field in fields:
            own = [symbol for name in field for symbol in given.get(name, [])]
            held.append(own or ignore)
        return Step(held, follow)

    bar, end, note, drum = ("Bar", -1), ("End", -1), ("Note", -1), ("Drum", -1)
    steps: dict[Key, Step] = {end: Step([types["EOS"]] * len(fields), [end])}
    sounding = {name: types[name] for name in types if name in ("Velocity", "Duration")}
    pitched = {**sounding, "Pitch": types["Pitch"], "Program": types.get("Program", [])}
    drummed = {**sounding, "PitchDrum": types.get("PitchDrum", []), "Program": types.get("ProgramDrum", [])}
    tempo, meter = ({name: types.get(name, [])} for name in ("Tempo", "TimeSig"))
    if kind == "octuple":
        where = {"Position": types["Position"], "Bar": types["Bar"], **tempo, **meter}
        notes = [note, drum] if drums else [note]
        steps[note] = step({**pitched, **where}, [*notes, end])
        if drums:
            steps[drum] = step({**drummed, **where}, [*notes, end])
        return steps, notes
    ordered = sorted(places.items(), key=lambda one: one[1])
    later: dict[int, list[Key]] = {
        at: [("Position", place) for _, place in ordered if place > at] for at in (-1, *places.values())
    }
    if kind == "cp_word":
        family = {names[symbol].partition("_")[2]: [symbol] for symbol in types["Family"]}
        chord = {"Chord": [*types["Chord"], *ignore]} if "Chord" in types else {}
        steps[bar] = step({"Family": family["Metric"], "Bar": types["Bar"], **meter}, [bar, *later[-1]])
        for symbol, at in ordered:
            notes = [("Note", at), ("Drum", at)] if drums else [("Note", at)]
            # A change of tempo may stand alone.
            moving: list[Key] = [bar, *later[at], end]
            follow = [*notes, *(moving if "Tempo" in types else [])]
            steps["Position", at] = step({"Family": family["Metric"], "Position": [symbol], **tempo, **chord}, follow)
            steps["Note", at] = step({"Family": family["Note"], **pitched}, [*notes, *moving])
            if drums:
                steps["Drum", at] = step({"Family": family["Note"], **drummed}, [*notes, *moving])
        return steps, [bar]
    bars = {"BarPosEnc": types["BarPosEnc"], **tempo}
    own = {names[symbol].partition("_")[2]: symbol for symbol in types["PositionPosEnc"]}
    steps[bar] = step({"Bar": types["Bar"], "PositionPosEnc": [own["None"]], **bars}, [bar, *later[-1]])
    for symbol, at in ordered:
        where = {"PositionPosEnc": [own[str(at)]], **bars}
        programs: list[Key] = [("Program", at), ("ProgramDrum", at)] if drums else [("Program", at)]
        chords: list[Key] = [("Chord", at)] if "Chord" in types else []
        moving = [*programs, bar, *later[at], end]
        steps["Position", at] = step({"Position": [symbol], **where}, programs)
        steps["Program", at] = step({"Program": types["Program"], **where}, [*chords, ("Note", at)])
        if chords:
            steps["Chord", at] = step({"Chord": types["Chord"], **where}, [*chords, ("Note", at)])
        steps["Note", at] = step({**sounding, "Pitch": types["Pitch"], **where}, [("Note", at), *moving])
        if drums:
            steps["ProgramDrum", at] = step({"Program": types["ProgramDrum"], **where}, [("Drum", at)])
            steps["Drum", at] = step({**sounding, "PitchDrum": types["PitchDrum"], **where}, [("Drum", at), *moving])
    return steps, [bar]
