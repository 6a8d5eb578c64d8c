"""The expansion encoder: its kernel against the reference, similarity kept, bad input refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.kernels.memory.expansion.reference import sums
from neurosim.memory import ExpansionEncoder


def test_fitting_makes_bits_equally_busy() -> None:
    """Inputs of which some vary a hundred times as much as others."""
    rng = np.random.default_rng(0)
    vectors = 3 + rng.normal(size=(600, 80)) * np.geomspace(0.1, 10, 80)
    coder = ExpansionEncoder.fitted(vectors, 400, 20, fan=4)
    plain = ExpansionEncoder(coder.mean, 400, 20, fan=4)
    busiest = [np.bincount(c.bits(vectors).ravel(), minlength=400).max() / 600 for c in (coder, plain)]
    assert busiest[0] < 0.12 and busiest[1] > 0.25  # 20 / 400 = 0.05 would be equal
    assert np.allclose(np.std(sums((vectors - coder.mean).astype(np.float32), coder._table) * coder.scale, axis=0), 1)
    still = ExpansionEncoder.fitted(np.ones((5, 3)), 9, 2)
    assert not still.scale.any()


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.kernels.memory.expansion.launch.SUMS_PER_THREAD", 1)
    vectors = np.random.default_rng(0).normal(size=(23, 12))
    coder = ExpansionEncoder.fitted(vectors, 60, 7)
    assert np.array_equal(coder.bits(vectors, threads=4), coder.bits(vectors))


def test_alike_vectors_become_alike_sdrs() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 100)).astype(np.float32)
    coder = ExpansionEncoder.fitted(vectors, 1000, 50, seed=3)
    first = coder.encode(vectors[0])
    overlaps = [first.overlap(coder.encode(vectors[0] + np.float32(s) * vectors[1])) for s in (0, 0.2, 0.5, 2.0)]
    assert overlaps[0] == 50 and overlaps == sorted(set(overlaps), reverse=True)
    # Unlike ones share hardly more than chance, 50 / 1000 of the bits.
    others = [first.overlap(coder.encode(v)) for v in vectors[1:]]
    assert np.mean(others) == pytest.approx(2.5, abs=1.0)
    assert np.array_equal(coder.bits(vectors)[7], coder.encode(vectors[7]).indices)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ExpansionEncoder(np.zeros(3), 8, 8), "ExpansionEncoder.active: must be in 1..7 (got 8)"),
        (lambda: ExpansionEncoder(np.zeros((2, 2)), 8, 2), "ExpansionEncoder.mean: must be [inputs] (got (2, 2))"),
        (
            lambda: ExpansionEncoder(np.zeros(3), 8, 2, scale=np.ones(3)),
            "ExpansionEncoder.scale: must be [8] (got (3,))",
        ),
        (
            lambda: ExpansionEncoder(np.zeros(3), 8, 2).encode([1, 2]),
            "ExpansionEncoder.bits: needs [n, 3] (got (1, 2))",
        ),
        (
            lambda: ExpansionEncoder(np.zeros(2), 8, 2).encode([1, np.nan]),
            "ExpansionEncoder.bits: needs finite numbers (got another)",
        ),
        (
            lambda: ExpansionEncoder(np.array([0, np.nan]), 8, 2),
            "ExpansionEncoder.mean: must be finite (got NaN or infinity)",
        ),
        (
            lambda: ExpansionEncoder(np.zeros(2), 8, 2, scale=np.full(8, np.inf)),
            "ExpansionEncoder.scale: must be finite (got NaN or infinity)",
        ),
        (
            lambda: ExpansionEncoder(np.zeros(2), 8, 2, fan=4).encode([1, -1e38]),
            "ExpansionEncoder.bits: needs numbers whose sums of 4 are in the range of float32 (got 1e+38)",
        ),
    ],
)
def test_encoder_refuses_by_name(call: Any, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value) == message
