"""Still images as grey levels, and how they are prepared for the emulated camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimFormatError, NeurosimMissingError, require
from ...base.raw import printable
from ..files.idx import read_idx
from ..saccades import ImageCamera, area_weights

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 1 << 26
# Difference of grey levels from the background of what stands out from it.
MIN_CONTRAST = 32
# Distance from the middle, in longer sides, beyond which an image was not centred.
MAX_OFF_CENTRE = 0.1
# Grey level that some pixel of an image has, unless all are nearly black.
DARK = 32
# Tag of a TIFF with the number of bits of a pixel.
BITS_PER_SAMPLE = 258


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
        raise NeurosimMissingError(f"{path}: pictures need Pillow ({error}); run: {install('images')}") from None
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels, more than {MAX_PIXELS:,}")
            # The second picture of a telephone's JPEG (MPO) is the first one again, for a screen or in other light.
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format != "MPO":
                raise ValueError(f"it holds {frames} pictures, an animation or pages, and an item is one of them")
            return _grey_levels(picture)
    except Exception as error:  # Pillow passes on every error of its decoders
        reason = printable(" ".join(str(error).split()))[:120] or type(error).__name__
        raise NeurosimFormatError(
            f"{path}: cannot be read as a picture ({reason}); save it again, e.g. as PNG"
        ) from None


def _grey_levels(picture: Picture) -> NDArray[np.uint8]:
    """Return [height, width] grey levels of an open picture as viewers show it: upright, on white where transparent.

    Raises:
        ValueError: it does not say which of its numbers is white.
    """
    from PIL import Image, ImageOps

    # Pillow reads a PNG of 16 bits as "I;16", and before version 11 as "I".
    sixteen_bits = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG")
    if picture.mode in ("I", "F") and not sixteen_bits:
        raise ValueError("its pixels are of 32 bits, and which is white is not known")
    upright = ImageOps.exif_transpose(picture)
    if sixteen_bits:
        # Pillow's own conversion cuts them off at 255. Pixels of a TIFF may have 12 bits, which it hands on in 16.
        bits = getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]
        return (np.asarray(upright) >> (bits - 8)).astype(np.uint8)
    if "A" not in upright.getbands() and "transparency" not in upright.info:
        return np.asarray(upright.convert("L"))
    layer = upright.convert("RGBA")
    levels = {}
    for colour in ("white", "black"):
        paper = Image.new("RGBA", layer.size, colour)
        levels[colour] = np.asarray(Image.alpha_composite(paper, layer).convert("L"))
    # White shapes would vanish on white.
    return levels["black"] if (levels["white"] == 255).all() else levels["white"]


@lru_cache(maxsize=2)
def _idx(path: Path) -> NDArray[np.uint8]:
    pixels = read_idx(path)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise NeurosimFormatError(
            f"{path}: expected images [n, height, width] of bytes, got {pixels.dtype} {pixels.shape}"
        )
    return np.asarray(pixels)


@dataclass(frozen=True)
class FolderImages(ImageCamera):
    """Settings of how still images are prepared and recorded.

    Attributes:
        invert: whether bright and dark are exchanged; None: where the background of most images is bright.
        centre: whether what stands out from the background moves to the middle; None: where the background of most
            images is even, and what stands out lies far from the middle in half of them.
        crop: whether images are cut to what stands out, which then fills the sensor.
    """

    invert: bool | None = None
    centre: bool | None = None
    crop: bool = False

    def decided(self, sample: Sequence[NDArray[np.uint8]]) -> tuple[FolderImages, tuple[str, ...]]:
        """Return the settings with `invert` and `centre` decided by some of the images, and what was guessed."""
        if len(sample) == 0 or (self.invert is not None and self.centre is not None):
            return self, ()
        even = [image for image in sample if _is_even(image)]
        decided = self
        remarks = []
        if self.invert is None:
            bright = sum(_background(image) > 127 for image in even)
            invert = 2 * bright > len(sample)
            decided = replace(decided, invert=invert)
            if invert:
                remarks.append("guessed: images were inverted, for their background is bright; images.invert decides")
        if self.centre is None:
            # An object a tenth of the side off the middle in half of the images was not centred by anybody.
            far = sum(_distance(image) > MAX_OFF_CENTRE for image in even)
            centre = 2 * far > len(sample)
            decided = replace(decided, centre=centre)
            if centre:
                remarks.append("guessed: images were centred, for objects lie off the middle; images.centre decides")
        brightest = max(int(image.max(initial=0)) for image in sample)
        if brightest < DARK:
            remarks.append(
                f"images are nearly black: no grey level above {brightest} of 255, as where 12 bits are stored in 16; "
                "write them brighter if that is not meant"
            )
        return decided, tuple(remarks)

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image as it is recorded; one without anything that stands out keeps its place."""
        if self.invert:
            image = 255 - image
        box = _box(image)
        if box is None:
            return image
        top, bottom, left, right = box
        if self.crop:
            return image[top:bottom, left:right]
        if not self.centre:
            return image
        # What the figure leaves behind has the grey level around it.
        moved = np.full_like(image, _background(image))
        height, width = image.shape
        row = (height - (bottom - top)) // 2
        column = (width - (right - left)) // 2
        moved[row : row + bottom - top, column : column + right - left] = image[top:bottom, left:right]
        return moved


def fitted(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return [side, side], an image whose longer side fills the square, on the grey level of its background."""
    height, width = image.shape
    pitch = max(height, width) / side
    # Places of the square's pixels on the image, in its pixels, from its middle.
    at = (np.arange(side) - (side - 1) / 2) * pitch
    rows, columns = (at + (size - 1) / 2 for size in image.shape)
    scaled = area_weights(rows, height, pitch) @ image @ area_weights(columns, width, pitch).T
    inside = ((rows > -0.5) & (rows < height - 0.5))[:, None] & ((columns > -0.5) & (columns < width - 0.5))
    return np.where(inside, np.rint(scaled), _background(image)).astype(np.uint8)


def _border(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _background(image: NDArray[np.uint8]) -> int:
    """Return the median grey level of the border."""
    return int(np.median(_border(image)))


def _is_even(image: NDArray[np.uint8]) -> bool:
    """Return whether nine in ten pixels of the border have the level of the background."""
    near = np.abs(_border(image).astype(int) - _background(image)) <= MIN_CONTRAST
    return bool(near.mean() >= 0.9)


def _box(image: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return (top, bottom, left, right) of what stands out from the background; None if nothing does."""
    stands_out = np.abs(image.astype(int) - _background(image)) > MIN_CONTRAST
    rows = np.flatnonzero(stands_out.any(axis=1))
    columns = np.flatnonzero(stands_out.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _distance(image: NDArray[np.uint8]) -> float:
    """Return the distance of the middle of what stands out from the middle of the image, in longer sides."""
    box = _box(image)
    if box is None:
        return 0.0
    top, bottom, left, right = box
    height, width = image.shape
    return math.hypot((top + bottom - height) / 2, (left + right - width) / 2) / max(height, width)
