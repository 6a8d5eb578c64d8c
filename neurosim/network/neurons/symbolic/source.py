"""The text of a module with a class of neurons, from the parts of its equations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..timed import TimedArray
from .code import StepCode, plain
from .parts import EquationParts
from .split import LinearPart
from .step import head, indented, quiet_lines, step_lines, tuple_of

HEADER = '''"""Written by neurosim.network.equations."""

import math
from dataclasses import dataclass

import numpy as np

from neurosim.kernels.tools.elementary import exp, exprel, widest_vectors
from neurosim.network.neurons.base import Drive, Neuron, hold_steps, propagator
from neurosim.network.neurons.by_unit import at
from neurosim.network.neurons.timed import entry_at, steps_of_entry, steps_per_second
{arrays}

@dataclass(frozen=True)
class {name}(Neuron):
    """{doc}"""
'''


def module_text(parts: EquationParts, name: str, doc: Sequence[str]) -> str:
    """Return the text of a module with the class `name`.

    Args:
        doc: lines of its docstring; long ones are wrapped.
    """
    wrapped = [piece for line in doc for piece in textwrap.wrap(line, 110)]
    arrays = "".join(_array(label, each) for label, each in parts.timed.items())
    return HEADER.format(name=name, doc="\n    ".join(wrapped), arrays=arrays) + _body(parts)


def _array(label: str, timed: TimedArray) -> str:
    """Return the lines of a module that hold the values of a timed array."""
    body = textwrap.wrap(", ".join(map(repr, timed.values.reshape(-1).tolist())), 110)
    shape = ", ".join(map(str, timed.values.shape))
    return "\n".join(
        [
            "",
            f"{label}_values = np.array(",
            "    [",
            *(f"        {line}" for line in body),
            "    ]",
            f").reshape({shape})",
            "",
        ]
    )


def _body(parts: EquationParts) -> str:
    """Return the body of the class: parameters, names, `initial`, `constants` and `step`."""
    code = StepCode()
    # These two say which constants a step needs: they come before the lines of `constants`.
    step = step_lines(parts, code)
    quiet = quiet_lines(parts, code)
    initial = [plain(value) for value in parts.initial.values()]
    if parts.rests:
        initial.append("0.0")
    body = [
        *_attributes(parts),
        "",
        "def initial(self):",
        f"    return {tuple_of(initial)}",
        "",
        "def constants(self, dt):",
        *indented(_constants(parts.linear, code.constants)),
        "",
        "@staticmethod",
        "def step(state, inputs, c, spiked):",
        *indented(head(parts, code)),
        *indented(step),
    ]
    if quiet:
        body += ["", "@staticmethod", "def quiet(state, inputs, c, spiked):"]
        body += indented([*head(parts, code, arriving=False), *quiet])
    return "".join(f"    {line}\n" if line else "\n" for line in body)


def _attributes(parts: EquationParts) -> list[str]:
    """Return the lines of the parameters, and of the names of state and input."""
    body = [f"{name}: float = {float(value)!r}" for name, value in parts.parameters.items()]
    body.append(f"state = {tuple_of(map(repr, parts.states))}")
    body.append(f"receptors = {tuple_of(map(repr, parts.receptors))}")
    if parts.positive:
        body.append(f"positive = {tuple_of(map(repr, parts.positive))}")
    if parts.drives:
        body += ["drives = (", *(f"    Drive{tuple(drive)!r}," for drive in parts.drives.values()), ")"]
    return body


def _constants(linear: LinearPart, constants: Sequence[str]) -> list[str]:
    """Return the lines that compute the constants of a step: the matrices that they read entries of, then all of them.

    Rows of a matrix are those of x' = rates x + constant. The values that stay in a step, and the constant 1, are
    further variables whose slopes are 0. While the neuron is refractory ("waiting") the rows of held variables are 0.
    """
    exact = []
    waiting = []
    for name, rates, constant in zip(linear.names, linear.rates, linear.constant, strict=True):
        row = [plain(each) for each in (*rates, constant)]
        exact.append(row)
        waiting.append(["0.0"] * len(row) if name in linear.held else row)
    last = [["0.0"] * (len(linear.columns) + 1)] * (len(linear.steady) + 1)
    body = []
    if any("exact[" in each for each in constants):
        body += _call("exact", [*exact, *last])
    if any("waiting[" in each for each in constants):
        body += _call("waiting", [*waiting, *last])
    return [*body, "return (", *(f"    {each},  # c{k}" for k, each in enumerate(constants)), ")"]


def _call(name: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines that compute the exact step of x' = rates x + constant: the constant as one more variable."""
    return [f"{name} = propagator(", "    (", *(f"        {tuple_of(row)}," for row in rows), "    ),", "    dt,", ")"]
