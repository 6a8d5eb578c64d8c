"""The tables of addresses that the run loop of the grid works on: units, row tables and inputs of populations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked import loop as clocked
from ...kernels.tools.random import passed_thresholds
from ...neurons import Neuron
from ..addresses import address, signed
from ..compile.network import CompiledNetwork

# What a population adds to its inputs from the row tables of each form that has no counter of its own.
INPUT_KINDS = {
    deliver.SUMS: clocked.INPUT_SUMS,
    deliver.QUEUE: clocked.INPUT_QUEUE,
    deliver.GROUPS: clocked.INPUT_FIXED,
}


@dataclass(frozen=True, eq=False)
class InputTable:
    """Inputs that populations receive.

    Attributes:
        rows: int64 [inputs, INPUT_COLUMNS].
        weights: real [inputs].
        ranges: by population, its first row and the one after its last.
        alive: arrays whose addresses are in the table.
    """

    rows: NDArray[np.int64]
    weights: NDArray[Any]
    ranges: list[tuple[int, int]]
    alive: list[NDArray[Any]]


def row_table(compiled: CompiledNetwork) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the table of row tables, int64 [tables, ROW_TABLE_COLUMNS], and their weights, real [tables]."""
    table = np.zeros((len(compiled.row_tables), deliver.ROW_TABLE_COLUMNS), np.int64)
    counter = 0
    for row, rows in zip(table, compiled.row_tables, strict=True):
        row[deliver.FORM], row[deliver.SOURCE] = rows.form, rows.source
        row[deliver.ROWS] = compiled.layout.sizes[rows.source]
        row[deliver.DELAY], row[deliver.RECEPTOR] = rows.delay, rows.receptor
        row[deliver.BATCH] = rows.batch
        for column, value in rows.values.items():
            row[column] = value
        for column, array in rows.arrays.items():
            row[column] = address(array)
        if rows.form in (deliver.BITS, deliver.COUNTS):
            row[deliver.COUNTER] = counter
            counter += 1
    return table, np.array([rows.weight for rows in compiled.row_tables], compiled.real)


def input_table(compiled: CompiledNetwork, row_tables: NDArray[np.int64], counters: int) -> InputTable:
    """Return what each population adds to its inputs.

    row_tables: from `row_table`; `counters` is how many of its tables have a counter.
    """
    rows: list[list[int]] = []
    weights: list[float] = []
    ranges = []
    alive: list[NDArray[Any]] = []
    for p in range(len(compiled.network.populations)):
        first = len(rows)
        entries = _from_rows(compiled, row_tables, counters, p) + _from_stimuli(compiled, p, alive)
        rows += [row for row, _ in entries]
        weights += [weight for _, weight in entries]
        ranges.append((first, len(rows)))
    table = np.array(rows, np.int64).reshape(-1, clocked.INPUT_COLUMNS)
    return InputTable(table, np.array(weights, compiled.real), ranges, alive)


def _from_rows(
    compiled: CompiledNetwork, row_tables: NDArray[np.int64], counters: int, p: int
) -> list[tuple[list[int], float]]:
    entries: list[tuple[list[int], float]] = []
    kinds: dict[tuple[int, int], float] = {}
    for rows, row in zip(compiled.row_tables, row_tables, strict=True):
        if all(compiled.samplers[number].target != p for number in rows.projections):
            continue
        if rows.form in (deliver.BITS, deliver.COUNTS):
            counter = [clocked.INPUT_COUNTS, int(row[deliver.COUNTER]), rows.receptor, 0, 0, 0, 0]
            entries.append((counter, rows.weight))
            kinds[clocked.INPUT_SUMS, rows.receptor] = 0.0  # what its counters cannot hold
        else:
            kinds[INPUT_KINDS[rows.form], rows.receptor] = rows.weight
    for synapses in compiled.plastic:
        if synapses.target == p:
            kinds[clocked.INPUT_SUMS, synapses.receptor] = 0.0
    for (kind, receptor), weight in sorted(kinds.items()):
        entries.append(([kind, counters + receptor, receptor, 0, 0, 0, 0], weight))
    return entries


def _from_stimuli(compiled: CompiledNetwork, p: int, alive: list[NDArray[Any]]) -> list[tuple[list[int], float]]:
    entries: list[tuple[list[int], float]] = []
    for s, noise in enumerate(compiled.noises):
        if noise.population == p:
            certain, passed = passed_thresholds(noise.thresholds)  # type: ignore[no-untyped-call]
            alive.append(passed)
            table = signed(noise.key), certain, address(passed), len(passed)
            entries.append(([clocked.INPUT_POISSON, s, noise.receptor, *table], noise.weight))
    return entries


def unit_table(
    compiled: CompiledNetwork,
    state: Mapping[int, NDArray[Any]],
    constants: Mapping[int, NDArray[Any]],
    cursors: NDArray[np.int64],
    ranges: list[tuple[int, int]],
    *,
    count_updates: bool,
) -> NDArray[np.int64]:
    """Return the table of populations, int64 [populations, UNIT_COLUMNS].

    Args:
        state, constants: by population number, in the order of the run loop.
        cursors: [populations, blocks] the next event of each spike source.
        ranges: of the input table.
    """
    layout, table = compiled.layout, np.zeros((len(compiled.network.populations), clocked.UNIT_COLUMNS), np.int64)
    for p, row in enumerate(table):
        row[clocked.SIZE], row[clocked.PART] = layout.sizes[p], layout.parts[p]
        row[clocked.OFFSET] = layout.offsets[p]
        row[clocked.CURSORS] = address(cursors[p])
        if p in compiled.cells:
            cells = compiled.cells[p]
            neuron = cells.population.model
            assert isinstance(neuron, Neuron)
            row[clocked.KIND], row[clocked.STEP] = clocked.NEURONS, cells.functions[0]
            row[clocked.STATES], row[clocked.STATE] = len(cells.initial), address(state[p])
            row[clocked.RECEPTORS] = len(neuron.receptors)
            row[clocked.CONSTANTS], row[clocked.CONSTANT] = len(cells.constants), address(constants[p])
            row[clocked.BY_UNIT] = cells.constants.ndim == 2
            row[clocked.MEMBRANE] = neuron.state.index("v") if "v" in neuron.state else 0
            row[clocked.COUNTED] = count_updates
            row[clocked.FIRST_INPUT], row[clocked.LAST_INPUT] = ranges[p]
        elif p in compiled.poisson:
            noise = compiled.poisson[p]
            row[clocked.KIND], row[clocked.KEY] = clocked.POISSON, signed(noise.key)
            row[clocked.THRESHOLDS], row[clocked.THRESHOLD_COUNT] = address(noise.thresholds), len(noise.thresholds)
        else:
            row[clocked.KIND] = clocked.EVENTS
    return table
