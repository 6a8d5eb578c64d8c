"""Classes of neurons written from equations, and made into modules."""

from __future__ import annotations

import importlib.abc
import importlib.util
import itertools
import linecache
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....base.errors import lookup, require
from ..base import Neuron
from .code import StepCode, plain
from .split import LinearPart, linear_part
from .text import Equation, expression, lines, read_equations, read_reset, read_threshold
from .units import check_unit, dimension, per_second, read_unit

HEADER = '''"""Written by neurosim.network.equations."""

import math
from dataclasses import dataclass

from neurosim.kernels.tools.elementary import exp
from neurosim.network.neurons.base import Neuron, hold_steps, propagator
from neurosim.network.neurons.by_unit import at


@dataclass(frozen=True)
class {name}(Neuron):
    """{doc}"""
'''
_NUMBERS = itertools.count()


def equations(
    text: str,
    *,
    threshold: str = "",
    reset: str = "",
    parameters: Mapping[str, float] | None = None,
    receptors: Mapping[str, str] | None = None,
    initial: Mapping[str, str | float] | None = None,
    units: Mapping[str, str] | None = None,
    positive: Sequence[str] = (),
    name: str = "Model",
) -> type[Neuron]:
    """Return a neuron model written from its equations.

    Variables whose slopes are linear in one another are integrated exactly, the rest by Heun's method, second order in
    dt. A step integrates, adds the weights that arrive, compares with the threshold, and resets; see `Neuron` for the
    grid. The class is like one written by hand: `print(Model.source)` shows the module to keep, and compiled code of a
    kept module is cached. Numbers, names, + - * / **, abs, cos, exp, log, sin, sqrt and tanh are understood.

        Model = equations(
            "dv/dt = (v_leak - v + r * i_offset) / tau_mem : V (unless refractory)",
            threshold="v > v_threshold",
            reset="v = v_reset",
            parameters={"tau_mem": 0.02, "v_leak": 0.0, "r": 1.0, "i_offset": 0.0, "v_threshold": 1.0, "v_reset": 0.0},
        )
        Population("cells", 100, Model(tau_mem=0.03))

    Args:
        text: differential equations, one a line. After a colon the unit of the variable; `(unless refractory)` holds
            it, against its slope and arriving weights, for the parameter `t_refractory` after a spike. Variables
            without it go on, but a model with this parameter fires no spike in that time, as in Brian2.
        threshold: `left > right`; "" for a model that never fires. A variable on its left is taken as no higher than
            its right inside a step of Heun's method, so that an upswing stays finite, except while no spike can follow.
        reset: assignments after a spike, in order: `v = v_reset; w += b`.
        parameters: their values, SI units; names follow the rules of `Neuron`. `i_offset` takes currents.
        receptors: the variable that a weight of each is added to; None: "input", to the first variable.
        initial: values to start from, numbers or expressions of parameters, 0 else.
        units: of parameters, such as "ohm" or "V / s"; what has a unit on all sides is checked.
        positive: receptors whose weights must be >= 0.
        name: of the class.

    Raises:
        NeurosimInputError: text that is not understood, an unknown name, units that do not fit.
        NeurosimMissingError: sympy is not installed.
    """
    values = dict(parameters or {})
    read = read_equations(text, values)
    if any(equation.held for equation in read):
        values.setdefault("t_refractory", 0.0)
    states = [equation.name for equation in read]
    names = (*states, *values)
    if receptors is None:
        arriving = {"input": states[0]}
    else:
        arriving = dict(receptors)
    require(bool(arriving), "equations.receptors", "must have at least one", 0)
    for receptor, variable in arriving.items():
        require(receptor.isidentifier(), "equations.receptors", "must be names", receptor)
        lookup(dict.fromkeys(states), variable, f"equations.receptors[{receptor!r}]")
    for receptor in positive:
        lookup(arriving, receptor, "equations.positive")
    require(name.isidentifier(), "equations.name", "must be a name of a class", name)
    parts = _Parts(
        equations=read,
        linear=linear_part(read),
        threshold=read_threshold(threshold, names) if threshold else None,
        reset=read_reset(reset, states, names),
        parameters=values,
        receptors=arriving,
        positive=tuple(positive),
        initial={
            state: expression(str((initial or {}).get(state, 0.0)), values, f"initial {state}") for state in states
        },
    )
    for state in initial or {}:
        lookup(dict.fromkeys(states), state, "equations.initial")
    _check_units(parts, units or {})
    shown = [*lines(text, "equations"), *([threshold + ": spike, then"] if threshold else []), *lines(reset, "reset")]
    return _class_of(HEADER.format(name=name, doc="\n    ".join(shown)) + _body(parts), name)


@dataclass(frozen=True)
class _Parts:
    equations: Sequence[Equation]
    linear: LinearPart
    threshold: tuple[Any, Any] | None
    reset: Sequence[tuple[str, Any]]
    parameters: Mapping[str, float]
    receptors: Mapping[str, str]
    positive: tuple[str, ...]
    initial: Mapping[str, Any]
    rest: Sequence[Equation] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rest", [e for e in self.equations if e.name not in self.linear.names])

    @property
    def rests(self) -> bool:
        """Return whether a spike is followed by a time without spikes, whatever is held in it."""
        return "t_refractory" in self.parameters

    @property
    def states(self) -> list[str]:
        return [*(equation.name for equation in self.equations), *(["refractory"] if self.rests else [])]


def _check_units(parts: _Parts, given: Mapping[str, str]) -> None:
    told = {**given, **{e.name: e.unit for e in parts.equations if e.unit is not None}}
    for each in told:
        lookup({**parts.parameters, **dict.fromkeys(parts.states)}, each, "equations.units")
    known = {each: read_unit(text, f"equations.units[{each!r}]") for each, text in told.items()}
    for equation in parts.equations:
        check_unit(equation.slope, per_second(known.get(equation.name)), known, f"d{equation.name}/dt")
    for state, value in parts.reset:
        check_unit(value, known.get(state), known, f"reset of {state}")
    if parts.threshold is not None:
        left, right = parts.threshold
        check_unit(right, dimension(left, known, "threshold"), known, "threshold")


def _body(parts: _Parts) -> str:
    step, constants = _step(parts)
    rows = [(*rates, constant) for rates, constant in zip(parts.linear.rates, parts.linear.constant, strict=True)]
    lists = [*([[plain(each) for each in row] for row in rows]), ["0.0"] * (len(rows) + 1)]
    held = [
        [("0.0" if name in parts.linear.held else each) for each in row]
        for name, row in zip(parts.linear.names, lists, strict=False)
    ]
    body = [f"{each}: float = {float(value)!r}" for each, value in parts.parameters.items()]
    body += [f"state = {_tuple(repr(each) for each in parts.states)}"]
    body += [f"receptors = {_tuple(repr(each) for each in parts.receptors)}"]
    body += [f"positive = {_tuple(repr(each) for each in parts.positive)}"] if parts.positive else []
    body += ["", "def initial(self):"]
    body += [
        f"    return {_tuple([*(plain(value) for value in parts.initial.values()), *(['0.0'] if parts.rests else [])])}"
    ]
    body += ["", "def constants(self, dt):"]
    if any("exact[" in each for each in constants):
        body += _indented(_call("exact", lists))
    if any("waiting[" in each for each in constants):
        body += _indented(_call("waiting", [*held, lists[-1]]))
    body += [
        "    return (",
        *(f"        {each},  # c{k}" for k, each in enumerate(constants)),
        "    )",
        "",
        "@staticmethod",
        "def step(state, inputs, c, spiked):",
        *_indented(step),
    ]
    return "".join(f"    {line}\n" if line else "\n" for line in body)


def _step(parts: _Parts) -> tuple[list[str], list[str]]:
    """Return the lines of `step`, and the code of its constants."""
    code = StepCode({each: each for each in parts.states})
    now = {equation.name: equation.name for equation in parts.equations}
    new = {each: f"{each}_new" for each in now}
    loop = [f"{each} = {each}_of[unit]" for each in now]
    if parts.rests:
        loop += ["wait = refractory_of[unit]"]
        if any(e.held for e in parts.rest):
            moving = f"zero if wait > zero else {code.constant('dt')}"
        else:
            moving = ""
        loop += [f"moving = {moving}"] if moving else []
    loop += [line for equation in parts.rest for line in _first_slope(equation, code, now)]
    for each in parts.linear.names:
        loop.append(f"{new[each]} = {_exact(parts.linear, each, code)}")
    loop += _ahead(parts, code, new)
    half = code.constant("0.5") if parts.rest else ""
    loop += [f"{new[e.name]} = {e.name} + {half} * (slope_{e.name} + end_{e.name})" for e in parts.rest]
    for number, variable in enumerate(parts.receptors.values()):
        loop.append(f"{new[variable]} += arriving_{number}[unit]")
    loop += [f"{new[e.name]} = {e.name} if wait > zero else {new[e.name]}" for e in parts.equations if e.held]
    loop += _fire(parts, code, new)
    loop += [f"{each}_of[unit] = {new[each]}" for each in now]
    head = [f"{_names([f'{each}_of' for each in parts.states])} = {_listed('state', len(parts.states))}"]
    arriving = [f"arriving_{k}" for k in range(len(parts.receptors))]
    head += [f"{_names(arriving)} = {_listed('inputs', len(arriving))}"]
    count = len(code.constants)
    for first in range(0, count, 10):
        some = range(first, min(first + 10, count))
        head.append(f"{_names([f'c{k}' for k in some])} = {_names([f'c[{k}]' for k in some])}")
    head += ["zero, one = c.dtype.type(0), c.dtype.type(1)", "for unit in range(spiked.size):"]
    return [*head, *_indented(loop)], code.constants


def _first_slope(equation: Equation, code: StepCode, now: Mapping[str, str]) -> list[str]:
    step = "moving" if equation.held else code.constant("dt")
    return [f"slope_{equation.name} = {step} * ({code.render(equation.slope, now)})"]


def _exact(linear: LinearPart, name: str, code: StepCode) -> str:
    """Return the exact step of a variable of the linear part."""
    row = linear.names.index(name)
    last = len(linear.names)

    def entry(column: int) -> str:
        free = code.constant(f"exact[{row}, {column}]")
        if linear.waits(name):
            return f"({code.constant(f'waiting[{row}, {column}]')} if wait > zero else {free})"
        return free

    terms = [f"{entry(linear.names.index(other))} * {other}" for other in linear.reaches(name)]
    return " + ".join([*terms, *([entry(last)] if linear.driven(name) else [])])


def _ahead(parts: _Parts, code: StepCode, new: Mapping[str, str]) -> list[str]:
    """Return the slopes at the end of a step, where Euler's method would lead."""
    found = []
    names = dict(new)
    for equation in parts.rest:
        names[equation.name] = f"{equation.name}_ahead"
        ahead = f"{equation.name} + slope_{equation.name}"
        if (
            parts.threshold is not None
            and str(parts.threshold[0]) == equation.name
            and not _moves(parts.threshold[1], new)
        ):
            bounded = f"min({ahead}, {code.render(parts.threshold[1], {})})"
            # While no spike can follow, a variable that is not held moves freely above the threshold.
            free = parts.rests and not equation.held
            if free:
                ahead = f"{ahead} if wait > zero else {bounded}"
            else:
                ahead = bounded
        found.append(f"{names[equation.name]} = {ahead}")
    for equation in parts.rest:
        step = "moving" if equation.held else code.constant("dt")
        found.append(f"end_{equation.name} = {step} * ({code.render(equation.slope, names)})")
    return found


def _moves(expression: Any, states: Mapping[str, str]) -> bool:
    return any(str(symbol) in states for symbol in expression.free_symbols)


def _fire(parts: _Parts, code: StepCode, new: Mapping[str, str]) -> list[str]:
    if parts.threshold is None:
        return ["spiked[unit] = 0"]
    left, right = (code.render(side, new) for side in parts.threshold)
    if parts.rests:
        limit = f"({code.constant('math.inf')} if wait > zero else {right})"
    else:
        limit = right
    found = [f"fired = {left} > {limit}"]
    found += [f"{new[state]} = {code.render(value, new)} if fired else {new[state]}" for state, value in parts.reset]
    if parts.rests:
        hold = code.constant("hold_steps(self.t_refractory, dt)")
        found.append(f"refractory_of[unit] = {hold} if fired else max(wait - one, zero)")
    return [*found, "spiked[unit] = fired"]


def _names(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names) + ("," if len(names) == 1 else "")


def _listed(array: str, count: int) -> str:
    return _names([f"{array}[{k}]" for k in range(count)])


def _tuple(items: Any) -> str:
    listed = list(items)
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"


def _call(name: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines that compute the exact step of x' = rates x + constant: the constant as one more variable."""
    return [f"{name} = propagator(", "    (", *(f"        {_tuple(row)}," for row in rows), "    ),", "    dt,", ")"]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class _SourceLoader(importlib.abc.InspectLoader):
    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source


def _class_of(source: str, name: str) -> type[Neuron]:
    """Return the class of a module that was written here: its text holds checked names, numbers and operators only."""
    label = f"neurosim_equations_{next(_NUMBERS)}"
    spec = importlib.util.spec_from_loader(label, _SourceLoader(source), origin=f"<{label}>")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module  # dataclasses look it up
    linecache.cache[f"<{label}>"] = (len(source), None, source.splitlines(keepends=True), f"<{label}>")
    spec.loader.exec_module(module)
    made: type[Neuron] = getattr(module, name)
    made.source = source  # type: ignore[attr-defined]
    return made
