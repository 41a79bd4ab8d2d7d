"""Losses of five training steps by PyTorch, from weights that NumPy draws: what ours must be.

    PYTHONPATH=benchmarks python -m tests.golden.make_torch

Writes `torch.json`. Needs an environment with PyTorch beside this project's packages (`benchmarks/torch_twins.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.representations.base import Vocabulary
from dalsegno.training.options import Training

PATH = Path(__file__).with_name("torch.json")
STEPS = 5
SIZES = {"features": 16, "layers": 2, "hidden": 24, "dropout": 0}
CONFIGS: dict[str, dict[str, Any]] = {
    "lstm": SIZES,
    "gru": SIZES,
    "transformer": SIZES | {"attention_heads": 2, "feedforward": 32, "span": 12},
}
SYMBOLS = 13
VOCABULARY = Vocabulary("none", tuple(f"Symbol_{i}" for i in range(SYMBOLS)), 1, 1, (0, 0), None, None, {})
TRAINING = Training(
    steps=20, batch_size=3, window=12, learning_rate=0.02, warmup_steps=2, weight_decay=0.1, clip_norm=0.5
)


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights of a network, from the shapes of its arrays."""
    random = np.random.default_rng(5)
    arrays = {}
    for name in sorted(shapes):
        shape = shapes[name]
        drawn = random.normal(size=shape) * (shape[0] ** -0.5 if len(shape) > 1 else 0.1)
        arrays[name] = (drawn + name.endswith("scale")).astype(np.float32)
    return arrays


def tokens(step: int) -> np.ndarray:
    """`tokens_BxT` of one batch."""
    shape = (TRAINING.batch_size, TRAINING.window)
    return np.random.default_rng([6, step]).integers(0, SYMBOLS, shape)


def previous(tokens_BxT: np.ndarray) -> np.ndarray:
    """The token before each."""
    return np.concatenate([np.full((len(tokens_BxT), 1), SYMBOLS), tokens_BxT[:, :-1]], axis=1)


def main() -> None:
    import torch
    import torch_twins
    from flax import nnx

    from dalsegno.models import base
    from dalsegno.models.neural import Neural
    from dalsegno.training import optimizers

    schedule = optimizers.schedule(TRAINING)
    losses = {}
    for name, options in CONFIGS.items():
        module = base.family(name)
        config = module.Config(**options)
        network = Neural(module.Network(config, VOCABULARY, nnx.Rngs(0)), VOCABULARY)
        arrays = weights({key: array.shape for key, array in network.arrays().items()})
        trained = torch_twins.Training(
            torch_twins.twin(name, arrays, config, TRAINING.window),
            [float(schedule(step)) for step in range(STEPS)],
            TRAINING.b1,
            TRAINING.b2,
            TRAINING.weight_decay,
            TRAINING.clip_norm,
        )
        losses[name] = [
            trained.step(step, torch.tensor(previous(batch)), torch.tensor(batch))
            for step, batch in enumerate(map(tokens, range(STEPS)))
        ]
    PATH.write_text(json.dumps({"torch": torch.__version__, "losses": losses}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
