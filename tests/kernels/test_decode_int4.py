"""Rows of int4 added for a token's list of active channels: every form gives the bits of the specification."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers.operations import run

from neurosim.kernels.decode.linear import int4
from neurosim.kernels.decode.linear.all_rows import groups_of
from neurosim.kernels.decode.linear.avx2 import has_avx2
from neurosim.kernels.decode.linear.encode import ESCAPES, HEAD, NUMBER, list_active, room
from neurosim.kernels.decode.linear.parts import PART
from neurosim.kernels.decode.linear.reference import block_rows_reference
from neurosim.kernels.decode.linear.vnni import BATCH, has_vnni
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


def packed(q: np.ndarray, steps: np.ndarray, minima: np.ndarray | None) -> tuple[np.ndarray, int]:
    """Return weights as kernels read them, and the outputs of a row."""
    stride = -(-len(q) // int4.STRIP) * int4.STRIP
    padded = []
    for part in (q, steps, minima):
        if part is not None:
            padded.append(np.zeros((stride, part.shape[1]), part.dtype))
            padded[-1][: len(q)] = part
    rows = aligned((q.shape[1] // 32, int4.block_bytes(stride, minima is not None)), np.uint8)
    int4.pack(padded[0], padded[1], padded[2] if minima is not None else None, rows)
    return rows, stride


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
    rows, stride = packed(q, steps, minima)
    weights = int4.Weights(rows.ctypes.data, stride, inputs, has_minima)
    quads = np.full(int4.list_size(inputs), -1, np.int32)
    expected = block_rows_reference(counts, q, steps, minima)
    for own, sums in zip(counts, expected, strict=True):
        channels = np.full(room(inputs), -1, np.int32)
        values = np.full(room(inputs), -1, np.int8)
        number, _ = list_active(np.concatenate([own, np.zeros(-own.size % 64, np.int8)]), channels, values)
        int4.list_quads(channels, values, number, weights, quads.ctypes.data)
        out = aligned((stride,), np.float32)
        # Strips one after the other, as two threads add them.
        for strip in range(stride // int4.STRIP):
            add(weights, quads.ctypes.data, strip, strip + 1, out.ctypes.data)
        assert (out[:outputs] == sums).all()
        # Outputs that fill up the last strip have steps of 0.
        assert not out[outputs:].any()


@pytest.mark.parametrize("has_minima", [False, True])
@pytest.mark.parametrize(("outputs", "inputs", "tokens"), [(700, 96, 16), (100, 64, 19)])
def test_all_rows_of_a_batch(outputs: int, inputs: int, tokens: int, has_minima: bool) -> None:
    if not has_vnni():
        pytest.skip("this processor has no AVX-512 VNNI")
    q, steps, minima = weights_of(outputs, inputs, has_minima)
    counts = counts_of(tokens, inputs, 0.5, 127)
    counts[3] = 0
    rows, stride = packed(q, steps, minima)
    channels = np.zeros((tokens, room(inputs)), np.int32)
    values = np.zeros((tokens, room(inputs)), np.int8)
    heads = np.zeros((tokens, HEAD), np.int64)
    for i, own in enumerate(counts):
        full = np.concatenate([own, np.zeros(-own.size % 64, np.int8)])
        heads[i, NUMBER], _ = list_active(full, channels[i], values[i])
    spare = aligned((int4.batch_size(inputs, tokens),), np.uint8)
    groups = groups_of(tokens)
    words = spare.ctypes.data + int4.UNPACKED
    totals = words + BATCH * groups * inputs
    int4.spread_blocks(channels, values, heads, inputs, words, totals)
    out = aligned((groups * BATCH, stride), np.float32)
    weights = int4.Weights(rows.ctypes.data, stride, inputs, has_minima)
    block_counts = int4.BlockCounts(words, totals, groups)
    # In parts, as two threads add them.
    for begin, end in ((0, 1), (1, stride // int4.STRIP)):
        int4.add_all_strips_vnni(weights, block_counts, spare.ctypes.data, begin, end, out.ctypes.data)
    assert (out[:tokens, :outputs] == block_rows_reference(counts, q, steps, minima)).all()
    assert not out[:, outputs:].any()
    assert not out[tokens:].any()


@pytest.mark.parametrize("has_minima", [False, True])
def test_layers_that_read_the_same_list(has_minima: bool) -> None:
    """Two layers side by side, with levels, escapes, biases and residuals, in every form of the sums."""
    tokens, inputs, outputs = 3, 96, 200
    draws = np.random.default_rng(4)
    q, steps, minima = weights_of(outputs, inputs, has_minima)
    counts = counts_of(tokens, inputs, 0.6, 127)
    rows, stride = packed(q, steps, minima)
    level, bias, before = (
        draws.standard_normal(shape).astype(np.float32) for shape in ((tokens,), (outputs,), (tokens, outputs))
    )
    excess = np.zeros((tokens, inputs), np.int64)
    excess[0, [5, 40]] = 300, -2000
    excess[2, 7] = 9
    found: dict[str, np.ndarray] = {
        "channels": np.zeros((tokens, room(inputs)), np.int32),
        "counts": np.zeros((tokens, room(inputs)), np.int8),
        "head": np.zeros((tokens, HEAD), np.int64),
        "level": level,
        "escaped": np.zeros((tokens, inputs), np.int32),
        "excess": np.zeros((tokens, inputs), np.int32),
    }
    for i, own in enumerate(counts):
        full = np.concatenate([own, np.zeros(-own.size % 64, np.int8)])
        found["head"][i, NUMBER], _ = list_active(full, found["channels"][i], found["counts"][i])
        beyond = np.flatnonzero(excess[i])
        found["head"][i, ESCAPES] = len(beyond)
        found["escaped"][i, : len(beyond)] = beyond
        found["excess"][i, : len(beyond)] = excess[i, beyond]
    sums = block_rows_reference(counts, q, steps, minima, excess)
    expected = before + (bias + sums * level[:, None])
    for operation in int4.BLOCK_ROWS[int4.fastest() :]:
        out = np.full((tokens, outputs), np.nan, np.float32)
        parts = np.zeros((2, PART), np.int64)
        for part, first, end in ((parts[0], 0, 72), (parts[1], 72, outputs)):
            addresses = [each.ctypes.data + 4 * first for each in (bias, before, out)]
            part[:] = [first, end - first, 0, *addresses, outputs]
        run(
            operation(
                rows=rows,
                stride=stride,
                size=inputs,
                tokens=tokens,
                **found,
                has_levels=1,
                has_minima=int(has_minima),
                parts=parts,
                part_count=2,
                sums=np.empty((tokens, stride), np.float32),
                quads=np.empty((tokens, int4.list_size(inputs)), np.int32),
                list_size=int4.list_size(inputs),
            ),
            stride // int4.STRIP,
        )
        assert (out == expected).all()
