"""What to generate: prompts, lengths and the grammar; the families know how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dalsegno.models.base import Request, Trained
from dalsegno.representations.base import Packed, Vocabulary
from dalsegno.sampling.options import Sampler

TICKS_A_BAR = 4 * 480


def generate(model: Trained, sampler: Sampler, packed: Packed, seed: int) -> list[np.ndarray]:
    """`sampler.count` pieces, each a `tokens_TxK` (int16) that begins with its prompt.

    Pieces on a grid have `sampler.bars` bars of four quarters. Event sequences end at the end symbol or before
    the bar symbol that would begin one bar too many, and at the latest at the length of the longest such excerpt
    of the training split.

    Args:
        model: a trained model of the same vocabulary.
        sampler: the study's section.
        packed: where prompts come from (the first test pieces, in order and round again) and the grammar.
        seed: the same seed gives the same pieces.

    Raises:
        ValueError: a prompt leaves nothing to write.
    """
    if sampler.prompt_bars >= sampler.bars:
        raise ValueError(f"prompt_bars ({sampler.prompt_bars}) must be less than bars ({sampler.bars})")
    vocabulary = packed.vocabulary
    bar = bar_symbol(vocabulary)
    if vocabulary.step_ticks is not None:
        steps, bars = sampler.bars * TICKS_A_BAR // vocabulary.step_ticks, None
    else:
        train = [packed.piece(i) for i in packed.indices("train")]
        steps, bars = max(len(beginning(piece, sampler.bars, vocabulary)) for piece in train), sampler.bars
    prompts = [np.zeros((0, vocabulary.width), np.int16)] * sampler.count
    if sampler.prompt_bars:
        test = packed.indices("test")
        if not test:
            raise ValueError(f"{packed.folder} has no test piece to take a prompt from")
        sources = [packed.piece(test[n % len(test)]) for n in range(sampler.count)]
        prompts = [beginning(piece, sampler.prompt_bars, vocabulary) for piece in sources]
    request = Request(
        prompts=prompts,
        steps=max(steps, 1 + max(len(prompt) for prompt in prompts)),
        grammar=packed.grammar,
        temperature=sampler.temperature,
        top_k=sampler.top_k,
        top_p=sampler.top_p,
        seed=seed,
        bars=bars if bar is not None else None,
        bar=bar,
    )
    return model.generate(request)


def bar_symbol(vocabulary: Vocabulary) -> int | None:
    """The symbol that begins a bar, or None where there is none."""
    found = [i for i, name in enumerate(vocabulary.names) if name.startswith("Bar")]
    return found[0] if found else None


def beginning(tokens_TxK: np.ndarray, bars: int, vocabulary: Vocabulary) -> np.ndarray:
    """The first `bars` bars of a piece, without an end symbol."""
    if vocabulary.step_ticks is not None:
        return tokens_TxK[: bars * TICKS_A_BAR // vocabulary.step_ticks]
    begins: Sequence[int] = np.flatnonzero(np.any(tokens_TxK == bar_symbol(vocabulary), axis=1)).tolist()
    end = begins[bars] if len(begins) > bars else len(tokens_TxK)
    if vocabulary.eos is not None and np.any(tokens_TxK[:end] == vocabulary.eos):
        end = int(np.argmax(np.any(tokens_TxK == vocabulary.eos, axis=1)))
    return tokens_TxK[:end]
