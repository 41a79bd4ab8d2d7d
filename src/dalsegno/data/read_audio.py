"""Reads recordings with libsndfile: WAV, FLAC, OGG, MP3, AIFF and AU, whatever their names say.

libsndfile plays a torn WAV, AIFF, AU or OGG file to where it ends and says nothing, so what their headers announce is
held against the file here. The other formats announce a number of frames, which is held against what was decoded.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from pydantic import Field

from dalsegno.data.tracks import Track
from dalsegno.options import Section

BLOCK = 1 << 18
"""Frames that are decoded at once, so that a day of sound takes no more memory than a minute."""

RATES = (1_000, 768_000)
"""Sample rates in Hz; what lies outside is a damaged header."""

UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes that programs write into a header when they cannot go back to mend it."""

TAGS = ("artist", "album", "genre")


class Options(Section):
    """What a recording's own tags mean."""

    group: Literal["artist", "album"] | None = Field(
        None, description="tag whose equal values mean that recordings belong together"
    )


def read(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Track:
    """What a recording is; all of it is decoded once, its samples are not kept.

    The format has no parts. The labels are its tags.

    Raises:
        ValueError: the file is empty, torn, longer or shorter than it says, or holds a sample that is no number.
    """
    import soundfile

    chosen = Options.model_validate(options or {})
    with open(path, "rb") as file:
        _check_length(file)
    digest, frames, peak = hashlib.sha256(), 0, 0.0
    try:
        with soundfile.SoundFile(path) as sound:
            rate, channels, announced = sound.samplerate, sound.channels, sound.frames
            codec = f"{sound.format} {sound.subtype}"
            tags = {name: value.strip() for name, value in sound.copy_metadata().items() if value.strip()}
            if not RATES[0] <= rate <= RATES[1]:
                raise ValueError(f"a sample rate of {rate} Hz is none of a recording ({RATES[0]:,} to {RATES[1]:,})")
            digest.update(f"{rate} {channels} ".encode())
            # SoundFile.blocks would end a torn file with what stands in memory.
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    bad = int(np.flatnonzero(~np.isfinite(block).all(1))[0])
                    raise ValueError(f"a sample is no number ({(frames + bad) / rate:.3f} s)")
                digest.update(np.ascontiguousarray(block, "<f4").data)
                frames += len(block)
                peak = max(peak, float(np.abs(block).max(initial=0)))
    except soundfile.LibsndfileError as error:
        # The whole message names the path, which is another on another machine.
        told = error.error_string.strip(" .")
        if "File does not exist" in told:
            # What its MP3 decoder says of all that is no MP3.
            told = "it is of no format that is known"
        raise ValueError(f"cannot be decoded after {frames} frames: {told} (libsndfile)") from None
    if not frames:
        raise ValueError("no samples")
    if frames != announced:
        raise ValueError(f"its header announces {announced} frames, {frames} could be decoded")
    labels = [(name, tags[name]) for name in TAGS if name in tags]
    if chosen.group in tags:
        labels.append(("group", tags[chosen.group]))
    return Track(tags.get("title", ""), codec, rate, channels, frames, peak, digest.hexdigest(), tuple(labels))


def samples(path: Path, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """The samples of a recording, float32 `[frames, channels]`, full scale ±1, and its sample rate in Hz.

    Args:
        seconds: what is read at most, from its start; absent: all.
    """
    import soundfile

    with soundfile.SoundFile(path) as sound:
        rate = sound.samplerate
        return sound.read(-1 if seconds is None else int(seconds * rate), dtype="float32", always_2d=True), rate


def _check_length(file: BinaryIO) -> None:
    """Refuse a file that ends before its header says.

    Raises:
        ValueError: the reason.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if not size:
        raise ValueError("the file is empty (0 bytes)")
    announced = size
    if head[:4] in (b"RIFF", b"FORM") and head[8:] in (b"WAVE", b"AIFF", b"AIFC"):
        announced = _end_of_sound(file, size, "little" if head[:4] == b"RIFF" else "big")
    elif head[:4] == b".snd" and (length := int.from_bytes(_at(file, 8, 4), "big")) not in UNKNOWN:
        announced = int.from_bytes(_at(file, 4, 4), "big") + length
    elif head[:4] == b"OggS" and not _ogg_ends(file, size):
        raise ValueError("the file is torn: the last page of its stream is missing")
    if announced > size:
        raise ValueError(f"the file is torn: it lacks {announced - size} of {announced} bytes")


def _end_of_sound(file: BinaryIO, size: int, order: Literal["little", "big"]) -> int:
    """The byte after the sound of a file of chunks (RIFF, FORM), as its header says; `size` where it does not."""
    position = 12
    while position + 8 <= size:
        head = _at(file, position, 8)
        length = int.from_bytes(head[4:], order)
        if head[:4] in (b"data", b"SSND"):
            return size if length in UNKNOWN else position + 8 + length
        position += 8 + length + length % 2
    return size


def _ogg_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file says that a stream ends (RFC 3533, section 6), and is whole."""
    # A page holds 65,307 bytes at most.
    start = max(0, size - 65_307)
    tail = _at(file, start, size - start)
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    count = tail[page + 26]
    return bool(tail[page + 5] & 4) and len(tail) >= page + 27 + count + sum(tail[page + 27 : page + 27 + count])


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)
