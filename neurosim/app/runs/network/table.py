"""Text that `neurosim simulate` prints for a network's run."""

from __future__ import annotations

from ..frame.tables import energy_rows, file_rows, quantity, speed, table
from .result import NetworkResult, PopulationResult


def render(result: NetworkResult) -> str:
    """Return one row for each population, then the cost of the run and its files."""
    head = f"{result.network}: {result.simulated_seconds:g} s, seed {result.seed}"
    rows = [(each.name, _firing(each)) for each in result.populations]
    rows += [("spikes", quantity(result.spikes)), ("speed", speed(result.real_time_factor))]
    if result.energy is not None:
        rows += energy_rows(result.energy, "the run")
    return table([*rows, *file_rows(result, result.spike_digest)], head)


def _firing(population: PopulationResult) -> str:
    rate = population.rate_hz
    cv = population.cv
    words = [f"{population.size:,} {population.model}", "-" if rate is None else f"{rate:.3g} spikes/s each"]
    words += [f"CV {cv:.2f}"] if cv is not None else []
    return ", ".join([*words, f"{population.silent:,} silent"] if population.silent else words)
