"""What to generate: prompts, lengths and the grammar; the families know how."""

from __future__ import annotations

import numpy as np

from dalsegno.models.base import Request, Trained
from dalsegno.representations.base import Packed, Vocabulary
from dalsegno.representations.registry import decode
from dalsegno.sampling.options import Sampler

TICKS_A_BAR = 4 * 480


def generate(model: Trained, sampler: Sampler, packed: Packed, seed: int) -> list[np.ndarray]:
    """`sampler.count` pieces, each a `tokens_TxK` (int16) that begins with its prompt.

    All have `sampler.bars` bars of four quarters at most, in steps of the longest such excerpt of the training split.
    Event sequences may end before, at the end symbol, and what is written to a given voice ends with it.

    Args:
        model: a trained model of the same vocabulary.
        sampler: the study's section.
        packed: where prompts and voices come from (the first test pieces, in order and round again) and the grammar.
        seed: the same seed gives the same pieces.

    Raises:
        ValueError: a prompt leaves nothing to write.
    """
    if sampler.prompt_bars >= sampler.bars:
        raise ValueError(f"prompt_bars ({sampler.prompt_bars}) must be less than bars ({sampler.bars})")
    vocabulary = packed.vocabulary
    if vocabulary.step_ticks is not None:
        steps = sampler.bars * TICKS_A_BAR // vocabulary.step_ticks
    else:
        train = [packed.piece(i) for i in packed.indices("train")]
        steps = max(len(beginning(piece, sampler.bars, vocabulary)) for piece in train)
    bar = bar_symbol(vocabulary)
    prompts = [np.zeros((0, vocabulary.width), np.int16)] * sampler.count
    voices: dict[int, list[np.ndarray]] = {}
    if sampler.prompt_bars or sampler.voice is not None:
        test = packed.indices("test")
        if not test:
            raise ValueError(f"{packed.folder} has no test piece to take a prompt or a voice from")
        sources = [packed.piece(test[n % len(test)]) for n in range(sampler.count)]
        if sampler.prompt_bars:
            prompts = [beginning(piece, sampler.prompt_bars, vocabulary) for piece in sources]
        if sampler.voice is not None:
            voices[sampler.voice] = [within(piece, sampler.bars, vocabulary)[:, sampler.voice] for piece in sources]
            steps = max(len(line) for line in voices[sampler.voice])
    request = Request(
        prompts=prompts,
        steps=max(steps, 1 + max(len(prompt) for prompt in prompts)),
        grammar=packed.grammar,
        temperature=sampler.temperature,
        top_k=sampler.top_k,
        top_p=sampler.top_p,
        seed=seed,
        bars=sampler.bars if bar is not None else None,
        bar=bar,
        voices=voices,
        attributes=sampler.attributes,
    )
    pieces = [within(piece, sampler.bars, vocabulary) for piece in model.generate(request)]
    # A piece ends with its given voice.
    for lines in voices.values():
        pieces = [piece[: len(line)] for piece, line in zip(pieces, lines, strict=True)]
    return pieces


def bar_symbol(vocabulary: Vocabulary) -> int | None:
    """The symbol that begins a bar of four quarters, or None where no single one does."""
    told = vocabulary.options.get("meters") or vocabulary.kind == "mmm"
    if told or vocabulary.step_ticks is not None or "Bar_None" not in vocabulary.names:
        return None
    return None if vocabulary.options.get("learned") else vocabulary.names.index("Bar_None")


def within(tokens_TxK: np.ndarray, bars: int, vocabulary: Vocabulary) -> np.ndarray:
    """The steps that stand within the first `bars` bars of four quarters."""
    if vocabulary.step_ticks is not None:
        return tokens_TxK[: bars * TICKS_A_BAR // vocabulary.step_ticks]
    return tokens_TxK[decode(tokens_TxK, vocabulary).ticks_T < bars * TICKS_A_BAR]


def beginning(tokens_TxK: np.ndarray, bars: int, vocabulary: Vocabulary) -> np.ndarray:
    """The same without an end symbol."""
    tokens = within(tokens_TxK, bars, vocabulary)
    return tokens if vocabulary.eos is None else tokens[~np.any(tokens == vocabulary.eos, axis=1)]
