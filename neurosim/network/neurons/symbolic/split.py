"""Equations split into a linear part, which is integrated exactly, and the rest, which is stepped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .text import Equation, library, symbol


@dataclass(frozen=True)
class LinearPart:
    """x' = rates x + constant of the variables whose slopes are linear in one another and in what stays in a step.

    Attributes:
        names: of the variables; none: there is no such part.
        steady: names of values that stay in a step, such as inputs; their own slopes are 0.
        rates: [names][names and steady] expressions of parameters.
        constant: [names] the same.
        held: names that stay while the neuron is refractory.
    """

    names: tuple[str, ...]
    steady: tuple[str, ...]
    rates: tuple[tuple[Any, ...], ...]
    constant: tuple[Any, ...]
    held: frozenset[str]

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.names, *self.steady)

    def reaches(self, name: str) -> list[str]:
        """Return the variables and steady values that the value of one after a step depends on, in order."""
        # Follow the nonzero rates from variable to variable.
        reached = {name}
        todo = [name]
        while todo:
            row = self._row(todo.pop())
            new = {other for other, rate in zip(self.columns, row, strict=True) if rate != 0} - reached
            reached |= new
            todo += sorted(new)
        return [other for other in self.columns if other in reached]

    def driven(self, name: str) -> bool:
        """Return whether a constant moves a variable."""
        moved = [other for other in self.reaches(name) if other in self.names]
        return any(self.constant[self.names.index(other)] != 0 for other in moved)

    def waits(self, name: str) -> bool:
        """Return whether a variable moves otherwise while another one is held."""
        return name not in self.held and any(other in self.held for other in self.reaches(name))

    def _row(self, name: str) -> tuple[Any, ...]:
        if name in self.names:
            return self.rates[self.names.index(name)]
        return (0,) * len(self.columns)


def linear_part(
    equations: Sequence[Equation], steady: Collection[str] = (), moving: Collection[str] = ()
) -> LinearPart:
    """Return the largest part of the equations that is linear in itself and depends on nothing else that changes.

    Args:
        steady: names of values that stay in a step.
        moving: names of others that change, such as time and noise.
    """
    sympy = library()
    symbols = {equation.name: symbol(equation.name) for equation in equations}
    every = {*symbols.values(), *map(symbol, moving)}
    still = [symbol(name) for name in steady]
    # Start from all equations and remove those that depend on a removed one or are not linear, until none is removed.
    linear = {equation.name: equation for equation in equations}
    while True:
        states = {symbols[name] for name in linear}
        smaller = {}
        for name, equation in linear.items():
            is_closed = equation.slope.free_symbols & every <= states
            if is_closed and _is_linear(equation.slope, {*states, *still}):
                smaller[name] = equation
        if len(smaller) == len(linear):
            break
        linear = smaller
    used = {name for equation in linear.values() for name in map(str, equation.slope.free_symbols)}
    kept = tuple(name for name in steady if name in used)
    variables = [symbols[name] for name in linear] + [symbol(name) for name in kept]
    # The rates are the derivatives of the slopes, the constants the slopes where all variables are 0.
    rates = []
    constants = []
    for equation in linear.values():
        rates.append(tuple(sympy.expand_mul(sympy.diff(equation.slope, variable)) for variable in variables))
        constants.append(equation.slope.subs(dict.fromkeys(variables, 0)))
    held = frozenset(name for name, equation in linear.items() if equation.held)
    return LinearPart(names=tuple(linear), steady=kept, rates=tuple(rates), constant=tuple(constants), held=held)


def _is_linear(slope: Any, states: set[Any]) -> bool:
    """Return whether no derivative of a slope by a state depends on a state."""
    derivatives = (library().expand_mul(library().diff(slope, state)) for state in states & slope.free_symbols)
    return all(not derivative.free_symbols & states for derivative in derivatives)
