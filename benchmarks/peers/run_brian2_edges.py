"""Run the network of benchmarks/fly.py with Brian2, as C++ standalone on one thread.

    python run_brian2_edges.py EDGES.npz

Its habits are changed as in run_brian2.py: synapses act before the threshold test, delays are a step shorter, and the
refractory time is a step longer, because Brian2 counts the step of the spike.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import brian2 as b
import numpy as np

DT = 1e-4
DELAY = 1.8e-3
KICK = 0.1
EQUATIONS = """
dv/dt = (g - (v - v_rest)) / tau_mem : 1 (unless refractory)
dg/dt = -g / tau_syn : 1 (unless refractory)
"""
NUMBERS = {"tau_mem": 0.02 * b.second, "tau_syn": 0.005 * b.second, "v_rest": -0.052, "v_reset": -0.052}


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(path: Path) -> None:
    table = np.load(path)
    with tempfile.TemporaryDirectory() as folder:
        b.set_device("cpp_standalone", directory=folder, build_on_run=False)
        b.defaultclock.dt = DT * b.second
        started = time.process_time()
        neurons = b.NeuronGroup(
            int(table["neurons"]),
            EQUATIONS,
            threshold="v > v_threshold",
            reset="v = v_reset; g = 0",
            refractory=(2.2e-3 + DT) * b.second,
            method="exact",
            namespace={**NUMBERS, "v_threshold": -0.045},
        )
        neurons.v = -0.052
        edges = b.Synapses(neurons, neurons, "w : 1", on_pre="g_post += w * int(not_refractory_post)")
        edges.connect(i=table["pre"], j=table["post"])
        edges.w = table["weight"]
        edges.delay = (DELAY - DT) * b.second
        times = table["steps"] * DT * b.second
        source = b.SpikeGeneratorGroup(int(table["activated"]), table["sources"], times)
        kicks = b.Synapses(source, neurons, on_pre=f"v_post += {KICK} * int(not_refractory_post)")
        kicks.connect(i=np.arange(int(table["activated"])), j=np.arange(int(table["activated"])))
        monitor = b.SpikeMonitor(neurons)
        net = b.Network(neurons, edges, source, kicks, monitor)
        net.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]
        net.run(float(table["duration"]) * b.second)
        b.device.build(directory=folder, compile=True, run=False)
        built = time.process_time() - started + children()
        before = children()
        b.device.run(folder, with_output=False, run_args=[])
        ran = children() - before
        steps = np.rint(np.asarray(monitor.t) / DT).astype(np.int64)
        np.savez(path.with_suffix(".spikes.npz"), steps=steps, units=np.asarray(monitor.i))
    # The program reads and makes its synapses when it starts: that is part of its run.
    print(json.dumps({"brian2 description and compiling, s": built, "brian2 start and run, s": ran}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
