"""Our recurrent networks and Transformer in PyTorch, with our weights; for benchmarks and golden numbers alone.

PyTorch is no dependency: `pip install torch==2.13.0 transformers` into an environment of its own that sees this
project, too.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Arrays = dict[str, np.ndarray]


def tensor(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.tensor(np.array(array)))


class Head(nn.Module):
    """`dalsegno.models.steps.Head` of event sequences."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__()
        self.trunk, self.bias = tensor(arrays["heads.0.trunk"]), tensor(arrays["heads.0.bias"])
        self.absolute, self.offset = tensor(arrays["heads.0.absolute"]), tensor(arrays["heads.0.offset"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x @ self.trunk + self.bias) @ self.absolute + self.offset


class LSTM(nn.Module):
    """`dalsegno.models.lstm.Network` on `torch.nn.LSTM`."""

    def __init__(self, arrays: Arrays, layers: int) -> None:
        super().__init__()
        self.table = tensor(arrays["embedding.tokens.0"])
        self.head = Head(arrays)
        size = self.table.shape[1]
        self.lstm = nn.LSTM(size, size, layers, batch_first=True)
        # Ours are input, forget, output, candidate; theirs input, forget, candidate, output. They have two biases.
        order = np.concatenate([np.arange(2 * size), np.arange(3 * size, 4 * size), np.arange(2 * size, 3 * size)])
        with torch.no_grad():
            for layer in range(layers):
                for theirs, ours in (("weight_ih", "inward"), ("weight_hh", "recurrent")):
                    own = arrays[f"stack.layers.{layer}.{ours}"].T[order]
                    getattr(self.lstm, f"{theirs}_l{layer}").copy_(torch.tensor(own))
                own = arrays[f"stack.layers.{layer}.bias"][order]
                getattr(self.lstm, f"bias_ih_l{layer}").copy_(torch.tensor(own))
                getattr(self.lstm, f"bias_hh_l{layer}").zero_().requires_grad_(False)

    def forward(self, previous: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(functional.embedding(previous, self.table))[0])


class GRU(nn.Module):
    """`dalsegno.models.gru.Network` on `torch.nn.GRU`."""

    def __init__(self, arrays: Arrays, layers: int) -> None:
        super().__init__()
        self.table = tensor(arrays["embedding.tokens.0"])
        self.head = Head(arrays)
        size = self.table.shape[1]
        self.gru = nn.GRU(size, size, layers, batch_first=True)
        # Ours are update, reset, candidate; theirs reset, update, candidate. Of their second biases we have the last.
        order = np.concatenate([np.arange(size, 2 * size), np.arange(size), np.arange(2 * size, 3 * size)])
        ours_too = torch.cat([torch.zeros(2 * size), torch.ones(size)])
        with torch.no_grad():
            for layer in range(layers):
                own = {
                    name: arrays[f"stack.layers.{layer}.{name}"] for name in ("inward", "recurrent", "bias", "within")
                }
                getattr(self.gru, f"weight_ih_l{layer}").copy_(torch.tensor(own["inward"].T[order]))
                getattr(self.gru, f"weight_hh_l{layer}").copy_(torch.tensor(own["recurrent"].T[order]))
                getattr(self.gru, f"bias_ih_l{layer}").copy_(torch.tensor(own["bias"][order]))
                second = getattr(self.gru, f"bias_hh_l{layer}")
                second.zero_()[2 * size :] = torch.tensor(own["within"])
                second.register_hook(lambda gradient: gradient * ours_too)

    def forward(self, previous: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(functional.embedding(previous, self.table))[0])


class Block(nn.Module):
    """`dalsegno.models.transformer.Block`."""

    def __init__(self, arrays: Arrays, number: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in ("attention_scale", "query_key_value", "mix", "feedforward_scale", "widen", "narrow"):
            setattr(self, name, tensor(arrays[f"blocks.{number}.{name}"]))

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, length, size = x.shape
        normal = functional.rms_norm(x, (size,), self.attention_scale, 1e-6)
        together = (normal @ self.query_key_value).view(batch, length, 3, self.heads, -1)
        q, k, v = together.permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.transpose(1, 2).reshape(batch, length, size) @ self.mix
        normal = functional.rms_norm(x, (size,), self.feedforward_scale, 1e-6)
        return x + functional.gelu(normal @ self.widen, approximate="tanh") @ self.narrow


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Transformer(nn.Module):
    """`dalsegno.models.transformer.Network` on fused attention, for windows no longer than the span."""

    def __init__(self, arrays: Arrays, layers: int, heads: int, length: int) -> None:
        super().__init__()
        self.table, self.scale = tensor(arrays["embedding.tokens.0"]), tensor(arrays["scale"])
        self.blocks = nn.ModuleList([Block(arrays, number, heads) for number in range(layers)])
        self.head = Head(arrays)
        half = self.table.shape[1] // heads // 2
        angles = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", torch.cos(angles))
        self.register_buffer("sin", torch.sin(angles))

    def forward(self, previous: torch.Tensor) -> torch.Tensor:
        x = functional.embedding(previous, self.table)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(functional.rms_norm(x, (x.shape[-1],), self.scale, 1e-6))


def twin(name: str, arrays: Arrays, config: object, length: int) -> nn.Module:
    """The twin of a network of a family, for windows of `length` steps."""
    if name == "transformer":
        return Transformer(arrays, config.layers, config.attention_heads, length)  # type: ignore[attr-defined]
    return {"lstm": LSTM, "gru": GRU}[name](arrays, config.layers)  # type: ignore[attr-defined]


class Training:
    """Ours, step by step: clipping, AdamW, the schedule's rates, nats a token.

    Args:
        model: a twin.
        rates: the learning rate of each step.
        b1, b2, weight_decay, clip_norm: as in a study.
    """

    def __init__(
        self, model: nn.Module, rates: list[float], b1: float, b2: float, weight_decay: float, clip_norm: float
    ) -> None:
        self.model, self.rates, self.clip_norm = model, rates, clip_norm
        self.parameters = [one for one in model.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, 1.0, (b1, b2), 1e-8, weight_decay)

    def step(self, number: int, previous: torch.Tensor, tokens: torch.Tensor) -> float:
        """The loss before the step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[number]
        self.optimizer.zero_grad()
        logits = self.model(previous)
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        return float(loss.detach())
