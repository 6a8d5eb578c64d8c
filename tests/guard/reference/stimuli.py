"""Currents and Poisson inputs of each step, each written from the docstring of its class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neurosim import AllToAll, FromList, Network, OneToOne
from neurosim.network import NoiseCurrent, StepCurrent
from neurosim.network.stimuli import GapJunctions, PoissonInput, SineCurrent
from neurosim.network.synapses.base import Pattern

from .draws import Draws

Array = NDArray[np.float64]


def steps_of(time: float, dt: float) -> int:
    return int(np.floor(time / dt + 0.5))


def piece(times: Array, step: int, dt: float) -> int:
    """Return the number of the last time that has come in a step, -1 before the first."""
    return sum(steps_of(time, dt) <= step for time in times) - 1


def poisson_counts(stimulus: PoissonInput, size: int, dt: float, draws: Draws) -> NDArray[np.int64]:
    """Return the number of spikes that each unit gets from a Poisson input in each step, [steps, units]."""
    rates = np.asarray(stimulus.rate, np.float64)
    if stimulus.times is not None:
        now = [piece(np.asarray(stimulus.times), step, dt) for step in range(draws.steps)]
        rates = rates.reshape(len(rates), -1)[now]
    return draws.poisson_counts(str(stimulus.name), np.broadcast_to(rates * dt, (draws.steps, size)))


def of_units(values: Array | float, units: object, size: int) -> Array:
    """Return values by unit of the whole target: 0 for units that a current does not reach."""
    whole = np.zeros(size)
    whole[slice(None) if units is None else np.asarray(units)] = values
    return whole


def step_current(current: StepCurrent, size: int, step: int, dt: float) -> Array:
    now = piece(np.asarray(current.times), step, dt)
    return of_units(current.amplitudes[now] if now >= 0 else 0.0, current.units, size)


def sine_current(current: SineCurrent, size: int, step: int, dt: float) -> Array:
    begins = step >= steps_of(current.start, dt)
    ended = current.stop is not None and step >= steps_of(current.stop, dt)
    t = (step + 0.5) * dt
    value = current.offset + current.amplitude * np.sin(2 * np.pi * current.frequency * t + current.phase)
    return of_units(value if begins and not ended else 0.0, current.units, size)


class Noise:
    """An Ornstein-Uhlenbeck process of each unit, exact from step to step and stationary from the first."""

    def __init__(self, current: NoiseCurrent, size: int, dt: float, draws: Draws) -> None:
        self.draws = draws.normals(str(current.name), size)
        self.mean = of_units(np.asarray(current.mean, np.float64), current.units, size)
        self.sd = of_units(np.asarray(current.sd, np.float64), current.units, size)
        self.decay = np.exp(-dt / current.tau)

    def values(self, step: int) -> Array:
        z = self.draws[step]
        if step == 0:
            self.state = self.mean + self.sd * z
        else:
            kick = self.sd * np.sqrt(1 - self.decay**2) * z
            self.state = self.mean + self.decay * (self.state - self.mean) + kick
        return self.state


class Gaps:
    """Pairs of neurons that a conductance couples, by the voltages at the start of the step."""

    def __init__(self, gap: GapJunctions, network: Network) -> None:
        sizes = network.population(gap.source).size, network.population(gap.target).size
        listed = pairs(gap.pattern, *sizes)
        conductances = np.broadcast_to(np.asarray(gap.conductance, np.float64), len(listed))
        self.gap = gap
        self.junctions: dict[tuple[int, int], float] = {}
        self.repeated: list[tuple[int, int, float]] = []
        within = gap.source == gap.target
        for (a, b), conductance in zip(listed, conductances, strict=True):
            if not within:
                self.repeated.append((a, b, float(conductance)))
            elif a != b:
                self.junctions.setdefault((min(a, b), max(a, b)), float(conductance))
        self.repeated += [(a, b, conductance) for (a, b), conductance in self.junctions.items()]

    def add(self, voltages: Mapping[str, Array], currents: Mapping[str, Array]) -> None:
        """Add the current of every junction to both of its neurons."""
        source = self.gap.source
        target = self.gap.target
        for a, b, conductance in self.repeated:
            flowing = conductance * (voltages[source][a] - voltages[target][b])
            currents[target][b] += flowing
            currents[source][a] -= flowing


def pairs(pattern: Pattern, sources: int, targets: int) -> list[tuple[int, int]]:
    """Return the pairs of a pattern that draws nothing, in its order."""
    if isinstance(pattern, AllToAll):
        return [(a, b) for a in range(sources) for b in range(targets)]
    if isinstance(pattern, OneToOne):
        return [(a, a) for a in range(sources)]
    if isinstance(pattern, FromList):
        return list(zip(np.asarray(pattern.pre).tolist(), np.asarray(pattern.post).tolist(), strict=True))
    raise TypeError(f"{type(pattern).__name__}: its pairs are drawn; list them")
