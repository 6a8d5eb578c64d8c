"""Uninitialised arrays filled with values that no correct result holds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType
from typing import Any

import numpy as np
import pytest


def fill_array(array: np.ndarray) -> np.ndarray:
    """NaN, or the largest integer but one hundred: an index that is out of every range."""
    if array.dtype.kind in "fc":
        array.fill(np.nan)
    elif array.dtype.kind in "iu":
        array.fill(np.iinfo(array.dtype).max - 100)
    elif array.dtype.kind == "b":
        array.fill(True)
    return array


def fill_tensor(tensor: Any) -> Any:
    import torch

    # Tensors on the device "meta" hold nothing; inside a compiler's trace nothing is filled.
    if tensor.device.type == "meta" or type(tensor) is not torch.Tensor:
        return tensor
    with torch.no_grad():
        if tensor.is_floating_point() or tensor.is_complex():
            tensor.fill_(float("nan"))
        elif tensor.dtype == torch.bool:
            tensor.fill_(True)
        else:
            tensor.fill_(torch.iinfo(tensor.dtype).max - 100)
    return tensor


def _keep_numba(patch: pytest.MonkeyPatch, originals: dict[Any, Any]) -> None:
    """Let compiled functions that name `np.empty` be compiled with the original."""
    from numba.core.registry import cpu_target
    from numba.core.typing.context import BaseContext

    # Numba loads its own `np.empty` by that name: it must do so before the name is patched.
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    resolve = BaseContext.resolve_value_type
    patch.setattr(BaseContext, "resolve_value_type", lambda self, value: resolve(self, _original(originals, value)))


def _original(originals: dict[Any, Any], value: Any) -> Any:
    if isinstance(value, FunctionType):
        return originals.get(value, value)
    return value


def _filling(make: Callable[..., Any], fill: Callable[[Any], Any]) -> Callable[..., Any]:
    @wraps(make)
    def filled(*args: Any, **kwargs: Any) -> Any:
        return fill(make(*args, **kwargs))

    return filled


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill what Python code gets from `empty`, `empty_like` and `new_empty`; numba compiles its own `np.empty`."""
    with pytest.MonkeyPatch.context() as patch:
        originals: dict[Any, Any] = {}
        _keep_numba(patch, originals)
        for name in ("empty", "empty_like"):
            original = getattr(np, name)
            filled = _filling(getattr(np, name), fill_array)
            originals[filled] = original
            patch.setattr(np, name, filled)
        if importlib.util.find_spec("torch") is not None:
            import torch
            from torch.utils import _device

            # `with torch.device(...)` knows constructors by identity: let it remember the originals.
            _device._device_constructors()
            for name in ("empty", "empty_like"):
                patch.setattr(torch, name, _filling(getattr(torch, name), fill_tensor))
            patch.setattr(torch.Tensor, "new_empty", _filling(torch.Tensor.new_empty, fill_tensor))
        yield
