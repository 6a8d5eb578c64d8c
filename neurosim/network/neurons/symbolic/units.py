"""Units of equations: powers of s, V, A, m, mol and K, checked where all terms have one; literals such as `10*mV`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ....base.errors import NeurosimInputError, lookup, require

# Functions of values of one unit: with that unit, and without.
ALIKE = ("maximum", "minimum", "remainder")
COMPARISONS = ("less", "at_most", "equal", "unequal")
# Powers of s, V, A, m, mol and K.
Dimension = tuple[Fraction, Fraction, Fraction, Fraction, Fraction, Fraction]
BASES = ("s", "V", "A", "m", "mol", "K")


def _of(s: int = 0, v: int = 0, a: int = 0, m: int = 0, mol: int = 0, k: int = 0) -> Dimension:
    return Fraction(s), Fraction(v), Fraction(a), Fraction(m), Fraction(mol), Fraction(k)


NONE = _of()
UNITS: Mapping[str, Dimension] = {
    "1": NONE,
    "s": _of(1),
    "V": _of(v=1),
    "A": _of(a=1),
    "ohm": _of(v=1, a=-1),
    "S": _of(v=-1, a=1),
    "F": _of(1, -1, 1),
    "C": _of(1, a=1),
    "Hz": _of(-1),
    "m": _of(m=1),
    "mol": _of(mol=1),
    "J": _of(1, 1, 1),
    "W": _of(v=1, a=1),
    "K": _of(k=1),
}
MOLAR = _of(m=-3, mol=1)
# Other names of units, with their size: full names, times, and concentrations (1 molar is 1000 mol / m^3).
NAMES: Mapping[str, tuple[Dimension, Fraction]] = {
    **{name: (UNITS["s"], Fraction(1)) for name in ("second", "seconds")},
    "minute": (UNITS["s"], Fraction(60)),
    "hour": (UNITS["s"], Fraction(3600)),
    **{name: (UNITS["A"], Fraction(1)) for name in ("amp", "ampere")},
    **{name: (UNITS["m"], Fraction(1)) for name in ("metre", "meter")},
    **{name: (_of(m=3), Fraction(1, 1000)) for name in ("litre", "liter")},
    "volt": (UNITS["V"], Fraction(1)),
    "siemens": (UNITS["S"], Fraction(1)),
    "farad": (UNITS["F"], Fraction(1)),
    "coulomb": (UNITS["C"], Fraction(1)),
    "hertz": (UNITS["Hz"], Fraction(1)),
    "mole": (UNITS["mol"], Fraction(1)),
    "joule": (UNITS["J"], Fraction(1)),
    "watt": (UNITS["W"], Fraction(1)),
    "kelvin": (UNITS["K"], Fraction(1)),
    **{name: (NONE, Fraction(1)) for name in ("boolean", "integer", "radian")},
    "molar": (MOLAR, Fraction(1000)),
    "M": (MOLAR, Fraction(1000)),
}
PREFIXES: Mapping[str, Fraction] = {
    **{"f": Fraction(1, 10**15), "p": Fraction(1, 10**12), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6)},
    **{"m": Fraction(1, 1000), "c": Fraction(1, 100), "k": Fraction(1000), "M": Fraction(10**6), "G": Fraction(10**9)},
}
# Areas and volumes, such as "um2" and "cmetre3".
POWERS = re.compile(r"(\w*?(?:m|metre|meter))([23])")


def unit_named(name: str) -> tuple[Dimension, Fraction] | None:
    """Return dimension and size in SI units of a unit such as "mV", "second", "um2" or "mmolar"; None for another."""
    powered = POWERS.fullmatch(name)
    if powered is not None:
        length = unit_named(powered[1])
        if length is None or length[0] != UNITS["m"]:
            return None
        power = int(powered[2])
        return _of(m=power), length[1] ** power
    for prefix, scale in {"": Fraction(1), **PREFIXES}.items():
        base = name.removeprefix(prefix)
        # "m1" is no unit, though "1" and "m" are.
        if not name.startswith(prefix) or not base or (prefix and base == "1"):
            continue
        if base in NAMES:
            unit, size = NAMES[base]
            return unit, scale * size
        if base in UNITS:
            return UNITS[base], scale
    return None


def literal_unit(name: str) -> tuple[Dimension, Fraction] | None:
    """Return the unit that a name in an expression stands for; None for none, and for single letters and m2, often
    symbols."""
    if len(name) == 1 or name in ("m2", "m3"):
        return None
    return unit_named(name)


def read_unit(text: str, what: str) -> Dimension:
    """Return the unit of a text such as "V / s", "amp/meter**2", "1/sqrt(second)" or "Hz**0.5"; no prefix counts.

    Raises:
        NeurosimInputError: an unknown unit, or a text that is no product of powers of units.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _unit_of(tree, what)
    except (SyntaxError, ValueError, TypeError, ZeroDivisionError, RecursionError):
        rule = "unit: must be made of names of units, * / ** and sqrt"
        raise NeurosimInputError(f"{what}: {rule} (got {text!r:.80})") from None


def _unit_of(node: ast.expr, what: str) -> Dimension:
    """Return the unit of a node of Python's syntax tree; raise for any other kind of node."""
    if isinstance(node, ast.Constant) and node.value == 1:
        return NONE
    if isinstance(node, ast.Name):
        named = unit_named(node.id)
        return lookup(UNITS, node.id, f"{what}: unit") if named is None else named[0]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "sqrt"
        and len(node.args) == 1
    ):
        return _add(NONE, _unit_of(node.args[0], what), Fraction(1, 2))
    if isinstance(node, ast.BinOp):
        left = _unit_of(node.left, what)
        if isinstance(node.op, ast.Pow):
            # Exponents of units are added up, so they are exact: 0.3333 is a third.
            return _add(NONE, left, Fraction(_power_of(node.right)).limit_denominator(12))
        if isinstance(node.op, ast.Mult | ast.Div):
            sign = Fraction(1 if isinstance(node.op, ast.Mult) else -1)
            return _add(left, _unit_of(node.right, what), sign)
    raise ValueError("no unit")


def _power_of(node: ast.expr) -> float:
    """Return the number of a power: 2, -1, 0.5 or 1/2."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_power_of(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _power_of(node.left) / _power_of(node.right)
    return float(ast.literal_eval(node))


def dimension(expression: Any, known: Mapping[str, Dimension], what: str) -> Dimension | None:
    """Return the unit of an expression; None where something in it has none.

    Raises:
        NeurosimInputError: terms of two units are added, or the argument of a function has a unit.
    """
    # Zero and infinity have any unit.
    if expression.is_zero or expression.is_infinite:
        return None
    if expression.is_Symbol:
        return known.get(str(expression))
    if expression.is_number:
        return NONE
    parts = [dimension(each, known, what) for each in expression.args]
    if expression.is_Add:
        return _of_sum(expression, parts, what)
    if expression.is_Mul:
        product: Dimension = NONE
        for factor in parts:
            product = _add(product, factor or NONE, Fraction(1))
        return None if None in parts else product
    if expression.is_Pow:
        return _of_power(expression, parts, what)
    return _of_function(expression, parts, what)


def _of_sum(expression: Any, parts: Sequence[Dimension | None], what: str) -> Dimension | None:
    terms = [(unit, term) for unit, term in zip(parts, expression.args, strict=True) if unit is not None]
    if not terms:
        return None
    first, first_term = terms[0]
    for unit, term in terms[1:]:
        rule = f"must add things of one unit, {_text(first)} of {_shown(first_term)}"
        require(unit == first, f"equations: {what}", rule, f"{_text(unit)} of {_shown(term)}")
    return first


def _of_power(expression: Any, parts: Sequence[Dimension | None], what: str) -> Dimension | None:
    base, exponent = parts
    # Of a number without unit any power is one.
    plain = exponent in (None, NONE) and (base in (None, NONE) or expression.exp.is_number)
    require(plain, f"equations: {what}", "must raise numbers without unit to powers without unit", expression)
    if base is None or base == NONE:
        return base
    if expression.exp.is_Rational:
        power = Fraction(str(expression.exp))
    else:
        power = Fraction(float(expression.exp)).limit_denominator(1000)
    return _add(NONE, base, power)


def _of_function(expression: Any, parts: Sequence[Dimension | None], what: str) -> Dimension | None:
    kind = type(expression).__name__
    if kind in ALIKE or kind in COMPARISONS:
        # The arguments have one unit; a comparison has none.
        units = [unit for unit in parts if unit is not None]
        alike = len(set(units)) < 2
        require(alike, f"equations: {what}", f"must give {kind} values of one unit", str(expression))
        if kind in COMPARISONS:
            return NONE
        return units[0] if units else None
    if kind == "sign":
        return NONE
    # Other functions take plain numbers; abs keeps a unit.
    allowed = parts[0] in (None, NONE) or kind == "Abs"
    require(allowed, f"equations: {what}", f"must give {kind} a number without unit", expression)
    return parts[0]


def check_unit(expression: Any, expected: Dimension | None, known: Mapping[str, Dimension], what: str) -> None:
    """Raise `NeurosimInputError` if an expression has another unit than expected; unknown units pass."""
    unit = dimension(expression, known, what)
    if unit is not None and expected is not None and unit != expected:
        raise NeurosimInputError(f"equations: {what}: must be in {_text(expected)} (got {_text(unit)})")


def per_second(unit: Dimension | None) -> Dimension | None:
    """Return the unit of a rate of change."""
    if unit is None:
        return None
    return _add(unit, UNITS["s"], Fraction(-1))


def _add(total: Dimension, other: Dimension, times: Fraction) -> Dimension:
    """Return the exponents of `total` times `other` to the power `times`."""
    s, v, a, m, mol, k = (x + times * y for x, y in zip(total, other, strict=True))
    return s, v, a, m, mol, k


def _shown(term: Any) -> str:
    return f"{float(term):g}" if term.is_number and not term.is_infinite else str(term)


def _text(unit: Dimension) -> str:
    for name, each in UNITS.items():
        if each == unit:
            return name
    parts = []
    for name, power in zip(BASES, unit, strict=True):
        if power == 1:
            parts.append(name)
        elif power:
            parts.append(f"{name}**{power}")
    return " ".join(parts)


def per_root_second() -> Dimension:
    """Return the unit of white noise, s**-1/2."""
    return _add(NONE, UNITS["s"], Fraction(-1, 2))
