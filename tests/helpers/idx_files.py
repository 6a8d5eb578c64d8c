"""IDX files, written by none of the package: https://yann.lecun.com/exdb/mnist describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(values: NDArray[Any]) -> bytes:
    """Return an array as the bytes of an IDX file, not gzipped."""
    code = CODES[values.dtype.str[1:]]
    head = bytes([0, 0, code, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write_images(folder: Path, split: str, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
    """Write the two files of a split, named as those of MNIST."""
    (folder / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(labels.astype(np.uint8)))
