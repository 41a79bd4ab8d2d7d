"""Decoding with a cache in one compiled loop, against recomputing the prefix and against Hugging Face's `generate`.

    python benchmarks/sampling.py --steps 512 --count 4 --repeats 3
    python benchmarks/sampling.py --peer huggingface --steps 1024 --count 32 --repeats 7 --threads 2

The baseline is the honest naive one: for every step a compiled forward pass of the trunk at the full, fixed length,
then the same heads and the same draw. Both run on the same untrained models; repeats alternate, and medians count.
The peer is a GPT-2 of the same layers, heads, widths and vocabulary with its own cache; it needs an environment with
PyTorch and transformers beside this project's packages (`benchmarks/torch_twins.py`).
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
    parser.add_argument("--peer", choices=["naive", "huggingface"], default="naive")
    options = parser.parse_args()
    devices.configure(options.threads)
    if options.peer == "huggingface":
        found = against_huggingface(options.steps, options.count, options.repeats, options.threads)
        print(json.dumps(found), flush=True)
        return
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
        now = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, at, 1, keepdims=False), inputs)
        tokens = jnp.zeros((count, width), jnp.int32)
        for k, head in enumerate(network.heads):
            drawn = jax.random.categorical(jax.random.fold_in(jax.random.fold_in(key, at), k), head(trunk, now, tokens))
            tokens = tokens.at[:, k].set(drawn)
        return tokens

    def naive() -> None:
        tokens = np.zeros((count, steps, width), np.int16)
        for at in range(steps):
            rows = [inputs_of(piece, vocabulary) for piece in tokens]
            inputs = jax.tree.map(lambda *fields: np.stack(fields), *rows)
            tokens[:, at] = next_step(model.params, inputs, np.int32(at), jax.random.key(1))

    medians, _ = alternate({"cached": lambda: model.generate(request), "naive": naive}, repeats)
    return {"family": name, **medians, "ratio": medians["naive"] / medians["cached"]}


def against_huggingface(steps: int, count: int, repeats: int, threads: int) -> dict[str, object]:
    """Median seconds of both for `count` sequences of `steps` tokens, and their ratio."""
    import torch
    from flax import nnx
    from transformers import GPT2Config, GPT2LMHeadModel

    from dalsegno.models import base
    from dalsegno.models.base import Request
    from dalsegno.models.neural import Neural
    from dalsegno.representations.base import Grammar, Vocabulary

    torch.set_num_threads(threads)
    size = 300
    names = tuple(f"Symbol_{i}" for i in range(size))
    vocabulary = Vocabulary("none", names, 1, 1, (0, 0), None, None, {})
    grammar = Grammar(np.ones((1, size), bool), np.zeros((1, size), np.int16))
    module = base.family("transformer")
    config = module.Config(features=128, layers=4, attention_heads=4, feedforward=512, span=steps, hidden=128)
    model = Neural(module.Network(config, vocabulary, nnx.Rngs(0)), vocabulary)
    request = Request([np.zeros((0, 1), np.int16)] * count, steps, grammar, seed=1)
    peer = GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_positions=steps + 1, n_embd=128, n_layer=4, n_head=4, bos_token_id=0)
    ).eval()
    begin = torch.zeros((count, 1), dtype=torch.long)

    def theirs() -> None:
        drawn = peer.generate(
            begin, max_new_tokens=steps, do_sample=True, top_k=0, use_cache=True, eos_token_id=None, pad_token_id=0
        )
        assert drawn.shape == (count, steps + 1)

    medians, spread = alternate({"ours": lambda: model.generate(request), "huggingface": theirs}, repeats)
    return {
        "tokens": count * steps,
        "parameters": int(sum(array.size for array in model.arrays().values())),
        "peer_parameters": sum(one.numel() for one in peer.parameters()),
        "threads": threads,
        "n": repeats,
        **{f"{way}_s": round(value, 2) for way, value in medians.items()},
        **spread,
        "ratio": round(medians["huggingface"] / medians["ours"], 2),
    }


def alternate(ways: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Median seconds of each way, and its range; the first round compiles."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for way, generate in ways.items():
            began = time.perf_counter()
            generate()
            if repeat:
                seconds[way].append(time.perf_counter() - began)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    return medians, {f"{way}_range": [round(min(own), 2), round(max(own), 2)] for way, own in seconds.items()}


if __name__ == "__main__":
    main()
