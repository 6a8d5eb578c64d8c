"""Counter-based random numbers: Threefry4x32-20 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

A draw is a pure function of (key, index, draw): there is no state, so results depend neither on threads, nor on the
order of drawing, nor on how a range is cut. `key` names a stream (64 bits), `index` and `draw` (64 bits each) count
within it: a synapse and an attempt, a unit and a step.

Threefry adds, rotates and xors 32-bit words only: vectorised it costs .22 ns a word, Philox4x32-10 (64-bit products)
.61 ns. What is drawn in every step has a quicker generator, `aes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from llvmlite import ir
from numba import int64, njit, types, uint32, uint64
from numba.extending import intrinsic

from .compiled import compiled
from .elementary import log_of_fraction, turn, widest_vectors
from .pointers import bare_matrix, bare_vector

ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
PARITY = 0x1BD11BDA
ROUNDS = 20
TWO_PI = 2.0 * math.pi
# Numbers of a run up to which one at a time is quicker than vectors and their scratch.
SHORT = 8


def threefry_reference(counter: Sequence[int], key: Sequence[int]) -> tuple[int, ...]:
    """Return four words of 32 bits from two times four: the specification, in integers of any size."""
    mask = 0xFFFFFFFF
    keys = [*key, PARITY ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    x = [(c + k) & mask for c, k in zip(counter, key, strict=True)]
    for r in range(ROUNDS):
        # Even rounds mix (0, 1) and (2, 3), odd ones (0, 3) and (2, 1).
        pairs = ((0, 1), (2, 3)) if r % 2 == 0 else ((0, 3), (2, 1))
        for (i, j), by in zip(pairs, ROTATIONS[r % 8], strict=True):
            x[i] = (x[i] + x[j]) & mask
            x[j] = ((x[j] << by | x[j] >> 32 - by) & mask) ^ x[i]
        if r % 4 == 3:
            # Every fourth round adds the key, moved on by a word each time, and the number of the addition.
            s = (r + 1) // 4
            x = [(word + keys[(s + i) % 5]) & mask for i, word in enumerate(x)]
            x[3] = (x[3] + s) & mask
    return tuple(x)


@intrinsic
def threefry(typing, c0, c1, c2, c3, k0, k1, k2, k3):
    """Return four uint32 from eight: the compiled form of `threefry_reference`.

    Written in LLVM's terms, which takes a tenth of the time that numba takes to inline the rounds; a loop around it
    becomes vector instructions.
    """

    def emit(context, builder, signature, arguments):
        b = builder
        x = list(arguments[:4])
        keys = list(arguments[4:])
        parity = ir.Constant(ir.IntType(32), PARITY)
        for key in arguments[4:]:
            parity = b.xor(parity, key)
        keys.append(parity)

        def inject(s):
            for i in range(4):
                key = keys[(s + i) % 5]
                x[i] = b.add(x[i], b.add(key, key.type(s)) if i == 3 and s else key)

        inject(0)
        for r in range(ROUNDS):
            pairs = ((0, 1), (2, 3)) if r % 2 == 0 else ((0, 3), (2, 1))
            for (i, j), by in zip(pairs, ROTATIONS[r % 8], strict=True):
                x[i] = b.add(x[i], x[j])
                turned = b.or_(b.shl(x[j], x[j].type(by)), b.lshr(x[j], x[j].type(32 - by)))
                x[j] = b.xor(turned, x[i])
            if r % 4 == 3:
                inject((r + 1) // 4)
        return context.make_tuple(b, signature.return_type, x)

    return types.UniTuple(types.uint32, 4)(*(types.uint32,) * 8), emit


@compiled
def words(key, index, draw):
    """Return four uint32 from three uint64."""
    none = uint32(0)
    return threefry(
        uint32(index),
        uint32(index >> uint64(32)),
        uint32(draw),
        uint32(draw >> uint64(32)),
        uint32(key),
        uint32(key >> uint64(32)),
        none,
        none,
    )


@njit(inline="always")
def unit_interval(high, low):
    """Return a float64 from two words, strictly between 0 and 1, in steps of 2^-53."""
    bits = (uint64(high) << uint64(32) | uint64(low)) >> uint64(11)
    return (float(int64(bits)) + 0.5) * 1.1102230246251565e-16


@compiled
def uniforms(key, first, draw, out):
    """Fill out[i] with the float64 in (0, 1) of index `first + i`."""
    k0 = uint32(key)
    k1 = uint32(uint64(key) >> uint64(32))
    d0 = uint32(draw)
    d1 = uint32(uint64(draw) >> uint64(32))
    none = uint32(0)
    widest_vectors()
    for i in range(out.size):
        # Not by `words`, which is too long to be inlined: then the loop becomes no vector instructions.
        index = uint64(first + i)
        a, b, _, _ = threefry(uint32(index), uint32(index >> uint64(32)), d0, d1, k0, k1, none, none)
        out[i] = unit_interval(a, b)


@compiled
def uniform_runs(key, firsts, offsets, draw, out):
    """Fill out[offsets[i] + k] with the float64 in (0, 1) of index `firsts[i] + k`, up to the next offset."""
    for i in range(firsts.size):
        uniforms(key, firsts[i], draw, out[offsets[i] : offsets[i + 1]])


@compiled
def _words(index, high, d0, d1, k0, k1, a, b, c, d):
    """Do the 32-bit part of `normals`: words of counters `index` + i, `high` being the same for all."""
    none = uint32(0)
    widest_vectors()
    for i in range(a.size):
        w0, w1, w2, w3 = threefry(uint32(index + uint32(i)), high, d0, d1, k0, k1, none, none)
        a[i] = w0
        b[i] = w1
        c[i] = w2
        d[i] = w3


@compiled(error_model="numpy")  # a division that could raise is no vector instruction
def _pairs(a, b, c, d, cosines, sines):
    """Make two independent standard normals of each four words (Box & Muller 1958)."""
    widest_vectors()
    for i in range(a.size):
        radius = math.sqrt(-2.0 * log_of_fraction(unit_interval(a[i], b[i])))
        x, y = turn(unit_interval(c[i], d[i]))
        cosines[i] = radius * x
        sines[i] = radius * y


def normal_reference(key, index, draw):
    """Return one normal as `normals`, its specification: counter index // 2 gives two, even indices take the first."""
    mask = 0xFFFFFFFF
    n = index // 2
    words = threefry_reference((n & mask, n >> 32, draw & mask, draw >> 32), (key & mask, key >> 32, 0, 0))
    u, v = (((high << 32 | low) // 2**11 + 0.5) / 2**53 for high, low in (words[:2], words[2:]))
    # Box and Muller's two normals from two uniform numbers.
    radius = math.sqrt(-2.0 * math.log(u))
    if index % 2:
        return radius * math.sin(TWO_PI * v)
    return radius * math.cos(TWO_PI * v)


@compiled
def normals(key, first, draw, out):
    """Fill out[i] with the standard normal of index `first + i`."""
    normals_with(key, first, draw, np.empty((4, 512), np.uint32), np.empty((2, 512)), out)


@compiled
def normals_with(key, first, draw, words, pairs, out):
    """Do the work of `normals`, with scratch: uint32 [4, 512], float64 [2, 512].

    From Python it compiles in two thirds of the time of `normals`.
    """
    k0 = uint32(key)
    k1 = uint32(uint64(key) >> uint64(32))
    d0 = uint32(draw)
    d1 = uint32(uint64(draw) >> uint64(32))
    cosines = pairs[0]
    sines = pairs[1]
    counter = first >> 1
    end = (first + out.size + 1) >> 1
    while counter < end:
        # As many counters as share their upper half.
        n = min(512, end - counter, 2**32 - (counter & (2**32 - 1)))
        a = words[0][:n]
        b = words[1][:n]
        c = words[2][:n]
        d = words[3][:n]
        _words(uint32(counter), uint32(counter >> 32), d0, d1, k0, k1, a, b, c, d)
        _pairs(a, b, c, d, cosines[:n], sines[:n])
        at = 2 * counter - first
        for i in range(n):
            if at + 2 * i >= 0:
                out[at + 2 * i] = cosines[i]
            if at + 2 * i + 1 < out.size:
                out[at + 2 * i + 1] = sines[i]
        counter += n


@compiled
def normal_at(key, index, draw):
    """Return the standard normal of an index."""
    a, b, c, d = words(uint64(key), uint64(index >> 1), uint64(draw))
    radius = math.sqrt(-2.0 * log_of_fraction(unit_interval(a, b)))
    x, y = turn(unit_interval(c, d))
    return radius * (y if index & 1 else x)


@compiled
def normals_at(key, indices, draw, out):
    """Fill out[i] with the standard normal of `indices[i]`."""
    for i in range(out.size):
        out[i] = normal_at(key, indices[i], draw)


@njit(inline="always")
def _draw_line(key, first, draw, words, pairs, line):
    """Fill a line with standard normals of the indices from `first` on; `words` and `pairs` as in `normals_with`."""
    if line.size < SHORT:
        for k in range(line.size):
            line[k] = normal_at(key, first + k, draw)
    else:
        normals_with(key, first, draw, words, pairs, line)


@compiled
def normal_runs(key, firsts, offsets, draw, out):
    """Fill out[offsets[i] + k] with the standard normal of index `firsts[i] + k`, up to the next offset."""
    # Without their owners: a short run counted references for as long as it drew.
    own_words = np.empty((4, 512), np.uint32)
    own_pairs = np.empty((2, 512))
    words = bare_matrix(own_words)
    pairs = bare_matrix(own_pairs)
    values = bare_vector(out)
    for i in range(firsts.size):
        _draw_line(key, firsts[i], draw, words, pairs, values[offsets[i] : offsets[i + 1]])
    # An array is freed after its last mention.
    return own_words.size + own_pairs.size


@compiled
def clipped_normal_runs(key, firsts, offsets, shape, attempts, out):
    """Fill `out` as `normal_runs` does with normals of a mean and a deviation; draw those outside two bounds again.

    The value of index i that is outside after draw d is that of draw d + 1, at the same index.

    Args:
        shape: mean, standard deviation, lowest, highest.
        attempts: number of draws of a value.

    Returns:
        False if a value is outside after all of them.
    """
    mean, sd, low, high = shape
    # Without their owners, as in `normal_runs`.
    own_words = np.empty((4, 512), np.uint32)
    own_pairs = np.empty((2, 512))
    words = bare_matrix(own_words)
    pairs = bare_matrix(own_pairs)
    values = bare_vector(out)
    inside = True
    for i in range(firsts.size):
        # By a thousand values, which stay in the first cache.
        for a in range(offsets[i], offsets[i + 1], 1024):
            line = values[a : min(a + 1024, offsets[i + 1])]
            first = firsts[i] + a - offsets[i]
            _draw_line(key, first, 0, words, pairs, line)
            outside = 0
            for k in range(line.size):
                line[k] = mean + sd * line[k]
                outside += (line[k] < low) | (line[k] > high)
            if outside and not _draw_again(key, first, shape, attempts, line):
                inside = False
                break
        if not inside:
            break
    # An array is freed after its last mention.
    return inside and own_words.size + own_pairs.size > 0


@compiled
def _draw_again(key, first, shape, attempts, line):
    """Draw the values of a line that are outside the bounds until they are inside; return whether all are."""
    mean, sd, low, high = shape
    for k in range(line.size):
        draw = 0
        while line[k] < low or line[k] > high:
            draw += 1
            if draw == attempts:
                return False
            line[k] = mean + sd * normal_at(key, first + k, draw)
    return True
