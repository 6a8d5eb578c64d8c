"""Networks that `Trainer` trains to classify recordings: their interface, activity on a batch, and readouts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerActivity:
    """Activity of a network on a batch.

    Attributes:
        spikes: [T, B, units] of each spiking layer.
        readout: [T, B, classes] membranes of the integrators, or spikes of the classes.
        scores: [B, classes].
        auxiliary: loss that the layers add to the task's in training, [].
    """

    spikes: tuple[Tensor, ...]
    readout: Tensor
    scores: Tensor
    auxiliary: Tensor = field(default_factory=lambda: torch.zeros(()))


class Classifier(nn.Module, ABC):
    """A network from recordings to scores of classes.

    `scores = net(x, lengths)`: x [T, B, units] events in each step, lengths [B] steps of each recording (None: T) to
    scores [B, classes]; the class of the largest score wins.

    Attributes:
        shape: shape of the input.
        classes: number of classes.
        dt: length of a step, s.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, dt: float) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.classes = classes
        self.dt = float(dt)

    @property
    def units(self) -> int:
        """Units of the input."""
        return math.prod(self.shape)

    def forward(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> Tensor:
        return self.trace(x, lengths, masks).scores

    @property
    def takes_lists(self) -> bool:
        """Return whether `trace` takes a `SpikeList` in place of x, and gains by it."""
        return False

    @abstractmethod
    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> LayerActivity:
        """Return the activity of the network on a batch; with `masks` from `dropout`, as in training.

        Args:
            x: [T, B, units] numbers of events.
            lengths: [B] bins of each recording; None: all T.

        Raises:
            NeurosimInputError: an input with another number of units.
        """

    @abstractmethod
    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return the draws of dropout for a batch, one row for each item; an empty list without dropout."""

    @abstractmethod
    def calibrate(self, x: Tensor) -> None:
        """Scale first weights by the activity on x [T, B, units], where the kind of network needs it."""


def _inside(out: Tensor, lengths: Tensor | None) -> Tensor:
    """Return [T, B, 1] whether a step belongs to its recording."""
    steps, items = out.shape[:2]
    if lengths is None:
        ends = torch.full((items,), steps, device=out.device)
    else:
        ends = lengths.to(out.device)
    # Recordings of a batch differ in length: the rest of their steps is padding.
    return (torch.arange(steps, device=out.device)[:, None] < ends)[..., None]


def _mean(out: Tensor, lengths: Tensor | None) -> Tensor:
    inside = _inside(out, lengths)
    return (out * inside).sum(dim=0) / inside.sum(dim=0)


def _count(out: Tensor, lengths: Tensor | None) -> Tensor:
    return (out * _inside(out, lengths)).sum(dim=0)


def _max(out: Tensor, lengths: Tensor | None) -> Tensor:
    # -inf: padding is never the maximum, even of a membrane that stays below 0.
    return out.masked_fill(~_inside(out, lengths), -math.inf).amax(dim=0)


def _last(out: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return out[-1]
    return out[lengths.to(out.device) - 1, torch.arange(out.shape[1], device=out.device)]


# Scores [B, classes] of the outputs [T, B, classes] of a network, by the name of the readout.
READOUTS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "mean": _mean,
    "max": _max,
    "last": _last,
    "count": _count,
}
