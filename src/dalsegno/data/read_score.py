"""Reads engraved scores with music21: MusicXML, plain or compressed, and Humdrum's kern."""

from __future__ import annotations

import html
import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dalsegno.data.score import to_music
from dalsegno.data.tables import Music

LARGEST = 1 << 28
"""Bytes of a score; a compressed file may claim any size."""

SIGNATURES = (
    (b"MThd", "a MIDI file"),
    (b"PK", "a zip archive"),
    (b"%PDF", "a PDF"),
    (b"<!doctype html", "a web page (HTML)"),
    (b"<html", "a web page (HTML)"),
    (b"<mei", "an MEI score"),
    (b"<score-", "a MusicXML score"),
    (b"**kern", "a kern score"),
    (b"X:", "a tune in ABC"),
)


def read_musicxml(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """All parts of a MusicXML score at sounding pitch.

    The format has neither parts (a file is one piece) nor options.

    Raises:
        ValueError: the file is no MusicXML; says what it looks like.
    """
    content = path.read_bytes()
    if content[:2] == b"PK":
        content = _unzipped(content)
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        if b"<score-" in content.replace(b"\0", b""):
            raise ValueError(f"malformed XML: {error}") from error
        raise ValueError(f"not MusicXML but {looks_like(content)}") from error
    if root.tag not in ("score-partwise", "score-timewise"):
        raise ValueError(f"not MusicXML but {looks_like(content)} (its root is {root.tag})")
    if root.tag == "score-timewise":
        raise ValueError("a timewise MusicXML score: convert it to a partwise one")

    from music21.musicxml.xmlToM21 import MusicXMLImporter

    score: Any = MusicXMLImporter().xmlRootToScore(root)
    score.toSoundingPitch(inPlace=True)
    return to_music(score, *_said(score))


def read_kern(path: Path, part: str | None = None, options: dict[str, Any] | None = None) -> Music:
    """All **kern spines of a Humdrum file, one track each.

    The format has neither parts (a file is one piece) nor options.

    Raises:
        ValueError: the file is no kern; says what it looks like.
    """
    content = path.read_bytes()
    if b"**kern" not in content:
        raise ValueError(f"not kern but {looks_like(content)}")

    from music21 import converter

    score: Any = converter.parseData(decode(content), format="humdrum")
    return to_music(score, *_said(score))


def decode(content: bytes) -> str:
    """Text in UTF-8, or in Latin-1 as older files have it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def looks_like(content: bytes) -> str:
    """What a file's first bytes say it is, for messages."""
    if not content:
        return "an empty file (0 bytes)"
    head = content[:4096].lower()
    for signature, name in SIGNATURES:
        if head.startswith(signature.lower()) or (signature[:1] in b"<*X" and signature.lower() in head):
            return name
    if b"\0" in head:
        return "binary data"
    return "XML of another kind" if head.lstrip().startswith(b"<?xml") else "some other text"


def _unzipped(content: bytes) -> bytes:
    """The score within a compressed MusicXML file: the first that its container names.

    Raises:
        ValueError: the archive is broken, or holds no score.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            scores = [
                name for name in names if name.endswith((".xml", ".musicxml")) and not name.startswith("META-INF")
            ]
            if "META-INF/container.xml" in names:
                # Exporters leave an ampersand in the name unescaped, so the container is not parsed as XML.
                container = decode(archive.read("META-INF/container.xml"))
                roots = [html.unescape(name) for name in re.findall(r"full-path\s*=\s*[\"']([^\"']*)", container)]
                scores = [name for name in roots if name in names] or scores
            if not scores:
                raise ValueError(f"a zip archive of {len(names)} files without a score")
            with archive.open(scores[0]) as file:
                score = file.read(LARGEST + 1)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, OSError, EOFError) as error:
        raise ValueError(f"a broken compressed score: {error}") from error
    if len(score) > LARGEST:
        raise ValueError(f"the score within holds more than {LARGEST >> 20} MiB")
    return score


def _said(score: Any) -> tuple[str, list[tuple[str, str]]]:
    """The title and the labels that the score's metadata give."""
    data = score.metadata
    if data is None:
        return "", []
    composer = " ".join((data.composer or "").split())
    return " ".join((data.bestTitle or "").split()), [("composer", composer)] if composer else []
