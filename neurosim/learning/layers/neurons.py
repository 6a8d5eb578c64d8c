"""Trainable layers of neurons: LIF, LIF with synaptic currents, adaptive LIF, and the leaky integrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from ...kernels.layers.scan import kinds
from .base import NeuronLayer, NeuronOptions
from .unit_parameter import Value

if TYPE_CHECKING:
    from typing_extensions import Unpack


def _decay(tau: Tensor, dt: float) -> Tensor:
    """Return exp(-dt / tau)."""
    return torch.exp(-dt / tau)


def _rows(units: int, *values: Tensor) -> Tensor:
    """Return [values, units], each value repeated for all units if it is one number."""
    return torch.stack([value.expand(units) for value in values])


@final
class LIFLayer(NeuronLayer):
    """Leaky integrate-and-fire, delta synapses: `neurosim.LIF` over a grid of steps, with gradients.

        u = exp(-dt / tau_mem) v + x;  spike where u > v_threshold
        reset "subtract":       v = u - v_threshold where it spiked, else u
        reset "zero":           v = 0 where it spiked, else u
        reset "subtract_late":  v = u; v_threshold is taken off after the next decay (snnTorch's "subtract")

    Args:
        units: neurons.
        tau_mem: membrane time constant, s: a number, a pair or a tensor, see `UnitParameter`.
        v_threshold: V (or dimensionless, with weights alike).
        train_tau, train_threshold: train a value for each unit.
        options: `NeuronOptions`: dt, reset, detach_reset, surrogate, recurrent, seed. The resets "subtract" and "zero"
            are the engine's `soft_reset` and its reset to 0, exactly.

    Raises:
        NeurosimInputError: naming the argument and its rule.
    """

    kind = kinds.LIF
    state = ("v",)
    resets = ("subtract", "zero", "subtract_late")

    def __init__(
        self,
        units: int,
        tau_mem: Value = 0.02,
        v_threshold: Value = 1.0,
        *,
        train_tau: bool = False,
        train_threshold: bool = False,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(units, **options)
        new = self.parameter_maker()
        self.tau_mem = new("tau_mem", tau_mem, trained=train_tau, positive=True)
        self.v_threshold = new("v_threshold", v_threshold, trained=train_threshold)

    def constants(self) -> Tensor:
        return _rows(self.units, _decay(self.tau_mem(), self.dt), self.v_threshold())


@final
class CurrentLIFLayer(NeuronLayer):
    """Leaky integrate-and-fire, synaptic currents that decay exponentially: `neurosim.CubaLIF` of one receptor.

        u = exp(-dt / tau_mem) v + kappa i;  i = exp(-dt / tau_syn) i + x;  spike where u > v_threshold; reset as LIF

    The current is integrated exactly: kappa = r tau_syn / (tau_syn - tau_mem) (exp(-dt / tau_syn) -
    exp(-dt / tau_mem)), and its limit where both are equal. Input moves the membrane from the next step on.
    Arguments as in `LIFLayer`; also tau_syn, s, and r, ohm. Source: Rotter & Diesmann 1999.
    """

    kind = kinds.CURRENT
    state = ("v", "i")
    resets = ("zero", "subtract")

    def __init__(
        self,
        units: int,
        tau_mem: Value = 0.02,
        tau_syn: Value = 0.005,
        v_threshold: Value = 1.0,
        r: float = 1.0,
        *,
        train_tau: bool = False,
        train_threshold: bool = False,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(units, **options)
        new = self.parameter_maker()
        self.tau_mem = new("tau_mem", tau_mem, trained=train_tau, positive=True)
        self.tau_syn = new("tau_syn", tau_syn, trained=train_tau, positive=True)
        self.v_threshold = new("v_threshold", v_threshold, trained=train_threshold)
        self.r = new("r", r)

    def constants(self) -> Tensor:
        tau_mem = self.tau_mem()
        tau_syn = self.tau_syn()
        alpha = _decay(tau_mem, self.dt)
        x = self.dt / tau_syn - self.dt / tau_mem
        # kappa / r = exp(-dt / tau_mem) dt / tau_mem (1 - e^-x) / x, without a difference of nearly equal numbers;
        # below 1e-4 three terms of the series of (1 - e^-x) / x are exact in float64.
        near = x.abs() < 1e-4
        share = torch.where(near, 1 - x / 2 + x * x / 6, -torch.expm1(-x) / torch.where(near, 1.0, x))
        kappa = self.r() * alpha * share * self.dt / tau_mem
        return _rows(self.units, alpha, self.v_threshold(), _decay(tau_syn, self.dt), kappa)


@final
class SEAdLIFLayer(NeuronLayer):
    """Adaptive leaky integrate-and-fire with input and spikes scaled to the membrane (SE-adLIF).

        u = alpha v + (1 - alpha) (x - w);  spike where u > v_threshold: s = 1
        v = u after the reset of LIF
        w = beta w + (1 - beta) q (a v + b s), with the new v
        alpha = exp(-dt / tau_mem), beta = exp(-dt / tau_adapt)

    where
        tau_mem, tau_adapt: time constants of membrane and adaptation, s.
        a, b: increase of the adaptation by the membrane and by a spike, dimensionless.
        q: common scale of a and b, dimensionless.

    Values of pairs are drawn uniformly, and stay between their ends in training. Other arguments: see `LIFLayer`.
    `neurosim.network.SEAdLIF` is the same neuron in the engine. Source: Baronig et al. 2025, "Advancing spatio-temporal
    processing through adaptation in spiking neural networks" (symplectic Euler: w sees the new v), with the ranges used
    there.
    """

    kind = kinds.ADAPTIVE
    state = ("v", "w")
    resets = ("zero", "subtract")

    def __init__(
        self,
        units: int,
        tau_mem: Value = (0.005, 0.025),
        tau_adapt: Value = (0.06, 0.3),
        a: Value = (0.0, 1.0),
        b: Value = (0.0, 2.0),
        q: float = 120.0,
        v_threshold: Value = 1.0,
        *,
        train_tau: bool = True,
        train_adaptation: bool = True,
        train_threshold: bool = False,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(units, **options)
        new = self.parameter_maker()
        self.tau_mem = new("tau_mem", tau_mem, trained=train_tau, positive=True)
        self.tau_adapt = new("tau_adapt", tau_adapt, trained=train_tau, positive=True)
        self.a = new("a", a, trained=train_adaptation)
        self.b = new("b", b, trained=train_adaptation)
        self.q = new("q", q)
        self.v_threshold = new("v_threshold", v_threshold, trained=train_threshold)

    def constants(self) -> Tensor:
        alpha = _decay(self.tau_mem(), self.dt)
        beta = _decay(self.tau_adapt(), self.dt)
        q = self.q()
        # Rows alpha, theta, beta, A, B of `kernels.layers.scan.reference`: q is folded into a and b.
        return _rows(self.units, alpha, self.v_threshold(), beta, q * self.a(), q * self.b())


@final
class LeakyIntegrator(NeuronLayer):
    """A membrane that never spikes, such as a readout: v = exp(-dt / tau_mem) v + x, and v is the output.

    `neurosim.network.LI` over a grid of steps. Arguments: see `LIFLayer`.
    """

    kind = kinds.INTEGRATOR
    state = ("v",)

    def __init__(
        self, units: int, tau_mem: Value = 0.02, dt: float = 1e-3, train_tau: bool = False, seed: int = 0
    ) -> None:
        super().__init__(units, dt=dt, seed=seed)
        new = self.parameter_maker()
        self.tau_mem = new("tau_mem", tau_mem, trained=train_tau, positive=True)

    def constants(self) -> Tensor:
        return _rows(self.units, _decay(self.tau_mem(), self.dt))
