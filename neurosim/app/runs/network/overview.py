"""Overview of a network's run: the activity of its populations, and the cost of the run."""

from __future__ import annotations

from collections.abc import Sequence

from ...report import numbers
from ..frame.facts import Fact, Overview, Table, digest, energies, operations, sparsity, speed
from .result import NetworkResult, PopulationResult, ReadingResult

# Rate, regularity and silence: whether the activity is irregular, regular or dying.
HEADS = ("Population", "Model", "Units", "Spikes", "Spikes/s a unit", "CV of intervals", "Silent units")
READINGS = ("Reading", "Population", "Windows", "Window", "Mean")
MAX_READINGS = 12  # rows of the terminal


def overview_of(result: NetworkResult) -> Overview:
    """Return what page and terminal show of a run."""
    seconds = result.simulated_seconds
    if result.clock is None:
        steps = "in continuous time"
    else:
        steps = f"in steps of {numbers.seconds(result.clock)}"
    return Overview(
        title=f"{result.network or 'A network'}, {numbers.plain(result.units)} units",
        lead=[f"{numbers.seconds(seconds)} simulated", steps] if seconds else [],
        facts=[
            _spikes(result),
            sparsity(result.measures, "of outputs, step by step"),
            operations(result.measures, each=""),
            *energies(result.energy, "of the run"),
            speed(result.real_time_factor),
            digest("Spike digest", result.spike_digest),
        ],
        tables={
            "populations": Table("Activity of each population", HEADS, [_row(p) for p in result.populations]),
            "readings": _readings(result.readings),
        },
    )


def _readings(readings: Sequence[ReadingResult]) -> Table:
    rows = []
    for each in readings:
        window = numbers.seconds(each.window)
        rows.append((each.name, each.population, numbers.plain(each.windows), window, numbers.three(each.mean)))
    return Table("Readings of windowed populations", READINGS, rows, rows[:MAX_READINGS])


def _spikes(result: NetworkResult) -> Fact:
    rate = None
    if result.spikes is not None and result.units and result.simulated_seconds:
        rate = result.spikes / result.units / result.simulated_seconds
    return Fact(label="Spikes", value=result.spikes, note=f"{numbers.three(rate)} per unit and second")


def _row(each: PopulationResult) -> tuple[str, ...]:
    figures = (each.size, each.spikes, each.rate_hz, each.cv, each.silent)
    return each.name, each.model, *map(numbers.three, figures)
