"""Replay of compressed latents: spike counts of a frozen layer, at a lower resolution in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import require
from ....base.rules import Count
from ..learner import BATCH
from . import common
from .common import ItemBatch
from .replay import EvenMemory, ReplaySettings

# Largest count of a byte.
COUNTS = 255


@dataclass(frozen=True)
class LatentSettings(ReplaySettings):
    """Settings of `ReplaySettings`, and what is stored of an item.

    Attributes:
        resting: hidden layers, the first ones, that learn in the first task only; the spikes of the last of them are
            stored.
        windows: number of windows in which a neuron's spikes are counted.
    """

    hidden: tuple[int, ...] = (200, 100)
    resting: Count = 1
    windows: Count = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = f"must be at most the {len(self.hidden)} hidden layers"
        require(self.resting <= len(self.hidden), "LatentSettings.resting", rule, self.resting)


@final
class LatentReplay(EvenMemory):
    """Every step trains the later layers on as many stored items as new ones, stored as spike counts of a layer.

    The first layers do not change after the first task, so that stored counts stay their answers. A neuron's spikes are
    counted in windows; in replay every step of a window gets the mean of the window. Sources: Pellegrini et al. 2020,
    "Latent replay for real-time continual learning"; in spikes and at reduced time resolution Minhas et al. 2025,
    "Replay4NCL".

    Attributes:
        lengths: [windows] number of steps of each window.
    """

    name = "latent"
    SETTINGS = LatentSettings
    settings: LatentSettings

    def coded_shape(self) -> tuple[int, ...]:
        return len(self.lengths), self.settings.hidden[self.settings.resting - 1]

    @property
    def lengths(self) -> list[int]:
        steps = self.net.steps
        # Windows of nearly equal length.
        edges = np.linspace(0, steps, min(self.settings.windows, steps) + 1).round().astype(int)
        lengths = [int(n) for n in np.diff(edges)]
        rule = f"must cut {steps} steps into windows of at most {COUNTS}"
        require(max(lengths) <= COUNTS, "LatentSettings.windows", rule, self.settings.windows)
        return lengths

    @torch.no_grad()
    def coded(self, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        counts = np.empty((len(x), *self.coded_shape()), np.uint8)
        for first in range(0, len(x), BATCH):
            part = slice(first, first + BATCH)
            spikes = self._latent(common.as_float(x[part]).to(self.device))
            windows = [window.sum(dim=0) for window in spikes.split(self.lengths)]
            counts[part] = torch.stack(windows, dim=1).byte().cpu().numpy()
        return counts

    def decoded(self, x: NDArray[np.uint8]) -> Tensor:
        """Return [n, steps, units] mean spikes a step of each window."""
        lengths = torch.tensor(self.lengths)
        # Times are lost within a window: every step of it gets the mean.
        return (torch.from_numpy(x).float() / lengths[:, None]).repeat_interleave(lengths, dim=1)

    def stored(self, places: NDArray[np.int64], batch: ItemBatch) -> ItemBatch:
        batch_of_memory = super().stored(places, batch)
        return replace(batch_of_memory, x=self.decoded(batch_of_memory.items.x).to(self.device))

    def trained(self) -> list[nn.Parameter]:
        # Before the first task ends all layers learn; then the first ones rest, and stored spikes stay theirs.
        if not self.learned:
            return super().trained()
        later = (self.net.weights[self.settings.resting :], self.net.neurons[self.settings.resting :], self.net.output)
        return [p for module in later for p in module.parameters()]

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        # Only the first task trains the first layers.
        with torch.set_grad_enabled(not self.learned):
            spikes = self._latent(batch.x)
        places = self.draw(len(batch.y), generator)
        loss = self._loss(spikes, batch)
        if not len(places):
            return loss
        again = self.stored(places, batch)
        return (loss + self._loss(again.x.transpose(0, 1), again)) / 2

    def _latent(self, x: Tensor) -> Tensor:
        """Return the spikes [steps, B, units] of the last frozen layer."""
        return self.net.through(x.transpose(0, 1), 0, self.settings.resting)

    def _loss(self, spikes: Tensor, batch: ItemBatch) -> Tensor:
        """Return the loss of items with these latent spikes."""
        return common.loss_of(self.net.read(self.net.through(spikes, self.settings.resting)), batch)
