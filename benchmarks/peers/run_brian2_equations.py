"""Run models that are given as text with Brian2, one group of neurons each, and save spikes and states.

The conventions are those of `run_brian2`: synapses act before the threshold test, every delay is one step shorter, and
the step of a spike is not counted as refractory.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import brian2 as b
import numpy as np

SCHEDULE = ["start", "groups", "synapses", "thresholds", "resets", "end"]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", type=Path, help="JSON file of the models")
    parser.add_argument("out", type=Path, help="file for spikes and states")
    return parser.parse_args()


def quantity(value: float, unit: str) -> Any:
    """Return a number in the SI unit of this name."""
    return value if unit == "1" else value * b.Quantity(1.0, dim=getattr(b, unit).dim)


def run(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Run one model; return steps and units of its spikes, and its variables at the start of each step."""
    b.start_scope()
    b.defaultclock.dt = case["dt"] * b.second
    namespace = {name: quantity(value, case["units"][name]) for name, value in case["parameters"].items()}
    for name, (values, interval, unit) in case["timed"].items():
        namespace[name] = b.TimedArray(quantity(np.array(values), unit), dt=interval * b.second)
    refractory: Any = False
    if case["refractory"]:
        refractory = case["refractory"]
    elif "t_refractory" in case["parameters"]:
        refractory = (case["parameters"]["t_refractory"] + case["dt"]) * b.second
    groups = {"method": case["method"], "reset": case["reset"], "refractory": refractory, "namespace": namespace}
    cells = b.NeuronGroup(case["size"], case["text"], threshold=case["threshold"], **groups)
    for name, values in case["initial"].items():
        getattr(cells, name + "_")[:] = values
    steps, units = (np.array(each, np.int64) for each in case["input"])
    # In the middle of the step: rounding leads into no other.
    played = b.SpikeGeneratorGroup(case["size"], units, (steps + 0.5) * case["dt"] * b.second)
    if case["synapses"]:
        synapses = joined(case["synapses"], played, cells, case["dt"])
    else:
        weight = {"weight": quantity(case["weight"], case["weight_unit"])}
        delay = (case["delay"] - 1) * case["dt"] * b.second
        synapses = b.Synapses(played, cells, on_pre=f"{case['target']} += weight", delay=delay, namespace=weight)
        synapses.connect(j="i")
    spikes = b.SpikeMonitor(cells)
    states = b.StateMonitor(cells, case["states"], record=True, when="start")
    net = b.Network(cells, played, synapses, spikes, states)
    net.schedule = SCHEDULE
    net.run(case["steps"] * case["dt"] * b.second)
    found = {name: np.asarray(getattr(states, name + "_")).T for name in case["states"]}
    if case["synapses"]:
        found["weights"] = np.array(synapses.w)
    return {"steps": np.rint(spikes.t / (case["dt"] * b.second)).astype(np.int64), "units": np.array(spikes.i), **found}


def joined(case: dict[str, Any], source: b.Group, target: b.Group, dt: float) -> b.Synapses:
    """Return synapses of a model; what reads the target does so before it steps, and spikes of it act after the
    threshold test, before the reset."""
    namespace = {name: quantity(value, case["units"].get(name, "1")) for name, value in case["parameters"].items()}
    model = {"on_pre": case["on_pre"], "on_post": case["on_post"] or None, "namespace": namespace}
    synapses = b.Synapses(source, target, case["text"], method=case["method"], **model)
    synapses.connect(i=case["pre"], j=case["post"])
    synapses.w = case["weights"]
    for name, value in case["initial"].items():
        setattr(synapses, name, value)
    for pathway in case["on_pre"]:
        getattr(synapses, pathway).delay = (np.array(case["delays"]) - 1) * dt * b.second
    if "learn" in case["on_pre"]:
        synapses.learn.when = "start"
    if case["on_post"]:
        synapses.post.when = "after_thresholds"
    return synapses


def main() -> None:
    args = parse_args()
    b.prefs.codegen.target = "numpy"
    found = {}
    for name, case in json.loads(args.cases.read_text()).items():
        found |= {f"{name}.{key}": value for key, value in run(case).items()}
    np.savez(args.out, **found)


if __name__ == "__main__":
    main()
