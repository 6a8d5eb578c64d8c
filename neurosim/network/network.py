"""Networks: populations, projections and stimuli. Description and validation; `neurosim.engine` runs them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_integer, lookup, require
from ..base.shown import Shown, html_table, inflect
from ..base.values import Distribution, Value, check_value
from .edges import Activation, Edges
from .neurons.base import LATER, Neuron
from .neurons.by_unit import varied
from .plasticity.base import LearningRule
from .plasticity.homeostasis import Homeostasis
from .plasticity.short_term import ShortTermPlasticity
from .plasticity.synapse import SynapseModel
from .stimuli import Current, GapJunctions, PoissonInput, PoissonSource, SpikeSource, StepCurrent, check_rate_size
from .synapses.base import Pattern, Side
from .synapses.convolution import Convolution
from .synapses.patterns import FromList
from .windowed import Windowed

# Array of a projection in `Result.learned`.
WEIGHTS = "weights"
# Units are stored in 32 bits.
MAX_UNITS = 2**31 - 1


Model: TypeAlias = "Neuron | SpikeSource | PoissonSource | Windowed"
SOURCES = {"SpikeSource": SpikeSource, "PoissonSource": PoissonSource}


@final
@dataclass(frozen=True, eq=False)
class Population(Shown):
    """Units of one model. It may be copied and pickled.

    Attributes:
        name: name in projections, stimuli and results.
        shape: units along each dimension, or their number.
        model: a neuron, `SpikeSource()`, `PoissonSource(rate)`, or `Windowed(model, window)`.
        initial: initial values that differ from the neuron's, by state variable: a number, a vector [size] or
            a distribution.
        positions: [size, dimensions], for distance-dependent patterns; None means grid coordinates.

    Raises:
        NeurosimInputError: on construction, naming the population and its attribute.
    """

    name: str
    shape: tuple[int, ...]
    model: Model
    initial: Mapping[str, Value] = field(default_factory=dict)
    positions: NDArray[Any] | None = None

    if TYPE_CHECKING:  # a number of units is accepted too; the attribute is always a tuple

        def __init__(
            self,
            name: str,
            shape: int | Sequence[int],
            model: Model,
            initial: Mapping[str, Value] = ...,
            positions: NDArray[Any] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name != "", "Population.name", "must be a name", repr(self.name))
        label = f"Population[{self.name!r}]"
        if isinstance(self.shape, (Sequence, np.ndarray)):
            shape = tuple(self.shape)
        else:
            shape = (self.shape,)
        fits = len(shape) > 0 and all(is_integer(n) and n > 0 for n in shape)
        require(fits, f"{label}.shape", "must be integers > 0", self.shape)
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        require(self.size <= MAX_UNITS, f"{label}.shape", f"must unfold to <= {MAX_UNITS} units", self.size)
        models = (Neuron, SpikeSource, PoissonSource, Windowed)
        require(isinstance(self.model, models), f"{label}.model", "must be a neuron, a source or Windowed", self.model)
        if isinstance(self.model, Windowed):
            units = self.model.outputs
            rule = f"must unfold to the {units} units of its {type(self.model.model).__name__}"
            require(self.size == units, f"{label}.shape", rule, self.size)
        if isinstance(self.model, Neuron):
            for name, values in varied(self.model).items():
                # A distribution is drawn for each unit later.
                if isinstance(values, np.ndarray):
                    rule = f"must hold {self.size} values, one a unit"
                    require(values.size == self.size, f"{label}.model.{name}", rule, values.size)
        if isinstance(self.model, PoissonSource):
            check_rate_size(self.model, f"{label}.model", self.size)
        self._check_initial(label)
        if self.positions is not None:
            positions = np.asarray(self.positions, np.float64)
            fits = positions.ndim == 2 and len(positions) == self.size
            require(fits, f"{label}.positions", f"must be [{self.size}, dims]", positions.shape)
            require(bool(np.isfinite(positions).all()), f"{label}.positions", "must be finite", "NaN or infinity")

    def _check_initial(self, label: str) -> None:
        if isinstance(self.model, Neuron):
            states = self.model.state
        else:
            states = ()
        require(isinstance(self.initial, Mapping), f"{label}.initial", "must be a mapping by name", self.initial)
        for name, value in self.initial.items():
            lookup(dict.fromkeys(states), name, f"{label}.initial")
            check_value(value, f"{label}.initial[{name!r}]")
            if not isinstance(value, Distribution) and np.ndim(value) == 1:
                count = np.size(value)
                require(count == self.size, f"{label}.initial[{name!r}]", f"must hold {self.size} values", count)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def side(self) -> Side:
        return Side(self.shape, self.positions)


@final
@dataclass(frozen=True, eq=False)
class Projection(Shown):
    """Synapses from one population to another. It may be copied and pickled.

    Attributes:
        source, target: names of populations; the target's model must be a neuron.
        pattern: rule of the pairs of units that are connected.
        weight: a number, a distribution, or a vector in the pattern's order; in the unit of the target's receptor.
        delay: s, the same choices; rounded to steps of the clock, at least one.
        receptor: name of an input of the target; None means its first.
        name: unique in the network; None means "source->target".
        plasticity: the learning rule of the weights, which must all be in [w_min, w_max] at the start; None: they stay.
        short_term: short-term plasticity: recent spikes of a source change what its next one delivers; None means none.
        dendritic_delay_fraction: part of the delay that lies between synapse and soma, as in PyNN, for the learning
            rule: with delay d and fraction f, spikes at t_pre and t_post count as t_post - t_pre - (1 - 2f) d apart.
            0: all of the delay is axonal; 1: dendritic, as NEST has it. A spike of the source changes the weight when
            it arrives at the soma, one of the target 2 f d after it was fired, rounded to steps.
        p_transmit: probability that a synapse transmits a spike, drawn for each spike and synapse, as NEST's
            bernoulli_synapse; not together with a learning rule.
        homeostasis: `SynapticScaling` or `WeightNormalisation` of the weights, beside the learning rule or alone.
        keep: whether weights that the rules changed pass from one recording of a batch to the next, which then run one
            after the other, in order; traces, eligibility and reward start anew. Not of synapses from equations.
        learn: whether the rules change weights at all.
        learned: [synapses] weights to start from in place of `weight`, by source, then target: an entry of
            `Result.weights`, or "weights" of an entry of `Result.learned`.

    Raises:
        NeurosimInputError: on construction, naming the projection and its attribute.
    """

    source: str
    target: str
    pattern: Pattern
    weight: Value
    delay: Value = 1e-3
    receptor: str | None = None
    name: str | None = None
    plasticity: LearningRule | None = None
    short_term: ShortTermPlasticity | None = None
    dendritic_delay_fraction: float = field(default=0.0, metadata=LATER)
    p_transmit: float = field(default=1.0, metadata=LATER)
    homeostasis: Homeostasis | None = field(default=None, metadata=LATER)
    keep: bool = field(default=False, metadata=LATER)
    learn: bool = field(default=True, metadata=LATER)
    learned: NDArray[Any] | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        require(isinstance(self.pattern, Pattern), f"{self}.pattern", "must be a connection pattern", self.pattern)
        check_value(self.weight, f"{self}.weight")
        check_value(self.delay, f"{self}.delay")
        if not isinstance(self.delay, Distribution):
            shortest = np.min(self.delay, initial=1.0)
            require(shortest > 0, f"{self}.delay", "must be > 0 s", shortest)
        rules = (
            ("plasticity", LearningRule, "a learning rule"),
            ("short_term", ShortTermPlasticity, "a ShortTermPlasticity"),
            ("homeostasis", Homeostasis, "a rule of homeostasis"),
        )
        for name, kind, noun in rules:
            value = getattr(self, name)
            require(value is None or isinstance(value, kind), f"{self}.{name}", f"must be {noun} or None", value)
        for name in ("dendritic_delay_fraction", "p_transmit"):
            share = getattr(self, name)
            valid = isinstance(share, (int, float, np.number)) and 0 <= share <= 1
            require(bool(valid), f"{self}.{name}", "must be a number from 0 to 1", share)
        compatible = self.plasticity is None or self.p_transmit == 1
        require(compatible, f"{self}.p_transmit", "must be 1 together with a learning rule", self.p_transmit)
        if self.short_term is not None and self.short_term.sites:
            name = f"{self}.short_term.sites"
            alone = self.plasticity is None and self.p_transmit == 1
            require(alone, name, "must be 0 beside a learning rule or p_transmit < 1", self.short_term.sites)
        # Weights that are drawn, or multiplied by a kernel, are known and checked only when they are compiled.
        if not isinstance(self.weight, Distribution) and not isinstance(self.pattern, Convolution):
            self.check_bounds(np.atleast_1d(self.weight))
        self._check_learned()

    @property
    def has_rule(self) -> bool:
        """Return whether it has a rule that changes its weights."""
        return self.plasticity is not None or self.homeostasis is not None

    @property
    def learns(self) -> bool:
        """Return whether its weights change while the network runs."""
        return self.learn and self.has_rule

    def _check_learned(self) -> None:
        """Check `keep`, `learn` and `learned`, which only rules of weights can have."""
        for name in ("keep", "learn"):
            require(
                isinstance(getattr(self, name), bool), f"{self}.{name}", "must be true or false", getattr(self, name)
            )
        plain = not self.keep and self.learn and self.learned is None
        if plain:
            return
        rule = "needs a learning rule or homeostasis, and not synapses from equations"
        good = self.has_rule and not isinstance(self.plasticity, SynapseModel)
        require(good, f"{self}.keep, learn or learned", rule, type(self.plasticity).__name__)
        if self.learned is None:
            return
        weights = np.array(self.learned)
        finite = weights.ndim == 1 and weights.dtype.kind in "iuf" and bool(np.isfinite(weights).all())
        require(finite, f"{self}.learned", "must be finite numbers [synapses]", weights.shape)
        if self.plasticity is not None:
            # A weight at its bound that was rounded to float32 may lie a little beyond it.
            close = weights.astype(np.float32)
            low = np.float32(self.plasticity.w_min)
            high = np.float32(self.plasticity.w_max)
            self.check_bounds(weights[(close < low) | (close > high)])
        object.__setattr__(self, "learned", weights)

    def check_bounds(self, weights: NDArray[Any]) -> None:
        """Raise `NeurosimInputError` where a plastic projection would start with weights beyond its rule's bounds."""
        rule = self.plasticity
        if rule is None:
            return
        outside = weights[(weights < rule.w_min) | (weights > rule.w_max)]
        if outside.size:
            span = f"[{rule.w_min:g}, {rule.w_max:g}] of its {type(rule).__name__}"
            require(False, f"{self}.weight", f"must lie in {span}", outside[0])

    def __str__(self) -> str:
        return f"Projection[{self.name!r}]"


@final
@dataclass(frozen=True, eq=False)
class Link:
    """Spikes of a population as the input of a windowed one: unit i of the source is input `offset + i` of a receptor.

    Attributes:
        source, target: names of populations; the target's model must be `Windowed`.
        receptor: name of an input of the target; None means its first.
        offset: index of the input that unit 0 of the source feeds; links to one receptor may share inputs.
        name: unique in the network; None means "source->target".
        delayed: whether the codes of a windowed source reach the window that begins when they end, in place of the one
            that ends with them. Such links may form circles: columns that see each other, a column that sees itself.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    source: str
    target: str
    receptor: str | None = None
    offset: int = 0
    name: str | None = None
    delayed: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        valid = is_integer(self.offset) and self.offset >= 0
        require(valid, f"{self}.offset", "must be an integer >= 0", self.offset)
        require(isinstance(self.delayed, bool), f"{self}.delayed", "must be true or false", self.delayed)

    def __str__(self) -> str:
        return f"Link[{self.name!r}]"


Named = TypeVar("Named", bound="Population | Projection | PoissonInput | Current | Link")


@final
@dataclass(frozen=True, eq=False)
class Network(Shown):
    """Populations, projections, stimuli and links. The order in which they are listed has no effect on any result.

    It may be copied and pickled.

    Projections and stimuli end on neurons, links on windowed populations.

    Raises:
        NeurosimInputError: on construction: a name used twice or unknown, a receptor the target lacks, a pattern
            that does not fit its populations, a source wider than its receptor, links that form a circle and of which
            none is delayed, a projection that keeps weights and has the name of a windowed population.
    """

    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    stimuli: Sequence[PoissonInput | Current] = ()
    links: Sequence[Link] = ()

    def __post_init__(self) -> None:
        types: tuple[tuple[type, ...], ...] = ((Population,), (Projection,), (PoissonInput, Current), (Link,))
        for entry, kinds in zip(fields(self), types, strict=True):
            # By name: inputs are then summed in one order, however the network was put together.
            ordered = _by_name(f"Network.{entry.name}", getattr(self, entry.name), kinds)
            object.__setattr__(self, entry.name, ordered)
        require(len(self.populations) > 0, "Network.populations", "needs at least one", 0)
        for projection in self.projections:
            source = self.population(projection.source, f"{projection}.source")
            target = self.population(projection.target, f"{projection}.target")
            self.receptor(projection)
            projection.pattern.check(source.side, target.side, source is target)
            if projection.plasticity:
                modulation = projection.plasticity.terms().modulation
            else:
                modulation = None
            if modulation is not None:
                self.population(modulation.population, f"{projection}.plasticity.reward")
            self._check_sign(projection)
            if projection.keep:
                windowed = [each.name for each in self.populations if isinstance(each.model, Windowed)]
                rule = "must not be that of a windowed population, as both keep what they learn"
                require(projection.name not in windowed, f"{projection}.name", rule, projection.name)
        for stimulus in self.stimuli:
            self._check_stimulus(stimulus)
        for link in self.links:
            self.link_receptor(link)
        self._check_teachers()

    @classmethod
    def from_edges(
        cls,
        edges: Edges,
        model: Neuron,
        *,
        activate: Sequence[Activation] = (),
        receptor: str | None = None,
    ) -> Network:
        """Return the network of a table of edges: a population "neurons", whose unit k is the neuron `edges.ids[k]`.

        Args:
            edges: of `read_edges`, or of arrays by `Edges.between`.
            model: of all neurons.
            activate: Poisson spikes and currents into some of them.
            receptor: name of the input of the model that all edges end on; None means its first.

        Raises:
            NeurosimInputError: an unknown neuron or receptor, or a weight or delay that breaks its rule.
        """
        neurons = "neurons"
        populations = [Population(neurons, edges.size, model)]
        pattern = FromList(edges.pre, edges.post)
        projections = [
            Projection(
                neurons, neurons, pattern, weight=edges.weight, delay=edges.delay, receptor=receptor, name="edges"
            )
        ]
        stimuli: list[Current] = []
        for number, each in enumerate(activate):
            units = edges.units(each.neurons)
            name = f"activation {number}"
            if each.rate > 0:
                # Sources of their own cost what is active, and a Poisson input would be drawn for all neurons.
                populations.append(Population(name, len(units), PoissonSource(each.rate)))
                one_each = FromList(np.arange(len(units)), units)
                delay = float(np.min(edges.delay, initial=np.inf))
                if not math.isfinite(delay):
                    delay = 1e-3
                projections.append(
                    Projection(name, neurons, one_each, weight=each.weight, delay=delay, receptor=each.receptor)
                )
            if each.current:
                current = np.array([each.current])
                stimuli.append(StepCurrent(neurons, np.zeros(1), current, name=name, units=units))
        return cls(populations, projections, stimuli)

    def __repr__(self) -> str:
        names = {"population": "populations", "projection": "projections", "stimulus": "stimuli", "link": "links"}
        parts = {one: len(getattr(self, many)) for one, many in names.items()}
        units = sum(population.size for population in self.populations)
        counts = ", ".join(f"{n:,} {one if n == 1 else names[one]}" for one, n in parts.items() if n)
        return f"Network({units:,} {inflect(units, 'unit')}; {counts})"

    def _repr_html_(self) -> str:
        """Return tables of the populations by name, and of the projections."""
        models = {p.name: f"{p.size:,} x {type(p.model).__name__}" for p in self.populations}
        edges = {str(p.name): f"{p.pattern!r}" for p in self.projections}
        return html_table(repr(self), {"populations": models, "projections": edges})

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Return the number of each population, by name."""
        return {population.name: number for number, population in enumerate(self.populations)}

    def population(self, name: str, what: str = "Network.population") -> Population:
        """Return the population of this name; `what` stands in the error.

        Raises:
            NeurosimInputError: no such population.
        """
        return self.populations[lookup(self.numbers, name, what)]

    def windowed(self) -> dict[str, Windowed]:
        """Return the models of windowed populations by name, each after those that its links start from.

        Delayed links do not count.

        Raises:
            NeurosimInputError: links between windowed populations form a circle.
        """
        # Topological order: take the populations that no remaining one feeds, until none remains.
        remaining = {p.name: p.model for p in self.populations if isinstance(p.model, Windowed)}
        ordered: dict[str, Windowed] = {}
        while remaining:
            fed = {link.target for link in self.links if link.source in remaining and not link.delayed}
            ready = {name: model for name, model in remaining.items() if name not in fed}
            if not ready:
                raise NeurosimInputError(
                    f"Network.links: must form no circle (got one through {', '.join(sorted(remaining))}); a link "
                    "with delayed = true brings codes to the next window"
                )
            ordered |= ready
            remaining = {name: model for name, model in remaining.items() if name in fed}
        return ordered

    def with_learned(self, learned: Mapping[str, Mapping[str, NDArray[Any]]], *, learn: bool) -> Network:
        """Return the network with windowed populations and projections that start from learned state.

        Args:
            learned: `Result.learned`; what is not in it starts as in this network.
            learn: whether populations and projections that learn and keep it in this network go on learning.

        Raises:
            NeurosimInputError: a name that no windowed population has, and no projection that keeps weights.
        """
        windowed = {p.name: p.model for p in self.populations if isinstance(p.model, Windowed)}
        kept = [p for p in self.projections if p.keep]
        for name in learned:
            lookup({**windowed, **{str(p.name): p for p in kept}}, name, "Network.with_learned.learned")
        models: dict[str, Model] = {}
        for name, model in windowed.items():
            state = learned.get(name, model.learned)
            models[name] = replace(model, learn=model.learn and learn, learned=state)
        populations = [replace(p, model=models.get(p.name, p.model)) for p in self.populations]
        projections = [p for p in self.projections if not p.keep]
        for p in kept:
            weights = learned.get(str(p.name), {}).get(WEIGHTS, p.learned)
            projections.append(replace(p, learned=weights, learn=p.learn and learn))
        return replace(self, populations=populations, projections=projections)

    def _check_teachers(self) -> None:
        """Raise `NeurosimInputError` for a model that learns from a receptor that no link ends on."""
        linked = {(link.target, self.link_receptor(link)) for link in self.links}
        for name, windowed in self.windowed().items():
            if not windowed.learn:
                continue
            for receptor in windowed.model.teachers:
                if (name, receptor) not in linked:
                    raise NeurosimInputError(
                        f"Population[{name!r}].model: learns from its receptor '{receptor}', on which no "
                        "link ends; link a population to it, or set Windowed.learn to false"
                    )

    def link_receptor(self, link: Link) -> str:
        """Return the name of the receptor that a link ends on.

        Raises:
            NeurosimInputError: an unknown population or receptor, a target that is not windowed, a source too wide, a
                delayed link from a population without windows.
        """
        source = self.population(link.source, f"{link}.source")
        if link.delayed:
            rule = "must be false for a source without windows, whose spikes belong to the window of their step"
            require(isinstance(source.model, Windowed), f"{link}.delayed", rule, link.delayed)
        model = self.population(link.target, f"{link}.target").model
        if not isinstance(model, Windowed):
            raise NeurosimInputError(
                f"{link}.target: must be a windowed population (got {type(model).__name__}); use a Projection"
            )
        receptors = model.model.receptors
        # The first receptor of a model is its main input.
        if link.receptor is None:
            name = next(iter(receptors))
        else:
            name = link.receptor
        inputs = lookup(dict(receptors), name, f"{link}.receptor")
        rule = f"must fit into the {inputs} inputs of '{name}' of its {type(model.model).__name__}"
        last = link.offset + source.size
        require(last <= inputs, f"{link}.offset + units of '{link.source}'", rule, last)
        return name

    def receptor(self, projection: Projection | PoissonInput) -> int:
        """Return the row of the inputs of the target that a projection or stimulus adds to.

        Raises:
            NeurosimInputError: a target that is no population of neurons, or a receptor that it lacks.
        """
        model = self.population(projection.target, f"{projection}.target").model
        if not isinstance(model, Neuron):
            if isinstance(model, Windowed):
                got = "a windowed one"
                hint = "; use a Link"
            else:
                got = "a source"
                hint = ""
            raise NeurosimInputError(
                f"{projection}.target: must be a population of neurons (got {got}, '{projection.target}'){hint}"
            )
        if projection.receptor is None:
            return 0
        rows = {name: row for row, name in enumerate(model.receptors)}
        return lookup(rows, projection.receptor, f"{projection}.receptor")

    def _check_stimulus(self, stimulus: PoissonInput | Current) -> None:
        """Check that a stimulus ends on neurons that can take it, and that its values fit their number."""
        size = self.population(stimulus.target, f"{stimulus}.target").size
        if isinstance(stimulus, PoissonInput):
            self.receptor(stimulus)
            self._check_sign(stimulus)
            check_rate_size(stimulus, str(stimulus), size)
            return
        ends = ("target", "source") if isinstance(stimulus, GapJunctions) else ("target",)
        for end in ends:
            model = self.population(getattr(stimulus, end), f"{stimulus}.{end}").model
            rule = "must be of neurons with a parameter i_offset, to which it adds"
            takes_current = isinstance(model, Neuron) and any(f.name == "i_offset" for f in fields(model))  # type: ignore[arg-type]
            require(takes_current, f"{stimulus}.{end}", rule, type(model).__name__)
        stimulus.check_size(size)
        if isinstance(stimulus, GapJunctions):
            source = self.population(stimulus.source).side
            target = self.population(stimulus.target).side
            stimulus.pattern.check(source, target, stimulus.source == stimulus.target)

    def _check_sign(self, projection: Projection | PoissonInput) -> None:
        """Raise `NeurosimInputError` for a negative weight on a receptor that takes none."""
        model = self.population(projection.target).model
        if isinstance(projection.weight, Distribution) or not isinstance(model, Neuron) or not model.positive:
            return
        receptor = model.receptors[self.receptor(projection)]
        # Receptors of conductances: a negative one has no meaning.
        lowest = np.min(projection.weight, initial=0.0)
        if receptor in model.positive:
            require(lowest >= 0, f"{projection}.weight", f"must be >= 0 S for {type(model).__name__}", lowest)


def _by_name(name: str, items: Sequence[Named], kinds: tuple[type, ...]) -> tuple[Named, ...]:
    """Return items in order of their names; raise for an item of another type, or two of one name."""
    if isinstance(items, Iterable):
        entries = tuple(items)
    else:
        entries = (items,)
    for item in entries:
        require(isinstance(item, kinds), name, f"must be a list of {' or '.join(k.__name__ for k in kinds)}", item)
    ordered = tuple(sorted(entries, key=lambda item: item.name or ""))
    for a, b in itertools.pairwise(ordered):
        if a.name == b.name:
            raise NeurosimInputError(f"Network: two {type(a).__name__}s are named '{a.name}'; give one another name")
    return ordered
