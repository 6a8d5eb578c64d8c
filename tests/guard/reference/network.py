"""A network in plain numpy, float64, step by step, written from the docstrings of its parts and docs/engine.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosim import Network, Projection
from neurosim.engine import Connections
from neurosim.network import Neuron, NoiseCurrent, RewardSTDP, ShortTermPlasticity, StepCurrent
from neurosim.network.stimuli import GapJunctions, PoissonInput, SineCurrent

from .cells import Array, Cells
from .draws import Draws, successes
from .learning import Homeostasis, rule_of
from .neurons import cells_of
from .stimuli import Gaps, Noise, poisson_counts, sine_current, step_current, steps_of

Counts = NDArray[np.int64]


class Sender:
    """The release of each spike of the source units: u x of short-term plasticity, 1 without it; u with sites."""

    def __init__(self, short_term: ShortTermPlasticity | None, size: int, dt: float) -> None:
        self.short_term = short_term
        self.dt = dt
        self.u = np.zeros(size)
        self.x = np.ones(size)

    def send(self, spikes: Counts) -> list[tuple[NDArray[np.bool_], Array]]:
        """Return the units and amounts of the first spike of each unit in a step, of the second, and so on."""
        sent = []
        for number in range(int(spikes.max(initial=0))):
            mask = spikes > number
            sent.append((mask, self.amounts(mask)))
        self.recover()
        return sent

    def amounts(self, mask: NDArray[np.bool_]) -> Array:
        if self.short_term is None:
            return np.ones(mask.size)
        u = self.u + self.short_term.U * (1 - self.u)
        if self.short_term.tau_facil == 0:
            # Without facilitation u = U at every spike, also at the second of a step.
            u = np.full(mask.size, self.short_term.U)
        amounts = u * self.x
        self.u = np.where(mask, u, self.u)
        self.x = np.where(mask, self.x - amounts, self.x)
        return u if self.short_term.sites else amounts

    def recover(self) -> None:
        if self.short_term is not None:
            tau = self.short_term.tau_facil
            if tau > 0:
                self.u = self.u * np.exp(-self.dt / tau)
            else:
                self.u = np.zeros(self.u.size)
            self.x = 1 - (1 - self.x) * np.exp(-self.dt / self.short_term.tau_rec)


class Bundle:
    """The synapses of one projection.

    A spike of step k arrives d steps later, with the weight of that moment, and then changes the weight. A spike of the
    target counts for the learning rule 2 f d later, f being the dendritic fraction: both are as far apart at the
    synapse as if it had the axonal part of the delay before it and the dendritic part behind it.
    """

    def __init__(
        self, projection: Projection, network: Network, synapses: Connections, dt: float, draws: Draws
    ) -> None:
        self.projection = projection
        self.draws = draws
        source = network.population(projection.source)
        target = network.population(projection.target)
        self.pre = synapses.pre.astype(np.int64)
        self.post = synapses.post.astype(np.int64)
        self.delay = np.array([steps_of(delay, dt) for delay in synapses.delay], np.int64)
        self.back = np.array([steps_of(2 * projection.dendritic_delay_fraction * d, 1.0) for d in self.delay], np.int64)
        self.delays = [(int(delay), self.delay == delay) for delay in np.unique(self.delay)]
        self.backs = [(int(back), self.back == back) for back in np.unique(self.back)]
        self.w = synapses.weight.astype(np.float64).copy()
        self.rule = rule_of(projection.plasticity, self.w, dt)
        if projection.homeostasis is None:
            self.scaling = None
        else:
            self.scaling = Homeostasis(projection.homeostasis, target.size, dt)
        self.dt = dt
        self.receptor = network.receptor(projection)
        self.sender = Sender(projection.short_term, source.size, dt)
        self.sent: list[list[tuple[NDArray[np.bool_], Array]]] = []
        self.fired: list[NDArray[np.bool_]] = []
        self.reward_delay = 0
        if isinstance(projection.plasticity, RewardSTDP):
            self.reward_delay = max(steps_of(projection.plasticity.reward_delay, dt), 1)
        self.release: dict[int, NDArray[np.bool_]] = {}
        self.sites = projection.short_term.sites if projection.short_term else 0
        self.quanta: dict[int, NDArray[np.float64]] = {}
        # Full release sites of each synapse, and the step of the last arrival at it.
        self.full = np.full(self.w.size, self.sites)
        self.reached = np.zeros(self.w.size, np.int64)

    def transmits(self, step: int, spike: int) -> NDArray[np.bool_]:
        """Return which synapses transmit what arrives in a step, of the first spike of a source in its step (0) or of
        a later one."""
        p = self.projection.p_transmit
        name = str(self.projection.name)
        if p == 1:
            return np.ones(self.w.size, bool)
        if spike not in self.release:
            draws = np.empty((self.draws.steps, self.w.size), bool)
            for delay, chosen in self.delays:
                draws[:, chosen] = self.draws.releases(name, delay, int(chosen.sum()), spike, p)
            self.release[spike] = draws
        return self.release[spike][step]

    def parts(self, step: int, spike: int, mask: NDArray[np.bool_], used: Array) -> Array:
        """Return the part of the sites of each synapse that release at an arrival, 0 where no spike arrives.

        used: [synapses] u of short-term plasticity.
        """
        if spike not in self.quanta:
            numbers = np.empty((2, self.draws.steps, self.w.size))
            for delay, chosen in self.delays:
                numbers[:, :, chosen] = self.draws.quanta(str(self.projection.name), delay, int(chosen.sum()), spike)
            self.quanta[spike] = numbers
        fill, empty = self.quanta[spike][:, step]
        rule = self.projection.short_term
        assert rule is not None
        parts = np.zeros(self.w.size)
        for s in np.flatnonzero(mask):
            apart = (step - self.reached[s]) * self.dt
            filled = 1 - np.exp(-apart / rule.tau_rec)
            self.full[s] += successes(self.sites - self.full[s], filled, fill[s])
            released = successes(self.full[s], used[s], empty[s])
            self.full[s] -= released
            self.reached[s] = step
            parts[s] = released / self.sites
        return parts

    def deliver(self, step: int, spikes: Mapping[str, list[Counts]], inputs: Array) -> None:
        """Bring the rewards and spikes that arrive in a step."""
        rewards = 0
        rule = self.projection.plasticity
        if isinstance(rule, RewardSTDP) and step >= self.reward_delay:
            rewards = int(spikes[rule.reward][step - self.reward_delay].sum())
        self.rule.begin_step(rewards)
        self.scale(step)
        for delay, chosen in self.delays:
            arrived = self.sent[step - delay] if step >= delay else []
            for spike, (units, amounts) in enumerate(arrived):
                mask = chosen & units[self.pre]
                self.rule.bound(mask)
                if self.sites:
                    arriving = self.w * self.parts(step, spike, mask, amounts[self.pre])
                else:
                    arriving = np.where(mask & self.transmits(step, spike), self.w * amounts[self.pre], 0.0)
                np.add.at(inputs[self.receptor], self.post, arriving)
                self.rule.arrive(mask)

    def send(self, spikes: Counts) -> None:
        """Let the spikes of a step leave their units, [units] counts."""
        self.sent.append(self.sender.send(spikes))

    def learn(self, step: int, fired: NDArray[np.bool_]) -> None:
        """Let the spikes of the target that count in this step change the weights."""
        self.fired.append(fired)
        counts = np.zeros(self.w.size, bool)
        for back, chosen in self.backs:
            if step >= back:
                counts |= chosen & self.fired[step - back][self.post]
        if counts.any():
            self.rule.fire(counts)
        if self.scaling is not None:
            self.scaling.fire(fired)
            self.scaling.move()

    def scale(self, step: int) -> None:
        """Apply homeostasis where it is due, at the start of a step."""
        if self.scaling is not None and step > 0 and step % self.scaling.every == 0:
            self.rule.scale(self.scaling.factors(self.rule.read(), self.post))


@dataclass(frozen=True)
class Record:
    """What a run of the reference gives.

    spikes: [steps, units] counts by population.
    states: [steps, units] of each variable at the start of each step, by population, then variable.
    margins: [steps, units] distances from the threshold, by population.
    weights: [synapses] at the end, by projection.
    """

    spikes: dict[str, Counts]
    states: dict[str, dict[str, Array]]
    margins: dict[str, Array]
    weights: dict[str, Array]


@dataclass(frozen=True)
class Interventions:
    """Changes of neurons while they run.

    Attributes:
        silent: units whose spikes are dropped, by population.
        silent_from: step from which on they are.
        membranes: [units] V by population, to which membranes are set.
        set_at: step before which they are.
    """

    silent: Mapping[str, NDArray[np.int64]]
    silent_from: int
    membranes: Mapping[str, Array]
    set_at: int


class Reference:
    """A network and its state.

    Args:
        synapses: of each projection, by name.
        played: [steps, units] spikes of each source, those of Poisson sources included.
        others: references of neurons that do not belong to the package.
        interventions: neurons whose spikes are dropped, and membranes that are set.
    """

    def __init__(
        self,
        network: Network,
        synapses: Mapping[str, Connections],
        played: Mapping[str, Counts],
        dt: float,
        draws: Draws,
        others: Mapping[type, type[Cells]],
        interventions: Interventions,
    ) -> None:
        self.network = network
        self.interventions = interventions
        self.played = played
        self.dt = dt
        self.draws = draws
        self.cells: dict[str, Cells] = {}
        for p in network.populations:
            if isinstance(p.model, Neuron):
                self.cells[p.name] = cells_of(p.model, p.size, dt, dict(others))
                for name, value in p.initial.items():
                    self.cells[p.name].state[name] = np.broadcast_to(np.asarray(value, np.float64), p.size).copy()
        # Of models that are driven, [drives, steps, units] by population.
        self.driven: dict[str, Array] = {}
        for p in network.populations:
            if isinstance(p.model, Neuron) and p.model.drives:
                self.driven[p.name] = np.array([draws.drive(p.name, drive, p.size) for drive in p.model.drives])
        self.bundles = [Bundle(p, network, synapses[str(p.name)], dt, draws) for p in network.projections]
        self.poisson: list[tuple[PoissonInput, Counts]] = []
        self.noise: list[tuple[str, Noise]] = []
        self.gaps: list[Gaps] = []
        for stimulus in network.stimuli:
            size = network.population(stimulus.target).size
            if isinstance(stimulus, PoissonInput):
                self.poisson.append((stimulus, poisson_counts(stimulus, size, dt, draws)))
            elif isinstance(stimulus, NoiseCurrent):
                self.noise.append((stimulus.target, Noise(stimulus, size, dt, draws)))
            elif isinstance(stimulus, GapJunctions):
                self.gaps.append(Gaps(stimulus, network))
        self.spikes: dict[str, list[Counts]] = {p.name: [] for p in network.populations}

    def zeros(self, name: str) -> Array:
        return np.zeros(self.cells[name].size)

    def inputs(self, step: int) -> dict[str, Array]:
        """Return the sums of the weights that arrive in a step, [receptors, units] by population."""
        inputs: dict[str, Array] = {}
        for name, each in self.cells.items():
            model = self.network.population(name).model
            assert isinstance(model, Neuron)
            inputs[name] = np.zeros((len(model.receptors), each.size))
            if name in self.driven:
                inputs[name] = np.concatenate([inputs[name], self.driven[name][:, step]])
        for bundle in self.bundles:
            bundle.deliver(step, self.spikes, inputs[bundle.projection.target])
        for stimulus, counts in self.poisson:
            inputs[stimulus.target][self.network.receptor(stimulus)] += stimulus.weight * counts[step]
        return inputs

    def currents(self, step: int) -> dict[str, Array]:
        """Return the currents of a step, [units] A by population."""
        currents = {name: self.zeros(name) for name in self.cells}
        for s in self.network.stimuli:
            if isinstance(s, StepCurrent):
                currents[s.target] += step_current(s, self.cells[s.target].size, step, self.dt)
            elif isinstance(s, SineCurrent):
                currents[s.target] += sine_current(s, self.cells[s.target].size, step, self.dt)
        for target, noise in self.noise:
            currents[target] += noise.values(step)
        voltages = {name: each.state["v"] for name, each in self.cells.items()}
        for gap in self.gaps:
            gap.add(voltages, currents)
        return currents

    def step(self, step: int) -> None:
        """Take one step: spikes arrive, neurons step, and what fired leaves and changes weights."""
        inputs = self.inputs(step)
        currents = self.currents(step)
        for name, each in self.cells.items():
            fired = each.step(inputs[name], currents[name]).astype(np.int64)
            # A silenced neuron is reset as if it had fired.
            done = self.interventions
            if step >= done.silent_from and name in done.silent:
                fired[done.silent[name]] = 0
            self.spikes[name].append(fired)
        for name, trains in self.played.items():
            self.spikes[name].append(trains[step])
        for bundle in self.bundles:
            bundle.send(self.spikes[bundle.projection.source][step])
            bundle.learn(step, self.spikes[bundle.projection.target][step] > 0)


def run(
    network: Network,
    synapses: Mapping[str, Connections],
    played: Mapping[str, Counts],
    *,
    dt: float,
    draws: Draws,
    interventions: Interventions,
    others: Mapping[type, type[Cells]] | None = None,
    nudge: float = 0.0,
) -> Record:
    """Run a network for the steps of its draws; the arguments are those of `Reference`.

    nudge: part by which the initial membranes are changed.
    """
    reference = Reference(network, synapses, played, dt, draws, others or {}, interventions)
    for each in reference.cells.values():
        each.state["v"] *= 1 + nudge
    states: dict[str, dict[str, list[Array]]] = {}
    margins: dict[str, list[Array]] = {}
    for step in range(draws.steps):
        if step == interventions.set_at:
            for name, membranes in interventions.membranes.items():
                reference.cells[name].state["v"] = membranes * (1 + nudge)
        for name, each in reference.cells.items():
            for variable, values in each.state.items():
                states.setdefault(name, {}).setdefault(variable, []).append(values.copy())
        reference.step(step)
        for name, each in reference.cells.items():
            margins.setdefault(name, []).append(each.margin.copy())
    return Record(
        spikes={name: np.array(rows) for name, rows in reference.spikes.items()},
        states={name: {v: np.array(rows) for v, rows in by.items()} for name, by in states.items()},
        margins={name: np.array(rows) for name, rows in margins.items()},
        weights={str(b.projection.name): b.rule.read() for b in reference.bundles},
    )
