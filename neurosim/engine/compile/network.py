"""A network compiled for the grid: synapses drawn, delays in steps, constants computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.collection import without_collection
from ...base.errors import NeurosimInputError, Uncopied
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.neurons.by_unit import drawn, rows
from ...network.population import Population
from ..processes import ALONE, Processes
from ..threads import for_each
from .bundles import Bundle, make_bundles
from .callbacks import quiet_callback, step_callback
from .cells import Cells, initial_state
from .currents import CompiledCurrent, compile_currents, driven_constants, targets_of
from .joint_rows import JointRows, join_rows
from .layout import Layout, lay_out
from .memory import check_memory
from .noise import Noise, compile_noise
from .plastic import PlasticSynapses, compile_plastic
from .ranges import check_constants, check_currents, check_range, check_weights, refused_division
from .row_table import Late, RowTable
from .row_tables import RowTableBuilder
from .share import ProcessShare, share_of
from .synapse_sampler import SynapseSampler, open_sampler
from .windows import WindowPlan, compile_windows

# Steps from one meeting of the threads to the next, where no delay asks for fewer.
MAX_INTERVAL = 64
# Neurons of a population from which on their `quiet` step is worth compiling.
QUIET_UNITS = 10_000


@dataclass(frozen=True, eq=False)
class CompiledNetwork(Uncopied):
    """A network for the grid, all of it that does not change while it runs; index p counts `network.populations`.

    Attributes:
        clock: s, the step.
        real: dtype of state, weights and sums.
        cells, poisson: populations of neurons, and Poisson sources, by number.
        noises: Poisson stimuli.
        currents: currents into neurons.
        layout: slots of the units.
        share: the blocks of this process. Rows of other blocks are not stored; all else describes the whole network.
        samplers: of each projection, without its synapses.
        row_tables: synapses that are not plastic.
        joints: row tables that the run loop reads as one, where small populations are many.
        bundles: small populations that it steps by one call.
        degrees: [projections][sources] number of synapses of weight other than zero.
        plastic: synapses that are plastic.
        windows: windowed populations, each after those that feed it.
    """

    network: Network
    clock: float
    seed: int
    real: np.dtype[Any]
    cells: dict[int, Cells]
    poisson: dict[int, Noise]
    noises: tuple[Noise, ...]
    currents: tuple[CompiledCurrent, ...]
    layout: Layout
    share: ProcessShare
    samplers: tuple[SynapseSampler, ...]
    row_tables: tuple[RowTable, ...]
    degrees: tuple[NDArray[np.int32], ...]
    plastic: tuple[PlasticSynapses, ...]
    windows: tuple[WindowPlan, ...] = ()
    joints: tuple[JointRows, ...] = ()
    bundles: tuple[Bundle, ...] = ()

    @cached_property
    def interval(self) -> int:
        """Return the number of steps whose arriving spikes are all known when they begin: the shortest delay."""
        from ...kernels.engine.clocked.deliver import GROUPS

        if any(current.couplings for current in self.currents):
            return 1  # every step reads the voltages that the one before left
        # Groups have a synapse of any delay, from one step on.
        delays = [1 if rows.form == GROUPS else rows.delay for rows in self.row_tables]
        delays += [synapses.min_delay for synapses in self.plastic]
        return min([MAX_INTERVAL, *delays])

    @cached_property
    def depth(self) -> int:
        """Return the number of steps of the queue: its longest delay and the present step."""
        from ...kernels.engine.clocked.deliver import QUEUE

        return 1 + max((rows.max_delay for rows in self.row_tables if rows.form == QUEUE), default=0)

    @cached_property
    def history(self) -> int:
        """Return the number of past steps whose spikes are still needed."""
        from ...kernels.engine.clocked.deliver import QUEUE

        delays = [rows.max_delay for rows in self.row_tables if rows.form != QUEUE]
        delays += [synapses.max_delay for synapses in self.plastic]
        return max([self.interval, *delays])


@without_collection()
def compile_network(
    network: Network,
    clock: float,
    seed: int,
    real: np.dtype[Any],
    threads: int = 1,
    plain: bool = False,
    late: Mapping[str, Late] | None = None,
    former: Sequence[SynapseSampler] = (),
    processes: Processes = ALONE,
) -> CompiledNetwork:
    """Draw and lay out everything that does not change while the network runs.

    Args:
        threads: that share the work; no result depends on them.
        plain: store every row in the plainest form, QUEUE, as a reference for the others.
        late, former: of a network that is changed while it runs, `late` by name of the projection; see
            `RowTableBuilder`.
        processes: that share the network.

    Raises:
        NeurosimInputError: a delay under a step, a number beyond the range of `real`, a network larger than the memory
            that is free, a rate too high, a window that is not an integer number of steps; gap junctions among
            processes.
    """
    windows = compile_windows(network, clock)
    currents = compile_currents(network, clock, seed)
    _check_processes(currents, processes)
    # Checks come first, from the cheapest: drawing the synapses of a large network takes minutes.
    check_weights(network, real)
    # Before anything large is made.
    check_memory(network, real, processes.neighbours / processes.size)
    layout = lay_out(network)
    share = share_of(layout, processes.rank, processes.size)
    samplers = _build_samplers(network, clock, seed, threads, share, processes)
    # Filled while rows are drawn, which happens once.
    degrees = [np.zeros(len(sampler.first_synapse) - 1, np.int32) for sampler in samplers]
    numbers = {str(projection.name): number for number, projection in enumerate(network.projections)}
    changed = {numbers[name]: each for name, each in (late or {}).items()}
    builder = RowTableBuilder(
        network=network,
        share=share,
        samplers=samplers,
        real=real,
        threads=threads,
        degrees=degrees,
        processes=processes,
        late=changed,
        former=former,
    )
    row_tables = builder.build(plain)
    plastic = compile_plastic(network, samplers, clock, real, degrees, seed, share, processes)
    if processes.size > 1 and degrees:
        degrees = _summed(degrees, processes)
    poisson, noises = compile_noise(network, seed, clock)
    driven = targets_of(currents)
    cells = _compile_cells(network, clock, seed, real, driven, noisy={noise.population for noise in noises})
    check_currents(network, cells, currents)
    # Constants under a current are made in each step; models of synapses read the state of their target.
    alone = driven | {synapses.target for synapses in plastic if synapses.model is not None}
    return CompiledNetwork(
        network=network,
        clock=clock,
        seed=seed,
        real=real,
        cells=cells,
        poisson=poisson,
        noises=noises,
        currents=currents,
        layout=layout,
        share=share,
        samplers=tuple(sampler.without_cache() for sampler in samplers),
        row_tables=tuple(row_tables),
        degrees=tuple(degrees),
        plastic=plastic,
        windows=windows,
        joints=join_rows(share, row_tables, samplers, real, processes),
        bundles=make_bundles(layout, cells, alone),
    )


def _check_processes(currents: Sequence[CompiledCurrent], processes: Processes) -> None:
    """Raise where processes share a network with gap junctions."""
    coupled = [current for current in currents if current.couplings]
    if processes.size > 1 and coupled:
        raise NeurosimInputError(
            f"GapJunctions[{coupled[0].name!r}]: need the membranes of all units in every step, which processes do not "
            "exchange; leave comm or mpirun out"
        )


def _summed(degrees: Sequence[NDArray[np.int32]], processes: Processes) -> list[NDArray[np.int32]]:
    """Return the degrees of all projections summed over the processes, in one message."""
    ends = np.cumsum([len(each) for each in degrees])
    return np.split(processes.sum(np.concatenate(degrees)), ends[:-1])


def _build_samplers(
    network: Network, clock: float, seed: int, threads: int, share: ProcessShare, processes: Processes
) -> list[SynapseSampler]:
    """Return the samplers of all projections onto a share, built several at a time."""
    threads_each = max(1, threads // max(1, len(network.projections)))
    ready: dict[int, SynapseSampler] = {}

    def build(number: int) -> None:
        projection = network.projections[number]
        if processes.size == 1:
            onto = None
        else:
            onto = share.units(network.numbers[projection.target])
        ready[number] = open_sampler(network, projection, clock, seed, threads_each, onto)

    for_each(range(len(network.projections)), build, threads)
    samplers = [ready[number] for number in range(len(network.projections))]
    if processes.size > 1 and samplers:
        # Number the synapses among all processes, all projections at once: a network may have thousands.
        own = [np.diff(s.first_synapse) * (not s.known) for s in samplers]
        counts = np.concatenate(own)
        ends = np.cumsum([len(each) for each in own])
        totals = np.split(processes.sum(counts), ends[:-1])
        before = np.split(processes.before(counts), ends[:-1])
        samplers = [s.numbered(total, b) for s, total, b in zip(samplers, totals, before, strict=True)]
    for sampler in samplers:
        sampler.check_vectors()
    return samplers


def _compile_cells(
    network: Network, clock: float, seed: int, real: np.dtype[Any], driven: Set[int], noisy: Set[int]
) -> dict[int, Cells]:
    """Return the compiled neurons of all populations of neurons.

    Args:
        driven, noisy: numbers of the populations that receive currents, and Poisson stimuli.
    """
    cells = {}
    for p, population in enumerate(network.populations):
        if isinstance(population.model, Neuron):
            # Where noise arrives in nearly every step, none is shorter.
            quiet = population.size >= QUIET_UNITS and p not in noisy
            cells[p] = _cells(population, population.model, clock, seed, real, driven=p in driven, quiet=quiet)
    return cells


def _cells(
    population: Population, model: Neuron, clock: float, seed: int, real: np.dtype[Any], *, driven: bool, quiet: bool
) -> Cells:
    """Return the compiled neurons of a population: state, constants and addresses of their steps."""
    # In float64 up to the end: a time constant is rounded once, after all that is computed from it.
    neuron = drawn(model, seed, population.name, population.size)
    with refused_division(population, neuron):
        initial = initial_state(population, neuron, seed)
        if driven:
            constants = driven_constants(population, neuron, clock)
        else:
            constants = rows(neuron, lambda unit: unit.constants(clock))
    check_range(f"Population[{population.name!r}].initial", initial, real)
    initial = initial.astype(real)
    receptors = len(neuron.receptors) + len(neuron.drives)
    check_constants(population, neuron, clock, constants, real)
    if driven:
        # A drive changes constants from step to step: each unit has its own, and no step is short.
        step = step_callback(neuron, real, by_unit=True)
        return Cells(
            population=population,
            state=neuron.state,
            functions=(step, 0),
            initial=initial,
            constants=constants.astype(real),
            receptors=receptors + 1,
        )
    step = step_callback(neuron, real, by_unit=constants.ndim == 2)
    shorter = quiet_callback(neuron, real, by_unit=constants.ndim == 2) if quiet else 0
    return Cells(
        population=population,
        state=neuron.state,
        functions=(step, shorter),
        initial=initial,
        constants=constants.astype(real),
        receptors=receptors,
    )
