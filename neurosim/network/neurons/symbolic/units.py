"""Units of equations: powers of s, V, A, m and mol, checked where all terms have a unit; literals such as `10*mV`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ....base.errors import NeurosimInputError, lookup, require

# Functions of values of one unit: with that unit, and without.
ALIKE = ("maximum", "minimum", "remainder")
COMPARISONS = ("less", "at_most", "equal", "unequal")
# Powers of s, V, A, m and mol.
Dimension = tuple[Fraction, Fraction, Fraction, Fraction, Fraction]


def _of(s: int = 0, v: int = 0, a: int = 0, m: int = 0, mol: int = 0) -> Dimension:
    return Fraction(s), Fraction(v), Fraction(a), Fraction(m), Fraction(mol)


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
}
# Other names of units: full names, and concentrations (1 molar is 1000 mol / m^3).
NAMES: Mapping[str, tuple[str, Fraction]] = {
    **{name: ("s", Fraction(1)) for name in ("second", "seconds")},
    **{name: ("A", Fraction(1)) for name in ("amp", "ampere")},
    **{name: ("m", Fraction(1)) for name in ("metre", "meter")},
    "volt": ("V", Fraction(1)),
    "siemens": ("S", Fraction(1)),
    "farad": ("F", Fraction(1)),
    "coulomb": ("C", Fraction(1)),
    "hertz": ("Hz", Fraction(1)),
    "mole": ("mol", Fraction(1)),
    **{name: ("1", Fraction(1)) for name in ("boolean", "integer", "radian")},
    "molar": ("molar", Fraction(1000)),
    "M": ("molar", Fraction(1000)),
}
PREFIXES: Mapping[str, Fraction] = {
    **{"f": Fraction(1, 10**15), "p": Fraction(1, 10**12), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6)},
    **{"m": Fraction(1, 1000), "c": Fraction(1, 100), "k": Fraction(1000), "M": Fraction(10**6), "G": Fraction(10**9)},
}
MOLAR = _of(m=-3, mol=1)


def unit_named(name: str) -> tuple[Dimension, Fraction] | None:
    """Return dimension and size in SI units of a unit such as "mV", "second" or "mmolar"; None for another name."""
    for prefix, scale in {"": Fraction(1), **PREFIXES}.items():
        base = name.removeprefix(prefix)
        if not name.startswith(prefix) or not base:
            continue
        symbol, size = NAMES.get(base, (base, Fraction(1)))
        if symbol == "molar":
            return MOLAR, scale * size
        if symbol in UNITS and not (prefix and base == "1"):
            return UNITS[symbol], scale * size
    return None


def literal_unit(name: str) -> tuple[Dimension, Fraction] | None:
    """Return the unit that a name in an expression stands for; None for none, and for single letters, often symbols."""
    if len(name) == 1:
        return None
    return unit_named(name)


def read_unit(text: str, what: str) -> Dimension:
    """Return the unit of a text such as "V / s", "amp/meter**2" or "A * s**-1"; prefixes change nothing.

    Raises:
        NeurosimInputError: an unknown unit.
    """
    total = NONE
    sign = 1
    for part in re.findall(r"[*/]?\s*(?:\*\*)?[^*/\s]+(?:\s*\*\*\s*-?\d+)?", text):
        sign = -1 if part.startswith("/") else 1
        name, _, power = part.lstrip("*/ ").partition("**")
        named = unit_named(name.strip())
        if named is None:
            lookup(UNITS, name.strip(), f"{what}: unit")
        else:
            total = _add(total, named[0], Fraction(sign * int(power or 1)))
    return total


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
        return _of_power(expression, parts[0])
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


def _of_power(expression: Any, base: Dimension | None) -> Dimension | None:
    # Of a number without unit any power is one.
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
    s, v, a, m, mol = (x + times * y for x, y in zip(total, other, strict=True))
    return s, v, a, m, mol


def _shown(term: Any) -> str:
    return f"{float(term):g}" if term.is_number and not term.is_infinite else str(term)


def _text(unit: Dimension) -> str:
    for name, each in UNITS.items():
        if each == unit:
            return name
    parts = []
    for name, power in zip(("s", "V", "A", "m", "mol"), unit, strict=True):
        if power == 1:
            parts.append(name)
        elif power:
            parts.append(f"{name}**{power}")
    return " ".join(parts)


def per_root_second() -> Dimension:
    """Return the unit of white noise, s**-1/2."""
    return _add(NONE, UNITS["s"], Fraction(-1, 2))
