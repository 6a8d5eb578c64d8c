"""Units of equations: powers of second, volt and ampere, checked where all terms have a unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ....base.errors import NeurosimInputError, lookup, require

# Powers of s, V and A.
Dimension = tuple[Fraction, Fraction, Fraction]


def _of(s: int = 0, v: int = 0, a: int = 0) -> Dimension:
    return Fraction(s), Fraction(v), Fraction(a)


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
}


def read_unit(text: str, what: str) -> Dimension:
    """Return the unit of a text such as "V / s" or "A * s**-1".

    Raises:
        NeurosimInputError: an unknown unit.
    """
    total = NONE
    sign = 1
    for part in re.findall(r"[*/]?\s*(?:\*\*)?[^*/\s]+(?:\s*\*\*\s*-?\d+)?", text):
        sign = -1 if part.startswith("/") else 1
        name, _, power = part.lstrip("*/ ").partition("**")
        unit = lookup(UNITS, name.strip(), f"{what}: unit")
        total = _add(total, unit, Fraction(sign * int(power or 1)))
    return total


def dimension(expression: Any, known: Mapping[str, Dimension], what: str) -> Dimension | None:
    """Return the unit of an expression; None where something in it has none.

    Raises:
        NeurosimInputError: terms of two units are added, or the argument of a function has a unit.
    """
    # Zero has any unit.
    if expression.is_zero or expression.is_Symbol:
        return known.get(str(expression))
    if expression.is_number:
        return NONE
    parts = [dimension(each, known, what) for each in expression.args]
    if expression.is_Add:
        terms = [(unit, term) for unit, term in zip(parts, expression.args, strict=True) if unit is not None]
        if not terms:
            return None
        first, first_term = terms[0]
        for unit, term in terms[1:]:
            rule = f"must add things of one unit, {_text(first)} of {first_term}"
            require(unit == first, f"equations: {what}", rule, f"{_text(unit)} of {term}")
        return first
    if expression.is_Mul:
        product: Dimension = NONE
        for factor in parts:
            product = _add(product, factor or NONE, Fraction(1))
        return None if None in parts else product
    if expression.is_Pow:
        if expression.exp.is_Rational:
            power = Fraction(str(expression.exp))
        else:
            power = Fraction(float(expression.exp))
        if parts[0] is None:
            return None
        return _add(NONE, parts[0], power)
    # Functions take plain numbers; abs keeps a unit.
    allowed = parts[0] in (None, NONE) or type(expression).__name__ == "Abs"
    require(allowed, f"equations: {what}", f"must give {type(expression).__name__} a number without unit", expression)
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
    s, v, a = (x + times * y for x, y in zip(total, other, strict=True))
    return s, v, a


def _text(unit: Dimension) -> str:
    for name, each in UNITS.items():
        if each == unit:
            return name
    parts = []
    for name, power in zip("sVA", unit, strict=True):
        if power == 1:
            parts.append(name)
        elif power:
            parts.append(f"{name}**{power}")
    return " ".join(parts)
