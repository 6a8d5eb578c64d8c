"""A linear layer with a delay for every synapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ...base.errors import require
from ...kernels.layers.delays.autograd import delayed
from .base import Stateful
from .linear import uniform_parameters


@final
class DelayedLinear(Stateful):
    """y[t, o] = sum_i W[o, i] x[t - d[o, i], i] + b[o], over steps t.

    Called as `layer(x, state=None) -> (y, state)`, x [T, B, inputs] or [T, inputs]. The state is the input of the last
    `max_delay` steps, [max_delay, ..., inputs]; None: zeros.

    Attributes:
        weight: [outputs, inputs] parameter, drawn as in `SpikeLinear`.
        delays: [outputs, inputs] int64 buffer, steps, each from 0 to `max_delay`.

    Args:
        delays: array of steps as the attribute, or an integer: each delay is drawn uniformly from 0 to it.

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
        for name, size in (("inputs", inputs), ("outputs", outputs)):
            require(isinstance(size, int) and size > 0, f"DelayedLinear.{name}", "must be an integer > 0", size)
        self.inputs = inputs
        self.outputs = outputs
        generator = torch.Generator().manual_seed(seed)
        self.weight, self.bias = uniform_parameters(inputs, outputs, bias, generator)
        steps = torch.as_tensor(delays)
        good = not steps.is_floating_point() and bool((steps >= 0).all())
        require(good, "DelayedLinear.delays", "must be integer numbers of steps >= 0", delays)
        if steps.ndim == 0:
            self.max_delay = int(steps)
            # Delays that are drawn are part of the model: the key of the weights draws them, too.
            steps = torch.randint(0, self.max_delay + 1, (outputs, inputs), generator=generator)
        else:
            rule = f"must be {[outputs, inputs]}"
            require(steps.shape == (outputs, inputs), "DelayedLinear.delays", rule, steps.shape)
            self.max_delay = int(steps.max())
        self.register_buffer("delays", steps.long().clone())

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        good = x.ndim in (2, 3) and x.shape[-1] == self.inputs
        rule = f"input must be [T, B, {self.inputs}] or [T, {self.inputs}]"
        require(good, "DelayedLinear", rule, tuple(x.shape))
        shape = (self.max_delay, *x.shape[1:])
        if state is None:
            state = x.new_zeros(shape)
        require(state.shape == shape, "DelayedLinear", f"state must be {list(shape)}", tuple(state.shape))
        # Step t of the output reads steps t .. t + max_delay of this.
        past = torch.cat([state, x])
        if past.ndim == 3:
            y = delayed(past, self.weight, self.delays, self.max_delay)
        else:
            y = delayed(past[:, None], self.weight, self.delays, self.max_delay)[:, 0]
        if self.bias is not None:
            y = y + self.bias
        return y, past[len(past) - self.max_delay :]

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.outputs}, max_delay={self.max_delay}"
