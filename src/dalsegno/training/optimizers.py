"""Optimizers and learning rates by the names that a study gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from dalsegno.training.options import Training


def schedule(training: Training) -> Callable[[Any], Any]:
    """The learning rate of each optimizer step, from 0: a linear warm-up, then what the study names."""
    peak, warmup = training.learning_rate, min(training.warmup_steps, training.steps - 1)
    final, after = peak * training.final_learning_rate, training.steps - warmup
    if training.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, training.steps, final)

    def inverse_sqrt(step: Any) -> Any:
        # Joined schedules are asked about steps before their own, too.
        return peak * jnp.sqrt(max(warmup, 1) / (jnp.maximum(step, 0) + max(warmup, 1)))

    falling = {
        "linear": optax.linear_schedule(peak, final, after),
        "inverse_sqrt": inverse_sqrt,
        "constant": optax.constant_schedule(peak),
    }[training.schedule]
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), falling], [warmup]) if warmup else falling


def optimizer(training: Training) -> optax.GradientTransformation:
    """The update of the weights, from a gradient that is clipped first."""
    rate, decay, b1, b2 = schedule(training), training.weight_decay, training.b1, training.b2
    make: dict[str, Callable[[], optax.GradientTransformation]] = {
        "adamw": lambda: optax.adamw(rate, b1, b2, weight_decay=decay),
        "lamb": lambda: optax.lamb(rate, b1, b2, weight_decay=decay),
        "lion": lambda: optax.lion(rate, b1, b2, weight_decay=decay),
        "nadamw": lambda: optax.nadamw(rate, b1, b2, weight_decay=decay),
        "sgd": lambda: optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, b1)),
    }
    return optax.chain(optax.clip_by_global_norm(training.clip_norm), make[training.optimizer]())
