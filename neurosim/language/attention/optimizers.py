"""Optimisers of language models by name: AdamW, and Muon for the matrices of the layers beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ...base.errors import lookup
from ...base.optimizers import AdamW, Uncompiled

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024, Muon
BETAS = (0.9, 0.95)


class Muon(Uncompiled):
    """Momentum whose matrices are orthogonalised: W -= lr (s O + decay W), O about the factor U V^T of the momentum.

        m = mu m + g,   O = newton_schulz(g + mu m),   s = 0.2 sqrt(max(rows, columns))

    (Jordan et al. 2024; the scale s, with which the entries of a step are as large as AdamW's and both take one
    learning rate, Liu et al. 2025, arXiv 2502.16982.) torch has it from 2.9 on, and this package from 2.6.

    Args:
        parameters: matrices.
        lr: learning rate.
        momentum: mu.
        weight_decay: decay of the weights.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; parameters without a gradient stay."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].mul_(group["momentum"]).add_(p.grad)
                direction = orthogonalised(p.grad + group["momentum"] * state["momentum"])
                # W -= lr (s O + decay W), s = 0.2 sqrt(max(rows, columns))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(direction, alpha=group["lr"] * 0.2 * max(p.shape) ** 0.5)
        return loss


def orthogonalised(g: Tensor, steps: int = 5) -> Tensor:
    """Return about U V^T of a matrix g = U S V^T, by products alone: X = a X + (b Y + c Y^2) X, Y = X X^T.

    Singular values end between 0.7 and 1.2, which trains as well as 1 (Jordan et al. 2024).
    """
    a, b, c = QUINTIC
    is_wide = g.shape[0] <= g.shape[1]
    x = g if is_wide else g.T  # X X^T is the smaller of both products
    # The Frobenius norm bounds the largest singular value: all lie in 0 to 1, where the quintic converges.
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        y = x @ x.T
        # s -> a s + b s^3 + c s^5 of every singular value s
        x = a * x + (b * y + c * y @ y) @ x
    return x if is_wide else x.T


def _adamw(model: nn.Module, learning_rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Return AdamW for all parameters."""
    return [_adam_of(list(model.parameters()), learning_rate, decay)]


def _muon(model: nn.Module, learning_rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the linear layers between embedding and head, and AdamW for all else."""
    matrices = {
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not {"lm_head", "embeddings"} & set(name.split("."))
    }
    ordered = [p for p in model.parameters() if p in matrices]  # a set has no order of its own
    others = [p for p in model.parameters() if p not in matrices]
    return [Muon(ordered, learning_rate, weight_decay=decay), _adam_of(others, learning_rate, decay)]


def _adam_of(parameters: list[nn.Parameter], learning_rate: float, decay: float) -> torch.optim.Optimizer:
    """Return AdamW with weight decay of matrices alone."""
    matrices = [p for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=BETAS, fused=True)


OPTIMIZERS: dict[str, Callable[[nn.Module, float, float], list[torch.optim.Optimizer]]] = {
    "adamw": _adamw,
    "muon": _muon,
}


def optimizers_of(name: str, model: nn.Module, learning_rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Return the optimisers that together train all parameters of a model; matrices alone have weight decay.

    Raises:
        NeurosimInputError: no such name.
    """
    return lookup(OPTIMIZERS, name, "optimizer")(model, learning_rate, decay)
