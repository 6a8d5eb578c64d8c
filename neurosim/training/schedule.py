"""How long, in which steps and how fast a network learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import require


@dataclass(frozen=True)
class Schedule:
    """Steps of AdamW (Loshchilov & Hutter 2019) on small batches; the learning rate rises, then falls as a cosine.

    Attributes:
        epochs: passes over the training recordings, at most.
        batch: recordings a step, of all processes together.
        learning_rate: its highest value.
        warmup: part of all steps in which it rises.
        weight_decay: of synaptic weights.
        clip: norm that a gradient is shortened to.
        smoothing: part of the target that is spread over all classes.
        sparsity: weight in the loss of the mean square of the units' rates (spikes a step).
        patience: epochs without better validation after which it stops; 0: never.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    epochs: int = 40
    batch: int = 32
    learning_rate: float = 3e-3
    warmup: float = 0.1
    weight_decay: float = 1e-3
    clip: float = 1.0
    smoothing: float = 0.1
    sparsity: float = 0.0
    patience: int = 15

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("patience", 0)):
            value = getattr(self, name)
            require(value >= least, f"Schedule.{name}", f"must be >= {least}", value)
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"Schedule.{name}", "must be > 0 and finite", value)
        for name in ("warmup", "smoothing"):
            value = getattr(self, name)
            require(0 <= value < 1, f"Schedule.{name}", "must be >= 0 and < 1", value)
        for name in ("weight_decay", "sparsity"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"Schedule.{name}", "must be >= 0 and finite", value)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` (from 0) of `steps`."""
        rise = max(1, round(self.warmup * steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
