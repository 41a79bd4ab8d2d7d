"""What a model is told of the music that it writes: measured in every bar or in the whole piece, or a label.

An attribute is a column of small numbers beside the tokens, one a step; 0 means that nothing is told. In training a
column is left untold now and then, so that one network also knows the music of which nothing is told (classifier-free
guidance trains so: Ho and Salimans 2022); likelihood is that of untold music, and compares with any other model's.

Legend of shape suffixes: T steps, K voices, A attributes, U bars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dalsegno.models.base import FamilyConfig
from dalsegno.representations.base import Packed, Vocabulary

UNTOLD = 0
UNTOLD_SHARE = 0.25
"""Of the windows, in training: each column by itself."""


def _density(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    first, end = vocabulary.pitches
    pitched = (tokens_TxK >= first) & (tokens_TxK < end)
    begun = np.ones(tokens_TxK.shape, bool)
    begun[1:] = tokens_TxK[1:] != tokens_TxK[:-1]
    return (pitched & begun).sum(axis=1).astype(float)


def _height(tokens_TxK: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    first, end = vocabulary.pitches
    pitched = (tokens_TxK >= first) & (tokens_TxK < end)
    return np.where(pitched, tokens_TxK, 0).sum(axis=1) / np.maximum(pitched.sum(axis=1), 1)


MEASURES: dict[str, Callable[[np.ndarray, Vocabulary], np.ndarray]] = {"density": _density, "height": _height}
"""Name -> value of every step, `value_T`: notes that begin, mean pitch. A bar's or a piece's is the mean."""


class Measured(FamilyConfig):
    """A number that is computed from the music, as one of equally common levels."""

    measure: Literal["density", "height"] = Field(description="notes that begin a step, or the mean pitch")
    per: Literal["bar", "piece"] = Field("bar", description="measured in every bar (or the vocabulary's period)")
    levels: int = Field(4, ge=2, le=64, description="levels from 1, equally common in training")

    @property
    def size(self) -> int:
        """Values but `UNTOLD`."""
        return self.levels

    def number(self, value: int | str) -> int:
        """The number of a value that a study gives.

        Raises:
            ValueError: no such level.
        """
        if not isinstance(value, int) or not 1 <= value <= self.levels:
            raise ValueError(f"{value!r} is no level from 1 to {self.levels}")
        return value


class Label(FamilyConfig):
    """A label of the corpus."""

    label: str = Field(description="name of a label of the dataset")
    values: Annotated[list[str], Field(min_length=1)] = Field(description="its values; others stay untold")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.values)) < len(self.values):
            raise ValueError("values lists one twice")
        return self

    @property
    def size(self) -> int:
        """Values but `UNTOLD`."""
        return len(self.values)

    def number(self, value: int | str) -> int:
        """The number of a value that a study gives.

        Raises:
            ValueError: no such value.
        """
        if value not in self.values:
            raise ValueError(f"{value!r} is none of {', '.join(self.values)}")
        return self.values.index(str(value)) + 1


Attribute = Measured | Label


class Conditioned(FamilyConfig):
    """The part of a config that all families share which can be told attributes."""

    attributes: dict[str, Attribute] = Field(
        default_factory=dict, description="name -> what the model is told of the music it writes"
    )

    @property
    def told(self) -> list[int]:
        """How many values each attribute has but `UNTOLD`."""
        return [attribute.size for attribute in self.attributes.values()]


class Reader:
    """The attributes of packed pieces.

    Args:
        attributes: of a config.
        packed: whose training split says what a level is.

    Raises:
        ValueError: measured attributes of music that stands on no grid, or a label that no training piece has.
    """

    def __init__(self, attributes: Mapping[str, Attribute], packed: Packed) -> None:
        self.attributes, self.packed = attributes, packed
        self.vocabulary = packed.vocabulary
        train = packed.indices("train")
        self.thresholds: dict[str, np.ndarray] = {}
        for name, one in attributes.items():
            if isinstance(one, Measured):
                if self.vocabulary.layout != "voices":
                    raise ValueError(f"attributes.{name} is measured on voices, not on {self.vocabulary.kind}")
                values = np.concatenate([self._measured(one, packed.piece(i)) for i in train])
                self.thresholds[name] = np.quantile(values, np.arange(1, one.levels) / one.levels)
            elif not any(packed.rows[i].labels.get(one.label) in one.values for i in train):
                raise ValueError(f"attributes.{name}: no training piece has the label {one.label!r} with such a value")

    def of(self, index: int) -> np.ndarray:
        """`attributes_TxA` (int32) of packed piece `index`."""
        piece = self.packed.piece(index)
        columns = []
        for name, one in self.attributes.items():
            if isinstance(one, Label):
                value = self.packed.rows[index].labels.get(one.label)
                columns.append(np.full(len(piece), one.number(value) if value in one.values else UNTOLD))
            else:
                levels_U = np.searchsorted(self.thresholds[name], self._measured(one, piece), side="right") + 1
                columns.append(self._spread(levels_U, len(piece)))
        return np.stack(columns, axis=-1).astype(np.int32) if columns else np.zeros((len(piece), 0), np.int32)

    def _measured(self, one: Measured, tokens_TxK: np.ndarray) -> np.ndarray:
        """`value_U` of every bar, or of the piece as one."""
        values_T = MEASURES[one.measure](tokens_TxK, self.vocabulary)
        bar = len(values_T) if one.per == "piece" else self.vocabulary.period
        begins = np.arange(0, len(values_T), bar)
        return np.add.reduceat(values_T, begins) / np.diff(np.append(begins, len(values_T)))

    def _spread(self, levels_U: np.ndarray, steps: int) -> np.ndarray:
        return levels_U[np.minimum(np.arange(steps) // self.vocabulary.period, len(levels_U) - 1)]


Told = int | str | list[int]
"""What a sampler says of one attribute: a value, or one for every bar, the last of which holds on."""


def wished(told: Mapping[str, Told], attributes: Mapping[str, Attribute], steps: int, period: int) -> np.ndarray:
    """`attributes_TxA` (int32) of what is to be written.

    Raises:
        ValueError: an attribute that the model is not told, or a value that it does not have.
    """
    if unknown := [name for name in told if name not in attributes]:
        raise ValueError(f"{unknown[0]}: the model is told {', '.join(attributes) or 'nothing'}")
    columns = np.full((steps, len(attributes)), UNTOLD, np.int32)
    for column, (name, one) in enumerate(attributes.items()):
        if name not in told:
            continue
        values: Sequence[Any] = told[name] if isinstance(told[name], list) else [told[name]]  # type: ignore[assignment]
        if len(values) > 1 and not (isinstance(one, Measured) and one.per == "bar"):
            raise ValueError(f"{name}: takes one value, not one a bar")
        try:
            numbers = np.array([one.number(value) for value in values])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        columns[:, column] = numbers[np.minimum(np.arange(steps) // period, len(numbers) - 1)]
    return columns
