"""Networks from NIR graphs: neurons become populations, chains of linear nodes between them projections."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimInputError, lookup, require
from ..network import Network
from ..neurons.base import Neuron
from ..neurons.by_unit import rows
from ..population import Population
from ..projection import Projection
from ..stimuli import PoissonInput, PoissonSource, SpikeSource
from ..synapses.base import Pattern
from ..synapses.convolution import Convolution
from ..synapses.patterns import AllToAll, FromList, OneToOne
from .files import read
from .flat import Graph, flatten
from .hints import warn_if_silent
from .models import PARAMETERS, Cell, cell
from .transforms import TRANSFORMS, Shape, Transform, pair, transform

# Nodes whose output is a membrane instead of spikes; no node but an Output may follow them.
ANALOG = ("I", "LI", "CubaLI")
MAX_PATHS = 100_000


def from_nir(graph: Any, dt: float | None = None, *, integration: str | None = None) -> Network:
    """Return the network of a `nir.NIRGraph` or of a file of one.

    Input nodes become spike sources and neurons populations, both with the node's name. A spike reaches the next
    population one step later, or after the delay of a Delay node if that is longer: the engine has no synapses without
    delay. Parameters that differ from unit to unit are vectors.

    Args:
        graph: the graph, or the path of a file, which is read strictly.
        dt: duration of a spike's current of 1, s: the step of the program that wrote the graph, and the shortest
            delay. None: the value in the graph's metadata. With 1.0 a spike has unit area, as a Dirac pulse, and
            delays are at least 1 ms.
        integration: "exact", or "euler" for the numbers of programs that step by Euler's method (Norse, sinabs,
            snnTorch's Leaky); these hold at a clock of `dt`. None: the value in the graph's metadata, else "exact".

    Raises:
        NeurosimInputError: a node that cannot run; shapes that do not fit; no `dt`; a time constant that is no longer
            than a step of Euler's method. Names the node and its type.
        NeurosimFormatError, NeurosimMissingError: see `read`.
    """
    if isinstance(graph, (str, os.PathLike)):
        graph = read(graph)
    flat = flatten(graph)
    step = _step(graph, dt)
    # With dt = 1 s a spike is a Dirac pulse, and the shortest delay is 1 ms.
    shortest = 1e-3 if step == 1.0 else step
    euler = lookup({"exact": False, "euler": True}, _integration(graph, integration), "from_nir.integration")
    return _Loader(flat, step, shortest, euler).network()


def _metadata(graph: Any) -> Mapping[str, Any]:
    return graph.metadata if isinstance(graph.metadata, Mapping) else {}


def _step(graph: Any, dt: float | None) -> float:
    if dt is None:
        stored = _metadata(graph).get("dt")
        if stored is None:
            raise NeurosimInputError(
                "from_nir.dt: NIR does not say how long a spike lasts; give the step of the program that wrote it, in s"
            )
        dt = float(np.asarray(stored).reshape(-1)[0])
    require(math.isfinite(dt) and dt > 0, "from_nir.dt", "must be > 0 s", dt)
    return dt


def _integration(graph: Any, integration: str | None) -> str:
    if integration is not None:
        return integration
    stored = _metadata(graph).get("integration", "exact")
    if isinstance(stored, bytes):
        return stored.decode()
    return str(stored)


@dataclass(frozen=True, eq=False)
class _Path:
    """Part of the way from a source's spikes to a target, followed back from the target.

    Attributes:
        source: node where it begins.
        through: nodes between.
        matrix: sparse [units of the target, size of the signal at the source]; None: the identity.
        wait: delay that all synapses share, s.
        at_target, at_signal: further delays by unit of the target and by element of the signal, s.
    """

    source: str
    through: tuple[str, ...] = ()
    matrix: Any = None
    wait: float = 0.0
    at_target: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    at_signal: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))


@dataclass(eq=False)
class _Loader:
    graph: Graph
    dt: float
    shortest: float
    euler: bool
    shapes: dict[str, Shape] = field(default_factory=dict)
    known: dict[str, Transform] = field(default_factory=dict)

    def network(self) -> Network:
        nodes = self.graph.nodes
        for name in nodes:
            self.accept(name)
        inputs = [name for name in nodes if self.kind(name) == "Input" and not self.is_stimulus(name)]
        populations = [self.source(name, nodes[name]) for name in inputs]
        projections = []
        stimuli = []
        # Paths of spikes: target, path, and factor of the weights.
        routes: list[tuple[str, _Path, NDArray[Any]]] = []
        models: dict[str, Neuron] = {}
        for name, node in nodes.items():
            if self.kind(name) not in PARAMETERS:
                continue
            paths, bias = self.into(name)
            population = self.cell(name, node, bias)
            populations.append(self.population(name, node, population))
            routes += [(name, path, population.factor) for path in paths]
            models[name] = population.model
        # Jump of each unit if all its excitatory inputs spike at once.
        jumps = {name: np.zeros(math.prod(self.shape(name))) for name in models}
        for target, path, factor in routes:
            if path.matrix is None:
                jumps[target] += factor
            else:
                jumps[target] += factor * np.ravel(path.matrix.maximum(0).sum(axis=1))
        warn_if_silent(models, jumps, self.dt)
        # A projection has the name of its linear nodes if that is unique, else also its ends.
        chains = Counter(self.chain(path) for _, path, _ in routes)
        for target, path, factor in routes:
            chain = self.chain(path)
            if chain and chains[chain] == 1:
                label = chain
            else:
                label = f"{chain}:{path.source}->{target}".lstrip(":")
            if self.is_stimulus(path.source):
                stimuli.append(self.stimulus(path, target, factor))
            else:
                projections.append(self.projection(path, target, factor, label))
        return Network(populations, projections, stimuli)

    def kind(self, name: str) -> str:
        return type(self.graph.nodes[name]).__name__

    def title(self, name: str) -> str:
        """Return the name of a node in errors."""
        return f"{self.kind(name)} '{name}'"

    def accept(self, name: str) -> None:
        """Raise for a node that cannot run where it stands."""
        kind = self.kind(name)
        title = self.title(name)
        if kind == "Threshold":
            raise NeurosimInputError(
                f"{title}: a threshold without reset cannot run; use a neuron that spikes and resets (LIF, IF, CubaLIF)"
            )
        if kind not in _KNOWN:
            raise NeurosimInputError(f"{title}: unknown type of node; known are {', '.join(sorted(_KNOWN))}")
        for after in self.beyond(name, self.graph.after):
            if kind in ANALOG and self.kind(after) != "Output":
                raise NeurosimInputError(
                    f"{title}: puts out a membrane, not spikes, and only an Output may follow (got {after})"
                )
        if kind == "Output":
            for before in self.beyond(name, self.graph.before):
                rule = "must follow a neuron or an input: only populations are recorded"
                require(self.kind(before) not in TRANSFORMS, title, rule, before)

    def beyond(self, name: str, neighbours: Callable[[str], list[str]]) -> list[str]:
        """Return the neighbours of a node on one side; nodes that change nothing are passed over."""
        # A dictionary keeps the order in which nodes are reached.
        reached: dict[str, None] = {}
        todo = list(neighbours(name))
        visited = {name}
        while todo:
            node = todo.pop(0)
            if self.kind(node) != "Identity":
                reached[node] = None
            elif node not in visited:
                todo += neighbours(node)
            visited.add(node)
        return list(reached)

    def shape(self, name: str, on_way: tuple[str, ...] = ()) -> Shape:
        """Return the shape of a node's output."""
        if name in self.shapes:
            return self.shapes[name]
        if name in on_way:
            raise NeurosimInputError(f"{self.title(name)}: lies on a circle without a neuron: {' -> '.join(on_way)}")
        node = self.graph.nodes[name]
        kind = self.kind(name)
        if kind == "Input":
            shape = tuple(int(n) for n in np.atleast_1d(node.input_type["input"]))
        elif kind in PARAMETERS:
            shape = self._units(name, node, on_way)
        else:
            shape = self.transform(name, on_way).output
        require(bool(shape) and min(shape) > 0, self.title(name), "must have a shape of integers > 0", shape)
        self.shapes[name] = shape
        return shape

    def _units(self, name: str, node: Any, on_way: tuple[str, ...]) -> Shape:
        """Return the shape of a population: of its parameters, its metadata, or (one number for all) its input."""
        shape = max((np.shape(getattr(node, key)) for key in PARAMETERS[self.kind(name)]), key=math.prod)
        stored = node.metadata.get("shape")
        if stored is not None:
            sizes = tuple(int(n) for n in np.atleast_1d(stored))
            if math.prod(sizes) == math.prod(shape):
                return sizes
        before = self.graph.before(name)
        if math.prod(shape) == 1 and before and name not in on_way:
            # A neuron that feeds itself has no shape from itself.
            others = [b for b in before if b != name]
            if not others:
                return (1,)
            return self.shape(others[0], (*on_way, name))
        return tuple(int(n) for n in shape) or (1,)

    def transform(self, name: str, on_way: tuple[str, ...] = ()) -> Transform:
        if name not in self.known:
            before = self.graph.before(name)
            require(bool(before), self.title(name), "must have an input", "none")
            shapes = [self.shape(b, (*on_way, name)) for b in before]
            require(len({math.prod(s) for s in shapes}) == 1, self.title(name), "must get inputs of one size", shapes)
            shape = shapes[0]
            node = self.graph.nodes[name]
            # A convolution after a flat signal states the rows and columns of its input.
            stored = getattr(node, "input_shape", None)
            if stored is not None and len(shape) != 1 + np.size(stored):
                channels = np.shape(node.weight)[1] * int(node.groups)
                stated = (channels, *(int(n) for n in np.atleast_1d(stored)))
                if math.prod(stated) == math.prod(shape):
                    shape = stated
            self.known[name] = transform(node, self.title(name), shape)
        return self.known[name]

    def into(self, target: str) -> tuple[list[_Path], NDArray[np.float64]]:
        """Return every path of spikes into a population, and its constant input from biases.

        Paths are followed back from the target. All nodes between are linear, so paths add up, and so do biases.
        """
        bias = np.zeros(math.prod(self.shape(target)))
        paths = []
        todo = [_Path(target)]
        count = 0
        while todo:
            path = todo.pop()
            for before in self.graph.before(path.source):
                count += 1
                rule = f"must be reached by at most {MAX_PATHS:,} paths"
                require(count <= MAX_PATHS, self.title(target), rule, "more")
                if self.kind(before) not in TRANSFORMS:
                    paths.append(replace(path, source=before))
                    continue
                # A path that met a node twice would be followed for ever.
                if before in path.through:
                    raise NeurosimInputError(f"{self.title(before)}: lies on a circle without a neuron")
                step = self.transform(before)
                self._fits(path, target, step, before)
                if step.bias is not None:
                    added = step.bias if path.matrix is None else path.matrix @ step.bias
                    bias = bias + added
                todo.append(self.longer(path, before, step))
        return paths, bias

    def _fits(self, path: _Path, target: str, step: Transform, before: str) -> None:
        if path.matrix is None:
            size = math.prod(self.shape(target))
        else:
            size = path.matrix.shape[1]
        got = math.prod(step.output)
        require(got == size, self.title(path.source), f"must get {size} inputs, from {self.title(before)}", got)

    def longer(self, path: _Path, before: str, step: Transform) -> _Path:
        """Return the path that also leads through the node `before`."""
        path = replace(path, source=before, through=(before, *path.through))
        # A delay that is the same for all signals is the path's; another belongs to the units of the target or, behind
        # a matrix, to the elements of the signal.
        if step.delay is not None and step.delay.size:
            if (step.delay == step.delay[0]).all():
                path = replace(path, wait=path.wait + float(step.delay[0]))
            elif path.matrix is None:
                path = replace(path, at_target=path.at_target + step.delay)
            else:
                path = replace(path, at_signal=path.at_signal + step.delay)
        if step.matrix is None:
            return path
        if np.any(path.at_signal):
            raise NeurosimInputError(
                f"{self.title(before)}: mixes signals before a Delay that differs between them; put the Delay first"
            )
        if path.matrix is None:
            return replace(path, matrix=step.matrix)
        return replace(path, matrix=(path.matrix @ step.matrix).tocsr())

    def cell(self, name: str, node: Any, bias: NDArray[np.float64]) -> Cell:
        try:
            return cell(node, self.title(name), bias.size, bias, self.dt, euler=self.euler)
        except NeurosimError as error:
            text = str(error)
            if not text.startswith(self.title(name)):
                text = f"{self.title(name)}: {text}"
            raise type(error)(text) from None

    def population(self, name: str, node: Any, converted: Cell) -> Population:
        model = converted.model
        initial = {**converted.initial}
        for key, value in node.metadata.items():
            state = key.removeprefix("initial_")
            if key.startswith("initial_") and state in model.state:
                array = np.asarray(value, np.float64)
                if array.ndim == 0:
                    initial[state] = float(array)
                else:
                    initial[state] = array.ravel()
        # A number where all units have the same; values that the model has anyway are left out.
        defaults = dict(zip(model.state, rows(model, type(model).initial), strict=True))
        others = {}
        for key, value in initial.items():
            plain = _plain(value) if isinstance(value, np.ndarray) else value
            if not np.array_equal(plain, defaults[key]):
                others[key] = plain
        return Population(name, self.shape(name), model, others)

    def source(self, name: str, node: Any) -> Population:
        model: SpikeSource | PoissonSource = SpikeSource()
        if str(node.metadata.get("model", "")) == "PoissonSource":
            model = PoissonSource(_scalar(node, "rate", self.title(name)))
        return Population(name, self.shape(name), model)

    def is_stimulus(self, name: str) -> bool:
        node = self.graph.nodes[name]
        return self.kind(name) == "Input" and str(node.metadata.get("model", "")) == "PoissonInput"

    def stimulus(self, path: _Path, target: str, factor: NDArray[Any]) -> PoissonInput:
        title = self.title(path.source)
        node = self.graph.nodes[path.source]
        if path.matrix is None:
            weights = factor
            is_diagonal = True
        else:
            diagonal = path.matrix.diagonal()
            weights = diagonal * factor
            is_diagonal = path.matrix.nnz == np.count_nonzero(diagonal)
        is_uniform = is_diagonal and bool((weights == weights[0]).all())
        require(is_uniform, title, "must reach each unit with one weight", path.through)
        return PoissonInput(
            target=target,
            rate=_scalar(node, "rate", title),
            weight=float(weights[0]),
            receptor=self.receptor(path),
            name=path.source,
        )

    def chain(self, path: _Path) -> str:
        """Return the names of the linear nodes on the way, without those that only delay or unfold."""
        quiet = ("Delay", "Flatten", "Identity")
        return ".".join(n for n in path.through if self.kind(n) not in quiet)

    def receptor(self, path: _Path) -> str | None:
        for name in path.through:
            receptor = self.graph.nodes[name].metadata.get("receptor")
            if receptor is not None:
                return str(receptor)
        return None

    def projection(self, path: _Path, target: str, factor: NDArray[Any], label: str) -> Projection:
        pattern, weight, pre, post = self.synapses(path, target, factor)
        delay = self.delay(path, target, pre, post)
        if isinstance(delay, np.ndarray) and not isinstance(pattern, FromList):
            pattern = FromList(pre, post)
            if np.ndim(weight) == 0:
                weight = np.broadcast_to(weight, pre.shape)
        return Projection(
            path.source, target, pattern, weight=weight, delay=delay, receptor=self.receptor(path), name=label
        )

    def synapses(
        self, path: _Path, target: str, factor: NDArray[Any]
    ) -> tuple[Pattern, Any, NDArray[Any], NDArray[Any]]:
        """Return pattern and weights of a path, and the source and target of each synapse."""
        convolution = self._convolution(path, target, factor)
        size = math.prod(self.shape(path.source))
        if path.matrix is None:
            units = np.arange(size)
            return OneToOne(), _plain(factor), units, units
        matrix = path.matrix.T.tocoo()  # [source, target]: rows by source
        order = np.lexsort((matrix.col, matrix.row))
        pre = matrix.row[order].astype(np.int64)
        post = matrix.col[order].astype(np.int64)
        has_delays = np.any(path.at_target) or np.any(path.at_signal)
        if convolution is not None and not has_delays:
            return *convolution, pre, post
        weight = matrix.data[order] * factor[post]
        is_identity = np.array_equal(pre, post) and np.array_equal(pre, np.arange(size))
        if len(pre) == size == len(factor) and is_identity:
            return OneToOne(), _plain(weight), pre, post
        if len(pre) == size * len(factor):
            return AllToAll(), _plain(weight), pre, post
        return FromList(pre, post), _plain(weight), pre, post

    def _convolution(self, path: _Path, target: str, factor: NDArray[Any]) -> tuple[Convolution, float] | None:
        """Return pattern and factor of a single plain Conv2d, whose kernel is stored once; None for other paths."""
        kinds = [self.kind(name) for name in path.through]
        is_alone = [kind for kind in kinds if kind != "Delay"] == ["Conv2d"]
        if not is_alone or (factor != factor[0]).any():
            return None
        node = self.graph.nodes[path.through[kinds.index("Conv2d")]]
        if isinstance(node.padding, (str, bytes)) or int(node.groups) != 1:
            return None
        stride = pair(node.stride, "Conv2d", "stride")
        dilation = pair(node.dilation, "Conv2d", "dilation")
        padding = pair(node.padding, "Conv2d", "padding", 0)
        if dilation != (1, 1) or stride[0] != stride[1] or padding[0] != padding[1]:
            return None
        # Only what `Convolution` can say: one stride and one padding for both sides, no groups, no dilation.
        pattern = Convolution(np.asarray(node.weight, np.float64), stride[0], padding[0])
        source = self.shape(path.source)
        if len(source) != 3 or pattern.output_shape(source) != self.shape(target):
            return None
        return pattern, float(factor[0])

    def delay(self, path: _Path, target: str, pre: NDArray[Any], post: NDArray[Any]) -> float | NDArray[Any]:
        total = np.full(pre.shape, path.wait)
        for delay, units in ((path.at_target, post), (path.at_signal, pre)):
            total = total + (delay[units] if delay.size > 1 else delay)
        # A delay of 0 becomes the one step that the engine needs.
        short = total[(total > 0) & (total < self.shortest * (1 - 1e-9))]
        title = f"Delay before '{target}'"
        rule = f"must be 0 or at least one step of {self.shortest:g} s"
        require(short.size == 0, title, rule, short.min(initial=1.0))
        total = np.where(total == 0, self.shortest, total)
        if total.size == 0 or (total == total[0]).all():
            return float(total[0])
        return total


_KNOWN = {*TRANSFORMS, *PARAMETERS, "Input", "Output"}


def _plain(weight: NDArray[np.float64]) -> float | NDArray[Any]:
    if weight.size and (weight == weight[0]).all():
        return float(weight[0])
    return weight


def _scalar(node: Any, key: str, title: str) -> float:
    value = np.asarray(node.metadata.get(key, np.nan), np.float64)
    require(value.size == 1, f"{title} {key}", "must be a number", node.metadata.get(key))
    return float(value.reshape(-1)[0])
