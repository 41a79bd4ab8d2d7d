"""How notes become tokens: the `representations` section of a study."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from dalsegno.data.notes import TICKS_PER_QUARTER
from dalsegno.options import Section
from dalsegno.representations.base import Layout

Kind = Literal["remi", "tsd", "midi_like", "structured", "cp_word", "octuple", "mumidi", "mmm", "pertok"]
COMPOUND = ("cp_word", "octuple", "mumidi")
PROGRAMS_ALWAYS = ("mumidi", "mmm")
LACKING: dict[str, tuple[str, ...]] = {
    "tempos": ("structured",),
    "meters": ("structured", "mumidi", "pertok"),
    "chords": ("structured", "octuple", "pertok"),
    "learned": COMPOUND,
}
"""Option -> the tokenizations that cannot say it. MidiTok's PerTok counts bars wrongly in meters of eighths."""


class Tokens(Section):
    """What all representations are asked."""

    @property
    def layout(self) -> Layout:
        return "events"

    @property
    def transposes(self) -> bool:
        """Whether pitches are symbols of their own, one semitone apart."""
        return True


class Grid(Tokens):
    """What stands on a grid that divides the quarter note."""

    steps_per_quarter: int = Field(4, ge=1, le=48, description="grid lines a quarter note; a divisor of 480")

    @model_validator(mode="after")
    def divides_the_quarter(self) -> Self:
        if TICKS_PER_QUARTER % self.steps_per_quarter:
            told = f"steps_per_quarter {self.steps_per_quarter} does not divide {TICKS_PER_QUARTER}"
            raise ValueError(f"{told}: use 1, 2, 3, 4, 5, 6, 8, 10, 12 …")
        return self


class Voices(Grid):
    """Voices on a grid, interleaved from the highest down."""

    kind: Literal["voices"]
    voices: int = Field(4, ge=1, le=64)
    lowest: int = Field(36, ge=0, le=127, description="lowest MIDI pitch of the vocabulary")
    highest: int = Field(81, ge=0, le=127, description="highest MIDI pitch of the vocabulary")
    hold: bool = Field(
        False, description="write a held note as a symbol of its own, so that repeated notes are told from held ones"
    )

    @model_validator(mode="after")
    def has_pitches(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest} is above highest {self.highest}")
        return self

    @property
    def layout(self) -> Layout:
        return "voices" if self.voices > 1 else "events"


class Learned(Section):
    """A vocabulary of frequent sequences of events, learned from the training split."""

    model: Literal["bpe", "unigram", "wordpiece"] = "bpe"
    size: int = Field(2000, ge=2, le=32000, description="symbols, those of single events included")
    within: Literal["bar", "piece"] = Field("bar", description="no learned symbol reaches beyond a bar (or a piece)")


class Events(Grid):
    """Events by MidiTok, in one of its tokenizations."""

    kind: Kind
    velocities: int = Field(1, ge=1, le=127, description="velocity levels; 1 leaves velocity out")
    programs: bool = Field(False, description="say the General MIDI program of each note; always so in mumidi and mmm")
    drums: bool = Field(False, description="keep drums, as pitches of their own; needs `programs`")
    tempos: int = Field(
        0, ge=0, le=256, description="tempo levels from 40 to 250 quarters a minute; 0 leaves tempo out"
    )
    meters: list[str] = Field(
        [], description="meters that pieces may have, as 3/4; 4/4 is always among them; none: bars of four quarters"
    )
    chords: bool = Field(False, description="mark chords that MidiTok recognises")
    longest: int = Field(8, ge=4, le=64, description="longest duration or time shift in beats; longer notes are cut")
    max_bars: int = Field(512, ge=1, le=4096, description="longer pieces are cut here")
    microtiming: int | None = Field(
        None,
        ge=2,
        le=480,
        description="levels of microtiming within half a step each way; of pertok alone, 30 by default",
    )
    learned: Learned | None = Field(None, description="learn symbols for frequent sequences of events")

    @model_validator(mode="after")
    def is_sayable(self) -> Self:
        for option, kinds in LACKING.items():
            if getattr(self, option) and self.kind in kinds:
                able = [kind for kind in Kind.__args__ if kind not in kinds]  # type: ignore[attr-defined]
                raise ValueError(f"{self.kind} has no {option}; use one of {', '.join(able)}")
        if self.drums and not self.has_programs:
            raise ValueError("`drums` needs `programs: true`: without programs nothing tells a drum from a pitch")
        if self.microtiming is not None and self.kind != "pertok":
            raise ValueError(f"{self.kind} has no microtiming; pertok has")
        if self.timings % 2:
            raise ValueError("microtiming must be even, so that one level is no shift at all")
        for meter in self.meters:
            match = re.fullmatch(r"([1-9]\d?)/(1|2|4|8|16|32)", meter)
            if not match:
                raise ValueError(f"meter {meter!r} is not like 3/4, with a denominator of 1, 2, 4, 8, 16 or 32")
            if 4 * TICKS_PER_QUARTER % (int(match[2]) * self.steps_per_quarter):
                raise ValueError(f"meter {meter}: {self.steps_per_quarter} steps a beat are no whole ticks; use fewer")
        return self

    @property
    def timings(self) -> int:
        return self.microtiming or 30

    @property
    def has_programs(self) -> bool:
        return self.programs or self.kind in PROGRAMS_ALWAYS

    @property
    def signatures(self) -> list[tuple[int, int]]:
        """The meters as (numerator, denominator), by denominator; none where the representation has no meters."""
        pairs = {tuple(map(int, meter.split("/"))) for meter in [*self.meters, "4/4"]}
        return sorted(((n, d) for n, d in pairs), key=lambda one: (one[1], one[0])) if self.meters else []

    @property
    def layout(self) -> Layout:
        return "compound" if self.kind in COMPOUND else "events"

    @property
    def transposes(self) -> bool:
        return self.learned is None


class Words(Tokens):
    """Note names and chords as words, one an onset (Pricop and Iftene, KES 2024)."""

    kind: Literal["words"]
    step: float = Field(0.5, gt=0, le=8, description="quarter notes from word to word when words are read back")
    octave: int = Field(4, ge=0, le=9, description="where chords sound when words are read back; 4 begins at middle C")

    @property
    def transposes(self) -> bool:
        return False


class Roll(Grid):
    """Piano rolls: tracks x time x pitch, bars as units, drums apart; stored as a list of notes."""

    kind: Literal["roll"]
    tracks: dict[str, tuple[int, int]] = Field(
        {"all": (0, 127)}, description="track of the roll -> first and last General MIDI program in it"
    )
    drums: bool = Field(False, description="a track of its own for drums, after the others")
    beats_per_bar: int = Field(4, ge=1, le=16, description="quarter notes a bar")
    lowest: int = Field(0, ge=0, le=127)
    highest: int = Field(127, ge=0, le=127)

    @model_validator(mode="after")
    def has_tracks(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest} is above highest {self.highest}")
        for name, (first, last) in self.tracks.items():
            if not 0 <= first <= last <= 127:
                raise ValueError(f"tracks.{name}: programs {first} to {last} are not within 0 and 127")
        if "drums" in self.tracks:
            raise ValueError("tracks.drums: drums are no program; say `drums: true`")
        if not self.tracks and not self.drums:
            raise ValueError("a roll needs a track: give `tracks` or `drums: true`")
        return self

    @property
    def layout(self) -> Layout:
        return "roll"

    @property
    def transposes(self) -> bool:
        return False


class Frames(Grid):
    """Which keys sound in each frame, one symbol a key."""

    kind: Literal["frames"]
    beats_per_bar: int = Field(4, ge=1, le=16, description="quarter notes after which the metrical position repeats")
    lowest: int = Field(21, ge=0, le=127, description="MIDI pitch of the lowest key")
    highest: int = Field(108, ge=0, le=127, description="MIDI pitch of the highest key")

    @model_validator(mode="after")
    def has_keys(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest} is above highest {self.highest}")
        return self

    @property
    def layout(self) -> Layout:
        return "frames"


RepresentationOptions = Annotated[Voices | Events | Words | Roll | Frames, Field(discriminator="kind")]


def parse(document: dict[str, Any]) -> RepresentationOptions:
    """The section of one representation from a plain document, e.g. of a job's spec."""
    options: RepresentationOptions = TypeAdapter(RepresentationOptions).validate_python(document)
    return options
