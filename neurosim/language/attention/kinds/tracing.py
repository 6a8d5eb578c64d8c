"""A mark for functions that a compiled step takes as one operation, by torch's protocol `__torch_function__`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from torch.overrides import handle_torch_function, has_torch_function

P = ParamSpec("P")
R = TypeVar("R")


def leaf(function: Callable[P, R]) -> Callable[P, R]:
    """Hand a function over to arguments that are no tensors but take torch functions, as torch's own functions do.

    The compiled step of a model is traced with such arguments (`conversion.decoder.traced`): there a leaf becomes an
    operation of its own, instead of those that it is written with.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        # Plain tensors take the function as it is written, at the cost of this one check.
        if has_torch_function(args):
            result: R = handle_torch_function(called, args, *args, **kwargs)
            return result
        return function(*args, **kwargs)

    return called
