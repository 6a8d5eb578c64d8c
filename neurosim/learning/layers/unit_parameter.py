"""Parameters of a layer's units: fixed or trained, shared or by unit, set or drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ...base.errors import require

Value = float | tuple[float, float] | Sequence[float] | Tensor


@final
class UnitParameter(nn.Module):
    """One value for all units or one for each; `parameter()` returns it.

    Values are float64, trained or not: a decay computed from them and rounded once equals the decay of the engine or of
    snnTorch.

    Args:
        name: name of the parameter in errors, such as "LIF.tau_mem".
        value: a number for all units; a pair (low, high), between which each unit's value is drawn uniformly; a tensor
            of `units` values.
        units: units of the layer.
        trained: train a value for each unit. A logistic function keeps values drawn from a pair between its ends, an
            exponential one keeps other positive values positive.
        positive: values must be > 0.
        generator: source of the values that are drawn from a pair.

    Raises:
        NeurosimInputError: naming the parameter and its rule.
    """

    raw: Tensor

    def __init__(
        self,
        name: str,
        value: Value,
        units: int,
        *,
        trained: bool = False,
        positive: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        pair = isinstance(value, tuple)
        values = torch.as_tensor(value, dtype=torch.float64).detach().clone()
        require(bool(values.isfinite().all()), name, "must be finite", value)
        require(not positive or bool((values > 0).all()), name, "must be > 0", value)
        self.low = 0.0
        self.high = math.inf if positive else 0.0
        if pair:
            require(values.shape == (2,) and bool(values[0] < values[1]), name, "a pair must be (low, high)", value)
            self.low, self.high = values.tolist()
            # Drawn here, in the order in which a layer makes its parameters.
            part = torch.rand(units, dtype=torch.float64, generator=generator)
            values = self.low + (self.high - self.low) * part
        require(values.shape in {(), (units,)}, name, f"must be one value or {units}", tuple(values.shape))
        self.trained = trained
        if trained:
            self.raw = nn.Parameter(self._unbounded(values.expand(units)).clone())
        else:
            self.register_buffer("raw", values)

    def _unbounded(self, value: Tensor) -> Tensor:
        """Return the number that is trained for a value, without bounds: the inverse of `forward`."""
        if self.low < self.high < math.inf:
            # eps: values at an end of the pair would be infinite.
            return torch.logit((value - self.low) / (self.high - self.low), eps=1e-6)
        if self.high == math.inf:
            return value.log()
        return value

    def forward(self) -> Tensor:
        """Return [] or [units] float64."""
        # In float64 also in a layer that was moved to another type.
        raw = self.raw.double()
        if not self.trained:
            return raw
        if self.low < self.high < math.inf:
            return self.low + (self.high - self.low) * torch.sigmoid(raw)
        if self.high == math.inf:
            return raw.exp()
        return raw

    def extra_repr(self) -> str:
        return f"{self().mean().item():.4g}{', trained' if self.trained else ''}"
