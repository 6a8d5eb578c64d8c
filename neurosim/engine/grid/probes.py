"""Probes as the run loop's table, a window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, lookup, require
from ...kernels.engine.clocked import loop as clocked
from ...neurons import Neuron
from ..compile.network import CompiledNetwork
from ..result import Probe

# Bytes of samples a window holds where they are streamed, or one sample.
ROOM = 1 << 24


@dataclass(frozen=True, eq=False)
class BoundProbe:
    """A probe of a compiled network: `population` and `row` of its variable, `interval` in steps, `units` int32."""

    probe: Probe
    population: int
    row: int
    interval: int
    units: NDArray[np.int32]
    real: np.dtype

    def before(self, step: int) -> int:
        """Samples that lie before `step`."""
        return -(-step // self.interval)

    @property
    def bytes_per_step(self) -> float:
        return self.units.size * self.real.itemsize / self.interval


@dataclass(frozen=True, eq=False)
class SampleWindow:
    """Samples of the steps from `first` on: `outputs` [samples, units] of each sampler, filled through `table`."""

    samplers: Sequence[BoundProbe]
    first: int
    table: NDArray[np.int64]
    outputs: list[NDArray]

    @property
    def alive(self) -> list[NDArray]:
        """The arrays whose addresses are in the table."""
        return [*self.outputs, *(sampler.units for sampler in self.samplers)]

    def filled(self, step: int) -> list[tuple[int, NDArray]]:
        """Of each sampler, the number of the first sample and the samples, when the run has come to `step`."""
        starts = [sampler.before(self.first) for sampler in self.samplers]
        ends = [sampler.before(step) for sampler in self.samplers]
        return [(a, out[: b - a]) for a, b, out in zip(starts, ends, self.outputs, strict=True)]


def bind_probes(plan: CompiledNetwork, probes: Sequence[Probe]) -> list[BoundProbe]:
    """The probes found in the network.

    Raises:
        NeurosimInputError: an unknown population, variable or unit, an interval under a step, two of one name.
    """
    names = [probe.name for probe in probes]
    for name in names:
        if names.count(name) > 1:
            raise NeurosimInputError(f"Probe[{name!r}]: another probe has this name; give one of them a label")
    return [_sampler(plan, probe) for probe in probes]


def open_window(chosen: Sequence[BoundProbe], first: int, last: int) -> SampleWindow:
    """Room for the samples of steps `first` to `last - 1`."""
    table, outputs = np.zeros((len(chosen), clocked.PROBE_COLUMNS), np.int64), []
    for row, sampler in zip(table, chosen, strict=True):
        start, n = sampler.before(first), sampler.units.size
        out = np.empty((sampler.before(last) - start, n), sampler.real)
        row[clocked.P_POPULATION], row[clocked.P_ROW] = sampler.population, sampler.row
        row[clocked.P_INTERVAL], row[clocked.P_COUNT] = sampler.interval, n
        row[clocked.P_UNITS] = sampler.units.ctypes.data
        # The loop counts samples from step 0 of the run.
        row[clocked.P_OUT] = out.ctypes.data - start * n * out.itemsize
        outputs.append(out)
    return SampleWindow(chosen, first, table, outputs)


def window_end(chosen: Sequence[BoundProbe], first: int) -> int:
    """The step up to which the samples from `first` on fit into `ROOM`."""
    each = sum(sampler.bytes_per_step for sampler in chosen)
    return first + max(1, int(ROOM / each)) if each else 2**31 - 1


def _sampler(plan: CompiledNetwork, probe: Probe) -> BoundProbe:
    thing = f"Probe[{probe.name!r}]"
    population = plan.network.population(probe.population, thing)
    if not isinstance(population.model, Neuron):
        raise NeurosimInputError(f"{thing}: population '{population.name}' is a source and has no state")
    rows = {name: number for number, name in enumerate(population.model.state)}
    units = np.arange(population.size) if probe.units is None else np.asarray(probe.units, np.int64)
    inside = units.ndim == 1 and (units.size == 0 or (units.min() >= 0 and units.max() < population.size))
    require(bool(inside), f"{thing}.units", f"must be a list of units >= 0 and < {population.size}", probe.units)
    interval = round(probe.interval / plan.clock)
    require(interval >= 1, f"{thing}.interval", f"must be at least the clock's {plan.clock:g} s", probe.interval)
    number = plan.network.populations.index(population)
    return BoundProbe(probe, number, lookup(rows, probe.variable, thing), interval, units.astype(np.int32), plan.real)
