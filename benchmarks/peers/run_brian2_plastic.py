"""Run a small plastic network with Brian2: `run_brian2_plastic.py IN.npz OUT.npz`; see `test_plasticity_peers.py`.

Conventions as in `run_brian2`: synapses act before the threshold test, and every delay is given one step shorter.
Spikes of a target act on its synapses right after the threshold test, thus after the arrivals of their step.
"""

from __future__ import annotations

import json
import sys

import brian2 as b
import numpy as np

SCHEDULE = ["start", "groups", "synapses", "thresholds", "resets", "end"]
NEURON = "dv/dt = (v_leak - v) / tau_mem : 1 (unless refractory)"
TRACES = """
w : 1
dr1/dt = -r1 / tau_plus : 1 (event-driven)
dr2/dt = -r2 / tau_x : 1 (event-driven)
do1/dt = -o1 / tau_minus : 1 (event-driven)
do2/dt = -o2 / tau_y : 1 (event-driven)
"""
DELIVER = "v_post += {} * int(not_refractory_post)\n"
ON_PRE = """
part = clip((w - w_min) / (w_max - w_min), 0, 1)
w = clip(w + part**mu_minus * o1 * (pair_minus + triplet_minus * r2) + constant_pre, w_min, w_max)
r1 = r1 * (1 - nearest) + 1
r2 = r2 * (1 - nearest) + 1
"""
ON_POST = """
part = clip((w_max - w) / (w_max - w_min), 0, 1)
w = clip(w + part**mu_plus * r1 * (pair_plus + triplet_plus * o2) + constant_post - decay * w * o1, w_min, w_max)
o1 = o1 * (1 - nearest) + 1
o2 = o2 * (1 - nearest) + 1
"""
SHORT_TERM = """
du/dt = -u / tau_facil : 1 (event-driven)
dx/dt = (1 - x) / tau_rec : 1 (event-driven)
"""
ON_RELEASE = "u += U * (1 - u)\nsent = w * u * x\nx -= u * x\n"


def constants(given: dict[str, object]) -> dict[str, object]:
    """The numbers of a description as Brian2 wants them: time constants with their unit."""
    numbers = {name: float(value) for name, value in given.items() if isinstance(value, (int, float))}
    return {name: value * b.second if name.startswith("tau_") else value for name, value in numbers.items()}


def connect(name: str, file: dict[str, np.ndarray], source: b.Group, target: b.Group, dt: float) -> b.Synapses:
    settings = json.loads(str(file[f"{name}.settings"]))
    rule = settings["rule"]
    short_term = settings["short_term"]
    if short_term:
        deliver = ON_RELEASE + DELIVER.format("sent")
    else:
        deliver = DELIVER.format("w")
    synapses = b.Synapses(
        source,
        target,
        (TRACES if rule else "w : 1") + (SHORT_TERM if short_term else ""),
        on_pre=deliver + (ON_PRE if rule else ""),
        on_post=ON_POST if rule else None,
        namespace=constants(rule or {}) | constants(short_term or {}),
    )
    synapses.connect(i=file[f"{name}.pre"], j=file[f"{name}.post"])
    synapses.w = file[f"{name}.weight"]
    synapses.pre.delay = (file[f"{name}.delay"] - 1) * dt * b.second
    if short_term:
        synapses.x = 1
    if rule:
        synapses.post.when = "after_thresholds"
    return synapses


def main(path_in: str, path_out: str) -> None:
    b.prefs.codegen.target = "numpy"
    with np.load(path_in) as arrays:
        file = dict(arrays)
    neuron = json.loads(str(file["neuron"]))
    dt = float(file["dt"])
    b.defaultclock.dt = dt * b.second
    cells = b.NeuronGroup(
        len(file["v0"]),
        NEURON,
        threshold="v > v_threshold",
        reset="v = v_reset",
        refractory=(neuron["t_refractory"] + dt) * b.second,
        method="exact",
        namespace=constants(neuron),
    )
    cells.v = file["v0"]
    inputs = b.SpikeGeneratorGroup(int(file["inputs"]), file["units"], file["steps"] * dt * b.second)
    monitor = b.SpikeMonitor(cells)
    joined = {"feed": connect("feed", file, inputs, cells, dt), "back": connect("back", file, cells, cells, dt)}
    net = b.Network(cells, inputs, monitor, *joined.values())
    net.schedule = SCHEDULE
    net.run(float(file["seconds"]) * b.second)
    weights = {f"{name}.weight": np.asarray(synapses.w) for name, synapses in joined.items()}
    steps = np.rint(np.asarray(monitor.t / b.second) / dt).astype(np.int64)
    np.savez(path_out, steps=steps, units=np.asarray(monitor.i), **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
