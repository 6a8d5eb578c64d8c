"""Bit planes on a GPU: packed as they are encoded, and multiplied as a dense product of their counts."""

from __future__ import annotations

from ..accumulate.batch_gpu import batch, check
from ..encode.gpu import launch
from ..encode.reference import NEAREST
from .reference import Planes


def encode_planes(x, k, thresholds, planes, rounding=NEAREST):
    """Encode [B, K] to (`Planes`, thresholds): only the words are written, not the counts."""
    words, used, escapes = launch(x, k, thresholds, 2**planes - 1, planes, rounding)
    return Planes(words, x.shape[1], escapes), used


def plane_product(packed, weights):
    """Return counts @ weights from `Planes`: word tiles are expanded to counts in registers beside the weights."""
    check(packed.size, weights)
    rows = packed.words.shape[0]
    planes = packed.words.shape[1] - 1
    return batch(packed.words, planes, rows, packed.size, weights, packed.escapes)
