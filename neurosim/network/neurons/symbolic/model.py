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
from .methods import check_method
from .model_text import ModelText
from .parts import EquationParts
from .source import module_text
from .statements import ASSIGNMENT, Statement, lines, read_statements
from .text import EquationReader, is_condition, read_reset
from .units import UNITS, Dimension, check_unit, dimension

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
    model = ModelText(statements, values, dict(timed or {}))
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


def _read_firing(model: ModelText, threshold: str, refractory: str, reset: str) -> _Firing:
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


def _targets(receptors: Mapping[str, str] | None, model: ModelText) -> dict[str, str]:
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
