"""Short training of a converted model through the rounding: its loss, and a price for every spike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention import LanguageModel
from ..errors import check
from .coding import INT8
from .linear import SpikedLinear
from .listen import windows_of

HOLD = 0.1  # how fast the price follows the spikes: a tenth too many for ten updates raises it by a tenth


@dataclass(frozen=True)
class Tuning:
    """How `tune` goes about it.

    Attributes:
        steps: updates.
        batch, length: windows an update, and tokens of each.
        rate: highest learning rate of weights; down a half cosine to 0.
        threshold_rate: the same of the logarithms of thresholds and scales; 0 leaves them.
        weights: train weights too, not thresholds and scales alone.
        price: nats a token for one spike a token.
        seed: of the windows.
    """

    steps: int = 200
    batch: int = 16
    length: int = 128
    rate: float = 1e-3
    threshold_rate: float = 5e-3
    weights: bool = True
    price: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Raises:
        NeurosimInputError: a value breaks its rule.
        """
        for name in ("steps", "batch", "length"):
            check(getattr(self, name) > 0, f"Tuning.{name}", "must be > 0", getattr(self, name))
        for name in ("rate", "threshold_rate", "price"):
            check(0 <= getattr(self, name) < math.inf, f"Tuning.{name}", "must be >= 0", getattr(self, name))


@torch.enable_grad()
def tune(
    model: LanguageModel,
    layers: Mapping[str, SpikedLinear],
    tokens: Tensor,
    tuning: Tuning,
    report: Callable[[int, int, float], None] | None = None,
    spikes: float | None = None,
) -> float:
    """Train in place by gradients straight through the rounding; the mean loss of the last tenth of the updates.

    The objective is the loss plus `price` for every spike, log2(1/2 + |z|) standing for the spikes of a count near z;
    its gradient reaches thresholds and, through the activations, all weights.

    Args:
        layers: those of the model that are fed in spikes, simulated.
        tokens: [n] text.
        report: called with (updates done, of how many, loss) after each.
        spikes: mean a channel to hold: the price rises while more are sent and falls while fewer are.

    Raises:
        NeurosimInputError: a setting breaks its rule, or the text is too short.
    """
    tuning.check()
    check(len(tokens) > tuning.length + 1, "tune.tokens", f"must be more than {tuning.length + 1}", len(tokens))
    was = {p: p.requires_grad for p in model.parameters()}
    logs = _Logs([p for layer in layers.values() for p in (layer.coder.thresholds, layer.coder.scales)])
    weights = [p for p in was if tuning.weights and not logs.holds(p)]
    for p in was:
        p.requires_grad_(logs.holds(p))
    for p in weights:
        p.requires_grad_(True)
    groups = [{"params": weights, "lr": tuning.rate}, {"params": logs.values, "lr": tuning.threshold_rate}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, tuning.steps)
    late: list[float] = []
    with _metered(layers) as meter:
        price = tuning.price
        for step in range(tuning.steps):
            loss = _loss(model, windows_of(tokens, tuning.batch, tuning.length, (tuning.seed << 32) + step))
            cost, sent = meter.read()
            optimizer.zero_grad(set_to_none=True)
            (loss + price * cost).backward()
            logs.gather()
            torch.nn.utils.clip_grad_norm_([*weights, *logs.values], 1.0)
            optimizer.step()
            logs.scatter()
            schedule.step()
            if spikes is not None:
                price *= math.exp(HOLD * (sent / spikes - 1))
            late.append(float(loss.detach()))
            if report is not None:
                report(step + 1, tuning.steps, late[-1])
    for p, needed in was.items():
        p.requires_grad_(needed)
        p.grad = None
    tail = late[-max(1, tuning.steps // 10) :]
    return sum(tail) / len(tail)


def _loss(model: LanguageModel, windows: Tensor) -> Tensor:
    logits = model(windows[:, :-1])[0]
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


class _Logs:
    """Thresholds and scales trained as their logarithms: they stay > 0, and a step is a part of their size."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        self.values = [p.detach().log() for p in parameters]

    def holds(self, parameter: nn.Parameter) -> bool:
        return any(parameter is p for p in self.parameters)

    def gather(self) -> None:
        for p, value in zip(self.parameters, self.values, strict=True):
            value.grad = None if p.grad is None else p.grad * p.detach()
            p.grad = None

    @torch.no_grad()
    def scatter(self) -> None:
        for p, value in zip(self.parameters, self.values, strict=True):
            p.copy_(value.exp())


class _Meter:
    """Spikes of a forward pass, in bitwise: as counted, and as a cost with a gradient."""

    def __init__(self, layers: Iterable[SpikedLinear]) -> None:
        self.channels = sum(layer.in_features for layer in layers)
        self.ones = torch.tensor([count.bit_count() for count in range(int(INT8) + 1)], dtype=torch.float32)
        self.cost: list[Tensor] = []
        self.sent = 0.0

    def hear(self, z: Tensor, counts: Tensor) -> None:
        self.cost.append((z.abs() + 0.5).log2().clamp(min=0).sum(-1).mean())
        sizes = counts.detach().abs().clamp(max=INT8).to(torch.int32).flatten()
        self.sent += float(self.ones.index_select(0, sizes).sum()) / (z.numel() // z.shape[-1])

    def read(self) -> tuple[Tensor, float]:
        """(cost a token, mean spikes a channel) since the last reading."""
        cost, sent = torch.stack(self.cost).sum(), self.sent / self.channels
        self.cost, self.sent = [], 0.0
        return cost, sent


@contextmanager
def _metered(layers: Mapping[str, SpikedLinear]) -> Iterator[_Meter]:
    meter = _Meter(layers.values())
    for layer in layers.values():
        layer.coder.heard = meter.hear
    try:
        yield meter
    finally:
        for layer in layers.values():
            layer.coder.heard = None
