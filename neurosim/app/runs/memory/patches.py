"""Items as pictures, and the dictionary of patches that codes them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ....data.recordings import Recordings
from ....memory.sdr.patch_code import PatchCode
from .config import PatchesOptions, joined_shape
from .recognise.config import ItemCode

MAX_SPIKES = 255  # of an input of a picture, so that it is a byte


def build_patch_code(shape: tuple[int, ...], code: PatchesOptions | ItemCode, items: int, seed: int) -> PatchCode:
    """Return an empty dictionary for pictures of a shape, which so many items will fill.

    A picture smaller than a patch is seen as a whole. Few items store several patches each, so that half of them fill
    the dictionary.
    """
    height, width = shape[-2:]
    side = (min(code.side, height), min(code.side, width))
    rows = (height - side[0]) // code.stride + 1
    columns = (width - side[1]) // code.stride + 1
    return PatchCode(
        shape,
        units=code.units,
        side=side,
        stride=code.stride,
        winners=min(code.winners, code.units),
        pool=(min(code.pool, rows), min(code.pool, columns)),
        patches=-(-code.units // max(1, items // 2)),
        seed=seed,
    )


def grey_spikes(images: NDArray[np.uint8], grey: int) -> NDArray[np.int64]:
    """Return the numbers of spikes of the pixels of images: one for each of `grey` equal steps."""
    return images.astype(np.int64) * (grey + 1) // 256


def pictures(source: Recordings | NDArray[np.uint8], windows: int, patches: PatchesOptions) -> NDArray[np.uint8]:
    """Return items as pictures [n, planes, height, width] of numbers of spikes.

    Equal windows of each recording and its polarities are planes; of images there is one.
    """
    if not isinstance(source, Recordings):
        return grey_spikes(source, patches.grey).astype(np.uint8)[:, None]
    joined = join_pixels(source, patches.downsample)
    counts = np.minimum(joined.window_counts(windows), MAX_SPIKES)
    return counts.astype(np.uint8).reshape(len(source), -1, *joined.shape[-2:])


def join_pixels(recordings: Recordings, factor: int) -> Recordings:
    """Return recordings of a camera with `factor` rows, and columns, as one; all events remain."""
    if factor == 1:
        return recordings
    height, width = recordings.shape[-2:]
    shape = joined_shape(recordings.shape, factor)
    planes = (math.prod(shape[:-2]), height, width)
    plane, y, x = np.unravel_index(np.arange(recordings.size), planes)
    pools = np.ravel_multi_index((plane, y // factor, x // factor), (planes[0], *shape[-2:]))
    return recordings.pool(pools, shape)
