"""Networks: populations, projections and stimuli. Description and validation; `neurosim.engine` runs them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, lookup, require
from ..base.shown import Shown, counted, html_table
from ..base.values import Distribution
from .edges import Activation, Edges
from .neurons.base import Neuron
from .population import Model, Population
from .projection import WEIGHTS, Link, Projection
from .stimuli import Current, GapJunctions, PoissonInput, PoissonSource, StepCurrent, check_rate_size
from .synapses.patterns import FromList
from .windowed import Windowed

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
            _check_pattern(projection, source, target)
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
        return f"Network({counted(units, 'unit')}; {counts})"

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
            _check_pattern(stimulus, self.population(stimulus.source), self.population(stimulus.target))

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


def _check_pattern(owner: Projection | GapJunctions, source: Population, target: Population) -> None:
    """Raise `NeurosimInputError`, which names the owner of the pattern, where it cannot connect these two."""
    try:
        owner.pattern.check(source.side, target.side, source is target)
    except NeurosimInputError as error:
        raise NeurosimInputError(f"{owner}.pattern: {error}") from None


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
