"""The functions of a neuron's exact form, compiled to callbacks that one run loop calls by address."""

from __future__ import annotations

import functools
from typing import Any

from ...errors import NeurosimInputError
from ...neurons import ExactNeuron

FUNCTIONS = ("flow", "jump", "crossing", "fire")


def callbacks(neuron: ExactNeuron) -> tuple[int, ...]:
    """Addresses of `FUNCTIONS`, valid as long as the process.

    The machine code is kept on disk beside the file that defines the model, where that can be written.

    Raises:
        NeurosimInputError: numba cannot compile one of them.
    """
    return tuple(_compile(type(neuron), name).address for name in FUNCTIONS)


@functools.cache
def _compile(model: type[ExactNeuron], name: str) -> Any:
    from numba import cfunc, types
    from numba.core.errors import NumbaError

    number, pointer = types.float64, types.CPointer(types.float64)
    signatures = {
        "flow": types.void(pointer, number, pointer),
        "jump": types.void(pointer, types.int64, number, pointer),
        "crossing": number(pointer, pointer),
        "fire": types.void(pointer, pointer),
    }
    function, signature = getattr(model, name), signatures[name]
    try:
        try:
            return cfunc(signature, cache=True, error_model="numpy")(function)
        except RuntimeError:  # typed into an interpreter: there is no file to keep the code beside
            return cfunc(signature, error_model="numpy")(function)
    except NumbaError as error:
        first = next((line for line in str(error).splitlines() if line.strip() and "pipeline" not in line), "")
        raise NeurosimInputError(f"{model.__name__}.{name}: cannot be compiled: {first.strip()}") from error
