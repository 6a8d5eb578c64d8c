"""Classes of synapses written from equations: variables, and what spikes and time do to them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ...base.errors import require
from ..neurons.symbolic.loading import class_of
from ..neurons.symbolic.methods import check_method
from ..neurons.symbolic.statements import lines, read_statements
from ..neurons.symbolic.step import indented, tuple_of
from .synapse import SynapseModel
from .synapse_text import LEVELS, SynapseCode, SynapseText, propagated

HEADER = '''"""Written by neurosim.network.plasticity.equations.synapse_equations."""

import math
from dataclasses import dataclass

import numpy as np

from neurosim.kernels.engine.clocked import plastic
from neurosim.kernels.tools.elementary import exp, exprel
from neurosim.kernels.tools.pointers import matrix, vector
from neurosim.network.neurons.base import propagator
from neurosim.network.neurons.timed import steps_per_second
from neurosim.network.plasticity.synapse import SynapseModel


@dataclass(frozen=True)
class {name}(SynapseModel):
    """{doc}"""
'''


if TYPE_CHECKING:
    # A type checker does not know the parameters of a class that is written while the program runs.

    class WrittenSynapses(SynapseModel):
        """Synapses of `synapse_equations`."""

        source: ClassVar[str]

        def __init__(self, **parameters: float) -> None: ...

else:
    WrittenSynapses = SynapseModel


def synapse_equations(
    text: str,
    *,
    on_pre: str = "input += w",
    on_post: str = "",
    parameters: Mapping[str, float] | None = None,
    initial: Mapping[str, float] | None = None,
    units: Mapping[str, str] | None = None,
    method: str | None = None,
    name: str = "SynapticModel",
) -> type[WrittenSynapses]:
    """Return a model of synapses written from its equations, for `Projection.plasticity`.

        Pair = synapse_equations(
            '''
            dApre/dt = -Apre / tau_pre : 1 (event-driven)
            dApost/dt = -Apost / tau_post : 1 (event-driven)
            ''',
            on_pre="input += w; Apre += 0.01; w = clip(w + Apost, 0, w_top)",
            on_post="Apost -= 0.0105; w = clip(w + Apre, 0, w_top)",
            parameters={"tau_pre": 0.02, "tau_post": 0.02, "w_top": 1.0},
        )
        Projection("input", "cells", AllToAll(), 0.5, plasticity=Pair())

    Args:
        text: `dx/dt = ... (event-driven)` is a variable of a synapse that is brought up to date, exactly, when a spike
            reaches it; slopes must be linear in such variables. `(clock-driven)` moves in every step. `x : unit` is a
            variable that only spikes change, `x : unit (constant)` a parameter, `x = ...` a name for an expression.
            `input = ... (summed)` is added to the receptor of the target in every step. `w`, the weight of the
            projection, may have an equation, too. Names that end in `_post` are states of the target.
        on_pre: assignments when a spike of the source arrives, in order; `input += w` adds to the receptor of the
            target. Names that are assigned first here hold for the rest of it.
        on_post: assignments when the target fires.
        parameters: their values, SI units.
        initial: values to start from, numbers, 0 else; that of `w` is the weight of the projection.
        units: of parameters and states of the target, where expressions are to be checked.
        method: of clock-driven variables, as in `equations`.
        name: of the class.

    Raises:
        NeurosimInputError: text that is not understood, an unknown name, units that do not fit.
        NeurosimMissingError: sympy is not installed.
    """
    require(name.isidentifier(), "synapse_equations.name", "must be a name of a class", name)
    texts = "\n".join((text, on_pre, on_post))
    synapse = SynapseText(read_statements(text, "synapse_equations"), parameters or {}, texts)
    known = synapse.check_units(units or {})
    check_method(method, synapse.clocked)
    code = SynapseCode()
    clock = synapse.clock_lines(code, method)
    arrival = synapse.event_lines(code, on_pre, "on_pre", known)
    spike = synapse.event_lines(code, on_post, "on_post", known)
    starts = dict(initial or {})
    for each in starts:
        require(each in synapse.variables, "synapse_equations.initial", "must name variables", each)
    doc = [*lines(text, "synapse_equations"), "arrival: " + "; ".join(lines(on_pre, "on_pre"))]
    doc.append("spike of the target: " + "; ".join(lines(on_post, "on_post")))
    wrapped = "\n    ".join(piece for line in doc for piece in textwrap.wrap(line, 110))
    values = [float(starts.get(each, 0.0)) for each in synapse.variables]
    body = _body(synapse, code, values, clock, arrival, spike, has_post=bool(on_post))
    return class_of(HEADER.format(name=name, doc=wrapped) + body, name)


def _body(
    synapse: SynapseText,
    code: SynapseCode,
    initial: Sequence[float],
    clock: Sequence[str],
    arrival: Sequence[str],
    spike: Sequence[str],
    *,
    has_post: bool,
) -> str:
    """Return the body of the class."""
    count = len(code.constants)
    total = count + LEVELS * synapse.stride
    columns = len(synapse.variables) + 1
    head = [
        "step = context[plastic.STEP]",
        "weights = vector(entry[plastic.WEIGHTS], entry[plastic.SYNAPSES], sums.dtype.type(0))",
        f"x = matrix(entry[plastic.VARIABLES], entry[plastic.SYNAPSES], {columns}, 0.0)",
        f"c = vector(entry[plastic.NUMBERS], {total + len(synapse.reads)}, 0.0)",
        "line = sums[entry[plastic.RECEPTOR]]",
        "zero, one = 0.0, 1.0",
        "step_number = float(step)",
        _time_line(code) if _names_time([*clock, *arrival, *spike]) else "t = 0.0",
    ]
    # The line of t has added a constant: sizes and places behind it are others, so all lines are written again.
    if len(code.constants) > count:
        return _body(synapse, code, initial, clock, arrival, spike, has_post=has_post)
    pre = _pre_lines(head, clock, arrival)
    post = _post_lines(head, spike)
    body = [f"{name}: float = {float(value)!r}" for name, value in synapse.values.items()]
    body += [f"variables = {tuple_of(map(repr, synapse.variables))}", f"reads = {tuple_of(map(repr, synapse.reads))}"]
    body += ["", "def initial(self):", f"    return {tuple_of(map(repr, initial))}"]
    body += ["", "def constants(self, dt):"]
    # These constants are entries of the propagator of one step.
    if any("exact[" in each for each in code.constants):
        body += indented(propagated("exact", synapse.steady, "dt"))
    body += [*indented(synapse.powers()), "    return ("]
    body += [*(f"        {each},  # c[{k}]" for k, each in enumerate(code.constants)), "        *powers,", "    )"]
    arguments = "(entry, context, log, log_offsets, sums)"
    for function, written in (("on_pre", pre), ("on_post", post)):
        if function == "on_pre" or has_post:
            body += ["", "@staticmethod", f"def {function}{arguments}:", *indented(written)]
    # Constants are counted only after all lines were written, which name them by these words.
    text = "".join(f"    {each}\n" if each else "\n" for each in body)
    return text.replace("POWERS", str(count)).replace("READS", str(total))


def _pre_lines(head: Sequence[str], clock: Sequence[str], arrival: Sequence[str]) -> list[str]:
    """Return the lines of `on_pre`: clock-driven variables move, then spikes of the sources arrive."""
    per_block = "row = line[b * (context[plastic.BLOCK_SLOTS] - context[plastic.PART]) + context[plastic.OFFSET] :]"
    pre = [*head, "sources = entry[plastic.SOURCES]"]
    pre += ["cuts = matrix(entry[plastic.CUTS], sources, entry[plastic.CUT_COLUMNS], np.int64(0))"]
    pre += ["targets = vector(entry[plastic.UNITS], entry[plastic.SYNAPSES], np.uint32(0))"]
    pre += ["first = context[plastic.FIRST]", "last = context[plastic.LAST]", "here = entry[plastic.CUT_BLOCK]"]
    pre += ["plastic.begin_step(entry, context, log_offsets, sums.dtype.type(0))"]
    # The synapses of source i onto block b lie together, between two cuts.
    loop = ["for s in range(cuts[i, b - here], cuts[i, b - here + 1]):", "    j = targets[s]"]
    # Clock-driven variables of all synapses move before anything arrives.
    if clock:
        pre += ["for i in range(sources):", "    for b in range(first, last):", f"        {per_block}"]
        pre += indented(indented([*loop, *indented(clock)]))
    if arrival:
        pre += [
            "if step - entry[plastic.DELAY] < context[plastic.LOG_START]:",
            "    return",
            "at = plastic.place_in_log(entry, context)",
            "for home in range(entry[plastic.SOURCE_BEGIN], entry[plastic.SOURCE_END]):",
            "    for f in range(log_offsets[home, at], log_offsets[home, at + 1]):",
            "        i = log[home, f]",
            "        for b in range(first, last):",
            f"            {per_block}",
            *indented(indented(indented([*loop, *indented(arrival)]))),
        ]
    return pre


def _post_lines(head: Sequence[str], spike: Sequence[str]) -> list[str]:
    """Return the lines of `on_post`: for each target that fires, its synapses in turn."""
    post = [*head, "offsets = vector(entry[plastic.IN_OFFSETS], entry[plastic.TARGETS] + 1, np.int64(0))"]
    post += ["incoming = vector(entry[plastic.IN_SYNAPSES], entry[plastic.SYNAPSES], np.uint32(0))"]
    post += ["for f in range(context[plastic.FIRST], context[plastic.LAST]):", "    j = log[0, f]"]
    post += ["    for k in range(offsets[j], offsets[j + 1]):", "        s = incoming[k]", *indented(indented(spike))]
    return post


def _time_line(code: SynapseCode) -> str:
    return f"t = step_number / {code.constant('steps_per_second(dt)')}"


def _names_time(body: Sequence[str]) -> bool:
    return any(re.search(r"\bt\b", line) for line in body)
