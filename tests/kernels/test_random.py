"""Counter-based random numbers: the published vectors, the moments, and no dependence on how a range is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from neurosim.kernels.tools import poisson, random

# Random123's kat_vectors for threefry4x32 of 20 rounds: counter, key, result.
KNOWN = [
    ([0] * 4, [0] * 4, "9c6ca96a e17eae66 fc10ecd4 5256a7d8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 4, "2a881696 57012287 f6c7446e a16a6732"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89],
        "59cd1dbb b8879579 86b5d00c ac8b6d84",
    ),
]
KEY = np.uint64(0x123456789ABCDEF)


@njit
def compiled(counter, key):  # type: ignore[no-untyped-def]
    return random.threefry(counter[0], counter[1], counter[2], counter[3], key[0], key[1], key[2], key[3])


@njit
def addressed(key, index, draw):  # type: ignore[no-untyped-def]
    return random.words(key, index, draw)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter: list[int], key: list[int], result: str) -> None:
    expected = tuple(int(word, 16) for word in result.split())
    assert random.threefry_reference(counter, key) == expected
    assert compiled(np.array(counter, np.uint32), np.array(key, np.uint32)) == expected


def test_compiled_equals_the_specification() -> None:
    for numbers in np.random.default_rng(0).integers(0, 2**32, (200, 8), dtype=np.uint32):
        c = numbers[:4]
        k = numbers[4:]
        assert compiled(c, k) == random.threefry_reference(c.tolist(), k.tolist())
        k[2:] = 0
        key, index, draw = (int(pair[1]) << 32 | int(pair[0]) for pair in (k, c[:2], c[2:]))
        expected = random.threefry_reference(c.tolist(), k.tolist())
        assert addressed(np.uint64(key), np.uint64(index), np.uint64(draw)) == expected


def test_uniforms_and_normals_have_their_moments() -> None:
    n = 400_000
    u = np.empty(n)
    z = np.empty(n)
    random.uniforms(KEY, 0, 0, u)
    random.normals(KEY, 0, 1, z)
    assert u.min() > 0 and u.max() < 1
    for k in range(1, 5):  # moment k of a uniform is 1 / (k + 1), its variance below 1 / (2 k + 1)
        assert abs((u**k).mean() - 1 / (k + 1)) < 4 / math.sqrt((2 * k + 1) * n)
    for k, moment in enumerate([0, 1, 0, 3], start=1):
        assert abs((z**k).mean() - moment) < 4 * math.sqrt(math.prod(range(1, 2 * k, 2)) / n)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / math.sqrt(n)


@pytest.mark.parametrize("fill", [random.uniforms, random.normals])
def test_a_range_may_be_cut_anywhere(fill) -> None:  # type: ignore[no-untyped-def]
    whole = np.empty(100)
    fill(KEY, 7, 3, whole)
    parts = [np.empty(n) for n in (1, 64, 35)]
    first = 7
    for part in parts:
        fill(KEY, first, 3, part)
        first += len(part)
    assert np.array_equal(np.concatenate(parts), whole)


def test_normals_at_are_normals() -> None:
    whole = np.empty(50)
    some = np.empty(3)
    random.normals(KEY, 0, 0, whole)
    random.normals_at(KEY, np.array([4, 40, 17]), 0, some)
    assert np.array_equal(some, whole[[4, 40, 17]])


def test_group_words_are_those_of_their_counters() -> None:
    out = np.empty(128, np.uint32)
    random.group_words(KEY, 192, np.uint64(9), out)
    for unit in range(128):
        group, inside = divmod(192 + unit, 64)
        counter = addressed(KEY, np.uint64(16 * group + inside % 16), np.uint64(9))
        assert out[unit] == counter[inside // 16]


@pytest.mark.parametrize("mean", [0.0, 1e-4, 0.3, 2.0, 60.0])
def test_poisson_thresholds_hold_the_distribution(mean: float) -> None:
    edges = np.concatenate([[0], poisson.poisson_thresholds(mean), [2**32]]).astype(float)
    chances = np.diff(edges) / 2**32
    k = np.arange(len(chances))
    exact = np.array([math.exp(-mean + i * math.log(mean) - math.lgamma(i + 1)) if mean else i == 0 for i in k])
    assert np.abs(chances - exact).max() < 2**-30
    words = np.random.default_rng(1).integers(0, 2**32, 10_000, dtype=np.uint32)
    certain, passed = poisson.passed_thresholds(poisson.poisson_thresholds(mean))
    counts = certain + (words[:, None] > passed[None]).sum(axis=1)
    assert np.array_equal(counts, np.searchsorted(edges[1:-1], words, side="right"))


def test_normals_are_their_reference() -> None:
    out = np.empty(2000)
    first = 2**33 - 1000  # where the upper half of the counter changes
    random.normals(KEY, first, 5, out)
    expected = [random.normal_reference(int(KEY), first + i, 5) for i in range(0, 2000, 37)]
    np.testing.assert_allclose(out[::37], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("mean", [0.0, 0.02, 2.0, 30.0, 200.0])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_poisson_input_is_its_reference(mean: float, real: type) -> None:
    thresholds = poisson.poisson_thresholds(mean)
    certain, passed = poisson.passed_thresholds(thresholds)
    x = np.zeros(700, real)
    expected = np.zeros(700, real)
    words = np.empty(256, np.uint32)
    numbers = np.empty(256, np.int32)
    for draw in range(5):
        total = poisson.poisson_add(KEY, 128, np.uint64(draw), certain, passed, real(0.3), words, numbers, x)
        assert total == poisson.poisson_add_reference(KEY, 128, draw, certain, passed, 0.3, expected)
    np.testing.assert_array_equal(x, expected)
