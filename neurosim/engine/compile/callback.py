"""Neuron steps compiled to callbacks that one run loop calls by address."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...errors import NeurosimInputError
from ...neurons import Neuron


def callback(neuron: Neuron, real: np.dtype, *, by_unit: bool = False) -> int:
    """Return the address of the neuron's `step`, compiled for arrays of `real`; it is valid as long as the process.

    The machine code is kept on disk beside the file that defines the model, where that can be written.

    Args:
        by_unit: for constants [k, n], a row each, instead of [k].

    Raises:
        NeurosimInputError: numba cannot compile the step.
    """
    return _compile(type(neuron), np.dtype(real), by_unit).address


@functools.cache
def _compile(model: type[Neuron], real: np.dtype, by_unit: bool) -> Any:
    from numba import cfunc, from_dtype, types
    from numba.core.errors import NumbaError

    number = from_dtype(real)
    two, one = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    signature = types.void(two, two, two if by_unit else one, types.Array(types.uint8, 1, "C"))
    try:
        try:
            return cfunc(signature, cache=True, error_model="numpy")(model.step)
        except RuntimeError:  # typed into an interpreter: there is no file to keep the code beside
            return cfunc(signature, error_model="numpy")(model.step)
    except NumbaError as error:
        first = next((line for line in str(error).splitlines() if line.strip() and "pipeline" not in line), "")
        form = " for parameters by unit; read constants as neurosim.neurons.at(c[k], i)" if by_unit else ""
        raise NeurosimInputError(f"{model.__name__}.step: cannot be compiled{form}: {first.strip()}") from error
