"""Methods that lead the variables of a model over a step: exactly, by Heun, Euler, exponential Euler, Runge and Kutta.

Every method takes the values at the start of a step for all variables at once. Inputs, timed arrays and the random
numbers `rand()` and `randn()` stay in a step; white noise `xi` adds its integral, whose variance is dt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ....base.errors import NeurosimInputError, lookup
from .code import StepCode
from .parts import EquationParts
from .split import LinearPart
from .statements import NOISE
from .text import STEP, Equation, library, symbol

Names = Mapping[str, str]


def noises(expression: Any) -> list[str]:
    """Return the names of the white noise in an expression, in order."""
    return sorted(name for name in map(str, expression.free_symbols) if NOISE.fullmatch(name))


def split_noise(equation: Equation) -> tuple[Any, dict[str, Any]]:
    """Return the slope without noise, and the factor of each noise.

    Raises:
        NeurosimInputError: a slope that is not linear in its noise.
    """
    sympy = library()
    sources = noises(equation.slope)
    drift = equation.slope.subs({symbol(name): 0 for name in sources})
    factors = {}
    for name in sources:
        factor = sympy.expand_mul(sympy.diff(equation.slope, symbol(name)))
        if noises(factor):
            raise NeurosimInputError(f"equations: d{equation.name}/dt: must be linear in {name} (got {equation.slope})")
        factors[name] = factor
    return drift, factors


def is_additive(equation: Equation, moving: Sequence[str]) -> bool:
    """Return whether the factors of the noise of an equation depend on nothing that moves in a step."""
    _, factors = split_noise(equation)
    return not any(str(each) in moving for factor in factors.values() for each in factor.free_symbols)


def check_method(method: str | None, equations: Sequence[Equation]) -> None:
    """Raise `NeurosimInputError` for a method that cannot integrate the equations."""
    if method is not None:
        lookup(dict.fromkeys(name for name in ("exact", *METHODS) if name != BOUNDED), method, "equations.method")
    moving = ["t", STEP, *(equation.name for equation in equations)]
    for equation in equations:
        is_noisy = bool(noises(equation.slope))
        label = f"equations: d{equation.name}/dt"
        if is_noisy and method in ("exponential_euler", "rk2", "rk4"):
            raise NeurosimInputError(f"{label}: noise needs the method 'euler', 'heun' or 'milstein' (got '{method}')")
        if is_noisy and method is None and not is_additive(equation, moving):
            raise NeurosimInputError(
                f"{label}: noise times a variable is read as Ito's integral with method='euler' or 'milstein', and as "
                "Stratonovich's with 'heun'; name one"
            )
        rate = library().diff(equation.slope, symbol(equation.name))
        if method == "exponential_euler" and rate.has(library().Derivative, library().Subs):
            rule = f"must have a derivative by {equation.name} for 'exponential_euler', which conditions lack"
            raise NeurosimInputError(f"{label}: {rule}; choose 'euler', 'heun' or 'rk4'")


class StageCode:
    """Code of slopes at one moment; what they have in common is computed once.

    Attributes:
        lines: that compute the parts in common.
    """

    def __init__(self, code: StepCode, expressions: Sequence[Any], names: Names, numbers: Iterator[int]) -> None:
        self.code = code
        self.lines: list[str] = []
        sympy = library()
        fresh = (sympy.Symbol(f"part_{number}", real=True) for number in numbers)
        parts, self._expressions = sympy.cse([sympy.sympify(each) for each in expressions], fresh, order="none")
        self.names = dict(names)
        for part, value in parts:
            self.lines.append(f"{part} = {code.render(value, self.names)}")
            self.names[str(part)] = str(part)

    def rendered(self, number: int) -> str:
        return self.code.render(self._expressions[number], self.names)


class Writer:
    """Writes the lines that lead the variables over a step.

    Attributes:
        now, new: variables at the start of the step and at its end.
        waits: a neuron may be refractory, which `wait` says.
    """

    def __init__(self, parts: EquationParts, code: StepCode, now: Names, new: Names, *, waits: bool) -> None:
        self.parts = parts
        self.code = code
        self.now = now
        self.new = new
        self.waits = waits
        self.lines: list[str] = []
        self._numbers = iter(range(10**6))

    def dt(self, equation: Equation) -> str:
        return "moving" if equation.held else self.code.constant("dt")

    def later(self, states: Names, part: str = "") -> dict[str, str]:
        """Return the names at a later moment of the step: these states, all else as it is, and the time.

        Args:
            part: of dt that has passed; "" for all of it.
        """
        names = {**self.now, **states}
        if "t" in self.parts.drives:
            label = "t_half" if part else "t_end"
            passed = self.code.constant("0.5" if part else "1.0")
            line = f"{label} = (step_number + {passed}) / {self.code.constant('steps_per_second(dt)')}"
            # Two stages of a method may be at one moment: its time is computed once.
            if line not in self.lines:
                self.lines.append(line)
            names["t"] = label
            if not part:
                names[STEP] = f"({STEP} + {passed})"
        return names

    def kicks(self, factors: Mapping[str, Mapping[str, Any]], names: Names, label: str) -> dict[str, str]:
        """Write what noise adds to each variable; return its name by variable."""
        kicks = {}
        flat = [(name, noise) for name, each in factors.items() for noise in each]
        stage = StageCode(self.code, [factors[name][noise] for name, noise in flat], names, self._numbers)
        self.lines += stage.lines
        terms: dict[str, list[str]] = {}
        for number, (name, noise) in enumerate(flat):
            terms.setdefault(name, []).append(f"({stage.rendered(number)}) * {self.now[noise]}")
        held = {equation.name for equation in self.parts.rest if equation.held}
        for name, each in terms.items():
            root = self.code.constant("math.sqrt(dt)")
            # What is held while the neuron is refractory is not moved by noise either.
            jolt = f"(zero if wait > zero else {root})" if name in held and self.waits else root
            kicks[name] = f"{label}_{name}"
            self.lines.append(f"{kicks[name]} = {jolt} * ({' + '.join(each)})")
        return kicks

    def slopes(self, drifts: Mapping[str, Any], names: Names, label: str) -> None:
        """Write the slope of each variable times dt as `label_name`."""
        stage = StageCode(self.code, list(drifts.values()), names, self._numbers)
        self.lines += stage.lines
        by_name = {equation.name: equation for equation in self.parts.rest}
        for number, name in enumerate(drifts):
            self.lines.append(f"{label}_{name} = {self.dt(by_name[name])} * ({stage.rendered(number)})")


def integrate(parts: EquationParts, code: StepCode, now: Names, new: Names, *, waits: bool) -> list[str]:
    """Return the lines that lead the variables over a step.

    Args:
        waits: a neuron may be refractory, which `wait` says.
    """
    writer = Writer(parts, code, now, new, waits=waits)
    split = {equation.name: split_noise(equation) for equation in parts.rest}
    drifts = {name: drift for name, (drift, _) in split.items()}
    factors = {name: each for name, (_, each) in split.items()}
    METHODS[parts.method or BOUNDED](writer, drifts, factors)
    return writer.lines


def _plus(kick: str | None) -> str:
    return f" + {kick}" if kick else ""


def _bounded_heun(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the exact step of the linear part and Heun's method for the rest.

    A variable on the left of the threshold is taken as no higher than its right at the end of the Euler step.
    """
    parts = writer.parts
    code = writer.code
    now = writer.now
    new = writer.new
    # Slopes at the start, an Euler step, slopes at its end, and the mean of both.
    writer.slopes(drifts, now, "slope")
    kicks = writer.kicks(factors, now, "kick")
    for name in parts.linear.names:
        writer.lines.append(f"{new[name]} = {_exact(parts.linear, name, code, now, waits=writer.waits)}")
    ahead = dict(new)
    bounded_variable = ""
    # The right side is a bound where it does not change in a step.
    if parts.over is not None and not any(str(each) in now for each in parts.over[1].free_symbols):
        bounded_variable = str(parts.over[0])
    for equation in parts.rest:
        name = equation.name
        ahead[name] = f"{name}_ahead"
        value = f"{now[name]} + slope_{name}{_plus(kicks.get(name))}"
        if name == bounded_variable and parts.over is not None:
            bounded = f"min({value}, {code.render(parts.over[1], {})})"
            # While no spike can follow, a variable that is not held moves freely above the threshold.
            if writer.waits and not equation.held:
                value = f"{value} if wait > zero else {bounded}"
            else:
                value = bounded
        writer.lines.append(f"{ahead[name]} = {value}")
    writer.slopes(drifts, writer.later(ahead), "end")
    half = code.constant("0.5") if parts.rest else ""
    for name in drifts:
        kick = _plus(kicks.get(name))
        writer.lines.append(f"{new[name]} = {now[name]} + {half} * (slope_{name} + end_{name}){kick}")


def _exact(linear: LinearPart, name: str, code: StepCode, now: Names, *, waits: bool) -> str:
    """Return the exact step of a variable of the linear part."""
    row = linear.names.index(name)
    last = len(linear.columns)

    def entry(column: int) -> str:
        free = code.constant(f"exact[{row}, {column}]")
        if waits and linear.waits(name):
            return f"({code.constant(f'waiting[{row}, {column}]')} if wait > zero else {free})"
        return free

    terms = [f"{entry(linear.columns.index(other))} * {now[other]}" for other in linear.reaches(name)]
    if linear.driven(name):
        terms.append(entry(last))
    return " + ".join(terms)


def _euler(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write Euler's method, with noise that of Maruyama."""
    writer.slopes(drifts, writer.now, "slope")
    kicks = writer.kicks(factors, writer.now, "kick")
    for name in drifts:
        writer.lines.append(f"{writer.new[name]} = {writer.now[name]} + slope_{name}{_plus(kicks.get(name))}")


def _heun(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write Heun's method; noise is read as Stratonovich's integral."""
    now = writer.now
    writer.slopes(drifts, now, "slope")
    kicks = writer.kicks(factors, now, "kick")
    ahead = {name: f"{name}_ahead" for name in drifts}
    for name in drifts:
        writer.lines.append(f"{ahead[name]} = {now[name]} + slope_{name}{_plus(kicks.get(name))}")
    later = writer.later(ahead)
    writer.slopes(drifts, later, "end")
    ends = writer.kicks(factors, later, "end_kick")
    half = writer.code.constant("0.5")
    for name in drifts:
        total = f"slope_{name} + end_{name}"
        # One draw at both ends of the step, which makes the mean Stratonovich's integral.
        if name in kicks:
            total += f" + {kicks[name]} + {ends[name]}"
        writer.lines.append(f"{writer.new[name]} = {now[name]} + {half} * ({total})")


def _milstein(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write Milstein's method for one noise a variable, whose factor depends on no other with noise: x + f dt + g dW +
    g g' (dW^2 - dt) / 2."""
    sympy = library()
    corrections: dict[str, Any] = {}
    for name, each in factors.items():
        for noise, factor in each.items():
            noisy = {other for other, found in factors.items() if found} - {name}
            if len(each) > 1 or noisy & set(map(str, factor.free_symbols)):
                rule = "must have one noise, times no other variable that has noise, for the method 'milstein'"
                raise NeurosimInputError(f"equations: d{name}/dt: {rule}")
            change = sympy.diff(factor, symbol(name))
            if change.has(sympy.Derivative, sympy.Subs):
                rule = "must have noise times a function with a derivative for the method 'milstein'; choose 'euler'"
                raise NeurosimInputError(f"equations: d{name}/dt: {rule}")
            # dW^2 is dt times the square of the noise, a normal number of variance 1; `slopes` multiplies by dt.
            corrections[name] = factor * change / 2 * (symbol(noise) ** 2 - 1)
    writer.slopes(drifts, writer.now, "slope")
    writer.slopes(corrections, writer.now, "correction")
    kicks = writer.kicks(factors, writer.now, "kick")
    for name in drifts:
        correction = f" + correction_{name}" if name in corrections else ""
        value = f"{writer.now[name]} + slope_{name}{_plus(kicks.get(name))}{correction}"
        writer.lines.append(f"{writer.new[name]} = {value}")


def _exponential_euler(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write x + dt f(x) (exp(b dt) - 1) / (b dt) with b = df/dx.

    That is exact where all else stays and f is linear in x, and of second order in x where it is not (Pope 1963).
    """
    sympy = library()
    rates = {name: sympy.diff(drift, symbol(name)) for name, drift in drifts.items()}
    stage = StageCode(writer.code, [*drifts.values(), *rates.values()], writer.now, writer._numbers)
    writer.lines += stage.lines
    for number, equation in enumerate(writer.parts.rest):
        name = equation.name
        dt = writer.dt(equation)
        slope = stage.rendered(number)
        # exprel(x) is (exp(x) - 1) / x, and 1 at 0.
        part = f"exprel({dt} * ({stage.rendered(number + len(drifts))}))"
        writer.lines.append(f"{writer.new[name]} = {writer.now[name]} + {dt} * ({slope}) * {part}")


def _midpoint(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the method of second order that takes the slope in the middle of the step."""
    now = writer.now
    half = writer.code.constant("0.5")
    writer.slopes(drifts, now, "slope")
    ahead = {name: f"{name}_ahead" for name in drifts}
    for name in drifts:
        writer.lines.append(f"{ahead[name]} = {now[name]} + {half} * slope_{name}")
    writer.slopes(drifts, writer.later(ahead, "0.5 * "), "end")
    for name in drifts:
        writer.lines.append(f"{writer.new[name]} = {now[name]} + end_{name}")


def _runge_kutta(writer: Writer, drifts: Mapping[str, Any], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the classical method of fourth order."""
    now = writer.now
    half = writer.code.constant("0.5")
    writer.slopes(drifts, now, "slope_1")
    for stage, factor, part in ((2, f"{half} * ", "0.5 * "), (3, f"{half} * ", "0.5 * "), (4, "", "")):
        ahead = {name: f"{name}_{stage}_ahead" for name in drifts}
        for name in drifts:
            writer.lines.append(f"{ahead[name]} = {now[name]} + {factor}slope_{stage - 1}_{name}")
        writer.slopes(drifts, writer.later(ahead, part), f"slope_{stage}")
    sixth = writer.code.constant("1.0 / 6.0")
    two = writer.code.constant("2.0")
    for name in drifts:
        total = f"slope_1_{name} + {two} * (slope_2_{name} + slope_3_{name}) + slope_4_{name}"
        writer.lines.append(f"{writer.new[name]} = {now[name]} + {sixth} * ({total})")


BOUNDED = "exact and heun"
METHODS: Mapping[str, Callable[[Writer, Mapping[str, Any], Mapping[str, Mapping[str, Any]]], None]] = {
    BOUNDED: _bounded_heun,
    "euler": _euler,
    "heun": _heun,
    "milstein": _milstein,
    "exponential_euler": _exponential_euler,
    "rk2": _midpoint,
    "rk4": _runge_kutta,
}
