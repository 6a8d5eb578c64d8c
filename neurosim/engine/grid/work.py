"""The work of a run by layer, from the spikes of every unit and the rows they select."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.measure.work import LayerCounts
from ...network.synapses.convolution import Convolution
from ...network.windowed import WindowTotals
from ..compile.network import CompiledNetwork
from ..prepared import PreparedNetwork
from ..result import Work
from .runner import WorkCounters
from .windows import WindowedPopulations

UNCOUNTED = "changed membranes were not counted; count_updates = true counts them"


def count_work(
    prepared: PreparedNetwork, counters: Sequence[WorkCounters], steps: int, windows: WindowedPopulations
) -> Work:
    """Return one layer for each population of neurons and each windowed one, in order of names.

    Args:
        counters: whose sum is the work.
        steps: number of steps of all recordings.
        windows: windowed populations, with their weights at the time when the work is first read.
    """

    # Put off until somebody reads the work.
    def count() -> tuple[LayerCounts, ...]:
        compiled = prepared.compiled
        sizes = [population.size for population in compiled.network.populations]
        tallies = np.split(np.sum([each.tallies for each in counters], axis=0), np.cumsum(sizes)[:-1])
        changes = np.sum([each.changes for each in counters], axis=0)
        drawn = np.sum([each.drawn for each in counters], axis=0)
        if prepared.count_updates:
            updates = changes
        else:
            updates = [None] * len(changes)
        layers = {p: _layer(compiled, p, tallies, drawn, steps, updates[p]) for p in compiled.cells}
        for plan in compiled.windows:
            totals = WindowTotals(*np.sum([each.windows[plan.number] for each in counters], axis=0).tolist())
            layers[plan.number] = windows.states[plan.number].layer(plan.name, totals)
        return tuple(layers[p] for p in sorted(layers))

    return Work(count)


def _layer(
    compiled: CompiledNetwork,
    p: int,
    tallies: list[NDArray[Any]],
    drawn: NDArray[Any],
    steps: int,
    updates: NDArray[Any] | None,
) -> LayerCounts:
    """Return the row of population `p` in the table of measures."""
    cells = compiled.cells[p]
    size = compiled.network.populations[p].size
    numbers = [number for number, sampler in enumerate(compiled.samplers) if sampler.target == p]
    noises = [s for s, noise in enumerate(compiled.noises) if noise.population == p]
    sources = {compiled.samplers[number].source for number in numbers}
    degrees = [compiled.degrees[number] for number in numbers]
    # Spikes of Poisson stimuli are drawn, not logged: the loop counts them.
    noise_events = int(sum(drawn[s] for s in noises))
    # A Poisson stimulus is a source of its own for every unit, joined one to one.
    inputs = sum(compiled.network.populations[source].size for source in sources) + size * len(noises)
    # Each spike of a unit selects its row: spikes times synapses, summed over units.
    selected = sum(int(tallies[compiled.samplers[number].source] @ compiled.degrees[number]) for number in numbers)
    nonzero_weights = int(sum(d.sum(dtype=np.int64) for d in degrees))
    nonzero_weights += size * sum(compiled.noises[s].weight != 0 for s in noises)
    parameter_bytes = sum(_bytes(compiled, numbers)) + cells.constants.nbytes
    shared = _kernels(compiled, numbers)
    unshared = [number for number in numbers if number not in shared]
    # Fully connected, each source once; a convolution at every position of its kernel.
    connected = sum(compiled.network.populations[s].size for s in {compiled.samplers[n].source for n in unshared})
    connected = size * (connected + len(noises))
    kernels = sum(kernel.size for kernel in shared.values())
    kernel_bytes = kernels * compiled.real.itemsize - sum(_bytes(compiled, list(shared)))
    return LayerCounts(
        name=cells.population.name,
        inputs=inputs,
        outputs=size,
        weights=sum(compiled.samplers[number].synapses for number in numbers) + size * len(noises),
        nonzero_weights=nonzero_weights,
        weight_bits=compiled.real.itemsize * 8,
        steps=steps,
        input_events=sum(int(tallies[source].sum()) for source in sources) + noise_events,
        output_events=int(tallies[p].sum()),
        output_entries=size * steps,
        synaptic_operations=selected + noise_events,
        binary_input=True,
        dense_operations=(connected + sum(compiled.samplers[number].synapses for number in shared)) * steps,
        membrane_updates=None if updates is None else int(updates),
        dense_membrane_updates=size * steps,
        state_bytes=cells.initial.nbytes,
        parameter_bytes=parameter_bytes,
        spiking=True,
        reasons={} if updates is not None else {"membrane_updates": UNCOUNTED},
        state_bits=compiled.real.itemsize * 8,
        index_bits=16,
        dense_weights=connected + kernels,
        shared_bytes=parameter_bytes + kernel_bytes if shared else None,
    )


def _kernels(compiled: CompiledNetwork, numbers: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """Return the kernels of the convolutions among some projections, by number, whose weights all synapses share."""
    learned = {synapses.number for synapses in compiled.plastic}
    kernels = {}
    for number in numbers:
        pattern = compiled.samplers[number].projection.pattern
        if isinstance(pattern, Convolution) and number not in learned:
            kernels[number] = pattern.kernel
    return kernels


def _bytes(compiled: CompiledNetwork, numbers: Sequence[int]) -> Iterator[int]:
    """Yield the bytes of each row table that belong to some projections, by their share of its synapses."""
    yield from (synapses.nbytes for synapses in compiled.plastic if synapses.number in numbers)
    for rows in compiled.row_tables:
        part = sum(compiled.samplers[number].synapses for number in rows.projections if number in numbers)
        total = sum(compiled.samplers[number].synapses for number in rows.projections)
        if part:
            yield rows.nbytes * part // total
