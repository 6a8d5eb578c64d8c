"""Bit planes on a GPU: packed as they are encoded, and multiplied as a dense product of their counts."""

from __future__ import annotations

from ..accumulate.batch_triton import batch
from ..accumulate.triton import check
from ..encode.triton import launch
from .reference import Planes


def encode_planes(x, k, thresholds, planes):
    """As `planes.encode_planes` on a GPU: nothing but the words is written."""
    words, used, escapes = launch(x, k, thresholds, 2**planes - 1, planes)
    return Planes(words, x.shape[1], escapes), used


def plane_product(packed, weights):
    """As `planes.product` on a GPU."""
    check(packed.size, weights)
    rows, planes = packed.words.shape[0], packed.words.shape[1] - 1
    return batch(packed.words, planes, rows, packed.size, weights, packed.escapes)
