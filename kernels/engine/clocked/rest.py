"""Pieces of neurons to which nothing arrives: passed over while they rest, or stepped in a shorter form.

A piece is RESTING if a step without input changed no bit of its state: until something arrives, no step will. It is
CALM if none of its neurons is refractory; its model may then have a shorter step for times without input, `quiet`, and
it may wait (see `late`): CALM + n has n steps to make. What is known of a piece is forgotten where its state is set
between two calls of the run loop. Which groups of its neurons rest is known, too, see `awake`.

All results are those of a step of every neuron.
"""

from __future__ import annotations

import numpy as np
from numba import uint8, uint64

from ...tools.compiled import compiled
from ...tools.pointers import vector

BUSY, RESTING, CALM = range(3)
# Steps after which a piece without input is compared with the step before: every 16 took 8 % of a run of many pieces
# that receive a spike now and then.
CHECK_EVERY = 64
# Steps after which a busy piece is looked at again, a divisor of the other: a look in every step took 5 % of a run of
# CUBA, whose pieces are always busy.
LOOK_EVERY = 8
# Bytes that are looked through at a time.
STRETCH = 1024


@compiled
def any_bit(address, size):
    """Return whether any of `size` bytes is not zero."""
    for first in range(0, size, STRETCH):  # noqa: SIM110 - numba compiles no generator
        if _any_of(address + first, min(STRETCH, size - first)):
            return True
    return False


@compiled
def _any_of(address, size):
    words = vector(address, size // 8, uint64(0))
    bits = uint64(0)
    for i in range(words.size):
        bits |= words[i]
    last = vector(address + 8 * words.size, size % 8, uint8(0))
    for i in range(last.size):
        bits |= uint64(last[i])
    return bits != uint64(0)


@compiled
def differs(a, b, size):
    """Return whether `size` bytes at two addresses differ; `size` is a multiple of 4."""
    one = vector(a, size // 4, np.uint32(0))
    other = vector(b, size // 4, np.uint32(0))
    bits = np.uint32(0)
    for i in range(one.size):
        bits |= one[i] ^ other[i]
    return bits != np.uint32(0)


@compiled
def copy_bytes(source, target, size):
    """Copy `size` bytes, a multiple of 4."""
    one = vector(source, size // 4, np.uint32(0))
    other = vector(target, size // 4, np.uint32(0))
    for i in range(one.size):
        other[i] = one[i]
