"""The seeds of one run, each in a program of its own or all in one that is vmapped over them.

    python benchmarks/seeds.py results/representations/chorales/voices --study config/studies/first_light.yaml

Processor seconds of a training step a seed, one thread, as the studies train; both ways alternate, and medians count.
One program for all seeds is worth its trouble where the ratio is well above 1: a study's seeds are jobs of their own,
which run beside each other on the cores there are, stop early each by itself, and are made anew one by one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import yaml

from dalsegno import study as studies
from dalsegno.training import devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokens", type=Path, help="folder of packed tokens")
    parser.add_argument("--study", type=Path, default=Path("config/studies/first_light.yaml"))
    parser.add_argument("--models", nargs="*", help="of the study; all that are trained by descent where absent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    devices.configure(1)
    study = studies.load(yaml.safe_load(options.study.read_text()), str(options.study))
    for name, model in study.models.items():
        if model.training is not None and name in (options.models or study.models):
            print(json.dumps(compare(name, model, options)), flush=True)


def compare(name: str, model: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Median processor seconds of a step and seed, apart and together."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from dalsegno.models import base
    from dalsegno.models.neural import Neural
    from dalsegno.representations.base import Packed
    from dalsegno.training import optimizers
    from dalsegno.training.batches import Windows
    from dalsegno.training.loop import State, step_function
    from dalsegno.training.sharding import Layout

    family, training = base.family(model.family), model.training
    packed = Packed(options.tokens, splits=("train", "valid"))
    config = family.Config(**model.config)
    layout = Layout(devices.Machine(), training.batch_size)
    states, batches = [], []
    for seed in range(options.seeds):
        trained = Neural(family.Network(config, packed.vocabulary, nnx.Rngs(seed)), packed.vocabulary)
        params = jax.tree.map(jnp.copy, trained.params)
        states.append(State(params, optimizers.optimizer(training).init(params), jax.tree.map(jnp.copy, params)))
        windows = Windows(packed, training.batch_size, training.window, model.augmentation, seed, None)
        batches.append(layout.place_rows(windows.batch(0)))
    update = step_function(trained.graph, training, layout, 0)
    stacked = [jax.tree.map(lambda *x: jnp.stack(x), *trees) for trees in (states, batches)]
    apart = jax.jit(update, donate_argnums=0)
    together = jax.jit(jax.vmap(update, in_axes=(0, 0, None)), donate_argnums=0)
    seconds: dict[str, list[float]] = {"apart": [], "together": []}
    joined, batch = stacked
    for repeat in range(options.repeats + 2):
        began = time.process_time()
        for i in range(options.seeds):
            states[i], metrics = apart(states[i], batches[i], np.int32(repeat))
            jax.block_until_ready(metrics)
        between = time.process_time()
        joined, metrics = together(joined, batch, np.int32(repeat))
        jax.block_until_ready(metrics)
        # The first two compile and warm up.
        if repeat >= 2:
            seconds["apart"].append((between - began) / options.seeds)
            seconds["together"].append((time.process_time() - between) / options.seeds)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    return {
        "model": name,
        "seeds": options.seeds,
        "n": options.repeats,
        **{f"{way}_s": round(value, 4) for way, value in medians.items()},
        **{f"{way}_range": [round(f(seconds[way]), 4) for f in (min, max)] for way in seconds},
        "apart_by_together": round(medians["apart"] / medians["together"], 3),
    }


if __name__ == "__main__":
    main()
