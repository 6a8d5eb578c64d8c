"""Expressions as Python code: of `constants`, computed once in float64, and of `step`, computed for each unit.

A rendered expression is its text and how tightly it binds, `SUM` to `ATOM`, by which brackets are set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .functions import CONDITIONS, FUNCTIONS

SUM, PRODUCT, POWER, ATOM = range(4)
# Powers up to this one are products of the base with itself.
MAX_PRODUCT = 4


def plain(expression: Any) -> str:
    """Return an expression of parameters as Python."""
    return _number(expression)[0]


def _number(expression: Any) -> tuple[str, int]:
    render = PLAIN.get(type(expression).__name__, _leaf)
    return render(expression)


def _leaf(expression: Any) -> tuple[str, int]:
    """Return a parameter, a number, or a function or condition of parameters."""
    if expression.is_Symbol:
        return ("dt" if str(expression) == "dt" else f"self.{expression}"), ATOM
    name = type(expression).__name__
    arguments = [plain(argument) for argument in expression.args]
    if name in CONDITIONS:
        return f"(1.0 if {_condition_of(expression, plain)} else 0.0)", ATOM
    if name in FUNCTIONS:
        return FUNCTIONS[name].plain.format(*arguments), ATOM
    if expression.is_infinite:
        return ("math.inf", ATOM) if expression > 0 else ("-math.inf", SUM)
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


def _condition_of(expression: Any, render: Callable[[Any], str]) -> str:
    """Return a condition as code that is true or false; `render` gives the code of the values that it compares."""
    name = type(expression).__name__
    if name in ("both", "either", "negated"):
        return CONDITIONS[name].format(*(_condition_of(argument, render) for argument in expression.args))
    return CONDITIONS[name].format(*(render(argument) for argument in expression.args))


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

    def __init__(self) -> None:
        self.constants: list[str] = []

    def constant(self, code: str) -> str:
        """Return the code that reads a constant, which `code` computes."""
        if code not in self.constants:
            self.constants.append(code)
        # `unit` counts the units of the loop.
        return f"at(c{self.constants.index(code)}, unit)"

    def render(self, expression: Any, names: Mapping[str, str]) -> str:
        """Return an expression as code of a step.

        Args:
            names: of the variables that hold the states, and all else that is no parameter.
        """
        return self._render(expression, names)[0]

    def condition(self, expression: Any, names: Mapping[str, str]) -> str:
        """Return a condition as code of a step that is true or false."""
        return _condition_of(expression, lambda value: self.render(value, names))

    def _render(self, expression: Any, names: Mapping[str, str]) -> tuple[str, int]:
        # Without a state in it, it is a constant.
        if not _varies(expression, names):
            return self.constant(plain(expression)), ATOM
        if expression.is_Symbol:
            return names[str(expression)], ATOM
        if expression.is_Add or expression.is_Mul:
            return self._gathered(expression, names)
        if expression.is_Pow:
            return self._power(expression, names)
        name = type(expression).__name__
        if name in CONDITIONS:
            return f"(one if {self.condition(expression, names)} else zero)", ATOM
        arguments = [self.render(argument, names) for argument in expression.args]
        return FUNCTIONS[name].step.format(*arguments), ATOM

    def _gathered(self, expression: Any, names: Mapping[str, str]) -> tuple[str, int]:
        """Return a sum or product whose parts without states are one constant."""
        variable = [each for each in expression.args if _varies(each, names)]
        constant = expression.func(*(each for each in expression.args if each not in variable))
        # The sign stands in front, so that a x and -a x read one constant.
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
        """Return the code of a power, as products or a root where that is faster, and how tightly it binds."""
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
        return f"{base} ** {_bracket(self._render(power, names), ATOM)}", POWER


def _varies(expression: Any, names: Mapping[str, str]) -> bool:
    return any(str(each) in names for each in expression.free_symbols)
