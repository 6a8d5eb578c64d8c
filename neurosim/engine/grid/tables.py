"""The tables of addresses of the grid's run loop: units and row tables. `population_inputs` has that of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import columns as col
from ...kernels.engine.clocked import deliver, sources
from ...kernels.engine.clocked import plastic as learn
from ...kernels.engine.clocked import stimuli as called
from ...kernels.engine.clocked.calls import address_of_advance
from ...kernels.engine.clocked.groups import address_of_read
from ...kernels.engine.clocked.neurons import step_neurons
from ...kernels.engine.clocked.readers import address_of_packed, address_of_reader
from ...kernels.engine.clocked.watched import step_watched
from ..addresses import address
from ..compile.bundles import Bundle
from ..compile.cells import Cells
from ..compile.currents import targets_of
from ..compile.joint_rows import JointRows
from ..compile.network import CompiledNetwork
from ..compile.noise import Noise
from ..compile.row_table import RowTable
from .records import SharedNumbers, poisson_record, rates_record


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
            _fill_joint(row, rows, compiled.real)
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


def set_steppers(units: NDArray[np.int64], real: np.dtype[Any]) -> None:
    """Set the address of the function that makes a step of each population, which is compiled where one needs it."""
    functions = {col.EVENTS: sources.play, col.POISSON: sources.draw}
    for row in units:
        kind = int(row[col.KIND])
        if kind == col.NEURONS:
            row[col.ADVANCE] = address_of_advance(step_watched if row[col.RESTS] else step_neurons, real)
        elif kind in functions:
            row[col.ADVANCE] = address_of_advance(functions[kind], real)


def _fill_joint(row: NDArray[np.int64], joint: JointRows, real: np.dtype[Any]) -> None:
    row[deliver.FORM] = deliver.JOINT
    row[deliver.CALLED] = address_of_packed(real) if joint.packed else _reader(deliver.JOINT, real)
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
