"""Optimisers whose step clips the gradients; AdamW on a CPU is compiled, for most of torch's time goes into calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...base import optimizers
from ...kernels.layers.adamw.cpu import average_gradient, move


def norm_of(gradients: Iterable[Tensor]) -> float:
    """Return the norm of all gradients together, as `torch.nn.utils.get_total_norm` computes it."""
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients])))


class Clipped(optimizers.Uncompiled):
    """An optimiser that moves parameters by gradients of a limited norm."""

    @torch.no_grad()
    def clipped_step(self, norm: float, limit: float) -> None:
        """Do a step.

        Args:
            norm: of all gradients together.
            limit: where the norm is larger, gradients are scaled down to it.
        """
        for group in self.param_groups:
            nn.utils.clip_grads_with_norm_(group["params"], limit, torch.tensor(norm))
        self.step()


class ClippedAdamax(Clipped, optimizers.Adamax):
    """`torch.optim.Adamax`."""


class _Memory(NamedTuple):
    """Memory of a parameter that a step reads and writes: vectors [n] over its tensors.

    Attributes:
        step: [] the number of steps.
        average, square: of its gradient.
        squares, root: `square` as a tensor, and its root.
        roots: memory of `root`.
    """

    parameter: NDArray[np.float32]
    step: NDArray[np.float32]
    average: NDArray[np.float32]
    square: NDArray[np.float32]
    squares: Tensor
    root: Tensor
    roots: NDArray[np.float32]


class ClippedAdamW(Clipped, optimizers.AdamW):
    """`torch.optim.AdamW`, with its state and its bits."""

    _memories: Mapping[Tensor, _Memory] = {}

    @torch.no_grad()
    def clipped_step(self, norm: float, limit: float) -> None:
        parameters = [p for group in self.param_groups for p in group["params"]]
        if not all(self._is_open(p) for p in parameters):
            if not all(map(_is_plain, parameters)):
                super().clipped_step(norm, limit)
                return
            self._memories = {p: self._opened(p) for p in parameters}
        one = np.float32(1)
        # In the order in which torch rounds.
        clip = min(one / (np.float32(norm) + np.float32(1e-6)) * np.float32(limit), one)
        for group in self.param_groups:
            scales = None
            for parameter in group["params"]:
                memory = self._memories[parameter]
                memory.step[()] += 1
                # All parameters have done as many steps.
                if scales is None:
                    scales = _scales(group, float(clip), float(memory.step))
                gradient = _vector(_as_in(parameter.grad, parameter))
                average_gradient(gradient, memory.average, memory.square, scales)
                torch.sqrt(memory.squares, out=memory.root)
                move(memory.parameter, memory.average, memory.roots, scales)

    def _is_open(self, parameter: Tensor) -> bool:
        """Return whether the memory of a parameter is still that of its state, which a checkpoint replaces."""
        memory = self._memories.get(parameter)
        return memory is not None and self.state[parameter]["exp_avg_sq"] is memory.squares

    def _opened(self, parameter: Tensor) -> _Memory:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = _as_in(state[name], parameter)
        squares = state["exp_avg_sq"]
        root = torch.empty_like(squares)
        return _Memory(
            parameter=_vector(parameter),
            step=state["step"].numpy(),
            average=_vector(state["exp_avg"]),
            square=_vector(squares),
            squares=squares,
            root=root,
            roots=_vector(root),
        )


def _scales(group: Mapping[str, Any], clip: float, step: float) -> NDArray[np.float32]:
    """Return the scales of a step, as the kernel takes them."""
    rate = group["lr"]
    beta1, beta2 = group["betas"]
    decay = 1 - rate * group["weight_decay"]
    correction = (1 - beta2**step) ** 0.5
    rate = -rate / (1 - beta1**step)
    return np.array([clip, decay, 1 - beta1, beta2, 1 - beta2, correction, group["eps"], rate], np.float32)


def _is_plain(x: Tensor) -> bool:
    """Return whether a tensor is float32 in the memory of a CPU, without gaps."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x.device.type == "cpu" and x.dtype == torch.float32 and span == x.numel()


def _as_in(x: Tensor, parameter: Tensor) -> Tensor:
    """Return x with its entries in the order in which those of a parameter lie in memory."""
    return x if x.stride() == parameter.stride() else torch.empty_like(parameter).copy_(x)


def _vector(x: Tensor) -> NDArray[np.float32]:
    """Return the memory of a tensor without gaps as a vector."""
    return x.detach().as_strided((x.numel(),), (1,)).numpy()
