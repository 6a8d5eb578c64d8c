"""Expressions as Python code: of `constants`, computed once in float64, and of `step`, computed for each unit.

A rendered expression is its text and how tightly it binds, `SUM` to `ATOM`, by which brackets are set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SUM, PRODUCT, POWER, ATOM = range(4)
# Functions of a step under other names than in `math`.
CALLS = {"Abs": "abs", "exp": "exp"}
# Powers up to this one are products of the base with itself.
MAX_PRODUCT = 4


def plain(expression: Any) -> str:
    """Return an expression of parameters as Python."""
    return _number(expression)[0]


def _number(expression: Any) -> tuple[str, int]:
    render = PLAIN.get(type(expression).__name__, _leaf)
    return render(expression)


def _leaf(expression: Any) -> tuple[str, int]:
    """Return a parameter, a number, or a function of a parameter."""
    if expression.is_Symbol:
        return f"self.{expression}", ATOM
    if expression.args:
        name = type(expression).__name__
        function = "abs" if name == "Abs" else f"math.{name}"
        return f"{function}({plain(expression.args[0])})", ATOM
    # A negative number binds like a sum: its minus sign must not follow an operator.
    if expression.is_Rational and not expression.is_Integer:
        return f"{float(expression.p)!r} / {float(expression.q)!r}", PRODUCT if expression.p > 0 else SUM
    value = float(expression)
    return repr(value), ATOM if value >= 0 else SUM


def _root(expression: Any) -> tuple[str, int]:
    base = _bracket(_number(expression.base), ATOM)
    if expression.exp == -1:
        return f"1.0 / {base}", PRODUCT
    return f"{base} ** {_bracket(_number(expression.exp), ATOM)}", POWER


PLAIN: Mapping[str, Callable[[Any], tuple[str, int]]] = {
    "Add": lambda expression: (_sum([_number(each) for each in expression.args]), SUM),
    "Mul": lambda expression: _product(expression, _number),
    "Pow": _root,
}


def _sum(terms: list[tuple[str, int]]) -> str:
    text = terms[0][0]
    for term, _ in terms[1:]:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text


def _product(expression: Any, render: Any) -> tuple[str, int]:
    """Return factors joined by * and /; a minus sign comes first, and makes the whole bind like a sum."""
    numerators = []
    denominators = []
    minus = False
    for factor in expression.args:
        if factor == -1:
            minus = True
        elif factor.is_Pow and factor.exp == -1:
            denominators.append(_bracket(render(factor.base), ATOM))
        else:
            numerators.append(_bracket(render(factor), POWER))
    text = " * ".join(numerators) or "1.0"
    text = " / ".join([text, *denominators])
    if minus:
        return f"-{text}", SUM
    return text, PRODUCT


def _bracket(rendered: tuple[str, int], min_binding: int) -> str:
    """Return the text of an expression, in brackets if it binds less than `min_binding`."""
    text, binding = rendered
    if binding >= min_binding:
        return text
    return f"({text})"


class StepCode:
    """Expressions of a step. Parts that depend on parameters alone are computed once, as constants.

    Attributes:
        constants: code of each constant, in order.
    """

    def __init__(self, states: Mapping[str, str]) -> None:
        self.states = {name: name for name in states}
        self.constants: list[str] = []

    def constant(self, code: str) -> str:
        """Return the code that reads a constant, which `code` computes."""
        if code not in self.constants:
            self.constants.append(code)
        return f"at(c{self.constants.index(code)}, unit)"

    def render(self, expression: Any, names: Mapping[str, str]) -> str:
        """Return an expression as code of a step.

        names: of the variables that hold the states.
        """
        return self._render(expression, names)[0]

    def _render(self, expression: Any, names: Mapping[str, str]) -> tuple[str, int]:
        # Without a state in it, it is a constant.
        if not any(str(symbol) in names for symbol in expression.free_symbols):
            return self.constant(plain(expression)), ATOM
        if expression.is_Symbol:
            return names[str(expression)], ATOM
        if expression.is_Add or expression.is_Mul:
            return self._gathered(expression, names)
        if expression.is_Pow:
            return self._power(expression, names)
        kind = type(expression).__name__
        return f"{CALLS.get(kind, f'math.{kind}')}({self.render(expression.args[0], names)})", ATOM

    def _gathered(self, expression: Any, names: Mapping[str, str]) -> tuple[str, int]:
        """Return a sum or product whose parts without states are one constant."""
        variable = [each for each in expression.args if any(str(symbol) in names for symbol in each.free_symbols)]
        constant = expression.func(*(each for each in expression.args if each not in variable))
        minus = expression.is_Mul and constant.could_extract_minus_sign()
        if minus:
            constant = -constant
        parts = [self._render(each, names) for each in variable]
        if expression.is_Add:
            if constant != 0:
                parts.append((self.constant(plain(constant)), ATOM))
            return _sum(parts), SUM
        factors = [_bracket(part, POWER) for part in parts]
        if constant != 1:
            factors.insert(0, self.constant(plain(constant)))
        text = " * ".join(factors)
        if minus:
            return f"-{text}", SUM
        return text, PRODUCT

    def _power(self, expression: Any, names: Mapping[str, str]) -> tuple[str, int]:
        base = _bracket(self._render(expression.base, names), ATOM)
        power = expression.exp
        if power.is_Integer and 2 <= abs(int(power)) <= MAX_PRODUCT:
            text = " * ".join([base] * abs(int(power)))
            if power > 0:
                return (text, PRODUCT)
            return (f"one / ({text})", PRODUCT)
        if power == -1:
            return f"one / {base}", PRODUCT
        if power.is_Rational and abs(power) == 0.5:
            root = f"math.sqrt({self.render(expression.base, names)})"
            if power > 0:
                return (root, ATOM)
            return (f"one / {root}", PRODUCT)
        return f"{base} ** {self.constant(plain(power))}", POWER
