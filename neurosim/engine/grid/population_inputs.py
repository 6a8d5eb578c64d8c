"""The table of inputs of the populations and bundles of a grid: row tables, noises, drives and currents."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...base.random import rng_key
from ...kernels.engine.clocked import columns as col
from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked import stimuli as called
from ...kernels.engine.clocked.inputs import address_of_adding
from ...network.neurons.base import Neuron
from ..addresses import address
from ..compile.bundles import Bundle
from ..compile.network import CompiledNetwork
from .records import SharedNumbers, couplings_record, current_record, drive_record, poisson_record, rates_record

# Kind of input from the row tables of each form that has no counter of its own.
INPUT_KINDS = {
    deliver.SUMS: col.INPUT_SUMS,
    deliver.QUEUE: col.INPUT_QUEUE,
    deliver.GROUPS: col.INPUT_FIXED,  # in float64 they add to the sums
}
# A row of the table of inputs, and its weight.
Entry: TypeAlias = tuple[list[int], float]


@dataclass(frozen=True, eq=False)
class InputTable:
    """Inputs that populations receive.

    Attributes:
        rows: int64 [inputs, INPUT_COLUMNS].
        weights: real [inputs].
        ranges: by population, and then by bundle, its first row and the one after its last.
        alive: arrays whose addresses are in the table.
    """

    rows: NDArray[np.int64]
    weights: NDArray[Any]
    ranges: list[tuple[int, int]]
    alive: list[NDArray[Any]]


def input_table(
    compiled: CompiledNetwork,
    counters: int,
    processes: Mapping[str, NDArray[Any]],
    voltages: Mapping[int, NDArray[np.float64]],
) -> InputTable:
    """Return the inputs of each population.

    Args:
        counters: number of row tables that have a counter.
        processes: by name of each current that has a state, [units] float64.
        voltages: by number of each population with gap junctions, [2, units] float64.
    """
    entries: dict[int, list[Entry]] = {}
    alive: list[NDArray[Any]] = []
    _from_rows(compiled, counters, entries)
    _from_noises(compiled, entries, alive)
    _from_drives(compiled, entries, alive)
    _from_currents(compiled, entries, alive, processes, voltages)
    # The rows of a population follow one another, and after those of all populations the rows of each bundle.
    ordered = [entries.get(p, []) for p in range(len(compiled.network.populations))]
    ordered += [_of_bundle(bundle, ordered) for bundle in compiled.bundles]
    ends = np.cumsum([0, *(len(each) for each in ordered)])
    listed = [entry for each in ordered for entry in each]
    table = np.array([row for row, _ in listed], np.int64).reshape(-1, col.INPUT_COLUMNS)
    weights = np.array([weight for _, weight in listed], compiled.real)
    return InputTable(table, weights, list(pairwise(ends.tolist())), alive)


def _from_rows(compiled: CompiledNetwork, counters: int, entries: dict[int, list[Entry]]) -> None:
    """Add to `entries` the inputs that row tables and plastic synapses bring, by population."""
    # By population the arrays that it reads besides counters, by kind and receptor, each with the weight of an entry.
    kinds: dict[int, dict[tuple[int, int], float]] = {}
    adding = functools.cache(lambda kind: address_of_adding(kind, compiled.real))
    counter = 0
    for rows in compiled.row_tables:
        counts = rows.form in (deliver.BITS, deliver.COUNTS)
        for p in {compiled.samplers[number].target for number in rows.projections}:
            inputs = kinds.setdefault(p, {})
            if counts:
                entry = _entry(col.INPUT_COUNTS, counter, rows.receptor, called=adding(col.INPUT_COUNTS))
                entries.setdefault(p, []).append((entry, rows.weight))
                inputs[col.INPUT_SUMS, rows.receptor] = 0.0  # what its counters cannot hold
            else:
                wide = rows.form == deliver.GROUPS and compiled.real == np.float64
                kind = col.INPUT_SUMS if wide else INPUT_KINDS[rows.form]
                inputs[kind, rows.receptor] = rows.weight
        counter += counts
    for synapses in compiled.plastic:
        kinds.setdefault(synapses.target, {})[col.INPUT_SUMS, synapses.receptor] = 0.0
    for p, inputs in kinds.items():
        for (kind, receptor), weight in sorted(inputs.items()):
            entry = _entry(kind, counters + receptor, receptor, called=adding(kind))
            entries.setdefault(p, []).append((entry, weight))


def _from_noises(compiled: CompiledNetwork, entries: dict[int, list[Entry]], alive: list[NDArray[Any]]) -> None:
    """Add to `entries` the Poisson inputs, by population; `alive` gets the records that they name."""
    shared = SharedNumbers()
    # Records that are read one after the other lie one after the other.
    records = np.zeros((len(compiled.noises), called.RECORD_COLUMNS), np.int64)
    for s, noise in enumerate(compiled.noises):
        inputs = entries.setdefault(noise.population, [])
        if noise.rates is None:
            name = "poisson"
            record, arrays = poisson_record(noise, shared)
        else:
            name = "rates"
            record, arrays = rates_record(noise, noise.rates)
        records[s] = record
        alive += arrays
        function = called.address_of(name, compiled.real)
        entry = _entry(col.INPUT_CALLED, s, noise.receptor, called=function, record=address(records[s]))
        inputs.append((entry, 0.0))
    alive.append(records)


def _from_drives(compiled: CompiledNetwork, entries: dict[int, list[Entry]], alive: list[NDArray[Any]]) -> None:
    for p, cells in compiled.cells.items():
        model = cells.population.model
        assert isinstance(model, Neuron)
        for number, drive in enumerate(model.drives):
            key = rng_key(compiled.seed, "drive", cells.population.name, drive.name)
            record, arrays = drive_record(key, shared=drive.shared)
            alive += [record, *arrays]
            function = called.address_of(drive.kind, compiled.real)
            receptor = len(model.receptors) + number
            # As currents, drives share the last counter of events.
            entry = _entry(col.INPUT_CALLED, len(compiled.noises), receptor, called=function, record=address(record))
            entries.setdefault(p, []).append((entry, 0.0))


def _from_currents(
    compiled: CompiledNetwork,
    entries: dict[int, list[Entry]],
    alive: list[NDArray[Any]],
    processes: Mapping[str, NDArray[Any]],
    voltages: Mapping[int, NDArray[np.float64]],
) -> None:
    for current in compiled.currents:
        if current.couplings is None:
            record, arrays = current_record(current, processes.get(current.name))
        else:
            ends = voltages[current.population], voltages[current.couplings.source]
            record, arrays = couplings_record(current.couplings, *ends)
        alive += [record, *arrays]
        receptor = compiled.cells[current.population].receptors - 1
        function = called.address_of(current.function, compiled.real)
        # A current draws no events; it shares the last counter, to which nothing is added.
        entry = _entry(col.INPUT_CALLED, len(compiled.noises), receptor, called=function, record=address(record))
        entries.setdefault(current.population, []).append((entry, 0.0))


def _of_bundle(bundle: Bundle, entries: Sequence[list[Entry]]) -> list[Entry]:
    """Return the inputs of a bundle: arrays that any member reads, once, and what each member calls for its units.

    A member that does not read one of the arrays has zeros there.
    """
    arrays: dict[tuple[int, ...], Entry] = {}
    calls = []
    for p, first, end in zip(bundle.numbers.tolist(), bundle.firsts[:-1], bundle.firsts[1:], strict=True):
        for row, weight in entries[p]:
            if row[col.I_KIND] == col.INPUT_CALLED:
                calls.append(([*row[: col.I_FIRST], int(first), int(end - first)], weight))
            else:
                arrays[tuple(row)] = (row, weight)
    # In the order in which each member adds them: counters before the others, which are sorted.
    return [arrays[key] for key in sorted(arrays)] + calls


def _entry(kind: int, index: int, receptor: int, *, called: int = 0, record: int = 0) -> list[int]:
    return [kind, index, receptor, called, record, 0, 0]
