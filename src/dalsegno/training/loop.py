"""The one training loop: gradient descent with early stopping, resumable at any moment, the same bytes twice."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dalsegno.models import base
from dalsegno.representations.base import Packed
from dalsegno.training.options import Augmentation, Training
from dalsegno.training.run import Progress, valid_nll

SECONDS_BETWEEN_SAVES = 20.0


class Diverged(RuntimeError):
    """The training loss is no longer a number."""


def learning_rate(training: Training) -> Any:
    """The optax schedule: linear warm-up, then half a cosine."""
    import optax

    return optax.warmup_cosine_decay_schedule(
        0.0,
        training.learning_rate,
        min(training.warmup_steps, training.steps - 1),
        training.steps,
        training.learning_rate * training.final_learning_rate,
    )


def descend(
    family: Any,
    config: Any,
    training: Training,
    augmentation: Augmentation,
    packed: Packed,
    seed: int,
    scratch: Path,
) -> tuple[base.Arrays, Progress]:
    """Gradient descent: the best weights and the course of training."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    from dalsegno.models.neural import Neural, named
    from dalsegno.training.batches import Batch, Windows

    windows = Windows(packed, training.batch_size, training.window, augmentation.transpose, seed)
    trained = Neural(family.Network(config, packed.vocabulary, nnx.Rngs(seed)), packed.vocabulary)
    schedule = learning_rate(training)
    optimizer = optax.chain(
        optax.clip_by_global_norm(training.clip_norm),
        optax.adamw(schedule, b2=0.99, weight_decay=training.weight_decay),
    )
    dropout_key = jax.random.key(seed)

    def loss(params: Any, batch: Batch, key: jax.Array) -> jax.Array:
        network = nnx.merge(trained.graph, params)
        logp = network.log_probs(batch.inputs, batch.tokens_BxTxK, key)
        weights = batch.mask_BxT[..., None]
        return -jnp.sum(logp * weights) / (jnp.sum(weights) * logp.shape[-1])

    def update(params: Any, moments: Any, batch: Batch, step: Any) -> tuple[Any, Any, jax.Array]:
        nll, gradient = jax.value_and_grad(loss)(params, batch, jax.random.fold_in(dropout_key, step))
        changes, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, changes), moments, nll

    update = jax.jit(update, donate_argnums=(0, 1))
    # Copies: a donated buffer must belong to one leaf alone, and not to `trained`.
    params = jax.tree.map(jnp.copy, trained.params)
    moments = optimizer.init(params)
    best = trained.arrays()
    progress = Progress()
    store = scratch / "state.safetensors"

    def save() -> None:
        leaves = {f"state.{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves((params, moments)))}
        base.write_arrays(store, leaves | {f"best.{name}": array for name, array in best.items()}, asdict(progress))

    if store.exists():
        arrays, about = base.read_arrays(store)
        progress = Progress(**about)
        leaves = [jnp.asarray(arrays[name]) for name in sorted(arrays) if name.startswith("state.")]
        params, moments = jax.tree.unflatten(jax.tree.structure((params, moments)), leaves)
        best = {name.removeprefix("best."): array for name, array in arrays.items() if name.startswith("best.")}
        say(f"resuming at step {progress.step}")

    began, first = time.monotonic(), progress.step
    saved = began
    waiting: jax.Array | None = None

    def settle() -> None:
        nonlocal waiting
        if waiting is None:
            return
        value = float(waiting)
        waiting = None
        if not math.isfinite(value):
            raise Diverged(f"the loss is {value} at step {progress.step}; the last good state is kept in {scratch}")
        progress.losses.append(value)

    while not progress.stopped_by:
        params, moments, nll = update(params, moments, windows.batch(progress.step), np.int32(progress.step))
        settle()
        # Read one step late, so that the next batch is made while this one is computed.
        waiting = nll
        progress.step += 1
        rate = float(schedule(progress.step - 1))
        if progress.step % training.eval_every == 0 or progress.step == training.steps:
            settle()
            score = valid_nll(partial(trained.log_probs, params=params), packed)
            for split, value in (("train", float(np.mean(progress.losses))), ("valid", score)):
                progress.curve.append({"step": progress.step, "split": split, "nll": value, "learning_rate": rate})
            progress.losses = []
            progress.worse += 1
            if score < progress.best_nll:
                progress.best_nll, progress.best_step, progress.worse = score, progress.step, 0
                # Not a view: the buffers are donated to the next step.
                best = {name: np.array(value) for name, value in named(params).items()}
            if progress.step == training.steps:
                progress.stopped_by = "steps"
            elif progress.worse >= training.patience:
                progress.stopped_by = "patience"
            left = (time.monotonic() - began) / (progress.step - first) * (training.steps - progress.step)
            where = f"step {progress.step}/{training.steps}"
            say(f"{where} valid {score:.4f} best {progress.best_nll:.4f}, {left:.0f} s left")
            save()
            saved = time.monotonic()
        elif time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
            settle()
            save()
            saved = time.monotonic()
    return best, progress


def say(message: str) -> None:
    """One line of progress."""
    print(message, file=sys.stderr, flush=True)
