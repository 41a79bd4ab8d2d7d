"""The part of packing that all representations share: encode what fits, list what does not, say what survives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.data import split as splits
from dalsegno.data.quarantine import Failure, Progress, call_in_workers
from dalsegno.data.tables import Corpus, Reject, write_rejects
from dalsegno.representations import fidelity
from dalsegno.representations.base import (
    PackedWriter,
    Piece,
    Representation,
    Row,
    map_arrays,
    write_index,
    write_vocabulary,
)
from dalsegno.representations.options import parse
from dalsegno.representations.registry import load

NOTES_A_CALL = 20_000
"""Notes that a worker is given at once."""
WORKER_SECONDS, WORKER_MEGABYTES = 600.0, 16_384
FEW_NOTES = 60_000
"""A corpus of fewer notes is encoded sooner than a worker has begun."""

UNITS = {
    "voices": "grid lines",
    "events": "events",
    "compound": "compound events",
    "roll": "notes",
    "frames": "frames of keys",
}


@dataclass(frozen=True)
class Told:
    """What is held of a piece until all are encoded.

    Attributes:
        spans: see `Representation.spans`.
        notes: how many notes the tokens speak of.
        end: the tick where the last of them ends.
    """

    spans: list[tuple[int, int] | None]
    notes: int
    end: int


@dataclass(frozen=True)
class Encoded(Told):
    """One piece on its way into a packed representation.

    Attributes:
        tokens_TxK: its tokens, int16.
        counts: what survives, see `dalsegno.representations.fidelity`.
    """

    tokens_TxK: np.ndarray
    counts: dict[str, int]


def pack(options: Any, corpus: Path, split: Path, folder: Path, jobs: int = 1) -> None:
    """Write `FILES`: the packed representation of every train, valid and test piece that fits.

    Args:
        options: a section of the study.
        corpus: a corpus folder.
        split: its `split.csv`.
        folder: where the files go.
        jobs: processes; the files do not depend on their number.

    Raises:
        ValueError: no training piece fits; names the reason of the first that does not.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables, representation = Corpus(corpus), load(options)
    chosen = [(index, row) for index, row in enumerate(splits.read(split)) if row.split != "unused"]
    first = PackedWriter(folder / ".encoded", representation.vocabulary.width)
    kept: list[tuple[int, splits.SplitRow, Told]] = []
    counts: Counter[str] = Counter()
    rejects: list[Reject] = []
    results = encoded_pieces(options, corpus, [index for index, _ in chosen], jobs, tables, representation)
    for (index, row), result in zip(chosen, results, strict=True):
        if isinstance(result, Encoded):
            first.add(result.tokens_TxK)
            counts.update(result.counts)
            # The tokens lie on disk from here on.
            kept.append((index, row, Told(result.spans, result.notes, result.end)))
        else:
            rejects.append(Reject(row.piece, tables.pieces[index]["sha256"], "represent", result))
    first.close()
    training = [i for i, (_, row, _) in enumerate(kept) if row.split == "train"]
    if not training:
        (folder / ".encoded").unlink()
        reason = rejects[0].reason if rejects else "the split has no training piece"
        raise ValueError(f"no training piece fits the representation `{options.kind}`: {reason}")
    arrays = map_arrays(folder / ".encoded")

    def tokens(i: int) -> np.ndarray:
        own: np.ndarray = arrays["tokens"][arrays["offsets"][i] : arrays["offsets"][i + 1]]
        return own

    representation.learn(tokens(i) for i in training)
    bounds = _bounds([kept[i][2].spans for i in training])
    final = PackedWriter(folder / "tokens.safetensors", representation.vocabulary.width)
    rows = []
    for i, (index, row, piece) in enumerate(kept):
        finished = representation.finish(tokens(i))
        final.add(finished)
        low, high = _room(piece.spans, bounds) if options.transposes else (0, 0)
        rows.append(
            Row(
                piece=row.piece,
                split=row.split,
                clean=row.clean,
                steps=len(finished),
                notes=piece.notes,
                seconds=round(tables.seconds(index, piece.end), 6),
                transpose_low=low,
                transpose_high=high,
                family=row.family,
                labels=tables.labels(index),
            )
        )
    final.close()
    (folder / ".encoded").unlink()
    vocabulary = representation.vocabulary
    write_vocabulary(folder / "vocabulary.json", vocabulary, representation.grammar(bounds), representation.learned())
    write_index(folder / "index.csv", rows)
    write_rejects(folder / "rejects.csv", rejects)
    unit = UNITS[vocabulary.layout]
    card = fidelity.card(counts, (row.steps for row in rows), vocabulary.size, unit)
    (folder / "fidelity.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")


def encoded_pieces(
    options: Any, corpus: Path, indices: Sequence[int], jobs: int, tables: Corpus, representation: Representation
) -> Iterator[Encoded | str]:
    """What each piece gives, in the order of `indices`: its tokens, or the reason why it does not fit."""
    sizes = np.diff(tables.offsets)[list(indices)]
    if jobs == 1 or sizes.sum() < FEW_NOTES:
        for index in indices:
            yield _encoded(representation, tables, index)
        return
    groups = np.cumsum(sizes) // NOTES_A_CALL
    calls = [
        (options.model_dump(mode="json"), Path(corpus), [indices[i] for i in np.flatnonzero(groups == group).tolist()])
        for group in np.unique(groups).tolist()
    ]
    progress = Progress(len(indices), "encoded")
    waiting: dict[int, list[Encoded | str]] = {}
    following = done = 0
    function = f"{__name__}:encode_call"
    for number, result in call_in_workers(function, calls, jobs, WORKER_SECONDS, WORKER_MEGABYTES):
        if isinstance(result, Failure):
            raise RuntimeError(f"pieces {calls[number][2][0]} to {calls[number][2][-1]}: {result.reason}")
        waiting[number] = result
        while following in waiting:
            yield from waiting[following]
            done += len(waiting.pop(following))
            following += 1
            progress.show(done)


def encode_call(document: dict[str, Any], corpus: Path, indices: list[int]) -> list[Encoded | str]:
    """What a worker does: the pieces of one call."""
    tables, representation = _loaded(json.dumps(document, sort_keys=True), corpus)
    return [_encoded(representation, tables, index) for index in indices]


@lru_cache(maxsize=1)
def _loaded(document: str, corpus: Path) -> tuple[Corpus, Representation]:
    return Corpus(corpus), load(parse(json.loads(document)))


def _encoded(representation: Representation, tables: Corpus, index: int) -> Encoded | str:
    piece = Piece(tables.piece(index), tables.meters(index), tables.tempos(index))
    try:
        tokens = np.asarray(representation.encode(piece), np.int16)
        claim = representation.claim(piece)
    except ValueError as error:
        return str(error)
    spoken = representation.kept(piece)
    notes = int(spoken.sum())
    told = representation.decode(tokens, representation.vocabulary)
    ends = piece.notes["start"][spoken].astype(np.int64) + piece.notes["duration"][spoken]
    counts = fidelity.compare(piece, told, claim, len(spoken) - notes, tokens.size)
    return Encoded(representation.spans(tokens), notes, int(ends.max()), tokens, counts)


def _bounds(spans: Sequence[Sequence[tuple[int, int] | None]]) -> list[tuple[int, int] | None]:
    """Lowest and highest pitch symbol of each voice over many pieces."""
    bounds: list[tuple[int, int] | None] = []
    for voice in zip(*spans, strict=True):
        own = [one for one in voice if one]
        bounds.append((min(low for low, _ in own), max(high for _, high in own)) if own else None)
    return bounds


def _room(spans: Sequence[tuple[int, int] | None], bounds: Sequence[tuple[int, int] | None]) -> tuple[int, int]:
    """Semitones by which a piece may be shifted down and up so that every voice stays within its bounds."""
    room = [(bound[0] - own[0], bound[1] - own[1]) for own, bound in zip(spans, bounds, strict=True) if own and bound]
    if not room:
        return 0, 0
    return min(0, max(low for low, _ in room)), max(0, min(high for _, high in room))
