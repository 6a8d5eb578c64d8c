"""Run one workload with neurosim and print its figures, in the terms of the peers' runners."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import description as d
import numpy as np
import protocol

import neurosim as ns
from neurosim import LIF, STDP, CobaLIF, CubaLIF, FixedNumberPre, FixedProbability, FromList, Simulation, Spikes
from neurosim.base.measure.meter import EnergyMeter
from neurosim.base.values import Value
from neurosim.network import Neuron, Normal, Uniform
from neurosim.network.plasticity.base import LearningRule
from neurosim.network.synapses.base import Pattern
from neurosim.network.synapses.patterns import FixedTotalNumber

# Neurosim stamps a spike with the start of its step; `description`, like NEST, with the end.
STAMP = 1
PRECISION = {"default": "float32", "float64": "float64"}


def lif(n: d.Neuron) -> Neuron:
    return LIF(n.tau_mem, n.v_threshold, n.v_leak, n.v_reset, n.r, n.bias, n.refractory)


def cuba_lif(n: d.Neuron) -> Neuron:
    return CubaLIF(
        tau_mem=n.tau_mem,
        tau_syn=n.tau_exc,
        tau_syn_inhibitory=n.tau_inh,
        v_threshold=n.v_threshold,
        v_leak=n.v_leak,
        v_reset=n.v_reset,
        r=n.r,
        i_offset=n.bias,
        t_refractory=n.refractory,
    )


def coba_lif(n: d.Neuron) -> Neuron:
    return CobaLIF(
        tau_mem=n.tau_mem,
        tau_syn=n.tau_exc,
        tau_syn_inhibitory=n.tau_inh,
        e_excitatory=n.e_exc,
        e_inhibitory=n.e_inh,
        v_threshold=n.v_threshold,
        v_leak=n.v_leak,
        v_reset=n.v_reset,
        r=n.r,
        i_offset=n.bias,
        t_refractory=n.refractory,
    )


MODELS: dict[str, Callable[[d.Neuron], Neuron]] = {
    "delta": lif,
    "exponential": cuba_lif,
    "conductance": coba_lif,
}


def receptor(n: d.Neuron, inhibitory: bool) -> str | None:
    """Currents that decay alike are one input."""
    if n.synapse == "delta":
        return None
    one = n.synapse == "exponential" and n.tau_exc == n.tau_inh
    if inhibitory and not one:
        return "inhibitory"
    return "excitatory"


def weight(p: d.Projection, n: d.Neuron) -> Value:
    """Neurosim takes conductances >= 0; `description` gives inhibitory ones a negative sign."""
    if n.synapse != "conductance" or not p.inhibitory:
        return value(p.weight)
    if isinstance(p.weight, d.Normal):
        return value(d.Normal(-p.weight.mean, p.weight.sd, -p.weight.high, -p.weight.low))
    return value(-p.weight)


def value(v: d.Value | np.ndarray) -> Value:
    kinds = {
        d.Normal: lambda: Normal(v.mean, v.sd, v.low, v.high),
        d.Uniform: lambda: Uniform(v.low, v.high),
    }
    return kinds.get(type(v), lambda: v)()


def rule(s: d.Stdp | None) -> LearningRule | None:
    return s and STDP(s.tau_plus, s.tau_minus, s.a_plus, s.a_minus, 0.0, s.w_max, 1.0, 1.0)


def pattern(rule: d.Rule) -> Pattern:
    return {
        d.InDegree: lambda: FixedNumberPre(rule.n, with_replacement=True),
        d.Probability: lambda: FixedProbability(rule.p),
        d.Total: lambda: FixedTotalNumber(rule.n),
        d.Pairs: lambda: FromList(rule.sources, rule.targets),
    }[type(rule)]()


def network(workload: d.Workload) -> ns.Network:
    """The workload as a `Network`."""
    model = {p.name: p.neuron for p in workload.populations}
    populations = [
        ns.Population(p.name, (p.size,), MODELS[p.neuron.synapse](p.neuron), {"v": value(p.v0)})
        for p in workload.populations
    ]
    populations += [ns.Population(s.name, (s.size,), ns.SpikeSource()) for s in workload.sources]
    projections = [
        ns.Projection(
            p.pre,
            p.post,
            pattern(p.rule),
            weight(p, model[p.post]),
            value(p.delay),
            receptor(model[p.post], p.inhibitory),
            plasticity=rule(p.stdp),
        )
        for p in workload.projections
    ]
    stimuli = [
        ns.PoissonInput(x.post, x.sources * x.rate, x.weight, receptor(model[x.post], x.weight < 0))
        for x in workload.drives
    ]
    return ns.Network(populations, projections, stimuli)


def inputs(workload: d.Workload, duration: float) -> dict[str, Spikes]:
    """Return the spikes that the sources play."""
    given = {}
    for s in workload.sources:
        # In the middle of the step, where no rounding can move it to a neighbour.
        times = (s.steps - STAMP + 0.5) * workload.dt
        kept = times < duration
        given[s.name] = Spikes.sort(times[kept], s.units[kept], s.size, duration)
    return given


def run(
    chosen: argparse.Namespace, workload: d.Workload, grid: protocol.Grid
) -> tuple[dict[str, object], protocol.Trains]:
    simulation = Simulation(
        network(workload),
        inputs(workload, (grid.warmup + grid.timed) * workload.dt),
        clock=workload.dt,
        seed=chosen.seed,
        threads=chosen.threads,
        precision=PRECISION[chosen.device],
    )
    simulation.run(grid.warmup * workload.dt)
    with EnergyMeter() as meter, protocol.Stretch() as sim:
        outcome = simulation.run(grid.timed * workload.dt)
    spikes = {p.name: outcome.spikes[p.name] for p in workload.populations}
    every = {name: (s.steps(workload.dt) + STAMP, s.units) for name, s in spikes.items()}
    trains = protocol.after(every, grid)
    printed = protocol.result(workload, grid, simulation.build_s, sim, trains)
    printed["joules"] = meter.measured.total
    printed["joules_note"] = meter.measured.note
    printed["stored_bytes"] = sum(layer.parameter_bytes or 0 for layer in outcome.work)
    return printed, trains


if __name__ == "__main__":
    protocol.main(run, tuple(PRECISION))
