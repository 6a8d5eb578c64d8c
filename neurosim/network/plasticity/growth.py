"""Structural plasticity by synaptic elements: their number follows the activity of a unit, and vacant ones pair up."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.rules import Positive, Rule, check_rules
from ...data.spikes import Spikes, check_spikes
from .structural import Rewired, StructuralRule, Synapses


class GrowthCurve(ABC):
    """Growth of synaptic elements as a function of calcium; a frozen dataclass of parameters, in any file."""

    @abstractmethod
    def slope(self, calcium: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [units] elements/s that come or (< 0) go."""


@final
@dataclass(frozen=True)
class LinearGrowth(GrowthCurve):
    """dz/dt = rate (1 - calcium / target): elements come below the target and go above it.

    where
        rate: elements/s without calcium.

    Source: Butz & van Ooyen 2013; NEST's growth curve `linear`, whose eps is the target.
    """

    rate: Positive
    target: Positive

    def __post_init__(self) -> None:
        check_rules(self)

    def slope(self, calcium: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.rate * (1 - calcium / self.target)


@final
@dataclass(frozen=True)
class GaussianGrowth(GrowthCurve):
    """dz/dt = rate (2 exp(-((calcium - xi) / zeta)^2) - 1): elements come between `low` and `target` alone.

    where
        xi = (low + target) / 2, zeta = (target - low) / (2 sqrt(ln 2)): the slope is 0 at low and target.
        rate: elements/s half-way.

    Source: Butz & van Ooyen 2013; NEST's growth curve `gaussian`, whose eta and eps are low and target.
    """

    rate: Positive
    low: Annotated[float, Rule(">= 0")]
    target: Positive

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.low < self.target, "GaussianGrowth.low", f"must be < the target {self.target:g}", self.low)

    def slope(self, calcium: NDArray[np.float64]) -> NDArray[np.float64]:
        xi = (self.low + self.target) / 2
        zeta = (self.target - self.low) / (2 * math.sqrt(math.log(2)))
        return self.rate * (2 * np.exp(-(((calcium - xi) / zeta) ** 2)) - 1)


@final
class SynapticElements:
    """Number of synaptic elements of each unit of a population, updated by the spikes of one piece of a run at a time.

    Calcium rises by `beta` at a spike and decays with `tau`; elements grow by a curve at its mean over a piece, which
    is exact for `LinearGrowth`, and for others as good as pieces are short against `tau`.

    Args:
        size: units.
        tau: s. beta: calcium of a spike; at a steady rate calcium is beta tau rate.
        elements: at the start, one number or [size].

    Attributes:
        calcium, elements: [size].
    """

    def __init__(
        self,
        size: int,
        curve: GrowthCurve,
        *,
        tau: float = 10.0,
        beta: float = 1e-3,
        elements: float | NDArray[np.float64] = 0.0,
    ) -> None:
        require(isinstance(curve, GrowthCurve), "SynapticElements.curve", "must be a growth curve", curve)
        for name, value in (("tau", tau), ("beta", beta)):
            require(math.isfinite(value) and value > 0, f"SynapticElements.{name}", "must be > 0", value)
        self.curve = curve
        self.tau = tau
        self.beta = beta
        self.calcium = np.zeros(size)
        self.elements = np.broadcast_to(np.asarray(elements, np.float64), (size,)).copy()

    def follow(self, spikes: Spikes, start: float = 0.0) -> NDArray[np.float64]:
        """Grow by the spikes of the next piece, `result.spikes["E"]` from `result.start` s on; return the elements.

        Raises:
            NeurosimInputError: spikes of another size, or from before the start of the piece.
        """
        check_spikes(spikes, "SynapticElements.follow.spikes")
        size = len(self.calcium)
        seconds = spikes.duration - start
        require(spikes.size == size, "SynapticElements.follow.spikes", f"must be of {size} units", spikes.size)
        first = float(np.min(spikes.times, initial=spikes.duration))
        require(
            seconds > 0 and first >= start, "SynapticElements.follow.start", "must be where the piece starts", start
        )
        # Calcium at the end of the piece: each spike adds beta, which decays from its time on.
        decays = np.exp(-(spikes.duration - spikes.times) / self.tau)
        after = self.calcium * math.exp(-seconds / self.tau)
        after += self.beta * np.bincount(spikes.units, decays, size)
        # tau dC/dt = -C between spikes, so the integral of C is tau times the calcium that has decayed.
        mean = self.tau * (self.calcium + self.beta * spikes.counts() - after) / seconds
        self.elements = np.maximum(self.elements + seconds * self.curve.slope(mean), 0.0)
        self.calcium = after
        return self.elements


@final
@dataclass(frozen=True, eq=False)
class PairElements(StructuralRule):
    """Synapses made and removed so that no unit has more than its elements, for `Simulation.rewire`.

    where
        axonal: [sources] elements, rounded down; dendritic: [targets].
        weight: of a new synapse.
        autapses: whether a unit may come to reach itself.

    Synapses beyond the elements of a source, then of a target, are removed at random. Vacant axonal and dendritic
    elements pair at random; pairs that are connected already or reach themselves stay vacant.
    Source: Butz & van Ooyen 2013; as NEST's structural plasticity.
    """

    axonal: NDArray[np.float64]
    dendritic: NDArray[np.float64]
    weight: float
    autapses: bool = False

    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        keep = np.ones(len(synapses.pre), np.bool_)
        vacant = []
        ends = (("axonal", self.axonal, synapses.pre), ("dendritic", self.dendritic, synapses.post))
        for (name, elements, units), size in zip(ends, synapses.sizes, strict=True):
            valid = np.shape(elements) == (size,) and bool((np.asarray(elements) >= 0).all())
            require(valid, f"PairElements.{name}", f"must be [{size}] numbers >= 0", np.shape(elements))
            # Count the synapses of each unit in random order; those counted beyond its elements are removed.
            shuffled = generator.permutation(np.flatnonzero(keep))
            order = shuffled[np.argsort(units[shuffled], kind="stable")]
            unit = units[order]
            first = np.searchsorted(unit, np.arange(size))
            rank = np.arange(len(order)) - first[unit]
            keep[order[rank >= np.floor(elements)[unit]]] = False
        for _, elements, units in ends:
            # Vacant elements in random order, each by its unit: pairs are both lists read side by side.
            free = np.floor(elements).astype(np.int64) - np.bincount(units[keep], minlength=len(elements))
            vacant.append(generator.permutation(np.repeat(np.arange(len(elements)), free)))
        count = min(map(len, vacant))
        pre = vacant[0][:count]
        post = vacant[1][:count]
        # Pairs as numbers, so that they can be compared.
        pairs = pre * synapses.sizes[1] + post
        present = synapses.pre * synapses.sizes[1] + synapses.post
        # Of equal pairs the first is made.
        _, once = np.unique(pairs, return_index=True)
        new = np.zeros(count, np.bool_)
        new[once] = True
        new &= ~np.isin(pairs, present[keep])
        if synapses.within and not self.autapses:
            new &= pre != post
        return Rewired(keep, pre[new], post[new], np.full(np.count_nonzero(new), self.weight))
