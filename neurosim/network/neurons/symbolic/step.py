"""The loops of `step` and `quiet` of a model written from equations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .code import StepCode
from .methods import integrate
from .parts import EquationParts
from .text import STEP, library, symbol

HOLD = "hold_steps(self.t_refractory, dt)"
# Variables that a step has besides the states.
LOCALS = (
    "at",
    "c",
    "c_",
    "exp",
    "exprel",
    "fired",
    "inputs",
    "jolt",
    "math",
    "moving",
    "np",
    "one",
    "spiked",
    "spikes",
    "stays",
    "step_number",
    "t_half",
)
ENDINGS = ("_of", "_new", "_ahead", "_end")
BEGINNINGS = ("slope_", "end_", "kick_", "arriving_", "drive_", "part_", "at_")


def local_name(name: str) -> str:
    """Return the variable of a step that holds a state: its name, unless the step itself uses that."""
    taken = name in LOCALS or name.endswith(ENDINGS) or name.startswith(BEGINNINGS) or name in ("unit", "wait", "zero")
    is_constant = name[0] == "c" and name[1:].isdigit()
    return f"{name}_" if taken or is_constant else name


def step_lines(parts: EquationParts, code: StepCode) -> list[str]:
    """Return the body of `step`, without its head."""
    now, new = _variables(parts)
    loop = [f"{now[name]} = {name}_of[unit]" for name in _of(parts)]
    loop += _given(parts, code, now)
    if parts.rests:
        loop.append("wait = refractory_of[unit]")
        if any(e.held for e in parts.rest):
            loop.append(f"moving = zero if wait > zero else {code.constant('dt')}")
    loop += integrate(parts, code, now, new, waits=parts.rests)
    for number, variable in enumerate(parts.receptors.values()):
        if variable not in parts.inputs:
            loop.append(f"{new[variable]} += arriving_{number}[unit]")
    loop += [f"{new[e.name]} = {now[e.name]} if wait > zero else {new[e.name]}" for e in parts.equations if e.held]
    loop += _fire(parts, code, {**now, **new})
    loop += [f"{name}_of[unit] = {new[name]}" for name in _of(parts)]
    return ["widest_vectors()", "for unit in range(spiked.size):", *indented(loop)]


def quiet_lines(parts: EquationParts, code: StepCode) -> list[str]:
    """Return the body of `quiet`: of the step where nothing is refractory or arrives, and of the resets, if any."""
    is_plain = parts.refractory is None and parts.over is not None and not parts.drives and not parts.inputs
    is_plain = is_plain and not parts.frozen
    if not parts.rests or not is_plain or parts.over is None:
        return []
    now, new = _variables(parts)
    loop = [f"{now[name]} = {name}_of[unit]" for name in _of(parts)]
    if any(e.held for e in parts.rest):
        loop.append(f"moving = {code.constant('dt')}")
    loop += integrate(parts, code, now, new, waits=False)
    # As in `step`, where a zero that arrives makes 0 of -0.
    loop += [f"{new[variable]} += zero" for variable in parts.receptors.values()]
    left, right = (code.render(side, new) for side in parts.over)
    loop += [f"fired = {left} > {right}", "spiked[unit] = fired", "spikes = np.uint8(spikes | spiked[unit])"]
    loop += [f"{name}_of[unit] = {new[name]}" for name in _of(parts)]
    again = [f"{new[name]} = {name}_of[unit]" for name in _of(parts)]
    again += [f"{new[state]} = {code.render(value, new)}" for state, value in parts.reset]
    again += [f"{name}_of[unit] = {new[name]}" for name in _of(parts)]
    again.append(f"refractory_of[unit] = {code.constant(HOLD)}")
    return [
        "spikes = np.uint8(0)",
        "widest_vectors()",
        "for unit in range(spiked.size):",
        *indented(loop),
        "if spikes:",
        "    for unit in range(spiked.size):",
        "        if spiked[unit]:",
        *indented(indented(indented(again))),
    ]


def head(parts: EquationParts, code: StepCode, *, arriving: bool = True) -> list[str]:
    """Return the lines that name the rows of state and inputs, and the constants."""
    lines = _listed([f"{each}_of" for each in parts.states], "state")
    if arriving:
        rows = [f"arriving_{k}" for k in range(len(parts.receptors))] + [f"drive_{name}" for name in parts.drives]
        lines += _listed(rows, "inputs")
    lines += _listed([f"c{k}" for k in range(len(code.constants))], "c")
    return [*lines, "zero, one = c.dtype.type(0), c.dtype.type(1)"]


def _of(parts: EquationParts) -> list[str]:
    return [equation.name for equation in parts.equations]


def _variables(parts: EquationParts) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables at the start of a step and at its end, by name of state; at the start all others, too."""
    states = {name: local_name(name) for name in _of(parts)}
    new = {name: f"{name}_new" for name in states}
    others = [*parts.inputs, *parts.drives, *parts.lookups, *parts.frozen]
    now = {**states, **{name: local_name(name) for name in others}}
    if "t" in parts.drives:
        now[STEP] = STEP
    return now, new


def _given(parts: EquationParts, code: StepCode, now: Mapping[str, str]) -> list[str]:
    """Return the lines that read inputs, time, random numbers, timed arrays and what stays over the step."""
    body = []
    rows = {variable: number for number, variable in enumerate(parts.receptors.values())}
    body += [f"{now[name]} = arriving_{rows[name]}[unit]" for name in parts.inputs]
    body += [f"{now[name]} = drive_{name}[unit]" for name, drive in parts.drives.items() if drive.kind != "step"]
    if "t" in parts.drives:
        body += ["step_number = drive_t[unit]", f"t = step_number / {code.constant('steps_per_second(dt)')}"]
    for name, lookup in parts.lookups.items():
        # Counted in steps from the present one, so that a multiple of the clock is met exactly.
        ahead = library().expand((lookup.time - symbol("t")) / symbol("dt"))
        place = "step_number" if ahead == 0 else f"step_number + {code.render(ahead, now)}"
        per_entry = code.constant(f"steps_of_entry({parts.timed[lookup.array].interval!r}, dt)")
        values = f"{lookup.array}_values"
        entry = f"{values}[entry_at({place}, {per_entry}, {values}.shape[0])"
        if lookup.unit is not None:
            entry += f", min(max(int({code.render(lookup.unit, now)}), 0), {values}.shape[1] - 1)"
        body.append(f"{now[name]} = c.dtype.type({entry}])")
    body += [f"{now[name]} = {code.render(value, now)}" for name, value in parts.frozen.items()]
    return body


def _fire(parts: EquationParts, code: StepCode, new: Mapping[str, str]) -> list[str]:
    """Return the lines that compare with the threshold, reset, and begin the refractory time."""
    if parts.threshold is None:
        return ["spiked[unit] = 0"]
    if parts.over is not None:
        left, right = (code.render(side, new) for side in parts.over)
        if parts.rests:
            right = f"({code.constant('math.inf')} if wait > zero else {right})"
        body = [f"fired = {left} > {right}"]
    else:
        condition = code.condition(parts.threshold, new)
        if parts.rests:
            condition = f"({condition}) & (wait <= zero)"
        body = [f"fired = {condition}"]
    body += [f"{new[state]} = {code.render(value, new)} if fired else {new[state]}" for state, value in parts.reset]
    if parts.refractory is not None:
        # Until the condition no longer holds, and from the reset on.
        body.append(f"stays = {code.condition(parts.refractory, new)}")
        body.append("refractory_of[unit] = one if (fired | (wait > zero)) & stays else zero")
    elif parts.rests:
        hold = code.constant(HOLD)
        body.append(f"refractory_of[unit] = {hold} if fired else max(wait - one, zero)")
    return [*body, "spiked[unit] = fired"]


def names(items: Sequence[str]) -> str:
    return ", ".join(items) + ("," if len(items) == 1 else "")


def tuple_of(items: Iterable[str]) -> str:
    return f"({names(list(items))})"


def indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _listed(rows: Sequence[str], array: str) -> list[str]:
    """Return the lines that name the rows of an array, eight a line."""
    lines = []
    for first in range(0, len(rows), 8):
        some = rows[first : first + 8]
        lines.append(f"{names(some)} = {names([f'{array}[{first + k}]' for k in range(len(some))])}")
    return lines
