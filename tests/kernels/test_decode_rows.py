"""Rows added for a token's list of active channels: every form gives the sums of the specification."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from neurosim.kernels.decode.linear.all_rows import (
    SPARE_AMX,
    TILE,
    TOGETHER,
    add_all_rows_amx,
    add_all_rows_vnni,
    all_rows_size,
    flat_counts,
    groups_of,
    spread_counts,
)
from neurosim.kernels.decode.linear.amx import begin_tiles, end_tiles, has_amx
from neurosim.kernels.decode.linear.avx2 import SMALL, has_avx2
from neurosim.kernels.decode.linear.encode import HEAD, NUMBER, SUM, list_active, room
from neurosim.kernels.decode.linear.listed_rows import SHORT, add_rows_avx2, add_rows_plain, add_rows_vnni, settle
from neurosim.kernels.decode.linear.vnni import BATCH, BLOCK, has_vnni
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.tools.threads import together
from neurosim.language.conversion.decoder.memory import aligned


def listed(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    channels = np.full(room(counts.size), -1, np.int32)
    values = np.full(room(counts.size), -1, np.int8)
    number, total = list_active(np.concatenate([counts, np.zeros(-counts.size % 64, np.int8)]), channels, values)
    return channels, values, number, total


@pytest.mark.parametrize(("inputs", "density"), [(1, 1.0), (7, 1.0), (40, 0.0), (300, 0.1), (300, 0.5), (100, 1.0)])
def test_a_list_has_the_active_channels_in_order(inputs: int, density: float) -> None:
    draws = np.random.default_rng(inputs)
    counts = (draws.integers(-3, 4, inputs) * (draws.random(inputs) < density)).astype(np.int8)
    channels, values, number, total = listed(counts)
    assert channels[:number].tolist() == np.flatnonzero(counts).tolist()
    assert values[:number].tolist() == counts[counts != 0].tolist()
    assert total == counts.sum()
    # What is fetched ahead must be channels, and add nothing.
    assert not values[number : (number + 7) // 8 * 8 + 8].any()
    assert not channels[number : (number + 7) // 8 * 8 + 8].any()


@pytest.mark.parametrize("largest", [1, 3, SMALL // 8, SMALL // 8 + 1, SHORT // 8, SHORT // 8 + 1, 127])
@pytest.mark.parametrize("outputs", [BLOCK, 5 * BLOCK])
def test_sums_are_exact(largest: int, outputs: int) -> None:
    draws = np.random.default_rng(largest)
    counts = draws.integers(-largest, largest + 1, 203).astype(np.int8)
    # eight of the largest size side by side
    counts[:8] = largest
    counts[8:16] = -largest
    weights = draws.integers(-128, 128, (203, outputs)).astype(np.int8)
    weights[:8] = 127
    weights[8:16] = -128
    expected = accumulate_reference(counts[None], weights)[0]
    channels, values, number, total = listed(counts)
    sums = np.zeros(outputs, np.int32)
    for add in [add_rows_plain] + [add_rows_avx2] * has_avx2() + [add_rows_vnni] * has_vnni():
        sums[:] = 0
        add(weights.ctypes.data, outputs, channels, values, number, outputs, sums.ctypes.data)
        if add is add_rows_vnni:
            settle(sums.ctypes.data, outputs, total)
        assert (sums == expected).all(), add


@njit
def add_with_tiles(
    rows: int, stride: int, size: int, columns: int, flat: int, groups: int, spare: int, sums: int, step: int
) -> None:
    begin_tiles()
    add_all_rows_amx(rows, stride, size, columns, flat, groups, spare, sums, step)
    end_tiles()


@pytest.mark.parametrize(("inputs", "tokens"), [(203, 16), (6, 9), (130, 33), (300, 20)])
def test_all_rows_of_a_batch_are_exact(inputs: int, tokens: int) -> None:
    if not has_vnni():
        pytest.skip("this processor has no AVX-512 VNNI")
    draws = np.random.default_rng(inputs)
    outputs = 2 * BLOCK
    counts = (draws.integers(-127, 128, (tokens, inputs)) * (draws.random((tokens, inputs)) < 0.4)).astype(np.int8)
    weights = draws.integers(-127, 128, (inputs, outputs)).astype(np.int8)
    channels, values, heads = (
        np.zeros((tokens, n), t) for n, t in ((room(inputs), np.int32), (room(inputs), np.int8), (HEAD, np.int64))
    )
    for i, own in enumerate(counts):
        channels[i], values[i], heads[i, NUMBER], heads[i, SUM] = listed(own)
    spare = aligned((all_rows_size(inputs, outputs, tokens),), np.int8)
    groups = groups_of(tokens)
    sums = np.zeros((groups * BATCH, outputs), np.int32)
    words = spare.ctypes.data + TOGETHER * TILE
    spread_counts(channels, values, heads, inputs, words)
    arguments = [weights.ctypes.data, outputs, inputs, outputs, words, groups]
    add_all_rows_vnni(*arguments, spare.ctypes.data, sums.ctypes.data, outputs)
    for i in range(tokens):
        settle(sums[i].ctypes.data, outputs, heads[i, SUM])
    expected = accumulate_reference(counts, weights)
    assert (sums[:tokens] == expected).all()
    if has_amx():
        flat = spare.ctypes.data + SPARE_AMX
        sums[:] = 0
        flat_counts(channels, values, heads, inputs, flat)
        arguments = [weights.ctypes.data, outputs, inputs, outputs, flat, groups]
        add_with_tiles(*arguments, spare.ctypes.data, sums.ctypes.data, outputs)
        for i in range(tokens):
            settle(sums[i].ctypes.data, outputs, heads[i, SUM])
        assert (sums[:tokens] == expected).all()


def test_threads_that_work_together_raise_the_first_error() -> None:
    seen: list[int] = []
    together(seen.append, 3)
    assert sorted(seen) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        together(lambda thread: 1 // (thread - 2), 3)
