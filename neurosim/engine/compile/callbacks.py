"""Functions of neurons compiled to callbacks, which the run loops call by address.

The machine code is kept on disk, that of a model of your own beside its file where that can be written, that of
equations with the kernels. Addresses are valid as long as the process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import NeurosimInputError
from ...network.neurons.base import ExactNeuron, Neuron

EXACT_FUNCTIONS = ("flow", "jump", "crossing", "fire")


def step_callback(neuron: Neuron, real: np.dtype[Any], *, by_unit: bool = False) -> int:
    """Return the address of the `step` of a neuron, compiled for arrays of `real`.

    Args:
        by_unit: for constants [k, n], a row each, instead of [k].

    Raises:
        NeurosimInputError: numba cannot compile the step.
    """
    return int(_compile_step(type(neuron), "step", np.dtype(real), by_unit).address)


@functools.cache
def step_by_unit(model: type[Neuron], real: np.dtype[Any]) -> int:
    """Return the address of the `step` of a model for parameters by unit; 0 if it cannot be compiled for them."""
    try:
        return int(_compile_step(model, "step", real, True).address)
    except NeurosimInputError:
        return 0


def quiet_callback(neuron: Neuron, real: np.dtype[Any], *, by_unit: bool = False) -> int:
    """Return the address of the `quiet` of a neuron, compiled as its `step`; 0 if it has none."""
    if type(neuron).quiet is None:
        return 0
    return int(_compile_step(type(neuron), "quiet", np.dtype(real), by_unit).address)


def exact_callbacks(neuron: ExactNeuron) -> tuple[int, ...]:
    """Return the addresses of the `EXACT_FUNCTIONS` of a neuron.

    Raises:
        NeurosimInputError: numba cannot compile one of them.
    """
    return tuple(int(_compile_exact(type(neuron), name).address) for name in EXACT_FUNCTIONS)


@functools.cache
def _compile_step(model: type[Neuron], name: str, real: np.dtype[Any], by_unit: bool) -> Any:
    from numba import from_dtype, types

    number = from_dtype(real)
    two = types.Array(number, 2, "C")
    one = types.Array(number, 1, "C")
    signature = types.void(two, two, two if by_unit else one, types.Array(types.uint8, 1, "C"))
    if by_unit:
        form = " for parameters by unit; read constants as neurosim.network.neurons.by_unit.at(c[k], i)"
    else:
        form = ""
    return _compile(getattr(model, name), signature, f"{model.__name__}.{name}: cannot be compiled{form}")


@functools.cache
def _compile_exact(model: type[ExactNeuron], name: str) -> Any:
    from numba import types

    number = types.float64
    pointer = types.CPointer(types.float64)  # type: ignore[no-untyped-call]
    signatures = {
        "flow": types.void(pointer, number, pointer),
        "jump": types.void(pointer, types.int64, number, pointer),
        "crossing": number(pointer, pointer),
        "fire": types.void(pointer, pointer),
    }
    return _compile(getattr(model, name), signatures[name], f"{model.__name__}.{name}: cannot be compiled")


def _compile(function: Callable[..., Any], signature: Any, problem: str) -> Any:
    from numba import cfunc
    from numba.core.errors import NumbaError

    from ...kernels.tools.written import callback

    try:
        try:
            return callback(function, signature, error_model="numpy")  # type: ignore[no-untyped-call]
        except RuntimeError:  # typed into an interpreter: there is no file beside which the code could lie
            return cfunc(signature, error_model="numpy")(function)
    except NumbaError as error:
        raise NeurosimInputError(f"{problem}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error of numba that tells the cause."""
    for line in str(error).splitlines():
        if line.strip() and "pipeline" not in line:
            return line.strip()
    return ""
