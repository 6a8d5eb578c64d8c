"""Networks: populations, projections and stimuli. Description and validation; `neurosim.engine` runs them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_integer, lookup, require
from ..base.values import Distribution, Value, check_value
from .neurons.base import LATER, Neuron
from .neurons.by_unit import varied
from .plasticity.base import LearningRule
from .plasticity.homeostasis import Homeostasis
from .plasticity.short_term import ShortTermPlasticity
from .stimuli import Current, GapJunctions, PoissonInput, PoissonSource, SpikeSource, check_rate_size
from .synapses.base import Pattern, Side
from .synapses.patterns import Convolution
from .windowed import Windowed

# Units are stored in 32 bits.
MAX_UNITS = 2**31 - 1


Model: TypeAlias = "Neuron | SpikeSource | PoissonSource | Windowed"
SOURCES = {"SpikeSource": SpikeSource, "PoissonSource": PoissonSource}


@final
@dataclass(frozen=True, eq=False)
class Population:
    """Units of one model.

    Attributes:
        name: by which projections, stimuli and results refer to it.
        shape: units along each dimension, or their number.
        model: a neuron, `SpikeSource()`, `PoissonSource(rate)`, or `Windowed(model, window)`.
        initial: initial values that differ from those of the neuron, by state variable: a number, a vector [size] or
            a distribution.
        positions: [size, dimensions], for distance-dependent patterns; None means grid coordinates.

    Raises:
        NeurosimInputError: on construction, naming the population and its attribute.
    """

    name: str
    shape: tuple[int, ...]
    model: Model
    initial: Mapping[str, Value] = field(default_factory=dict)
    positions: NDArray | None = None

    if TYPE_CHECKING:  # a number of units is taken too, and kept as a shape

        def __init__(
            self,
            name: str,
            shape: int | Sequence[int],
            model: Model,
            initial: Mapping[str, Value] = ...,
            positions: NDArray | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name != "", "Population.name", "must be a name", repr(self.name))
        thing = f"Population[{self.name!r}]"
        if isinstance(self.shape, (Sequence, np.ndarray)):
            shape = tuple(self.shape)
        else:
            shape = (self.shape,)
        whole = all(is_integer(n) and n > 0 for n in shape) and shape
        require(bool(whole), f"{thing}.shape", "must be integers > 0", self.shape)
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        require(self.size <= MAX_UNITS, f"{thing}.shape", f"must unfold to <= {MAX_UNITS} units", self.size)
        models = (Neuron, SpikeSource, PoissonSource, Windowed)
        require(isinstance(self.model, models), f"{thing}.model", "must be a neuron, a source or Windowed", self.model)
        if isinstance(self.model, Windowed):
            units = self.model.model.outputs
            rule = f"must unfold to the {units} units of its {type(self.model.model).__name__}"
            require(self.size == units, f"{thing}.shape", rule, self.size)
        if isinstance(self.model, Neuron):
            for name, values in varied(self.model).items():
                if isinstance(values, Distribution):
                    held = self.size
                else:
                    held = values.size
                rule = f"must hold {self.size} values, one a unit"
                require(held == self.size, f"{thing}.model.{name}", rule, held)
        if isinstance(self.model, PoissonSource):
            check_rate_size(self.model, f"{thing}.model", self.size)
        self._check_initial(thing)
        if self.positions is not None:
            at = np.asarray(self.positions, np.float64)
            require(
                at.ndim == 2 and len(at) == self.size, f"{thing}.positions", f"must be [{self.size}, dims]", at.shape
            )
            require(bool(np.isfinite(at).all()), f"{thing}.positions", "must be finite", "NaN or infinity")

    def _check_initial(self, thing: str) -> None:
        if isinstance(self.model, Neuron):
            states = self.model.state
        else:
            states = ()
        require(isinstance(self.initial, Mapping), f"{thing}.initial", "must be a mapping by name", self.initial)
        for name, value in self.initial.items():
            lookup(dict.fromkeys(states), name, f"{thing}.initial")
            check_value(value, f"{thing}.initial[{name!r}]")
            if not isinstance(value, Distribution) and np.ndim(value) == 1:
                held = np.size(value)
                require(held == self.size, f"{thing}.initial[{name!r}]", f"must hold {self.size} values", held)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def side(self) -> Side:
        return Side(self.shape, self.positions)


@final
@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population to another.

    Attributes:
        source, target: names of populations; the target's model must be a neuron.
        pattern: which units are connected.
        weight: a number, a distribution, or a vector in the pattern's order; in the unit of the target's receptor.
        delay: s, the same choices; rounded to steps of the clock, at least one.
        receptor: which input of the target; None means its first.
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

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        require(isinstance(self.pattern, Pattern), f"{self}.pattern", "must be a connection pattern", self.pattern)
        check_value(self.weight, f"{self}.weight")
        check_value(self.delay, f"{self}.delay")
        if not isinstance(self.delay, Distribution):
            require(
                np.min(self.delay, initial=1.0) > 0, f"{self}.delay", "must be > 0 s", np.min(self.delay, initial=1.0)
            )
        rules = (
            ("plasticity", LearningRule, "a learning rule"),
            ("short_term", ShortTermPlasticity, "a ShortTermPlasticity"),
            ("homeostasis", Homeostasis, "a rule of homeostasis"),
        )
        for name, kind, what in rules:
            value = getattr(self, name)
            require(value is None or isinstance(value, kind), f"{self}.{name}", f"must be {what} or None", value)
        for name in ("dendritic_delay_fraction", "p_transmit"):
            share = getattr(self, name)
            valid = isinstance(share, (int, float, np.number)) and 0 <= share <= 1
            require(bool(valid), f"{self}.{name}", "must be a number from 0 to 1", share)
        alone = self.plasticity is None or self.p_transmit == 1
        require(alone, f"{self}.p_transmit", "must be 1 together with a learning rule", self.p_transmit)
        if not isinstance(self.weight, Distribution) and not isinstance(self.pattern, Convolution):
            self.check_bounds(np.atleast_1d(self.weight))

    @property
    def learns(self) -> bool:
        """Return whether its weights change while the network runs."""
        return self.plasticity is not None or self.homeostasis is not None

    def check_bounds(self, weights: NDArray) -> None:
        """Raise `NeurosimInputError` where a plastic projection would start with weights beyond its rule's bounds."""
        rule = self.plasticity
        if rule is not None:
            bad = weights[(weights < rule.w_min) | (weights > rule.w_max)]
            span = f"[{rule.w_min:g}, {rule.w_max:g}] of its {type(rule).__name__}"
            require(bad.size == 0, f"{self}.weight", f"must lie in {span}", bad[0] if bad.size else None)

    def __str__(self) -> str:
        return f"Projection[{self.name!r}]"


@final
@dataclass(frozen=True, eq=False)
class Link:
    """Spikes of a population as the input of a windowed one: unit i of the source is input `offset + i` of a receptor.

    Attributes:
        source, target: names of populations; the target's model must be `Windowed`.
        receptor: which input of the target; None means its first.
        offset: the input that unit 0 of the source is; links to one receptor may share inputs.
        name: unique in the network; None means "source->target".
    """

    source: str
    target: str
    receptor: str | None = None
    offset: int = 0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        valid = is_integer(self.offset) and self.offset >= 0
        require(valid, f"{self}.offset", "must be an integer >= 0", self.offset)

    def __str__(self) -> str:
        return f"Link[{self.name!r}]"


Named = TypeVar("Named", bound="Population | Projection | PoissonInput | Current | Link")


@final
@dataclass(frozen=True, eq=False)
class Network:
    """Populations, projections, stimuli and links. The order in which they are listed has no effect on any result.

    Projections and stimuli end on neurons, links on windowed populations.

    Raises:
        NeurosimInputError: on construction: a name used twice or unknown, a receptor the target lacks, a pattern
            that does not fit its populations, a source wider than its receptor, links that form a circle.
    """

    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    stimuli: Sequence[PoissonInput | Current] = ()
    links: Sequence[Link] = ()

    def __post_init__(self) -> None:
        listed: tuple[tuple[type, ...], ...] = ((Population,), (Projection,), (PoissonInput, Current), (Link,))
        for entry, kinds in zip(fields(self), listed, strict=True):
            # By name: sums of inputs are then made in one order, however the network was put together.
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
        for stimulus in self.stimuli:
            self._check_stimulus(stimulus)
        for link in self.links:
            self.link_receptor(link)
        self._check_teachers()

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of each population, by name."""
        return {population.name: number for number, population in enumerate(self.populations)}

    def population(self, name: str, what: str = "Network.population") -> Population:
        """Return the population of this name; `what` stands in the error."""
        return self.populations[lookup(self.numbers, name, what)]

    def windowed(self) -> tuple[Population, ...]:
        """Return the windowed populations, each after those that its links start from.

        Raises:
            NeurosimInputError: links between windowed populations form a circle.
        """
        left = {p.name: p for p in self.populations if isinstance(p.model, Windowed)}
        ordered: list[Population] = []
        while left:
            fed = {link.target for link in self.links if link.source in left}
            ready = [p for name, p in left.items() if name not in fed]
            if not ready:
                raise NeurosimInputError(
                    f"Network.links: must form no circle (got one through {', '.join(sorted(left))}); a code may act "
                    "on the next window through a projection to neurons"
                )
            ordered += ready
            left = {name: p for name, p in left.items() if name in fed}
        return tuple(ordered)

    def with_learned(self, learned: Mapping[str, Mapping[str, NDArray]], *, learn: bool) -> Network:
        """Return the network with windowed populations that start from what they have learned.

        Args:
            learned: `Result.learned`; a population that is not in it starts as in this network.
            learn: whether populations that learn in this network go on learning.

        Raises:
            NeurosimInputError: a name that is not that of a windowed population.
        """
        windowed = {p.name: p.model for p in self.populations if isinstance(p.model, Windowed)}
        for name in learned:
            lookup(windowed, name, "Network.with_learned.learned")
        models = {
            name: replace(model, learn=model.learn and learn, learned=learned.get(name, model.learned))
            for name, model in windowed.items()
        }
        return replace(self, populations=[replace(p, model=models.get(p.name, p.model)) for p in self.populations])

    def _check_teachers(self) -> None:
        """Raise `NeurosimInputError` for a model that learns from a receptor that no link ends on."""
        linked = {(link.target, self.link_receptor(link)) for link in self.links}
        for population in self.windowed():
            assert isinstance(population.model, Windowed)
            for receptor in population.model.model.teachers if population.model.learn else ():
                if (population.name, receptor) not in linked:
                    raise NeurosimInputError(
                        f"Population[{population.name!r}].model: learns from its receptor '{receptor}', on which no "
                        "link ends; link a population to it, or set Windowed.learn to false"
                    )

    def link_receptor(self, link: Link) -> str:
        """Return the name of the receptor that a link ends on.

        Raises:
            NeurosimInputError: an unknown population or receptor, a target that is not windowed, a source too wide.
        """
        source = self.population(link.source, f"{link}.source")
        model = self.population(link.target, f"{link}.target").model
        if not isinstance(model, Windowed):
            raise NeurosimInputError(
                f"{link}.target: must be a windowed population (got {type(model).__name__}); use a Projection"
            )
        receptors = model.model.receptors
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
        """Return the row of the inputs of the target that a projection or stimulus adds to."""
        model = self.population(projection.target, f"{projection}.target").model
        if not isinstance(model, Neuron):
            if isinstance(model, Windowed):
                got = "a windowed one"
            else:
                got = "a source"
            hint = "; use a Link" if isinstance(model, Windowed) else ""
            raise NeurosimInputError(
                f"{projection}.target: must be a population of neurons (got {got}, '{projection.target}'){hint}"
            )
        if projection.receptor is None:
            return 0
        rows = {name: row for row, name in enumerate(model.receptors)}
        return lookup(rows, projection.receptor, f"{projection}.receptor")

    def _check_stimulus(self, stimulus: PoissonInput | Current) -> None:
        size = self.population(stimulus.target, f"{stimulus}.target").size
        if isinstance(stimulus, PoissonInput):
            self.receptor(stimulus)
            self._check_sign(stimulus)
            check_rate_size(stimulus, str(stimulus), size)
            return
        ends = ("target", "source") if isinstance(stimulus, GapJunctions) else ("target",)
        for end in ends:
            model = self.population(getattr(stimulus, end), f"{stimulus}.{end}").model
            kind = type(model).__name__
            takes = "must be of neurons with a parameter i_offset, to which it adds"
            acts = isinstance(model, Neuron) and any(f.name == "i_offset" for f in fields(model))  # type: ignore[arg-type]
            require(acts, f"{stimulus}.{end}", takes, kind)
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
        least = np.min(projection.weight, initial=0.0)
        kind = type(model).__name__
        require(
            receptor not in model.positive or least >= 0, f"{projection}.weight", f"must be >= 0 S for {kind}", least
        )


def _by_name(name: str, items: Sequence[Named], kinds: tuple[type, ...]) -> tuple[Named, ...]:
    if isinstance(items, Iterable):
        listed = tuple(items)
    else:
        listed = (items,)
    for item in listed:
        require(isinstance(item, kinds), name, f"must be a list of {' or '.join(k.__name__ for k in kinds)}", item)
    ordered = tuple(sorted(listed, key=lambda item: item.name or ""))
    for a, b in itertools.pairwise(ordered):
        if a.name == b.name:
            raise NeurosimInputError(f"Network: two {type(a).__name__}s are named '{a.name}'; give one another name")
    return ordered
