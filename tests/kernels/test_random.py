"""Counter-based random numbers: the published vectors, the moments, and no dependence on how a range is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from llvmlite import binding, ir
from numba import njit

from neurosim.kernels.tools import aes, poisson, random

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


# FIPS 197, appendix B: a round of AES-128 from its input and key.
FIPS_BLOCK = bytes.fromhex("193de3bea0f4e22b9ac68d2ae9f84808")
FIPS_KEY = bytes.fromhex("a0fafe1788542cb123a339392a6c7605")
FIPS_NEXT = bytes.fromhex("a49c7ff2689f352b6b5bea43026a5049")
# The last round there.
FIPS_LAST = (
    bytes.fromhex("eb40f21e592e38848ba113e71bc342d2"),
    bytes.fromhex("d014f9a8c9ee2589e13f0cc8b6630ca6"),
    bytes.fromhex("3925841d02dc09fbdc118597196a0b32"),
)


def test_rounds_of_aes_are_those_of_the_standard() -> None:
    assert aes.round_reference(FIPS_BLOCK, FIPS_KEY, last=False) == FIPS_NEXT
    block, key, result = FIPS_LAST
    assert aes.round_reference(block, key, last=True) == result


@pytest.mark.parametrize("index", [0, 5, 2**32 + 12])
def test_blocks_are_those_of_the_specification_with_and_without_instructions(index: int) -> None:
    draw = 3 << 32 | 9
    expected = [w for i in range(8) for w in aes.ars_reference((index + i, draw), (int(KEY), 0))]
    for encrypt in (aes.encrypt, aes.encrypt_by_tables):
        out = np.empty(32, np.uint32)
        encrypt(out, np.uint64(index), np.uint64(draw), KEY)
        assert out.view(np.uint64).tolist() == expected


@pytest.mark.parametrize("instruction", ["vaes", "aes", "arm"])
def test_code_for_other_processors_has_their_instructions(instruction: str) -> None:
    architecture, features, mnemonic, count = {
        "vaes": ("x86_64", "+avx512f,+vaes", "vaesenc", 7),
        "aes": ("x86_64", "+aes", "aesenc", 28),
        "arm": ("aarch64", "+aes", "aese", 28),
    }[instruction]
    module = ir.Module()
    module.triple = f"{architecture}-unknown-linux-gnu"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 4), "blocks")
    builder = ir.IRBuilder(function.append_basic_block())
    aes.emit_blocks(builder, instruction, *function.args)
    builder.ret_void()
    try:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        machine = binding.Target.from_triple(module.triple).create_target_machine(features=features)
    except RuntimeError as reason:
        pytest.skip(f"LLVM without {architecture}: {reason}")
    text = machine.emit_assembly(binding.parse_assembly(str(module)))
    assert text.count(mnemonic) == count


def test_words_of_blocks_are_uniform_and_independent() -> None:
    blocks = np.empty(1 << 16, np.uint32)
    next_blocks = np.empty(1 << 16, np.uint32)
    aes.encrypt(blocks, np.uint64(0), np.uint64(1), KEY)
    aes.encrypt(next_blocks, np.uint64(0), np.uint64(2), KEY)
    words = blocks.view(np.uint16)
    later = next_blocks.view(np.uint16)
    n = words.size
    for part in (words & 0xFF, words >> 8):
        seen = np.bincount(part, minlength=256)
        # Chi squared of 255 degrees of freedom: mean 255, standard deviation 22.6.
        assert abs(((seen - n / 256) ** 2 / (n / 256)).sum() - 255) < 5 * 22.6
    for other in (np.roll(words, 1), np.roll(words, 8), later):
        assert abs(np.corrcoef(words, other)[0, 1]) < 4 / math.sqrt(n)


@pytest.mark.parametrize("mean", [0.0, 1e-9, 1e-4, 0.3, 2.0, 60.0, 490.0])
def test_poisson_table_holds_the_distribution(mean: float) -> None:
    table = poisson.poisson_table(mean)
    heads = np.diff(table.heads, prepend=0) / 2**16
    left = 1 - table.heads[-1] / 2**16
    tails = np.diff(np.minimum(table.tails, 2**32), prepend=0) / 2**32
    chances = heads + left * tails
    k = np.arange(len(chances))
    exact = np.array([math.exp(-mean + i * math.log(mean) - math.lgamma(i + 1)) if mean else i == 0 for i in k])
    # Second words stand for 2^-32 of the words that are left.
    assert np.abs(chances - exact).max() < 1.5 * left / 2**32 + 2**-48 + 1e-11 * exact.max()
    assert table.max_count <= len(chances)


@pytest.mark.parametrize("mean", [1e-4, 0.3, 2.0, 60.0])
def test_every_word_has_its_count(mean: float) -> None:
    table = poisson.poisson_table(mean)
    passed = poisson.passed_thresholds(table)
    words = np.arange(2**16)
    counts = passed.certain + (words[:, None] > passed.passed[None]).sum(axis=1)
    first = words <= passed.limit
    assert np.array_equal(counts[first], table.counts(words, np.zeros(2**16, np.int64))[first])
    assert 0 < np.count_nonzero(~first) < 200


def test_normals_are_their_reference() -> None:
    out = np.empty(2000)
    first = 2**33 - 1000  # where the upper half of the counter changes
    random.normals(KEY, first, 5, out)
    expected = [random.normal_reference(int(KEY), first + i, 5) for i in range(0, 2000, 37)]
    np.testing.assert_allclose(out[::37], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("mean", [0.0, 0.02, 2.0, 30.0, 200.0])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_poisson_input_is_its_reference(mean: float, real: type) -> None:
    table = poisson.poisson_table(mean)
    passed = poisson.passed_thresholds(table)
    scratch = np.empty(poisson.SCRATCH_BYTES, np.uint8)
    x = np.zeros(700, real)
    expected = np.zeros(700, real)
    for draw in range(5):
        total = poisson.poisson_add(KEY, 128, np.uint64(draw), passed, real(0.3), scratch.ctypes.data, x)
        assert total == poisson.poisson_add_reference(KEY, 128, draw, table, 0.3, expected)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("mean", [1e-6, 0.02, 2.0, 60.0])
def test_second_words_decide_what_words_leave_open(mean: float) -> None:
    table = poisson.poisson_table(mean)
    passed = poisson.passed_thresholds(table)
    scratch = np.empty(poisson.SCRATCH_BYTES, np.uint8)
    address = scratch.ctypes.data
    decided = 0
    for draw in range(1000):
        counts = poisson.poisson_counts(KEY, 0, np.uint64(draw), passed, address, 256).copy()
        words = scratch[:512].view(np.uint16).copy()
        late = np.zeros(256, np.int64)
        for unit in np.flatnonzero(words > passed.limit).tolist():
            late[unit] = poisson.late_word(KEY, unit, np.uint64(draw), address + 4 * poisson.CHUNK)
            place = address + 4 * poisson.CHUNK
            count = poisson.counted(KEY, unit, np.uint64(draw), words[unit], mean, math.exp(-mean), place)
            assert count == counts[unit]
            decided += 1
        assert np.array_equal(counts, table.counts(words, late))
    assert decided > 0
