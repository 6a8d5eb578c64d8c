"""Numbers in MATLAB files of version 5, read from their bytes: scipy's reader crashes on some damaged files.

Source: "MAT-File Format", The MathWorks.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.raw import max_unpacked

# Numpy types by the types of data elements; other element types and classes of arrays follow.
KINDS: Mapping[int, str] = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
MATRIX = 14
COMPRESSED = 15
STRUCTURE = 2
NUMBERS = range(6, 16)
HEAD = 128
# Structures within structures, and fields of one, that are read.
MAX_DEPTH = 6
MAX_FIELDS = 1000


class DamagedMat(Exception):
    """Bytes that break the format; the text names the fault."""


@dataclass(frozen=True)
class _Element:
    """Type and content of a data element."""

    kind: int
    data: memoryview


def variables_of(raw: bytes) -> dict[str, object]:
    """Return the variables of a file: arrays of numbers, and structures of one element as dictionaries of them.

    Raises:
        DamagedMat: damaged, or compressed variables that unpack to more than `max_unpacked` bytes.
    """
    if len(raw) < HEAD or raw[126:128] not in (b"IM", b"MI"):
        raise DamagedMat("no mark of the order of bytes")
    order = "<" if raw[126:128] == b"IM" else ">"
    variables = {}
    # Bytes that the compressed variables to come may unpack to, all together.
    budget = max_unpacked(len(raw))
    for packed in _elements(memoryview(raw), HEAD, order):
        element = packed
        if packed.kind == COMPRESSED:
            data = _unpacked(packed.data, order, budget)
            budget -= len(data)
            element = next(_elements(memoryview(data), 0, order), _Element(0, memoryview(b"")))
        if element.kind == MATRIX:
            name, value = _matrix(element.data, order, MAX_DEPTH)
            if value is not None:
                variables[name] = value
    return variables


def _unpacked(packed: memoryview, order: str, left: int) -> bytes:
    """Return the one element in a compressed one; its size is checked before it is unpacked."""
    stream = zlib.decompressobj()
    head = stream.decompress(packed, 8)
    if len(head) == 8:
        size = struct.unpack(f"{order}II", head)[1]
    else:
        size = 0
    if 8 + size > left:
        raise DamagedMat(f"a compressed variable of {size:,} bytes, and the file may unpack to {left:,} more")
    data = head + stream.decompress(stream.unconsumed_tail, size + 1)
    if len(data) != 8 + size or not stream.eof:
        raise DamagedMat(f"a compressed variable that does not hold the {size:,} bytes that it states")
    return data


def _elements(data: memoryview, at: int, order: str) -> Iterator[_Element]:
    """Yield the data elements from byte `at` on."""
    while at < len(data):
        if at + 8 > len(data):
            raise DamagedMat(f"an element cut short at byte {at}")
        # An element: type (4 bytes), size (4), content, padded to a multiple of 8 unless it is compressed.
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:
            # A small element: size (upper 2 bytes) and type (lower 2) in one word, then up to 4 bytes of content.
            size = kind >> 16
            kind = kind & 0xFFFF
            begin = at + 4
            at += 8
            if size > 4:
                raise DamagedMat(f"a small element of {size} bytes")
        else:
            begin = at + 8
            at = begin + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data):
            raise DamagedMat(f"{size} bytes at byte {begin}, beyond the end")
        yield _Element(kind, data[begin : begin + size])


def _matrix(data: memoryview, order: str, depth: int) -> tuple[str, object]:
    """Return name and value of an array; None for one of another class."""
    # Parts of an array: flags with its class, dimensions, name, and its numbers or its fields.
    parts = _elements(data, 0, order)
    flags = _numbers(next(parts, None), order)
    shape = tuple(int(n) for n in _numbers(next(parts, None), order))
    name = _text(next(parts, None))
    if len(flags) != 2 or not 2 <= len(shape) <= 32 or min(shape) < 0:
        raise DamagedMat("an array without flags and dimensions")
    kind = int(flags[0]) & 0xFF
    if kind == STRUCTURE and math.prod(shape) == 1 and depth:
        return name, _fields(parts, order, depth)
    if kind not in NUMBERS:
        return name, None
    values = _numbers(next(parts, None), order)
    if len(values) != math.prod(shape):
        raise DamagedMat(f"{len(values)} numbers for {shape}")
    return name, values.reshape(shape, order="F")


def _fields(parts: Iterator[_Element], order: str, depth: int) -> dict[str, object]:
    """Return the fields of a structure: the width of names, the names one after the other, an array for each."""
    width = _numbers(next(parts, None), order)
    names = _text(next(parts, None))
    step = int(width[0]) if len(width) == 1 else 0
    if not 0 < step <= 1 << 12 or len(names) > MAX_FIELDS * step:
        raise DamagedMat("a structure without names of fields")
    fields: dict[str, object] = {}
    for at in range(0, len(names), step):
        part = next(parts, None)
        if part is None or part.kind != MATRIX:
            raise DamagedMat("a structure with fewer fields than names")
        value = _matrix(part.data, order, depth - 1)[1] if part.data else None
        if value is not None:
            fields[names[at : at + step].partition("\0")[0]] = value
    return fields


def _numbers(element: _Element | None, order: str) -> NDArray[Any]:
    if element is None or element.kind not in KINDS:
        raise DamagedMat("no numbers where some must be")
    dtype = np.dtype(order + KINDS[element.kind])
    if len(element.data) % dtype.itemsize:
        raise DamagedMat("numbers cut short")
    return np.frombuffer(element.data, dtype)


def _text(element: _Element | None) -> str:
    if element is None or element.kind not in (1, 2, 16):
        raise DamagedMat("no text where some must be")
    return bytes(element.data).decode("latin-1")
