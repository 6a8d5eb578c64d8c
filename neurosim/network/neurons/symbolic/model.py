"""Classes of neurons from equations: the text is read, checked and written out as a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ....base.errors import NeurosimInputError, lookup, require
from ....base.values import Value
from ..base import Neuron
from ..timed import TimedArray
from .loading import class_of
from .methods import check_method, noises
from .parts import EquationParts
from .source import module_text
from .split import LinearPart, linear_part
from .statements import ASSIGNMENT, Statement, check_names, lines, read_statements
from .text import STEP, Equation, EquationReader, is_condition, read_reset, symbol
from .units import UNITS, Dimension, check_unit, dimension, per_second, read_unit

# Names of the exact method.
EXACT = ("exact", "linear")

if TYPE_CHECKING:
    # A type checker does not know the parameters of a class that is written while the program runs.

    class WrittenNeuron(Neuron):
        """A neuron of `equations`."""

        source: ClassVar[str]

        def __init__(self, **parameters: Value) -> None: ...

else:
    WrittenNeuron = Neuron


def equations(
    text: str,
    *,
    threshold: str = "",
    reset: str = "",
    refractory: str = "",
    parameters: Mapping[str, float] | None = None,
    receptors: Mapping[str, str] | None = None,
    initial: Mapping[str, str | float] | None = None,
    units: Mapping[str, str] | None = None,
    positive: Sequence[str] = (),
    timed: Mapping[str, TimedArray] | None = None,
    method: str | None = None,
    name: str = "Model",
) -> type[WrittenNeuron]:
    """Return a neuron model written from its equations.

    A step integrates, adds the weights that arrive, compares with the threshold, and resets; see `Neuron` for the
    grid. The class is like one written by hand: `print(Model.source)` shows the module to keep. Its compiled code is
    cached by that text: the same equations are compiled once. docs/equations.md has all that is understood.

        Model = equations(
            '''
            dv/dt = (v_leak - v + r * current) / tau_mem : V (unless refractory)
            current = i_offset + int(t > 50*ms) * 2*nA : A
            ''',
            threshold="v > v_threshold",
            reset="v = v_reset",
            parameters={
                "tau_mem": 0.02, "v_leak": 0.0, "r": 1e8, "i_offset": 0.0,
                "v_threshold": 0.02, "v_reset": 0.0,
            },
        )
        Population("cells", 100, Model(tau_mem=0.03))

    Args:
        text: one statement a line. `dv/dt = ...` is a variable, `x = ...` a name for an expression, `x : unit` a
            parameter, or a variable where the reset assigns it, `x : unit (input)` the sum of what arrives at a
            receptor in the step. After a colon the unit; `(unless refractory)` holds a variable, against its slope and
            arriving weights, for the parameter `t_refractory` after a spike. Variables without it go on, but a model
            with this parameter fires no spike in that time, as in Brian2. `(shared)`: white noise in the slope is the
            same for all units. `(constant over dt)`: the expression stays as it is at the start of the step.
        threshold: the condition of a spike, such as `v > v_threshold`; "" for a model that never fires.
        reset: assignments after a spike, in order: `v = v_reset; w += b`.
        refractory: a condition, such as `v > -40*mV`: after a spike no other follows while it holds. A time, such as
            "5*ms", is the value of the parameter `t_refractory`.
        parameters: their values, SI units; names follow the rules of `Neuron`. `i_offset` takes currents.
        receptors: the variable or input that a weight of each is added to; None: "input", to the first variable, and
            each input under its own name.
        initial: values to start from, numbers or expressions of parameters and of other values, 0 else.
        units: of parameters and timed arrays, such as "ohm" or "V / s"; equations whose names all have units are
            checked.
        positive: receptors whose weights must be >= 0.
        timed: values that change in time, by the name of their function: `stimulus(t)`.
        method: of all variables: "euler", "heun", "milstein", "exponential_euler", "rk2", "rk4", or "exact", which
            refuses slopes that are not linear. None: variables whose slopes are linear in one another exactly, the
            rest by Heun's method, second order in dt; a variable on the left of the threshold is then taken as no
            higher than its right inside a step, so that an upswing stays finite, except while no spike can follow.
        name: of the class.

    Raises:
        NeurosimInputError: text that is not understood, an unknown name, units that do not fit.
        NeurosimMissingError: sympy is not installed.
    """
    given = dict(parameters or {})
    starts = dict(initial or {})
    statements = _changed_by(reset, read_statements(text), given, starts)
    # A refractory time is the value of a parameter; what is left is a condition.
    seconds = _refractory_time(refractory)
    if seconds is not None:
        require("t_refractory" not in given, "equations.refractory", "must stand without t_refractory", refractory)
        given["t_refractory"] = seconds
        refractory = ""
    values = _values(statements, given, waits=refractory == "")
    model = _Model(statements, values, dict(timed or {}))
    targets = _targets(receptors, model)
    for receptor in positive:
        lookup(targets, receptor, "equations.positive")
    require(name.isidentifier(), "equations.name", "must be a name of a class", name)
    firing = _read_firing(model, threshold, refractory, reset)
    known = model.check_units(units or {}, firing.resets)
    firing.check_units(known)
    if method in EXACT:
        model.check_linear(method)
        method = None
    check_method(method, model.equations)
    parts = EquationParts(
        equations=model.equations,
        linear=model.linear(method),
        method=method,
        threshold=model.closed(firing.threshold),
        refractory=model.closed(firing.refractory),
        reset=[(state, model.closed(value)) for state, value in firing.resets],
        parameters=values,
        receptors=targets,
        inputs=model.inputs,
        positive=tuple(positive),
        initial=model.initial(starts),
        drives=model.reader.drives,
        lookups={label: model.closed_lookup(label) for label in model.reader.lookups},
        timed=model.timed,
        frozen=model.frozen,
    )
    return class_of(module_text(parts, name, _docstring(text, threshold, reset)), name)


@dataclass(frozen=True)
class _Firing:
    """Expressions of a spike, as they were read.

    Attributes:
        threshold: condition of a spike; None: never.
        refractory: condition under which no other spike follows; None: a time, or none.
        resets: variables and their values after a spike, in order.
    """

    threshold: Any
    refractory: Any
    resets: Sequence[tuple[str, Any]]

    def check_units(self, known: Mapping[str, Dimension]) -> None:
        """Check that both sides of each comparison have one unit."""
        for label, condition in (("threshold", self.threshold), ("refractory", self.refractory)):
            if condition is not None:
                dimension(condition, known, label)


def _read_firing(model: _Model, threshold: str, refractory: str, reset: str) -> _Firing:
    condition = None
    if threshold:
        condition = model.reader.condition(threshold, "threshold")
    stays = None
    if refractory:
        stays = _refractory_condition(refractory, model.reader)
        is_alone = "t_refractory" not in model.values
        require(is_alone, "equations.refractory", "must stand without t_refractory", refractory)
    return _Firing(condition, stays, read_reset(reset, model.states, model.reader))


def _docstring(text: str, threshold: str, reset: str) -> list[str]:
    """Return the lines of the class's docstring: the equations as they were given, threshold and reset."""
    doc = lines(text, "equations")
    if threshold:
        doc.append(f"{threshold}: spike, then")
    return doc + lines(reset, "reset")


class _Model:
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


def _changed_by(
    reset: str, statements: Sequence[Statement], given: dict[str, float], starts: dict[str, str | float]
) -> list[Statement]:
    """Return the statements with what a reset assigns as variables of slope 0, behind the others.

    The value of such a name starts where a parameter of its name said, which is then none.
    """
    matches = [ASSIGNMENT.fullmatch(line) for line in lines(reset, "equations.reset")]
    assigned = {match[1] for match in matches if match is not None}
    stay = {"constant", "shared", "input"}
    declared = [each for each in statements if not each.is_slope and not each.value and not each.flags & stay]
    changed = [each for each in declared if each.name in assigned]
    for each in changed:
        if each.name in given:
            starts.setdefault(each.name, given.pop(each.name))
    others = [each for each in statements if each not in changed]
    return others + [replace(each, value="0", is_slope=True) for each in changed]


def _refractory_time(text: str) -> float | None:
    """Return the seconds of a refractory time such as "5*ms"; None for another text.

    Raises:
        NeurosimInputError: it is no time.
    """
    reader = EquationReader(())
    try:
        value = reader.expression(text, "refractory")
    except NeurosimInputError:
        return None
    if not reader.plain(value).is_number:
        return None
    check_unit(value, UNITS["s"], reader.known, "refractory")
    return float(reader.plain(value))


def _refractory_condition(text: str, reader: EquationReader) -> Any:
    read = reader.expression(text, "refractory")
    if not is_condition(read):
        rule = "must be a condition, such as 'v > -40*mV', or a time, such as '5*ms'"
        by_unit = "a time that differs between units is the parameter t_refractory"
        raise NeurosimInputError(f"equations.refractory: {rule} (got {text!r}); {by_unit}")
    return read


def _values(statements: Sequence[Statement], given: Mapping[str, float], *, waits: bool) -> dict[str, float]:
    """Return the parameters: those of the argument, and those that the text declares, at 0.

    Args:
        waits: a refractory time holds the variables that are marked.
    """
    values = dict(given)
    for each in statements:
        if not each.value and not each.is_slope and "input" not in each.flags:
            values.setdefault(each.name, 0.0)
    if waits and any("unless refractory" in each.flags for each in statements):
        values.setdefault("t_refractory", 0.0)
    return values


def _targets(receptors: Mapping[str, str] | None, model: _Model) -> dict[str, str]:
    if receptors is None:
        targets = {"input": model.states[0], **{name: name for name in model.inputs}}
    else:
        targets = dict(receptors)
    require(bool(targets), "equations.receptors", "must have at least one", 0)
    for receptor, variable in targets.items():
        require(receptor.isidentifier(), "equations.receptors", "must be names", receptor)
        lookup(dict.fromkeys((*model.states, *model.inputs)), variable, f"equations.receptors[{receptor!r}]")
    for name in model.inputs:
        ends = list(targets.values()).count(name)
        require(ends == 1, f"equations.receptors: {name}", "must be the end of one receptor", ends)
    return targets


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
