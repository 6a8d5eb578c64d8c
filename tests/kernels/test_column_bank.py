"""A bank of SDRs by bits gives the overlaps of the bank by rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.base import NeurosimInputError
from neurosim.kernels.memory.columns import launch
from neurosim.kernels.memory.columns.reference import overlap_columns_reference
from neurosim.kernels.memory.packed.reference import pack
from neurosim.memory import SDR, overlaps
from neurosim.memory.sdr import code
from neurosim.memory.sdr.columns import Columns


@given(
    st.integers(1, 300), st.integers(1, 150), st.integers(0, 150), st.floats(0, 1), st.integers(0, 5), st.integers(1, 3)
)
def test_by_bits_is_by_rows(count: int, size: int, active: int, density: float, seed: int, threads: int) -> None:
    dense = np.random.default_rng(seed).random((count, size)) < density
    bank = code.bank([SDR.from_dense(row) for row in dense])
    query = SDR.random(size, min(active, size), seed)
    found = Columns.of(bank, size)
    assert np.array_equal(found.overlaps(query, threads), overlaps(query, bank))
    assert np.array_equal(
        found.overlaps(query), overlap_columns_reference(query.indices, found.bits, count).astype(np.int32)
    )
    assert np.array_equal(found.overlaps(query), dense[:, query.indices].sum(axis=1))


def test_many_blocks_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "WORDS_PER_THREAD", 1)
    count = 64 * launch.BLOCK * 3 + 17
    dense = np.random.default_rng(0).random((count, 31)) < 0.5
    found = Columns(pack(np.ascontiguousarray(dense.T)), count)
    query = SDR(np.arange(0, 31, 2), 31)
    for threads in (1, 4):
        assert np.array_equal(found.overlaps(query, threads), dense[:, ::2].sum(axis=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Columns(np.zeros((3, 2), np.uint64), 64), "Columns.bits: must be [size, 1] (got (3, 2))"),
        (lambda: Columns(np.zeros((3, 1)), 64), "Columns.bits: must be uint64 (got float64)"),
        (
            lambda: Columns.of(np.zeros((2, 1), np.uint64), 65),
            "Columns.of: needs a bank [M, 2] with at least one SDR (got (2, 1))",
        ),
        (
            lambda: Columns(np.zeros((3, 1), np.uint64), 64).overlaps(SDR(np.array([0]), 4)),
            "Columns.overlaps: needs an SDR of 3 bits (got 4)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call: Any, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value) == message
