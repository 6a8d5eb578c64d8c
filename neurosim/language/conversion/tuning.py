"""Short training of a converted model through the rounding: its loss, plus a price for every spike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import lookup, require
from ...base.optimizers import AdamW
from ...base.random import torch_seed
from ...base.rules import Natural, NotASetting, Rule, check_rules
from ..attention.model import LanguageModel
from ..attention.train import draw_windows
from .expansions import EXPANSIONS, count_spikes
from .linear import SpikedLinear
from .roundings import INT8

PRICE_GAIN = 0.1  # a tenth too many spikes for ten updates raises the price by a tenth


@dataclass(frozen=True)
class Tuning:
    """Settings of `tune`.

    Attributes:
        steps: number of updates.
        batch, length: windows of an update, and tokens of each.
        learning_rate: highest, of weights; it follows a half cosine down to 0.
        threshold_learning_rate: the same for the logarithms of thresholds and scales; 0 leaves them unchanged.
        weights: train weights too, not only thresholds and scales.
        price: nats a token for one spike a token.
        seed: key of the windows.
    """

    steps: Natural = 200
    batch: Annotated[int, Rule("> 0")] = 16
    length: Annotated[int, Rule("> 0")] = 128
    learning_rate: Annotated[float, Rule(">= 0")] = 2e-4
    threshold_learning_rate: Annotated[float, Rule(">= 0")] = 2e-3
    weights: bool = True
    price: Annotated[float, NotASetting(), Rule(">= 0")] = 0.0
    seed: Annotated[int, NotASetting()] = 0

    def check(self) -> None:
        """Check every value.

        Raises:
            NeurosimInputError: a value breaks its rule.
        """
        check_rules(self)
        require(self.steps > 0, "Tuning.steps", "must be > 0", self.steps)


@torch.enable_grad()
def tune(
    model: LanguageModel,
    layers: Mapping[str, SpikedLinear],
    tokens: Tensor,
    tuning: Tuning,
    on_progress: Callable[[int, int, float], None] | None = None,
    spikes: float | None = None,
    teacher: LanguageModel | None = None,
    expansion: str = "bitwise",
) -> float:
    """Train in place, as float32, by gradients straight through the rounding.

    Returns the mean loss of the last tenth of the updates.

    The objective is the loss plus `price` for every spike; log2(1/2 + |z|) approximates the spikes of a count near z.
    Its gradient reaches thresholds and, through the activations, all weights.

    Args:
        layers: the spiked layers of the model, simulated.
        tokens: [n] text.
        on_progress: called with (updates done, updates in all, loss) after each.
        spikes: target mean of a channel: the price rises while more are sent and falls while fewer are.
        teacher: the dense model; with it the loss is the divergence from its predictions, not from the text.
        expansion: expansion in which spikes are counted.

    Raises:
        NeurosimInputError: a setting breaks its rule, or the text is too short.
    """
    tuning.check()
    require(len(tokens) > tuning.length + 1, "tune.tokens", f"must be more than {tuning.length + 1}", len(tokens))
    for layer in layers.values():
        # int8 weights have no gradient: they are trained as floats, and rounded in each pass.
        layer.widen()
    model.float()
    losses: list[float] = []
    price = tuning.price
    with _metered(layers, expansion) as meter, _Trainer(model, layers, tuning) as trainer:
        for step in range(tuning.steps):
            key = torch_seed((tuning.seed << 32) + step)
            windows = draw_windows(tokens, tuning.batch, tuning.length, key).to(model.device)
            loss = window_loss(model, teacher, windows)
            cost, sent = meter.read()
            trainer.step(loss + price * cost)
            if spikes is not None:
                # The price follows the deviation from the target, so that its step is small near it.
                price *= math.exp(PRICE_GAIN * (sent / spikes - 1))
            losses.append(float(loss.detach()))
            if on_progress is not None:
                on_progress(step + 1, tuning.steps, losses[-1])
    tail = losses[-max(1, tuning.steps // 10) :]
    return sum(tail) / len(tail)


class _Trainer:
    """Updates of weights, thresholds and scales; on exit all else of the model is as before."""

    def __init__(self, model: LanguageModel, layers: Mapping[str, SpikedLinear], tuning: Tuning) -> None:
        self.required = {p: p.requires_grad for p in model.parameters()}
        self.logs = _Logs([p for layer in layers.values() for p in (layer.coder.thresholds, layer.coder.scales)])
        self.weights = [p for p in self.required if tuning.weights and not self.logs.contains(p)]
        groups = [
            {"params": self.weights, "lr": tuning.learning_rate},
            {"params": self.logs.values, "lr": tuning.threshold_learning_rate},
        ]
        self.optimizer = AdamW([g for g in groups if g["params"]], betas=(0.9, 0.95), weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, tuning.steps)

    def __enter__(self) -> _Trainer:
        for p in self.required:
            p.requires_grad_(False)
        for p in (*self.weights, *self.logs.parameters):
            p.requires_grad_(True)
        return self

    def __exit__(self, *error: object) -> None:
        for p, needs_grad in self.required.items():
            p.requires_grad_(needs_grad)
            p.grad = None

    def step(self, objective: Tensor) -> None:
        """Take one update by the gradient of the objective."""
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        self.logs.gather()
        torch.nn.utils.clip_grad_norm_([*self.weights, *self.logs.values], 1.0)
        self.optimizer.step()
        self.logs.scatter()
        self.schedule.step()


def window_loss(model: LanguageModel, teacher: LanguageModel | None, windows: Tensor) -> Tensor:
    """Return the mean nats a token of windows [B, T + 1]: KL divergence from the teacher, or else cross-entropy."""
    logits = model(windows[:, :-1])[0].flatten(0, 1)
    if teacher is None:
        return F.cross_entropy(logits, windows[:, 1:].flatten())
    with torch.no_grad():
        targets = teacher(windows[:, :-1])[0].flatten(0, 1).log_softmax(-1)
    return F.kl_div(logits.log_softmax(-1), targets, reduction="batchmean", log_target=True)


class _Logs:
    """Logarithms of thresholds and scales: their training keeps them > 0, with steps relative to their size."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        self.values = [p.detach().log() for p in parameters]

    def contains(self, parameter: nn.Parameter) -> bool:
        """Return whether a parameter is a threshold or scale; by identity, for == compares values."""
        return any(parameter is p for p in self.parameters)

    def gather(self) -> None:
        """Move the gradients of parameters to their logarithms: dL/d(log p) = p dL/dp."""
        for p, value in zip(self.parameters, self.values, strict=True):
            value.grad = None if p.grad is None else p.grad * p.detach()
            p.grad = None

    @torch.no_grad()
    def scatter(self) -> None:
        """Set the parameters to the exponentials of their logarithms."""
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

    def observe(self, z: Tensor, counts: Tensor) -> None:
        """Add the values z [.., K] of a coder and their counts."""
        # log2(1/2 + |z|): -1 at 0, clamped, 0 at 1/2, and the number of binary digits beyond.
        self.cost.append((z.abs() + 0.5).log2().clamp(min=0).sum(-1).mean())
        sizes = counts.detach().abs().clamp(max=INT8).to(torch.int32).flatten()
        self.sent += float(self.spikes.to(sizes.device).index_select(0, sizes).sum()) / (z.numel() // z.shape[-1])

    def read(self) -> tuple[Tensor, float]:
        """Return (cost a token, mean spikes a channel) since the last call."""
        cost = torch.stack(self.cost).sum()
        sent = self.sent / self.channels
        self.cost = []
        self.sent = 0.0
        return cost, sent


@contextmanager
def _metered(layers: Mapping[str, SpikedLinear], expansion: str) -> Iterator[_Meter]:
    """Yield a meter that the coders of these layers report to while the block runs."""
    meter = _Meter(layers.values(), expansion)
    for layer in layers.values():
        layer.coder.observer = meter.observe
    try:
        yield meter
    finally:
        for layer in layers.values():
            layer.coder.observer = None
