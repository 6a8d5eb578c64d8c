"""Run one workload with NEST and print its figures. One run a process: NEST's threads spin until it ends."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

# Set before NEST is loaded: its start-up banner must not stand in the output.
os.environ["PYNEST_QUIET"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import nest
import numpy as np
import protocol
from description import (
    Drive,
    InDegree,
    Neuron,
    Normal,
    Pairs,
    Population,
    Probability,
    Projection,
    Source,
    Stdp,
    Total,
    Uniform,
    Value,
    Workload,
)

TO_MS = 1e3
TO_MV = 1e3
TO_PA = 1e12
TO_PF = 1e12
TO_NS = 1e9
MODEL = {"delta": "iaf_psc_delta", "exponential": "iaf_psc_exp", "conductance": "iaf_cond_exp"}
# A weight is a potential in mV, a current in pA or a conductance in nS.
WEIGHT = {"delta": TO_MV, "exponential": TO_PA, "conductance": TO_NS}


def parameters(neuron: Neuron) -> dict[str, float]:
    """NEST has C_m where we have r; a conductance model takes the leak conductance."""
    common = {
        "C_m": neuron.capacitance * TO_PF,
        "E_L": neuron.v_leak * TO_MV,
        "V_th": neuron.v_threshold * TO_MV,
        "V_reset": neuron.v_reset * TO_MV,
        "t_ref": neuron.refractory * TO_MS,
        "I_e": neuron.bias * TO_PA,
    }
    synapses = {"tau_syn_ex": neuron.tau_exc * TO_MS, "tau_syn_in": neuron.tau_inh * TO_MS}
    further = {
        "delta": {"tau_m": neuron.tau_mem * TO_MS},
        "exponential": {"tau_m": neuron.tau_mem * TO_MS, **synapses},
        "conductance": {
            "g_L": TO_NS / neuron.r,
            "E_ex": neuron.e_exc * TO_MV,
            "E_in": neuron.e_inh * TO_MV,
            **synapses,
        },
    }
    return common | further[neuron.synapse]


def drawn(value: Value | np.ndarray, unit: float) -> object:
    """A number, an array or a random parameter of NEST, in NEST's unit."""
    if isinstance(value, Normal):
        normal = nest.random.normal(mean=value.mean * unit, std=value.sd * unit)
        limited = np.isfinite(value.low) or np.isfinite(value.high)
        if limited:
            return nest.math.redraw(normal, min=value.low * unit, max=value.high * unit)
        return normal
    if isinstance(value, Uniform):
        return nest.random.uniform(min=value.low * unit, max=value.high * unit)
    return value * unit


def create(population: Population) -> nest.NodeCollection:
    nodes = nest.Create(MODEL[population.neuron.synapse], population.size, params=parameters(population.neuron))
    nodes.V_m = drawn(population.v0, TO_MV)
    return nodes


def create_source(source: Source, dt: float) -> nest.NodeCollection:
    nodes = nest.Create("spike_generator", source.size)
    for unit in range(source.size):
        steps = np.sort(source.steps[source.units == unit])
        nodes[unit].spike_times = np.round(steps * dt * TO_MS, 6)
    return nodes


def learning(rule: Stdp, unit: float) -> dict[str, float]:
    return {
        "Wmax": rule.w_max * unit,
        "lambda": rule.a_plus,
        "alpha": rule.a_minus / rule.a_plus,
        "mu_plus": 1.0,
        "mu_minus": 1.0,
        "tau_plus": rule.tau_plus * TO_MS,
    }


def connect(projection: Projection, nodes: dict[str, nest.NodeCollection], unit: float, name: str) -> None:
    pre = nodes[projection.pre]
    post = nodes[projection.post]
    rule = projection.rule
    synapse = {"weight": drawn(projection.weight, unit), "delay": drawn(projection.delay, TO_MS)}
    if isinstance(rule, Pairs):
        sources = np.array(pre.tolist())[rule.sources]
        targets = np.array(post.tolist())[rule.targets]
        nest.Connect(sources, targets, "one_to_one", {"synapse_model": "static_synapse", **synapse})
        return
    device = pre[0].element_type == "stimulator"
    if projection.stdp:
        post.tau_minus = projection.stdp.tau_minus * TO_MS
        nest.CopyModel("stdp_synapse", name, learning(projection.stdp, unit))
        synapse["synapse_model"] = name
    elif isinstance(projection.weight, float) and not device:
        # NEST's fastest form for equal weights: stored once. A device may have one synapse type only.
        nest.CopyModel("static_synapse_hom_w", name, {"weight": synapse.pop("weight")})
        synapse["synapse_model"] = name
    spec = {
        InDegree: lambda: {"rule": "fixed_indegree", "indegree": rule.n},
        Total: lambda: {"rule": "fixed_total_number", "N": rule.n},
        Probability: lambda: {"rule": "pairwise_bernoulli", "p": rule.p},
    }[type(rule)]()
    nest.Connect(pre, post, spec, synapse)


def connect_drive(drive: Drive, target: nest.NodeCollection, unit: float) -> None:
    generator = nest.Create("poisson_generator", params={"rate": drive.sources * drive.rate})
    nest.Connect(generator, target, "all_to_all", {"weight": drive.weight * unit, "delay": drive.delay * TO_MS})


def build(workload: Workload) -> dict[str, tuple[nest.NodeCollection, int]]:
    """Create and connect everything; a spike recorder and the first node of each population come back."""
    nodes = {p.name: create(p) for p in workload.populations}
    nodes |= {s.name: create_source(s, workload.dt) for s in workload.sources}
    units = {p.name: WEIGHT[p.neuron.synapse] for p in workload.populations}
    for index, projection in enumerate(workload.projections):
        connect(projection, nodes, units[projection.post], f"equal_weights_{index}")
    for drive in workload.drives:
        connect_drive(drive, nodes[drive.post], units[drive.post])
    recorders = {}
    for p in workload.populations:
        recorder = nest.Create("spike_recorder")
        nest.Connect(nodes[p.name], recorder)
        recorders[p.name] = recorder, nodes[p.name][0].global_id
    return recorders


def spikes_of(recorder: nest.NodeCollection, first: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """(steps, units) in order of time, then unit."""
    events = recorder.get("events")
    steps = np.rint(events["times"] / (dt * TO_MS)).astype(np.int64)
    units = events["senders"] - first
    order = np.lexsort((units, steps))
    return steps[order], units[order]


def run(
    chosen: argparse.Namespace, workload: Workload, grid: protocol.Grid
) -> tuple[dict[str, object], protocol.Trains]:
    start = time.perf_counter()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=workload.dt * TO_MS, local_num_threads=chosen.threads, rng_seed=chosen.seed)
    recorders = build(workload)
    nest.Prepare()
    build_s = time.perf_counter() - start
    if grid.warmup:
        nest.Run(grid.warmup * workload.dt * TO_MS)
    with protocol.Stretch() as sim:
        nest.Run(grid.timed * workload.dt * TO_MS)
    nest.Cleanup()
    every = {name: spikes_of(*recorded, workload.dt) for name, recorded in recorders.items()}
    trains = protocol.after(every, grid)
    return protocol.result(workload, grid, build_s, sim, trains), trains


if __name__ == "__main__":
    protocol.main(run)
