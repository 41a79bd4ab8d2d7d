"""Batches by length: every piece once, little padding, nothing copied before it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dalsegno.representations import batching, packing
from dalsegno.representations.base import Packed
from dalsegno.representations.options import parse
from tests.unit.music import write_corpus


@given(st.lists(st.integers(0, 9000), max_size=40), st.integers(1, 4))
def test_every_piece_stands_once_in_a_batch_that_holds_it(lengths: list[int], multiple: int) -> None:
    made = batching.batches(lengths, multiple=multiple)
    assert sorted(i for batch in made for i in batch.members) == list(range(len(lengths)))
    for batch in made:
        assert batch.rows % multiple == 0 and len(batch.members) <= batch.rows
        assert max(lengths[i] for i in batch.members) <= batch.length
        assert batch.length == batching.SHORTEST or max(lengths[i] for i in batch.members) * 2 > batch.length
    assert len({(batch.length, batch.rows) for batch in made}) == len({batch.length for batch in made})
    cells = sum(batch.length * batch.rows for batch in made)
    assert np.isclose(batching.padding(lengths, made) * cells, cells - sum(lengths))


def test_a_pass_holds_the_split_and_padding_is_zero(tmp_path: Path) -> None:
    corpus, split = write_corpus(tmp_path)
    packing.pack(parse({"kind": "remi"}), corpus, split, tmp_path / "packed")
    packed = Packed(tmp_path / "packed")
    assert isinstance(packed.piece(0).base, np.ndarray) and not packed.piece(0).flags.owndata
    seen = []
    for tokens, lengths, members in batching.read(packed, "train"):
        assert tokens.shape[0] == len(lengths) >= len(members)
        for row, length, member in zip(tokens, lengths, members, strict=False):
            assert np.array_equal(row[:length], packed.piece(member)) and not row[length:].any()
        seen += members
    assert sorted(seen) == packed.indices("train")
