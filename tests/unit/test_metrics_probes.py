"""Probes find a model that looks ahead and one whose probabilities are none."""

import numpy as np
import pytest

from dalsegno.metrics.probes import excess, foresight

PIECES = [np.arange(12).reshape(6, 2) % 3, np.arange(20).reshape(10, 2) % 3]


class Uniform:
    """A third for each of three symbols; `ahead` and `scale` are its bugs."""

    def __init__(self, ahead: float = 0.0, scale: float = 1.0) -> None:
        self.ahead, self.scale = ahead, scale

    def log_probs(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        found = []
        for piece in pieces:
            logp = np.full(piece.shape, np.log(self.scale / 3))
            logp[:-1] -= self.ahead * piece[1:]
            found.append(logp)
        return found


@pytest.mark.parametrize(("model", "ahead", "sums"), [(Uniform(), 0, 0), (Uniform(ahead=0.1), 0.2, 0), (Uniform(scale=1.2), 0, 0.2)])  # fmt: skip
def test_probes(model: Uniform, ahead: float, sums: float) -> None:
    assert foresight(model, PIECES) == pytest.approx(ahead)
    assert excess(model, PIECES[0], 3) == pytest.approx(sums)
