"""Phase diagrams of associative memories: the name of the state at each point of a plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .dense_phases import dense_state
from .multitasking import multitasking_phase

# Patterns of the diagram of multitasking.
PATTERNS = 3
DILUTIONS = tuple(round(0.05 * k, 2) for k in range(1, 20))
# Temperatures as shares of 1 - dilution, above which nothing is recalled.
SHARES = tuple(round(0.05 * k, 2) for k in range(1, 22))
TEMPERATURES = tuple(round(0.1 * k, 2) for k in range(1, 15))
# Loads K / N^(P - 1) by order: recall ends within them.
LOADS = {2: 0.01, 3: 0.008, 4: 0.0015}
STEPS = 16


@dataclass(frozen=True)
class PhaseMap:
    """Phases over a plane.

    Attributes:
        title: a line for people.
        x_name, y_name: names of the axes.
        x, y: places on the axes, at equal distances.
        names: [y][x] name of the phase.
    """

    title: str
    x_name: str
    y_name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    names: tuple[tuple[str, ...], ...]


def multitasking_map() -> Iterator[PhaseMap]:
    """Yield the phases of few diluted patterns."""
    names = tuple(tuple(multitasking_phase(PATTERNS, d, share * (1 - d)) for d in DILUTIONS) for share in SHARES)
    yield PhaseMap(
        title=f"{PATTERNS} patterns: states of least free energy",
        x_name="dilution d",
        y_name="temperature / (1 - d)",
        x=DILUTIONS,
        y=SHARES,
        names=names,
    )


def dense_maps() -> Iterator[PhaseMap]:
    """Yield the phases of memories of several orders."""
    for order, step in LOADS.items():
        loads = tuple(round(step * k, 4) for k in range(1, STEPS + 1))
        names = tuple(tuple(dense_state(order, load, t).phase for load in loads) for t in TEMPERATURES)
        yield PhaseMap(
            title=f"order {order}: state reached from a pattern",
            x_name=f"patterns / units^{order - 1}",
            y_name="temperature",
            x=loads,
            y=TEMPERATURES,
            names=names,
        )
