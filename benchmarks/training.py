"""One training step, ours against PyTorch's eager mode: same architecture, weights, batch and optimizer.

    python benchmarks/training.py --repeats 9 --threads 2

Needs an environment with PyTorch beside this project's packages (`benchmarks/torch_twins.py`). Both libraries have as
many threads; steps alternate in one process, and medians count. The first losses are printed: they must agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

from dalsegno.training import devices

SIZES = {"features": 128, "layers": 4, "attention_heads": 4, "feedforward": 512, "span": 512, "hidden": 128}
SHAPES = {
    "transformer": {"config": SIZES | {"dropout": 0}, "window": 512, "batch_size": 16},
    "lstm": {
        "config": {"features": 256, "layers": 2, "hidden": 256, "dropout": 0},
        "window": 256,
        "batch_size": 32,
    },
}
VOCABULARY = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--families", nargs="*", default=list(SHAPES))
    options = parser.parse_args()
    devices.configure(options.threads)
    for name in options.families:
        print(json.dumps(compare(name, options.repeats, options.threads)), flush=True)


def compare(name: str, repeats: int, threads: int) -> dict[str, Any]:
    """Median seconds a step of both, and how many of our steps fit into one of theirs."""
    import jax
    import torch
    import torch_twins
    from flax import nnx

    from dalsegno.models import base
    from dalsegno.models.neural import Neural
    from dalsegno.models.steps import inputs_of
    from dalsegno.representations.base import Vocabulary
    from dalsegno.training import optimizers
    from dalsegno.training.batches import Batch
    from dalsegno.training.loop import State, step_function
    from dalsegno.training.options import Training
    from dalsegno.training.sharding import Layout

    torch.set_num_threads(threads)
    shape = SHAPES[name]
    module = base.family(name)
    config = module.Config(**shape["config"])
    names = tuple(f"Symbol_{i}" for i in range(VOCABULARY))
    vocabulary = Vocabulary("none", names, 1, 1, (0, 0), None, None, {})
    model = Neural(module.Network(config, vocabulary, nnx.Rngs(0)), vocabulary)
    training = Training(steps=100, batch_size=shape["batch_size"], window=shape["window"], warmup_steps=0)
    random = np.random.default_rng(0)
    tokens = random.integers(0, VOCABULARY, (training.batch_size, training.window, 1)).astype(np.int32)
    pieces = [inputs_of(piece, vocabulary) for piece in tokens]
    inputs = type(pieces[0])(*(np.stack(field) for field in zip(*pieces, strict=True)))
    batch = Batch(inputs, tokens, np.ones(tokens.shape[:2], np.float32))
    layout = Layout(devices.Machine(), training.batch_size)
    update = jax.jit(step_function(model.graph, training, layout, 0), donate_argnums=0)
    params = jax.tree.map(jax.numpy.copy, model.params)
    state = State(params, optimizers.optimizer(training).init(params), None)

    arrays = model.arrays()
    twin = (
        torch_twins.LSTM(arrays, config.layers)
        if name == "lstm"
        else torch_twins.Transformer(arrays, config.layers, config.attention_heads, training.window)
    )
    schedule = optimizers.schedule(training)
    rates = [float(schedule(step)) for step in range(repeats + 1)]
    theirs = torch_twins.Training(twin, rates, training.b1, training.b2, training.weight_decay, training.clip_norm)
    previous = torch.tensor(inputs.previous_BxTxK[..., 0], dtype=torch.long)
    targets = torch.tensor(tokens[..., 0], dtype=torch.long)

    seconds: dict[str, list[float]] = {"ours": [], "pytorch": []}
    losses: dict[str, list[float]] = {"ours": [], "pytorch": []}
    # The first round compiles.
    for step in range(repeats + 1):
        began = time.perf_counter()
        state, metrics = update(state, batch, np.int32(step))
        losses["ours"].append(float(metrics[0]))
        middle = time.perf_counter()
        losses["pytorch"].append(theirs.step(step, previous, targets))
        if step:
            seconds["ours"].append(middle - began)
            seconds["pytorch"].append(time.perf_counter() - middle)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    spread = {f"{way}_range": [round(min(values), 3), round(max(values), 3)] for way, values in seconds.items()}
    return {
        "family": name,
        "parameters": int(sum(array.size for array in arrays.values())),
        "threads": threads,
        "n": repeats,
        **{f"{way}_s": round(value, 4) for way, value in medians.items()},
        **spread,
        "times_pytorch": round(medians["pytorch"] / medians["ours"], 3),
        "tokens_per_s": round(tokens.size / medians["ours"]),
        "largest_loss_difference": float(np.abs(np.subtract(*losses.values())).max()),
    }


if __name__ == "__main__":
    main()
