"""One training step, ours against PyTorch's: same architecture, weights, batch and optimizer.

    python benchmarks/training.py --repeats 9 --threads 2
    python benchmarks/training.py --shapes large --precision bfloat16 --compile --peak 989   # an H100

The second is for a GPU: a Transformer of 100 M parameters on windows of 2,048 in bfloat16, beside `torch.compile` with
autocast. `--peak` is the card's dense bfloat16 rate in TFLOP/s, of which the share that is used is told: 6 operations
a parameter and token, and 6 · layers · features · T a token for causal attention (Chowdhery et al. 2022, appendix B).

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
    "large": {
        "config": {
            "features": 768,
            "layers": 14,
            "attention_heads": 12,
            "feedforward": 3072,
            "span": 2048,
            "hidden": 768,
            "dropout": 0,
        },
        "window": 2048,
        "batch_size": 8,
    },
}
SHAPES["gru"] = SHAPES["lstm"]
FAMILY = {"large": "transformer"}
VOCABULARY = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=["transformer", "lstm", "gru"])
    parser.add_argument("--precision", choices=devices.PRECISIONS, default="float32")
    parser.add_argument("--compile", action="store_true", help="PyTorch compiles, too")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device, for the share that is used")
    options = parser.parse_args()
    devices.configure(options.threads)
    for name in options.shapes:
        print(json.dumps(compare(name, options)), flush=True)


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
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

    repeats = options.repeats
    torch.set_num_threads(options.threads)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    shape, family = SHAPES[name], FAMILY.get(name, name)
    module = base.family(family)
    config = module.Config(**shape["config"])
    names = tuple(f"Symbol_{i}" for i in range(VOCABULARY))
    vocabulary = Vocabulary("none", names, 1, 1, (0, 0), None, None, {})
    model = Neural(module.Network(config, vocabulary, nnx.Rngs(0)), vocabulary)
    training = Training(steps=100, batch_size=shape["batch_size"], window=shape["window"], warmup_steps=0)
    random = np.random.default_rng(0)
    tokens = random.integers(0, VOCABULARY, (training.batch_size, training.window, 1)).astype(np.int32)
    pieces = [inputs_of(piece, vocabulary) for piece in tokens]
    inputs = jax.tree.map(lambda *fields: np.stack(fields), *pieces)
    batch = Batch(inputs, tokens, np.ones(tokens.shape[:2], np.float32))
    layout = Layout(devices.Machine(options.precision), training.batch_size)
    update = jax.jit(step_function(model.graph, training, layout, 0), donate_argnums=0)
    params = jax.tree.map(jax.numpy.copy, model.params)
    state = State(params, optimizers.optimizer(training).init(params), None)
    state = layout.place(state, layout.of_state(state))
    batch = layout.place_rows(batch)

    arrays = model.arrays()
    twin = torch_twins.twin(family, arrays, config, training.window).to(where)
    if options.compile:
        twin.compile()
    schedule = optimizers.schedule(training)
    rates = [float(schedule(step)) for step in range(repeats + 1)]
    theirs = torch_twins.Training(twin, rates, training.b1, training.b2, training.weight_decay, training.clip_norm)
    previous = torch.tensor(inputs.previous_BxTxK[..., 0], dtype=torch.long, device=where)
    targets = torch.tensor(tokens[..., 0], dtype=torch.long, device=where)
    half = torch.autocast(where, torch.bfloat16, enabled=options.precision == "bfloat16")

    seconds: dict[str, list[float]] = {"ours": [], "pytorch": []}
    losses: dict[str, list[float]] = {"ours": [], "pytorch": []}
    # The first round compiles.
    for step in range(repeats + 1):
        began = time.perf_counter()
        with layout.used():
            state, metrics = update(state, batch, np.int32(step))
        losses["ours"].append(float(metrics[0]))
        middle = time.perf_counter()
        with half:
            losses["pytorch"].append(theirs.step(step, previous, targets))
        if step:
            seconds["ours"].append(middle - began)
            seconds["pytorch"].append(time.perf_counter() - middle)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    spread = {f"{way}_range": [round(min(values), 3), round(max(values), 3)] for way, values in seconds.items()}
    parameters = int(sum(array.size for array in arrays.values()))
    result = {
        "shape": name,
        "parameters": parameters,
        "device": jax.devices()[0].device_kind,
        "devices": layout.count,
        "precision": options.precision,
        "threads": options.threads,
        "n": repeats,
        **{f"{way}_s": round(value, 4) for way, value in medians.items()},
        **spread,
        "times_pytorch": round(medians["pytorch"] / medians["ours"], 3),
        "tokens_per_s": round(tokens.size / medians["ours"]),
        "largest_loss_difference": float(np.abs(np.subtract(*losses.values())).max()),
    }
    if options.peak and family == "transformer":
        # The embedding is looked up and not multiplied.
        multiplied = parameters - arrays["embedding.tokens.0"].size
        operations = 6 * multiplied + 6 * config.layers * config.features * training.window
        used = {way: operations * tokens.size / value / (options.peak * 1e12) for way, value in medians.items()}
        result |= {f"{way}_share_of_peak": round(value, 3) for way, value in used.items()}
    return result


if __name__ == "__main__":
    main()
