"""Torch functions along the last axis: sums, norms and softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ....kernels.decode.vectors import reference as vectors
from .elementwise import activation, mul
from .nodes import Spread
from .norms import norm_of, normalise, total
from .program import NotCompiledError
from .traced import Traced, lowers


def _require_last(x: Traced, dim: int | Sequence[int] | None, name: str) -> None:
    """Raise `NotCompiledError` for another axis than the last."""
    axes = [dim] if isinstance(dim, int) else list(dim or ())
    if [axis % x.ndim for axis in axes] != [x.ndim - 1]:
        raise NotCompiledError(f"torch function {name!r} along axes {axes}: compiled along the last one alone")


@lowers("sum")
def _sum(x: Traced, dim: Any = None, keepdim: bool = False) -> Traced:
    _require_last(x, dim, "sum")
    sums = total(x.builder, x.head_rows, x.shape[-1])
    shape = [*x.shape[:-1], 1] if keepdim else x.shape[:-1]
    return Traced.of(x.builder, sums, shape)


@lowers("mean")
def _mean(x: Traced, dim: Any = None, keepdim: bool = False) -> Traced:
    return mul(_sum(x, dim, keepdim), 1 / x.shape[-1])


def normalised(x: Traced, kind: int, eps: float = 0.0) -> Traced:
    """Return x divided by its length or its sum along the last axis, or its softmax; repeated heads once."""
    if isinstance(x.node, Spread) and x.node.waits and x.node.width == x.shape[-1]:
        inner = Traced(x.node.x, [x.builder.tokens, x.node.x.size // x.node.width, x.node.width])
        return Traced(Spread(normalised(inner, kind, eps).node, x.node.width, x.node.times), x.shape)
    return Traced.of(x.builder, normalise(x.builder, x.token_rows, x.shape[-1], kind, eps), x.shape)


@lowers("cumsum")
def _cumsum(x: Traced, dim: int) -> Traced:
    if x.shape[dim] != 1:
        raise NotCompiledError("cumsum along more than the one token: no compiled operation computes it")
    return x  # of one token the sum is the token


@lowers("normalize")
def _normalize(x: Traced, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Traced:
    _require_last(x, dim, "normalize")
    if p != 2:
        raise NotCompiledError(f"normalize by the norm {p}: compiled for 2")
    return normalised(x, vectors.L2, eps * eps)


@lowers("softmax")
def _softmax(x: Traced, dim: int = -1, *ignored: Any, **named: Any) -> Traced:
    _require_last(x, dim, "softmax")
    return normalised(x, vectors.SOFTMAX)


def _norm(x: Traced, size: int, weight: Any, bias: Any, eps: float | None, *, centred: bool) -> Traced:
    if eps is None:
        eps = torch.finfo(torch.float32).eps
    return Traced.of(x.builder, norm_of(x.builder, x.token_rows, size, weight, bias, eps, centred=centred), x.shape)


@lowers("rms_norm")
def _rms_norm(x: Traced, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Traced:
    return _norm(x, math.prod(shape), weight, None, eps, centred=False)


@lowers("layer_norm")
def _layer_norm(x: Traced, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Traced:
    return _norm(x, math.prod(shape), weight, bias, eps, centred=True)


@lowers("group_norm")
def _group_norm(x: Traced, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Traced:
    return _norm(x, x.shape[1] // groups, weight, bias, eps, centred=True)


@lowers("log_softmax")
def _log_softmax(x: Traced, dim: int = -1) -> Traced:
    return activation(vectors.LOG)(_softmax(x, dim))
