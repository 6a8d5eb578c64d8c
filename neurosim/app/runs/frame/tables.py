"""Short aligned tables of results, which commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ....base.measure.estimates import EnergyEstimates, EnergyRange
from ...report import numbers

Rows = list[tuple[str, str]]
ESTIMATES = {
    "compute_only": "Energy, arithmetic alone",
    "memory_aware": "Energy, with memory",
}


def table(rows: Iterable[tuple[str, str]], title: str = "") -> str:
    """Return aligned `name  value` lines below the title."""
    lines = list(rows)
    width = max((len(name) for name, _ in lines), default=0)
    head = [title] if title else []
    return "\n".join(head + [f"  {name:<{width}}  {value}".rstrip() for name, value in lines])


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns aligned to the right below their heads."""
    lines = [heads, *rows]
    # Columns are as wide as their widest cell; heads count as cells.
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines
    )


class OfRun(Protocol):
    """Results with the folder of their run."""

    @property
    def run(self) -> str: ...


def quantity(value: object, unit: str = "") -> str:
    """Return three digits and a prefix: 1234567 as `1.23 M`, 3.2e-9 J as `3.20 nJ`."""
    return numbers.text(numbers.si(value, unit))


def joules(estimate: EnergyRange | None) -> str:
    """Return an energy as one figure or a range."""
    return numbers.text(numbers.span(estimate, "J"))


def percent(value: object, digits: int = 1) -> str:
    """Return 0.123 as `12.3 %`."""
    return numbers.text(numbers.percent(value, digits))


def energy_rows(energy: EnergyEstimates | None, each: str) -> Rows:
    """Return a row for each of the two estimates, of `each`; what is unknown says why."""
    if energy is None:
        return []
    rows = []
    for name, title in ESTIMATES.items():
        run = getattr(energy, name)
        dense = getattr(energy, f"dense_{name}")
        beside = f"; dense {joules(dense)}" if dense else ""
        known = f"{joules(run)} {each}{beside} (estimate, {energy.profile})"
        rows.append((title, f"- ({energy.reasons[name]})" if run is None else known))
    return rows
