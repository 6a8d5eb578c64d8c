"""Inputs of linear layers and the gradient of the loss by them: the statistics that calibration needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention.model import LanguageModel

BATCH = 8  # windows in one pass
Observer = Callable[[str, Tensor, Tensor], None]


@torch.enable_grad()
def collect_gradients(
    model: LanguageModel, names: Sequence[str], windows: Tensor, observer: Observer, seed: int = 0
) -> None:
    """Call observer(name, x [n, K], g [n, K]) for every layer and batch: its input, and the gradient of the loss by it.

    The loss is the log likelihood of labels drawn from the model's own predictions. The mean of g^2 is then the
    diagonal of the Fisher information, the curvature of the loss where the model predicts well (Martens 2020, arXiv
    1412.1193): an error e in x costs about e^2 g^2 / 2. g is the gradient through this one layer.

    Layers that only choose tokens (scores of HAX, estimates of SEA) have no gradient of that loss. For them it is the
    gradient of the loss that trains them, `LanguageModel.auxiliary_loss`, summed over tokens.

    Args:
        names: layers with a `weight` [N, K].
        windows: [B, T + 1] tokens.
        seed: key of the labels.
    """
    generator = torch.Generator().manual_seed(seed)
    reached: set[str] = set()

    def likelihood(logits: Tensor) -> Tensor:
        """Return the negative log likelihood of labels drawn from the logits themselves."""
        # Drawn on the CPU: the labels of a seed are then the same on every device.
        labels = torch.multinomial(logits.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
        return F.cross_entropy(logits, labels.to(model.device), reduction="sum")

    def auxiliary(logits: Tensor) -> Tensor:
        """Return the loss that trains the choice of tokens, for each token."""
        return model.auxiliary_loss() * len(logits)

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        """Call the observer in the backward pass of a layer."""
        layer = cast(nn.Linear, model.get_submodule(name))

        def hook(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor) -> None:
            x = arguments[0].detach().flatten(0, -2)

            def back(gradient: Tensor) -> None:
                reached.add(name)
                # dL/dx through this layer alone: dL/dy W. Other readers of x have gradients of their own.
                observer(name, x, gradient.detach().flatten(0, -2) @ layer.weight.detach().to(gradient.dtype))

            out.register_hook(back)

        return layer.register_forward_hook(hook)

    needs_grad = {p: p.requires_grad for p in model.parameters()}

    def collect(names: Sequence[str], loss_of: Callable[[Tensor], Tensor]) -> None:
        hooks = [watch(name) for name in names]
        try:
            for part in windows.to(model.device).split(BATCH):
                loss = loss_of(model(part[:, :-1])[0].flatten(0, 1))
                if loss.requires_grad:
                    torch.autograd.grad(loss, list(needs_grad), allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()

    try:
        # With every parameter in the graph, the backward pass reaches the output of every layer.
        for p in needs_grad:
            p.requires_grad_(True)
        collect(names, likelihood)
        unreached = [name for name in names if name not in reached]
        with _auxiliary_losses(model, unreached):
            if unreached:
                collect(unreached, auxiliary)
    finally:
        for p, needs in needs_grad.items():
            p.requires_grad_(needs)


@contextmanager
def _auxiliary_losses(model: LanguageModel, names: Sequence[str]) -> Iterator[None]:
    """Let the mixers of these layers compute their losses, as in training, while the block runs."""
    mixers = [m for i, m in enumerate(model.mixers()) if any(n.startswith(f"layers.{i}.mixer.") for n in names)]
    before = [mixer.training for mixer in mixers]
    try:
        for mixer in mixers:
            mixer.training = True  # not its layers
        yield
    finally:
        for mixer, was_training in zip(mixers, before, strict=True):
            mixer.training = was_training
