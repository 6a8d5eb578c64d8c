"""Filters of compressed HDF5 datasets, undone from the bytes of a file: the library's own crash on damaged files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimMissingError


class _MissingError(Exception):
    """A package that is not installed."""


def _inflate(data: bytes, size: int, itemsize: int) -> bytes:
    # A few bytes more than the chunk, for a checksum packed with it.
    return zlib.decompressobj().decompress(data, size + 8)


def _unshuffle(data: bytes, size: int, itemsize: int) -> bytes:
    whole = len(data) // itemsize * itemsize
    columns = np.frombuffer(data[:whole], np.uint8).reshape(itemsize, -1)
    return columns.T.tobytes() + data[whole:]


def _unchecked(data: bytes, size: int, itemsize: int) -> bytes:
    return data[:-4]


def _unpack_lzf(data: bytes, size: int, itemsize: int) -> bytes:
    from ...kernels.io.compressed import cpu as unpack

    out = np.empty(size + 8, np.uint8)
    return out[: max(unpack.lzf(np.frombuffer(data, np.uint8), out), 0)].tobytes()


def _unpack_zstd(data: bytes, size: int, itemsize: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise _MissingError("zstd") from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as stream:
            return stream.read(size + 8)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error}") from None


def _unpack_lz4_block(data: bytes, size: int, itemsize: int) -> bytes:
    from ...kernels.io.compressed import cpu as unpack

    out = np.empty(size, np.uint8)
    return out[: max(unpack.lz4(np.frombuffer(data, np.uint8), out, 0), 0)].tobytes()


def _unpack_lz4(data: bytes, size: int, itemsize: int) -> bytes:
    """Undo the filter LZ4: size (8 bytes, big-endian), size of a block (4), then blocks after their sizes (4)."""
    total = int.from_bytes(data[:8], "big")
    block = int.from_bytes(data[8:12], "big")
    if not 0 < total <= size + 8 or block < 1:
        raise ValueError(f"lz4: {total} bytes in blocks of {block}")
    parts = []
    at = 12
    remaining = total
    while remaining > 0:
        room = min(block, remaining)
        packed = int.from_bytes(data[at : at + 4], "big")
        part = data[at + 4 : at + 4 + packed]
        # A block that did not become smaller is stored.
        parts.append(part if packed == room else _unpack_lz4_block(part, room, 1))
        if len(parts[-1]) != room:
            raise ValueError("lz4: a block that is not intact")
        at += 4 + packed
        remaining -= room
    return b"".join(parts)


def _unpack_blosc(data: bytes, size: int, itemsize: int) -> bytes:
    """Undo Blosc 1: a head of 16 bytes, starts of blocks, and blocks of one or, split by byte, several pieces.

    Source: c-blosc, README_CHUNK_FORMAT.
    """
    if len(data) < 16:
        raise ValueError("blosc: no head")
    # Head: versions (2 bytes), flags, bytes of an item, unpacked size (4), size of a block (4), packed size (4).
    # Flags: 1 byte shuffle, 2 stored, 4 bit shuffle, 16 blocks not split; the codec from bit 5.
    flags = data[2]
    each = data[3]
    total, block = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8))
    if not 0 < total <= size + 8 or each < 1:
        raise ValueError(f"blosc: {total} bytes")
    if flags & 2:
        return data[16 : 16 + total]
    codec = _BLOSC.get(flags >> 5)
    if codec is None or flags & 4 or not 0 < block <= total:
        raise ValueError("blosc: expected lz4, zlib or zstd, with byte shuffle or none; repack it with h5repack")
    blocks = []
    for k in range(-(-total // block)):
        at = int.from_bytes(data[16 + 4 * k : 20 + 4 * k], "little")
        room = min(block, total - k * block)
        # A full block of shuffled items is split into one piece for each byte of an item, unless it is too small.
        split = not flags & 16 and room == block and each <= 16 and block // each >= 128
        pieces = each if split else 1
        parts = []
        size_of_piece = room // pieces
        for _ in range(pieces):
            packed = int.from_bytes(data[at : at + 4], "little")
            part = data[at + 4 : at + 4 + packed]
            # A piece that did not become smaller is stored.
            if packed != size_of_piece:
                part = codec(part, size_of_piece, 1)
            if len(part) != size_of_piece:
                raise ValueError("blosc: a block that is not intact")
            parts.append(part)
            at += 4 + packed
        whole = b"".join(parts)
        blocks.append(_unshuffle(whole, room, each) if flags & 1 and each > 1 else whole)
    return b"".join(blocks)


# By the number in the head of Blosc, and by the numbers of the filters of HDF5.
_BLOSC: Mapping[int, Callable[[bytes, int, int], bytes]] = {1: _unpack_lz4_block, 3: _inflate, 4: _unpack_zstd}
UNDO: Mapping[int, Callable[[bytes, int, int], bytes]] = {
    1: _inflate,
    2: _unshuffle,
    3: _unchecked,
    32000: _unpack_lzf,
    32001: _unpack_blosc,
    32004: _unpack_lz4,
    32015: _unpack_zstd,
}
# Filters of the package hdf5plugin that damaged files have not crashed.
PLUGINS: Mapping[int, str] = {32026: "blosc2"}
# Prophesee's event compression, by the number that its library gave itself.
ECF = 0x8ECF
KNOWN = UNDO.keys() | PLUGINS.keys() | {ECF}


def undo(path: object, name: str, code: int, data: bytes, size: int, itemsize: int) -> bytes:
    """Return the bytes of a chunk before filter `code`, about `size` of them.

    Raises:
        NeurosimMissingError: a package that is not installed; says what to install.
        ValueError, zlib.error: damaged.
    """
    try:
        return UNDO[code](data, size, itemsize)
    except _MissingError as error:
        raise _missing(path, name, str(error)) from None


def read_by_library(
    path: object, name: str, node: Any, codes: set[int], begin: int | None = None, end: int | None = None
) -> NDArray[Any]:
    """Return all entries of a dataset that the HDF5 library unpacks, or those of the rows from `begin` to `end`.

    Raises:
        NeurosimMissingError: a filter that is not installed; says what to install.
    """
    import h5py

    if codes & PLUGINS.keys():
        try:
            # Registers its filters.
            import hdf5plugin  # noqa: F401
        except ImportError:
            raise _missing(path, name, PLUGINS[min(codes & PLUGINS.keys())]) from None
    if not all(h5py.h5z.filter_avail(code) for code in codes - UNDO.keys()):
        step = "install Prophesee's hdf5_ecf and set HDF5_PLUGIN_PATH, or convert the file to .raw"
        raise NeurosimMissingError(f"{path}: /{name}: is compressed with Prophesee's ECF; {step}")
    rows = node[()] if begin is None else node[begin:end]
    return np.asarray(rows).reshape(-1)


def _missing(path: object, name: str, filter: str) -> NeurosimMissingError:
    return NeurosimMissingError(f"{path}: /{name}: is compressed with {filter}; run: {install('hdf5')}")
