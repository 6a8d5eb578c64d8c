"""A parameter of the units of a layer: fixed or trained, shared, given by unit, or drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ..errors import require

Value = float | tuple[float, float] | Sequence[float] | Tensor


@final
class Quantity(nn.Module):
    """One value for all units or one a unit; `quantity()` gives it.

    All is in float64, trained or not: a decay computed from it, rounded once, is that of the engine or of snnTorch.

    Args:
        thing: name for errors, such as "LIF.tau_mem".
        value: a number, for all units; a pair (low, high), for values drawn uniformly between them; a tensor of
            `units` values.
        units: of the layer.
        trained: whether it is a parameter, one a unit. What was drawn from a pair is then held between its ends by a
            logistic function, other positive values by an exponential one.
        positive: whether it must be > 0.
        draws: for a pair.

    Raises:
        NeurosimInputError: naming `thing` and its rule.
    """

    raw: Tensor

    def __init__(
        self,
        thing: str,
        value: Value,
        units: int,
        *,
        trained: bool = False,
        positive: bool = False,
        draws: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        pair = isinstance(value, tuple)
        given = torch.as_tensor(value, dtype=torch.float64).detach().clone()
        require(bool(given.isfinite().all()), thing, "must be finite", value)
        require(not positive or bool((given > 0).all()), thing, "must be > 0", value)
        self.low, self.high = 0.0, math.inf if positive else 0.0
        if pair:
            require(given.shape == (2,) and bool(given[0] < given[1]), thing, "a pair must be (low, high)", value)
            self.low, self.high = given.tolist()
            part = torch.rand(units, dtype=torch.float64, generator=draws)
            given = self.low + (self.high - self.low) * part
        require(given.shape in {(), (units,)}, thing, f"must be one value or {units}", tuple(given.shape))
        self.trained = trained
        if trained:
            self.raw = nn.Parameter(self._unbounded(given.expand(units)).clone())
        else:
            self.register_buffer("raw", given)

    def _unbounded(self, value: Tensor) -> Tensor:
        if self.low < self.high < math.inf:
            return torch.logit((value - self.low) / (self.high - self.low), eps=1e-6)
        return value.log() if self.high == math.inf else value

    def forward(self) -> Tensor:
        """[] or [units] float64."""
        raw = self.raw.double()
        if not self.trained:
            return raw
        if self.low < self.high < math.inf:
            return self.low + (self.high - self.low) * torch.sigmoid(raw)
        return raw.exp() if self.high == math.inf else raw

    def extra_repr(self) -> str:
        return f"{self().mean().item():.4g}{', trained' if self.trained else ''}"
