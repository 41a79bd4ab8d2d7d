"""Cards of datasets: what the catalog knows, in words, for a terminal and for the report."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from dalsegno.data.catalog import ByHand, Entry
from dalsegno.data.options import ArchiveSource, Content, Music21Source

WIDTH = 100
"""Columns of a card in a terminal."""

LONGEST = 36
"""Letters of a licence in the listing."""

UNITS = ("B", "kB", "MB", "GB")

USES = {"commercial": "commercial use", "redistribution": "redistribution", "derivatives": "derivatives"}


def listing(entries: Sequence[Entry]) -> str:
    """All datasets as a table, one a line."""
    head = ("name", "modality", "pieces", "size", "licence", "verified", "split")
    rows = [head]
    for entry in entries:
        pieces = f"{entry.pieces:,}" if entry.pieces else "?"
        verified = "no" if entry.unverified else "yes"
        rows.append(
            (entry.name, entry.modality, pieces, _size(entry), _short(entry.licence.name), verified, entry.split.kind)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[2:4] = [cell.strip().rjust(width) for cell, width in zip(cells[2:4], widths[2:4], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def card(entry: Entry) -> str:
    """The card of one dataset as text of `WIDTH` columns."""
    lines = [f"{entry.name}: {entry.title}", ""]
    for label, texts in facts(entry):
        for index, text in enumerate(texts):
            first = label if not index else ""
            lines += textwrap.wrap(
                text,
                WIDTH,
                initial_indent=first.ljust(16),
                subsequent_indent=" " * 16,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def facts(entry: Entry) -> list[tuple[str, list[str]]]:
    """What a card says: (label, its paragraphs), in the order in which a reader asks."""
    licence = entry.licence
    said: list[tuple[str, list[str]]] = [
        ("modality", [entry.modality]),
        ("pieces", [f"{entry.pieces:,}"] if entry.pieces else []),
        ("licence", [f"{licence.name}. {allowances(entry)}", *filter(None, (licence.note, licence.url))]),
        ("citation", [entry.citation]),
        ("homepage", [entry.homepage]),
        ("source", _source(entry)),
        ("labels", [entry.labels]),
        ("groups", [entry.group] if entry.group else []),
        ("official split", [entry.official_split or "none"]),
        ("split", [f"{entry.split.kind}: {entry.split_policy}"]),
        ("known defects", _defects(entry)),
        ("not verified", _unverified(entry)),
        ("read in", [f"{key}: {where}" for key, where in sorted(entry.facts.items())]),
    ]
    return [(label, texts) for label, texts in said if texts]


def allowances(entry: Entry) -> str:
    """What the licence allows and what it does not, in a sentence."""
    granted = [name for use, name in USES.items() if use in entry.licence.allows]
    withheld = [name for use, name in USES.items() if use not in entry.licence.allows]
    if not granted:
        return f"Not known to allow {', '.join(withheld)}."
    return f"Allows {', '.join(granted)}" + (f"; not {', '.join(withheld)}." if withheld else ".")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def _source(entry: Entry) -> list[str]:
    source = entry.source
    if isinstance(source, ArchiveSource):
        size = "size unknown" if source.size is None else f"{source.size:,} bytes"
        texts = [*source.addresses, f"{size}, SHA-256 {source.sha256 or 'unknown: the first fetch prints it'}"]
        texts += [f"{name.upper()} {digits} (as published)" for name, digits in entry.checksums.items()]
    elif isinstance(source, ByHand):
        texts = [f"By hand: {source.how} A study says `path: <where it lies>`."]
    else:
        texts = [f"music21's corpus, collection {source.collection}: installed, nothing is fetched"]
    if isinstance(source, Content):
        kept = f"read: {', '.join(source.include)}" + (
            f" without {', '.join(source.exclude)}" if source.exclude else ""
        )
        texts.append(kept + (f", as {source.format}" if source.format else ""))
    return texts


def _defects(entry: Entry) -> list[str]:
    if isinstance(entry.defects, str):
        return [entry.defects]
    return [f"{defect.what} [{defect.source}]" for defect in entry.defects]


def _unverified(entry: Entry) -> list[str]:
    """The facts that nobody has checked on the data itself."""
    if not entry.unverified:
        return []
    return [f"{', '.join(sorted(entry.facts))}: read, not checked on the data itself"]


def _size(entry: Entry) -> str:
    if isinstance(entry.source, Music21Source):
        return "package"
    size = getattr(entry.source, "size", None)
    if size is None:
        return "?"
    power = min((len(str(size)) - 1) // 3, len(UNITS) - 1)
    return f"{size / 1000**power:.3g} {UNITS[power]}"
