"""pLSTM over graphs: a loop over the nodes, the grid as a graph, paths that never meet, and graphs that do not flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from helpers.attention_kinds import noise
from helpers.plstm import Node, gates
from torch import Tensor, nn

from neurosim.base import NeurosimInputError
from neurosim.language.attention.kinds.plstm_2d import over_grid
from neurosim.language.attention.kinds.plstm_graph import MODES, PLSTMGraph, line_graph, over_graph, single_paths


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_is_a_loop_over_its_nodes(seed: int) -> None:
    """Random graphs without cycles, with nodes in no order, and a node that no edge touches."""
    draws = torch.Generator().manual_seed(seed)
    names = torch.randperm(10, generator=draws)
    forward = torch.triu(torch.rand(9, 9, generator=draws) < 0.4, 1).nonzero()
    edges = names[forward[torch.randperm(len(forward), generator=draws)]]
    q = noise(2, 10, 2, 3)
    k = noise(2, 10, 2, 3, seed=1)
    v = noise(2, 10, 2, 4, seed=2)
    source, transition, mark = gates(edges)
    pairs = [tuple(pair) for pair in line_graph(edges).tolist()]
    ways = edges.tolist()
    assert sorted(pairs) == [(d, e) for d in range(len(ways)) for e in range(len(ways)) if ways[d][1] == ways[e][0]]
    expected = torch.zeros_like(v)
    states: dict[int, Tensor] = {}
    for node in names.tolist():
        incoming = [e for e, way in enumerate(ways) if way[1] == node]
        for e in incoming:
            expected[:, node] += mark[:, e, :, None] * torch.einsum("bhk,bhkv->bhv", q[:, node], states[e])
        for e, way in enumerate(ways):
            if way[0] == node:
                new = torch.einsum("bhk,bhv->bhkv", k[:, node], v[:, node])
                states[e] = source[:, e, :, None, None] * new
                for d in incoming:
                    states[e] += transition[:, pairs.index((d, e)), :, None, None] * states[d]
    out = over_graph(q, k, v, edges, source, transition, mark)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-11)
    assert not out[:, names[9]].any()


def test_the_graph_of_a_grid_is_the_grid() -> None:
    """The same outputs and gradients from the edges right and down as from antidiagonals."""
    rows = 3
    columns = 4
    index = torch.arange(rows * columns).view(rows, columns)
    right = torch.stack([index[:, :-1].flatten(), index[:, 1:].flatten()], -1)
    down = torch.stack([index[:-1].flatten(), index[1:].flatten()], -1)
    edges = torch.cat([right, down])
    direction = torch.tensor([0] * len(right) + [1] * len(down))
    q = noise(2, rows, columns, 2, 3)
    k = noise(2, rows, columns, 2, 3, seed=1).requires_grad_()
    v = noise(2, rows, columns, 2, 4, seed=2)
    source = noise(2, rows, columns, 2, 2, seed=3)
    transition = noise(2, rows, columns, 2, 2, 2, seed=4).requires_grad_()
    mark = noise(2, rows, columns, 2, 2, seed=5)
    wanted = over_grid(q, k, v, source, transition, mark)
    incoming, outgoing = line_graph(edges).unbind(-1)
    flat = transition.flatten(1, 2)[:, edges[incoming, 1]]
    chosen = torch.arange(len(incoming))
    out = over_graph(
        *(x.flatten(1, 2) for x in (q, k, v)),
        edges,
        source.flatten(1, 2)[:, edges[:, 0], :, direction].movedim(0, 1),
        flat[:, chosen, :, direction[incoming], direction[outgoing]].movedim(0, 1),
        mark.flatten(1, 2)[:, edges[:, 1], :, direction].movedim(0, 1),
    )
    torch.testing.assert_close(out, wanted.flatten(1, 2), rtol=1e-11, atol=1e-11)
    weight = noise(*out.shape, seed=6)
    grads = torch.autograd.grad((out * weight).sum(), (k, transition))
    expected = torch.autograd.grad((wanted.flatten(1, 2) * weight).sum(), (k, transition))
    torch.testing.assert_close(grads, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        ([[0, 1], [1, 2], [2, 0]], r"over_graph.edges: form a cycle; leave out an edge of each cycle"),
        ([[0, 1], [1, 3]], r"over_graph.edges: must name nodes 0 to 2 \(got \[3\]\)"),
    ],
)
def test_graphs_that_do_not_flow_are_refused(ways: list[list[int]], message: str) -> None:
    edges = torch.tensor(ways)
    with pytest.raises(NeurosimInputError, match=message):
        over_graph(*(noise(2, 3, 2, 3) for _ in range(3)), edges, *gates(edges))
    edges = edges[:1]
    with pytest.raises(NeurosimInputError, match=r"over_graph.mark: must have 1 gates \(got 2\)"):
        over_graph(*(noise(2, 3, 2, 3) for _ in range(3)), edges, *gates(edges)[:2], noise(2, 2, 2))


@pytest.mark.parametrize("seed", range(2))
def test_single_paths_leave_no_second_way_and_leave_out_no_more(seed: int) -> None:
    """Pairs are walked from every edge: at most one path to each; every pair left out would open a second."""
    draws = torch.Generator().manual_seed(seed)
    names = torch.randperm(8, generator=draws)
    edges = names[torch.triu(torch.rand(8, 8, generator=draws) < 0.6, 1).nonzero()]
    every = {tuple(pair) for pair in line_graph(edges).tolist()}
    kept = {tuple(pair) for pair in single_paths(8, edges).tolist()}

    def most_paths(pairs: set[tuple[int, ...]]) -> int:
        def walk(edge: int) -> Iterator[int]:
            yield edge
            for before, after in pairs:
                if before == edge:
                    yield from walk(after)

        return max(max(Counter(walk(edge)).values()) for edge in range(len(edges)))

    assert kept < every and most_paths(kept) == 1 and most_paths(every) > 1
    assert all(most_paths(kept | {pair}) == 2 for pair in every - kept)


def graph_node_by_node(layer: PLSTMGraph, x: Tensor, edges: list[Node], f: Tensor, pairs: set[Node]) -> Tensor:
    """Return a layer's output [N, width] of one graph, in a loop over its edges in topological order, as they are."""
    heads = layer.heads
    q, k, v = (p(x).unflatten(-1, (heads, -1)) for p in (layer.q_proj, layer.k_proj, layer.v_proj))
    q = q / q.shape[-1] ** 0.5
    direct = layer.direct if layer.direct_proj is None else layer.direct_proj(x).sigmoid()
    out = (direct * (q * k).sum(-1))[..., None] * v
    states: dict[int, Tensor] = {}
    for e, (a, b) in enumerate(edges):
        source = layer.source_proj(torch.cat([x[a], f[e]])).sigmoid()
        mark = layer.mark_proj(torch.cat([x[b], f[e]])).sigmoid()
        states[e] = source[:, None, None] * k[a][:, :, None] * v[a][:, None]
        raw = {d: layer.transition_proj(torch.cat([f[d], f[e], x[a]])) for d in states if edges[d][1] == a}
        for d, r in raw.items():
            if layer.weigh is MODES["directional"]:
                weight = r.sigmoid() / sum(way[0] == a for way in edges)
            elif layer.weigh is MODES["normalised"]:
                weight = r / (0.5 + sum(other.abs() for other in raw.values()))
            else:
                weight = r.tanh() * ((d, e) in pairs)
            states[e] = states[e] + weight[:, None, None] * states[d]
        out[b] += mark[:, None] * torch.einsum("hk,hkv->hv", q[b], states[e])
    return layer.o_proj(layer.norm(out).flatten(-2))


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize(("mode", "edge_width"), [("directional", 0), ("normalised", 3), ("diffusive", 3)])
def test_a_layer_over_a_graph_is_its_equations_over_the_nodes(mode: str, edge_width: int, closed: bool) -> None:
    """Edge by edge in float64; nodes that no edge reaches read their own value alone."""
    torch.manual_seed(0)
    layer = PLSTMGraph(8, 2, mode, edge_width=edge_width, closed=closed).double()
    if closed:
        for gate in (layer.source_proj, layer.mark_proj, layer.direct_proj):
            assert gate is not None and not gate.weight.any() and gate.bias.tolist() == [-5.0, -5.0]
        for name, value in layer.named_parameters():
            if name.endswith("proj.weight"):
                nn.init.normal_(value)
    nn.init.normal_(layer.transition_proj.bias)
    nodes = 7
    ways = [(a, b) for a in range(nodes) for b in range(a + 1, nodes) if (3 * a + 5 * b) % 4 < 2]
    edges = torch.tensor(ways)
    x = noise(2, nodes, 8)
    features = noise(2, len(ways), edge_width, seed=1)
    pairs: set[Node] = {(d, e) for d, e in single_paths(nodes, edges).tolist()}
    assert len(pairs) < len(line_graph(edges))
    out = layer(x, edges, features)
    with torch.no_grad():
        for item in range(2):
            expected = graph_node_by_node(layer, x[item], ways, features[item], pairs)
            torch.testing.assert_close(out[item], expected, rtol=0, atol=1e-12)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    with pytest.raises(NeurosimInputError, match=r"PLSTMGraph.features: must be \(2, 11, \d\) \(got \(2, 11, 5\)\)"):
        layer(x, edges, noise(2, len(ways), 5))
