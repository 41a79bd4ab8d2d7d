"""The compat forms on real music: chorales and fiddle tunes that ship with music21, so that no archive is needed.

`tests/golden/muspy_real.csv` holds what MusPy 0.5 says of the same pieces; `tests/golden/make_muspy.py` says how to
write it anew.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from dalsegno.data.notes import Notes
from dalsegno.metrics import mgeval
from dalsegno.metrics.base import PieceMetric
from dalsegno.metrics.pieces import Pieces
from dalsegno.metrics.registry import load_metric
from tests.golden.real_pieces import real_pieces
from tests.unit import oracles

GOLDEN = Path(__file__).parent.parent / "golden/muspy_real.csv"
BARS = 32
"""Beyond 1,000 pairs of bars MusDr draws some without a seed: longer pieces are cut."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Notes]:
    pieces = real_pieces(tmp_path_factory.mktemp("corpora"))
    assert len(pieces) >= 500
    return pieces


def test_muspy(music: dict[str, Notes]) -> None:
    with open(GOLDEN, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["piece"] for row in rows] == list(music)
    pieces = Pieces.of(list(music.values()))
    for name in [name for name in rows[0] if name != "piece"]:
        metric = load_metric(name)
        assert isinstance(metric, PieceMetric)
        expected = np.array([float(row[name] or "nan") for row in rows])
        assert np.isfinite(expected).sum() >= 500 or name == "drum_pattern_consistency_compat"
        np.testing.assert_allclose(metric.values(pieces), expected, rtol=0, atol=1e-9, err_msg=name)


def test_musdr_mgeval_and_musegan(music: dict[str, Notes]) -> None:
    for notes in music.values():
        oracles.check_musdr_and_mgeval(notes.excerpt(BARS * oracles.BAR))
        oracles.check_musegan(notes.excerpt(BARS * oracles.BAR))


@pytest.mark.parametrize("name", ["interval_size_compat", "inter_onset_interval_compat", "pitch_range_compat"])
def test_mgeval_of_two_sets(music: dict[str, Notes], name: str) -> None:
    """Chorales against tunes, as many of either: both divergences of the intra-set and the inter-set distances."""
    metric = load_metric(name)
    assert isinstance(metric, PieceMetric)
    chorales = [notes for piece, notes in music.items() if piece.startswith("bach_chorales")]
    tunes = [notes for piece, notes in music.items() if piece.startswith("ryans_mammoth")]
    assert 2 * min(len(chorales), len(tunes)) >= 500
    own, other = metric.values(chorales), metric.values(tunes)
    divergence, area = oracles.mgeval_intra_inter(own, other)
    assert mgeval.intra_inter_kl_compat.against(other[:, None])(own[:, None]) == pytest.approx(divergence, abs=1e-9)
    assert mgeval.intra_inter_overlap_compat.against(other[:, None])(own[:, None]) == pytest.approx(area, abs=1e-9)
