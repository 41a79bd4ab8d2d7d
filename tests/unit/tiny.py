"""Tiny packed data for tests of models: two voices on a grid, and event sequences with bars and an end."""

from pathlib import Path

import numpy as np
from flax import nnx

from dalsegno.models import base
from dalsegno.models.neural import Neural
from dalsegno.representations.base import Grammar, Packed, Row, Vocabulary, write_packed
from dalsegno.training.options import Augmentation

CONFIGS = {
    "lstm": {"features": 8, "layers": 2, "hidden": 8, "dropout": 0.2},
    "gru": {"features": 8, "layers": 2, "hidden": 8, "dropout": 0.2, "tied": True},
    "transformer": {
        "features": 8,
        "layers": 2,
        "attention_heads": 2,
        "feedforward": 16,
        "span": 6,
        "hidden": 8,
        "dropout": 0.2,
    },
    "masked": {"features": 8, "layers": 2, "hidden": 8, "dropout": 0.2, "sweeps": 0},
    "frame_rnn": {"joint": True, "features": 8, "units": 4, "dropout": 0.2},
    "ngram": {},
}
STEPWISE = ("lstm", "gru", "transformer")
"""Families whose networks have a trunk and heads."""
NEURAL = (*STEPWISE, "masked", "frame_rnn")
ENSEMBLES = {
    "ensemble": {"transpose": 1},
    "ensemble that learns": {
        "transpose": 1,
        "mean": "geometric",
        "weight": 0.9,
        "learning_rate": 0.2,
        "habit_rate": 0.3,
    },
}
MODELS = (*CONFIGS, *ENSEMBLES)
KINDS = ("voices", "events", "frames")


def family(name: str):
    """The family's module of a model of `MODELS`."""
    return base.family(name.split()[0])


VOICES = Vocabulary(
    kind="voices",
    names=("Rest", *(f"Pitch_{60 + i}" for i in range(5))),
    width=2,
    period=4,
    pitches=(1, 6),
    eos=None,
    step_ticks=480,
    options={},
    layout="voices",
)
EVENTS = Vocabulary(
    kind="remi",
    names=("EOS", "Bar_None", "Position_0", "Position_1", "Pitch_60", "Pitch_61", "Pitch_62"),
    width=1,
    period=1,
    pitches=(4, 7),
    eos=0,
    step_ticks=None,
    options={"steps_per_quarter": 1, "longest": 8},
)
FRAMES = Vocabulary(
    kind="frames",
    names=("Off", "On"),
    width=4,
    period=4,
    pitches=(0, 0),
    eos=None,
    step_ticks=480,
    options={"lowest": 60},
    layout="frames",
)
PAIRS = [
    (name, kind)
    for name in MODELS
    for kind, vocabulary in zip(KINDS, (VOICES, EVENTS, FRAMES), strict=True)
    if vocabulary.layout in family(name).LAYOUTS
]
"""Every family with every kind of data that it takes."""
HOME = dict(reversed(PAIRS))
"""Every family's first kind of data."""


def voice_grammar() -> Grammar:
    successor = np.zeros((2, 6), np.int16)
    successor[0] = 1
    allowed = np.ones((2, 6), bool)
    # The lower voice never rests.
    allowed[1, 0] = False
    return Grammar(allowed, successor)


def frame_grammar() -> Grammar:
    """The highest key stays off."""
    allowed = np.ones((4, 2), bool)
    allowed[3, 1] = False
    return Grammar(allowed, np.repeat(((np.arange(4) + 1) % 4)[:, None], 2, 1).astype(np.int16))


def event_grammar() -> Grammar:
    """Bar, then positions with one pitch each, then a bar or the end."""
    kinds = {"EOS": [0], "Bar": [1], "Position": [2, 3], "Pitch": [4, 5, 6]}
    follow = [["Bar"], ["Position", "Bar", "EOS"], ["Pitch"], ["Position", "Bar", "EOS"], ["EOS"]]
    allowed = np.zeros((5, 7), bool)
    for state, names in enumerate(follow):
        allowed[state, [i for name in names for i in kinds[name]]] = True
    successor = np.tile(np.array([4, 1, 2, 2, 3, 3, 3], np.int16), (5, 1))
    return Grammar(allowed, successor)


def voice_pieces(number: int, seed: int = 0) -> list[np.ndarray]:
    """Slow random walks; pitches 2 to 4, so that one semitone either way stays inside."""
    random = np.random.default_rng(seed)
    pieces = []
    for _ in range(number):
        length = int(random.integers(9, 30))
        walk = np.cumsum(random.choice([-1, 0, 0, 0, 1], (length, 2)), axis=0)
        pieces.append((np.abs(walk) % 3 + 2).astype(np.int16))
    return pieces


def frame_pieces(number: int, seed: int = 0) -> list[np.ndarray]:
    """Two keys on: one of the lower two, and its upper neighbour now and then."""
    random = np.random.default_rng(seed)
    pieces = []
    for _ in range(number):
        frames = np.zeros((int(random.integers(9, 30)), 4), np.int16)
        low = np.cumsum(random.random(len(frames)) < 0.4) % 2
        frames[np.arange(len(frames)), low] = 1
        frames[np.arange(len(frames)), low + 1] |= random.random(len(frames)) < 0.5
        pieces.append(frames)
    return pieces


def event_pieces(number: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    pieces = []
    for _ in range(number):
        tokens: list[int] = []
        for _ in range(int(random.integers(2, 5))):
            tokens.append(1)
            for position in (2, 3):
                if random.random() < 0.7:
                    tokens += [position, int(random.integers(4, 7))]
        pieces.append(np.array([*tokens, 0], np.int16)[:, None])
    return pieces


def packed(folder: Path, kind: str, train: int = 8) -> Packed:
    """`train` training, three validation and three test pieces; `kind` is one of `KINDS`."""
    vocabulary, grammar, make = {
        "voices": (VOICES, voice_grammar(), voice_pieces),
        "events": (EVENTS, event_grammar(), event_pieces),
        "frames": (FRAMES, frame_grammar(), frame_pieces),
    }[kind]
    pieces = make(train + 6)
    splits = ["train"] * train + ["valid"] * 3 + ["test"] * 3
    low, high = (-1, 1) if kind == "voices" else (0, 0)
    rows = [
        Row(f"piece{i}", split, True, len(piece), 0, 1.0, low, high, f"piece{i}")
        for i, (piece, split) in enumerate(zip(pieces, splits, strict=True))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_packed(folder, vocabulary, grammar, rows, pieces)
    return Packed(folder)


def trained(name: str, data: Packed, **options):
    """A model of `MODELS`; a neural one keeps its initial values. Options are those of an ensemble."""
    module = family(name)
    if name in ENSEMBLES:
        checkpoints = []
        for member in STEPWISE:
            checkpoints.append(data.folder / f"{member}.safetensors")
            config = base.family(member).Config(**CONFIGS[member])
            base.save(checkpoints[-1], member, config, data.vocabulary, trained(member, data).arrays())
        chosen = module.Config(members=list(STEPWISE), **(ENSEMBLES[name] | options))
        config, arrays = module.combine(chosen, checkpoints)
        return module.load(config, data.vocabulary, arrays)
    config = module.Config(**CONFIGS[name])
    if name in NEURAL:
        network = Neural(module.Network(config, data.vocabulary, nnx.Rngs(0)), data.vocabulary)
        return module.load(config, data.vocabulary, network.arrays())
    return module.load(config, data.vocabulary, module.fit(config, data, Augmentation(), 0))
