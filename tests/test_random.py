"""Counter-based random numbers: the published vectors, the moments, and no dependence on how a range is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosim.kernels import random

# Random123's kat_vectors for philox4x32 of 10 rounds: counter, key, result.
KNOWN = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]
KEY = np.uint64(0x123456789ABCDEF)


def joined(low: int, high: int) -> np.uint64:
    return np.uint64(high << 32 | low)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter: list[int], key: list[int], result: str) -> None:
    expected = [int(word, 16) for word in result.split()]
    assert list(random.philox_reference(counter, key)) == expected
    assert random.words(joined(*key), joined(*counter[:2]), joined(*counter[2:])).tolist() == expected


def test_compiled_equals_the_specification() -> None:
    for numbers in np.random.default_rng(0).integers(0, 2**32, (200, 6)).tolist():
        c, k = numbers[:4], numbers[4:]
        compiled = random.words(joined(*k), joined(*c[:2]), joined(*c[2:]))
        assert tuple(compiled.tolist()) == random.philox_reference(c, k)


def test_uniforms_and_normals_have_their_moments() -> None:
    n = 400_000
    u, z = np.empty(n), np.empty(n)
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
    whole, some = np.empty(50), np.empty(3)
    random.normals(KEY, 0, 0, whole)
    random.normals_at(KEY, np.array([4, 40, 17]), 0, some)
    assert np.array_equal(some, whole[[4, 40, 17]])


def test_group_words_are_those_of_their_counters() -> None:
    out = np.empty(128, np.uint32)
    random.group_words(KEY, 192, np.uint64(9), out)
    for unit in range(128):
        group, inside = divmod(192 + unit, random.GROUP)
        counter = random.words(KEY, np.uint64(16 * group + inside % 16), np.uint64(9))
        assert out[unit] == counter[inside // 16]


@pytest.mark.parametrize("mean", [0.0, 1e-4, 0.3, 2.0, 60.0])
def test_poisson_thresholds_hold_the_distribution(mean: float) -> None:
    edges = np.concatenate([[0], random.poisson_thresholds(mean), [2**32]]).astype(float)
    chances = np.diff(edges) / 2**32
    k = np.arange(len(chances))
    exact = np.array([math.exp(-mean + i * math.log(mean) - math.lgamma(i + 1)) if mean else i == 0 for i in k])
    assert np.abs(chances - exact).max() < 2**-30
    words = np.random.default_rng(1).integers(0, 2**32, 10_000, dtype=np.uint32)
    counts = np.empty(len(words), np.int32)
    random.poisson_counts(words, random.poisson_thresholds(mean), counts)
    assert np.array_equal(counts, np.searchsorted(edges[1:-1], words, side="right"))
