"""Branch-free elementary functions against the exact ones."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from neurosim.kernels.tools.elementary import exp, log_of_fraction, turn, widest_vectors


@njit
def each(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = exp(x[i])


@pytest.mark.parametrize(("real", "low", "high"), [(np.float32, -87, 88), (np.float64, -708, 709)])
def test_exp_is_within_two_last_places(real: type, low: float, high: float) -> None:
    x = np.concatenate([np.linspace(low, high, 200_001), np.linspace(-1e-3, 1e-3, 1001), [low, 0, high]]).astype(real)
    out = np.empty_like(x)
    each(x, out)
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(out / exact - 1).max() < 2 * np.finfo(real).eps
    assert out[-2] == 1.0
    assert np.allclose([exp(v) for v in x[::5000]], out[::5000], rtol=4 * np.finfo(real).eps, atol=0)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_exp_stays_finite_beyond_its_edges(real: type) -> None:
    x = np.array([-np.inf, -1e6, 1e6, np.inf], real)
    out = np.empty_like(x)
    each(x, out)
    assert np.all(np.isfinite(out)) and out[0] == out[1] < 1e-37 and out[2] == out[3] > 1e38


@njit(error_model="numpy")
def logs_and_turns(x, log, c, s):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        log[i] = log_of_fraction(x[i])
        c[i], s[i] = turn(x[i])


def test_logarithms_and_turns_of_fractions() -> None:
    tiny = 2.0 ** -np.arange(1, 54)
    x = np.concatenate([np.linspace(0, 1, 200_003)[1:-1], tiny, 1 - tiny[1:]])
    log, c, s = np.empty((3, len(x)))
    logs_and_turns(x, log, c, s)
    wide = x.astype(np.longdouble)
    assert np.abs(log / np.log(wide) - 1).max() < 2 * np.finfo(float).eps
    angle = 2 * np.pi * wide
    assert max(np.abs(c - np.cos(angle)).max(), np.abs(s - np.sin(angle)).max()) < 4 * np.finfo(float).eps


@njit
def doubled(x, out):  # type: ignore[no-untyped-def]
    widest_vectors()
    for i in range(x.size):
        out[i] = x[i] + x[i]


def test_a_loop_may_ask_for_the_widest_vectors() -> None:
    x = np.arange(37, dtype=np.float32)
    out = np.empty_like(x)
    doubled(x, out)
    assert np.array_equal(out, 2 * x)
    (code,) = doubled.inspect_llvm().values()
    assert '"prefer-vector-width"="512"' in code
    widest_vectors()
