"""Nested graphs as one graph: an inner Input or Output passes its input on."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...base.errors import NeurosimInputError, require
from .files import MAX_DEPTH, Node, library


@dataclass(eq=False)
class Graph:
    """Nodes by name, inner ones as "outer.inner", and edges between them."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    _before: dict[str, list[str]] = field(default_factory=dict)
    _after: dict[str, list[str]] = field(default_factory=dict)

    def before(self, name: str) -> list[str]:
        return self._before.get(name, [])

    def after(self, name: str) -> list[str]:
        return self._after.get(name, [])

    def join(self) -> None:
        """Collect the neighbours of each node; equal edges count once."""
        for a, b in dict.fromkeys(self.edges):
            self._before.setdefault(b, []).append(a)
            self._after.setdefault(a, []).append(b)


def flatten(graph: Node) -> Graph:
    """Return all nodes of a graph and of the graphs in it.

    Raises:
        NeurosimInputError: not a graph, edges to missing nodes, an inner graph without one Input and one Output.
    """
    if type(graph).__name__ != "NIRGraph":
        raise NeurosimInputError(f"from_nir: needs a nir.NIRGraph or the path of a file (got {type(graph).__name__})")
    flat = Graph()
    _add(flat, graph, "", 0)
    flat.join()
    return flat


def _add(flat: Graph, graph: Node, prefix: str, depth: int) -> None:
    """Add the nodes and edges of a graph to the flat one, and those of its subgraphs."""
    require(depth <= MAX_DEPTH, "from_nir", f"needs graphs at most {MAX_DEPTH} levels deep", depth)
    # Names in the flat graph of the nodes at which edges to a node end and from it begin.
    ends: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        kind = type(node).__name__
        if kind == "NIRGraph":
            _add(flat, node, f"{full}.", depth + 1)
            ends[name] = f"{full}.{_only(node, 'Input', full)}", f"{full}.{_only(node, 'Output', full)}"
        elif prefix and kind in ("Input", "Output"):
            flat.nodes[full] = _passing(node)
            ends[name] = (full, full)
        else:
            flat.nodes[full] = node
            ends[name] = (full, full)
    for a, b in graph.edges:
        for name in (a, b):
            require(name in ends, "from_nir.edges", "must join nodes of the graph", f"'{prefix}{name}'")
        flat.edges.append((ends[a][1], ends[b][0]))


def _only(graph: Node, kind: str, title: str) -> str:
    names = [name for name, node in graph.nodes.items() if type(node).__name__ == kind]
    require(len(names) == 1, f"NIRGraph '{title}'", f"must have one {kind}, being inside another graph", len(names))
    return names[0]


def _passing(node: Node) -> Node:
    """Return an inner Input or Output as a node that changes nothing."""
    shape = node.input_type["input"]
    return library().ir.graph.Identity({"input": shape, "output": shape}, metadata=dict(node.metadata))
