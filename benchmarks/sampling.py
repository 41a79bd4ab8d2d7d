"""Decoding with a cache in one compiled loop against recomputing the prefix at every step.

    python benchmarks/sampling.py --steps 512 --count 4 --repeats 3

The baseline is the honest naive one: for every step a compiled forward pass of the trunk at the full, fixed length,
then the same heads and the same draw. Both run on the same untrained models; repeats alternate, and medians count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from dalsegno.training import devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=512)
    parser.add_argument("--count", type=int, default=4, help="sequences in one batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    devices.configure(options.threads)
    for name in ("lstm", "transformer"):
        print(json.dumps(compare(name, options.steps, options.count, options.repeats)), flush=True)


def compare(name: str, steps: int, count: int, repeats: int) -> dict[str, float | str]:
    """Median seconds of both ways, and their ratio."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from dalsegno.models import base
    from dalsegno.models.base import Request
    from dalsegno.models.neural import Neural
    from dalsegno.models.steps import Inputs, inputs_of
    from dalsegno.representations.base import Grammar, Vocabulary

    size, width = 47, 4
    vocabulary = Vocabulary("voices", tuple(map(str, range(size))), width, 16, (1, size), None, 120, {})
    grammar = Grammar(np.ones((1, size), bool), np.zeros((1, size), np.int16))
    module = base.family(name)
    model = Neural(module.Network(module.Config(), vocabulary, nnx.Rngs(0)), vocabulary)
    request = Request([np.zeros((0, width), np.int16)] * count, steps, grammar, seed=1)

    @jax.jit
    def next_step(params, inputs: Inputs, at, key):
        network = nnx.merge(model.graph, params)
        trunk = jax.lax.dynamic_index_in_dim(network.trunk(network.embedding(inputs), None), at, 1, keepdims=False)
        now = Inputs(*(jax.lax.dynamic_index_in_dim(x, at, 1, keepdims=False) for x in inputs))
        tokens = jnp.zeros((count, width), jnp.int32)
        for k, head in enumerate(network.heads):
            drawn = jax.random.categorical(jax.random.fold_in(jax.random.fold_in(key, at), k), head(trunk, now, tokens))
            tokens = tokens.at[:, k].set(drawn)
        return tokens

    def naive() -> None:
        tokens = np.zeros((count, steps, width), np.int16)
        for at in range(steps):
            rows = [inputs_of(piece, vocabulary) for piece in tokens]
            inputs = Inputs(*(np.stack(field) for field in zip(*rows, strict=True)))
            tokens[:, at] = next_step(model.params, inputs, np.int32(at), jax.random.key(1))

    ways: dict[str, Callable[[], object]] = {"cached": lambda: model.generate(request), "naive": naive}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    # The first round compiles.
    for repeat in range(repeats + 1):
        for way, generate in ways.items():
            began = time.perf_counter()
            generate()
            if repeat:
                seconds[way].append(time.perf_counter() - began)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    return {"family": name, **medians, "ratio": medians["naive"] / medians["cached"]}


if __name__ == "__main__":
    main()
