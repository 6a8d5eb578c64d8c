"""Short training of a converted model through the rounding: its loss, and a price for every spike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention import LanguageModel
from ..errors import lookup, require
from .coding import INT8
from .expansions import EXPANSIONS, count_spikes
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
    rate: float = 2e-4
    threshold_rate: float = 2e-3
    weights: bool = True
    price: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Raises:
        NeurosimInputError: a value breaks its rule.
        """
        for name in ("steps", "batch", "length"):
            require(getattr(self, name) > 0, f"Tuning.{name}", "must be > 0", getattr(self, name))
        for name in ("rate", "threshold_rate", "price"):
            require(0 <= getattr(self, name) < math.inf, f"Tuning.{name}", "must be >= 0", getattr(self, name))


@torch.enable_grad()
def tune(
    model: LanguageModel,
    layers: Mapping[str, SpikedLinear],
    tokens: Tensor,
    tuning: Tuning,
    report: Callable[[int, int, float], None] | None = None,
    spikes: float | None = None,
    teacher: LanguageModel | None = None,
    expansion: str = "bitwise",
) -> float:
    """Train in place by gradients straight through the rounding; the mean loss of the last tenth of the updates.

    The objective is the loss plus `price` for every spike, log2(1/2 + |z|) standing for the spikes of a count near z;
    its gradient reaches thresholds and, through the activations, all weights.

    Args:
        layers: those of the model that are fed in spikes, simulated.
        tokens: [n] text.
        report: called with (updates done, of how many, loss) after each.
        spikes: mean a channel to hold: the price rises while more are sent and falls while fewer are.
        teacher: the dense model, whose predictions are then aimed at: the loss is the divergence from them, not that of
            the text.
        expansion: whose spikes are counted.

    Raises:
        NeurosimInputError: a setting breaks its rule, or the text is too short.
    """
    tuning.check()
    require(len(tokens) > tuning.length + 1, "tune.tokens", f"must be more than {tuning.length + 1}", len(tokens))
    late: list[float] = []
    price = tuning.price
    with _metered(layers, expansion) as meter, _Trainer(model, layers, tuning) as trainer:
        for step in range(tuning.steps):
            windows = windows_of(tokens, tuning.batch, tuning.length, (tuning.seed << 32) + step)
            loss = _loss(model, teacher, windows)
            cost, sent = meter.read()
            trainer.step(loss + price * cost)
            if spikes is not None:
                price *= math.exp(HOLD * (sent / spikes - 1))
            late.append(float(loss.detach()))
            if report is not None:
                report(step + 1, tuning.steps, late[-1])
    tail = late[-max(1, tuning.steps // 10) :]
    return sum(tail) / len(tail)


class _Trainer:
    """Updates of weights, thresholds and scales; afterwards nothing of it is left on the model but their values."""

    def __init__(self, model: LanguageModel, layers: Mapping[str, SpikedLinear], tuning: Tuning) -> None:
        self.needed = {p: p.requires_grad for p in model.parameters()}
        self.logs = _Logs([p for layer in layers.values() for p in (layer.coder.thresholds, layer.coder.scales)])
        self.weights = [p for p in self.needed if tuning.weights and not self.logs.holds(p)]
        groups = [
            {"params": self.weights, "lr": tuning.rate},
            {"params": self.logs.values, "lr": tuning.threshold_rate},
        ]
        self.optimizer = torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.95), weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, tuning.steps)

    def __enter__(self) -> _Trainer:
        for p in self.needed:
            p.requires_grad_(False)
        for p in (*self.weights, *self.logs.parameters):
            p.requires_grad_(True)
        return self

    def __exit__(self, *error: object) -> None:
        for p, needed in self.needed.items():
            p.requires_grad_(needed)
            p.grad = None

    def step(self, objective: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        self.logs.gather()
        torch.nn.utils.clip_grad_norm_([*self.weights, *self.logs.values], 1.0)
        self.optimizer.step()
        self.logs.scatter()
        self.schedule.step()


def _loss(model: LanguageModel, teacher: LanguageModel | None, windows: Tensor) -> Tensor:
    logits = model(windows[:, :-1])[0].flatten(0, 1)
    if teacher is None:
        return F.cross_entropy(logits, windows[:, 1:].flatten())
    with torch.no_grad():
        wanted = teacher(windows[:, :-1])[0].flatten(0, 1).log_softmax(-1)
    return F.kl_div(logits.log_softmax(-1), wanted, reduction="batchmean", log_target=True)


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
    """Spikes of a forward pass: as counted, and as a cost with a gradient."""

    def __init__(self, layers: Iterable[SpikedLinear], expansion: str) -> None:
        self.channels = sum(layer.in_features for layer in layers)
        code = lookup(EXPANSIONS, expansion, "expansion")
        self.spikes = torch.from_numpy(count_spikes(code, np.arange(int(INT8) + 1), 8)).float()
        self.cost: list[Tensor] = []
        self.sent = 0.0

    def hear(self, z: Tensor, counts: Tensor) -> None:
        self.cost.append((z.abs() + 0.5).log2().clamp(min=0).sum(-1).mean())
        sizes = counts.detach().abs().clamp(max=INT8).to(torch.int32).flatten()
        self.sent += float(self.spikes.index_select(0, sizes).sum()) / (z.numel() // z.shape[-1])

    def read(self) -> tuple[Tensor, float]:
        """(cost a token, mean spikes a channel) since the last reading."""
        cost, sent = torch.stack(self.cost).sum(), self.sent / self.channels
        self.cost, self.sent = [], 0.0
        return cost, sent


@contextmanager
def _metered(layers: Mapping[str, SpikedLinear], expansion: str) -> Iterator[_Meter]:
    meter = _Meter(layers.values(), expansion)
    for layer in layers.values():
        layer.coder.heard = meter.hear
    try:
        yield meter
    finally:
        for layer in layers.values():
            layer.coder.heard = None
