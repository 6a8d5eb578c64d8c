"""A network of the engine beside the reference: where they first differ, and by how much."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from guard.kinds import OTHERS, WrittenHeun
from guard.networks import Case
from guard.reference.draws import Draws
from guard.reference.network import Interventions, Record, run
from neurosim import AdEx, Izhikevich, PoissonSource, Population, Probe, Simulation, SpikeSource
from neurosim.base.errors import NeurosimOverflowError
from neurosim.engine import Connections, Result
from neurosim.engine.compile import network as compiling
from neurosim.engine.compile.network import compile_network
from neurosim.engine.connections import connections
from neurosim.kernels.engine.clocked import deliver
from neurosim.network import Neuron
from neurosim.network.neurons.conductance_adaptive import AlphaCobaAdEx, CobaAdEx
from neurosim.network.neurons.hodgkin_huxley import HodgkinHuxley

Counts = NDArray[np.int64]
# Change of weights and initial membranes that shows where rounding decides: some tens of its roundings.
SHAKES = {"float32": 3e-6, "float64": 1e-14}
UPSWINGS = (AdEx, AlphaCobaAdEx, CobaAdEx, HodgkinHuxley, Izhikevich, WrittenHeun)


def simulated(case: Case, threads: int, cut: int | None) -> list[Result]:
    """Run a case in pieces, between which units are silenced, membranes set, or it is saved and loaded."""
    network = case.network
    played = case.recordings()
    probes = [
        Probe(p.name, variable, case.dt, label=f"{p.name} {variable}")
        for p in network.populations
        if isinstance(p.model, Neuron)
        for variable in p.model.state
    ]
    simulation = Simulation(
        network,
        played,
        clock=case.dt,
        seed=case.seed,
        trial=case.trial,
        threads=threads,
        precision=case.precision,
        record=[p.name for p in network.populations if not isinstance(p.model, SpikeSource)],
        probes=probes,
    )
    results = []
    done = 0
    for stop in sorted({case.silent_from, case.set_at, cut or 0, case.steps}):
        results.append(simulation.run((stop - done) * case.dt))
        done = stop
        if stop == case.silent_from:
            for name, units in case.silent.items():
                simulation.silence(name, units)
        if stop == case.set_at:
            for name, membranes in case.membranes.items():
                simulation.set(name, {"v": membranes})
        if stop == cut:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "state")
                simulation.save(path)
                simulation = Simulation.load(path, network, played, threads=3 - threads)
    return results


def counts_of(results: list[Result], case: Case, name: str) -> Counts:
    """Return [steps, units] spikes of a population."""
    counts = np.zeros((case.steps, case.network.population(name).size), np.int64)
    for result in results:
        spikes = result.spikes[name]
        np.add.at(counts, (np.rint(spikes.times / case.dt).astype(np.int64), spikes.units), 1)
    return counts


def referred(case: Case, results: list[Result], shake: float = 0.0) -> Record:
    """Run a case in the reference; spikes of Poisson sources are those of the engine.

    shake: part by which initial membranes, and at random all weights, are changed.
    """
    network = case.network
    played = dict(case.played)
    for p in network.populations:
        if isinstance(p.model, PoissonSource):
            played[p.name] = counts_of(results, case, p.name)
    synapses = {
        str(p.name): connections(network, str(p.name), clock=case.dt, seed=case.seed) for p in network.projections
    }
    if case.precision == "float32":
        synapses |= rounded(case, synapses)
    rng = np.random.default_rng(case.seed)
    for name, each in synapses.items():
        weight = each.weight * (1 + shake * rng.uniform(-1, 1, len(each)))
        synapses[name] = replace(each, weight=weight)
    draws = Draws(case.seed, case.trial, case.steps)
    done = Interventions(case.silent, case.silent_from, case.membranes, case.set_at)
    return run(network, synapses, played, dt=case.dt, draws=draws, interventions=done, others=OTHERS, nudge=shake)


def rounded(case: Case, synapses: dict[str, Connections]) -> dict[str, Connections]:
    """Return the synapses whose weights a run in float32 keeps in 16 bits, as multiples of the unit of their table."""
    compiled = compile_network(case.network, case.dt, case.seed, np.dtype(case.precision))
    kept = {}
    for table in compiled.row_tables:
        for number in table.projections if table.form == deliver.GROUPS else ():
            name = str(case.network.projections[number].name)
            weight = np.rint(synapses[name].weight / table.weight) * table.weight
            kept[name] = replace(synapses[name], weight=weight)
    return kept


def of_states(results: list[Result], case: Case, name: str, variable: str) -> NDArray[np.float64]:
    """Return [steps, units] a state variable at the start of each step."""
    samples = [np.asarray(result.states[f"{name} {variable}"], np.float64) for result in results]
    return np.concatenate(samples)[: case.steps]


def tolerance_of(case: Case, model: Neuron) -> float:
    """Return the difference of a state that rounding explains, in parts of its largest value.

    Both sides add in another order, and float64 has 1e-16, float32 6e-8. An upswing multiplies differences.
    """
    growth = 1000 if isinstance(model, UPSWINGS) else 1
    return growth * (1e-9 if case.precision == "float64" else 1e-4)


@dataclass
class Verdict:
    """What a comparison found.

    Attributes:
        differences: in words, by step.
        tie: whether rounding decides the first: a spike whose membrane came as near as that to the threshold, or a
            value that is moved by changes of weights and membranes by some roundings; or a network that explodes. What
            follows is not compared.
    """

    differences: list[str]
    tie: bool = False


def compared(case: Case, results: list[Result], record: Record) -> Verdict:
    """Return how a run of the engine differs from the reference: spikes equal, states and weights within rounding."""
    found: list[tuple[int, str, bool]] = []
    for p in case.network.populations:
        if isinstance(p.model, Neuron):
            found += _of_population(case, results, record, p)
    for name, right in record.weights.items():
        if name in results[-1].weights:
            tolerance = _tolerance_of_weights(case, name)
            mine = np.asarray(results[-1].weights[name], np.float64)
            off = np.flatnonzero(~(np.abs(mine - right) <= tolerance * np.abs(right).max(initial=0.0)))
            if len(off):
                values = f"{mine[off[0]]:.10g}, right {right[off[0]]:.10g}"
                found.append((case.steps, f"weight {off[0]} of {name!r}: {values}", False))
    found.sort(key=lambda each: each[0])
    words = [f"step {step}: {difference}" for step, difference, _ in found]
    return Verdict(words, tie=bool(found) and found[0][2])


def _tolerance_of_weights(case: Case, name: str) -> float:
    """Return the difference of weights that rounding explains, in parts of the largest.

    A power below 1 of the distance to a bound has an infinite slope there: 1e-16 at the bound is 4e-7 of its power .4.
    """
    rule = next(p.plasticity for p in case.network.projections if str(p.name) == name)
    powers = [getattr(rule, power, 0.0) for power in ("mu_plus", "mu_minus")]
    soft = any(0 < power < 1 for power in powers)
    if case.precision == "float64":
        return 1e-6 if soft else 1e-9
    return 1e-3 if soft else 1e-4


def _of_population(case: Case, results: list[Result], record: Record, p: Population) -> list[tuple[int, str, bool]]:
    """Return the first wrong spike, and the first wrong value of each variable: step, words, whether it is a tie."""
    found = []
    tolerance = tolerance_of(case, p.model)
    kind = type(p.model).__name__
    wrong = np.argwhere(counts_of(results, case, p.name) != record.spikes[p.name])
    if len(wrong):
        step, unit = wrong[0]
        margin = record.margins[p.name][step, unit]
        words = f"spikes of {p.name}[{unit}] ({kind}), {margin:.1e} from the threshold"
        found.append((int(step), words, bool(margin <= tolerance)))
    for variable in p.model.state:
        mine = of_states(results, case, p.name, variable)
        right = record.states[p.name][variable]
        off = np.argwhere(~(np.abs(mine - right) <= tolerance * np.abs(right).max(initial=0.0)))
        if len(off):
            step, unit = off[0]
            words = f"{variable} of {p.name}[{unit}] ({kind}): {mine[step, unit]:.10g}, right {right[step, unit]:.10g}"
            found.append((int(step), words, False))
    return found


def repeated(case: Case, first: list[Result], second: list[Result]) -> list[str]:
    """Return in words where a second run differs from the first in any bit."""
    found = []
    for name in first[0].spikes:
        if (counts_of(first, case, name) != counts_of(second, case, name)).any():
            found.append(f"spikes of {name}")
    for p in case.network.populations:
        for variable in p.model.state if isinstance(p.model, Neuron) else ():
            states = (of_states(results, case, p.name, variable) for results in (first, second))
            if len({each.tobytes() for each in states}) > 1:
                found.append(f"{variable} of {p.name}")
    for name, weights in first[-1].weights.items():
        if weights.tobytes() != second[-1].weights[name].tobytes():
            found.append(f"weights of {name}")
    return found


def check(case: Case) -> Verdict:
    """Run a case twice in the engine and once in the reference."""
    try:
        first = simulated(case, 1, None)
    except NeurosimOverflowError as fault:
        # A network that explodes is refused, with no results to compare.
        return Verdict([f"step 0: {fault}"], tie=True)
    # Small populations, too, take the shorter step of silent neurons.
    with patch.object(compiling, "QUIET_UNITS", 1):
        second = simulated(case, case.threads, case.cut)
    different = [f"step 0: second run: {words}" for words in repeated(case, first, second)]
    if different:
        return Verdict(different)
    record = referred(case, first)
    verdict = compared(case, first, record)
    # Differences of rounding grow from spike to spike where channels open, a potential sweeps up or cells are coupled.
    if verdict.differences and not verdict.tie:
        step = int(verdict.differences[0].split()[1][:-1])
        verdict.tie = first_move(case, record, referred(case, first, shake=SHAKES[case.precision])) <= step
    return verdict


def first_move(case: Case, record: Record, other: Record) -> int:
    """Return the step from which on two runs of the reference differ by a tenth of the tolerance."""
    steps = [case.steps + 1]
    for p in case.network.populations:
        for variable in p.model.state if isinstance(p.model, Neuron) else ():
            right = record.states[p.name][variable]
            limit = tolerance_of(case, p.model) / 10 * np.abs(right).max(initial=0.0)
            off = np.argwhere(np.abs(other.states[p.name][variable] - right) > limit)
            steps += off[:1, 0].tolist()
    for name, weights in record.weights.items():
        # Of weights only the last are compared.
        limit = _tolerance_of_weights(case, name) / 10 * np.abs(weights).max(initial=0.0)
        if (np.abs(other.weights[name] - weights) > limit).any():
            steps.append(case.steps)
    return min(steps)
