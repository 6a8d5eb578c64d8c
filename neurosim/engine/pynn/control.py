"""Functions of the PyNN API that control a simulation, and its procedural functions."""

from __future__ import annotations

from typing import Any

from pyNN import common
from pyNN.common.control import DEFAULT_MAX_DELAY, DEFAULT_MIN_DELAY
from pyNN.connectors import FixedProbabilityConnector
from pyNN.recording import get_io

from ...base.errors import require
from . import simulator
from .populations import Population
from .projections import Projection
from .synapses import StaticSynapse
from .translation import Built

simulator.state.builder = Built


def setup(
    timestep: Any = simulator.DEFAULT_TIMESTEP,
    min_delay: Any = DEFAULT_MIN_DELAY,
    *,
    seed: int = 0,
    threads: int | None = None,
    precision: str = "float64",
    **extra_params: Any,
) -> int:
    """Start anew: forget all populations and projections.

    Args:
        timestep: ms, the clock.
        min_delay: ms; "auto" is the shortest delay of the projections.
        seed: key of the engine's random draws: Poisson spikes, transmission by chance, noise.
        threads, precision: as for `neurosim.Simulation`; results do not depend on threads.
        extra_params: `max_delay` in ms; those that other simulators alone know have no effect.

    Returns:
        The rank of this process, 0.
    """
    is_time = isinstance(timestep, int | float) and timestep > 0
    require(is_time, "neurosim.pynn.setup.timestep", "must be > 0 ms", timestep)
    common.setup(timestep, min_delay, **extra_params)
    state = simulator.state
    state.clear()
    state.dt = timestep
    state.min_delay = min_delay
    state.max_delay = extra_params.get("max_delay", DEFAULT_MAX_DELAY)
    state.seed = seed
    state.threads = threads
    state.precision = precision
    return state.mpi_rank


def end(compatible_output: bool = True) -> None:
    """Write the files that `record` was told of."""
    for population, variables, filename in simulator.state.write_on_end:
        population.write_data(get_io(filename), variables)
    simulator.state.write_on_end = []


run, run_until = common.build_run(simulator)
run_for = run
reset = common.build_reset(simulator)
initialize = common.initialize
queries = common.build_state_queries(simulator)
get_current_time, get_time_step, get_min_delay, get_max_delay, num_processes, rank = queries

create = common.build_create(Population)
connect = common.build_connect(Projection, FixedProbabilityConnector, StaticSynapse)
set = common.set
record = common.build_record(simulator)


def record_v(source: Any, filename: str) -> Any:
    """Record the membrane of cells to a file, which `end` writes."""
    return record(["v"], source, filename)


def record_gsyn(source: Any, filename: str) -> Any:
    """Record the synaptic conductances of cells to a file, which `end` writes."""
    return record(["gsyn_exc", "gsyn_inh"], source, filename)
