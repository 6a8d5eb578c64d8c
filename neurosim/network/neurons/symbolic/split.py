"""Equations split into a linear part, which a step integrates exactly, and the rest, which Heun's method leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .text import Equation, library


@dataclass(frozen=True)
class LinearPart:
    """x' = rates x + constant of the variables whose slopes are linear in one another.

    Attributes:
        names: of the variables; none: there is no such part.
        rates: [names][names] expressions of parameters.
        constant: [names] the same.
        held: names that stay while the neuron is refractory.
    """

    names: tuple[str, ...]
    rates: tuple[tuple[Any, ...], ...]
    constant: tuple[Any, ...]
    held: frozenset[str]

    def reaches(self, name: str) -> list[str]:
        """Return the variables that the value of one after a step depends on, in order."""
        found = {name}
        todo = [name]
        while todo:
            row = self.rates[self.names.index(todo.pop())]
            new = {other for other, rate in zip(self.names, row, strict=True) if rate != 0} - found
            found |= new
            todo += sorted(new)
        return [other for other in self.names if other in found]

    def driven(self, name: str) -> bool:
        """Return whether a constant moves a variable."""
        return any(self.constant[self.names.index(other)] != 0 for other in self.reaches(name))

    def waits(self, name: str) -> bool:
        """Return whether a variable moves otherwise while another one is held."""
        return name not in self.held and any(other in self.held for other in self.reaches(name))


def linear_part(equations: Sequence[Equation]) -> LinearPart:
    """Return the largest part of the equations that is linear in itself and depends on nothing else that changes."""
    sympy = library()
    symbols = {equation.name: sympy.Symbol(equation.name, real=True) for equation in equations}
    chosen = {equation.name: equation for equation in equations}
    while True:
        inside = {symbols[name] for name in chosen}
        every = set(symbols.values())
        kept = {
            name: equation
            for name, equation in chosen.items()
            if equation.slope.free_symbols & every <= inside and _is_linear(equation.slope, inside)
        }
        if len(kept) == len(chosen):
            break
        chosen = kept
    mine = [symbols[name] for name in chosen]
    rates = tuple(tuple(sympy.expand_mul(sympy.diff(equation.slope, x)) for x in mine) for equation in chosen.values())
    rest = tuple(equation.slope.subs(dict.fromkeys(mine, 0)) for equation in chosen.values())
    return LinearPart(tuple(chosen), rates, rest, frozenset(name for name, equation in chosen.items() if equation.held))


def _is_linear(slope: Any, states: set[Any]) -> bool:
    slopes = (library().expand_mul(library().diff(slope, x)) for x in states)
    return all(not each.free_symbols & states for each in slopes)
