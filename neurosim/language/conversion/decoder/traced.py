"""A tensor without values that torch functions accept: what they compute becomes operations of a decoder's program.

The methods of an attention kind run once with such tensors, as `torch.fx` runs a module, and leave the compiled step of
the kind. `LOWERINGS` maps the name of a torch function to the function that appends its operations; they are in
`shapes`, `elementwise`, `axes` and `products`. Functions that `leaf` of `kinds.tracing` marks are compiled as a whole,
by what `compiles` entered for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from ...attention.kinds.tracing import COMPILED
from .memory import Buffer
from .nodes import Node, Stored
from .program import DecoderProgram, NotCompiledError

POSITION_DEPENDENT = "a value that depends on the position of its token: no compiled operation computes it"

Value = Any  # a Traced, a tensor that is the same for all tokens, or a number

LOWERINGS: dict[str, Callable[..., Any]] = {}
"""Lowerings by the name of a torch function; `lowers` in `shapes`, `elementwise`, `axes` and `products` enters them."""


def lowers(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate the lowering of torch functions of these names."""

    def enter(lower: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            LOWERINGS[name] = lower
        return lower

    return enter


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
        """Builder of the program that computes it."""
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
        return lowering("getitem")(self, index)

    def __add__(self, other: Value) -> Traced:
        return lowering("add")(self, other)

    def __radd__(self, other: Value) -> Traced:
        return lowering("add")(self, other)

    def __sub__(self, other: Value) -> Traced:
        return lowering("sub")(self, other)

    def __rsub__(self, other: Value) -> Traced:
        return lowering("sub")(other, self)

    def __mul__(self, other: Value) -> Traced:
        return lowering("mul")(self, other)

    def __rmul__(self, other: Value) -> Traced:
        return lowering("mul")(self, other)

    def __truediv__(self, other: Value) -> Traced:
        return lowering("div")(self, other)

    def __rtruediv__(self, other: Value) -> Traced:
        return lowering("div")(other, self)

    def __neg__(self) -> Traced:
        return lowering("mul")(self, -1.0)

    def __pow__(self, exponent: float) -> Traced:
        return lowering("pow")(self, exponent)

    def __matmul__(self, other: Value) -> Traced:
        return lowering("matmul")(self, other)

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
