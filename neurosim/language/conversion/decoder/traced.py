"""A tensor without values that torch functions accept: what they compute becomes operations of a decoder's program.

The methods of an attention kind run once with such tensors, as `torch.fx` runs a module, and leave the compiled step of
the kind. `LOWERINGS` maps the name of a torch function to the function that appends its operations. Functions that
`leaf` of `kinds.tracing` marks are compiled as a whole, by what `compiles` entered for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ....kernels.decode.vectors import cpu as vectors
from ...attention.kinds.tracing import COMPILED
from .memory import Array, Buffer
from .nodes import Chain, ColumnSlice, Joined, LinearNode, Node, Operand, Spread, Stored
from .norms import norm_of, normalise, ratio, total
from .pointwise import matmul, mix
from .program import DecoderProgram, NotCompiledError

POSITION_DEPENDENT = "a value that depends on the position of its token: no compiled operation computes it"

Value = Any  # a Traced, a tensor that is the same for all tokens, or a number


@final
class Traced:
    """A tensor [B, ..] of a node's numbers, B sequences side by side.

    Attributes:
        node: node that computes the numbers.
        shape: shape of a token's numbers: [B, 1, ..] as in the layers of a model, or [B, ..] in a recurrence.
    """

    dtype = torch.float32
    device = torch.device("cpu")
    is_cuda = requires_grad = False

    def __init__(self, node: Node, shape: Sequence[int]) -> None:
        self.node = node
        self.shape = torch.Size(shape)
        self.ndim = len(self.shape)

    @classmethod
    def of(cls, builder: DecoderProgram, buffer: Buffer, shape: Sequence[int]) -> Traced:
        """Return the tensor that a buffer holds."""
        return cls(Stored(builder, buffer), shape)

    @property
    def builder(self) -> DecoderProgram:
        """DecoderProgram of the program that computes it."""
        return self.node.builder

    @property
    def head_rows(self) -> Buffer:
        """Return its buffer in rows of the last axis."""
        return self.node.rows(self.shape[-1])

    @property
    def token_rows(self) -> Buffer:
        """Return its buffer in a row for each token."""
        return self.node.rows(self.node.size)

    def dim(self) -> int:
        return self.ndim

    def numel(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def size(self, axis: int | None = None) -> Any:
        if axis is None:
            return self.shape
        return self.shape[axis]

    # Tensors of the model's numbers, which are the same for all tokens, stay tensors of torch.

    def new_tensor(self, values: Any) -> Tensor:
        return torch.tensor(values, dtype=self.dtype)

    def new_zeros(self, *shape: Any) -> Tensor:
        return torch.zeros(*shape)

    def new_ones(self, *shape: Any) -> Tensor:
        return torch.ones(*shape)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # torch calls this for every function with a traced argument. Functions of the package are looked up as such,
        # functions of torch by name: torch.sum and Tensor.sum are two objects of one name.
        if function in COMPILED:
            return _whole(function, args, kwargs or {})
        return lowering(function.__name__)(*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"a traced tensor has no {name!r}")
        # Methods of tensors, as x.exp(), do not reach `__torch_function__`: they come from here.
        return lambda *args, **kwargs: lowering(name)(self, *args, **kwargs)

    def __getitem__(self, index: Any) -> Traced:
        return _item(self, index)

    def __add__(self, other: Value) -> Traced:
        return _add(self, other)

    def __radd__(self, other: Value) -> Traced:
        return _add(self, other)

    def __sub__(self, other: Value) -> Traced:
        return _sub(self, other)

    def __rsub__(self, other: Value) -> Traced:
        return _sub(other, self)

    def __mul__(self, other: Value) -> Traced:
        return _mul(self, other)

    def __rmul__(self, other: Value) -> Traced:
        return _mul(self, other)

    def __truediv__(self, other: Value) -> Traced:
        return _div(self, other)

    def __rtruediv__(self, other: Value) -> Traced:
        return _div(other, self)

    def __neg__(self) -> Traced:
        return _mul(self, -1.0)

    def __pow__(self, exponent: float) -> Traced:
        return _pow(self, exponent)

    def __matmul__(self, other: Value) -> Traced:
        return _matmul(self, other)

    def _compared(self, other: Value) -> Traced:
        """Refuse a comparison: its result would choose what is computed."""
        raise NotCompiledError("a comparison of the values of tokens: no compiled operation computes it")

    __eq__ = __ne__ = __ge__ = __gt__ = __le__ = __lt__ = _compared  # type: ignore[assignment]
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise NotCompiledError("a decision by the values of tokens: no compiled operation takes it")


@final
class Position:
    """The number of tokens so far, a scalar of the state: operations know it, and no value of a step may depend on it.

    Attributes:
        ahead: difference to the number at this token; None for values that are computed from it.
    """

    def __init__(self, ahead: int | None = 0) -> None:
        self.ahead = ahead

    def check_next(self) -> None:
        """Raise `NotCompiledError` unless this is the position of the next token."""
        if self.ahead != 1:
            raise NotCompiledError("state 'position': must be the position of the token before plus 1")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in COMPILED:
            return _whole(function, args, kwargs or {})
        return cls._computed(*args)

    @staticmethod
    def _computed(*values: Any) -> Position:
        """Return a value that is computed from positions; with values of tokens there is none."""
        if any(isinstance(value, Traced) for value in values):
            raise NotCompiledError(POSITION_DEPENDENT)
        return Position(None)

    def __add__(self, other: Any) -> Position:
        if isinstance(other, int) and self.ahead is not None:
            return Position(self.ahead + other)
        return self._computed(other)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"a position has no {name!r}")
        return lambda *args, **kwargs: self._computed(*args)

    def __getitem__(self, index: Any) -> Position:
        return self._computed()

    def __bool__(self) -> bool:
        raise NotCompiledError("a decision by the position of a token: no compiled operation takes it")

    def _with(self, *others: Any) -> Position:
        """Return the result of an operator, of which only `+ n` is known (`__add__`)."""
        return self._computed(*others)

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __truediv__ = __floordiv__ = _with
    __eq__ = __ne__ = __ge__ = __gt__ = __le__ = __lt__ = __neg__ = _with  # type: ignore[assignment]
    __hash__ = object.__hash__


def _whole(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Compile a function that `leaf` marks, by what `compiles` entered for it."""
    builder = next((value.builder for value in args if isinstance(value, Traced)), None)
    if builder is None:
        raise NotCompiledError(POSITION_DEPENDENT)
    return COMPILED[function](builder, *args, **kwargs)


def lowering(name: str) -> Callable[..., Any]:
    """Return the lowering of a torch function of this name.

    Raises:
        NotCompiledError: the function has none.
    """
    # Operators have underscores, as __radd__, and rows of the table have none.
    plain = name.strip("_") if name.startswith("__") else name
    lower = LOWERINGS.get(plain)
    if lower is None:
        raise NotCompiledError(f"torch function {name!r}: no compiled operation computes it")
    return lower


# Shapes: numbers of a token lie one behind the other, so that a new shape is no operation.


def _reshaped(x: Traced, shape: Sequence[int]) -> Traced:
    """Return the same numbers in another shape, in which one size may be -1."""
    known = math.prod(n for n in shape if n >= 0)
    return Traced(x.node, [n if n >= 0 else x.numel() // known for n in shape])


def _reshape(x: Traced, *shape: Any) -> Traced:
    in_a_sequence = len(shape) == 1 and not isinstance(shape[0], int)
    return _reshaped(x, shape[0] if in_a_sequence else shape)


def _flatten(x: Traced, start: int = 0, end: int = -1) -> Traced:
    start = start % x.ndim
    end = end % x.ndim
    return _reshaped(x, [*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]])


def _unflatten(x: Traced, axis: int, sizes: Sequence[int]) -> Traced:
    axis %= x.ndim
    known = math.prod(n for n in sizes if n >= 0)
    inner = [n if n >= 0 else x.shape[axis] // known for n in sizes]
    return _reshaped(x, [*x.shape[:axis], *inner, *x.shape[axis + 1 :]])


def _unsqueeze(x: Traced, axis: int) -> Traced:
    axis %= x.ndim + 1
    return _reshaped(x, [*x.shape[:axis], 1, *x.shape[axis:]])


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
            x = _unsqueeze(x, axis)
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


def _chunk(x: Traced, count: int, dim: int = 0) -> tuple[Traced, ...]:
    return _split(x, -(-x.shape[dim] // count), dim)


def _unbind(x: Traced, dim: int = 0) -> tuple[Traced, ...]:
    return tuple(_squeeze(part, dim) for part in _split(x, 1, dim))


def _expand(x: Traced, *shape: Any) -> Traced:
    if len(shape) == 1 and not isinstance(shape[0], int):
        sizes = shape[0]
    else:
        sizes = shape
    # New axes come behind the first, which is always the sequences.
    while x.ndim < len(sizes):
        x = _unsqueeze(x, 1)
    for axis, size in enumerate(sizes):
        if size not in (-1, x.shape[axis]):
            # An axis of size 1: what lies behind it, repeated.
            node = Spread(x.node, math.prod(x.shape[axis + 1 :]), size)
            x = Traced(node, [*x.shape[:axis], size, *x.shape[axis + 1 :]])
    return x


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


def _stack(parts: Sequence[Traced], dim: int = 0) -> Traced:
    if len(parts) == 1:
        return _unsqueeze(parts[0], dim)
    return _cat([_unsqueeze(part, dim) for part in parts], dim)


# Element by element


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
    return Operand(_expand(other, shape).node)


def _broadcast(*shapes: Sequence[int]) -> torch.Size:
    """Return the shape of a result; torch's own function would import its compiler, 55 MB."""
    return torch.Size(np.broadcast_shapes(*map(tuple, shapes)))


def _pair(x: Value, y: Value) -> tuple[Traced, Operand, torch.Size]:
    """Return the value that an operation changes, x or y, the other as its operand, and the shape of the result."""
    if isinstance(x, Position) or isinstance(y, Position):
        raise NotCompiledError(POSITION_DEPENDENT)
    if not isinstance(x, Traced):
        return _pair(y, x)
    other = tuple(y.shape) if hasattr(y, "shape") else ()
    shape = _broadcast(x.shape, other)
    # The value of full size that is an unfinished chain takes the operation into the chain.
    if isinstance(y, Traced) and y.shape == shape and (x.shape != shape or (_is_open(y) and not _is_open(x))):
        return y, _operand(x, shape), shape
    return _expand(x, shape), _operand(y, shape), shape


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


def _add(x: Value, y: Value, *, alpha: float = 1.0) -> Traced:
    if alpha != 1.0:
        y = _mul(y, alpha)
    if isinstance(x, Traced) and isinstance(y, Traced) and x.shape == y.shape:
        # W u + b + y: the linear layer adds the other summand itself, the residual stream for one.
        for first, second in ((x, y), (y, x)):
            if isinstance(first.node, LinearNode) and first.node.waits and first.node.before is None:
                return Traced(first.node.plus(second.node), x.shape)
    x, operand, shape = _pair(x, y)
    return _chained(x, shape, lambda chain: chain.added(operand), operand)


def _mul(x: Value, y: Value) -> Traced:
    if isinstance(x, Traced) and isinstance(y, Traced) and x.ndim == y.ndim and x.ndim > 2:
        for column, row in ((x, y), (y, x)):
            # [.., K, 1] * [.., 1, V], the outer product of a state: one product of matrices.
            outer = column.shape[-1] == 1 == row.shape[-2] and column.shape[-2] > 1 < row.shape[-1]
            if outer and column.shape[:-2] == row.shape[:-2]:
                return _matmul(column, row)
    x, operand, shape = _pair(x, y)
    return _chained(x, shape, lambda chain: chain.multiplied(operand), operand)


def _sub(x: Value, y: Value) -> Traced:
    minus = _mul(y, -1.0) if isinstance(y, Traced | Position) else -torch.as_tensor(y)
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


def _div(x: Value, y: Value) -> Traced:
    if isinstance(x, Traced) and isinstance(y, Traced):
        quotient = _quotient(x.node, y.node)
        if quotient is not None:
            return Traced.of(x.builder, ratio(x.builder, *quotient), x.shape)
    if isinstance(y, Traced):
        return _mul(x, _act(vectors.RECIPROCAL)(y))
    factor = y if isinstance(y, Position) else 1 / torch.as_tensor(y)
    return _mul(x, factor)


def _act(act: int) -> Callable[..., Traced]:
    """Return the lowering of an activation, as a step of a chain."""

    def lower(x: Traced, *options: Any, **named: Any) -> Traced:
        return _chained(x, x.shape, lambda chain: chain.activated(act))

    return lower


def _gelu(x: Traced, approximate: str = "none") -> Traced:
    act = vectors.GELU_TANH if approximate == "tanh" else vectors.GELU
    return _act(act)(x)


def _elu(x: Traced, alpha: float = 1.0, inplace: bool = False) -> Traced:
    # elu(x) + 1, a feature map, is an operation; the 1 that follows here cancels in the chain.
    return _add(_act(vectors.ELU_PLUS)(x), -1.0)


def _dropout(x: Traced, p: float = 0.5, training: bool = True, inplace: bool = False) -> Traced:
    if training and p:
        raise NotCompiledError("dropout: a step does not train; call model.eval()")
    return x


def _square(x: Traced) -> Traced:
    chain = Chain.on(x.node)
    if x.node.waits and chain.act == vectors.RELU and chain.times is None and chain.then is None:
        return Traced(Chain(chain.x, vectors.SQRELU, chain.plus), x.shape)
    return _mul(x, x)


def _pow(x: Traced, exponent: float) -> Traced:
    if exponent == 2:
        return _square(x)
    if exponent == 0.5:
        return _act(vectors.SQRT)(x)
    raise NotCompiledError(f"power {exponent}: no compiled operation computes it")


def _clamp(x: Traced, min: float | None = None, max: float | None = None) -> Traced:
    return _chained(x, x.shape, lambda chain: chain.clamped(min, max))


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
    return _add(x, _mul(y, w))


def _lerp(x: Traced, y: Traced, w: Value) -> Traced:
    builder = x.builder
    weight: Buffer | Array
    if isinstance(w, Traced):
        weight = w.token_rows
    else:
        weight = builder.constant(w.expand(1, *x.shape[1:]))
    return Traced.of(builder, mix(builder, x.token_rows, y.token_rows, weight), x.shape)


def _logaddexp(x: Value, y: Value) -> Traced:
    # As written: the logarithms of the gates that it is used for do not overflow.
    return _act(vectors.LOG)(_add(torch.exp(x), torch.exp(y)))


# Along the last axis


def _require_last(x: Traced, dim: int | Sequence[int] | None, name: str) -> None:
    """Raise `NotCompiledError` for another axis than the last."""
    axes = [dim] if isinstance(dim, int) else list(dim or ())
    if [axis % x.ndim for axis in axes] != [x.ndim - 1]:
        raise NotCompiledError(f"torch function {name!r} along axes {axes}: compiled along the last one alone")


def _sum(x: Traced, dim: Any = None, keepdim: bool = False) -> Traced:
    _require_last(x, dim, "sum")
    sums = total(x.builder, x.head_rows, x.shape[-1])
    shape = [*x.shape[:-1], 1] if keepdim else x.shape[:-1]
    return Traced.of(x.builder, sums, shape)


def _mean(x: Traced, dim: Any = None, keepdim: bool = False) -> Traced:
    return _mul(_sum(x, dim, keepdim), 1 / x.shape[-1])


def normalised(x: Traced, kind: int, eps: float = 0.0) -> Traced:
    """Return x divided by its length or its sum along the last axis, or its softmax; repeated heads once."""
    if isinstance(x.node, Spread) and x.node.waits and x.node.width == x.shape[-1]:
        inner = Traced(x.node.x, [x.builder.tokens, x.node.x.size // x.node.width, x.node.width])
        return Traced(Spread(normalised(inner, kind, eps).node, x.node.width, x.node.times), x.shape)
    return Traced.of(x.builder, normalise(x.builder, x.token_rows, x.shape[-1], kind, eps), x.shape)


def _cumsum(x: Traced, dim: int) -> Traced:
    if x.shape[dim] != 1:
        raise NotCompiledError("cumsum along more than the one token: no compiled operation computes it")
    return x  # of one token the sum is the token


def _normalize(x: Traced, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Traced:
    _require_last(x, dim, "normalize")
    if p != 2:
        raise NotCompiledError(f"normalize by the norm {p}: compiled for 2")
    return normalised(x, vectors.L2, eps * eps)


def _softmax(x: Traced, dim: int = -1, *ignored: Any, **named: Any) -> Traced:
    _require_last(x, dim, "softmax")
    return normalised(x, vectors.SOFTMAX)


def _norm(x: Traced, size: int, weight: Any, bias: Any, eps: float | None, *, centred: bool) -> Traced:
    if eps is None:
        eps = torch.finfo(torch.float32).eps
    return Traced.of(x.builder, norm_of(x.builder, x.token_rows, size, weight, bias, eps, centred=centred), x.shape)


def _rms_norm(x: Traced, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Traced:
    return _norm(x, math.prod(shape), weight, None, eps, centred=False)


def _layer_norm(x: Traced, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Traced:
    return _norm(x, math.prod(shape), weight, bias, eps, centred=True)


def _group_norm(x: Traced, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Traced:
    return _norm(x, x.shape[1] // groups, weight, bias, eps, centred=True)


# Products


class _Dense:
    """Weights and bias of a dense layer."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.out_features, self.in_features = weight.shape
        self.weight = weight
        self.bias = bias


def _linear(x: Traced, weight: Tensor, bias: Tensor | None = None) -> Traced:
    return linear(x, _Dense(weight, bias))


def linear(x: Traced, layer: Any) -> Traced:
    """Return W x + b of a layer, dense or spiked."""
    return Traced(LinearNode(x.node, layer), [*x.shape[:-1], layer.out_features])


def _matmul(x: Value, y: Value) -> Traced:
    """Return products of matrices [.., a, b] and [.., b, c] of each token, or with one matrix [b, c] of the model."""
    if isinstance(x, Traced) and not isinstance(y, Traced) and y.dim() == 2:
        # x @ W with a matrix of the model is a linear layer of weight W^T.
        return _linear(x, y.T.contiguous())
    if not isinstance(x, Traced) or not isinstance(y, Traced):
        raise NotCompiledError("matmul: compiled for matrices of tokens, and for x @ W of a matrix of the model")
    rows = x.shape[-2]
    columns = y.shape[-1]
    # One matrix beside many is repeated: the operation multiplies them pair by pair.
    lead = _broadcast(x.shape[:-2], y.shape[:-2])
    x = _expand(x, *lead, *x.shape[-2:])
    y = _expand(y, *lead, *y.shape[-2:])
    out = matmul(x.builder, x.head_rows, y.head_rows, rows)
    return Traced.of(x.builder, out, [*lead, rows, columns])


LOWERINGS: dict[str, Callable[..., Any]] = {
    "add": _add,
    "addcmul": _addcmul,
    "cat": _cat,
    "chunk": _chunk,
    "clamp": _clamp,
    "contiguous": lambda x: x,
    "cumsum": _cumsum,
    "detach": lambda x: x,
    "div": _div,
    "dropout": _dropout,
    "elu": _elu,
    "exp": _act(vectors.EXP),
    "expand": _expand,
    "expm1": _act(vectors.EXPM1),
    "flatten": _flatten,
    "float": lambda x: x,
    "gelu": _gelu,
    "getitem": _item,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "lerp": _lerp,
    "linear": _linear,
    "log": _act(vectors.LOG),
    "log_sigmoid": _act(vectors.LOGSIGMOID),
    "log_softmax": lambda x, dim=-1: _act(vectors.LOG)(_softmax(x, dim)),
    "logaddexp": _logaddexp,
    "logsigmoid": _act(vectors.LOGSIGMOID),
    "matmul": _matmul,
    "mean": _mean,
    "mul": _mul,
    "normalize": _normalize,
    "neg": lambda x: _mul(x, -1.0),
    "ones_like": lambda x: torch.ones(x.shape),
    "pow": _pow,
    "radd": _add,
    "reciprocal": _act(vectors.RECIPROCAL),
    "relu": _act(vectors.RELU),
    "reshape": _reshape,
    "rmatmul": lambda x, y: _matmul(y, x),
    "rms_norm": _rms_norm,
    "rmul": _mul,
    "rsqrt": lambda x: _act(vectors.RECIPROCAL)(_act(vectors.SQRT)(x)),
    "rsub": lambda x, y: _sub(y, x),
    "rtruediv": lambda x, y: _div(y, x),
    "sigmoid": _act(vectors.SIGMOID),
    "silu": _act(vectors.SILU),
    "softmax": _softmax,
    "softplus": _act(vectors.SOFTPLUS),
    "split": _split,
    "sqrt": _act(vectors.SQRT),
    "square": _square,
    "squeeze": _squeeze,
    "stack": _stack,
    "sub": _sub,
    "sum": _sum,
    "tanh": _act(vectors.TANH),
    "to": lambda x, *target, **named: x,
    "truediv": _div,
    "unbind": _unbind,
    "unflatten": _unflatten,
    "unsqueeze": _unsqueeze,
    "view": _reshape,
    "zeros_like": lambda x: torch.zeros(x.shape),
}
"""Lowerings by the name of a torch function."""
