"""Filters of compressed HDF5 datasets: the usual ones undone here, others by the library and its plugins."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimMissingError


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
    from ..kernels.io import unpack

    out = np.empty(size + 8, np.uint8)
    return out[: max(unpack.lzf(np.frombuffer(data, np.uint8), out), 0)].tobytes()


# By the numbers of the filters of HDF5.
UNDO: Mapping[int, Callable[[bytes, int, int], bytes]] = {1: _inflate, 2: _unshuffle, 3: _unchecked, 32000: _unpack_lzf}
# Filters of the package hdf5plugin.
PLUGINS: Mapping[int, str] = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
# Prophesee's event compression, by the number that its library gave itself.
ECF = 0x8ECF
KNOWN = UNDO.keys() | PLUGINS.keys() | {ECF}


def read_by_library(path: object, name: str, node: Any, codes: set[int]) -> NDArray:
    """Return all entries of a dataset that the HDF5 library unpacks.

    Raises:
        NeurosimMissingError: a filter that is not installed; says which package brings it.
    """
    import h5py

    if codes & PLUGINS.keys():
        try:
            # Registers its filters.
            import hdf5plugin  # noqa: F401
        except ImportError:
            names = ", ".join(PLUGINS[code] for code in sorted(codes & PLUGINS.keys()))
            raise NeurosimMissingError(
                f"{path}: /{name}: is compressed with {names}; run: pip install 'neurosim-spiking[hdf5]'"
            ) from None
    if not all(h5py.h5z.filter_avail(code) for code in codes):
        step = "install Prophesee's hdf5_ecf and set HDF5_PLUGIN_PATH, or convert the file to .raw"
        raise NeurosimMissingError(f"{path}: /{name}: is compressed with Prophesee's ECF; {step}")
    return np.asarray(node[()]).reshape(-1)
