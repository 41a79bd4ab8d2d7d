"""An ensemble: the mean of the probabilities that several trained networks give each token.

It trains nothing: its members are other models of the study, with the same dataset, representation and seed. The
mean of distributions is a distribution, so likelihood and sampling are those of one model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

from dalsegno.models import base, neural, steps
from dalsegno.models.base import Arrays, FamilyConfig
from dalsegno.representations.base import Vocabulary

SUPPORTS = frozenset({"likelihood", "prompt", "voice"})
LAYOUTS = frozenset({"voices", "events", "compound"})


class Member(FamilyConfig):
    """One trained network, as its checkpoint describes it."""

    family: str
    config: dict[str, Any]


class Config(FamilyConfig):
    """Which models are averaged."""

    members: list[str | Member] = Field(min_length=2, description="names of models of the study, each with a network")


class Mixture(steps.StepModel):
    """Networks side by side; what one step model passes on as an array, this one passes on as a tuple."""

    def __init__(self, members: Sequence[steps.StepModel]) -> None:
        self.members = nnx.List(members)
        self.width = len(members[0].heads)

    @property
    def heads(self) -> list[Callable[..., jax.Array]]:
        return [partial(self._head, k) for k in range(self.width)]

    def _head(self, k: int, trunks: Any, inputs: steps.Inputs, tokens_BxTxK: jax.Array) -> jax.Array:
        logps = [
            jax.nn.log_softmax(member.heads[k](trunk, inputs, tokens_BxTxK))
            for member, trunk in zip(self.members, trunks, strict=True)
        ]
        return jax.nn.logsumexp(jnp.stack(logps), axis=0) - jnp.log(len(logps))

    def embedding(self, inputs: steps.Inputs) -> tuple[jax.Array, ...]:  # type: ignore[override]
        return tuple(member.embedding(inputs) for member in self.members)

    def trunk(self, x_BxTxD: Any, key: jax.Array | None) -> Any:
        return tuple(member.trunk(x, key) for member, x in zip(self.members, x_BxTxD, strict=True))

    def start(self, batch: int) -> Any:
        return tuple(member.start(batch) for member in self.members)

    def advance(self, state: Any, x_BxD: Any) -> tuple[Any, Any]:
        pairs = [member.advance(*one) for member, *one in zip(self.members, state, x_BxD, strict=True)]
        return tuple(after for after, _ in pairs), tuple(trunk for _, trunk in pairs)


def combine(checkpoints: Sequence[Path]) -> tuple[Config, Arrays]:
    """The ensemble of trained networks: a config that describes them, and their weights."""
    members: list[str | Member] = []
    arrays: Arrays = {}
    for index, path in enumerate(checkpoints):
        own, about = base.read_arrays(path)
        members.append(Member(family=about["family"], config=about["config"]))
        arrays |= {f"members.{index}.{name}": array for name, array in own.items()}
    return Config(members=members), arrays


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained ensemble."""
    networks = []
    for member in config.members:
        if isinstance(member, str):
            raise ValueError(f"{member!r} is a name, not a trained member: an ensemble is loaded from its checkpoint")
        module = base.family(member.family)
        networks.append(module.Network(module.Config(**member.config), vocabulary, nnx.Rngs(0)))
    return neural.Neural(Mixture(networks), vocabulary, arrays)
