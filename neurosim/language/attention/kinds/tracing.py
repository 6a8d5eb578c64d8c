"""Marks for functions that a compiled step takes as one operation, by torch's protocol `__torch_function__`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from torch.overrides import handle_torch_function, has_torch_function

P = ParamSpec("P")
R = TypeVar("R")

# What takes the place of a function that `leaf` marks in a compiled step; `compiles` enters it as modules load.
COMPILED: dict[Any, Callable[..., Any]] = {}


def leaf(function: Callable[P, R]) -> Callable[P, R]:
    """Hand a function over to arguments that are no tensors but take torch functions, as torch's own functions do.

    The compiled step of a model is traced with such arguments (`conversion.decoder.traced`): there a leaf becomes what
    `compiles` decorates for it, instead of the operations that it is written with.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        # Plain tensors take the function as it is written, at the cost of this one check.
        if has_torch_function(args):
            result: R = handle_torch_function(called, args, *args, **kwargs)
            return result
        return function(*args, **kwargs)

    return called


def compiles(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate what a compiled step does in place of these functions, which `leaf` marks.

    It is called with a `compiled.Step` and the arguments of the function, of which tensors of tokens are traced values,
    and returns as many values. A tail or state that its operations write in place is returned as it came.
    """

    def enter(append: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            COMPILED[function] = append
        return append

    return enter
