"""Operations of a decoder run on arrays, their work cut in two parts, as two threads cut it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurosim.kernels.decode import program

TOKENS = 3
MAX_TOKENS = 16
HEADS = 4
KEYS = 6
VALUES = 5
SIZES = {"heads": HEADS, "keys": KEYS, "values": VALUES, "tokens": TOKENS}  # operands of states


class Draws:
    """Normal numbers of any shape."""

    def __init__(self) -> None:
        self.draws = np.random.default_rng(7)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.draws.standard_normal(shape).astype(np.float32)


def run(bound: Any, count: int, position: int | Sequence[int] = 0) -> int:
    """Run an operation, bound to its operands, on units 0 to `count` in two parts; return the problem it reports.

    Args:
        position: of all tokens, or of each.
    """
    values = {name: _word(value) for name, value in bound.values.items()}
    table = bound.operation.operands.table(values)
    context = np.zeros(program.POSITIONS + MAX_TOKENS, np.int64)
    positions = context[program.POSITIONS :]
    positions[: np.size(position)] = position
    positions[np.size(position) :] = np.max(position)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(bound.operation.address)
    for begin, end in ((0, count // 2), (count // 2, count)):
        function(table.ctypes.data, context.ctypes.data, begin, end)
    return int(context[program.PROBLEM])


def _word(value: Any) -> float:
    """Return a number, the address of an array, or 0 for None."""
    if isinstance(value, np.ndarray):
        return value.ctypes.data
    return 0 if value is None else value


def empty(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, np.asarray(expected).reshape(actual.shape), rtol=2e-5, atol=2e-6)
