"""Text of equations as sympy expressions. Only names and operators listed here are read; no text is run as Python."""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ....base.errors import NeurosimInputError, NeurosimMissingError, lookup, require

FUNCTIONS = ("abs", "cos", "exp", "log", "sin", "sqrt", "tanh")
OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
# Names that the written class uses itself.
RESERVED = (
    *FUNCTIONS, "at", "c", "constants", "dt", "exact", "fired", "hold_steps", "initial", "inputs", "math", "moving",
    "one", "positive", "propagator", "receptors", "refractory", "self", "source", "spiked", "state", "step", "unit",
    "wait", "waiting", "zero",
)  # fmt: skip
WRITTEN = re.compile(r"_.*|(slope|end|arriving)_.*|.*_(of|new|ahead)|c\d+")
MAX_TEXT = 10_000
EQUATION = re.compile(r"d(\w+)\s*/\s*dt\s*=\s*([^:]+?)\s*(?::\s*([^()]+?))?\s*(\(unless refractory\))?")
ASSIGNMENT = re.compile(r"(\w+)\s*([-+*/]?)=\s*(.+)")


@dataclass(frozen=True)
class Equation:
    """d name / dt = slope; held while refractory or not."""

    name: str
    slope: Any
    unit: str | None
    held: bool


def library() -> ModuleType:
    """Return sympy.

    Raises:
        NeurosimMissingError: it is not installed.
    """
    try:
        import sympy
    except ImportError as error:
        raise NeurosimMissingError(
            f"neurons.equations: needs sympy ({error}); run: pip install 'neurosim-spiking[equations]'"
        ) from None
    return sympy


def lines(text: str, what: str) -> list[str]:
    """Return the statements of a text, which are separated by ends of lines or semicolons."""
    require(len(text) <= MAX_TEXT, what, f"must have at most {MAX_TEXT} characters", len(text))
    return [line.split("#")[0].strip() for line in re.split(r"[\n;]", text) if line.split("#")[0].strip()]


def read_equations(text: str, parameters: Collection[str]) -> list[Equation]:
    """Return the differential equations of a text.

    Raises:
        NeurosimInputError: a line that is none, a name that cannot be used or is not known.
    """
    matches = []
    for line in lines(text, "equations"):
        match = EQUATION.fullmatch(line)
        if match is None:
            form = "dv/dt = (v_leak - v) / tau_mem : V (unless refractory)"
            raise NeurosimInputError(f"equations: must read like '{form}' (got {line!r:.80})")
        matches.append(match)
    names = [match[1] for match in matches]
    require(bool(names), "equations", "must have at least one equation", 0)
    for name in (*names, *parameters):
        usable = name.isidentifier() and not keyword.iskeyword(name) and name not in RESERVED
        require(usable and not WRITTEN.fullmatch(name), "equations", "must not use this name; choose another", name)
        require([*names, *parameters].count(name) == 1, "equations", "must say each name once", name)
    equations = []
    for match in matches:
        name, text_of_slope, unit, held = match.groups()
        slope = expression(text_of_slope, (*names, *parameters), f"d{name}/dt")
        equations.append(Equation(name, slope, unit, held is not None))
    return equations


def read_threshold(text: str, names: Collection[str]) -> tuple[Any, Any]:
    """Return both sides of `left > right`."""
    sides = text.split(">")
    require(len(sides) == 2 and "=" not in text, "equations.threshold", "must read like 'v > v_threshold'", repr(text))
    left, right = (expression(side, names, "threshold") for side in sides)
    return left, right


def read_reset(text: str, states: Collection[str], names: Collection[str]) -> list[tuple[str, Any]]:
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
        assignments.append((name, expression(value, names, f"reset of {name}")))
    return assignments


def expression(text: str, names: Collection[str], what: str) -> Any:
    """Return an expression of numbers, names, + - * / ** and the FUNCTIONS.

    Raises:
        NeurosimInputError: anything else in it.
    """
    require(len(text) <= MAX_TEXT, f"equations: {what}", f"must have at most {MAX_TEXT} characters", len(text))
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _read(tree, dict.fromkeys(names), f"equations: {what}", library())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, ZeroDivisionError):
        raise NeurosimInputError(f"equations: {what}: is no expression (got {text!r:.80})") from None


def _read(node: ast.expr, names: Mapping[str, None], what: str, sympy: ModuleType) -> Any:
    """Return a node of Python's syntax tree as a sympy expression; raise for any other kind of node."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return sympy.Integer(node.value)
    if isinstance(node, ast.Constant) and type(node.value) is float:
        return sympy.Float(node.value)
    if isinstance(node, ast.Name):
        lookup(names, node.id, what)
        return sympy.Symbol(node.id, real=True)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        value = _read(node.operand, names, what, sympy)
        if isinstance(node.op, ast.USub):
            return -value
        return value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = (_read(side, names, what, sympy) for side in (node.left, node.right))
        # A large power of a sum could take for ever to expand.
        allowed = not isinstance(node.op, ast.Pow) or (right.is_number and abs(right) <= 16)
        require(bool(allowed), what, "must have powers that are numbers from -16 to 16", ast.unparse(node)[:80])
        return OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
        lookup(dict.fromkeys(FUNCTIONS), node.func.id, f"{what}: function")
        if node.func.id == "abs":
            function = sympy.Abs
        else:
            function = getattr(sympy, node.func.id)
        return function(_read(node.args[0], names, what, sympy))
    raise NeurosimInputError(f"{what}: must be made of numbers, names, + - * / ** and {', '.join(FUNCTIONS)}")
