"""An ELM neuron that classifies recordings by its outputs at their ends, as a network that `Trainer` trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from ...base.errors import NeurosimInputError
from ...memory.dendrites.elm import ELMUnits
from ...network.network import Network
from ...network.population import Population
from ...network.projection import Link
from ...network.stimuli import SpikeSource
from ...network.windowed import Windowed
from ..layers.elm import ELM
from .classifier import READOUTS, Classifier, LayerActivity
from .specs import ELMSpec

# Names of populations.
INPUT = "input"
OUTPUT = "elm"


@final
class ELMNet(Classifier):
    """An ELM with an output for each class; scores are its outputs after the last bin.

    In training each input of each bin is left out with the probability `spec.dropout`. As published (Spieler et al.,
    ICLR 2024) the others are not scaled; outside training all inputs are scaled by 1 - dropout.

    Attributes:
        spec: the neuron.
        elm: the layer.

    Raises:
        NeurosimInputError: a spec that breaks a rule of `layers.elm.ELM`.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, spec: ELMSpec | None = None, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__(shape, classes, dt)
        spec = spec or ELMSpec()
        if spec.memory is None:
            raise NeurosimInputError("ELMSpec.memory: must be the number of memories (got None)")
        self.spec = spec
        self.elm = ELM(
            inputs=self.units,
            outputs=classes,
            memory=spec.memory,
            branches=spec.branches,
            synapses_per_branch=spec.synapses_per_branch,
            dt=self.dt,
            tau_syn=spec.tau_syn,
            tau_min=spec.tau_min,
            tau_max=spec.tau_max,
            train_tau=spec.train_tau,
            gain=spec.gain,
            seed=seed,
        )

    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> LayerActivity:
        if masks:
            factor: Tensor | float = self._mask(x, masks[0])
        else:
            # The mean of what the inputs were in training, where they were not scaled.
            factor = 1 - self.spec.dropout
        y = self.elm(x * factor)[0]
        return LayerActivity((), y, READOUTS["last"](y, lengths))

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return the keys [items] of the inputs that are left out; an empty list without dropout."""
        if self.spec.dropout == 0:
            return []
        return [torch.randint(2**62, (items,), generator=torch.Generator().manual_seed(seed))]

    def calibrate(self, x: Tensor) -> None:
        """Leave the weights as they are."""

    @torch.no_grad()
    def to_network(self) -> Network:
        """Return the trained neuron as a network of the engine, to run with steps of `dt`.

        The readings of "elm" are the outputs after each bin, to float32 rounding.
        """
        units = ELMUnits.of(self.elm)
        # The weights take over the factor of the inputs.
        units = replace(units, rows=units.rows * (1 - self.spec.dropout))
        populations = [
            Population(INPUT, self.shape, SpikeSource()),
            Population(OUTPUT, self.classes, Windowed(units, self.dt, learn=False)),
        ]
        return Network(populations, links=[Link(INPUT, OUTPUT)])

    def _mask(self, x: Tensor, keys: Tensor) -> Tensor:
        """Return [T, B, units] 1 for inputs that stay, 0 for others; draws of an item depend on its key alone."""
        draws = []
        # Item by item: the draws do not depend on the other items of the batch.
        for key in keys.tolist():
            generator = torch.Generator().manual_seed(key)
            draws.append(torch.rand(len(x), self.units, generator=generator))
        return (torch.stack(draws, dim=1) >= self.spec.dropout).to(x)
