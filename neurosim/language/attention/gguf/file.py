"""Reader of the header of a GGUF file, version 2 or 3: metadata by name, and the place of each tensor.

A file is: 'GGUF', the version, two counts; the metadata; the tensors' names, shapes, types and offsets; the values,
from the next multiple of the alignment on. Numbers are little-endian. Every length is compared with the size of the
file before it is used.

Source: the format's specification, docs/gguf.md of ggml.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....base.errors import NeurosimFormatError, NeurosimMissingError
from ..tensors import StoredTensor
from .blocks import BLOCKS, FLOATS, NAMES

SUFFIX = ".gguf"
MAGIC = b"GGUF"
# Name of one of the parts of a model.
PART = re.compile(r"(.*)-\d{5}-of-(?!00000)(\d{5})\.gguf")
VERSIONS = (2, 3)
MAX_AXES = 4
STRING = 8
ARRAY = 9
# struct formats of the numbers of the metadata, by their type.
NUMBERS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GgufFile:
    """Contents of a header.

    Attributes:
        path: of the file.
        metadata: values by name; arrays are lists.
        tensors: places of the tensors by name; shapes are [rows, channels], as torch has them.
        types: name of each tensor's type, such as 'Q4_1'.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    types: Mapping[str, str]


def read_gguf(path: str | os.PathLike[str]) -> GgufFile:
    """Read the header of a GGUF file, and those of its other parts where it is one of several; no values are read.

    Raises:
        NeurosimMissingError: no such file, or another part is not beside it.
        NeurosimFormatError: a damaged header, tensors that overlap or pass the end, or a type that is not read.
    """
    file = _read_one(Path(path))
    count = file.metadata.get("split.count", 1)
    if type(count) is int and count > 1:
        return _joined(file, count)
    return file


def part_names(name: str) -> list[str]:
    """Return the names of all parts of a model by that of one of them: NAME-00001-of-00003.gguf; else the name."""
    match = PART.fullmatch(name)
    if match is None:
        return [name]
    return [f"{match[1]}-{number:05d}-of-{match[2]}.gguf" for number in range(1, int(match[2]) + 1)]


def _joined(one: GgufFile, count: int) -> GgufFile:
    """Return the contents of all parts of a model; the entries are in the first."""
    names = part_names(one.path.name)
    if len(names) != count:
        rule = f"must be called NAME-00001-of-{count:05d}.gguf and so on"
        raise NeurosimFormatError(f"{one.path}: is one of {count} parts, which {rule}; give it that name again")
    paths = [one.path.with_name(name) for name in names]
    parts = [_read_one(path) for path in paths]
    tensors = {name: stored for part in parts for name, stored in part.tensors.items()}
    total = sum(len(part.tensors) for part in parts)
    stated = parts[0].metadata.get("split.tensors.count", total)
    if not len(tensors) == total == stated:
        raise NeurosimFormatError(
            f"{paths[0]}: all parts must have {stated} tensors (got {len(tensors)}); fetch all parts again"
        )
    types = {name: kind for part in parts for name, kind in part.types.items()}
    return GgufFile(one.path, parts[0].metadata, tensors, types)


def _read_one(path: Path) -> GgufFile:
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file; give a .gguf file")
    if path.stat().st_size < len(MAGIC):
        raise NeurosimFormatError(f"{path}: expected a GGUF file, the file has {path.stat().st_size} bytes; cut short?")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return _Header(path, mapped).read()


class _Header:
    """A cursor over the bytes of a file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.at = 0

    def read(self) -> GgufFile:
        if self.data[:4] != MAGIC:
            self.fail(f"expected {MAGIC!r} (got {bytes(self.data[:4])!r}): no GGUF file", 0)
        self.at = 4
        version = self.number("<I", "the version")
        if version not in VERSIONS:
            # A file of a big-endian machine has its version in the upper bytes.
            self.fail(f"expected version 2 or 3, little-endian (got {version})", 4)
        tensor_count = self.number("<Q", "the number of tensors")
        entry_count = self.number("<Q", "the number of entries")
        metadata: dict[str, Any] = {}
        for _ in range(self.bounded(entry_count, 13, "entries")):
            name = self.string("the name of an entry")
            kind = self.number("<I", f"the type of '{name:.60}'")
            metadata[name] = self.value(kind, name)
        entries: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(self.bounded(tensor_count, 24, "tensors")):
            entries.append(self.tensor())
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20:
            self.fail(f"general.alignment must be an integer of 1 to 1048576 (got {alignment!s:.40})", self.at)
        start = alignment * math.ceil(self.at / alignment)
        tensors = {name: self.placed(name, shape, kind, start + offset) for name, shape, kind, offset in entries}
        if len(tensors) != len(entries):
            self.fail("two tensors have one name", self.at)
        self.check_overlap(tensors)
        types = {name: NAMES[kind] for name, _, kind, _ in entries}
        return GgufFile(self.path, metadata, tensors, types)

    def fail(self, expectation: str, at: int) -> None:
        raise NeurosimFormatError(f"{self.path}: byte {at}: {expectation}; fetch the file again")

    def need(self, count: int, what: str) -> int:
        """Return the place of the next `count` bytes, and move behind them."""
        begin = self.at
        if count > self.size - begin:
            self.fail(f"expected {what} of {count} bytes, the file has {self.size - begin} more: cut short?", begin)
        self.at += count
        return begin

    def bounded(self, count: int, least: int, what: str) -> int:
        """Return a number of entries of at least `least` bytes each, after a check that the file can hold them."""
        if count * least > self.size - self.at:
            self.fail(f"expected {count} {what}, the file has {self.size - self.at} more bytes", self.at)
        return count

    def number(self, code: str, what: str) -> Any:
        begin = self.need(struct.calcsize(code), what)
        return struct.unpack_from(code, self.data, begin)[0]

    def string(self, what: str) -> str:
        length = self.number("<Q", what)
        begin = self.need(length, what)
        # Words of a vocabulary may be parts of characters: those bytes survive as lone surrogates.
        return self.data[begin : begin + length].decode("utf-8", errors="surrogateescape")

    def value(self, kind: int, name: str, depth: int = 0) -> Any:
        what = f"the value of '{name:.60}'"
        if kind in NUMBERS:
            return self.number(NUMBERS[kind], what)
        if kind == STRING:
            return self.string(what)
        if kind != ARRAY or depth > 2:
            self.fail(f"'{name:.60}': expected a type of 0 to 12 (got {kind})", self.at)
        inner = self.number("<I", what)
        count = self.number("<Q", what)
        if inner in NUMBERS:
            code = NUMBERS[inner]
            begin = self.need(self.bounded(count, 1, "numbers") * struct.calcsize(code), what)
            return np.frombuffer(self.data, np.dtype(code), count, begin).tolist()
        return [self.value(inner, name, depth + 1) for _ in range(self.bounded(count, 8, "values"))]

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Return the name, shape, type and offset of a tensor."""
        name = self.string("the name of a tensor")
        axes = self.number("<I", f"the axes of '{name:.60}'")
        if axes > MAX_AXES:
            self.fail(f"tensor '{name:.60}': expected at most {MAX_AXES} axes (got {axes})", self.at)
        lengths = [self.number("<Q", f"the shape of '{name:.60}'") for _ in range(axes)]
        kind = self.number("<I", f"the type of '{name:.60}'")
        offset = self.number("<Q", f"the offset of '{name:.60}'")
        return name, tuple(reversed(lengths)), kind, offset

    def placed(self, name: str, shape: tuple[int, ...], kind: int, begin: int) -> StoredTensor:
        """Return the place of a tensor; raise unless its bytes lie in the file."""
        if kind not in NAMES:
            read = ", ".join(sorted(NAMES.values()))
            raise NeurosimFormatError(
                f"{self.path}: tensor '{name:.60}': its type, number {kind}, is not read; quantise the model to one of "
                f"{read}"
            )
        if kind in FLOATS:
            stored = StoredTensor(self.path, FLOATS[kind], shape, begin, name=name)
            size = math.prod(shape) * FLOATS[kind].itemsize
        else:
            blocks = BLOCKS[kind]
            if not shape or shape[-1] % blocks.values:
                self.fail(f"tensor '{name:.60}': rows of {NAMES[kind]} must be multiples of {blocks.values}", begin)
            stored = StoredTensor(self.path, blocks.dtype, shape, begin, name=name, blocks=blocks)
            size = math.prod(shape) // blocks.values * blocks.bytes
        # Before anything is mapped: a shape in a damaged header may stand for more than the memory of the machine.
        if begin + size > self.size:
            self.fail(f"tensor '{name:.60}' of {size} bytes passes the end of the file, {self.size}", begin)
        return stored

    def check_overlap(self, tensors: Mapping[str, StoredTensor]) -> None:
        """Raise where two tensors lie on the same bytes."""
        spans = sorted((stored.start, stored.start + stored.byte_count(), name) for name, stored in tensors.items())
        for (_, end, one), (begin, _, other) in itertools.pairwise(spans):
            if begin < end:
                self.fail(f"tensors '{one:.60}' and '{other:.60}' lie on the same bytes", begin)
