"""Spiking layers that compute all steps at once."""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from torch import Tensor, nn

from ...base.errors import require
from ...base.rules import Positive, Rule, check_rules
from ...kernels.layers.newton.solve import newton_scan
from ...kernels.layers.scan.kinds import LIF, SUBTRACT, Recurrence
from ...kernels.layers.scan.reference import SurrogateStep
from .surrogates import Surrogate, to_surrogate


def _surrogate(name: str, surrogate: str | Surrogate) -> Recurrence:
    """Return the settings of `SurrogateStep` for a surrogate; other settings have no effect there."""
    return Recurrence(LIF, SUBTRACT, False, *to_surrogate(surrogate, name).numbers())


@final
class PSN(nn.Module):
    """Parallel spiking neurons: h = W x over time, spike where h > threshold; no reset, hence no recurrence.

    `layer(x)`, x [T, ...] to spikes of the same shape. All units share W and the thresholds.

    Attributes:
        weight: [T, T] parameter, from step to step; Kaiming-uniform (a = sqrt 5) as published.
        v_threshold: [T] parameter, 1 at the start.

    Source: Fang et al. 2023, "Parallel spiking neurons with high efficiency and ability to learn long-term
    dependencies", arXiv 2304.12760.

    Raises:
        NeurosimInputError: no step; an input of another number of steps.
    """

    def __init__(self, steps: int, surrogate: str | Surrogate = "arctan", seed: int = 0) -> None:
        super().__init__()
        require(isinstance(steps, int) and steps > 0, "PSN.steps", "must be an integer > 0", steps)
        self.steps = steps
        self.how = _surrogate("PSN", surrogate)
        draws = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter((2 * torch.rand(steps, steps, generator=draws) - 1) / math.sqrt(steps))
        self.v_threshold = nn.Parameter(torch.ones(steps))

    def forward(self, x: Tensor) -> Tensor:
        require(len(x) == self.steps, "PSN", f"input must have {self.steps} steps", len(x))
        # One product over time for all units; step i may read any step j, later ones too, as published.
        h = (self.weight @ x.flatten(1)) - self.v_threshold[:, None]
        return SurrogateStep.apply(h, self.how).view(x.shape)


@final
class FixedPointLIF(nn.Module):
    """`LIF` with reset "subtract", all steps at once: iterate o = [L x - theta (L - I) o > theta].

    L_ij = lambda^(i - j) from step j to step i >= j, lambda = exp(-dt / tau_mem). A sweep is one product over time. The
    first k steps are right after k sweeps, so T are enough; sweeps stop when nothing changes, for lambda = .5 after
    about 10. The gradient takes the spikes in the bracket as constants, as `LIF(detach_reset=True)` does, and is one
    product as well.

    `layer(x) -> (spikes, sweeps)`, x [T, ...]; it starts from rest.

    Args:
        tau_mem: s, one for all units.
        v_threshold: V (or dimensionless, with weights alike).
        dt: s.
        surrogate: a name in `SURROGATES` or a `Surrogate`.

    Raises:
        NeurosimInputError: naming the argument and its rule.
    """

    tau_mem: Annotated[float, Rule("> 0 s")]
    v_threshold: Annotated[float, Rule("finite")]
    dt: Annotated[float, Rule("> 0 s")]

    def __init__(
        self, tau_mem: float = 0.02, v_threshold: float = 1.0, dt: float = 1e-3, surrogate: str | Surrogate = "arctan"
    ) -> None:
        super().__init__()
        self.tau_mem = float(tau_mem)
        self.v_threshold = float(v_threshold)
        self.dt = float(dt)
        check_rules(self)
        self.how = _surrogate("FixedPointLIF", surrogate)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        steps = len(x)
        theta = self.v_threshold
        # L, by powers of lambda in float64: lambda^lag, 0 above the diagonal.
        powers = torch.arange(steps, dtype=torch.float64) * (-self.dt / self.tau_mem)
        lag = torch.arange(steps)[:, None] - torch.arange(steps)
        decays = torch.where(lag < 0, 0.0, powers.exp()[lag.clamp_min(0)]).to(x)
        charged = decays @ x.flatten(1)
        # theta (L - I): the resets by spikes of earlier steps, decayed.
        resets = (decays - torch.eye(steps, dtype=x.dtype, device=x.device)) * theta
        with torch.no_grad():
            spikes = torch.zeros_like(charged)
            sweeps = 0
            for sweeps in range(1, steps + 1):  # noqa: B007 - returned
                after = (charged - resets @ spikes > theta).to(x.dtype)
                # A sweep that changes nothing is the fixed point, which is the sequential result.
                if torch.equal(after, spikes):
                    break
                spikes = after
            # Outside the graph: the spikes in the bracket are constants.
            subtracted = resets @ spikes
        return SurrogateStep.apply(charged - subtracted - theta, self.how).view(x.shape), sweeps


@final
class SmoothLIF(nn.Module):
    """A LIF neuron of smooth spikes, all steps at once by Newton's method.

        v_t = lambda (v_{t-1} - theta s_{t-1}) + x_t,   s_t = sigmoid((v_t - theta) / width)

    lambda = exp(-dt / tau_mem). For a small width it is `FixedPointLIF`, whose spikes have no derivative to solve by.
    The gradient is exact, through the reset, too.

    `layer(x) -> (s, rounds)`, x [T, ...]; it starts from v = 0; `rounds` is the number of rounds of `newton_scan`.

    Args:
        tau_mem: s, one for all units.
        v_threshold: theta, V (or dimensionless, with weights alike).
        width: width of the sigmoid, in the unit of the threshold.
        dt: s.

    Raises:
        NeurosimInputError: naming the argument and its rule.
    """

    tau_mem: Annotated[float, Rule("> 0 s")]
    v_threshold: Annotated[float, Rule("finite")]
    width: Positive
    dt: Annotated[float, Rule("> 0 s")]

    def __init__(self, tau_mem: float = 0.02, v_threshold: float = 1.0, width: float = 0.1, dt: float = 1e-3) -> None:
        super().__init__()
        self.tau_mem = float(tau_mem)
        self.v_threshold = float(v_threshold)
        self.width = float(width)
        self.dt = float(dt)
        check_rules(self)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        leak = math.exp(-self.dt / self.tau_mem)

        def step(v: Tensor, inputs: Tensor) -> Tensor:
            return leak * (v - self.v_threshold * self._spike(v)) + inputs

        first = torch.zeros_like(x[0])[..., None]
        # The recurrence has states of one number: n = 1 as the last axis.
        solution = newton_scan(step, first, x[..., None])
        return self._spike(solution.states)[..., 0], solution.rounds

    def _spike(self, v: Tensor) -> Tensor:
        return ((v - self.v_threshold) / self.width).sigmoid()
