"""The text of a model of equations, read: expressions by name, slopes, units, and values to start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....base.errors import NeurosimInputError, lookup, require
from ..timed import TimedArray
from .methods import noises
from .split import LinearPart, linear_part
from .statements import Statement, check_names
from .text import STEP, Equation, EquationReader, symbol
from .units import Dimension, check_unit, dimension, per_second, read_unit


class ModelText:
    """The text of a model, read.

    Attributes:
        states, inputs: names.
        equations: with subexpressions and units of literals written out.
        reader: of further expressions.
    """

    def __init__(
        self, statements: Sequence[Statement], values: Mapping[str, float], timed: Mapping[str, TimedArray]
    ) -> None:
        slopes = [each for each in statements if each.is_slope]
        named = [each for each in statements if not each.is_slope and each.value]
        require(bool(slopes), "equations", "must have at least one equation, dv/dt = ...", 0)
        self.values = values
        self.timed = timed
        self.states = [each.name for each in slopes]
        self.inputs = [each.name for each in statements if "input" in each.flags]
        self._declared = {each.name: each.unit for each in statements if each.unit is not None}
        others = [each.name for each in named] + self.inputs + list(values)
        check_names(self.states, [*others, *timed])
        for label, array in timed.items():
            require(isinstance(array, TimedArray), f"equations.timed[{label!r}]", "must be a TimedArray", array)
        self.reader = EquationReader(
            (*self.states, *others), {label: array.values.ndim for label, array in timed.items()}
        )
        self._named = {each.name: self.reader.expression(each.value, each.name) for each in named}
        self._written = [self._slope(each) for each in slopes]
        self._every = in_order(self._named)
        over_dt = [each.name for each in named if "constant over dt" in each.flags]
        self._order = [name for name in self._every if name not in over_dt]
        # From those that are made of nothing else to those that are made of them.
        self.frozen = {name: self.closed(self._named[name]) for name in reversed(self._every) if name in over_dt}
        for name, value in self.frozen.items():
            require(not noises(value), f"equations: {name}", "must have no white noise (constant over dt)", value)
        self.equations = [Equation(e.name, self.closed(e.slope), e.unit, e.held) for e in self._written]

    def _slope(self, each: Statement) -> Equation:
        # White noise that is read meanwhile is one number for all units, or one for each.
        self.reader.shared = "shared" in each.flags
        slope = self.reader.expression(each.value, f"d{each.name}/dt")
        self.reader.shared = False
        return Equation(each.name, slope, each.unit, "unless refractory" in each.flags)

    def closed(self, expression: Any) -> Any:
        """Return an expression with subexpressions written out and units of literals as numbers."""
        if expression is None:
            return None
        for name in self._order:
            expression = expression.subs(symbol(name), self._named[name])
        return self.reader.plain(expression)

    def closed_lookup(self, label: str) -> Any:
        each = self.reader.lookups[label]
        return type(each)(each.array, self.closed(each.time), self.closed(each.unit))

    def linear(self, method: str | None) -> LinearPart:
        """Return the part that is integrated exactly: none for a method of all variables."""
        if method is not None:
            return linear_part(())
        drives = self.reader.drives
        # What changes within a step, or differs from step to step, is no constant of an exact step.
        moving = [name for equation in self.equations for name in noises(equation.slope)]
        steady = [name for name in drives if name != "t" and name not in moving]
        steady += [*self.reader.lookups, *self.frozen]
        return linear_part(self.equations, [*self.inputs, *steady], ["t", STEP, *moving])

    def check_linear(self, method: str) -> None:
        """Raise `NeurosimInputError` for a variable that cannot be integrated exactly."""
        exact = self.linear(None).names
        for equation in self.equations:
            if equation.name not in exact:
                rule = f"must be linear in variables and constants for the method {method!r}"
                raise NeurosimInputError(
                    f"equations: d{equation.name}/dt: {rule}; leave the method out for Heun's (got {equation.slope})"
                )

    def initial(self, starts: Mapping[str, str | float]) -> dict[str, Any]:
        """Return the value of each state at the start, an expression of parameters."""
        for state in starts:
            lookup(dict.fromkeys(self.states), state, "equations.initial")
        reader = EquationReader(self.reader.names)
        read = {state: reader.expression(str(starts.get(state, 0.0)), f"initial {state}") for state in self.states}
        closed = {state: reader.plain(self.closed(value)) for state, value in read.items()}
        # A value made of other values gets them written out, so that parameters alone are left.
        for state in in_order(closed):
            closed = {name: each.subs(symbol(state), closed[state]) for name, each in closed.items()}
        for state, value in closed.items():
            for name in sorted(map(str, value.free_symbols)):
                known = name in self.values
                require(known, f"equations: initial {state}", "must depend on parameters alone", name)
        return closed

    def check_units(self, units: Mapping[str, str], resets: Sequence[tuple[str, Any]]) -> dict[str, Dimension]:
        """Check the units of all expressions, and return those of the names."""
        texts = {**units, **self._declared}
        names = {**dict.fromkeys(self.reader.names), **dict.fromkeys(self.timed)}
        for name in texts:
            lookup(names, name, "equations.units")
        known = dict(self.reader.known)
        for name, text in texts.items():
            known[name] = read_unit(text, f"equations.units[{name!r}]")
        for label, each in self.reader.lookups.items():
            if each.array in known:
                known[label] = known[each.array]
        for name in reversed(self._every):
            unit = dimension(self._named[name], known, name)
            check_unit(self._named[name], known.get(name), known, name)
            if unit is not None:
                known.setdefault(name, unit)
        for equation in self._written:
            check_unit(equation.slope, per_second(known.get(equation.name)), known, f"d{equation.name}/dt")
        for state, value in resets:
            check_unit(value, known.get(state), known, f"reset of {state}")
        return known


def in_order(named: Mapping[str, Any]) -> list[str]:
    """Return names of expressions, each before those that it is made of.

    Raises:
        NeurosimInputError: they form a circle.
    """
    ordered: list[str] = []
    left = dict(named)
    while left:
        used = {str(each) for value in left.values() for each in value.free_symbols}
        free = [name for name in left if name not in used]
        if not free:
            raise NeurosimInputError(f"equations: {', '.join(sorted(left))}: must not be made of one another")
        ordered += free
        for name in free:
            del left[name]
    return ordered
