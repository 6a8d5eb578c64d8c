"""Probes as the table of the run loop, a window of samples at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...kernels.engine.clocked import columns as col
from ..compile.network import CompiledNetwork
from ..inputs import MAX_STEPS
from ..probe import Location, Probe, locate, probed_units
from .plastic_state import PlasticState

# Bytes of samples a window holds where they are streamed, or one sample.
ROOM = 1 << 24


@dataclass(frozen=True, eq=False)
class BoundProbe:
    """A probe of a compiled network.

    Attributes:
        population: its number; -1 of a projection, whose synapses are sampled between two pieces of the run loop.
        row: row of the variable in the state.
        interval: steps.
        units: [n] int32.
        real: dtype of the samples.
    """

    probe: Probe
    population: int
    row: int
    interval: int
    units: NDArray[np.int32]
    real: np.dtype[Any]

    @property
    def name(self) -> str:
        return self.probe.name

    def samples_before(self, step: int) -> int:
        """Return the number of samples that lie before `step`."""
        return -(-step // self.interval)

    @property
    def of_synapses(self) -> bool:
        return self.population < 0

    @property
    def bytes_per_step(self) -> float:
        return self.units.size * self.real.itemsize / self.interval


@dataclass(frozen=True, eq=False)
class SampleWindow:
    """Samples of the steps from `first` on: `outputs` [samples, units] of each probe.

    The run loop fills them through `table`; samples of synapses are taken by `sample`.
    """

    probes: Sequence[BoundProbe]
    first: int
    table: NDArray[np.int64]
    outputs: list[NDArray[Any]]

    @property
    def alive(self) -> list[NDArray[Any]]:
        """Return the arrays whose addresses are in the table."""
        return [*self.outputs, *(probe.units for probe in self.probes)]

    def next_sample(self, step: int) -> int:
        """Return the first step from `step` on at which synapses are sampled."""
        # Multiples of the intervals, rounded up.
        steps = (-(-step // probe.interval) * probe.interval for probe in self.probes if probe.of_synapses)
        return min(steps, default=2**31 - 1)

    def sample(self, step: int, plastic: PlasticState) -> None:
        """Sample the synapses that are due in this step, as they are before it."""
        for probe, out in zip(self.probes, self.outputs, strict=True):
            if probe.of_synapses and step % probe.interval == 0:
                values = plastic.of_synapses(probe.probe.population, probe.probe.variable, step)
                out[step // probe.interval - probe.samples_before(self.first)] = values[probe.units]

    def until(self, step: int) -> list[tuple[int, NDArray[Any]]]:
        """Return of each probe the number of the first sample and the samples before `step`."""
        starts = [probe.samples_before(self.first) for probe in self.probes]
        ends = [probe.samples_before(step) for probe in self.probes]
        # A window that ends early, by an interrupt, has fewer samples than room.
        return [(a, out[: b - a]) for a, b, out in zip(starts, ends, self.outputs, strict=True)]


def bind_probes(compiled: CompiledNetwork, probes: Sequence[Probe]) -> tuple[BoundProbe, ...]:
    """Return the probes with the numbers of their variables in the network.

    Raises:
        NeurosimInputError: an unknown population, variable or unit, an interval under a step, two of one name.
    """
    return tuple(_bind(compiled, probe) for probe in probes)


def open_window(probes: Sequence[BoundProbe], first: int, last: int) -> SampleWindow:
    """Return room for the samples of steps `first` to `last - 1`."""
    rows: list[NDArray[np.int64]] = []
    outputs = []
    for probe in probes:
        start = probe.samples_before(first)
        n = probe.units.size
        out = np.empty((probe.samples_before(last) - start, n), probe.real)
        outputs.append(out)
        if probe.of_synapses:
            continue
        row = np.zeros(col.PROBE_COLUMNS, np.int64)
        row[col.P_POPULATION] = probe.population
        row[col.P_ROW] = probe.row
        row[col.P_INTERVAL] = probe.interval
        row[col.P_COUNT] = n
        row[col.P_UNITS] = probe.units.ctypes.data
        # The loop counts samples from step 0 of the run.
        row[col.P_OUT] = out.ctypes.data - start * n * out.itemsize
        rows.append(row)
    table = np.array(rows, np.int64).reshape(-1, col.PROBE_COLUMNS)
    return SampleWindow(probes, first, table, outputs)


def window_end(probes: Sequence[BoundProbe], first: int) -> int:
    """Return the step up to which the samples from `first` on fit into `ROOM`."""
    step_bytes = sum(probe.bytes_per_step for probe in probes)
    if step_bytes == 0:
        return 2**31 - 1
    return first + max(1, int(ROOM / step_bytes))


def _bind(compiled: CompiledNetwork, probe: Probe) -> BoundProbe:
    interval = round(probe.interval / compiled.clock)
    projection = next((p for p in compiled.network.projections if p.name == probe.population), None)
    # A population goes before a projection of the same name.
    of_synapses = projection is not None and probe.population not in compiled.network.numbers
    if of_synapses:
        location = _locate_synapses(compiled, probe)
    else:
        location = locate(compiled.network, probe)
    rule = f"must be a whole number of steps of {compiled.clock:g} s, at least one and at most {MAX_STEPS}"
    fits = 1 <= interval <= MAX_STEPS and abs(probe.interval / compiled.clock - interval) <= 1e-6 * interval
    require(fits, f"Probe[{probe.name!r}].interval", rule, probe.interval)
    return BoundProbe(
        probe=probe,
        population=location.population,
        row=location.row,
        interval=interval,
        units=location.units,
        real=compiled.real,
    )


def _locate_synapses(compiled: CompiledNetwork, probe: Probe) -> Location:
    name = f"Probe[{probe.name!r}]"
    parts = [each for each in compiled.plastic if each.projection.name == probe.population and each.learns]
    rule = "must be a projection that learns, for the weights of others stay: `connections` has them"
    require(bool(parts), name, rule, probe.population)
    variables = ["weight"]
    # Synapses from equations have no traces of the rule's family.
    if parts[0].rule.size and parts[0].model is None:
        variables += ["pre", "post"]
    lookup(dict.fromkeys(variables), probe.variable, name)
    return Location(-1, -1, probed_units(probe, sum(each.whole for each in parts)))
