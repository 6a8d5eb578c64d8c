"""The tables of addresses that the run loop of the grid works on: units, row tables and inputs of populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...base.random import rng_key
from ...kernels.engine.clocked import columns as col
from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked import plastic as learn
from ...kernels.engine.clocked import stimuli as called
from ...kernels.engine.clocked.groups import address_of_read
from ...kernels.engine.clocked.neurons import address_of_step
from ...kernels.engine.clocked.readers import address_of_reader
from ...network.neurons.base import Neuron
from ..addresses import address
from ..compile.bundles import Bundle
from ..compile.cells import Cells
from ..compile.currents import targets_of
from ..compile.joint_rows import JointRows
from ..compile.network import CompiledNetwork
from ..compile.noise import Noise
from ..compile.row_table import RowTable
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


def row_table(compiled: CompiledNetwork) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the table of row tables, int64 [tables, ROW_TABLE_COLUMNS], and their weights, real [tables]."""
    layout = compiled.layout
    joints = {id(rows): joint for joint in compiled.joints for rows in joint.tables}
    # In the order of additions: joined tables in the place of the first of them.
    listed = list(dict.fromkeys(joints.get(id(rows), rows) for rows in compiled.row_tables))
    table = np.zeros((len(listed), deliver.ROW_TABLE_COLUMNS), np.int64)
    counter = 0
    for row, rows in zip(table, listed, strict=True):
        if isinstance(rows, JointRows):
            row[deliver.CALLED] = _reader(deliver.JOINT, compiled.real)
            _fill_joint(row, rows)
            continue
        source = rows.source
        row[deliver.FORM] = rows.form
        row[deliver.SOURCE] = layout.entries[source]
        row[deliver.BEGIN_BLOCK] = layout.begins[source]
        row[deliver.END_BLOCK] = layout.ends[source]
        row[deliver.SINCE] = rows.since
        row[deliver.UNTIL] = rows.until
        row[deliver.ROWS] = layout.sizes[rows.source]
        row[deliver.DELAY] = rows.delay
        row[deliver.RECEPTOR] = rows.receptor
        row[deliver.BATCH] = rows.batch
        row[deliver.PAGES] = _pages(compiled, rows)
        row[deliver.CALLED] = _reader(rows.form, compiled.real)
        for column, value in rows.values.items():
            row[column] = value
        for column, array in rows.arrays.items():
            row[column] = address(array)
        if rows.form in (deliver.BITS, deliver.COUNTS):
            row[deliver.COUNTER] = counter
            counter += 1
    weights = [rows.tables[0].weight if isinstance(rows, JointRows) else rows.weight for rows in listed]
    return table, np.array(weights, compiled.real)


def _reader(form: int, real: np.dtype[Any]) -> int:
    """Return the address of the function that reads rows of a form."""
    if form == deliver.QUEUE:
        return deliver.address_of_queue(real)
    if form == deliver.GROUPS:
        return address_of_read(real)
    return address_of_reader(form, real)


def scheduler(rows: NDArray[np.int64]) -> int:
    """Return the address of the function that lists the rows which are due; 0 where no row table needs it."""
    forms = rows[:, deliver.FORM]
    listed = (forms <= deliver.SUMS) | (forms == deliver.JOINT)
    return deliver.address_of_schedule() if listed.any() else 0


def stepper(units: NDArray[np.int64], real: np.dtype[Any]) -> int:
    """Return the address of the function that steps neurons; 0 where no population has any."""
    return address_of_step(real) if (units[:, col.KIND] == col.NEURONS).any() else 0


def _fill_joint(row: NDArray[np.int64], joint: JointRows) -> None:
    row[deliver.FORM] = deliver.JOINT
    row[deliver.RECEPTOR] = joint.receptor
    row[deliver.ROWS] = joint.rows
    row[deliver.PART_COUNT] = len(joint.tables)
    for column, array in joint.arrays.items():
        row[column] = address(array)


def _pages(compiled: CompiledNetwork, rows: RowTable) -> int:
    """Return a bit for each page that holds units of the targets of a row table."""
    layout = compiled.layout
    pages = 0
    for number in rows.projections:
        target = compiled.samplers[number].target
        first = layout.begins[target] // layout.page_blocks
        last = (layout.ends[target] - 1) // layout.page_blocks
        for page in range(int(first), int(last) + 1):
            # The last bit stands for all further pages.
            pages |= 1 << min(page, deliver.LAST_PAGE_BIT)
    return pages


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
    counter = 0
    for rows in compiled.row_tables:
        counts = rows.form in (deliver.BITS, deliver.COUNTS)
        for p in {compiled.samplers[number].target for number in rows.projections}:
            inputs = kinds.setdefault(p, {})
            if counts:
                entry = _entry(col.INPUT_COUNTS, counter, rows.receptor)
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
            entries.setdefault(p, []).append((_entry(kind, counters + receptor, receptor), weight))


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


def _fill_neurons(
    row: NDArray[np.int64], cells: Cells, inputs: tuple[int, int], *, driven: bool, counted: bool
) -> None:
    """Fill the columns of a population of neurons, without the addresses of their state."""
    row[col.KIND] = col.NEURONS
    row[col.STEP], row[col.QUIET] = cells.functions
    row[col.STATES] = len(cells.initial)
    row[col.RECEPTORS] = cells.receptors
    row[col.CONSTANTS] = len(cells.constants)
    row[col.BY_UNIT] = cells.constants.ndim == 2
    row[col.DRIVEN] = driven
    # Models without a membrane count the changes of their first variable.
    row[col.MEMBRANE] = cells.state.index("v") if "v" in cells.state else 0
    row[col.HELD] = cells.state.index("refractory") if "refractory" in cells.state else -1
    row[col.COUNTED] = counted
    row[col.FIRST_INPUT], row[col.LAST_INPUT] = inputs


def _fill_poisson(row: NDArray[np.int64], noise: Noise, real: np.dtype[Any]) -> list[NDArray[Any]]:
    """Fill the columns of a Poisson source; return the arrays whose addresses are in them."""
    row[col.KIND] = col.POISSON
    row[col.MAX_SPIKES] = noise.max_count
    if noise.rates is None:
        name = "poisson_source"
        record, arrays = poisson_record(noise, SharedNumbers())
    else:
        name = "rates_source"
        record, arrays = rates_record(noise, noise.rates)
    row[col.CALLED] = called.address_of(name, real)
    row[col.RECORD] = address(record)
    return [record, *arrays]


def unit_table(
    compiled: CompiledNetwork,
    ranges: list[tuple[int, int]],
    alive: list[NDArray[Any]],
    *,
    count_updates: bool,
) -> NDArray[np.int64]:
    """Return the table of populations and bundles, int64 [both, UNIT_COLUMNS], without the addresses of their state.

    Args:
        ranges: of the input table.
        alive: gets the arrays whose addresses are in the table.
    """
    layout = compiled.layout
    driven = targets_of(compiled.currents)
    populations = len(compiled.network.populations)
    table = np.zeros((populations + len(compiled.bundles), col.UNIT_COLUMNS), np.int64)
    for p, row in enumerate(table[:populations]):
        row[col.SIZE] = layout.sizes[p]
        row[col.PART] = layout.parts[p]
        row[col.SHIFT] = layout.shifts[p]
        row[col.OFFSET] = layout.offsets[p]
        if p in compiled.cells:
            _fill_neurons(row, compiled.cells[p], ranges[p], driven=p in driven, counted=count_updates)
        elif p in compiled.poisson:
            alive += _fill_poisson(row, compiled.poisson[p], compiled.real)
        else:
            row[col.KIND] = col.EVENTS
    # After all populations: the row of a bundle is copied from its first member's.
    for k, bundle in enumerate(compiled.bundles):
        _fill_bundle(compiled, table, k=populations + k, bundle=bundle, inputs=ranges[populations + k])
        alive += [bundle.firsts, bundle.numbers]
    return table


def _fill_bundle(
    compiled: CompiledNetwork, table: NDArray[np.int64], k: int, bundle: Bundle, inputs: tuple[int, int]
) -> None:
    """Fill the row of a bundle, which is like a population that lies in one block, and mark the rows of its members."""
    layout = compiled.layout
    first = bundle.numbers[0]
    row = table[k]
    row[:] = table[first]
    # The slot of the first unit in the block is that of the first member.
    slot = layout.offsets[first] - layout.shifts[first]
    row[col.SIZE] = bundle.size
    row[col.PART] = bundle.size
    row[col.SHIFT] = bundle.block * bundle.size
    row[col.OFFSET] = slot + bundle.block * bundle.size
    row[col.STEP] = bundle.step
    row[col.BY_UNIT] = bundle.constants.ndim == 2
    row[col.FIRST_INPUT], row[col.LAST_INPUT] = inputs
    row[col.MEMBERS] = len(bundle.numbers)
    row[col.FIRSTS] = address(bundle.firsts)
    row[col.NUMBERS] = address(bundle.numbers)
    table[bundle.numbers, col.KIND] = col.BUNDLED
    table[bundle.numbers, col.BUNDLE_SIZE] = bundle.size


def post_table(compiled: CompiledNetwork, units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the table of `kernels.engine.clocked.plastic` of the rules that spikes of targets act on.

    A rule acts on a spike when it reaches the synapses, homeostasis, which follows the rate of the cell, when it is
    fired.

    Args:
        units: receives the range of each population.
    """
    # Compiled where a rule needs it: a network that does not learn would wait 6 s for nothing on its first run.
    rows: list[tuple[int, int, int]] = []
    for k, synapses in enumerate(compiled.plastic):
        if synapses.homeostasis.size and synapses.group:
            rows.append((k, 0, learn.address_of_rule(learn.on_soma, compiled.real)))
        if synapses.model is not None:
            on_post = type(synapses.model).on_post
            if on_post is not None:
                rows.append((k, synapses.post_delay, learn.address_of_rule(on_post, compiled.real)))
        elif synapses.modulated:
            rows.append((k, synapses.post_delay, learn.address_of_rule(learn.on_post_modulated, compiled.real)))
        elif synapses.rule.size and synapses.sharing:
            rows.append((k, synapses.post_delay, learn.address_of_rule(learn.on_post, compiled.real)))
    # By target, so that a population knows its rows as a range.
    table = np.array(rows, np.int64).reshape(-1, learn.POST_COLUMNS)
    targets = np.array([compiled.plastic[k].target for k, _, _ in rows], np.int64)
    order = np.argsort(targets, kind="stable")
    ends = np.searchsorted(targets[order], np.arange(len(units) + 1))
    units[:, col.FIRST_POST] = ends[:-1]
    units[:, col.LAST_POST] = ends[1:]
    return table[order]
