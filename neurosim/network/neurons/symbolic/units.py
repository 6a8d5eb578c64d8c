"""Units of equations: powers of second, volt and ampere, checked where all that meets has a unit."""

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
    """Return the unit that a text such as "V / s" or "A * s**-1" says.

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
        NeurosimInputError: things of two units are added, or a function is given something with a unit.
    """
    if expression.is_zero:  # has any unit
        return None
    if expression.is_Symbol or expression.is_number:
        if expression.is_Symbol:
            return known.get(str(expression))
        return NONE
    parts = [dimension(each, known, what) for each in expression.args]
    if expression.is_Add:
        told = [(part, each) for part, each in zip(parts, expression.args, strict=True) if part is not None]
        for part, each in told[1:]:
            rule = f"must add things of one unit, {_text(told[0][0])} of {told[0][1]}"
            require(part == told[0][0], f"equations: {what}", rule, f"{_text(part)} of {each}")
        return told[0][0] if told else None
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
    plain = parts[0] in (None, NONE) or type(expression).__name__ == "Abs"
    require(plain, f"equations: {what}", f"must give {type(expression).__name__} a number without unit", expression)
    return parts[0]


def check_unit(expression: Any, expected: Dimension | None, known: Mapping[str, Dimension], what: str) -> None:
    """Raise `NeurosimInputError` where an expression has another unit than it should; units not given pass."""
    found = dimension(expression, known, what)
    if found is not None and expected is not None and found != expected:
        raise NeurosimInputError(f"equations: {what}: must be in {_text(expected)} (got {_text(found)})")


def per_second(unit: Dimension | None) -> Dimension | None:
    """Return the unit of a rate of change."""
    if unit is None:
        return None
    return _add(unit, UNITS["s"], Fraction(-1))


def _add(total: Dimension, other: Dimension, times: Fraction) -> Dimension:
    s, v, a = (x + times * y for x, y in zip(total, other, strict=True))
    return s, v, a


def _text(unit: Dimension) -> str:
    named = next((name for name, each in UNITS.items() if each == unit), None)
    powers = [f"{name}**{power}" if power != 1 else name for name, power in zip("sVA", unit, strict=True) if power]
    return named or " ".join(powers)
