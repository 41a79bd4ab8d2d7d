"""An ensemble: the mean of the probabilities that trained networks give each token, in several keys if asked.

It trains nothing: its members are other models of the study, with the same dataset, representation and seed. The
mean of distributions is a distribution, so likelihood and sampling are those of one model.

A network that is trained in all keys is not equally sure in each. So it may be asked about the music in other keys as
well, and its answers moved back (test-time augmentation, as of images in Krizhevsky et al. 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from pydantic import Field, model_validator

from dalsegno.models import attention, base, neural, steps
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

    members: list[str | Member] = Field(min_length=1, description="names of models of the study, each with a network")
    transpose: int = Field(0, ge=0, le=6, description="semitones up and down by which each member hears the music, too")

    @model_validator(mode="after")
    def _is_a_mean(self) -> Config:
        if len(self.members) == 1 and not self.transpose:
            raise ValueError("an ensemble needs two members, or transpose")
        return self


class Key:
    """Tokens in another key, and probabilities back from it.

    A pitch that would leave the vocabulary is heard an octave nearer, or at its end. What the other key has no symbol
    for is left out of its probabilities.

    Args:
        semitones: what is added to the music's pitches.
        vocabulary: of the representation.
    """

    def __init__(self, semitones: int, vocabulary: Vocabulary) -> None:
        first, end = vocabulary.pitches
        symbols = np.arange(vocabulary.size + 1)
        pitched = (symbols >= first) & (symbols < end)
        moved = symbols + semitones * pitched
        self.kept_V = ~pitched[:-1] | ((moved >= first) & (moved < end))[:-1]
        octave = moved - 12 * np.sign(semitones)
        end_or_octave = np.where((octave >= first) & (octave < end), octave, np.clip(moved, first, max(first, end - 1)))
        self.moved = np.where(np.append(self.kept_V, True), moved, end_or_octave).astype(np.int32)

    def enter(self, tokens: jax.Array) -> jax.Array:
        """Tokens of any shape, or V."""
        return jnp.asarray(self.moved)[tokens]

    def hear(self, inputs: steps.Inputs) -> steps.Inputs:
        """Inputs of a step in this key."""
        previous, earlier = self.enter(inputs.previous_BxTxK), self.enter(inputs.earlier_BxTxK)
        recalled = None if inputs.recalled_BxTxK is None else self.enter(inputs.recalled_BxTxK)
        return inputs._replace(previous_BxTxK=previous, earlier_BxTxK=earlier, recalled_BxTxK=recalled)

    def leave(self, logits___xV: jax.Array) -> jax.Array:
        """`logp___xV` of the tokens as they were before."""
        back = logits___xV[..., self.moved[:-1]]
        return jax.nn.log_softmax(jnp.where(self.kept_V, back, attention.REFUSED))


class Mixture(steps.StepModel):
    """Networks side by side; what one step model passes on as an array, this one passes on as a tuple.

    Args:
        members: the networks.
        transpose: see `Config`.
        vocabulary: of the representation.

    Raises:
        ValueError: to be transposed, but no symbol is a pitch.
    """

    def __init__(self, members: Sequence[steps.StepModel], transpose: int, vocabulary: Vocabulary) -> None:
        if transpose and vocabulary.pitches[0] == vocabulary.pitches[1]:
            raise ValueError(f"an ensemble cannot transpose {vocabulary.kind}: no symbol of it is one pitch")
        self.members = nnx.List(members)
        self.width = vocabulary.width
        self.keys = tuple(Key(semitones, vocabulary) for semitones in range(-transpose, transpose + 1))

    @property
    def parts(self) -> list[tuple[steps.StepModel, Key]]:
        """Every network in every key."""
        return [(member, key) for member in self.members for key in self.keys]

    @property
    def heads(self) -> list[Callable[..., jax.Array]]:
        return [partial(self._head, k) for k in range(self.width)]

    def _head(self, k: int, trunks: Any, inputs: steps.Inputs, tokens_BxTxK: jax.Array, _: None = None) -> jax.Array:
        logps = [
            key.leave(member.heads[k](trunk, key.hear(inputs), key.enter(tokens_BxTxK)))
            for (member, key), trunk in zip(self.parts, trunks, strict=True)
        ]
        return jax.nn.logsumexp(jnp.stack(logps), axis=0) - jnp.log(len(logps))

    def embedding(self, inputs: steps.Inputs) -> tuple[jax.Array, ...]:  # type: ignore[override]
        return tuple(member.embedding(key.hear(inputs)) for member, key in self.parts)

    def trunk(self, x_BxTxD: Any, key: jax.Array | None) -> Any:
        return tuple(member.trunk(x, key) for (member, _), x in zip(self.parts, x_BxTxD, strict=True))

    def start(self, batch: int) -> Any:
        return tuple(member.start(batch) for member, _ in self.parts)

    def advance(self, state: Any, x_BxD: Any) -> tuple[Any, Any]:
        pairs = [member.advance(*one) for (member, _), *one in zip(self.parts, state, x_BxD, strict=True)]
        return tuple(after for after, _ in pairs), tuple(trunk for _, trunk in pairs)


def combine(config: Config, checkpoints: Sequence[Path]) -> tuple[Config, Arrays]:
    """The ensemble of trained networks: a config that describes them in place of their names, and their weights."""
    members: list[str | Member] = []
    arrays: Arrays = {}
    for index, path in enumerate(checkpoints):
        own, about = base.read_arrays(path)
        members.append(Member(family=about["family"], config=about["config"]))
        arrays |= {f"members.{index}.{name}": array for name, array in own.items()}
    return config.model_copy(update={"members": members}), arrays


def load(config: Config, vocabulary: Vocabulary, arrays: Arrays) -> neural.Neural:
    """The trained ensemble."""
    networks = []
    for member in config.members:
        if isinstance(member, str):
            raise ValueError(f"{member!r} is a name, not a trained member: an ensemble is loaded from its checkpoint")
        module = base.family(member.family)
        networks.append(module.Network(module.Config(**member.config), vocabulary, nnx.Rngs(0)))
    return neural.Neural(Mixture(networks, config.transpose, vocabulary), vocabulary, arrays)
