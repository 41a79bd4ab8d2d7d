"""The one training loop: gradient descent with early stopping, resumable at any moment, the same bytes twice."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.experimental import multihost_utils

from dalsegno.models import base
from dalsegno.models.neural import Neural, named
from dalsegno.representations.base import Packed
from dalsegno.training import optimizers
from dalsegno.training.batches import Batch, Windows
from dalsegno.training.devices import Machine, leads
from dalsegno.training.feeding import Feed
from dalsegno.training.options import Augmentation, Training
from dalsegno.training.run import Progress, valid_nll
from dalsegno.training.sharding import Layout

SECONDS_BETWEEN_SAVES = 20.0
FIRST_AVERAGED = 10
"""An average forgets the initial weights: at step t its decay is at most (1 + t) / (10 + t)."""


class Diverged(RuntimeError):
    """The training loss, or its gradient, is no longer a number."""


class State(NamedTuple):
    """What a step changes.

    Attributes:
        params: the weights, an NNX state.
        moments: the optimizer's.
        average: the moving average of the weights, or None.
    """

    params: Any
    moments: Any
    average: Any

    @property
    def chosen(self) -> Any:
        """The weights that are evaluated and kept."""
        return self.params if self.average is None else self.average


def step_function(
    graph: Any, training: Training, layout: Layout, seed: int
) -> Callable[[State, Batch, Any], tuple[State, jax.Array]]:
    """One optimizer step: the next state, and loss (nats a token) and norm of the gradient as one array."""
    optimizer = optimizers.optimizer(training)
    half = layout.machine.precision == "bfloat16"
    parts = layout.machine.microbatches
    dropout_key = jax.random.key(seed)

    def loss(params: Any, batch: Batch, weight: jax.Array, key: jax.Array) -> jax.Array:
        network = nnx.merge(graph, jax.tree.map(lambda x: x.astype(jnp.bfloat16), params) if half else params)
        losses = network.losses(batch.inputs, batch.tokens_BxTxK, batch.mask_BxT, key, training.label_smoothing)
        return jnp.sum(losses * batch.mask_BxT[..., None]) / (weight * losses.shape[-1])

    def descent(params: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Any]:
        weight = jnp.sum(batch.mask_BxT)
        if parts == 1:
            return jax.value_and_grad(loss)(params, batch, weight, key)

        def add(total: tuple[jax.Array, Any], at: tuple[jax.Array, Batch]) -> tuple[tuple[jax.Array, Any], None]:
            part = jax.value_and_grad(loss)(params, at[1], weight, jax.random.fold_in(key, at[0]))
            return jax.tree.map(jnp.add, total, part), None

        nothing = (jnp.float32(0), jax.tree.map(jnp.zeros_like, params))
        total, _ = jax.lax.scan(add, nothing, (jnp.arange(parts), layout.parts(batch)))
        return total

    def update(state: State, batch: Batch, step: Any) -> tuple[State, jax.Array]:
        nll, gradient = descent(state.params, batch, jax.random.fold_in(dropout_key, step))
        changes, moments = optimizer.update(gradient, state.moments, state.params)
        params = optax.apply_updates(state.params, changes)
        average = None
        if state.average is not None:
            kept = jnp.minimum(training.average, (1 + step) / (FIRST_AVERAGED + step))
            average = jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, state.average, params)
        return State(params, moments, average), jnp.stack([nll, optax.global_norm(gradient)])

    return update


def descend(
    family: Any,
    config: Any,
    training: Training,
    augmentation: Augmentation,
    packed: Packed,
    seed: int,
    scratch: Path,
    machine: Machine,
    watch: Callable[[list[dict[str, Any]]], None],
) -> tuple[base.Arrays, Progress]:
    """Gradient descent: the best weights and the course of training.

    Args:
        watch: told of the learning curve after each evaluation, in the process that leads.

    Raises:
        ValueError: the machine cannot cut the batch as it should.
        Diverged: see `dalsegno.training.run.train`.
    """
    layout = Layout(machine, training.batch_size)
    told = getattr(config, "attributes", None)
    windows = Windows(packed, training.batch_size, training.window, augmentation, seed, told)
    trained = Neural(family.Network(config, packed.vocabulary, nnx.Rngs(seed)), packed.vocabulary)
    schedule = optimizers.schedule(training)
    # Copies: a donated buffer must belong to one leaf alone, and not to `trained`.
    params = jax.tree.map(jnp.copy, trained.params)
    average = jax.tree.map(jnp.copy, params) if training.average else None
    state = State(params, optimizers.optimizer(training).init(params), average)
    shardings = layout.of_state(state)
    update = jax.jit(
        step_function(trained.graph, training, layout, seed),
        donate_argnums=0,
        out_shardings=(shardings, layout.whole),
        compiler_options=layout.compiler_options,
    )
    best = trained.arrays()
    progress = Progress()
    store = scratch / "state.safetensors"

    def save() -> None:
        leaves = {f"state.{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(layout.read(state)))}
        if leads():
            base.write_arrays(store, leaves | {f"best.{name}": array for name, array in best.items()}, asdict(progress))

    if store.exists():
        arrays, about = base.read_arrays(store)
        progress = Progress(**about)
        leaves = [arrays[name] for name in sorted(arrays) if name.startswith("state.")]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        best = {name.removeprefix("best."): array for name, array in arrays.items() if name.startswith("best.")}
        say(f"resuming at step {progress.step}")
    alone = jax.process_count() == 1
    if not alone:
        multihost_utils.assert_equal(progress.step, f"the processes do not see the same files in {scratch}")
    state = layout.place(state, shardings)

    began, first = time.monotonic(), progress.step
    saved = began
    waiting: jax.Array | None = None

    def settle() -> None:
        nonlocal waiting
        if waiting is None:
            return
        value, norm = np.asarray(waiting).tolist()
        waiting = None
        if not math.isfinite(value) or not math.isfinite(norm):
            kept = scratch / "diverged.safetensors"
            last = windows.batch(progress.step - 1)
            base.write_arrays(kept, {"tokens": last.tokens_BxTxK, "mask": last.mask_BxT}, {"step": progress.step})
            raise Diverged(
                f"the loss is {value}, the norm of its gradient {norm}, at step {progress.step}. The batch of this "
                f"step is kept in {kept}, the last good state in {store}: lower learning_rate, or mend the data"
            )
        progress.losses.append(value)

    ahead = Feed(lambda step: layout.place_rows(windows.batch(step)), progress.step, training.steps)
    with ahead as feed, layout.used():
        while not progress.stopped_by:
            state, metrics = update(state, feed.take(), np.int32(progress.step))
            settle()
            # Read one step late, so that the devices never wait for this program.
            waiting = metrics
            progress.step += 1
            if progress.step % training.eval_every == 0 or progress.step == training.steps:
                settle()
                score = valid_nll(partial(trained.log_probs, params=state.chosen, devices=layout), packed)
                rate = float(schedule(progress.step - 1))
                for split, value in (("train", float(np.mean(progress.losses))), ("valid", score)):
                    progress.curve.append({"step": progress.step, "split": split, "nll": value, "learning_rate": rate})
                progress.losses = []
                if leads():
                    watch(progress.curve)
                progress.worse += 1
                if score < progress.best_nll:
                    progress.best_nll, progress.best_step, progress.worse = score, progress.step, 0
                    best = layout.read(named(state.chosen))
                if progress.step == training.steps:
                    progress.stopped_by = "steps"
                elif progress.worse >= training.patience:
                    progress.stopped_by = "patience"
                left = (time.monotonic() - began) / (progress.step - first) * (training.steps - progress.step)
                where = f"step {progress.step}/{training.steps}"
                say(f"{where} valid {score:.4f} best {progress.best_nll:.4f}, {left:.0f} s left")
                save()
                saved = time.monotonic()
            # Processes must save together, and their clocks differ.
            elif alone and time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                settle()
                save()
                saved = time.monotonic()
    return best, progress


def say(message: str) -> None:
    """One line of progress."""
    if leads():
        print(message, file=sys.stderr, flush=True)
