"""Torch functions of products: linear layers, and small matrices of each token."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .nodes import LinearNode
from .pointwise import matmul
from .program import NotCompiledError
from .shapes import broadcast_shape, expand
from .traced import Traced, Value, lowers


class _Dense:
    """Weights and bias of a dense layer."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.out_features, self.in_features = weight.shape
        self.weight = weight
        self.bias = bias


@lowers("linear")
def _linear(x: Traced, weight: Tensor, bias: Tensor | None = None) -> Traced:
    return linear(x, _Dense(weight, bias))


def linear(x: Traced, layer: Any) -> Traced:
    """Return W x + b of a layer, dense or spiked."""
    return Traced(LinearNode(x.node, layer), [*x.shape[:-1], layer.out_features])


@lowers("matmul")
def matrix_product(x: Value, y: Value) -> Traced:
    """Return products of matrices [.., a, b] and [.., b, c] of each token, or with one matrix [b, c] of the model."""
    if isinstance(x, Traced) and not isinstance(y, Traced) and y.dim() == 2:
        # x @ W with a matrix of the model is a linear layer of weight W^T.
        return _linear(x, y.T.contiguous())
    if not isinstance(x, Traced) or not isinstance(y, Traced):
        raise NotCompiledError("matmul: compiled for matrices of tokens, and for x @ W of a matrix of the model")
    rows = x.shape[-2]
    columns = y.shape[-1]
    # One matrix beside many is repeated: the operation multiplies them pair by pair.
    lead = broadcast_shape(x.shape[:-2], y.shape[:-2])
    x = expand(x, *lead, *x.shape[-2:])
    y = expand(y, *lead, *y.shape[-2:])
    out = matmul(x.builder, x.head_rows, y.head_rows, rows)
    return Traced.of(x.builder, out, [*lead, rows, columns])


@lowers("rmatmul")
def _reversed_product(x: Value, y: Value) -> Traced:
    return matrix_product(y, x)
