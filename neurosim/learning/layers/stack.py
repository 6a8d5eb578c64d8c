"""Layers in a row, each with its own state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from ...base.errors import require
from .base import Stateful

States = tuple[Tensor | None, ...]


@final
class Stack(nn.Sequential):
    """Modules in turn: `stack(x, states=None) -> (out, states)`.

    A `Stateful` module gets its own entry of the states and returns it; any other is called with x alone, and its
    entry is None.

    Raises:
        NeurosimInputError: not one state for each module.
    """

    def forward(self, x: Tensor, states: Sequence[Tensor | None] | None = None) -> tuple[Tensor, States]:
        if states is None:
            before: list[Tensor | None] = [None] * len(self)
        else:
            before = list(states)
        require(len(before) == len(self), "Stack", f"states must be {len(self)}, one a module", len(before))
        after: list[Tensor | None] = []
        for module, state in zip(self, before, strict=True):
            if isinstance(module, Stateful):
                x, state = module(x, state)  # noqa: PLW2901
            else:
                x = module(x)
            after.append(state)
        return x, tuple(after)
