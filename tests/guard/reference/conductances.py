"""Neurons with conductances that rise before they fall, adapt, or open channels: float64, written from docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from .cells import Array, Cells

SIDES = ("excitatory", "inhibitory")


class Conductances(Cells):
    """Units whose two conductances decay exponentially, or rise and fall as alpha functions."""

    alpha = False

    def taus(self) -> tuple[Array, Array]:
        return self.p["tau_syn"], self.p["tau_syn_inhibitory"]

    def prepare(self) -> None:
        # Rise, g, and the integral of g from the start of the step.
        self.alphas = []
        for tau in self.taus():
            a = np.zeros((self.size, 3, 3))
            a[:, 0, 0] = -1 / tau
            a[:, 1, 0] = 1 / tau
            a[:, 1, 1] = -1 / tau
            a[:, 2, 1] = 1.0
            self.alphas.append(expm(a * self.dt))

    def conduct(self, inputs: Array) -> tuple[Array, Array]:
        """Move the conductances on; return their means over the step, before anything arrives."""
        means = []
        for row, (side, tau) in enumerate(zip(SIDES, self.taus(), strict=True)):
            g = self.state[f"g_{side}"]
            if self.alpha:
                before = np.stack([self.state[f"rise_{side}"], g, np.zeros(self.size)], axis=1)
                rise, g_end, integral = np.einsum("nij,nj->in", self.alphas[row], before)
                means.append(integral / self.dt)
                self.state[f"rise_{side}"] = rise + np.e * inputs[row]
                self.state[f"g_{side}"] = g_end
            else:
                decay = np.exp(-self.dt / tau)
                means.append(g * tau / self.dt * (1 - decay))
                self.state[f"g_{side}"] = g * decay + inputs[row]
        return means[0], means[1]

    def pulls(self, means: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return r times the sum of the means, and of the means times their reversals."""
        up, down = means
        p = self.p
        return p["r"] * (up + down), p["r"] * (up * p["e_excitatory"] + down * p["e_inhibitory"])


class AlphaCobaLIF(Conductances):
    variables = ("v", "refractory", "g_excitatory", "rise_excitatory", "g_inhibitory", "rise_inhibitory")
    alpha = True

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        conductance, drive = self.pulls(self.conduct(inputs))
        total = 1 + conductance
        goal = (p["v_leak"] + p["r"] * (p["i_offset"] + current) + drive) / total
        free = goal + (self.state["v"] - goal) * np.exp(-self.dt * total / p["tau_mem"])
        return self.fire(free, p["v_threshold"])


class CobaAdEx(Conductances):
    variables = ("v", "refractory", "w", "g_excitatory", "g_inhibitory")

    def upswing(self, v: Array) -> Array:
        p = self.p
        return p["delta_t"] * np.exp((np.minimum(v, p["v_threshold"]) - p["v_rheobase"]) / p["delta_t"])

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        v = self.state["v"]
        w = self.state["w"]
        conductance, drive = self.pulls(self.conduct(inputs))
        total = 1 + conductance
        rest = p["v_leak"] + p["r"] * (p["i_offset"] + current) + drive
        decay = np.exp(-self.dt * total / p["tau_mem"])

        def moved(w_mean: Array, swing: Array) -> Array:
            goal = (rest - p["r"] * w_mean + swing) / total
            return goal + (v - goal) * decay

        def adapted(v_mean: Array) -> Array:
            goal = p["a"] * (v_mean - p["v_leak"])
            return goal + (w - goal) * np.exp(-self.dt / p["tau_w"])

        ahead = np.where(self.is_held, v, np.minimum(moved(w, self.upswing(v)), p["v_threshold"]))
        free = moved((w + adapted(v)) / 2, (self.upswing(v) + self.upswing(ahead)) / 2)
        w_end = adapted((v + ahead) / 2)
        fired = self.fire(free, p["v_threshold"])
        self.state["w"] = w_end + np.where(fired, p["b"], 0.0)
        return fired


class AlphaCobaAdEx(CobaAdEx):
    variables = ("v", "refractory", "w", "g_excitatory", "rise_excitatory", "g_inhibitory", "rise_inhibitory")
    alpha = True


class HodgkinHuxley(Conductances):
    variables = ("v", "m", "h", "n", "g_excitatory", "g_inhibitory")

    def rates(self, v: Array) -> dict[str, tuple[Array, Array]]:
        """Return the opening and the closing rate of each gate, 1/ms."""
        u = (v - self.p["v_offset"]) / 1e-3
        return {
            "m": (0.32 * _linear(13 - u, 4), 0.28 * _linear(u - 40, 5)),
            "h": (0.128 * np.exp((17 - u) / 18), 4 / (1 + np.exp((40 - u) / 5))),
            "n": (0.032 * _linear(15 - u, 5), 0.5 * np.exp((10 - u) / 40)),
        }

    def start(self) -> None:
        self.state["v"] = self.p["v_leak"].copy()
        for name, (opening, closing) in self.rates(self.state["v"]).items():
            self.state[name] = opening / (opening + closing)

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        v = self.state["v"]
        for name, (opening, closing) in self.rates(v).items():
            goal = opening / (opening + closing)
            decay = np.exp(-(opening + closing) * self.dt / 1e-3)
            self.state[name] = goal + (self.state[name] - goal) * decay
        up, down = self.conduct(inputs)
        channels = [
            (p["g_leak"], p["v_leak"]),
            (p["g_na"] * self.state["m"] ** 3 * self.state["h"], p["e_na"]),
            (p["g_k"] * self.state["n"] ** 4, p["e_k"]),
            (up, p["e_excitatory"]),
            (down, p["e_inhibitory"]),
        ]
        total = sum(g for g, _ in channels)
        goal = (p["i_offset"] + current + sum(g * e for g, e in channels)) / total
        after = goal + (v - goal) * np.exp(-self.dt * total / p["c_mem"])
        threshold = p["v_threshold"]
        self.state["v"] = after
        # Before and after are compared with the threshold: the nearer of them decides.
        self.margin = np.minimum(np.abs(after - threshold), np.abs(v - threshold)) / np.abs(threshold - p["v_leak"])
        return (v <= threshold) & (after > threshold)


def _linear(x: Array, scale: float) -> Array:
    """Return x / (exp(x / scale) - 1), which is `scale` at x = 0."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, scale, safe / np.expm1(safe / scale))


def cells() -> dict[type, type[Any]]:
    """Return these by the models of the package."""
    from neurosim.network.neurons import conductance_adaptive, conductance_alpha, hodgkin_huxley

    return {
        conductance_alpha.AlphaCobaLIF: AlphaCobaLIF,
        conductance_adaptive.CobaAdEx: CobaAdEx,
        conductance_adaptive.AlphaCobaAdEx: AlphaCobaAdEx,
        hodgkin_huxley.HodgkinHuxley: HodgkinHuxley,
    }
