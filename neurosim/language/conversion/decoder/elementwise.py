"""Torch functions element by element: each is a step of a chain, which one operation computes (`chains.Chain`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ....kernels.decode.vectors import reference as vectors
from .chains import Chain, Operand
from .memory import Array, Buffer
from .nodes import ColumnSlice, LinearNode, Node, Spread
from .norms import ratio
from .pointwise import mix
from .products import matrix_product
from .program import NotCompiledError
from .shapes import broadcast_shape, expand
from .traced import POSITION_DEPENDENT, Position, Traced, Value, lowers


def _operand(other: Value, shape: torch.Size) -> Operand:
    """Return the operand that is added to, or multiplies, a tensor of a shape."""
    size = math.prod(shape[1:])
    if not isinstance(other, Traced):
        values = torch.as_tensor(other, dtype=torch.float32).detach()
        # A constant with an axis of sequences must be the same for all of them.
        if values.dim() == len(shape):
            if not bool((values == values[:1]).all()):
                raise NotCompiledError("a constant of each sequence: no compiled operation takes it")
            values = values[0]
        if values.numel() == 1:
            return Operand(values.flatten())
        return Operand(values.expand(shape[1:]).flatten(), size)
    sizes = [1] * (len(shape) - other.ndim) + list(other.shape)
    if other.ndim < len(shape):  # its first axis is the sequences
        raise NotCompiledError(f"shapes {tuple(shape)} and {tuple(other.shape)}: axes of sequences must meet")
    if sizes == list(shape):
        return Operand(other.node)
    differ = [axis for axis in range(1, len(shape)) if sizes[axis] != shape[axis]]
    # [.., a, 1, 1] beside [.., a, b, c]: one number of the operand for each row of b c columns.
    if all(sizes[axis] == 1 for axis in range(differ[0], len(shape))):
        return Operand(other.node, math.prod(shape[differ[0] :]), 1)
    # [B, 1, 1, c] beside [B, a, b, c]: its columns repeat within the row of a token.
    if all(sizes[axis] == 1 for axis in range(1, differ[-1] + 1)):
        return Operand(other.node, size, math.prod(sizes[1:]))
    return Operand(expand(other, shape).node)


def _pair(x: Value, y: Value) -> tuple[Traced, Operand, torch.Size]:
    """Return the value that an operation changes, x or y, the other as its operand, and the shape of the result."""
    if isinstance(x, Position) or isinstance(y, Position):
        raise NotCompiledError(POSITION_DEPENDENT)
    if not isinstance(x, Traced):
        return _pair(y, x)
    other = tuple(y.shape) if hasattr(y, "shape") else ()
    shape = broadcast_shape(x.shape, other)
    # The value of full size that is an unfinished chain takes the operation into the chain.
    if isinstance(y, Traced) and y.shape == shape and (x.shape != shape or (_is_open(y) and not _is_open(x))):
        return y, _operand(x, shape), shape
    return expand(x, shape), _operand(y, shape), shape


def _is_open(x: Traced) -> bool:
    """Return whether it is a chain that no operation computes yet."""
    return isinstance(x.node, Chain) and x.node.waits


def _chained(x: Traced, shape: torch.Size, step: Callable[[Chain], Chain], operand: Operand | None = None) -> Traced:
    """Return x with one step more; heads that repeat take it once, where it is the same for all of them."""
    node = x.node
    same = operand is None or (operand.constant is not None and operand.constant.numel() == 1)
    if same and isinstance(node, Spread) and node.waits:
        return Traced(Spread(step(Chain.on(node.x)), node.width, node.times), shape)
    return Traced(step(Chain.on(node)), shape)


@lowers("add", "radd")
def _add(x: Value, y: Value, *, alpha: float = 1.0) -> Traced:
    if alpha != 1.0:
        y = mul(y, alpha)
    if isinstance(x, Traced) and isinstance(y, Traced) and x.shape == y.shape:
        # W u + b + y: the linear layer adds the other summand itself, the residual stream for one.
        for first, second in ((x, y), (y, x)):
            if isinstance(first.node, LinearNode) and first.node.waits and first.node.before is None:
                return Traced(first.node.plus(second.node), x.shape)
    x, operand, shape = _pair(x, y)
    return _chained(x, shape, lambda chain: chain.added(operand), operand)


@lowers("mul", "rmul")
def mul(x: Value, y: Value) -> Traced:
    if isinstance(x, Traced) and isinstance(y, Traced) and x.ndim == y.ndim and x.ndim > 2:
        for column, row in ((x, y), (y, x)):
            # [.., K, 1] * [.., 1, V], the outer product of a state: one product of matrices.
            outer = column.shape[-1] == 1 == row.shape[-2] and column.shape[-2] > 1 < row.shape[-1]
            if outer and column.shape[:-2] == row.shape[:-2]:
                return matrix_product(column, row)
    x, operand, shape = _pair(x, y)
    return _chained(x, shape, lambda chain: chain.multiplied(operand), operand)


@lowers("sub")
def _sub(x: Value, y: Value) -> Traced:
    minus = mul(y, -1.0) if isinstance(y, Traced | Position) else -torch.as_tensor(y)
    return _add(x, minus)


def _quotient(x: Node, y: Node) -> tuple[Buffer, float] | None:
    """Return (rows, eps) if x is all columns of these rows except the last, and y is the last column plus eps."""
    # Linear attention ends in out[:-1] / (out[-1] + eps), the last column being the normaliser.
    eps = 0.0
    if isinstance(y, Chain) and y.waits and y.act == vectors.IDENTITY and y.bounds == (None, None):
        added = None if y.then is None else y.then.constant
        if y.plus is None and y.times is None and added is not None and added.numel() == 1:
            eps = float(added)
            y = y.x
    # Both must be columns of one value, not yet copied: all but the last, and the last.
    if not (isinstance(x, ColumnSlice) and isinstance(y, ColumnSlice) and x.waits and y.waits and x.x is y.x):
        return None
    last = x.width - 1
    if (x.width, x.start, x.count, y.start, y.count) != (y.width, 0, last, last, 1):
        return None
    return x.x.rows(x.width), eps


@lowers("div", "truediv")
def _div(x: Value, y: Value) -> Traced:
    if isinstance(x, Traced) and isinstance(y, Traced):
        quotient = _quotient(x.node, y.node)
        if quotient is not None:
            return Traced.of(x.builder, ratio(x.builder, *quotient), x.shape)
    if isinstance(y, Traced):
        return mul(x, activation(vectors.RECIPROCAL)(y))
    factor = y if isinstance(y, Position) else 1 / torch.as_tensor(y)
    return mul(x, factor)


def activation(act: int) -> Callable[..., Traced]:
    """Return the lowering of an activation, as a step of a chain."""

    def lower(x: Traced, *options: Any, **named: Any) -> Traced:
        return _chained(x, x.shape, lambda chain: chain.activated(act))

    return lower


@lowers("gelu")
def _gelu(x: Traced, approximate: str = "none") -> Traced:
    act = vectors.GELU_TANH if approximate == "tanh" else vectors.GELU
    return activation(act)(x)


@lowers("elu")
def _elu(x: Traced, alpha: float = 1.0, inplace: bool = False) -> Traced:
    # elu(x) + 1, a feature map, is an operation; the 1 that follows here cancels in the chain.
    return _add(activation(vectors.ELU_PLUS)(x), -1.0)


@lowers("dropout")
def _dropout(x: Traced, p: float = 0.5, training: bool = True, inplace: bool = False) -> Traced:
    if training and p:
        raise NotCompiledError("dropout: a step does not train; call model.eval()")
    return x


@lowers("square")
def _square(x: Traced) -> Traced:
    chain = Chain.on(x.node)
    if x.node.waits and chain.act == vectors.RELU and chain.times is None and chain.then is None:
        return Traced(Chain(chain.x, vectors.SQRELU, chain.plus), x.shape)
    return mul(x, x)


@lowers("pow")
def _pow(x: Traced, exponent: float) -> Traced:
    if exponent == 2:
        return _square(x)
    if exponent == 0.5:
        return activation(vectors.SQRT)(x)
    raise NotCompiledError(f"power {exponent}: no compiled operation computes it")


@lowers("clamp")
def _clamp(x: Traced, min: float | None = None, max: float | None = None) -> Traced:
    return _chained(x, x.shape, lambda chain: chain.clamped(min, max))


@lowers("addcmul")
def _addcmul(x: Traced, y: Value, w: Value) -> Traced:
    """Return x + y w; for y = before - x, the mix of tokens of RWKV, in one operation."""
    chain = y.node
    # y is the chain (-1) x + before that `before - x` has left.
    mixes = isinstance(chain, Chain) and chain.act == vectors.IDENTITY and chain.x is x.node and chain.plus is None
    if mixes and chain.then is not None and chain.times is not None and chain.then.width is None:
        minus = chain.times.constant
        before = chain.then.values
        if isinstance(before, Node) and minus is not None and bool((minus == -1).all()):
            return _lerp(x, Traced(before, x.shape), w)  # x + (before - x) w
    return _add(x, mul(y, w))


@lowers("lerp")
def _lerp(x: Traced, y: Traced, w: Value) -> Traced:
    builder = x.builder
    weight: Buffer | Array
    if isinstance(w, Traced):
        weight = w.token_rows
    else:
        weight = builder.constant(w.expand(1, *x.shape[1:]))
    return Traced.of(builder, mix(builder, x.token_rows, y.token_rows, weight), x.shape)


@lowers("logaddexp")
def _logaddexp(x: Value, y: Value) -> Traced:
    # As written: the logarithms of the gates that it is used for do not overflow.
    return activation(vectors.LOG)(_add(torch.exp(x), torch.exp(y)))


@lowers("neg")
def _neg(x: Traced) -> Traced:
    return mul(x, -1.0)


@lowers("rsub")
def _reversed_difference(x: Value, y: Value) -> Traced:
    return _sub(y, x)


@lowers("rtruediv")
def _reversed_quotient(x: Value, y: Value) -> Traced:
    return _div(y, x)


@lowers("rsqrt")
def _rsqrt(x: Traced) -> Traced:
    return activation(vectors.RECIPROCAL)(activation(vectors.SQRT)(x))


_ACTIVATIONS = {
    "abs": vectors.ABS,
    "exp": vectors.EXP,
    "expm1": vectors.EXPM1,
    "log": vectors.LOG,
    "log_sigmoid": vectors.LOGSIGMOID,
    "logsigmoid": vectors.LOGSIGMOID,
    "reciprocal": vectors.RECIPROCAL,
    "relu": vectors.RELU,
    "sigmoid": vectors.SIGMOID,
    "silu": vectors.SILU,
    "softplus": vectors.SOFTPLUS,
    "sqrt": vectors.SQRT,
    "tanh": vectors.TANH,
}
for _name, _kind in _ACTIVATIONS.items():
    lowers(_name)(activation(_kind))
