"""Inputs of linear layers and the gradient of the loss by them: the statistics that calibration needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.heap import trim_heap
from ..attention.model import LanguageModel

BATCH = 8  # windows in one pass, or fewer
LOGITS = 2**24  # that exist at a time: 64 MB, three times that with their likelihood and gradient
Observer = Callable[[str, Tensor, Tensor], None]


@torch.enable_grad()
def collect_gradients(
    model: LanguageModel,
    names: Sequence[str],
    windows: Tensor,
    observer: Observer,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
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
        on_progress: called with (windows read, windows in all).
    """
    generator = torch.Generator().manual_seed(seed)
    reached: set[str] = set()

    def observe(name: str, x: Tensor, gradient: Tensor) -> None:
        reached.add(name)
        observer(name, x, gradient)

    def likelihood(logits: Tensor) -> Tensor:
        """Return the negative log likelihood of labels drawn from the logits themselves."""
        # Drawn on the CPU: the labels of a seed are then the same on every device.
        labels = torch.multinomial(logits.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
        return F.cross_entropy(logits, labels.to(model.device), reduction="sum")

    def auxiliary(logits: Tensor) -> Tensor:
        """Return the loss that trains the choice of tokens, for each token."""
        return model.auxiliary_loss() * len(logits)

    passes = _Passes(model, windows, observe, on_progress)
    with _restored_gradients(model):
        inner: list[nn.Parameter] = []
        # An embedding of events has layers of its own, which are reached through its weights.
        if not isinstance(model.embeddings, nn.Embedding):
            inner = list(model.embeddings.parameters())
        passes.run(names, likelihood, inner)
        unreached = [name for name in names if name not in reached]
        if unreached:
            own = [p for name in unreached for p in model.get_submodule(name).parameters()]
            with _auxiliary_losses(model, unreached):
                passes.run(unreached, auxiliary, own)


@dataclass(frozen=True)
class _Passes:
    """Passes through a model, forward and back, whose layers are observed.

    Attributes:
        windows, observer, on_progress: see `collect_gradients`.
    """

    model: LanguageModel
    windows: Tensor
    observer: Observer
    on_progress: Callable[[int, int], None] | None

    def run(self, names: Sequence[str], loss_of: Callable[[Tensor], Tensor], sources: Sequence[nn.Parameter]) -> None:
        """Read the windows; gradients go back to `sources`, or to the embedded tokens without such."""
        # Gradients of all other weights would take as much work and memory again.
        needed = set(sources)
        for p in self.model.parameters():
            p.requires_grad_(p in needed)
        hooks = [self._watch(name) for name in names]
        windows = self.windows
        batch = max(1, min(BATCH, LOGITS // (windows.shape[1] * self.model.config.vocabulary)))
        read = 0
        try:
            for part in windows.to(self.model.device).split(batch):
                self._back(part[:, :-1], loss_of, sources)
                read += len(part)
                self.model.files.release()
                trim_heap()
                if self.on_progress is not None:
                    self.on_progress(read, len(windows))
        finally:
            for hook in hooks:
                hook.remove()

    def _back(self, tokens: Tensor, loss_of: Callable[[Tensor], Tensor], sources: Sequence[nn.Parameter]) -> None:
        """Compute the gradients of one batch, which the hooks pass to the observer."""
        embedded = self.model.embed(tokens)
        if not embedded.requires_grad:
            embedded = embedded.detach().requires_grad_()
        loss = loss_of(self.model.through(embedded)[0].flatten(0, 1))
        if loss.requires_grad:
            leaves: Sequence[Tensor] = sources if sources else [embedded]
            torch.autograd.grad(loss, leaves, allow_unused=True)

    def _watch(self, name: str) -> torch.utils.hooks.RemovableHandle:
        """Call the observer in the backward pass of a layer."""
        layer = cast(nn.Linear, self.model.get_submodule(name))

        def hook(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor) -> None:
            x = arguments[0].detach().flatten(0, -2)

            def back(gradient: Tensor) -> None:
                # dL/dx through this layer alone: dL/dy W. Other readers of x have gradients of their own.
                own = gradient.detach().flatten(0, -2) @ layer.weight.detach().to(gradient.dtype)
                self.observer(name, x, own)

            if out.requires_grad:  # a kind may compute a part without gradients: none passes this layer
                out.register_hook(back)

        return layer.register_forward_hook(hook)


@contextmanager
def _restored_gradients(model: LanguageModel) -> Iterator[None]:
    """Restore which weights of a model have gradients."""
    needs_grad = {p: p.requires_grad for p in model.parameters()}
    try:
        yield
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
