"""Still images as grey levels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimMissingError, require
from ...base.raw import printable
from ..files.idx import read_idx

MAX_PIXELS = 1 << 26


def read_image(path: Path, index: int | None) -> NDArray[np.uint8]:
    """Return [height, width] grey levels of a picture, or of the image `index` of an IDX file.

    Raises:
        NeurosimMissingError: Pillow is not installed.
        NeurosimFormatError: a damaged file, or one that is no picture.
    """
    if index is not None:
        pixels = _idx(path)
        require(
            index < len(pixels), f"{path}: images", f"must be as many as labels; there is none {index}", len(pixels)
        )
        return np.asarray(pixels[index])
    try:
        from PIL import Image
    except ImportError as error:
        raise NeurosimMissingError(
            f"{path}: pictures need Pillow ({error}); run: pip install 'neurosim-spiking[images]'"
        ) from None
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels, more than {MAX_PIXELS:,}")
            return np.asarray(picture.convert("L"))
    except Exception as error:  # Pillow passes on every error of its decoders
        reason = printable(" ".join(str(error).split()))[:120] or type(error).__name__
        raise NeurosimFormatError(
            f"{path}: cannot be read as a picture ({reason}); save it again, e.g. as PNG"
        ) from None


@lru_cache(maxsize=2)
def _idx(path: Path) -> NDArray[np.uint8]:
    pixels = read_idx(path)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise NeurosimFormatError(
            f"{path}: expected images [n, height, width] of bytes, got {pixels.dtype} {pixels.shape}"
        )
    return np.asarray(pixels)
