"""An ELM neuron that classifies recordings by its outputs at their ends, as a network that `Trainer` trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from ...memory.dendrites.elm import ELMUnits
from ...network.network import Link, Network, Population, SpikeSource
from ...network.windowed import Windowed
from ..layers.elm import ELM
from .net import READOUTS, LayerActivity
from .specs import ELMSpec

# populations
INPUT = "input"
OUTPUT = "elm"


@final
class ELMNet(nn.Module):
    """An ELM with an output for each class, which answers after the last bin; inputs drop out in training.

    `scores = net(x, lengths)` as of `SpikingNet`: x [T, B, units] to scores [B, classes].

    Each input of each bin is left out with the probability `spec.dropout`. As published (Spieler et al., ICLR 2024) the
    others are not scaled; outside training all inputs are scaled by 1 - dropout.

    Attributes:
        shape: of the input.
        classes: number of classes.
        spec: the neuron.
        dt: length of a bin, s.
        elm: the layer.

    Raises:
        NeurosimInputError: a spec that breaks a rule of `layers.elm.ELM`.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, spec: ELMSpec | None = None, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__()
        spec = spec or ELMSpec()
        self.shape = tuple(shape)
        self.classes = classes
        self.spec = spec
        self.dt = float(dt)
        self.elm = ELM(
            self.units,
            classes,
            spec.memory,
            spec.branches,
            spec.synapses_per_branch,
            dt=self.dt,
            tau_syn=spec.tau_syn,
            tau_min=spec.tau_min,
            tau_max=spec.tau_max,
            train_tau=spec.train_tau,
            gain=spec.gain,
            seed=seed,
        )

    @property
    def units(self) -> int:
        """Units of the input."""
        return math.prod(self.shape)

    def forward(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> Tensor:
        return self.trace(x, lengths, masks).scores

    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> LayerActivity:
        """Return the outputs for a batch and its scores; with `masks` from `dropout`, as in training.

        Raises:
            NeurosimInputError: an input with another number of units.
        """
        y = self.elm(x * self._kept(x, masks[0]) if masks else x * (1 - self.spec.dropout))[0]
        return LayerActivity((), y, READOUTS["last"](y, lengths))

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return the keys [items] of the inputs that are left out; none without dropout."""
        if self.spec.dropout == 0:
            return []
        return [torch.randint(2**62, (items,), generator=torch.Generator().manual_seed(seed))]

    def calibrate(self, x: Tensor) -> None:
        """Leave the weights as they are."""

    @torch.no_grad()
    def to_network(self) -> Network:
        """Return the trained neuron as a description for the engine, to run with steps of `dt`.

        The readings of "elm" are the outputs after each bin, to float32 rounding.
        """
        units = ELMUnits.of(self.elm)
        units = replace(units, rows=units.rows * (1 - self.spec.dropout))
        populations = [
            Population(INPUT, self.shape, SpikeSource()),
            Population(OUTPUT, self.classes, Windowed(units, self.dt, learn=False)),
        ]
        return Network(populations, links=[Link(INPUT, OUTPUT)])

    def _kept(self, x: Tensor, keys: Tensor) -> Tensor:
        """Return [T, B, units] 1 for inputs that stay and 0 for others; those of an item depend on its key alone."""
        draws = [torch.rand(len(x), self.units, generator=torch.Generator().manual_seed(key)) for key in keys.tolist()]
        return (torch.stack(draws, dim=1) >= self.spec.dropout).to(x)
