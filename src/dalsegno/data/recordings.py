"""Where the recordings of a corpus lie while a job reads their sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from dalsegno.data.corpus import opened
from dalsegno.data.options import Source


@dataclass(frozen=True)
class Recording:
    """One piece of a corpus of audio.

    Attributes:
        number: row of `pieces.parquet`, as `labels.parquet` counts.
        piece: its id.
        location: the file; of an archive it is there as long as `located`'s block lasts.
        seconds: length; rate: Hz; frames: samples of one channel.
        content: sha256 of the decoded samples.
    """

    number: int
    piece: str
    location: Path
    seconds: float
    rate: int
    channels: int
    frames: int
    content: str


@contextmanager
def located(source: Source, corpus: Path, scratch: Path, root: Path = Path()) -> Iterator[list[Recording]]:
    """The recordings of the corpus folder `corpus`, in its order; rejects are not among them.

    Args:
        source: the dataset's source, with the place of its files.
        scratch: an archive is unpacked into a folder within it, until the end of the block.
        root: where a relative path of the source is taken from.

    Raises:
        FileNotFoundError: a file of the corpus is not in the source any more.
    """
    columns = ["piece", "source", "seconds", "rate", "channels", "frames", "content"]
    rows = pq.read_table(Path(corpus) / "pieces.parquet", columns=columns).to_pylist()
    with opened(source, root, scratch) as files:
        places = {file.path: file.location for file in files}
        if missing := [row["source"] for row in rows if row["source"] not in places]:
            raise FileNotFoundError(f"the source lacks {len(missing)} files of the corpus (first: {missing[0]})")
        yield [Recording(number=number, location=places[row.pop("source")], **row) for number, row in enumerate(rows)]
