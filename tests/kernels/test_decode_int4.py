"""Rows of int4 added for a token's list of active channels: every form gives the bits of the specification."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurosim.kernels.decode.linear import int4
from neurosim.kernels.decode.linear.avx2 import has_avx2
from neurosim.kernels.decode.linear.encode import list_active, room
from neurosim.kernels.decode.linear.reference import block_rows_reference
from neurosim.kernels.decode.linear.vnni import has_vnni
from neurosim.language.conversion.decoder.memory import aligned

FORMS = [int4.add_strips_plain] + [int4.add_strips_avx2] * has_avx2() + [int4.add_strips_vnni] * has_vnni()


def weights_of(outputs: int, inputs: int, has_minima: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    draws = np.random.default_rng(outputs + inputs)
    q = draws.integers(0, 16, (outputs, inputs)).astype(np.uint8)
    # Steps of all sizes: of the smallest numbers of float16 that have fewer digits, too, and one of 0.
    sizes = draws.choice([1e-7, 3e-5, 1e-3, 1.0], (2, outputs, inputs // 32))
    steps, minima = (draws.standard_normal((2, outputs, inputs // 32)) * sizes).astype(np.float16)
    steps[0, 0] = 0
    return q, steps, minima if has_minima else None


def counts_of(tokens: int, inputs: int, density: float, largest: int) -> np.ndarray:
    draws = np.random.default_rng(tokens + inputs)
    counts = draws.integers(-largest, largest + 1, (tokens, inputs)) * (draws.random((tokens, inputs)) < density)
    return counts.astype(np.int8)


@pytest.mark.parametrize("add", FORMS, ids=lambda add: add.__name__)
@pytest.mark.parametrize("has_minima", [False, True])
@pytest.mark.parametrize(("outputs", "inputs", "density", "largest"), [(128, 32, 1.0, 127), (200, 160, 0.3, 3)])
def test_sums_are_those_of_the_specification(
    outputs: int, inputs: int, density: float, largest: int, has_minima: bool, add: Callable[..., None]
) -> None:
    q, steps, minima = weights_of(outputs, inputs, has_minima)
    counts = counts_of(3, inputs, density, largest)
    # Blocks of the second token have no active channel, nor has all of the third.
    counts[1, 32:96] = 0
    counts[2] = 0
    padded = [np.zeros((-(-outputs // int4.STRIP) * int4.STRIP, x.shape[1]), x.dtype) for x in (q, steps, steps)]
    for full, own in zip(padded, (q, steps, minima), strict=True):
        full[:outputs] = 0 if own is None else own
    stride = len(padded[0])
    rows = aligned((inputs // 32, int4.block_bytes(stride, has_minima)), np.uint8)
    int4.pack(padded[0], padded[1], padded[2] if has_minima else None, rows)
    quads = np.full(int4.list_size(inputs), -1, np.int32)
    wanted = block_rows_reference(counts, q, steps, minima)
    for own, sums in zip(counts, wanted, strict=True):
        channels = np.full(room(inputs), -1, np.int32)
        values = np.full(room(inputs), -1, np.int8)
        number, _ = list_active(np.concatenate([own, np.zeros(-own.size % 64, np.int8)]), channels, values)
        int4.list_quads(channels, values, number, inputs, stride, has_minima, quads.ctypes.data)
        out = aligned((stride,), np.float32)
        # Strips one after the other, as two threads add them.
        for strip in range(stride // int4.STRIP):
            add(rows.ctypes.data, stride, inputs, has_minima, quads.ctypes.data, strip, strip + 1, out.ctypes.data)
        assert (out[:outputs] == sums).all()
        # Outputs that fill up the last strip have steps of 0.
        assert not out[outputs:].any()
