"""Poisson spikes of a compiled network, on the grid or in continuous time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.random import rng_key
from ...network.network import Network
from ...network.stimuli import PoissonInput, PoissonSource
from ..inputs import changes_of

if TYPE_CHECKING:
    from ...kernels.tools.poisson import PoissonTable

# Above this expected number of events a step, a Poisson count by thresholds is no longer worth its table.
MAX_MEAN = 500.0


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates that differ between units or change in time.

    Attributes:
        steps: [pieces] first step of each piece of time; the first is 0.
        means: [pieces, 1 or units] expected number of spikes in a step.
    """

    steps: NDArray[np.int64]
    means: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Noise:
    """Poisson spikes: of each unit of a source, or to each unit of a target.

    Attributes:
        population: number of the source, or of the target.
        receptor, weight: of a stimulus; 0 for a source.
        rate: spikes/s of each unit; the highest of several.
        key: of the random stream.
        table: of the number of spikes in a step of the clock at that rate; in continuous time of none.
        rates: None where all units have one rate at all times.
    """

    population: int
    receptor: int
    weight: float
    rate: float
    key: int
    table: PoissonTable
    rates: Rates | None = None

    @property
    def max_count(self) -> int:
        """Return the largest number of spikes of a unit in a step."""
        return self.table.max_count


def compile_noise(network: Network, seed: int, clock: float | None) -> tuple[dict[int, Noise], tuple[Noise, ...]]:
    """Return Poisson sources by population number, and stimuli, for steps of `clock` seconds or continuous time.

    Raises:
        NeurosimInputError: a rate too high for the clock; rates by unit or time, or a current, in continuous time.
    """
    # By rate: 1,000 populations with one rate compute and hold one table.
    tables: dict[float, PoissonTable] = {}
    sources = {}
    for p, population in enumerate(network.populations):
        if isinstance(population.model, PoissonSource):
            key = rng_key(seed, "source", population.name)
            name = f"Population[{population.name!r}].model"
            sources[p] = _noise(
                population.model, p, receptor=0, weight=0.0, key=key, clock=clock, name=name, tables=tables
            )
    stimuli = []
    for stimulus in network.stimuli:
        if isinstance(stimulus, PoissonInput):
            p = network.numbers[stimulus.target]
            key = rng_key(seed, "stimulus", str(stimulus.name))
            row = network.receptor(stimulus)
            stimuli.append(
                _noise(
                    stimulus,
                    p,
                    receptor=row,
                    weight=stimulus.weight,
                    key=key,
                    clock=clock,
                    name=str(stimulus),
                    tables=tables,
                )
            )
        elif clock is None:
            raise NeurosimInputError(f"{stimulus}: runs on a grid; give a clock")
    return sources, tuple(stimuli)


def _noise(
    owner: PoissonSource | PoissonInput,
    population: int,
    receptor: int,
    weight: float,
    key: int,
    clock: float | None,
    name: str,
    tables: dict[float, PoissonTable],
) -> Noise:
    """Return the spikes of a source or stimulus.

    Args:
        tables: by rate, those made so far, which noises of the same rate share.
    """
    # The table is made for the highest rate; where rates differ, the kernel draws by `means`.
    rate = np.asarray(owner.rate, np.float64)
    highest = float(rate.max(initial=0.0))
    rates = None
    if rate.ndim:
        if clock is None:
            rule = "must be one number in continuous time; give a clock"
            raise NeurosimInputError(f"{name}.rate: {rule} (got {rate.shape})")
        # One piece of time, or one for each entry of `times`; rates by unit or one for all.
        if owner.times is None:
            steps = np.zeros(1, np.int64)
            means = rate[None]
        else:
            steps = changes_of(owner.times, clock, name)
            means = rate.reshape(len(rate), -1)
        rates = Rates(steps, np.ascontiguousarray(means * clock))
    table = tables.get(highest)
    if table is None:
        table = _table(highest, clock, f"{name}.rate")
        tables[highest] = table
    return Noise(
        population=population, receptor=receptor, weight=weight, rate=highest, key=key, table=table, rates=rates
    )


def _table(rate: float, clock: float | None, name: str) -> PoissonTable:
    from ...kernels.tools.poisson import poisson_table

    if clock is None:
        return poisson_table(0.0)
    mean = rate * clock
    require(mean <= MAX_MEAN, name, f"must be <= {MAX_MEAN / clock:g} spikes/s at steps of {clock:g} s", rate)
    require(math.isfinite(mean), name, "must be finite", rate)
    return poisson_table(mean)
