"""NIR graphs from networks."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.random import rng_key
from ...base.values import Distribution, draw
from ..network import Network
from ..neurons.base import Neuron
from ..neurons.by_unit import drawn
from ..population import Population
from ..projection import Projection
from ..stimuli import Current, PoissonInput, PoissonSource, SpikeSource
from ..synapses.convolution import Convolution
from ..synapses.patterns import OneToOne
from .files import Metadata, Node, library
from .models import metadata, node_of, node_parameters

# Entries of a Linear's matrix, which is dense: 2^27 take 1 GiB.
MAX_ENTRIES = 1 << 27
# Delays that differ within a projection need a Linear for each of them.
MAX_DELAYS = 64


def to_nir(network: Network, dt: float = 1e-3, seed: int = 0) -> Any:
    """Return a network as a `nir.NIRGraph`.

    Populations and projections become nodes of their names; projections become Linear (Conv2d for a convolution, Scale
    for one to one) with the same weights: r and w_in are chosen so that a spike's current of 1, lasting one step `dt`,
    makes the jump. Metadata of the node holds what NIR lacks: refractory period, soft reset, receptor, initial values,
    rates of Poisson sources; the graph's own holds `dt`. Synapses between the same two units are summed.

    Args:
        dt: step of the program that will run the graph, s; delays are rounded to it.
        seed: key of random synapses, parameters and initial values: the graph holds the draws of a run with this seed.

    Raises:
        NeurosimInputError: a neuron model that NIR lacks, plasticity, too many delays in one projection, or a matrix
            that is too large. Names the population or projection.
        NeurosimMissingError: the `nir` package is not installed.
    """
    require(math.isfinite(dt) and dt > 0, "to_nir.dt", "must be > 0 s", dt)
    return _Saver(library(), network, dt, seed).graph()


class _Saver:
    """Collector of the nodes and edges of a graph."""

    def __init__(self, nir: Any, network: Network, dt: float, seed: int) -> None:
        self.nir = nir
        self.network = network
        self.dt = dt
        self.seed = seed
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []

    def graph(self) -> Any:
        from ... import __version__

        for population in self.network.populations:
            self.add(population.name, self.population(population))
        for projection in self.network.projections:
            self.projection(projection)
        for stimulus in self.network.stimuli:
            self.stimulus(stimulus)
        self.outputs()
        about = {"dt": float(self.dt), "program": f"neurosim {__version__}"}
        return self.nir.NIRGraph(self.nodes, self.edges, about, type_check=False)

    def add(self, name: str, node: Any) -> str:
        """Add a node and return its name."""
        require("/" not in name and name != ".", f"to_nir: '{name}'", "must hold no '/', being a name in HDF5", name)
        rule = "must name one thing: populations and projections are nodes"
        require(name not in self.nodes, f"to_nir: '{name}'", rule, 2)
        self.nodes[name] = node
        return name

    def population(self, population: Population) -> Any:
        """Return the node of a population, with what NIR lacks in its metadata."""
        model = population.model
        shape = self.shape(population)
        about: Metadata = {}
        if shape != population.shape:
            about["shape"] = np.array(population.shape)
        if isinstance(model, PoissonSource):
            about |= {"model": "PoissonSource", "rate": _rate(model, population.name)}
        if isinstance(model, (SpikeSource, PoissonSource)):
            return self.nir.Input({"input": np.array(shape)}, metadata=about)
        model = drawn(model, self.seed, population.name, population.size)
        kind = node_of(model, population.name)
        initial = {f"initial_{name}": self.initial(population, name, v) for name, v in population.initial.items()}
        parameters = node_parameters(model, self.dt)
        values = {key: np.broadcast_to(v, population.size).reshape(shape) for key, v in parameters.items()}
        about |= metadata(model) | initial
        # Nodes of some models lack parameters of others: those are in the metadata.
        node = getattr(self.nir, kind)
        known = {f.name for f in fields(node)}
        return node(**{key: value for key, value in values.items() if key in known}, metadata=about)

    def shape(self, population: Population) -> tuple[int, ...]:
        """Return the shape of a population if all its inputs have one too; otherwise flat, as a Linear's output is."""
        projections = [p for p in self.network.projections if p.target == population.name]
        if all(self.has_shape(projection) for projection in projections):
            return population.shape
        return (population.size,)

    def has_shape(self, projection: Projection) -> bool:
        """Return whether the node of a projection puts out a signal of the shape of its target."""
        if isinstance(projection.pattern, Convolution):
            return True
        source, target = self.ends(projection)
        return isinstance(projection.pattern, OneToOne) and source.shape == target.shape and source is not target

    def ends(self, projection: Projection) -> tuple[Population, Population]:
        """Return source and target of a projection."""
        return self.network.population(projection.source), self.network.population(projection.target)

    def initial(self, population: Population, variable: str, value: Any) -> Any:
        """Return initial values as a run with this seed has them."""
        if not isinstance(value, Distribution):
            if np.ndim(value):
                return np.asarray(value, np.float64)
            return float(value)
        return draw(
            value,
            key=rng_key(self.seed, "initial", population.name, variable),
            first=0,
            count=population.size,
            name=variable,
        )

    def projection(self, projection: Projection) -> None:
        """Add the nodes between source and target of a projection.

        Raises:
            NeurosimInputError: plasticity, or a transmission by chance.
        """
        for key in ("plasticity", "short_term"):
            value = getattr(projection, key)
            require(value is None, f"{projection}.{key}", "must be None: NIR has no plasticity", type(value).__name__)
        certain = projection.p_transmit == 1
        require(certain, f"{projection}.p_transmit", "must be 1: NIR has no chance", projection.p_transmit)
        receptor = self.network.receptor(projection)
        about: Metadata = {}
        if receptor and projection.receptor:
            about["receptor"] = projection.receptor
        pattern = projection.pattern
        delay = projection.delay
        if isinstance(pattern, Convolution) and _number(delay) and _number(projection.weight):
            self.chain(projection, str(projection.name), self.conv(projection, pattern, about), float(delay))
        else:
            self.matrices(projection, about)

    def conv(self, projection: Projection, pattern: Convolution, about: Metadata) -> Node:
        """Return the node of a convolution."""
        _, *size = self.network.population(projection.source).shape
        ends = (pattern.stride, pattern.stride), (pattern.padding, pattern.padding)
        weight = pattern.kernel * projection.weight
        bias = np.zeros(len(weight))
        return self.nir.Conv2d(tuple(size), weight, *ends, (1, 1), 1, bias, metadata=about)

    def matrices(self, projection: Projection, about: Metadata) -> None:
        """Add a Linear for each delay; a Scale for one to one."""
        source, target = self.ends(projection)
        pre, post, weights, delays = synapses(self.network, projection, self.dt, self.seed)
        distinct = np.unique(delays)
        rule = f"must take at most {MAX_DELAYS} values in NIR"
        require(len(distinct) <= MAX_DELAYS, f"{projection}.delay", rule, len(distinct))
        is_scale = isinstance(projection.pattern, OneToOne)
        entries = source.size if is_scale else source.size * target.size
        rule = f"must have a matrix of at most {MAX_ENTRIES:,} entries in NIR"
        require(entries <= MAX_ENTRIES, str(projection), rule, entries)
        for steps in distinct:
            part = delays == steps
            if is_scale:
                scale = np.zeros(source.size)
                scale[pre[part]] = weights[part]
                node = self.nir.Scale(scale.reshape(self.shape(source)), metadata=about)
            else:
                matrix = np.zeros((target.size, source.size))
                # Several synapses between two units are summed.
                np.add.at(matrix, (post[part], pre[part]), weights[part])
                node = self.nir.Linear(matrix, metadata=about)
            if len(distinct) == 1:
                name = str(projection.name)
            else:
                name = f"{projection.name}@{steps}"
            self.chain(projection, name, node, int(steps) * self.dt)

    def chain(self, projection: Projection, name: str, node: Any, delay: float) -> None:
        """Add source -> (Delay) -> (Flatten) -> node -> target. Every edge has one step of delay already."""
        source, target = self.ends(projection)
        shape = self.shape(source)
        way = [projection.source]
        # A delay of one step is every edge's own.
        if abs(delay - self.dt) > 1e-9 * self.dt:
            way.append(self.add(f"{name}.delay", self.nir.Delay(np.full(shape, delay))))
        kind = type(node).__name__
        # A matrix takes a vector.
        if kind == "Linear" and len(shape) > 1:
            way.append(self.add(f"{name}.flatten", self.nir.Flatten({"input": np.array(shape)}, 0, -1)))
        way.append(self.add(name, node))
        if kind == "Scale" and len(shape) > 1 and self.shape(target) != shape:
            way.append(self.add(f"{name}.flatten", self.nir.Flatten({"input": np.array(shape)}, 0, -1)))
        way.append(projection.target)
        self.edges += itertools.pairwise(way)

    def stimulus(self, stimulus: PoissonInput | Current) -> None:
        """Add an Input of as many units through a Scale. The file has its rate, but other programs do not read it."""
        if isinstance(stimulus, Current):
            raise NeurosimInputError(f"{stimulus}: NIR has no currents; save the network as TOML instead")
        target = self.network.population(stimulus.target)
        shape = self.shape(target)
        about = {"model": "PoissonInput", "rate": _rate(stimulus, str(stimulus.name))}
        of_weight: Metadata = {}
        if self.network.receptor(stimulus) and stimulus.receptor:
            of_weight["receptor"] = stimulus.receptor
        name = str(stimulus.name)
        self.add(name, self.nir.Input({"input": np.array(shape)}, metadata=about))
        scale = self.nir.Scale(np.full(shape, float(stimulus.weight)), metadata=of_weight)
        self.edges += [(name, self.add(f"{name}.weight", scale)), (f"{name}.weight", stimulus.target)]

    def outputs(self) -> None:
        """Add an Output for each population of neurons without a successor, or for all if each has one."""
        cells = [p for p in self.network.populations if isinstance(p.model, Neuron)]
        passed = {projection.source for projection in self.network.projections}
        # Of a recurrent network no population is the last: then each is an output.
        last = [p for p in cells if p.name not in passed] or cells
        for population in last:
            name = self.add(f"{population.name}.output", self.nir.Output({"output": np.array(self.shape(population))}))
            self.edges.append((population.name, name))


def _number(value: Any) -> TypeGuard[float]:
    return not isinstance(value, Distribution) and np.ndim(value) == 0


def synapses(
    network: Network, projection: Projection, dt: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return source, target, weight and delay (steps) of every synapse of a projection in a run with this seed."""
    source = network.population(projection.source)
    target = network.population(projection.target)
    # With the keys of the engine's `SynapseSampler`: the synapses are those of a run.
    key = rng_key(seed, "pattern", str(projection.name))
    rows = projection.pattern.rows(source.side, target.side, source is target, key, 0, source.size)
    count = len(rows.targets)
    pre = np.repeat(np.arange(source.size), np.diff(rows.offsets))
    weight_key = rng_key(seed, "weight", str(projection.name))
    delay_key = rng_key(seed, "delay", str(projection.name))
    weights = draw(projection.weight, key=weight_key, first=0, count=count, name=f"{projection}.weight")
    delays = draw(projection.delay, key=delay_key, first=0, count=count, name=f"{projection}.delay")
    # Values belong to the list of the pattern, if it has one, and else to the rows.
    if rows.order is not None:
        weights = weights[rows.order]
        delays = delays[rows.order]
    if rows.weights is not None:
        weights = weights * rows.weights
    steps = np.floor(delays / dt + 0.5).astype(np.int64)
    if count and steps.min() < 1:
        raise NeurosimInputError(
            f"{projection}.delay: must round to at least one step of {dt:g} s (got {delays.min()})"
        )
    return pre, rows.targets.astype(np.int64), weights, steps


def _rate(owner: Any, name: str) -> float:
    require(np.ndim(owner.rate) == 0, f"'{name}': rate", "must be one number: NIR has none by unit or time", "an array")
    return float(owner.rate)
