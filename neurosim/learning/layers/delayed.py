"""A linear layer with a delay for every synapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ...base.errors import require
from ...kernels.layers.delays import delayed
from .base import Stateful
from .linear import uniform_parameters


@final
class DelayedLinear(Stateful):
    """y[t, o] = sum_i W[o, i] x[t - d[o, i], i] + b[o], over steps t.

    Called as `layer(x, state=None) -> (y, state)`, x [T, B, inputs] or [T, inputs]. The state is the input of the last
    `max_delay` steps, [max_delay, ..., inputs]; None: zeros.

    Attributes:
        weight: [outputs, inputs] parameter, started as that of `SpikeLinear`.
        delays: [outputs, inputs] int64 buffer, steps, each from 0 to `max_delay`.

    Args:
        delays: such an array, or the maximum, from 0 to which each delay is drawn uniformly.

    Raises:
        NeurosimInputError: sizes or delays that are not integers in their ranges, or of another shape.
    """

    delays: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        delays: int | Sequence[Sequence[int]] | Tensor,
        bias: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for what, size in (("inputs", inputs), ("outputs", outputs)):
            require(isinstance(size, int) and size > 0, f"DelayedLinear.{what}", "must be an integer > 0", size)
        self.inputs = inputs
        self.outputs = outputs
        generator = torch.Generator().manual_seed(seed)
        self.weight, self.bias = uniform_parameters(inputs, outputs, bias, generator)
        given = torch.as_tensor(delays)
        good = not given.is_floating_point() and bool((given >= 0).all())
        require(good, "DelayedLinear.delays", "must be integer numbers of steps >= 0", delays)
        if given.ndim == 0:
            self.max_delay = int(given)
            given = torch.randint(0, self.max_delay + 1, (outputs, inputs), generator=generator)
        else:
            rule = f"must be {[outputs, inputs]}"
            require(given.shape == (outputs, inputs), "DelayedLinear.delays", rule, given.shape)
            self.max_delay = int(given.max())
        self.register_buffer("delays", given.long().clone())

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        good = x.ndim in (2, 3) and x.shape[-1] == self.inputs
        rule = f"input must be [T, B, {self.inputs}] or [T, {self.inputs}]"
        require(good, "DelayedLinear", rule, tuple(x.shape))
        want = (self.max_delay, *x.shape[1:])
        state = x.new_zeros(want) if state is None else state
        require(state.shape == want, "DelayedLinear", f"state must be {list(want)}", tuple(state.shape))
        past = torch.cat([state, x])
        flat = past if past.ndim == 3 else past[:, None]
        y = delayed(flat, self.weight, self.delays, self.max_delay)
        y = y if past.ndim == 3 else y[:, 0]
        return y if self.bias is None else y + self.bias, past[len(past) - self.max_delay :]

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.outputs}, max_delay={self.max_delay}"
