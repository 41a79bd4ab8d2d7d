"""An ensemble: a mean of the probabilities that trained networks give each token, in several keys if asked.

It trains nothing: its members are other models of the study, with the same dataset, representation and seed. The mean
is a distribution, so likelihood and sampling are those of one model. It is the arithmetic one, or a geometric one that
learns from each piece as it goes: whom to trust (Mattern, "Linear and geometric mixtures: analysis", Data Compression
Conference 2013), and which tokens and intervals the piece likes, which is dynamic evaluation (Krause et al. 2018) of
biases alone.

A network that is trained in all keys is not equally sure in each. So it may be asked about the music in other keys as
well, and its answers moved back (test-time augmentation, as of images in Krizhevsky et al. 2012).

Legend of shape suffixes: B sequences, T steps, K tokens a step, P parts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
LEAST = -14.0
"""Log-probability (nats) below which no member goes in a geometric mean: each of them alone could rule a token out."""


class Member(FamilyConfig):
    """One trained network, as its checkpoint describes it."""

    family: str
    config: dict[str, Any]


class Config(FamilyConfig):
    """Which models are averaged."""

    members: list[str | Member] = Field(min_length=1, description="names of models of the study, each with a network")
    transpose: int = Field(0, ge=0, le=6, description="semitones up and down by which each member hears the music, too")
    mean: Literal["arithmetic", "geometric"] = Field("arithmetic", description="of the members' probabilities")
    weight: float = Field(
        1.0, gt=0, description="of all members together in a geometric mean: less than 1 makes it less sure of itself"
    )
    learning_rate: float = Field(
        0.0, ge=0, description="how fast the weights of a geometric mean learn from each step of a piece"
    )
    habit_rate: float = Field(
        0.0, ge=0, description="how fast biases of tokens, and of intervals from the token before, learn from each step"
    )

    @model_validator(mode="after")
    def _is_a_mean(self) -> Config:
        if len(self.members) == 1 and not self.transpose:
            raise ValueError("an ensemble needs two members, or transpose")
        if self.mean == "arithmetic" and (self.learning_rate or self.habit_rate or self.weight != 1):
            raise ValueError("weight and rates are those of a geometric mean: say mean: geometric")
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


class Learned(NamedTuple):
    """What a geometric mean has learned from the sequence so far; each token of a step has biases of its own.

    Attributes:
        weights_BxP: of the parts.
        tokens_BxKxV: biases of tokens.
        intervals_BxKx2V: biases of intervals from the token before, see `steps.shifted`.
    """

    weights_BxP: Any
    tokens_BxKxV: Any
    intervals_BxKx2V: Any

    def biases(self, previous_BxK: jax.Array) -> jax.Array:
        """`bias_BxKxV` of a step."""
        return self.tokens_BxKxV + steps.shifted(self.intervals_BxKx2V, previous_BxK)


class Mixture(steps.StepModel):
    """Networks side by side; what one step model passes on as an array, this one passes on as a tuple.

    P parts are every network in every key. What a geometric mean learns is of one sequence: it begins alike in each,
    and after each step goes up the gradient of that step's log-probability.

    Args:
        members: the networks.
        config: how they are averaged.
        vocabulary: of the representation.

    Raises:
        ValueError: to be transposed, but no symbol is a pitch.
    """

    def __init__(self, members: Sequence[steps.StepModel], config: Config, vocabulary: Vocabulary) -> None:
        transpose = config.transpose
        if transpose and vocabulary.pitches[0] == vocabulary.pitches[1]:
            raise ValueError(f"an ensemble cannot transpose {vocabulary.kind}: no symbol of it is one pitch")
        self.members = nnx.List(members)
        self.config = config
        self.width, self.size = vocabulary.width, vocabulary.size
        self.keys = tuple(Key(semitones, vocabulary) for semitones in range(-transpose, transpose + 1))

    @property
    def parts(self) -> list[tuple[steps.StepModel, Key]]:
        """Every network in every key."""
        return [(member, key) for member in self.members for key in self.keys]

    @property
    def heads(self) -> list[Callable[..., jax.Array]]:
        return [partial(self._head, k) for k in range(self.width)]

    def _head(self, k: int, trunk: Any, inputs: steps.Inputs, tokens_BxK: jax.Array) -> jax.Array:
        learned, trunks = trunk
        bias_BxV = learned.biases(inputs.previous_BxTxK)[:, k]
        return self._mean(self._opinions(k, trunks, inputs, tokens_BxK), learned.weights_BxP, bias_BxV)

    def _opinions(self, k: int, trunks: Any, inputs: steps.Inputs, tokens___xK: jax.Array) -> jax.Array:
        """`logp___xPxV` of token k."""
        logps = [
            key.leave(member.heads[k](trunk, key.hear(inputs), key.enter(tokens___xK)))
            for (member, key), trunk in zip(self.parts, trunks, strict=True)
        ]
        return jnp.stack(logps, axis=-2)

    def _mean(self, opinions___xPxV: jax.Array, weights___xP: jax.Array, bias___xV: jax.Array) -> jax.Array:
        """`logp___xV` of all parts together."""
        if self.config.mean == "arithmetic":
            return jax.nn.logsumexp(opinions___xPxV, axis=-2) - jnp.log(opinions___xPxV.shape[-2])
        together = jnp.einsum("...pv,...p->...v", jnp.maximum(opinions___xPxV, LEAST), weights___xP)
        return jax.nn.log_softmax(together + bias___xV)

    def _begin(self, batch: int) -> Learned:
        """What is known before the first step: nothing."""
        number, biases = len(self.parts), (batch, self.width, self.size)
        equal = jnp.full((batch, number), self.config.weight / number)
        return Learned(equal, jnp.zeros(biases), jnp.zeros((*biases[:2], 2 * self.size)))

    def _step(
        self, learned: Learned, opinions_BxKxPxV: jax.Array, previous_BxK: jax.Array, tokens_BxK: jax.Array
    ) -> tuple[Learned, jax.Array]:
        """What is known after a step, and `logp_BxK` of its tokens."""

        def total(learned: Learned) -> tuple[jax.Array, jax.Array]:
            logp = self._mean(opinions_BxKxPxV, learned.weights_BxP[:, None], learned.biases(previous_BxK))
            chosen = jnp.take_along_axis(logp, tokens_BxK[..., None], axis=-1)[..., 0]
            return jnp.sum(chosen), chosen

        config = self.config
        if not config.learning_rate and not config.habit_rate:
            return learned, total(learned)[1]
        slope, logp = jax.grad(total, has_aux=True)(learned)
        rates = Learned(config.learning_rate, config.habit_rate, config.habit_rate)
        return jax.tree.map(lambda own, rate, up: own + rate * up, learned, rates, slope), logp

    def log_probs(self, inputs: steps.Inputs, tokens_BxTxK: jax.Array) -> jax.Array:
        trunks = tuple(member.trunk(x, None) for (member, _), x in zip(self.parts, self.embedding(inputs), strict=True))
        opinions = jnp.stack([self._opinions(k, trunks, inputs, tokens_BxTxK) for k in range(self.width)], axis=2)
        by_step = [jnp.swapaxes(x, 0, 1) for x in (opinions, inputs.previous_BxTxK, tokens_BxTxK)]
        _, logp_TxBxK = jax.lax.scan(lambda known, at: self._step(known, *at), self._begin(len(tokens_BxTxK)), by_step)
        return jnp.swapaxes(logp_TxBxK, 0, 1)

    def embedding(self, inputs: steps.Inputs) -> tuple[jax.Array, ...]:  # type: ignore[override]
        return tuple(member.embedding(key.hear(inputs)) for member, key in self.parts)

    def start(self, batch: int) -> Any:
        return self._begin(batch), tuple(member.start(batch) for member, _ in self.parts)

    def advance(self, state: Any, x_BxD: Any) -> tuple[Any, Any]:
        learned, states = state
        pairs = [member.advance(*one) for (member, _), *one in zip(self.parts, states, x_BxD, strict=True)]
        return (learned, tuple(after for after, _ in pairs)), (learned, tuple(trunk for _, trunk in pairs))

    def learn(self, state: Any, trunk_BxD: Any, inputs: steps.Inputs, tokens_BxK: jax.Array) -> Any:
        (learned, states), trunks = state, trunk_BxD[1]
        opinions = [self._opinions(k, trunks, inputs, tokens_BxK) for k in range(self.width)]
        return self._step(learned, jnp.stack(opinions, axis=1), inputs.previous_BxTxK, tokens_BxK)[0], states


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
    return neural.Neural(Mixture(networks, config, vocabulary), vocabulary, arrays)
