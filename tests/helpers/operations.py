"""Operations of a decoder run on arrays, their work cut in two parts, as two threads cut it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurosim.kernels.decode import program

TOKENS, HEADS, KEYS, VALUES = 3, 4, 6, 5


class Draws:
    """Normal numbers of any shape."""

    def __init__(self) -> None:
        self.draws = np.random.default_rng(7)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.draws.standard_normal(shape).astype(np.float32)


def run(operation: Any, arguments: Sequence[Any], count: int, position: int = 0) -> int:
    """Run an operation on units 0 to `count` in two parts; return the problem that it reports."""
    table, context = np.zeros(program.ARGUMENT_COUNT, np.int64), np.array([position, 0], np.int64)
    for i, value in enumerate(arguments):
        if isinstance(value, np.ndarray):
            table[i] = value.ctypes.data
        elif isinstance(value, float):
            table.view(np.float64)[i] = value
        else:
            table[i] = 0 if value is None else int(value)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(operation.address)
    for begin, end in ((0, count // 2), (count // 2, count)):
        function(table.ctypes.data, context.ctypes.data, begin, end)
    return int(context[program.PROBLEM])


def empty(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, np.asarray(wanted).reshape(found.shape), rtol=2e-5, atol=2e-6)
