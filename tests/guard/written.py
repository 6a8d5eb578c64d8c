"""Models of neurons and synapses written from equations that take the place of others in the random networks, and what
is right for the neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosim.network import equations
from neurosim.network.neurons.timed import TimedArray
from neurosim.network.plasticity.equations import synapse_equations
from neurosim.network.plasticity.synapse import SynapseModel

from .reference.cells import Array, Cells

STIMULUS = np.random.default_rng(8).uniform(-0.2, 0.8, 40)
INTERVAL = 5e-3
ADAPTING = {
    **{"tau_mem": 0.02, "v_leak": 0.0, "r": 1.0, "i_offset": 0.0, "tau_w": 0.1, "a": 0.1, "b": 0.2},
    **{"v_threshold": 1.0, "v_reset": 0.0, "t_refractory": 2e-3},
}

WrittenEuler = equations(
    """
    dv/dt = (v_leak - v + r * (i_offset - w + extra)) / tau_mem + 0.1 * xi * sqrt(2 / tau_mem) (unless refractory)
    dw/dt = (a * (v - v_leak) - w) / tau_w
    extra = 0.3 * int(v < 0.5 * v_threshold and t > 20*ms) + 0.2 * sin(2 * pi * t / (30*ms))
        + 20 * pulse
    pulse : 1 (input)
    """,
    threshold="v > v_threshold",
    reset="v = v_reset; w += b",
    parameters=ADAPTING,
    receptors={"membrane": "pulse", "adaptation": "w"},
    initial={"v": "v_leak"},
    method="euler",
    name="WrittenEuler",
)

# The current z is integrated exactly, the others by Heun's method.
WrittenMixed = equations(
    """
    dv/dt = (v_leak - v + r * (i_offset - w + push)) / tau_mem + 0.1 * xi * sqrt(2 / tau_mem) (unless refractory)
    push = 0.2 * sin(v) + 0.2 * cos(2 * pi * t / (30*ms)) + z
    dw/dt = (a * (v - v_leak) - w) / tau_w
    dz/dt = (20 * pulse + stimulus(t) - z) / (10*ms)
    pulse : 1 (input)
    """,
    threshold="v > v_threshold",
    reset="v = v_reset + 0.2 * rand(); w += b * (1 + 0.3 * randn())",
    parameters=ADAPTING,
    receptors={"membrane": "pulse", "adaptation": "w"},
    initial={"v": "v_leak"},
    timed={"stimulus": TimedArray(STIMULUS, INTERVAL)},
    name="WrittenMixed",
)

WrittenExponential = equations(
    """
    dv/dt = (i_offset + 2 * drive - (v_critical + abs(i)) * v) / tau_mem
    drive = i + stimulus(t) + 0.2 * sin(2 * pi * t / (30*ms)) + 0.3 * int(i > 0.2 or v_critical > 0.5)
    di/dt = -i / tau_syn
    """,
    threshold="v > v_threshold and t >= 3*ms",
    reset="v = v_reset * rand()",
    parameters={
        **{"tau_mem": 0.02, "tau_syn": 0.005, "v_critical": 0.5, "i_offset": 0.0},
        **{"v_threshold": 2.0, "v_reset": -0.5, "t_refractory": 2e-3},
    },
    receptors={"membrane": "v", "current": "i"},
    timed={"stimulus": TimedArray(STIMULUS, INTERVAL)},
    method="exponential_euler",
    name="WrittenExponential",
)

PAIRS = """
    dpre/dt = -pre / tau_pre : 1 ({kind})
    dpost/dt = -post / tau_post : 1 ({kind})
    dslow/dt = (pre - slow) / tau_post : 1 ({kind})
    """
# The same model, brought up to date at spikes or led over every step.
WrittenPairs: dict[str, type[SynapseModel]] = {
    kind: synapse_equations(
        PAIRS.format(kind=kind),
        on_pre="input += w; w = clip(w - down * post * (1 + slow), low, high); pre += 1",
        on_post="w = clip(w + up * pre, low, high); post += 1",
        parameters={"tau_pre": 0.02, "tau_post": 0.03, "up": 0.0, "down": 0.0, "low": 0.0, "high": 0.0},
    )
    for kind in ("event-driven", "clock-driven")
}


class DrivenCells(Cells):
    """Units whose inputs end with the rows of their drives."""

    def read(self, inputs: Array) -> dict[str, Array]:
        """Return the rows of the drives by name, and the value of the timed array."""
        rows = dict(zip((drive.name for drive in self.drives), inputs[-len(self.drives) :], strict=True))
        step = int(rows["t"][0])
        rows["stimulus"] = np.full(self.size, STIMULUS[min(int(step * self.dt / INTERVAL + 1e-9), len(STIMULUS) - 1)])
        rows["t"] = rows["t"] * self.dt
        return rows

    def end(self, v: Array, resets: Array, fired: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Reset who fired, and count the steps of the others."""
        p = self.p
        self.margin = np.abs(v - p["v_threshold"]) / (p["v_threshold"] - p["v_reset"])
        self.margin[self.is_held] = np.inf
        self.state["v"] = np.where(fired, resets, v)
        self.state["refractory"] = np.where(fired, self.hold_steps, np.maximum(self.state["refractory"] - 1, 0))
        return fired


class WrittenEulerCells(DrivenCells):
    variables = ("v", "w", "refractory")
    drives = WrittenEuler.drives

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        dt = self.dt
        held = self.is_held
        v = self.state["v"]
        w = self.state["w"]
        rows = self.read(inputs)
        extra = 0.3 * ((v < 0.5 * p["v_threshold"]) & (rows["t"] > 0.02))
        extra = extra + 0.2 * np.sin(2 * np.pi * rows["t"] / 0.03) + 20 * inputs[0]
        slope = (p["v_leak"] - v + p["r"] * (p["i_offset"] + current - w + extra)) / p["tau_mem"]
        moved = v + dt * slope + 0.1 * np.sqrt(2 / p["tau_mem"]) * np.sqrt(dt) * rows["xi"]
        v_new = np.where(held, v, moved)
        w_new = w + dt * (p["a"] * (v - p["v_leak"]) - w) / p["tau_w"] + inputs[1]
        fired = ~held & (v_new > p["v_threshold"])
        self.state["w"] = w_new + np.where(fired, p["b"], 0.0)
        return self.end(v_new, p["v_reset"], fired)


class WrittenMixedCells(DrivenCells):
    variables = ("v", "w", "z", "refractory")
    drives = WrittenMixed.drives

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        dt = self.dt
        held = self.is_held
        v = self.state["v"]
        w = self.state["w"]
        z = self.state["z"]
        rows = self.read(inputs)
        goal = 20 * inputs[0] + rows["stimulus"]
        z_new = goal + (z - goal) * np.exp(-dt / 0.01)

        def slopes(v: Array, w: Array, z: Array, t: Array) -> tuple[Array, Array]:
            push = 0.2 * np.sin(v) + 0.2 * np.cos(2 * np.pi * t / 0.03) + z
            slope = (p["v_leak"] - v + p["r"] * (p["i_offset"] + current - w + push)) / p["tau_mem"]
            return np.where(held, 0.0, slope), (p["a"] * (v - p["v_leak"]) - w) / p["tau_w"]

        kick = np.where(held, 0.0, 0.1 * np.sqrt(2 / p["tau_mem"]) * np.sqrt(dt) * rows["xi"])
        start = slopes(v, w, z, rows["t"])
        ahead = np.minimum(v + dt * start[0] + kick, p["v_threshold"])
        last = slopes(ahead, w + dt * start[1], z_new, rows["t"] + dt)
        v_new = np.where(held, v, v + dt / 2 * (start[0] + last[0]) + kick)
        w_new = w + dt / 2 * (start[1] + last[1]) + inputs[1]
        fired = ~held & (v_new > p["v_threshold"])
        self.state["w"] = w_new + np.where(fired, p["b"] * (1 + 0.3 * rows["randn_0"]), 0.0)
        self.state["z"] = z_new
        return self.end(v_new, p["v_reset"] + 0.2 * rows["rand_0"], fired)


class WrittenExponentialCells(DrivenCells):
    variables = ("v", "i", "refractory")
    drives = WrittenExponential.drives

    def start(self) -> None:
        pass

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        v = self.state["v"]
        i = self.state["i"]
        rows = self.read(inputs)
        drive = i + rows["stimulus"] + 0.2 * np.sin(2 * np.pi * rows["t"] / 0.03)
        drive = drive + 0.3 * ((i > 0.2) | (p["v_critical"] > 0.5))
        rate = (p["v_critical"] + np.abs(i)) / p["tau_mem"]
        goal = (p["i_offset"] + current + 2 * drive) / p["tau_mem"] / rate
        v_new = goal + (v - goal) * np.exp(-rate * self.dt) + inputs[0]
        self.state["i"] = i * np.exp(-self.dt / p["tau_syn"]) + inputs[1]
        fired = ~self.is_held & (v_new > p["v_threshold"]) & (rows["t"] >= 0.003)
        return self.end(v_new, p["v_reset"] * rows["rand_0"], fired)


WRITTEN: dict[type[Any], type[Cells]] = {
    WrittenEuler: WrittenEulerCells,
    WrittenMixed: WrittenMixedCells,
    WrittenExponential: WrittenExponentialCells,
}
# Of each model, what its equations have.
FEATURES: dict[type[Any], frozenset[str]] = {
    WrittenEuler: frozenset({"Euler", "condition", "time", "noise", "input"}),
    WrittenMixed: frozenset({"exact and Heun", "random reset", "time", "noise", "input", "timed array"}),
    WrittenExponential: frozenset({"exponential Euler", "condition", "time", "timed array", "random reset"}),
}
# By kind, the models that take its place, and how often.
INSTEAD: dict[str, tuple[tuple[type[Any], ...], float]] = {
    "equations linear": ((WrittenEuler, WrittenMixed), 0.95),
    "equations Heun": ((WrittenExponential,), 0.7),
}
