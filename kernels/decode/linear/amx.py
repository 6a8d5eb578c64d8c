"""Products of int8 by the tiles of AMX: 16 tokens, 16 columns and 64 channels in one instruction.

A tile of counts has a token in each of 16 rows, 64 channels wide; one of weights has 16 rows of 64 bytes, as
`vnni.interleave` leaves them: 16 columns with four channels each. `tdpbsud` multiplies signed counts and unsigned
weights, and adds in int32: sums are those of `vnni`, and `vnni.settled` orders them.

An instruction takes 16 cycles, where `vpdpbusd` takes 128 for the same products on two ports. The system gives the
tiles to a process that asks for them (Linux 5.16).
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.intrinsics import processor_has

CHANNELS = 64  # of a tile
LINE = 64  # bytes of a row of a tile
ROWS = 16
TILES = 6  # in use: sums of four strips of 16 columns, counts, weights
# Linux, x86-64: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
ARCH_PRCTL = 158
REQUEST_PERMISSION = 0x1023
TILE_DATA = 18

BYTE = ir.IntType(8)
INT64 = ir.IntType(64)
POINTER = BYTE.as_pointer()
# ldtilecfg: palette 1, then from byte 16 the bytes of a row of each tile (16 bits), and from byte 48 its rows.
CONFIGURATION = [1, *[0] * 15, *[LINE, 0] * TILES, *[0] * (32 - 2 * TILES), *[ROWS] * TILES, *[0] * (16 - TILES)]


@functools.cache
def has_amx():
    """Return whether the code that numba makes may use AMX on int8, and the system gives this process the tiles."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    if not processor_has("amx-tile", "amx-int8"):
        return False
    refused = ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA)
    return refused == 0


def _call(builder, name, kinds, arguments):
    kind = ir.FunctionType(ir.VoidType(), kinds)
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def _move(builder, name, tile, address, step):
    """Load or store a tile whose rows are `step` bytes apart."""
    place = builder.inttoptr(address, POINTER)
    _call(builder, name, [BYTE, POINTER, INT64], [BYTE(tile), place, step])


@intrinsic
def begin_tiles(typing):
    """Configure the tiles of this thread, before `multiply_tiles`."""

    def emit(context, builder, signature, arguments):
        kind = ir.ArrayType(BYTE, len(CONFIGURATION))
        place = cgutils.alloca_once_value(builder, ir.Constant(kind, CONFIGURATION))
        _call(builder, "ldtilecfg", [POINTER], [builder.bitcast(place, POINTER)])
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def end_tiles(typing):
    """Release the tiles: a thread that has some is switched more slowly."""

    def emit(context, builder, signature, arguments):
        _call(builder, "tilerelease", [], [])
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def multiply_tiles(typing, weights, strip, counts, size, blocks, sums, step):
    """Add the products of 64 columns with the counts of 16 tokens to their int32 sums.

    Args:
        weights: address of the first strip of 16 columns [blocks, 16, 64 bytes]; the next are `strip` bytes apart.
        counts: address of int8 counts, `size` bytes from one token to the next.
        blocks: blocks of 64 channels, at least 1.
        sums: address of those of the first token; those of the next are `step` bytes further.
    """

    def emit(context, builder, signature, arguments):
        weights, strip, counts, size, blocks, sums, step = arguments
        places = [builder.add(sums, INT64(4 * ROWS * j)) for j in range(4)]
        # Tiles 0 to 3 hold the sums, 4 the counts, and 5 one strip of weights after the other.
        for tile, place in enumerate(places):
            _move(builder, "tileloadd64", tile, place, step)
        entry = builder.block
        loop = builder.append_basic_block("blocks")
        end = builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(INT64)
        index.add_incoming(INT64(0), entry)
        _move(builder, "tileloadd64", 4, builder.add(counts, builder.mul(index, INT64(CHANNELS))), size)
        block = builder.add(weights, builder.mul(index, INT64(LINE * ROWS)))
        for tile in range(4):
            _move(builder, "tileloadd64", 5, block, INT64(LINE))
            _call(builder, "tdpbsud", [BYTE] * 3, [BYTE(tile), BYTE(4), BYTE(5)])
            block = builder.add(block, strip)
        following = builder.add(index, INT64(1))
        index.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, blocks), loop, end)
        builder.position_at_end(end)
        for tile, place in enumerate(places):
            _move(builder, "tilestored64", tile, place, step)
        return context.get_dummy_value()

    return types.void(*(types.intp,) * 7), emit
