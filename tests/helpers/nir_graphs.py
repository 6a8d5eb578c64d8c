"""Graphs of NIR as other programs write them, networks of two populations, and spikes for both."""

from __future__ import annotations

import itertools
from typing import Any

import nir as library
import numpy as np

from neurosim import LIF, Network, Population, Projection, Spikes, simulate
from neurosim.engine import Result


def recording(size: int, shape: tuple[int, ...] = (), seconds: float = 0.3, rate: float = 100.0) -> Spikes:
    count = int(size * rate * seconds)
    rng = np.random.default_rng(7)
    return Spikes(np.sort(rng.random(count)) * seconds, rng.integers(0, size, count), size, seconds, shape)


def run(network: Network, inputs: Any, **options: Any) -> Result:
    return simulate(network, inputs, seed=5, precision="float64", **options)


def plain(kind: str, n: int, dt: float, **changes: Any) -> Any:
    """A neuron node as other programs write it, weights being jumps."""
    one = np.ones(n)
    values: dict[str, Any] = {
        "LIF": {"tau": 0.02 * one, "r": 0.02 / dt * one, "v_leak": 0 * one, "v_threshold": one},
        "IF": {"r": 1 / dt * one, "v_threshold": one},
        "LI": {"tau": 0.02 * one, "r": 0.02 / dt * one, "v_leak": 0 * one},
        "I": {"r": 1 / dt * one},
        "CubaLIF": {
            "tau_mem": 0.02 * one,
            "tau_syn": 0.005 * one,
            "r": one,
            "v_leak": 0 * one,
            "v_threshold": 0.05 * one,
            "w_in": 0.005 / dt * one,
        },
        "CubaLI": {
            "tau_mem": 0.02 * one,
            "tau_syn": 0.005 * one,
            "r": one,
            "v_leak": 0 * one,
            "w_in": 0.005 / dt * one,
        },
    }[kind]
    return getattr(library, kind)(**{**values, **changes})


def chain(*nodes: Any, size: Any = 4, **named: Any) -> Any:
    """Input -> nodes -> Output."""
    if not named:
        names = [f"n{k}" for k in range(len(nodes))]
    else:
        names = list(named)
    table = {
        "in": library.Input({"input": np.atleast_1d(size)}),
        **dict(zip(names, nodes or named.values(), strict=True)),
    }
    table["out"] = library.Output({"output": np.array([1])})
    way = list(table)
    return library.NIRGraph(table, list(itertools.pairwise(way)), {}, type_check=False)


def of(model: Any, *projections: Projection) -> Network:
    """Two populations a and b, of which the first has this model."""
    return Network([Population("a", 3, model), Population("b", 3, LIF())], list(projections))
