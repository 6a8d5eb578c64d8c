"""Classes of neurons written from equations, and compiled as modules."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import linecache
import sys
from collections.abc import Iterable, Mapping, Sequence
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

import numpy as np

from neurosim.kernels.tools.elementary import exp
from neurosim.network.neurons.base import Neuron, hold_steps, propagator
from neurosim.network.neurons.by_unit import at


@dataclass(frozen=True)
class {name}(Neuron):
    """{doc}"""
'''
HOLD = "hold_steps(self.t_refractory, dt)"
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
        units: of parameters, such as "ohm" or "V / s"; equations whose names all have units are checked.
        positive: receptors whose weights must be >= 0.
        name: of the class.

    Raises:
        NeurosimInputError: text that is not understood, an unknown name, units that do not fit.
        NeurosimMissingError: sympy is not installed.
    """
    values = dict(parameters or {})
    parsed = read_equations(text, values)
    if any(equation.held for equation in parsed):
        values.setdefault("t_refractory", 0.0)
    states = [equation.name for equation in parsed]
    names = (*states, *values)
    if receptors is None:
        targets = {"input": states[0]}
    else:
        targets = dict(receptors)
    require(bool(targets), "equations.receptors", "must have at least one", 0)
    for receptor, variable in targets.items():
        require(receptor.isidentifier(), "equations.receptors", "must be names", receptor)
        lookup(dict.fromkeys(states), variable, f"equations.receptors[{receptor!r}]")
    for receptor in positive:
        lookup(targets, receptor, "equations.positive")
    require(name.isidentifier(), "equations.name", "must be a name of a class", name)
    starts = dict(initial or {})
    parts = _Parts(
        equations=parsed,
        linear=linear_part(parsed),
        threshold=read_threshold(threshold, names) if threshold else None,
        reset=read_reset(reset, states, names),
        parameters=values,
        receptors=targets,
        positive=tuple(positive),
        initial={state: expression(str(starts.get(state, 0.0)), values, f"initial {state}") for state in states},
    )
    for state in starts:
        lookup(dict.fromkeys(states), state, "equations.initial")
    _check_units(parts, units or {})
    # The docstring of the class: the equations as they were given, threshold and reset.
    doc = lines(text, "equations")
    if threshold:
        doc.append(f"{threshold}: spike, then")
    doc += lines(reset, "reset")
    return _class_of(HEADER.format(name=name, doc="\n    ".join(doc)) + _body(parts), name)


@dataclass(frozen=True)
class _Parts:
    """Parsed arguments of `equations`; `rest` are the equations that Heun's method integrates."""

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
        """Return whether a refractory time follows a spike; variables that are not held move on in it."""
        return "t_refractory" in self.parameters

    @property
    def states(self) -> list[str]:
        names = [equation.name for equation in self.equations]
        if self.rests:
            names.append("refractory")
        return names


def _check_units(parts: _Parts, units: Mapping[str, str]) -> None:
    texts = {**units, **{e.name: e.unit for e in parts.equations if e.unit is not None}}
    for name in texts:
        lookup({**parts.parameters, **dict.fromkeys(parts.states)}, name, "equations.units")
    known = {name: read_unit(text, f"equations.units[{name!r}]") for name, text in texts.items()}
    for equation in parts.equations:
        check_unit(equation.slope, per_second(known.get(equation.name)), known, f"d{equation.name}/dt")
    for state, value in parts.reset:
        check_unit(value, known.get(state), known, f"reset of {state}")
    if parts.threshold is not None:
        left, right = parts.threshold
        check_unit(right, dimension(left, known, "threshold"), known, "threshold")


def _body(parts: _Parts) -> str:
    """Return the body of the class: parameters, names, `initial`, `constants` and `step`."""
    code = StepCode({each: each for each in parts.states})
    step = _step(parts, code)
    quiet = _quiet(parts, code)
    constants = code.constants
    # Rows of the matrix of x' = rates x + constant, with the constant 1 as the last variable, whose slope is 0. While
    # the neuron is refractory ("waiting") the rows of held variables are 0.
    exact = []
    waiting = []
    for name, rates, constant in zip(parts.linear.names, parts.linear.rates, parts.linear.constant, strict=True):
        row = [plain(each) for each in (*rates, constant)]
        exact.append(row)
        waiting.append(["0.0"] * len(row) if name in parts.linear.held else row)
    last = ["0.0"] * (len(exact) + 1)
    initial = [plain(value) for value in parts.initial.values()]
    if parts.rests:
        initial.append("0.0")
    body = [f"{name}: float = {float(value)!r}" for name, value in parts.parameters.items()]
    body.append(f"state = {_tuple(map(repr, parts.states))}")
    body.append(f"receptors = {_tuple(map(repr, parts.receptors))}")
    if parts.positive:
        body.append(f"positive = {_tuple(map(repr, parts.positive))}")
    body += ["", "def initial(self):", f"    return {_tuple(initial)}"]
    body += ["", "def constants(self, dt):"]
    if any("exact[" in each for each in constants):
        body += _indented(_call("exact", [*exact, last]))
    if any("waiting[" in each for each in constants):
        body += _indented(_call("waiting", [*waiting, last]))
    body += [
        "    return (",
        *(f"        {each},  # c{k}" for k, each in enumerate(constants)),
        "    )",
        "",
        "@staticmethod",
        "def step(state, inputs, c, spiked):",
        *_indented(_head(parts, code)),
        *_indented(step),
    ]
    if quiet:
        body += ["", "@staticmethod", "def quiet(state, inputs, c, spiked):"]
        body += _indented([*_head(parts, code, arriving=False), *quiet])
    return "".join(f"    {line}\n" if line else "\n" for line in body)


def _step(parts: _Parts, code: StepCode) -> list[str]:
    """Return the loop of `step`."""
    now = {equation.name: equation.name for equation in parts.equations}
    new = {each: f"{each}_new" for each in now}
    loop = [f"{each} = {each}_of[unit]" for each in now]
    if parts.rests:
        loop.append("wait = refractory_of[unit]")
        if any(e.held for e in parts.rest):
            loop.append(f"moving = zero if wait > zero else {code.constant('dt')}")
    loop += _integrate(parts, code, now, new, waits=parts.rests)
    for number, variable in enumerate(parts.receptors.values()):
        loop.append(f"{new[variable]} += arriving_{number}[unit]")
    loop += [f"{new[e.name]} = {e.name} if wait > zero else {new[e.name]}" for e in parts.equations if e.held]
    loop += _fire(parts, code, new)
    loop += [f"{each}_of[unit] = {new[each]}" for each in now]
    return ["for unit in range(spiked.size):", *_indented(loop)]


def _quiet(parts: _Parts, code: StepCode) -> list[str]:
    """Return the loops of `quiet`: of the step where nothing is refractory or arrives, and of the resets, if any."""
    if not parts.rests or parts.threshold is None:
        return []
    now = {equation.name: equation.name for equation in parts.equations}
    new = {each: f"{each}_new" for each in now}
    loop = [f"{each} = {each}_of[unit]" for each in now]
    if any(e.held for e in parts.rest):
        loop.append(f"moving = {code.constant('dt')}")
    loop += _integrate(parts, code, now, new, waits=False)
    # As in `step`, where a zero that arrives makes 0 of -0.
    loop += [f"{new[variable]} += zero" for variable in parts.receptors.values()]
    left, right = (code.render(side, new) for side in parts.threshold)
    loop += [f"fired = {left} > {right}", "spiked[unit] = fired", "spikes = np.uint8(spikes | spiked[unit])"]
    loop += [f"{each}_of[unit] = {new[each]}" for each in now]
    again = [f"{new[each]} = {each}_of[unit]" for each in now]
    again += [f"{new[state]} = {code.render(value, new)}" for state, value in parts.reset]
    again += [f"{each}_of[unit] = {new[each]}" for each in now]
    again.append(f"refractory_of[unit] = {code.constant(HOLD)}")
    return [
        "spikes = np.uint8(0)",
        "for unit in range(spiked.size):",
        *_indented(loop),
        "if spikes:",
        "    for unit in range(spiked.size):",
        "        if spiked[unit]:",
        *_indented(_indented(_indented(again))),
    ]


def _head(parts: _Parts, code: StepCode, *, arriving: bool = True) -> list[str]:
    """Return the lines that name the rows of state and inputs, and the constants."""
    head = [f"{_names([f'{each}_of' for each in parts.states])} = {_listed('state', len(parts.states))}"]
    if arriving:
        rows = [f"arriving_{k}" for k in range(len(parts.receptors))]
        head.append(f"{_names(rows)} = {_listed('inputs', len(rows))}")
    count = len(code.constants)
    for first in range(0, count, 10):
        numbers = range(first, min(first + 10, count))
        head.append(f"{_names([f'c{k}' for k in numbers])} = {_names([f'c[{k}]' for k in numbers])}")
    return [*head, "zero, one = c.dtype.type(0), c.dtype.type(1)"]


def _integrate(
    parts: _Parts, code: StepCode, now: Mapping[str, str], new: Mapping[str, str], *, waits: bool
) -> list[str]:
    """Return the lines that lead the variables over a step.

    waits: a neuron may be refractory, which `wait` says.
    """
    # Heun's method: slopes at the start, an Euler step, slopes at its end, and the mean of both.
    loop = [_first_slope(equation, code, now) for equation in parts.rest]
    for each in parts.linear.names:
        loop.append(f"{new[each]} = {_exact(parts.linear, each, code, waits=waits)}")
    loop += _ahead(parts, code, new, waits=waits)
    half = code.constant("0.5") if parts.rest else ""
    return loop + [f"{new[e.name]} = {e.name} + {half} * (slope_{e.name} + end_{e.name})" for e in parts.rest]


def _first_slope(equation: Equation, code: StepCode, now: Mapping[str, str]) -> str:
    """Return the line of the slope at the start of a step, times dt."""
    step = "moving" if equation.held else code.constant("dt")
    return f"slope_{equation.name} = {step} * ({code.render(equation.slope, now)})"


def _exact(linear: LinearPart, name: str, code: StepCode, *, waits: bool) -> str:
    """Return the exact step of a variable of the linear part."""
    row = linear.names.index(name)
    last = len(linear.names)

    def entry(column: int) -> str:
        free = code.constant(f"exact[{row}, {column}]")
        if waits and linear.waits(name):
            return f"({code.constant(f'waiting[{row}, {column}]')} if wait > zero else {free})"
        return free

    terms = [f"{entry(linear.names.index(other))} * {other}" for other in linear.reaches(name)]
    if linear.driven(name):
        terms.append(entry(last))
    return " + ".join(terms)


def _ahead(parts: _Parts, code: StepCode, new: Mapping[str, str], *, waits: bool) -> list[str]:
    """Return the lines of the slopes at the end of a step of Euler's method."""
    body = []
    names = dict(new)
    # A variable on the left of the threshold is bounded by the right side, where that does not change in a step.
    bounded_variable = ""
    if parts.threshold is not None and not _moves(parts.threshold[1], new):
        bounded_variable = str(parts.threshold[0])
    for equation in parts.rest:
        names[equation.name] = f"{equation.name}_ahead"
        ahead = f"{equation.name} + slope_{equation.name}"
        if parts.threshold is not None and equation.name == bounded_variable:
            bounded = f"min({ahead}, {code.render(parts.threshold[1], {})})"
            # While no spike can follow, a variable that is not held moves freely above the threshold.
            if waits and not equation.held:
                ahead = f"{ahead} if wait > zero else {bounded}"
            else:
                ahead = bounded
        body.append(f"{names[equation.name]} = {ahead}")
    for equation in parts.rest:
        step = "moving" if equation.held else code.constant("dt")
        body.append(f"end_{equation.name} = {step} * ({code.render(equation.slope, names)})")
    return body


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
    body = [f"fired = {left} > {limit}"]
    body += [f"{new[state]} = {code.render(value, new)} if fired else {new[state]}" for state, value in parts.reset]
    if parts.rests:
        hold = code.constant(HOLD)
        body.append(f"refractory_of[unit] = {hold} if fired else max(wait - one, zero)")
    return [*body, "spiked[unit] = fired"]


def _names(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names) + ("," if len(names) == 1 else "")


def _listed(array: str, count: int) -> str:
    return _names([f"{array}[{k}]" for k in range(count)])


def _tuple(items: Iterable[str]) -> str:
    return f"({_names(list(items))})"


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
    loader = _SourceLoader(source)
    spec = importlib.machinery.ModuleSpec(label, loader, origin=f"<{label}>")
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module  # dataclasses look it up
    linecache.cache[f"<{label}>"] = (len(source), None, source.splitlines(keepends=True), f"<{label}>")
    loader.exec_module(module)
    model: type[Neuron] = getattr(module, name)
    model.source = source  # type: ignore[attr-defined]
    return model
