"""Changes of a network between two runs of a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, lookup, require
from ..base.random import rng_key
from ..base.values import draw
from ..network.network import Network
from ..network.neurons.base import Neuron
from ..network.plasticity.structural import StructuralRule, Synapses
from ..network.plasticity.synapse import SynapseModel
from ..network.population import Population
from ..network.projection import Projection
from ..network.stimuli import PoissonSource
from ..network.synapses.patterns import FromList
from ..network.synapses.values import Distribution
from .compile.network import CompiledNetwork
from .compile.plastic import is_plastic
from .compile.row_table import Late
from .connections import Connections
from .probe import Probe

Setting: TypeAlias = "float | NDArray[Any]"
T = TypeVar("T")
# Parameters of a stimulus that cannot be set: its target and name.
PLACES = ("target", "source", "pattern", "receptor", "units", "name")


@final
@dataclass(frozen=True, eq=False)
class Changes:
    """Values that were set since a simulation was made.

    Attributes:
        values: by name of the population, projection or stimulus and by parameter; the last one counts. A projection
            whose synapses were changed has `pre` and `post`, too.
        late: projections that were changed while spikes were on their way.
        silent: units whose spikes are dropped, by name of the population.
    """

    values: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    late: Mapping[str, Late] = field(default_factory=dict)
    silent: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def silence(self, network: Network, name: str, units: Sequence[int] | NDArray[Any]) -> Changes:
        """Return these, with other units of a population whose spikes are dropped.

        Raises:
            NeurosimInputError: an unknown population, one that is not of neurons, or units that it does not have.
        """
        population = network.population(name, "Simulation.silence.population")
        label = f"Population[{name!r}]"
        require(isinstance(population.model, Neuron), label, "must be of neurons to be silenced", population.model)
        chosen = np.asarray(units)
        valid = chosen.ndim == 1 and (chosen.dtype.kind in "iu" or chosen.size == 0)
        require(valid, "Simulation.silence.units", "must be a list of units", f"{units!r:.60}")
        chosen = np.unique(chosen.astype(np.int64))
        inside = chosen.size == 0 or (chosen[0] >= 0 and chosen[-1] < population.size)
        require(bool(inside), "Simulation.silence.units", f"must be units from 0 to {population.size - 1}", units)
        others = {key: value for key, value in self.silent.items() if key != name}
        return replace(self, silent={**others, name: chosen} if chosen.size else others)

    def apply(self, network: Network) -> Network:
        """Return the network with all changes.

        Raises:
            NeurosimInputError: a change does not fit it.
        """
        for name, values in self.values.items():
            network = change_network(network, name, values)
        return network

    def set(self, compiled: CompiledNetwork, name: str, values: Mapping[str, Setting], step: int) -> Changes:
        """Return these and values that are set in a `step` of a network; arrays are copied.

        Raises:
            NeurosimInputError: as `Simulation.set`.
        """
        copied = {key: value if np.ndim(value) == 0 else np.array(value) for key, value in values.items()}
        late = self._late(compiled, name, values, step)
        merged = {**self.values.get(name, {}), **copied}
        all_late = self.late if late is None else {**self.late, name: late}
        return Changes({**self.values, name: merged}, all_late, self.silent)

    def _late(self, compiled: CompiledNetwork, name: str, values: Mapping[str, Setting], step: int) -> Late | None:
        """Return how a changed projection goes on; None where spikes on their way are delivered from their log."""
        for number, sampler in enumerate(compiled.samplers):
            if sampler.projection.name == name and not is_plastic(sampler.projection):
                rows = next(rows for rows in compiled.row_tables if number in rows.projections)
                # With one delay, spikes of the log are delivered with the new weight.
                only_weight = set(values) == {"weight"} and sampler.delay is not None
                if only_weight and name not in self.late:
                    return None
                return Late(step, rows.max_delay if step else 0)
        return None


def change_network(network: Network, name: str, values: Mapping[str, Setting]) -> Network:
    """Return the network with other values of one population, projection or stimulus; see `Simulation.set`.

    Raises:
        NeurosimInputError: an unknown name, a name that several have, an unknown parameter, or a value that breaks its
            rule.
    """
    lists = {key: getattr(network, key) for key in ("populations", "projections", "stimuli")}
    matches = [(key, item) for key, items in lists.items() for item in items if item.name == name]
    if not matches:
        lookup({str(item.name): item for items in lists.values() for item in items}, name, "Simulation.set.name")
    require(len(matches) == 1, "Simulation.set.name", f"must name one thing, and {len(matches)} have it", name)
    key, old = matches[0]
    new: Any
    if isinstance(old, Population):
        if not isinstance(old.model, (Neuron, PoissonSource)):
            kind = type(old.model).__name__
            raise NeurosimInputError(f"Population[{name!r}]: a {kind} has no parameters that can be set")
        new = replace(old, model=_with(old.model, values, str(name), ()))
    elif isinstance(old, Projection):
        _check(values, str(old))
        pattern = FromList(values["pre"], values["post"]) if "pre" in values else old.pattern  # type: ignore[arg-type]
        weight = values.get("weight", old.weight)
        delay = values.get("delay", old.delay)
        # Learned weights belong to the synapses and weights that are replaced.
        learned = None if {"pre", "weight"} & set(values) else old.learned
        new = replace(old, pattern=pattern, weight=weight, delay=delay, learned=learned)
    else:
        new = _with(old, values, str(old), PLACES)
    entries = [new if each is old else each for each in lists[key]]
    return replace(network, **{key: entries})


def neuron_of(network: Network, name: str, label: str) -> Neuron:
    """Return the neuron of a population.

    Raises:
        NeurosimInputError: an unknown population, or one that is not of neurons.
    """
    model = network.population(name, label).model
    if not isinstance(model, Neuron):
        kind = type(model).__name__
        raise NeurosimInputError(f"{label}: population '{name}' must be of neurons to have a state (got {kind})")
    return model


def split_states(
    network: Network, name: str, values: Mapping[str, Setting]
) -> tuple[dict[int, Setting], dict[str, Setting]]:
    """Return the values of state variables, by row, and the others: a parameter of the same name comes first.

    Raises:
        NeurosimInputError: values that are not finite, not numbers, or not one a unit.
    """
    population = next((p for p in network.populations if p.name == name), None)
    if population is None or not isinstance(population.model, Neuron):
        return {}, dict(values)
    parameters = {entry.name for entry in fields(population.model)}  # type: ignore[arg-type]
    rows = {state: row for row, state in enumerate(population.model.state) if state not in parameters}
    states = {rows[key]: value for key, value in values.items() if key in rows}
    label = f"Population[{name!r}]"
    for key in values.keys() & rows.keys():
        array = np.asarray(values[key])
        fits = array.dtype.kind in "iuf" and array.shape in ((), (population.size,))
        rule = f"must be a number or [{population.size}], one a unit"
        require(bool(fits), f"{label}.{key}", rule, f"{values[key]!r:.60}")
        require(bool(np.isfinite(array).all()), f"{label}.{key}", "must be finite", "NaN or infinity")
        # The one state that counts steps.
        if key == "refractory":
            counts = bool(((array >= 0) & (array % 1 == 0)).all())
            require(counts, f"{label}.refractory", "must be a number of steps >= 0", f"{values[key]!r:.60}")
    return states, {key: value for key, value in values.items() if key not in rows}


def check_settings(projection: Projection, values: Mapping[str, Setting]) -> None:
    """Raise `NeurosimInputError` unless a projection has these values to set: weight, and delay where it is fixed."""
    for name in values:
        lookup({"weight": None, "delay": None}, name, f"{projection}: parameter")
    fixed = "delay" not in values or not is_plastic(projection)
    rule = "cannot be set of synapses that learn or transmit by chance; build another network"
    require(fixed, f"{projection}.delay", rule, values.get("delay"))
    _check(values, str(projection))


def rewire_projection(
    compiled: CompiledNetwork,
    present: Connections,
    name: str,
    rule: StructuralRule,
    step: int,
    probes: Sequence[Probe] = (),
) -> tuple[dict[str, Setting], NDArray[np.int64]]:
    """Return the synapses of a projection after a structural rule, to be set, and the former number of each, or -1.

    `present` are the synapses before it, by source and target.

    Raises:
        NeurosimInputError: as `Simulation.rewire`.
    """
    projection = next(p for p in compiled.network.projections if p.name == name)
    _check_rewiring(projection, present, rule, probes)
    pre = present.pre.astype(np.int64)
    post = present.post.astype(np.int64)
    within = projection.source == projection.target
    key = rng_key(compiled.seed, "rewire", name, str(step))
    generator = np.random.Generator(np.random.Philox(key=key))
    change = rule.rewire(
        Synapses(pre=pre, post=post, weight=present.weight.copy(), sizes=present.shape, within=within), generator
    )
    label = f"{type(rule).__name__}.rewire"
    new_delay = change.delay
    if new_delay is None:
        new_delay = _drawn_delays(projection, present, len(change.pre), generator, key, f"{label}: delay")
    sizes = {np.shape(each) for each in (change.pre, change.post, change.weight, new_delay)}
    require(np.shape(change.keep) == pre.shape, f"{label}: keep", f"must be [{len(pre)}], one a synapse", change.keep)
    require(len(sizes) == 1, f"{label}: pre, post, weight, delay", "must be equally long", sorted(sizes))

    # New synapses have no former number: -1.
    staying = np.flatnonzero(change.keep)
    numbers = np.concatenate([staying, np.full(len(change.pre), -1)])
    pre = np.concatenate([pre[staying], change.pre])
    post = np.concatenate([post[staying], change.post])
    weight = np.concatenate([present.weight[staying], change.weight])
    delay = np.concatenate([present.delay[staying], new_delay])
    learning = projection.plasticity
    if learning is not None:  # rounded to float32 a weight may lie beyond its bound
        weight = np.where(numbers < 0, weight, np.clip(weight, learning.w_min, learning.w_max))

    # Tables have synapses by source and then by target.
    order = np.lexsort((post, pre))
    values: dict[str, Setting] = {"pre": pre[order], "post": post[order], "weight": weight[order]}
    distinct = np.unique(np.concatenate([present.delay, new_delay]))
    if len(delay) and len(distinct) == 1:
        values["delay"] = float(distinct[0])
    elif len(delay):
        values["delay"] = delay[order]
    elif _has_delay_each(projection) and len(present.delay):
        # No synapse is left. A number or a distribution stays for those to come; of an array, the middle one.
        values["delay"] = float(np.sort(present.delay)[len(present.delay) // 2])
    return values, numbers[order]


def _has_delay_each(projection: Projection) -> bool:
    """Return whether a projection was described with a delay for each synapse."""
    return not is_number(projection.delay) and not isinstance(projection.delay, Distribution)


def _drawn_delays(
    projection: Projection, present: Connections, count: int, generator: np.random.Generator, key: int, label: str
) -> NDArray[np.float64]:
    """Return delays for so many new synapses: of present ones, or where there are none, of the projection.

    Raises:
        NeurosimInputError: the projection was described with a delay for each of no synapses.
    """
    if len(present.delay):
        return generator.choice(present.delay, count)
    known = not _has_delay_each(projection) or count == 0
    require(known, label, "must be set, for no synapse has one to draw from", None)
    return draw(projection.delay, key, first=0, count=count, name=f"{projection}.delay")


def _check_rewiring(
    projection: Projection, present: Connections, rule: StructuralRule, probes: Sequence[Probe]
) -> None:
    """Raise where a projection cannot be rewired by a rule."""
    require(isinstance(rule, StructuralRule), "Simulation.rewire.rule", "must be a structural rule", rule)
    is_model = isinstance(projection.plasticity, SynapseModel)
    rule_of_model = "must be no model of equations, whose variables new synapses lack"
    require(not is_model, f"{projection}.plasticity", rule_of_model, type(projection.plasticity).__name__)
    is_sampled = any(probe.population == projection.name for probe in probes)
    no_probe = "must have no probe, which numbers its synapses"
    require(not is_sampled, "Simulation.rewire.projection", no_probe, projection.name)
    delays = len(np.unique(present.delay))
    allowed = delays <= 1 or not is_plastic(projection)
    require(allowed, f"{projection}.delay", "must be one to rewire synapses that learn or transmit by chance", delays)


def _with(owner: T, values: Mapping[str, Setting], name: str, left_out: tuple[str, ...]) -> T:
    known = {entry.name: entry for entry in fields(owner) if entry.name not in left_out}  # type: ignore[arg-type]
    for parameter in values:
        lookup(known, parameter, f"{name}: parameter")
    _check(values, name)
    return replace(owner, **values)  # type: ignore[type-var]


def _check(values: Mapping[str, Setting], name: str) -> None:
    for parameter, value in values.items():
        valid = value is None or np.asarray(value).dtype.kind in "biuf"
        require(valid, f"{name}.{parameter}", "must be a number or an array of numbers", f"{value!r:.60}")
