"""Language models that read text block by block: the weights and states of one residual block are in use at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...base.heap import trim_heap
from ..attention.kinds.base import Shared, State
from ..attention.model import LanguageModel
from .linear import SpikedLinear


@torch.no_grad()
def hidden_by_block(
    model: LanguageModel,
    groups: Sequence[Sequence[Tensor]],
    on_block: Callable[[int, int], None] | None = None,
) -> list[list[Tensor]]:
    """Return the inputs of the head [B, T, D] for windows of tokens [B, T], as `LanguageModel.hidden` does.

    Every window passes a block before any passes the next one, and what the block has made for it is given back.

    Args:
        groups: windows that follow each other and carry their states on, for each group of streams.
        on_block: called with (blocks passed, blocks in all).
    """
    hidden = [[model.embed(window) for window in windows] for windows in groups]
    shared: list[list[Shared]] = [[{} for _ in windows] for windows in groups]
    for i in range(len(model.layers)):
        for windows, values in zip(hidden, shared, strict=True):
            pass_block(model, i, windows, values)
        release(model, i)
        if on_block is not None:
            on_block(i + 1, len(model.layers))
    return [[model.norm(x) for x in windows] for windows in hidden]


def pass_block(model: LanguageModel, i: int, windows: list[Tensor], shared: Sequence[Shared]) -> None:
    """Replace the inputs of residual block i by its outputs.

    Args:
        windows: [B, T, D] each, which follow each other and carry their state on.
        shared: of each window, what blocks hand on.
    """
    bounds = model.bounds()
    state: State | None = None
    for j, own in enumerate(shared):
        if bounds is not None:
            own["lower_bound"] = bounds[i]
        windows[j], state = model.layers[i](windows[j], state, own)
        # Each block writes its own, as large as the window itself.
        own.pop("stream", None)


def release(model: LanguageModel, i: int) -> None:
    """Give back what residual block i has made for reading: rounded weights, and pages of a file."""
    for layer in model.layers[i].modules():
        if isinstance(layer, SpikedLinear):
            layer.forget()
    model.files.release()
    trim_heap()
