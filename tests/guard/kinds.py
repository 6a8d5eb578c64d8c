"""Kinds of neurons of the random networks: ranges of parameters, and weights and currents that make them fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosim import LIF, AdEx, CobaLIF, CubaLIF, Izhikevich
from neurosim.network import IF, LI, NMDALIF, AdaptiveLIF, AlphaLIF, DendriticLIF, SEAdLIF, TwoCompartmentLIF, equations
from neurosim.network.neurons.conductance_adaptive import AlphaCobaAdEx, CobaAdEx
from neurosim.network.neurons.conductance_alpha import AlphaCobaLIF
from neurosim.network.neurons.hodgkin_huxley import HodgkinHuxley

from .reference.cells import Array, Cells, LinearCells
from .written import WRITTEN

Generator = np.random.Generator

# Linear, so integrated exactly; the membrane is held while refractory.
WrittenLinear = equations(
    """
    dv/dt = (v_leak - v + r * (i_offset - w)) / tau_mem : V (unless refractory)
    dw/dt = (a * (v - v_leak) - w) / tau_w
    """,
    threshold="v > v_threshold",
    reset="v = v_reset; w += b",
    parameters={
        **{"tau_mem": 0.02, "v_leak": 0.0, "r": 1.0, "i_offset": 0.0, "tau_w": 0.1, "a": 0.1, "b": 0.2},
        **{"v_threshold": 1.0, "v_reset": 0.0, "t_refractory": 2e-3},
    },
    receptors={"membrane": "v", "adaptation": "w"},
    initial={"v": "v_leak"},
    name="WrittenLinear",
)

# Quadratic in v, so by Heun's method, with an exact current; after a spike nothing is held, but none follows.
WrittenHeun = equations(
    """
    dv/dt = (v * (v - v_critical) + i + i_offset) / tau_mem
    di/dt = -i / tau_syn
    """,
    threshold="v > v_threshold",
    reset="v = v_reset",
    parameters={
        **{"tau_mem": 0.02, "tau_syn": 0.005, "v_critical": 0.5, "i_offset": 0.0},
        **{"v_threshold": 2.0, "v_reset": -0.5, "t_refractory": 2e-3},
    },
    receptors={"membrane": "v", "current": "i"},
    name="WrittenHeun",
)


class WrittenLinearCells(LinearCells):
    variables = ("v", "refractory", "w")
    linear = ("v", "w")

    def matrix(self) -> Array:
        a = np.zeros((self.size, 2, 2))
        a[:, 0, 0] = -1 / self.p["tau_mem"]
        a[:, 0, 1] = -self.p["r"] / self.p["tau_mem"]
        a[:, 1, 0] = self.p["a"] / self.p["tau_w"]
        a[:, 1, 1] = -1 / self.p["tau_w"]
        return a

    def drive(self, current: Array) -> Array:
        b = self.membrane_drive(current)
        b[:, 1] = -self.p["a"] * self.p["v_leak"] / self.p["tau_w"]
        return b

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        moved = self.flow(current)
        fired = self.fire(moved["v"] + inputs[0], self.p["v_threshold"])
        self.state["w"] = moved["w"] + inputs[1] + np.where(fired, self.p["b"], 0.0)
        return fired


class WrittenHeunCells(Cells):
    variables = ("v", "i", "refractory")

    def start(self) -> None:
        pass

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        p = self.p
        dt = self.dt
        v = self.state["v"]
        i = self.state["i"]
        i_end = i * np.exp(-dt / p["tau_syn"])
        slope = (v * (v - p["v_critical"]) + i + p["i_offset"] + current) / p["tau_mem"]
        ahead = v + dt * slope
        ahead = np.where(self.is_held, ahead, np.minimum(ahead, p["v_threshold"]))
        slope_end = (ahead * (ahead - p["v_critical"]) + i_end + p["i_offset"] + current) / p["tau_mem"]
        v = v + dt / 2 * (slope + slope_end) + inputs[0]
        fired = ~self.is_held & (v > p["v_threshold"])
        self.margin = np.abs(v - p["v_threshold"]) / (p["v_threshold"] - p["v_reset"])
        self.margin[self.is_held] = np.inf
        self.state["v"] = np.where(fired, p["v_reset"], v)
        self.state["refractory"] = np.where(fired, self.hold_steps, np.maximum(self.state["refractory"] - 1, 0))
        self.state["i"] = i_end + inputs[1]
        return fired


OTHERS: dict[type, type[Cells]] = {WrittenLinear: WrittenLinearCells, WrittenHeun: WrittenHeunCells, **WRITTEN}


@dataclass(frozen=True)
class Kind:
    """A kind of neuron.

    Attributes:
        weights: of each receptor, such that a few arrivals bring a spike.
        current: A that brings the membrane near its threshold; 0: it takes no current.
        conductance: of gap junctions; a few of them pull noticeably.
        ranges: of the parameters that are drawn, as low and high.
        positive: whether weights must be >= 0.
    """

    name: str
    model: type[Any]
    weights: Mapping[str, float]
    current: float
    conductance: float
    ranges: Mapping[str, tuple[float, float]]
    positive: bool = False
    flags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refracts(self) -> bool:
        return "t_refractory" in self.model.__dataclass_fields__

    def draw(self, rng: Generator, size: int | None) -> tuple[Any, set[str]]:
        """Return a neuron and its features; with a size most of its parameters are by unit."""
        values: dict[str, Any] = dict(self.settings)
        features: set[str] = set()
        for name, (low, high) in self.ranges.items():
            values[name] = rng.uniform(low, high, size if rng.random() < 0.7 else None)
        if size is not None:
            name = next(iter(self.ranges))
            values[name] = rng.uniform(*self.ranges[name], size)
        if self.refracts and rng.random() < 0.6:
            features.add("refractory")
            values["t_refractory"] = rng.uniform(1e-3, 5e-3, size)
        elif self.refracts:
            values["t_refractory"] = 0.0
        if "soft_reset" in self.flags and rng.random() < 0.5:
            features.add("soft reset")
            values["soft_reset"] = True
        return self.model(**values), features

    def initial(self, rng: Generator, model: Any, size: int) -> Array:
        """Return membranes between reset and threshold."""
        low = np.broadcast_to(np.asarray(getattr(model, "v_reset", getattr(model, "v_leak", 0.0))), size)
        high = np.broadcast_to(np.asarray(getattr(model, "v_threshold", 1.0)), size)
        return low + (np.minimum(high, self.top) - low) * rng.uniform(0, 0.8, size)

    @property
    def top(self) -> float:
        """Where the upswing of models with a high peak is not yet under way."""
        return {
            "AdEx": -0.055,
            "CobaAdEx": -0.055,
            "AlphaCobaAdEx": -0.055,
            "HodgkinHuxley": -0.055,
            "Izhikevich": -0.055,
            "equations Heun": 0.4,
        }.get(self.name, np.inf)


TAUS = {"tau_mem": (0.008, 0.03)}
SYNAPTIC = {**TAUS, "tau_syn": (2e-3, 8e-3), "tau_syn_inhibitory": (3e-3, 1e-2)}
ADAPTING = {"tau_w": (0.05, 0.2), "a": (1e-9, 5e-9), "b": (3e-11, 2e-10), "i_offset": (0.0, 4e-10)}
UNIT = {"v_threshold": (0.9, 1.2), "r": (0.8, 1.2), "i_offset": (0.0, 0.6)}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("LIF", LIF, {"input": 0.35}, 0.7, 0.1, {**TAUS, **UNIT}, flags=("soft_reset",)),
        Kind(
            "IF",
            IF,
            {"input": 0.25},
            20.0,
            3.0,
            {"v_threshold": (0.9, 1.2), "r": (0.5, 1.0)},
            flags=("soft_reset",),
        ),
        Kind("LI", LI, {"input": 0.3}, 0.5, 0.1, {**TAUS, "r": (0.8, 1.2)}),
        Kind(
            "CubaLIF",
            CubaLIF,
            {"excitatory": 1.6, "inhibitory": -1.2},
            0.7,
            0.1,
            {**SYNAPTIC, **UNIT},
            flags=("soft_reset",),
        ),
        Kind("AlphaLIF", AlphaLIF, {"excitatory": 1.2, "inhibitory": -0.8}, 0.7, 0.1, {**SYNAPTIC, **UNIT}),
        Kind(
            "CobaLIF",
            CobaLIF,
            {"excitatory": 2.5e-9, "inhibitory": 3e-9},
            8e-11,
            1e-9,
            {**SYNAPTIC, "i_offset": (0.0, 7e-11)},
            positive=True,
        ),
        Kind(
            "AlphaCobaLIF",
            AlphaCobaLIF,
            {"excitatory": 4e-9, "inhibitory": 3e-9},
            8e-11,
            1e-9,
            {**SYNAPTIC, "i_offset": (0.0, 7e-11)},
            positive=True,
        ),
        Kind(
            "CobaAdEx",
            CobaAdEx,
            {"excitatory": 1.2e-8, "inhibitory": 1.2e-8},
            5e-10,
            3e-9,
            {**ADAPTING, "tau_syn": (2e-3, 8e-3)},
            positive=True,
        ),
        Kind(
            "AlphaCobaAdEx",
            AlphaCobaAdEx,
            {"excitatory": 1.2e-8, "inhibitory": 1.2e-8},
            5e-10,
            3e-9,
            {**ADAPTING, "tau_syn": (1e-3, 5e-3)},
            positive=True,
        ),
        Kind(
            "HodgkinHuxley",
            HodgkinHuxley,
            {"excitatory": 1.5e-7, "inhibitory": 6e-8},
            6e-10,
            5e-9,
            {
                "v_offset": (-0.0635, -0.0625),
                "g_leak": (8e-9, 1.5e-8),
                "tau_syn": (3e-4, 2e-3),
                "i_offset": (0.0, 3e-10),
            },
            positive=True,
        ),
        Kind(
            "AdaptiveLIF",
            AdaptiveLIF,
            {"input": 0.35},
            0.7,
            0.1,
            {**TAUS, **UNIT, "tau_adapt": (0.02, 0.2), "beta": (-0.05, 0.3)},
        ),
        Kind(
            "AdEx",
            AdEx,
            {"excitatory": 1.2e-9, "inhibitory": -1e-9},
            5e-10,
            3e-9,
            {"tau_w": (0.05, 0.2), "a": (1e-9, 5e-9), "b": (3e-11, 2e-10), "i_offset": (0.0, 4e-10)},
        ),
        Kind(
            "Izhikevich",
            Izhikevich,
            {"input": 4e-3},
            6.0,
            100.0,
            {"a": (15.0, 30.0), "b": (190.0, 220.0), "d": (4.0, 9.0), "i_offset": (0.0, 4.0)},
        ),
        Kind(
            "DendriticLIF",
            DendriticLIF,
            {"input": 0.35, "dendrite": 1.0},
            0.7,
            0.1,
            {**TAUS, **UNIT, "gain": (0.3, 1.0), "t_plateau": (5e-3, 3e-2)},
        ),
        Kind(
            "NMDALIF",
            NMDALIF,
            {"ampa": 1.5e-8, "nmda": 5e-9, "gaba": 1.5e-8},
            4e-10,
            3e-9,
            {**TAUS, "tau_nmda": (0.05, 0.1), "mg": (0.5, 1.5), "i_offset": (0.0, 3e-10)},
            positive=True,
        ),
        Kind(
            "SEAdLIF",
            SEAdLIF,
            {"input": 8.0},
            0.0,
            0.0,
            {**TAUS, "tau_adapt": (0.05, 0.3), "q": (20.0, 120.0)},
            flags=("soft_reset",),
        ),
        Kind(
            "TwoCompartmentLIF",
            TwoCompartmentLIF,
            {"soma": 0.35, "dendrite": 0.8},
            1.0,
            0.2,
            {**TAUS, **UNIT, "coupling": (0.2, 0.8)},
        ),
        Kind(
            "equations linear",
            WrittenLinear,
            {"membrane": 0.35, "adaptation": -0.2},
            0.7,
            0.1,
            {**TAUS, **UNIT, "b": (0.05, 0.3)},
        ),
        Kind(
            "equations Heun",
            WrittenHeun,
            {"membrane": 0.4, "current": 1.5},
            0.4,
            0.2,
            {**TAUS, "v_critical": (0.4, 0.6), "i_offset": (0.0, 0.15)},
        ),
    )
}
