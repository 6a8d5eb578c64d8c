"""pLSTM over graphs: states flow along the edges of a directed graph without cycles."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....base.errors import NeurosimInputError, lookup, require
from .matrix_memory import read
from .modules import divide, linear, split_heads
from .plstm import CLOSED, DIRECT

SPREAD = 10.0  # deviation of the first biases of closed transitions, as in the source's code


def line_graph(edges: Tensor) -> Tensor:
    """Return the pairs [P, 2] of edges, in and out, that meet at a node, of edges [E, 2] from node to node."""
    begins, order = edges[:, 0].sort(stable=True)
    ends = edges[:, 1].contiguous()
    first = torch.searchsorted(begins, ends)
    counts = torch.searchsorted(begins, ends, right=True) - first
    incoming = torch.arange(len(edges), device=edges.device).repeat_interleave(counts)
    # Position among the edges that leave the same node.
    position = torch.arange(len(incoming), device=edges.device) - (counts.cumsum(0) - counts)[incoming]
    return torch.stack([incoming, order[first[incoming] + position]], -1)


def topological_levels(nodes: int, edges: Tensor) -> Tensor:
    """Return the edges on the longest path to each node [nodes].

    Raises:
        NeurosimInputError: the edges form a cycle.
    """
    levels = torch.zeros(nodes, dtype=torch.int64, device=edges.device)
    for _ in range(nodes + 1):
        later = levels.scatter_reduce(0, edges[:, 1], levels[edges[:, 0]] + 1, "amax")
        if torch.equal(later, levels):
            return levels
        levels = later
    raise NeurosimInputError("over_graph.edges: form a cycle; leave out an edge of each cycle")


def single_paths(nodes: int, edges: Tensor) -> Tensor:
    """Return the pairs [P', 2] of `line_graph(edges)` without those that open a second path between two edges.

    Edges are taken in topological order, and the pairs into an edge in the order of the edges that come: a pair is
    left out where a path already leads from one of the edges before it (Poeppel et al. 2025, D-mode). What edges carry
    may then be passed on undiminished, since no state meets itself again.

    Raises:
        NeurosimInputError: the edges form a cycle.
    """
    pairs = line_graph(edges)
    levels = topological_levels(nodes, edges)[edges[:, 0]].tolist()
    order = sorted(range(len(edges)), key=lambda edge: (levels[edge], edge))
    rank = {edge: place for place, edge in enumerate(order)}
    listed = pairs.tolist()
    chosen = []
    # The edges from which a path leads to each, itself among them, as bits of an integer.
    origins = [1 << edge for edge in range(len(edges))]
    for n in sorted(range(len(listed)), key=lambda n: (rank[listed[n][1]], rank[listed[n][0]])):
        before, after = listed[n]
        if not origins[before] & origins[after]:
            origins[after] |= origins[before]
            chosen.append(n)
    return pairs[sorted(chosen)]


def over_graph(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    edges: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    pairs: Tensor | None = None,
) -> Tensor:
    """Return o [B, N, H, V] of a state that flows along the edges of a directed graph without cycles.

    The edge e from node a to node b brings C_e = s_e k_a v_a^T + sum_d t_de C_d, d all edges to a; node b reads
    o_b = sum_e m_e C_e^T q_b, e all edges to b. The edges from all nodes of one topological level are computed at
    once. Nodes that no edge reaches read 0. The states of all edges are in memory, E K V a head.

    Args:
        q, k, v: [B, N, H, K] and [.., V].
        edges: [E, 2], node to node.
        source: s [B, E, H].
        transition: t [B, P, H], in the order of `pairs`.
        mark: m [B, E, H].
        pairs: [P, 2] pairs of edges, in and out; None for all, `line_graph(edges)`.

    Raises:
        NeurosimInputError: an edge names a node that is not there, the edges form a cycle, or the gates do not have
            a value for each edge and each pair.
    """
    nodes = q.shape[1]
    outside = edges[(edges < 0) | (edges >= nodes)]
    require(not len(outside), "over_graph.edges", f"must name nodes 0 to {nodes - 1}", outside.tolist())
    if pairs is None:
        pairs = line_graph(edges)
    for name, gate, count in (("source", source, edges), ("transition", transition, pairs), ("mark", mark, edges)):
        require(gate.shape[1] == len(count), f"over_graph.{name}", f"must have {len(count)} gates", gate.shape[1])
    begins, ends = edges.unbind(-1)
    state = source[..., None, None] * k[:, begins, :, :, None] * v[:, begins, :, None]
    levels = topological_levels(nodes, edges)[begins]
    level_of_pair = levels[pairs[:, 1]]
    for chosen in level_of_pair.argsort().split(level_of_pair.bincount().tolist()):
        before, after = pairs[chosen].unbind(-1)
        # Edges of earlier levels are complete: each pair carries its share of one over the node between.
        state.index_add_(1, after, transition[:, chosen, :, None, None] * state[:, before])
    read_out = mark[..., None] * read(state, q[:, ends])
    return torch.zeros_like(v).index_add(1, ends, read_out)


def _split(transition: Tensor, edges: Tensor, pairs: Tensor) -> Tensor:
    """Return shares of what a node passes on, sigmoids over the number of edges that leave it."""
    between = edges[pairs[:, 0], 1]
    leaving = edges[:, 0].bincount()
    return transition.sigmoid() / leaving[between][:, None]


def _normalised(transition: Tensor, edges: Tensor, pairs: Tensor) -> Tensor:
    """Return t / (1/2 + sum |t|), the sum over all edges that come to the node that an edge leaves."""
    sums = transition.new_zeros(len(transition), len(edges), transition.shape[-1])
    sums = sums.index_add(1, pairs[:, 1], transition.abs())
    return transition / (0.5 + sums[:, pairs[:, 1]])


def _undiminished(transition: Tensor, edges: Tensor, pairs: Tensor) -> Tensor:
    """Return tanh t, for pairs without second paths."""
    return transition.tanh()


MODES = {"diffusive": _undiminished, "directional": _split, "normalised": _normalised}


class PLSTMGraph(nn.Module):
    """pLSTM over a directed graph without cycles: y = W_o norm(o + d (q . k) v), o of `over_graph`.

    `layer(x, edges, features)`, x [B, N, width] of nodes, edges [E, 2] and features [B, E, edge_width] to y
    [B, N, width]. The source of an edge is a sigmoid of W [x, f], x of the node that it leaves and f its features; its
    mark a sigmoid of another W [x, f], x of the node that it reaches. The transition of a pair of edges depends on
    r = W [f, f', x], of both edges and the node between (Poeppel et al. 2025):

        'directional'   sigmoid(r) over the number of edges that leave the node: what it passes on never grows
        'normalised'    r / (1/2 + sum |r|), over all edges that come to the node (P-mode of the source's code)
        'diffusive'     tanh(r), for pairs that open no second path between two edges (`single_paths`, D-mode)

    The first gates of the source's code are those of `closed=True`.

    Args:
        mode: how an edge takes up those before it.
        edge_width: channels of the features of an edge; 0 for none.
        closed: sources and marks begin at sigmoid(-5) in place of 1/2, transitions at those of r = 10 n, n a normal
            number for each head, in place of r = 4; all see nothing of x and f at first. d is a sigmoid of W x for each
            node, sigmoid(-5) at first, in place of a weight of each head, 1 at first.

    Raises:
        NeurosimInputError: no such mode, a width that the heads do not divide, features of another width, or as
            `over_graph`.
    """

    def __init__(
        self,
        width: int,
        num_heads: int = 4,
        mode: str = "directional",
        *,
        edge_width: int = 0,
        closed: bool = False,
    ) -> None:
        super().__init__()
        self.heads = num_heads
        self.size = divide(width, num_heads, "PLSTMGraph.width")
        self.weigh = lookup(MODES, mode, "PLSTMGraph.mode")
        self.has_single_paths = mode == "diffusive"
        self.edge_width = edge_width
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (linear(width, width) for _ in range(4))
        # A transition leads from one edge to another, and sees the features of both.
        self.source_proj = linear(width + edge_width, num_heads, bias=True)
        self.transition_proj = linear(width + 2 * edge_width, num_heads, bias=True)
        self.mark_proj = linear(width + edge_width, num_heads, bias=True)
        nn.init.constant_(self.transition_proj.bias, DIRECT)
        self.direct: nn.Parameter | None = None
        self.direct_proj: nn.Linear | None = None
        if closed:
            self.direct_proj = linear(width, num_heads, bias=True)
            for layer in (self.source_proj, self.mark_proj, self.direct_proj, self.transition_proj):
                nn.init.zeros_(layer.weight)
                nn.init.constant_(layer.bias, CLOSED)
            nn.init.normal_(self.transition_proj.bias, std=SPREAD)
        else:
            self.direct = nn.Parameter(torch.ones(num_heads))
        self.norm = nn.RMSNorm(self.size, 1e-5)

    def direct_weights(self, x: Tensor) -> Tensor:
        """Return d, [B, N, H] or, the same for all nodes, [H]."""
        if self.direct_proj is None:
            assert self.direct is not None
            return self.direct
        return self.direct_proj(x).sigmoid()

    def forward(self, x: Tensor, edges: Tensor, features: Tensor | None = None) -> Tensor:
        if features is None:
            features = x.new_zeros(len(x), len(edges), 0)
        expected = (len(x), len(edges), self.edge_width)
        require(features.shape == expected, "PLSTMGraph.features", f"must be {expected}", tuple(features.shape))
        q, k, v = (split_heads(layer(x), self.size) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q = q * self.size**-0.5
        begins, ends = edges.unbind(-1)
        # An edge begins at the node that writes into it, and ends at the node that reads it.
        source = self.source_proj(torch.cat([x[:, begins], features], -1)).sigmoid()
        mark = self.mark_proj(torch.cat([x[:, ends], features], -1)).sigmoid()
        pairs = single_paths(x.shape[1], edges) if self.has_single_paths else line_graph(edges)
        # A transition leads from an edge to one that follows it, and sees both and the node between.
        before, after = pairs.unbind(-1)
        seen = torch.cat([features[:, before], features[:, after], x[:, ends[before]]], -1)
        transition = self.weigh(self.transition_proj(seen), edges, pairs)
        # A node reads itself directly, and other nodes along the edges.
        out = ((q * k).sum(-1) * self.direct_weights(x))[..., None] * v
        out = out + over_graph(q, k, v, edges, source, transition, mark, pairs)
        return self.o_proj(self.norm(out).flatten(-2))
