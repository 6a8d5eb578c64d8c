"""A linear layer that is fed in spikes: the same numbers as floats, or by adding rows of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import lookup
from ..kernels.spikes.accumulate.launch import spike_accumulate
from .coding import INT8, Coder, straight

WEIGHTS: Mapping[str, int] = {"float32": 32, "int8": 8}  # bits


@final
class SpikedLinear(nn.Module):
    """y = W decode(encode(x)) + b in place of a `nn.Linear`.

    Simulated, as floats and with gradients: y = (token * s) V^T + b, where V = W diag(scales), rounded to int8 with
    one step an output channel where weights are int8. Executed (`execute`): the counts select rows of V and the rows
    are added, out = sum_k s_k V[:, k], in int32 where weights are int8; then y = token * step * out + b.

    Attributes:
        weight, bias: the dense layer's, [N, K] and [N] or None.
        coder: of the inputs.
        kept: "float32" or "int8", how V is stored.
    """

    def __init__(self, dense: nn.Linear, coder: Coder, kept: str = "float32") -> None:
        super().__init__()
        lookup(WEIGHTS, kept, "weights")
        self.in_features, self.out_features = dense.in_features, dense.out_features
        self.weight, self.bias = dense.weight, dense.bias
        self.coder, self.kept = coder, kept
        self.threads = 1
        self._rows: Tensor | None = None
        self._steps: Tensor | None = None

    @torch.no_grad()
    def execute(self, on: bool, threads: int = 1) -> None:
        """Whether spikes are accumulated for real. Weights are laid out for it now; change none of them meanwhile."""
        self.threads = threads
        self._rows = self._steps = None
        if on:
            stored, self._steps = self.stored()
            self._rows = stored.T.contiguous()

    def stored(self) -> tuple[Tensor, Tensor | None]:
        """(V [N, K] float32 or int8, its steps [N] or None): what a chip would hold."""
        scaled = self.weight * self.coder.scales
        if self.kept == "float32":
            return scaled.detach(), None
        steps = scaled.detach().abs().amax(1).clamp(min=torch.finfo(scaled.dtype).tiny) / INT8
        return (scaled.detach() / steps[:, None]).round().to(torch.int8), steps

    def forward(self, x: Tensor) -> Tensor:
        if self.coder.bypassed:
            return F.linear(x, self.weight, self.bias)
        level = self.coder.level(x)
        counts = self.coder.counts(x, level)
        if self._rows is None:
            y = self._multiplied(counts)
        else:
            with torch.no_grad():
                y = self.accumulators(counts).to(x.dtype)
                y = y if self._steps is None else y * self._steps
        y = y if level is None else y * level
        y = y if self.bias is None else y + self.bias
        if self.coder.tally is not None:
            self.coder.tally.outputs += int(torch.count_nonzero(y))
        return y

    def _multiplied(self, counts: Tensor) -> Tensor:
        """[.., N] counts V^T as floats, with the gradient of V's rounding taken as 1.

        With int8 weights all products and sums are whole and below 2^24, which float32 holds: as exact as int32.
        """
        scaled = self.weight * self.coder.scales
        stored, steps = self.stored()
        if steps is None:
            return F.linear(counts, scaled)
        return F.linear(counts, straight(stored.to(scaled.dtype), scaled / steps[:, None])) * steps

    def accumulators(self, counts: Tensor) -> Tensor:
        """[.., N] sums of rows of V, int32 or float32, for whole counts [.., K]; `execute` first."""
        flat = counts.reshape(-1, self.in_features).to(torch.int32)
        sums: Tensor = spike_accumulate(flat, self._rows, threads=self.threads)
        return sums.view(*counts.shape[:-1], self.out_features)
