"""Torch functions of shapes: numbers of a token lie one behind the other, so that a new shape is no operation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .nodes import ColumnSlice, Joined, Spread
from .program import NotCompiledError
from .traced import Traced, Value, lowers


def _reshaped(x: Traced, shape: Sequence[int]) -> Traced:
    """Return the same numbers in another shape, in which one size may be -1."""
    known = math.prod(n for n in shape if n >= 0)
    return Traced(x.node, [n if n >= 0 else x.numel() // known for n in shape])


@lowers("reshape", "view")
def _reshape(x: Traced, *shape: Any) -> Traced:
    in_a_sequence = len(shape) == 1 and not isinstance(shape[0], int)
    return _reshaped(x, shape[0] if in_a_sequence else shape)


@lowers("flatten")
def _flatten(x: Traced, start: int = 0, end: int = -1) -> Traced:
    start = start % x.ndim
    end = end % x.ndim
    return _reshaped(x, [*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]])


@lowers("unflatten")
def _unflatten(x: Traced, axis: int, sizes: Sequence[int]) -> Traced:
    axis %= x.ndim
    known = math.prod(n for n in sizes if n >= 0)
    inner = [n if n >= 0 else x.shape[axis] // known for n in sizes]
    return _reshaped(x, [*x.shape[:axis], *inner, *x.shape[axis + 1 :]])


@lowers("unsqueeze")
def unsqueeze(x: Traced, axis: int) -> Traced:
    axis %= x.ndim + 1
    return _reshaped(x, [*x.shape[:axis], 1, *x.shape[axis:]])


@lowers("squeeze")
def _squeeze(x: Traced, axis: int) -> Traced:
    axis %= x.ndim
    if x.shape[axis] != 1:
        return x
    return _reshaped(x, [*x.shape[:axis], *x.shape[axis + 1 :]])


def _narrow(x: Traced, axis: int, start: int, count: int) -> Traced:
    """Return `count` places of an axis."""
    if count == x.shape[axis]:
        return x
    if axis == 0:
        raise NotCompiledError("a choice of sequences: no compiled operation computes it")
    inner = math.prod(x.shape[axis + 1 :])
    shape = [*x.shape[:axis], count, *x.shape[axis + 1 :]]
    node = x.node
    if count == 1 and isinstance(node, Spread) and node.waits and (node.width, node.times) == (inner, x.shape[axis]):
        return Traced(node.x, shape)  # one of many that are the same
    # In rows of this axis and those behind it, `count` places are neighbouring columns.
    return Traced(ColumnSlice(node, x.shape[axis] * inner, start * inner, count * inner), shape)


@lowers("getitem")
def _item(x: Traced, index: Any) -> Traced:
    """Return x[index], for an index of integers, slices of step 1, None and `...`."""
    entries = list(index) if isinstance(index, tuple) else [index]
    # `...` stands for as many whole axes as the other entries leave.
    used = sum(1 for entry in entries if entry is not None and entry is not Ellipsis)
    if Ellipsis in entries:
        at = entries.index(Ellipsis)
        entries[at : at + 1] = [slice(None)] * (x.ndim - used)
    axis = 0
    for entry in entries:
        if entry is None:
            x = unsqueeze(x, axis)
            axis += 1
        elif isinstance(entry, int):
            x = _squeeze(_narrow(x, axis, entry % x.shape[axis], 1), axis)
        elif isinstance(entry, slice) and entry.step in (None, 1):
            start, end, _ = entry.indices(x.shape[axis])
            x = _narrow(x, axis, start, end - start)
            axis += 1
        else:
            raise NotCompiledError(f"index {entry!r}: no compiled operation computes it")
    return x


@lowers("split")
def _split(x: Traced, sizes: int | Sequence[int], dim: int = 0) -> tuple[Traced, ...]:
    axis = dim % x.ndim
    parts = []
    at = 0
    if isinstance(sizes, int):
        sizes = [min(sizes, x.shape[axis] - n) for n in range(0, x.shape[axis], sizes)]
    for size in sizes:
        parts.append(_narrow(x, axis, at, size))
        at += size
    return tuple(parts)


@lowers("chunk")
def _chunk(x: Traced, count: int, dim: int = 0) -> tuple[Traced, ...]:
    return _split(x, -(-x.shape[dim] // count), dim)


@lowers("unbind")
def _unbind(x: Traced, dim: int = 0) -> tuple[Traced, ...]:
    return tuple(_squeeze(part, dim) for part in _split(x, 1, dim))


@lowers("expand")
def expand(x: Traced, *shape: Any) -> Traced:
    if len(shape) == 1 and not isinstance(shape[0], int):
        sizes = shape[0]
    else:
        sizes = shape
    # New axes come behind the first, which is always the sequences.
    while x.ndim < len(sizes):
        x = unsqueeze(x, 1)
    for axis, size in enumerate(sizes):
        if size not in (-1, x.shape[axis]):
            # An axis of size 1: what lies behind it, repeated.
            node = Spread(x.node, math.prod(x.shape[axis + 1 :]), size)
            x = Traced(node, [*x.shape[:axis], size, *x.shape[axis + 1 :]])
    return x


def broadcast_shape(*shapes: Sequence[int]) -> torch.Size:
    """Return the shape of a result; torch's own function would import its compiler, 55 MB."""
    return torch.Size(np.broadcast_shapes(*map(tuple, shapes)))


@lowers("cat")
def _cat(parts: Sequence[Value], dim: int = 0) -> Traced:
    traced = next(part for part in parts if isinstance(part, Traced))
    axis = dim % traced.ndim
    columns = []
    for part in parts:
        # In rows of this axis and those behind it, parts are columns; empty ones (a memory of no tokens) have none.
        width = math.prod(part.shape[axis:])
        if width:
            columns.append((part.node if isinstance(part, Traced) else part, width))
    whole = sum(part.shape[axis] for part in parts)
    return Traced(Joined(traced.builder, columns), [*traced.shape[:axis], whole, *traced.shape[axis + 1 :]])


@lowers("stack")
def _stack(parts: Sequence[Traced], dim: int = 0) -> Traced:
    if len(parts) == 1:
        return unsqueeze(parts[0], dim)
    return _cat([unsqueeze(part, dim) for part in parts], dim)


@lowers("contiguous", "detach", "float")
def _same(x: Traced) -> Traced:
    return x


@lowers("to")
def _to(x: Traced, *target: Any, **named: Any) -> Traced:
    return x


@lowers("ones_like")
def _ones_like(x: Traced) -> Tensor:
    return torch.ones(x.shape)


@lowers("zeros_like")
def _zeros_like(x: Traced) -> Tensor:
    return torch.zeros(x.shape)
