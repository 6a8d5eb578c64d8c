"""Bit rows, flags, prefetch and the barrier: each against what it stands for."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numba import njit

from neurosim.engine.compile.row_tables import aligned
from neurosim.kernels.engine.clocked.bits import column_sums_reference, sum_rows
from neurosim.kernels.engine.clocked.row_encoders import pack
from neurosim.kernels.tools.intrinsics import (
    APART,
    add_where,
    add_where_reference,
    barrier,
    copy64,
    differing64,
    flags64,
    flags_reference,
    prefetch,
    trailing_zeros,
)


@pytest.mark.parametrize("count", [8, 16, 64, 128, 248])
@pytest.mark.parametrize("strips", [1, 3])
def test_bit_rows_are_summed_by_column(count: int, strips: int) -> None:
    rng = np.random.default_rng(count + strips)
    rows = aligned((count, 8 * strips), np.uint64)
    rows[:] = rng.integers(0, 2**64, rows.shape, dtype=np.uint64)
    rows[0] = ~np.uint64(0)
    if count == 248:
        rows[:, 0] = ~np.uint64(0)  # the largest sum there can be
    addresses = np.full(count + 32, rows.ctypes.data)
    addresses[:count] = rows.ctypes.data + rng.permutation(count) * rows.strides[0]
    planes = aligned((8, 8 * strips), np.uint64)
    out = np.full(512 * strips, 99, np.uint8)
    planes[:] = ~np.uint64(0)
    words = rows.shape[1]
    sum_rows(addresses, 0, count, 0, words * 8, planes, planes.ctypes.data, out.ctypes.data, 1, words)
    assert (out[:64] == 99).all()  # a word that was not asked for
    np.testing.assert_array_equal(out[64:], column_sums_reference(rows)[64:])


@njit
def lowest(flags):  # type: ignore[no-untyped-def]
    prefetch(flags)
    mask = flags64(flags)
    return mask, (trailing_zeros(mask) if mask else -1)


def test_flags_to_bits() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        flags = (rng.random(64) < share).astype(np.uint8) * 7
        mask, first = lowest(flags.ctypes.data)
        assert mask == flags_reference(flags, 0)
        assert first == (int(np.flatnonzero(flags)[0]) if flags.any() else -1)


@njit
def moved(source, target):  # type: ignore[no-untyped-def]
    before = differing64(source, target)
    copy64(source, target)
    return before, differing64(source, target)


def test_lines_are_compared_and_copied() -> None:
    source = np.arange(80, dtype=np.uint8)
    target = source.copy()
    target[[0, 5, 63, 64]] = 200
    assert moved(source.ctypes.data, target.ctypes.data) == (1 | 1 << 5 | 1 << 63, 0)
    assert target[:64].tobytes() == source[:64].tobytes() and target[64] == 200


@njit(nogil=True)
def rounds(sync, thread, threads, spins, board, wrong):  # type: ignore[no-untyped-def]
    """Each thread writes its round on the board, meets the others, and looks whether they have written theirs."""
    for epoch in range(1, 401):
        board[thread] = epoch
        barrier(sync, thread, threads, 2 * epoch - 1, spins)
        for other in range(threads):
            wrong[thread] += board[other] != epoch
        barrier(sync, thread, threads, 2 * epoch, spins)


@pytest.mark.parametrize(("threads", "spins"), [(1, 100), (2, 4000), (2, 0), (5, 0)])
def test_a_barrier_lets_nobody_ahead(threads: int, spins: int) -> None:
    sync = aligned((threads * APART,), np.int64)
    board = np.zeros(threads, np.int64)
    wrong = np.zeros(threads, np.int64)
    # Compiled, on words of its own: a thread that found the last round in another's would not wait for it.
    spare = aligned((APART,), np.int64)
    rounds(spare.ctypes.data, 0, 0, 0, board[:1].copy(), wrong[:1].copy())
    work = [
        threading.Thread(target=rounds, args=(sync.ctypes.data, t, threads, spins, board, wrong))
        for t in range(threads)
    ]
    for each in work:
        each.start()
    for each in work:
        each.join(60)
    assert not any(each.is_alive() for each in work) and wrong.sum() == 0


@njit
def add_chosen(address, mask, value):
    add_where(address, mask, value)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("mask", [0, 1, 0x80000000, 0xFFFFFFFF, 0x12345678])
def test_a_number_is_added_where_bits_are_set_and_nowhere_else(real: type, mask: int) -> None:
    numbers = aligned((96,), real)
    numbers[:] = np.random.default_rng(mask % 97).normal(size=96)
    numbers[::3] = -0.0  # adding 0 would make it 0
    expected = numbers.copy()
    add_where_reference(expected[32:64], mask, real(0.3))
    add_chosen(numbers.ctypes.data + 32 * numbers.itemsize, np.uint32(mask), real(0.3))
    assert numbers.tobytes() == expected.tobytes()


def test_rows_are_packed_into_words_of_32_slots() -> None:
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.integers(0, 200, n)) for n in (0, 1, 7, 60, 0, 200)]
    rows.append(np.array([33, 40, 33]))  # of two projections
    starts = np.cumsum([0, *map(len, rows)])
    slots = np.concatenate(rows).astype(np.uint32)
    words = np.empty(len(slots), np.uint64)
    word_starts = np.empty(len(starts), np.int64)
    count = pack(slots, starts, words, word_starts)
    assert count == word_starts[-1] < len(slots) / 2
    for row, a, z in zip(rows, word_starts[:-1], word_starts[1:], strict=True):
        listed = [(int(w) >> 32) * 32 + k for w in words[a:z] for k in range(32) if int(w) >> k & 1]
        assert sorted(listed) == sorted(row)
