"""Neurons in plain numpy, float64, each written from the docstring of its model.

Step k leads the state from k dt to (k + 1) dt: it integrates, adds what arrives, and compares with the threshold. After
a spike the membrane stays at the reset for round(t_refractory / dt) steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

import neurosim
from neurosim import network

from . import conductances
from .cells import Array, Cells, LinearCells


class LIF(Cells):
    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        return self.fire(self.relax(current) + inputs[0], self.p["v_threshold"])


class IF(Cells):
    def start(self) -> None:
        self.state["v"] = self.p["v_reset"].copy()

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        slope = self.p["r"] * (self.p["i_offset"] + current)
        return self.fire(self.state["v"] + slope * self.dt + inputs[0], self.p["v_threshold"])


class LI(Cells):
    variables = ("v",)

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        self.state["v"] = self.relax(current) + inputs[0]
        return np.zeros(self.size, bool)


class AdaptiveLIF(Cells):
    variables = ("v", "refractory", "a")

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        self.state["a"] = self.state["a"] * np.exp(-self.dt / self.p["tau_adapt"])
        fired = self.fire(self.relax(current) + inputs[0], self.p["v_threshold"] + self.state["a"])
        self.state["a"] += np.where(fired, self.p["beta"], 0.0)
        return fired


class DendriticLIF(Cells):
    variables = ("v", "refractory", "plateau")

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        lasting = np.floor(self.p["t_plateau"] / self.dt + 0.5)
        plateau = np.where(inputs[1] > 0, lasting, np.maximum(self.state["plateau"] - 1, 0))
        self.state["plateau"] = plateau
        arriving = np.where(plateau > 0, 1.0, self.p["gain"]) * inputs[0]
        threshold = np.where(plateau > 0, self.p["v_threshold_plateau"], self.p["v_threshold"])
        return self.fire(self.relax(current) + arriving, threshold)


class SEAdLIF(Cells):
    variables = ("v", "w")

    def start(self) -> None:
        pass

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        w = self.state["w"]
        alpha = np.exp(-self.dt / p["tau_mem"])
        beta = np.exp(-self.dt / p["tau_adapt"])
        u = alpha * self.state["v"] + (1 - alpha) * (inputs[0] - w)
        fired = u > p["v_threshold"]
        self.margin = np.abs(u - p["v_threshold"]) / p["v_threshold"]
        v = np.where(fired, p["soft_reset"] * (u - p["v_threshold"]), u)
        self.state["w"] = beta * w + (1 - beta) * p["q"] * (p["a"] * v + p["b"] * fired)
        self.state["v"] = v
        return fired


class CubaLIF(LinearCells):
    variables = ("v", "refractory", "i_excitatory", "i_inhibitory")
    linear = ("v", "i_excitatory", "i_inhibitory")

    def matrix(self) -> Array:
        a = np.zeros((self.size, 3, 3))
        a[:, 0, 0] = -1 / self.p["tau_mem"]
        a[:, 0, 1] = a[:, 0, 2] = self.p["r"] / self.p["tau_mem"]
        a[:, 1, 1] = -1 / self.p["tau_syn"]
        a[:, 2, 2] = -1 / self.p["tau_syn_inhibitory"]
        return a

    def drive(self, current: Array) -> Array:
        return self.membrane_drive(current)

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        moved = self.flow(current)
        self.state["i_excitatory"] = moved["i_excitatory"] + inputs[0]
        self.state["i_inhibitory"] = moved["i_inhibitory"] + inputs[1]
        return self.fire(moved["v"], self.p["v_threshold"])


class AlphaLIF(LinearCells):
    variables = ("v", "refractory", "i_excitatory", "rise_excitatory", "i_inhibitory", "rise_inhibitory")
    linear = ("v", "i_excitatory", "rise_excitatory", "i_inhibitory", "rise_inhibitory")

    def matrix(self) -> Array:
        a = np.zeros((self.size, 5, 5))
        a[:, 0, 0] = -1 / self.p["tau_mem"]
        for current, tau in ((1, self.p["tau_syn"]), (3, self.p["tau_syn_inhibitory"])):
            a[:, 0, current] = self.p["r"] / self.p["tau_mem"]
            a[:, current, current] = -1 / tau
            a[:, current, current + 1] = 1 / tau
            a[:, current + 1, current + 1] = -1 / tau
        return a

    def drive(self, current: Array) -> Array:
        return self.membrane_drive(current)

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        moved = self.flow(current)
        for row, side in enumerate(("excitatory", "inhibitory")):
            self.state[f"i_{side}"] = moved[f"i_{side}"]
            self.state[f"rise_{side}"] = moved[f"rise_{side}"] + np.e * inputs[row]
        return self.fire(moved["v"], self.p["v_threshold"])


class TwoCompartmentLIF(LinearCells):
    variables = ("v", "refractory", "v_dendrite")
    linear = ("v", "v_dendrite")

    def start(self) -> None:
        super().start()
        self.state["v_dendrite"] = self.p["v_leak"].copy()

    def matrix(self) -> Array:
        a = np.zeros((self.size, 2, 2))
        g = self.p["coupling"]
        d = self.p["coupling_dendrite"]
        a[:, 0, 0] = -(1 + g) / self.p["tau_mem"]
        a[:, 0, 1] = g / self.p["tau_mem"]
        a[:, 1, 0] = d / self.p["tau_dendrite"]
        a[:, 1, 1] = -(1 + d) / self.p["tau_dendrite"]
        return a

    def drive(self, current: Array) -> Array:
        b = self.membrane_drive(current)
        b[:, 1] = self.p["v_leak"] / self.p["tau_dendrite"]
        return b

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        moved = self.flow(current)
        self.state["v_dendrite"] = moved["v_dendrite"] + inputs[1]
        return self.fire(moved["v"] + inputs[0], self.p["v_threshold"])


class CobaLIF(Cells):
    variables = ("v", "refractory", "g_excitatory", "g_inhibitory")

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        sides = ("excitatory", "inhibitory")
        total = np.ones(self.size)
        pull = p["v_leak"] + p["r"] * (p["i_offset"] + current)
        for row, (side, tau) in enumerate(zip(sides, (p["tau_syn"], p["tau_syn_inhibitory"]), strict=True)):
            g = self.state[f"g_{side}"]
            decay = np.exp(-self.dt / tau)
            mean = g * tau / self.dt * (1 - decay)
            total = total + p["r"] * mean
            pull = pull + p["r"] * mean * p[f"e_{side}"]
            self.state[f"g_{side}"] = g * decay + inputs[row]
        return self.fire(_relaxed(self.state["v"], pull, total, p["tau_mem"], self.dt), p["v_threshold"])


class NMDALIF(Cells):
    variables = ("v", "refractory", "g_ampa", "h", "g_nmda", "g_gaba")

    def prepare(self) -> None:
        # h, g_nmda, and the integral of g_nmda from the start of the step.
        a = np.zeros((self.size, 3, 3))
        a[:, 0, 0] = -1 / self.p["tau_rise"]
        a[:, 1, 0] = 1 / self.p["tau_rise"]
        a[:, 1, 1] = -1 / self.p["tau_nmda"]
        a[:, 2, 1] = 1.0
        self.nmda = expm(a * self.dt)

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        v = self.state["v"]
        block = 1 / (1 + p["mg"] / 3.57 * np.exp(-62 * v))
        before = np.stack([self.state["h"], self.state["g_nmda"], np.zeros(self.size)], axis=1)
        h, g_nmda, integral = np.einsum("nij,nj->in", self.nmda, before)
        means = {"nmda": integral / self.dt * block}
        for kind in ("ampa", "gaba"):
            tau = p[f"tau_{kind}"]
            g = self.state[f"g_{kind}"]
            decay = np.exp(-self.dt / tau)
            means[kind] = g * tau / self.dt * (1 - decay)
            self.state[f"g_{kind}"] = g * decay
        excitatory = means["ampa"] + means["nmda"]
        total = 1 + p["r"] * (excitatory + means["gaba"])
        pull = p["v_leak"] + p["r"] * (p["i_offset"] + current)
        pull = pull + p["r"] * (excitatory * p["e_excitatory"] + means["gaba"] * p["e_inhibitory"])
        self.state["g_ampa"] += inputs[0]
        self.state["h"] = h + inputs[1]
        self.state["g_nmda"] = g_nmda
        self.state["g_gaba"] += inputs[2]
        return self.fire(_relaxed(v, pull, total, p["tau_mem"], self.dt), p["v_threshold"])


class AdEx(Cells):
    variables = ("v", "refractory", "w", "i_excitatory", "i_inhibitory")

    def slopes(self, v: Array, w: Array, synaptic: Array, current: Array) -> tuple[Array, Array]:
        """Return dv/dt, 0 where the membrane is held, and dw/dt."""
        p = self.p
        upswing = p["delta_t"] * np.exp((v - p["v_rheobase"]) / p["delta_t"])
        slope = (p["v_leak"] - v + upswing + p["r"] * (synaptic + p["i_offset"] + current - w)) / p["tau_mem"]
        return np.where(self.is_held, 0.0, slope), (p["a"] * (v - p["v_leak"]) - w) / p["tau_w"]

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        v = self.state["v"]
        w = self.state["w"]
        dt = self.dt
        p = self.p
        e = self.state["i_excitatory"]
        h = self.state["i_inhibitory"]
        e_end = e * np.exp(-dt / p["tau_syn"])
        h_end = h * np.exp(-dt / p["tau_syn_inhibitory"])
        v_slope, w_slope = self.slopes(v, w, e + h, current)
        v_ahead = np.minimum(v + dt * v_slope, p["v_threshold"])
        w_ahead = w + dt * w_slope
        v_slope_end, w_slope_end = self.slopes(v_ahead, w_ahead, e_end + h_end, current)
        self.state["i_excitatory"] = e_end + inputs[0]
        self.state["i_inhibitory"] = h_end + inputs[1]
        fired = self.fire(v + dt / 2 * (v_slope + v_slope_end), p["v_threshold"])
        self.state["w"] = w + dt / 2 * (w_slope + w_slope_end) + np.where(fired, p["b"], 0.0)
        return fired


class Izhikevich(Cells):
    variables = ("v", "u")

    def start(self) -> None:
        # Rest: 4e4 v^2 + 5e3 v + 140 - u + i_offset = 0 and u = b v, the lower root; without one, the reset.
        linear = 5e3 - self.p["b"]
        constant = 140 + self.p["i_offset"]
        inside = linear**2 - 16e4 * constant
        rest = (-linear - np.sqrt(np.maximum(inside, 0))) / 8e4
        self.state["v"] = np.where(inside >= 0, rest, self.p["v_reset"])
        self.state["u"] = self.p["b"] * self.state["v"]

    def slopes(self, v: Array, u: Array, current: Array) -> tuple[Array, Array]:
        slope = 4e4 * v**2 + 5e3 * v + 140 - u + self.p["i_offset"] + current
        return slope, self.p["a"] * (self.p["b"] * v - u)

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        v = self.state["v"]
        u = self.state["u"]
        dt = self.dt
        p = self.p
        v_slope, u_slope = self.slopes(v, u, current)
        v_end, u_end = self.slopes(np.minimum(v + dt * v_slope, p["v_threshold"]), u + dt * u_slope, current)
        v = v + dt / 2 * (v_slope + v_end) + inputs[0]
        u = u + dt / 2 * (u_slope + u_end)
        fired = v > p["v_threshold"]
        self.margin = np.abs(v - p["v_threshold"]) / np.abs(p["v_threshold"] - p["v_reset"])
        self.state["v"] = np.where(fired, p["v_reset"], v)
        self.state["u"] = u + np.where(fired, p["d"], 0.0)
        return fired


def _relaxed(v: Array, pull: Array, total: Array, tau: Array, dt: float) -> Array:
    """Solve tau dv/dt = pull - total v over a step."""
    goal = pull / total
    return goal + (v - goal) * np.exp(-dt * total / tau)


CELLS: dict[type, type[Cells]] = {
    neurosim.LIF: LIF,
    network.IF: IF,
    network.LI: LI,
    network.AdaptiveLIF: AdaptiveLIF,
    network.DendriticLIF: DendriticLIF,
    network.SEAdLIF: SEAdLIF,
    neurosim.CubaLIF: CubaLIF,
    network.AlphaLIF: AlphaLIF,
    network.TwoCompartmentLIF: TwoCompartmentLIF,
    neurosim.CobaLIF: CobaLIF,
    network.NMDALIF: NMDALIF,
    neurosim.AdEx: AdEx,
    neurosim.Izhikevich: Izhikevich,
    **conductances.cells(),
}


def cells_of(model: Any, size: int, dt: float, others: dict[type, type[Cells]]) -> Cells:
    """Return the units of a model; `others` are references of models outside the package, such as equations."""
    return {**CELLS, **others}[type(model)](model, size, dt)
