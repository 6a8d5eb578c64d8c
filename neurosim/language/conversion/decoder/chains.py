"""Chains of functions of single numbers: act(x + a) * b + c, within bounds, becomes one operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ....kernels.decode.vectors import reference as vectors
from .memory import Array, Buffer
from .nodes import Node
from .pointwise import pointwise
from .program import DecoderProgram


@final
@dataclass(frozen=True)
class Operand:
    """Operand of a chain, to add or to multiply by.

    Attributes:
        values: a tensor, of one number or one token, the same for all tokens; or a node.
        width: width that the rows of the chain must have to line up with the operand; None for any.
        columns: columns of the operand in such a row; 0 for as many as the row has.
    """

    values: Tensor | Node
    width: int | None = None
    columns: int = 0

    @property
    def constant(self) -> Tensor | None:
        """The values, if the model has them; None for a node."""
        if isinstance(self.values, Tensor):
            return self.values
        return None

    def argument(self, builder: DecoderProgram, width: int) -> Buffer | Array:
        """Return it as `pointwise` takes it, for rows of `width`."""
        if isinstance(self.values, Tensor):
            return builder.constant(self.values)
        return self.values.rows(self.columns or width)


def _joined(a: Operand | None, b: Operand, function: Any) -> Operand | None:
    """Return one operand for two constant ones, or None where one of them is not constant."""
    if a is None:
        return b
    if a.constant is None or b.constant is None:
        return None
    return Operand(function(a.constant, b.constant), a.width or b.width)


# For an activation g of -x: the activation a, the factor c and the summand d with g(-x) = c a(x) + d, as
# sigmoid(-x) = 1 - sigmoid(x), logsigmoid(-x) = -softplus(x) and softplus(-x) = -logsigmoid(x).
_BEHIND_NEGATIVE = {
    vectors.SIGMOID: (vectors.SIGMOID, -1.0, 1.0),
    vectors.LOGSIGMOID: (vectors.SOFTPLUS, -1.0, 0.0),
    vectors.SOFTPLUS: (vectors.LOGSIGMOID, -1.0, 0.0),
}


@final
class Chain(Node):
    """act(x + plus) times + then, within low and high: one operation."""

    def __init__(
        self,
        x: Node,
        act: int = vectors.IDENTITY,
        plus: Operand | None = None,
        times: Operand | None = None,
        then: Operand | None = None,
        bounds: tuple[float | None, float | None] = (None, None),
    ) -> None:
        super().__init__(x.builder, x.size)
        self.x = x
        self.act = act
        self.plus = plus
        self.times = times
        self.then = then
        self.bounds = bounds

    @classmethod
    def on(cls, x: Node) -> Chain:
        """Return the chain that a node is, while no operation computes it, or the empty one on its value."""
        if isinstance(x, Chain) and x.waits:
            return x
        return Chain(x)

    def _with(self, **parts: Any) -> Chain:
        """Return this chain with some parts replaced."""
        fields = {"act": self.act, "plus": self.plus, "times": self.times, "then": self.then, "bounds": self.bounds}
        return Chain(self.x, **(fields | parts))

    @property
    def widths(self) -> set[int]:
        """Return the widths of rows that its operands need."""
        return {each.width for each in (self.plus, self.times, self.then) if each is not None and each.width}

    def takes(self, operand: Operand) -> bool:
        """Return whether an operand can join: nothing is clamped yet, and all operands need rows of one width."""
        if self.bounds != (None, None):
            return False
        needed = {operand.width} if operand.width else set()
        return len(self.widths | needed) <= 1

    def added(self, operand: Operand) -> Chain:
        """Return this plus an operand: constants add up in `then`, and anything else begins a new operation."""
        if self.takes(operand):
            then = _joined(self.then, operand, torch.add)
            if then is not None:
                return self._with(then=then)
        return Chain(self, then=operand)

    def multiplied(self, operand: Operand) -> Chain:
        """Return this times an operand: (act(x + a) b + c) d is one operation for constants b, c and d."""
        if not self.takes(operand):
            return Chain(self, times=operand)
        times = _joined(self.times, operand, torch.mul)
        if times is None:
            return Chain(self, times=operand)
        if self.then is None:
            return self._with(times=times)
        then = _joined(self.then, operand, torch.mul)
        if then is None or operand.constant is None:
            return Chain(self, times=operand)
        return self._with(times=times, then=then)

    def activated(self, act: int) -> Chain:
        """Return an activation of this; where both are one known function, one operation computes it."""
        if self.bounds != (None, None):
            return Chain(self, act)
        factor = None if self.times is None else self.times.constant
        if self.then is None:
            # e^-softplus(x) = 1 - sigmoid(x)
            if (self.act, act) == (vectors.SOFTPLUS, vectors.EXP) and _is(factor, -1.0):
                return self._with(act=vectors.SIGMOID, then=Operand(torch.ones(1)))
            # e^logsigmoid(x) = sigmoid(x)
            if (self.act, act) == (vectors.LOGSIGMOID, vectors.EXP) and self.times is None:
                return self._with(act=vectors.SIGMOID)
        if self.act == vectors.IDENTITY and self.plus is None:
            # act(x + c): the summand comes before the activation.
            if self.times is None:
                return self._with(act=act, plus=self.then, then=None)
            # act(-x), as an activation of x
            if self.then is None and _is(factor, -1.0) and act in _BEHIND_NEGATIVE:
                positive, scale, summand = _BEHIND_NEGATIVE[act]
                then = Operand(torch.tensor([summand])) if summand else None
                return Chain(self.x, positive, times=Operand(torch.tensor([scale])), then=then)
        return Chain(self, act)

    def clamped(self, low: float | None, high: float | None) -> Chain:
        """Return this within bounds; nothing joins a chain after that."""
        if self.bounds == (None, None):
            return self._with(bounds=(low, high))
        return Chain(self, bounds=(low, high))

    def compute(self) -> Buffer:
        operands = {"plus": self.plus, "times": self.times, "then": self.then}
        empty = self.act == vectors.IDENTITY and not any(operands.values()) and self.bounds == (None, None)
        if empty:
            return self.x.buffer
        # Operands of columns or heads need rows in which they repeat; without any, a row is a token.
        width = next(iter(self.widths), self.size)
        x = self.x.rows(width)
        arguments = {name: each.argument(self.builder, width) for name, each in operands.items() if each is not None}
        return pointwise(self.builder, x, self.act, **arguments, low=self.bounds[0], high=self.bounds[1])


def _is(values: Tensor | None, number: float) -> bool:
    """Return whether values are known, and all this number."""
    return values is not None and bool((values == number).all())
