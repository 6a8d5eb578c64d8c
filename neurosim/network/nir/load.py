"""Networks from NIR graphs: neurons become populations, chains of linear nodes between them projections."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
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
from .flat import flatten
from .hints import warn_if_short, warn_if_silent
from .models import PARAMETERS, RESETS, SHARES, Cell, cell
from .paths import SignalPath, SignalPaths
from .transforms import pair


def from_nir(
    graph: Any,
    dt: float | None = None,
    *,
    integration: str | None = None,
    reset: str | None = None,
    min_delay: float | None = None,
) -> Network:
    """Return the network of a `nir.NIRGraph` or of a file of one.

    Input nodes become spike sources and neurons populations, both with the node's name. A spike reaches the next
    population one step later, or after the delay of a Delay node if that is longer: the engine has no synapses without
    delay. Parameters that differ from unit to unit are vectors.

    Args:
        graph: the graph, or the path of a file, which is read strictly.
        dt: duration of a spike's current of 1, s: the step of the program that wrote the graph, and the shortest
            delay. None: the value in the graph's metadata. With 1.0 a spike has unit area, as a Dirac pulse.
        integration: "exact": the membrane between spikes, each of which moves it at once by the area of its current,
            r dt / tau. "held": likewise, and a spike moves it as far as a current that is held for `dt` (sinabs),
            r (1 - exp(-dt / tau)), 6 % less at tau = 8 dt; a current of CubaLIF likewise. "euler": the numbers of
            programs that step by Euler's method (Norse, snnTorch, SpikingJelly). The last two hold at a clock of `dt`.
            None: the value in the graph's metadata, else "exact".
        reset: what a spike does where a node's metadata do not say it: "value", NIR's v = v_reset; "subtract",
            v -= v_threshold - v_reset, which NIR cannot say and sinabs does; "subtract_late", the same after the decay
            of the next step, as snnTorch does by default. None: "value".
        min_delay: shortest delay, s. None: `dt`, or 1 ms where that is 1.0. A graph whose times count steps (sinabs)
            has dt=1.0, min_delay=1.0, and runs at a clock of 1 s: a step lasts a second.

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
    if min_delay is None:
        min_delay = 1e-3 if step == 1.0 else step
    require(math.isfinite(min_delay) and min_delay > 0, "from_nir.min_delay", "must be > 0 s", min_delay)
    integration = _integration(graph, integration)
    lookup(SHARES, integration, "from_nir.integration")
    reset = reset or "value"
    lookup(dict.fromkeys(RESETS), reset, "from_nir.reset")
    return _Loader(SignalPaths(flat), step, min_delay, integration, reset).network()


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


@dataclass(eq=False)
class _Loader:
    """Makes the parts of a network.

    Attributes:
        dt: duration of a spike's current of 1, s.
        shortest: shortest delay, s.
        integration, reset: see `from_nir`.
    """

    paths: SignalPaths
    dt: float
    shortest: float
    integration: str
    reset: str

    def network(self) -> Network:
        nodes = self.paths.graph.nodes
        for name in nodes:
            self.paths.accept(name)
        inputs = [name for name in nodes if self.paths.kind(name) == "Input" and not self.is_stimulus(name)]
        populations = [self.source(name, nodes[name]) for name in inputs]
        projections = []
        stimuli = []
        # Paths of spikes: target, path, and factor of the weights.
        routes: list[tuple[str, SignalPath, NDArray[Any]]] = []
        models: dict[str, Neuron] = {}
        for name, node in nodes.items():
            if self.paths.kind(name) not in PARAMETERS:
                continue
            paths, bias = self.paths.into(name)
            converted = self.cell(name, node, bias)
            populations.append(self.population(name, node, converted))
            routes += [(name, path, converted.factor) for path in paths]
            models[name] = converted.model
        # Jump of each unit if all its excitatory inputs spike at once.
        jumps = {name: np.zeros(math.prod(self.paths.shape(name))) for name in models}
        for target, path, factor in routes:
            if path.matrix is None:
                jumps[target] += factor
            else:
                jumps[target] += factor * np.ravel(path.matrix.maximum(0).sum(axis=1))
        warn_if_silent(models, jumps, self.dt)
        warn_if_short(models, self.dt)
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

    def cell(self, name: str, node: Any, bias: NDArray[np.float64]) -> Cell:
        try:
            title = self.paths.title(name)
            return cell(node, title, bias.size, bias, self.dt, integration=self.integration, reset=self.reset)
        except NeurosimError as error:
            text = str(error)
            if not text.startswith(self.paths.title(name)):
                text = f"{self.paths.title(name)}: {text}"
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
        return Population(name, self.paths.shape(name), model, others)

    def source(self, name: str, node: Any) -> Population:
        model: SpikeSource | PoissonSource = SpikeSource()
        if str(node.metadata.get("model", "")) == "PoissonSource":
            model = PoissonSource(_scalar(node, "rate", self.paths.title(name)))
        return Population(name, self.paths.shape(name), model)

    def is_stimulus(self, name: str) -> bool:
        node = self.paths.graph.nodes[name]
        return self.paths.kind(name) == "Input" and str(node.metadata.get("model", "")) == "PoissonInput"

    def stimulus(self, path: SignalPath, target: str, factor: NDArray[Any]) -> PoissonInput:
        title = self.paths.title(path.source)
        node = self.paths.graph.nodes[path.source]
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

    def chain(self, path: SignalPath) -> str:
        """Return the names of the linear nodes on the way, without those that only delay or unfold."""
        quiet = ("Delay", "Flatten", "Identity")
        return ".".join(n for n in path.through if self.paths.kind(n) not in quiet)

    def receptor(self, path: SignalPath) -> str | None:
        for name in path.through:
            receptor = self.paths.graph.nodes[name].metadata.get("receptor")
            if receptor is not None:
                return str(receptor)
        return None

    def projection(self, path: SignalPath, target: str, factor: NDArray[Any], label: str) -> Projection:
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
        self, path: SignalPath, target: str, factor: NDArray[Any]
    ) -> tuple[Pattern, Any, NDArray[Any], NDArray[Any]]:
        """Return pattern and weights of a path, and the source and target of each synapse."""
        convolution = self._convolution(path, target, factor)
        size = math.prod(self.paths.shape(path.source))
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

    def _convolution(self, path: SignalPath, target: str, factor: NDArray[Any]) -> tuple[Convolution, float] | None:
        """Return pattern and factor of a single plain Conv2d, whose kernel is stored once; None for other paths."""
        kinds = [self.paths.kind(name) for name in path.through]
        is_alone = [kind for kind in kinds if kind != "Delay"] == ["Conv2d"]
        if not is_alone or (factor != factor[0]).any():
            return None
        node = self.paths.graph.nodes[path.through[kinds.index("Conv2d")]]
        if isinstance(node.padding, (str, bytes)) or int(node.groups) != 1:
            return None
        stride = pair(node.stride, "Conv2d", "stride")
        dilation = pair(node.dilation, "Conv2d", "dilation")
        padding = pair(node.padding, "Conv2d", "padding", 0)
        if dilation != (1, 1) or stride[0] != stride[1] or padding[0] != padding[1]:
            return None
        # Only what `Convolution` can say: one stride and one padding for both sides, no groups, no dilation.
        pattern = Convolution(np.asarray(node.weight, np.float64), stride[0], padding[0])
        source = self.paths.shape(path.source)
        if len(source) != 3 or pattern.output_shape(source) != self.paths.shape(target):
            return None
        return pattern, float(factor[0])

    def delay(self, path: SignalPath, target: str, pre: NDArray[Any], post: NDArray[Any]) -> float | NDArray[Any]:
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


def _plain(weight: NDArray[np.float64]) -> float | NDArray[Any]:
    if weight.size and (weight == weight[0]).all():
        return float(weight[0])
    return weight


def _scalar(node: Any, key: str, title: str) -> float:
    value = np.asarray(node.metadata.get(key, np.nan), np.float64)
    require(value.size == 1, f"{title} {key}", "must be a number", node.metadata.get(key))
    return float(value.reshape(-1)[0])
