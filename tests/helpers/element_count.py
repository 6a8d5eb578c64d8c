"""The elements that torch's operations write: a measure of work that no clock and no other program disturbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class ElementCount(TorchDispatchMode):
    """Count the elements of the results of all operations inside it, those of the backward pass among them."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.total += sum(value.numel() for value in tree_leaves(out) if isinstance(value, Tensor))
        return out


def elements_of(call: Callable[[], object]) -> int:
    """Return the number of elements that the operations of a call write."""
    with ElementCount() as counted:
        call()
    return counted.total
