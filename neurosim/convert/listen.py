"""What linear layers get, and how much the loss minds it: the figures that calibration works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention import LanguageModel

BATCH = 8  # windows at once
Heard = Callable[[str, Tensor, Tensor], None]


@torch.enable_grad()
def listen(model: LanguageModel, names: Sequence[str], windows: Tensor, heard: Heard, seed: int = 0) -> None:
    """Call heard(name, x [n, K], g [n, K]) for every layer and batch: its input and the loss's gradient by it.

    The loss is the log likelihood of labels drawn from the model's own predictions, so that the mean of g^2 is the
    diagonal of the Fisher information, the curvature of the loss where the model predicts well (Martens 2020, arXiv
    1412.1193): an error e in x costs about e^2 g^2 / 2. g counts what goes through this one layer.

    Args:
        names: of layers with a `weight` [N, K].
        windows: [B, T + 1] tokens.
        seed: of the labels.
    """
    draws = torch.Generator().manual_seed(seed)

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        layer = cast(nn.Linear, model.get_submodule(name))

        def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            x = given[0].detach().flatten(0, -2)

            def back(gradient: Tensor) -> None:
                heard(name, x, gradient.detach().flatten(0, -2) @ layer.weight.detach())

            out.register_hook(back)

        return layer.register_forward_hook(hook)

    hooks = [watch(name) for name in names]
    was = {p: p.requires_grad for p in model.parameters()}
    try:
        for p in was:
            p.requires_grad_(True)
        for part in windows.split(BATCH):
            logits = model(part[:, :-1])[0].flatten(0, 1)
            labels = torch.multinomial(logits.detach().softmax(-1), 1, generator=draws)[:, 0]
            loss = F.cross_entropy(logits, labels, reduction="sum")
            torch.autograd.grad(loss, list(was), allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
        for p, needed in was.items():
            p.requires_grad_(needed)


def windows_of(tokens: Tensor, count: int, length: int, seed: int = 0) -> Tensor:
    """[count, length + 1] windows from anywhere in tokens [n]."""
    draws = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(tokens) - length, (count,), generator=draws)
    return tokens[starts[:, None] + torch.arange(length + 1)]
