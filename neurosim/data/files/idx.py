"""IDX, the format of MNIST and similar datasets: a magic number, sizes, and values, big-endian; gzipped or not.

The magic is two zero bytes, a byte for the type of the values and a byte for the number of dimensions
(http://yann.lecun.com/exdb/mnist/, "The IDX file format").
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.errors import NeurosimFormatError, require
from ...base.raw import format_error, read_bytes
from .archives import MAX_RATIO, MIN_BOUND, PIECE

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"
# The largest file of MNIST has 47 MB.
MAX_BYTES = 1 << 30
AGAIN = "it is damaged or of another format: fetch it again"


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images.

    Attributes:
        pixels: [n, height, width] uint8 grey levels.
        labels: [n] int64.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        require(self.pixels.ndim == 3, "Images.pixels", "must be [n, height, width]", self.pixels.shape)
        n = len(self.pixels)
        require(self.labels.shape == (n,), "Images.labels", f"must hold {n} labels", self.labels.shape)

    def __len__(self) -> int:
        return len(self.pixels)


def read_idx(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Return the array of an IDX file, in native byte order; gzip is recognised by its first bytes.

    Args:
        path: of the file.
        max_bytes: of the unpacked file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another magic number, sizes that do not fit the length, more than `max_bytes` or
            than `MAX_RATIO` times the file, or a damaged or cut gzip stream.
    """
    packed = read_bytes(path).tobytes()
    with _opened(path, packed) as file:
        head = file.read(4)
        is_idx = len(head) == 4 and head[:2] == b"\0\0"
        if not is_idx or head[2] not in TYPES or not 1 <= head[3] <= 8:
            got = head.hex(" ") or "nothing"
            raise format_error(path, "byte 0", "an IDX magic number 00 00 type dimensions", got, AGAIN)
        dimensions = head[3]
        kind = np.dtype(TYPES[head[2]])
        sizes = file.read(4 * dimensions)
        if len(sizes) < 4 * dimensions:
            raise format_error(path, "byte 4", f"{dimensions} sizes of 4 bytes", f"{len(sizes)} bytes", AGAIN)
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        # Python integers: the product cannot overflow.
        nbytes = math.prod(shape) * kind.itemsize
        start = 4 + len(sizes)
        expected = f"{nbytes} bytes of values {shape}"
        if packed[:2] != GZIP and len(packed) - start != nbytes:
            raise format_error(path, f"byte {start}", expected, f"{len(packed) - start} bytes", AGAIN)
        _check_size(path, packed, nbytes, max_bytes)
        data = np.empty(nbytes, np.uint8)
        done = 0
        while done < nbytes and (count := file.readinto(data[done : done + PIECE])):  # type: ignore[arg-type]
            done += count
        if done < nbytes or file.read(1):
            got = f"{done} bytes" if done < nbytes else "more"
            raise format_error(path, f"byte {start}", expected, got, AGAIN)
    values = data.view(kind).reshape(shape)
    if kind.isnative:
        return values
    return values.byteswap(inplace=True).view(kind.newbyteorder("="))


def read_images(images: str | os.PathLike[str], labels: str | os.PathLike[str], classes: int) -> Images:
    """Return the images and labels of two IDX files.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `read_idx`; images that are not [n, height, width] of bytes,
            another number of labels, a label outside the classes.
    """
    pixels = read_idx(images)
    known = read_idx(labels)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        got = f"{pixels.dtype} {pixels.shape}"
        raise format_error(images, "byte 0", "images [n, height, width] of bytes", got, "is it the file of labels?")
    if known.ndim != 1 or known.dtype != np.uint8:
        got = f"{known.dtype} {known.shape}"
        raise format_error(labels, "byte 0", "labels [n] of bytes", got, "is it the file of images?")
    if len(known) != len(pixels):
        raise format_error(labels, "byte 4", f"{len(pixels)} labels, as {images} has images", len(known), AGAIN)
    if known.size and known.max() >= classes:
        at = int(np.argmax(known >= classes))
        raise format_error(labels, f"byte {8 + at}", f"a label below {classes}", int(known[at]), AGAIN)
    return Images(pixels, known.astype(np.int64))


def unzip_one(archive: str | os.PathLike[str], folder: str | os.PathLike[str], name: str) -> Path:
    """Unpack a gzip file that holds one file into `folder`, as `name`.

    Raises:
        NeurosimFormatError: not a complete gzip file, or more than `MAX_BYTES`.
        NeurosimWriteError: the disk is full or read-only.
    """
    data = read_bytes(archive).tobytes()
    if data[:2] != GZIP:
        raise format_error(archive, "byte 0", "a gzip file", data[:2].hex(" ") or "nothing", AGAIN)
    with _opened(archive, data) as file:
        content = file.read(min(MAX_BYTES, len(data) * MAX_RATIO + MIN_BOUND) + 1)
    _check_size(archive, data, len(content), MAX_BYTES)
    write_bytes(Path(folder) / name, content)
    return Path(folder) / name


@contextmanager
def _opened(path: object, data: bytes) -> Iterator[io.BufferedIOBase]:
    """Open the bytes of a file, unpacked if they are gzip."""
    try:
        plain = io.BytesIO(data)
        unpacked = gzip.GzipFile(fileobj=plain) if data[:2] == GZIP else plain
        with unpacked as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())[:100]
        raise format_error(path, "gzip", "a complete gzip file", reason, AGAIN) from None


def _check_size(path: object, packed: bytes, size: int, max_bytes: int) -> None:
    """Raise if a file of images unpacks to more bytes than `max_bytes`, or than its own size allows."""
    bound = min(max_bytes, len(packed) * MAX_RATIO + MIN_BOUND)
    if size > bound:
        raise NeurosimFormatError(f"{path}: holds more than {bound} bytes, too many for a set of images; {AGAIN}")
