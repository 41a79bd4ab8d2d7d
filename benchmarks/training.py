"""One training step, ours against PyTorch's: same architecture, weights, batch and optimizer.

    python benchmarks/training.py --repeats 9 --threads 2
    python benchmarks/training.py --shapes large --precision bfloat16 --compile --peak 989   # an H100

The second is for a GPU: a Transformer of 100 M parameters on windows of 2,048 in bfloat16, beside `torch.compile` with
autocast. `--peak` is the card's dense bfloat16 rate in TFLOP/s, of which the share that is used is told: 6 operations
a parameter and token, and 6 · layers · features · T a token for causal attention (Chowdhery et al. 2022, appendix B).

Needs an environment with PyTorch beside this project's packages (`benchmarks/torch_twins.py`). Both libraries have as
many threads, and each a process of its own, since `devices.configure` changes how a process allocates memory, which
PyTorch gains by as well: `--peer-keeps-memory` gives it the same. Steps alternate, and medians count. The losses of
all steps must agree: the greatest difference is printed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection
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
    parser.add_argument("--peer-keeps-memory", action="store_true", help="PyTorch's malloc is set as ours is")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device, for the share that is used")
    options = parser.parse_args()
    devices.configure(options.threads)
    # On one GPU beside the peer.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for name in options.shapes:
        print(json.dumps(compare(name, options)), flush=True)


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Median seconds a step of both, and how many of our steps fit into one of theirs."""
    import jax
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
    step = step_function(model.graph, training, layout, 0)
    update = jax.jit(step, donate_argnums=0, compiler_options=layout.compiler_options)
    params = jax.tree.map(jax.numpy.copy, model.params)
    state = State(params, optimizers.optimizer(training).init(params), None)
    state = layout.place(state, layout.of_state(state))
    batch = layout.place_rows(batch)

    arrays = model.arrays()
    schedule = optimizers.schedule(training)
    rates = [float(schedule(step)) for step in range(repeats + 1)]
    recipe = (rates, training.b1, training.b2, training.weight_decay, training.clip_norm)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    work = (theirs, options, family, arrays, config, recipe, inputs.previous_BxTxK[..., 0], tokens[..., 0])
    peer = context.Process(target=pytorch, args=work, daemon=True)
    peer.start()

    seconds: dict[str, list[float]] = {"ours": [], "pytorch": []}
    losses: dict[str, list[float]] = {"ours": [], "pytorch": []}
    # The first round compiles.
    for step in range(repeats + 1):
        began = time.perf_counter()
        with layout.used():
            state, metrics = update(state, batch, np.int32(step))
        losses["ours"].append(float(metrics[0]))
        own = time.perf_counter() - began
        ours.send(step)
        loss, others = ours.recv()
        losses["pytorch"].append(loss)
        if step:
            seconds["ours"].append(own)
            seconds["pytorch"].append(others)
    peer.kill()
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
        "peer_keeps_memory": options.peer_keeps_memory,
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


def pytorch(
    asked: Connection,
    options: argparse.Namespace,
    family: str,
    arrays: dict[str, np.ndarray],
    config: Any,
    recipe: tuple[Any, ...],
    previous: np.ndarray,
    tokens: np.ndarray,
) -> None:
    """PyTorch's side: for every step that is asked for its loss, and the seconds that it took."""
    if options.peer_keeps_memory:
        devices.keep_memory()
    import torch
    import torch_twins

    torch.set_num_threads(options.threads)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    twin = torch_twins.twin(family, arrays, config, tokens.shape[1]).to(where)
    if options.compile:
        twin.compile()
    training = torch_twins.Training(twin, *recipe)
    inputs = torch.tensor(previous, dtype=torch.long, device=where)
    targets = torch.tensor(tokens, dtype=torch.long, device=where)
    while True:
        step = asked.recv()
        began = time.perf_counter()
        with torch.autocast(where, torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss = training.step(step, inputs, targets)
        asked.send((loss, time.perf_counter() - began))


if __name__ == "__main__":
    main()
