"""The ways of spikes through the linear nodes of a NIR graph, followed back from each population."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from .flat import Graph
from .models import PARAMETERS
from .transforms import TRANSFORMS, Shape, Transform, transform

# Nodes whose output is a membrane instead of spikes; no node but an Output may follow them.
ANALOG = ("I", "LI", "CubaLI")
MAX_PATHS = 100_000
_KNOWN = {*TRANSFORMS, *PARAMETERS, "Input", "Output"}


@dataclass(frozen=True, eq=False)
class SignalPath:
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
class SignalPaths:
    """Shapes of the nodes of a graph, and the paths of spikes between its populations.

    Attributes:
        shapes, transforms: of the nodes that were asked for so far, by name.
    """

    graph: Graph
    shapes: dict[str, Shape] = field(default_factory=dict)
    transforms: dict[str, Transform] = field(default_factory=dict)

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
        for after in self._beyond(name, self.graph.after):
            if kind in ANALOG and self.kind(after) != "Output":
                raise NeurosimInputError(
                    f"{title}: puts out a membrane, not spikes, and only an Output may follow (got {after})"
                )
        if kind == "Output":
            for before in self._beyond(name, self.graph.before):
                rule = "must follow a neuron or an input: only populations are recorded"
                require(self.kind(before) not in TRANSFORMS, title, rule, before)

    def _beyond(self, name: str, neighbours: Callable[[str], list[str]]) -> list[str]:
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

    def into(self, target: str) -> tuple[list[SignalPath], NDArray[np.float64]]:
        """Return every path of spikes into a population, and its constant input from biases.

        Paths are followed back from the target. All nodes between are linear, so paths add up, and so do biases.
        """
        bias = np.zeros(math.prod(self.shape(target)))
        paths = []
        todo = [SignalPath(target)]
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
                todo.append(self._longer(path, before, step))
        return paths, bias

    def _fits(self, path: SignalPath, target: str, step: Transform, before: str) -> None:
        if path.matrix is None:
            size = math.prod(self.shape(target))
        else:
            size = path.matrix.shape[1]
        got = math.prod(step.output)
        require(got == size, self.title(path.source), f"must get {size} inputs, from {self.title(before)}", got)

    def _longer(self, path: SignalPath, before: str, step: Transform) -> SignalPath:
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
        if name not in self.transforms:
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
            self.transforms[name] = transform(node, self.title(name), shape)
        return self.transforms[name]
