"""Functions, conditions and constants of equations, and their code in a step and in the constants of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class FunctionCode(NamedTuple):
    """The code of a function of arguments {0}, {1}, ..."""

    step: str
    plain: str


def _everywhere(code: str) -> FunctionCode:
    return FunctionCode(code, code)


# By name of the sympy function; those in lower case that sympy does not know are undefined functions there.
FUNCTIONS: Mapping[str, FunctionCode] = {
    "Abs": _everywhere("abs({0})"),
    "exp": FunctionCode("exp({0})", "math.exp({0})"),
    **{
        name: _everywhere(f"math.{name}({{0}})")
        for name in ("cos", "cosh", "log", "sin", "sinh", "sqrt", "tan", "tanh")
    },
    **{name: _everywhere(f"math.{name}({{0}})") for name in ("acos", "asin", "atan", "expm1", "log1p")},
    "exprel": _everywhere("exprel({0})"),
    "floor": FunctionCode("np.floor({0})", "math.floor({0})"),
    "ceiling": FunctionCode("np.ceil({0})", "math.ceil({0})"),
    "truncated": _everywhere("np.trunc({0})"),
    "sign": _everywhere("np.sign({0})"),
    "maximum": _everywhere("max({0}, {1})"),
    "minimum": _everywhere("min({0}, {1})"),
    "remainder": _everywhere("({0} % {1})"),
}
# Those of sympy.
NATIVE = (
    *("Abs", "acos", "asin", "atan", "ceiling", "cos", "cosh", "exp", "floor", "log", "sign", "sin", "sinh", "sqrt"),
    *("tan", "tanh"),
)
CONDITIONS: Mapping[str, str] = {
    "less": "{0} < {1}",
    "at_most": "{0} <= {1}",
    "equal": "{0} == {1}",
    "unequal": "{0} != {1}",
    "both": "({0}) & ({1})",
    "either": "({0}) | ({1})",
    "negated": "not ({0})",
}
# The functions of a text: their name in sympy, and the number of arguments.
NAMES: Mapping[str, tuple[str, int]] = {
    "abs": ("Abs", 1),
    **{name: (name.replace("arc", "a"), 1) for name in ("arccos", "arcsin", "arctan")},
    "ceil": ("ceiling", 1),
    "clip": ("clip", 3),
    **{name: (name, 1) for name in ("cos", "cosh", "exp", "expm1", "exprel", "floor", "log")},
    "log10": ("log10", 1),
    **{name: (name, 1) for name in ("log1p", "sign", "sin", "sinh", "sqrt")},
    "int": ("truncated", 1),
    "max": ("maximum", 2),
    "min": ("minimum", 2),
    **{name: (name, 0) for name in ("rand", "randn")},
    **{name: (name, 1) for name in ("tan", "tanh")},
    "timestep": ("timestep", 2),
}
# Words of Brian2 that are none here, and what to write in their place.
HINTS: Mapping[str, str] = {
    "N": "make the number of units a parameter",
    "N_post": "make the number of units a parameter",
    "N_pre": "make the number of units a parameter",
    "lastspike": "write dx/dt = 1 and x = 0 in the reset: x is the time since the last spike",
    "lastupdate": "an (event-driven) variable is led over the time since the last event",
    "not_refractory": "mark the equation (unless refractory)",
    "poisson": "random numbers are rand() and randn(); PoissonInput and PoissonSource send Poisson spikes",
}
