"""Text of equations as sympy expressions. Only names and operators listed here are read; no text is run as Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ....base.distribution import install
from ....base.errors import NeurosimInputError, NeurosimMissingError, lookup, require
from ..base import Drive
from .functions import CONDITIONS, HINTS, NAMES, NATIVE
from .statements import ASSIGNMENT, MAX_TEXT, NOISE, lines
from .units import NONE, UNITS, Dimension, literal_unit, per_root_second

OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
COMPARISONS: Mapping[type, str] = {ast.Lt: "less", ast.LtE: "at_most", ast.Eq: "equal", ast.NotEq: "unequal"}
# The number of the present step, which a step has beside its time.
STEP = "step_number"
# The same with the sides exchanged.
REVERSED: Mapping[type, str] = {ast.Gt: "less", ast.GtE: "at_most"}


@dataclass(frozen=True)
class Equation:
    """d name / dt = slope; held while refractory or not."""

    name: str
    slope: Any
    unit: str | None
    held: bool


@dataclass(frozen=True)
class Lookup:
    """A value of a timed array: which, at which time (an expression), and of which unit (None: of all)."""

    array: str
    time: Any
    unit: Any


def library() -> ModuleType:
    """Return sympy.

    Raises:
        NeurosimMissingError: it is not installed.
    """
    try:
        import sympy
    except ImportError as error:
        raise NeurosimMissingError(f"neurons.equations: needs sympy ({error}); run: {install('equations')}") from None
    return sympy


def symbol(name: str) -> Any:
    """Return a name as a real number of sympy."""
    return library().Symbol(name, real=True)


@dataclass
class EquationReader:
    """Reads expressions over the names of a model, and keeps what they need of the engine.

    Attributes:
        names: of the model; they come before units and words such as `i`.
        timed: number of dimensions of each timed array.
        shared: random numbers are those of an equation whose noise all units share.
        drives: time, numbers of units and random numbers that were read, by name.
        lookups: values of timed arrays, by name.
        units: size in SI units of each unit of a literal.
        known: their dimensions, and those of times and random numbers.
    """

    names: Collection[str]
    timed: Mapping[str, int] = field(default_factory=dict)
    shared: bool = False
    drives: dict[str, Drive] = field(default_factory=dict)
    lookups: dict[str, Lookup] = field(default_factory=dict)
    units: dict[Any, Any] = field(default_factory=dict)
    known: dict[str, Dimension] = field(default_factory=dict)

    def expression(self, text: str, what: str) -> Any:
        """Return a text of numbers, units, names, functions, conditions and + - * / // % ** as a sympy expression.

        Raises:
            NeurosimInputError: anything else in it.
        """
        require(len(text) <= MAX_TEXT, f"equations: {what}", f"must have at most {MAX_TEXT} characters", len(text))
        try:
            tree = ast.parse(" ".join(text.split()), mode="eval").body
            return self._read(tree, f"equations: {what}")
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, ZeroDivisionError, TypeError):
            raise NeurosimInputError(f"equations: {what}: is no expression (got {text!r:.80})") from None

    def condition(self, text: str, what: str) -> Any:
        """Return a text such as `v > v_threshold and timer > 5*ms`.

        Raises:
            NeurosimInputError: it is no comparison.
        """
        read = self.expression(text, what)
        form = f"equations.{what}"
        require(is_condition(read), form, "must be a condition, such as 'v > v_threshold'", repr(text))
        return read

    def plain(self, expression: Any) -> Any:
        """Return an expression with the units of its literals as numbers, 0.001 for mV."""
        return expression.xreplace(self.units)

    def _read(self, node: ast.expr, what: str) -> Any:
        """Return a node of Python's syntax tree as a sympy expression; raise for any other kind of node."""
        readers: Mapping[type, Callable[[Any, str], Any]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.Compare: self._compared,
            ast.BoolOp: self._connected,
            ast.Call: self._call,
        }
        read = readers.get(type(node), self._refused)
        return read(node, what)

    def _refused(self, node: ast.expr, what: str) -> Any:
        words = ", ".join(NAMES)
        raise NeurosimInputError(f"{what}: must be made of numbers, names, + - * / // % **, comparisons and {words}")

    def _constant(self, node: ast.Constant, what: str) -> Any:
        if type(node.value) in (bool, int):
            return library().Integer(int(node.value))  # type: ignore[arg-type]
        if type(node.value) is float:
            return library().Float(node.value)
        return self._refused(node, what)

    def _unary(self, node: ast.UnaryOp, what: str) -> Any:
        if isinstance(node.op, ast.Not):
            return function("negated", self._truth(node.operand, what))
        value = self._read(node.operand, what)
        if isinstance(node.op, ast.USub):
            return -value
        require(isinstance(node.op, ast.UAdd), what, "must have no operator ~", ast.unparse(node)[:80])
        return value

    def _binary(self, node: ast.BinOp, what: str) -> Any:
        left = self._read(node.left, what)
        right = self._read(node.right, what)
        if isinstance(node.op, ast.Mod):
            return function("remainder", left, right)
        if isinstance(node.op, ast.FloorDiv):
            return function("floor", left / right)
        if type(node.op) not in OPERATORS:
            return self._refused(node, what)
        # A large power of a sum could take for ever to expand.
        allowed = not isinstance(node.op, ast.Pow) or not right.is_number or abs(right) <= 16
        require(bool(allowed), what, "must have powers that are numbers from -16 to 16", ast.unparse(node)[:80])
        return OPERATORS[type(node.op)](left, right)

    def _name(self, node: ast.Name, what: str) -> Any:
        """Return what a name stands for: a variable, a drive such as noise or time, a constant or a unit."""
        name = node.id
        if name in self.names:
            return symbol(name)
        if name == "dt":
            self.known[name] = UNITS["s"]
            return symbol(name)
        drives = {"t": (Drive("step", "t"), UNITS["s"]), "i": (Drive("unit", "i"), NONE)}
        if NOISE.fullmatch(name):
            # White noise: its integral over a step has the variance dt.
            drives[name] = Drive("normal", name, self.shared), per_root_second()
        if name in drives:
            drive, self.known[name] = drives[name]
            return self._drive(name, drive, what)
        if name in ("e", "pi", "inf"):
            return {"e": library().E, "pi": library().pi, "inf": library().oo}[name]
        return self._unit(name, what)

    def _unit(self, name: str, what: str) -> Any:
        unit = literal_unit(name)
        if unit is None:
            if name in HINTS:
                raise NeurosimInputError(f"{what}: has no word {name!r}; {HINTS[name]}")
            return lookup(dict.fromkeys(self.names), name, what)
        self.known[name], size = unit
        literal = library().Symbol(name, positive=True)
        self.units[literal] = library().Rational(size.numerator, size.denominator)
        return literal

    def _drive(self, name: str, drive: Drive, what: str) -> Any:
        before = self.drives.setdefault(name, drive)
        rule = "must be shared by all units in every equation or in none; give one of them another name, xi_other"
        require(before.shared == drive.shared, f"{what}: {name}", rule, "both")
        return symbol(name)

    def _call(self, node: ast.Call, what: str) -> Any:
        """Return the expression of a call of a function."""
        if not isinstance(node.func, ast.Name) or node.keywords:
            return self._refused(node, what)
        name = node.func.id
        arguments = node.args
        # The user's names come first: a table of values may have the name of a function.
        if name in self.timed:
            count = self.timed[name]
            require(len(arguments) == count, f"{what}: {name}", f"must have {count} arguments", len(arguments))
            return self._looked_up(name, [self._read(argument, what) for argument in arguments])
        if name in HINTS:
            raise NeurosimInputError(f"{what}: has no function {name!r}; {HINTS[name]}")
        lookup(dict.fromkeys((*NAMES, *self.timed)), name, f"{what}: function")
        kind, count = NAMES[name]
        require(len(arguments) == count, f"{what}: {name}", f"must have {count} arguments", len(arguments))
        # Every mention draws numbers of its own.
        if name in ("rand", "randn"):
            number = sum(drive.name.startswith(f"{name}_") for drive in self.drives.values())
            drawn = f"{name}_{number}"
            self.known[drawn] = NONE
            return self._drive(drawn, Drive("uniform" if name == "rand" else "normal", drawn, self.shared), what)
        values = [self._read(argument, what) for argument in arguments]
        # A condition is 0 or 1 already.
        if name == "int" and is_condition(values[0]):
            return values[0]
        if name == "log10":
            return function("log", values[0]) / function("log", library().Integer(10))
        if name == "timestep":
            return self._timestep(values)
        if name == "clip":
            return function("minimum", function("maximum", *values[:2]), values[2])
        return function(kind, *values)

    def _timestep(self, values: Sequence[Any]) -> Any:
        """Return the number of the step at a time, as Brian2 rounds it: the present one exactly, also in float32."""
        time, dt = values
        if time == symbol("t") and dt == symbol("dt"):
            self.known[STEP] = NONE
            return symbol(STEP)
        return function("truncated", (time + dt / 1000) / dt)

    def _looked_up(self, name: str, values: Sequence[Any]) -> Any:
        """Return the value of a timed array; the same value of the same array is looked up once."""
        time = values[0]
        unit = values[1] if len(values) > 1 else None
        wanted = Lookup(name, time, unit)
        for known, each in self.lookups.items():
            if each == wanted:
                return symbol(known)
        label = f"{name}_at_{len(self.lookups)}"
        self.lookups[label] = wanted
        # The position is counted in steps.
        self.drives.setdefault("t", Drive("step", "t"))
        return symbol(label)

    def _compared(self, node: ast.Compare, what: str) -> Any:
        sides = [self._read(side, what) for side in (node.left, *node.comparators)]
        conditions = []
        for kind, left, right in zip(map(type, node.ops), sides, sides[1:], strict=False):
            if kind in REVERSED:
                conditions.append(function(REVERSED[kind], right, left))
            else:
                require(kind in COMPARISONS, what, "must compare by <, <=, >, >=, == or !=", ast.unparse(node)[:80])
                conditions.append(function(COMPARISONS[kind], left, right))
        return self._joined("both", conditions)

    def _connected(self, node: ast.BoolOp, what: str) -> Any:
        name = "both" if isinstance(node.op, ast.And) else "either"
        return self._joined(name, [self._truth(value, what) for value in node.values])

    def _joined(self, name: str, conditions: Sequence[Any]) -> Any:
        joined = conditions[0]
        for each in conditions[1:]:
            joined = function(name, joined, each)
        return joined

    def _truth(self, node: ast.expr, what: str) -> Any:
        value = self._read(node, what)
        if is_condition(value):
            return value
        return function("unequal", value, library().Integer(0))


def function(name: str, *arguments: Any) -> Any:
    """Return a function of sympy, or one that it does not know, applied."""
    sympy = library()
    if name in NATIVE:
        return getattr(sympy, name)(*arguments)
    return sympy.Function(name)(*arguments)


def is_condition(expression: Any) -> bool:
    return type(expression).__name__ in CONDITIONS


def read_reset(text: str, states: Collection[str], reader: EquationReader) -> list[tuple[str, Any]]:
    """Return the assignments of a reset, in order: a state and its new value."""
    assignments = []
    for line in lines(text, "equations.reset"):
        match = ASSIGNMENT.fullmatch(line)
        if match is None:
            rule = "must read like 'v = v_reset' or 'w += b'"
            raise NeurosimInputError(f"equations.reset: {rule} (got {line!r})")
        name = lookup({state: state for state in states}, match[1], "equations.reset")
        if match[2]:
            value = f"{name} {match[2]} ({match[3]})"
        else:
            value = match[3]
        assignments.append((name, reader.expression(value, f"reset of {name}")))
    return assignments
