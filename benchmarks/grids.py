"""Layers over images: arrows that point beyond the size that was trained, and frames of N-MNIST.

    python benchmarks/grids.py [rays] [arrow] [overlapping] [nmnist] [graphs] [--layers A,B] [--seeds 3] [--epochs 20]
        [--updates 500] [--json] [--keep DIR]

rays: arrow pointing without pictures. A grid of squares has an arrow that points in one of four directions and a disc
    on one of the four lines from it; is it the line that the arrow points along? A square is one of six tokens. One
    block, trained on 6 x 6 squares drawn anew for each of 300 updates, tested on 500 grids of 6, 12 and 18.
arrow: an arrow and a disc at random places; does the arrow point to the disc (within 13 degrees), or past it (by 31 or
    more)? Trained on images of 24 x 24 drawn anew for every update, tested on 1,000 of 24, 32 and 48 with the same
    shapes. Guessing is right in half.
overlapping: the same after --updates, with a third convolution, so that a patch sees 15 x 15 pixels, a whole arrow.
nmnist: events of each polarity counted over a recording, 2 x 34 x 34; all recordings of the training folder learned
    for --epochs, those of the test folder classified once, after the last. NEUROSIM_DATA names the folder.
graphs: is there a path from one node of a directed graph without cycles to another? One block, trained on graphs of 12
    nodes, with 1.5 edges a node on average, one for each of 300 updates of 32 pairs, tested on 30 graphs of 12, 24 and
    48. Layers of this part: PLSTMGraph ("plstm", "plstm normalised" and "plstm diffusive" by its modes; "plstm closed"
    and "plstm diffusive closed", the two modes of the source's code with its first gates), the mean over the nodes
    before a node ("convolution"), and "none".

The network: patches of 4 x 4 pixels to 48 channels by two convolutions, two blocks of norm, layer, norm and
feed-forward layer, and the mean over patches; for rays and overlapping the largest value of each channel over them, for
in a mean the two that matter count the less, the larger the grid. Layers: PLSTM2D in its two modes, the directional one
also with 4 heads in place of 2, and without transitions, so that only neighbours see each other; both modes with 4
heads and the gates and norms of the source's code, of its single layer ("published") and of its models of images
("closed"); the diffusive one with transitions that are matrices of 2 states; LightNet2D with and without positions, a
convolution of 3 x 3 patches, and none, which is the feed-forward layer alone. By name alone: attention of every patch
to all by a feature map, "elu", "hedgehog", "norm_aware 1", "norm_aware 3" and "norm_aware trained". --keep saves each
result as soon as it is there, and a second call begins behind the last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import frame
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from neurosim.data import catalog
from neurosim.language.attention.kinds.feature_maps import NormAware, feature_map
from neurosim.language.attention.kinds.lightnet import LightNet2D
from neurosim.language.attention.kinds.plstm_2d import PLSTM2D, EdgeGates
from neurosim.language.attention.kinds.plstm_graph import PLSTMGraph

WIDTH = 48
HEADS = 2
BLOCKS = 2
SIZES = (24, 32, 48)
UPDATES = 1000
BATCH = 32
TESTED = 1000
SQUARES = (6, 12, 18)
RAY_UPDATES = 300
RAYS_TESTED = 500
RATE = 2e-3
NODES = (12, 24, 48)
GRAPH_UPDATES = 300
GRAPHS_TESTED = 30


class Around(nn.Module):
    """A convolution of 3 x 3 patches: [B, X, Y, C] to alike."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.movedim(-1, 1)).movedim(1, -1)


class Mapped(nn.Module):
    """Attention of all patches to all by a feature map: phi(q) sum phi(k) v^T / (phi(q) sum phi(k)), HEADS heads.

    Queries and keys see where a patch lies, by sines and cosines of a row and a column, mixed to WIDTH channels.
    """

    def __init__(self, name: str, power: float | None = None) -> None:
        super().__init__()
        size = WIDTH // HEADS
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(4)])
        self.places = nn.Linear(8, WIDTH)
        self.maps = nn.ModuleList([feature_map(name, size, HEADS, is_query=query) for query in (True, False)])
        for each in self.maps:
            if isinstance(each, NormAware):
                each.set_power(power or 3.0, trained=power is None)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1:3]
        angles = [torch.linspace(0, np.pi, size)[:, None] * torch.tensor([1.0, 2.0]) for size in (rows, columns)]
        waves = [torch.cat([angle.sin(), angle.cos()], -1) for angle in angles]
        grid = torch.cat([waves[0][:, None].expand(-1, columns, -1), waves[1].expand(rows, -1, -1)], -1)
        to_q, to_k, to_v, to_out = self.layers
        placed = x + self.places(grid)
        projected = (to_q(placed), to_k(placed), to_v(x))
        q, k, v = (y.flatten(1, 2).unflatten(-1, (HEADS, -1)) for y in projected)
        q, k = (layer(y) for layer, y in zip(self.maps, (q, k), strict=True))
        sums = torch.einsum("bnhk,bnhv->bhkv", k, v)
        out = torch.einsum("bnhk,bhkv->bnhv", q, sums)
        mass = torch.einsum("bnhk,bhk->bnh", q, k.sum(1))
        return to_out((out / (mass[..., None] + 1e-6)).flatten(-2)).unflatten(1, (rows, columns))


class Unconnected(PLSTM2D):
    """A node sees what the nodes beside it send, and passes nothing on."""

    def __init__(self) -> None:
        super().__init__(WIDTH, HEADS)
        gates = self.gates

        def first_step(edges: EdgeGates) -> tuple[Tensor, Tensor, Tensor]:
            source, transition, mark = gates(edges)
            return source, torch.zeros_like(transition), mark

        self.gates = first_step


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "plstm": lambda: PLSTM2D(WIDTH, HEADS, "directional"),
    "plstm of 4 heads": lambda: PLSTM2D(WIDTH, 4, "directional"),
    "plstm diffusive": lambda: PLSTM2D(WIDTH, HEADS, "diffusive"),
    "plstm without transitions": Unconnected,
    "plstm published": lambda: PLSTM2D(WIDTH, 4, complement=True, norm="each"),
    "plstm diffusive published": lambda: PLSTM2D(WIDTH, 4, "diffusive", chirality="L", by_direction=True, norm="each"),
    "plstm closed": lambda: PLSTM2D(WIDTH, 4, complement=True, norm="sum", states=1, closed=True),
    "plstm diffusive closed": lambda: PLSTM2D(
        WIDTH, 4, "diffusive", chirality="L", by_direction=True, norm="sum", states=1, closed=True
    ),
    "plstm diffusive of 2 states": lambda: PLSTM2D(
        WIDTH, 4, "diffusive", chirality="L", by_direction=True, norm="each", states=2
    ),
    "lightnet": lambda: LightNet2D(WIDTH, HEADS),
    "lightnet without positions": lambda: LightNet2D(WIDTH, HEADS, toeplitz=False, cosine=False),
    "convolution": Around,
    "none": nn.Identity,
}
MAPS: dict[str, Callable[[], nn.Module]] = {
    "elu": lambda: Mapped("elu"),
    "hedgehog": lambda: Mapped("hedgehog_by_head"),
    "norm_aware 1": lambda: Mapped("norm_aware", 1.0),
    "norm_aware 3": lambda: Mapped("norm_aware", 3.0),
    "norm_aware trained": lambda: Mapped("norm_aware"),
}


class Patches(nn.Sequential):
    """[B, planes, X, Y] to [B, X / 4, Y / 4, WIDTH]."""

    def __init__(self, planes: int, *, overlapping: bool = False) -> None:
        super().__init__(nn.Conv2d(planes, WIDTH // 2, 3, 2, 1), nn.GELU(), nn.Conv2d(WIDTH // 2, WIDTH, 3, 2, 1))
        if overlapping:
            self.extend([nn.GELU(), nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)])

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).movedim(1, -1)


class Network(nn.Module):
    def __init__(
        self, name: str, stem: nn.Module, classes: int, blocks: int = BLOCKS, *, averaged: bool = True
    ) -> None:
        super().__init__()
        self.stem = stem
        self.averaged = averaged
        self.layers = nn.ModuleList([(LAYERS | MAPS)[name]() for _ in range(blocks)])
        self.norms = nn.ModuleList([nn.RMSNorm(WIDTH) for _ in range(2 * blocks + 1)])
        self.mlps = nn.ModuleList(
            [nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)) for _ in range(blocks)]
        )
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for i, (layer, mlp) in enumerate(zip(self.layers, self.mlps, strict=True)):
            x = x + layer(self.norms[2 * i](x))
            x = x + mlp(self.norms[2 * i + 1](x))
        x = self.norms[-1](x)
        return self.head(x.mean((1, 2)) if self.averaged else x.amax((1, 2)))


def rays(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """(tokens [count, size, size], labels [count]); 0 for an empty square, 1 to 4 for an arrow, 5 for the disc."""
    draws = np.random.default_rng(seed)
    arrow = draws.integers(4, size=count)
    labels = draws.integers(2, size=count)
    line = np.where(labels, arrow, (arrow + draws.integers(1, 4, count)) % 4)
    apart = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])[line] * draws.integers(1, size, count)[:, None]
    first = draws.integers(np.maximum(-apart, 0), size - np.maximum(apart, 0))
    tokens = np.zeros((count, size, size), np.int64)
    each = np.arange(count)
    for (row, column), token in ((first.T, 1 + arrow), ((first + apart).T, 5)):
        tokens[each, row, column] = token
    return torch.from_numpy(tokens), torch.from_numpy(labels)


def arrows(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """(images [count, 1, size, size], labels [count]); an arrow is a shaft of 9 pixels with a head of two."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(2, size=count)
    images = np.zeros((count, size, size), np.float32)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)

    def segment(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Ink of a line of 1.5 pixels from a to b [2]."""
        along = b - a
        t = np.clip(((rows - a[0]) * along[0] + (columns - a[1]) * along[1]) / (along @ along), 0, 1)
        return np.clip(1.25 - np.hypot(rows - a[0] - t * along[0], columns - a[1] - t * along[1]), 0, 1)

    for n in range(count):
        while True:
            middle = draws.uniform(6, size - 6, 2)
            disc = draws.uniform(3, size - 3, 2)
            if np.hypot(*(disc - middle)) > 11:
                break
        angle = np.arctan2(*(disc - middle)) + draws.uniform(-0.22, 0.22)
        if not labels[n]:
            angle += draws.choice([-1, 1]) * draws.uniform(0.77, np.pi)
        ahead = np.array([np.sin(angle), np.cos(angle)])
        tip = middle + 4.5 * ahead
        parts = [segment(middle - 4.5 * ahead, tip)]
        for turn in (2.5, -2.5):
            back = np.array([np.sin(angle + turn), np.cos(angle + turn)])
            parts.append(segment(tip, tip + 4 * back))
        parts.append(np.clip(3 - np.hypot(rows - disc[0], columns - disc[1]), 0, 1))
        images[n] = np.max(parts, 0)
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels)


def frames(split: str) -> tuple[Tensor, Tensor]:
    """(root of the counts [n, 2, 34, 34], labels)."""
    found = catalog.load("nmnist", split)
    assert found.labels is not None
    counts = torch.from_numpy(found.counts().astype(np.float32)).view(-1, 2, 34, 34)
    return counts.sqrt(), torch.from_numpy(found.labels.astype(np.int64))


class Before(nn.Module):
    """The mean over the nodes with an edge to a node, through a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        summed = torch.zeros_like(x).index_add(1, edges[:, 1], self.layer(x)[:, edges[:, 0]])
        return summed / edges[:, 1].bincount(minlength=x.shape[1]).clamp(min=1)[:, None]


class GraphNetwork(nn.Module):
    """Two marked nodes of a graph to two classes: a block, read at the second."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layers = {
            "plstm": lambda: PLSTMGraph(WIDTH, HEADS),
            "plstm normalised": lambda: PLSTMGraph(WIDTH, HEADS, "normalised"),
            "plstm diffusive": lambda: PLSTMGraph(WIDTH, HEADS, "diffusive"),
            "plstm closed": lambda: PLSTMGraph(WIDTH, HEADS, "normalised", closed=True),
            "plstm diffusive closed": lambda: PLSTMGraph(WIDTH, HEADS, "diffusive", closed=True),
            "convolution": Before,
            "none": lambda: None,
        }
        self.embed = nn.Embedding(3, WIDTH)
        self.layer = layers[name]()
        self.norms = nn.ModuleList([nn.RMSNorm(WIDTH) for _ in range(3)])
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, graph: tuple[Tensor, Tensor]) -> Tensor:
        tokens, edges = graph
        x = self.embed(tokens)
        if self.layer is not None:
            x = x + self.layer(self.norms[0](x), edges)
        x = x + self.mlp(self.norms[1](x))
        return self.head(self.norms[2](x[tokens == 2]))


def paths(count: int, nodes: int, seed: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """((tokens [count, nodes], edges [E, 2]), labels [count]) of a graph; 1 marks the first node, 2 the second."""
    draws = np.random.default_rng(seed)
    while True:
        order = draws.permutation(nodes)
        joined = np.triu(draws.random((nodes, nodes)) < 3 / nodes, 1)
        reached = joined.copy()
        for middle in range(nodes):
            reached |= reached[:, middle, None] & reached[middle]
        pairs = [np.argwhere(reached), np.argwhere(~reached & ~np.eye(nodes, dtype=bool))]
        if min(map(len, pairs)) > 0:
            break
    labels = draws.integers(2, size=count)
    chosen = order[np.array([pairs[1 - label][draws.integers(len(pairs[1 - label]))] for label in labels])]
    tokens = np.zeros((count, nodes), np.int64)
    tokens[np.arange(count), chosen[:, 0]] = 1
    tokens[np.arange(count), chosen[:, 1]] = 2
    return (torch.from_numpy(tokens), torch.from_numpy(order[np.argwhere(joined)])), torch.from_numpy(labels)


def update(
    net: nn.Module, optimiser: torch.optim.Optimizer, done: float, batch: tuple[Any, Tensor], rate: float = RATE
) -> None:
    """One step; `done` is the share of the training before it, for the learning rate, `rate` at most."""
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, 20 * done + 0.02) * (0.5 + 0.5 * np.cos(np.pi * done))
    optimiser.zero_grad()
    F.cross_entropy(net(batch[0]), batch[1]).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()


@torch.no_grad()
def right(net: Network, images: Tensor, labels: Tensor) -> float:
    return float(torch.cat([net(part) for part in images.split(50)]).argmax(1).eq(labels).float().mean())


def begin(seed: int, build: Callable[[], Network]) -> tuple[Network, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    net = build()
    return net, torch.optim.AdamW(net.parameters(), weight_decay=0.05)


def ray(name: str, seed: int, epochs: int) -> list[float]:
    """Share right at each of `SQUARES`."""
    net, optimiser = begin(seed, lambda: Network(name, nn.Embedding(6, WIDTH), 2, 1, averaged=False))
    for step in range(RAY_UPDATES):
        batch = rays(BATCH, SQUARES[0], (seed << 32) + step)
        update(net, optimiser, step / RAY_UPDATES, batch, 2 * RATE)
    return [right(net, *rays(RAYS_TESTED, size, (1 << 62) + size)) for size in SQUARES]


def arrow(name: str, seed: int, epochs: int) -> list[float]:
    """Share right at each of `SIZES`; updates are counted, not epochs."""
    net, optimiser = begin(seed, lambda: Network(name, Patches(1), 2))
    for step in tqdm(range(UPDATES), desc=f"arrow, {name}, {seed}", file=sys.stderr, mininterval=15):
        update(net, optimiser, step / UPDATES, arrows(BATCH, SIZES[0], (seed << 32) + step))
    return [right(net, *arrows(TESTED, size, (1 << 62) + size)) for size in SIZES]


def overlapping(name: str, seed: int, updates: int) -> list[float]:
    """`arrow` with patches that see a whole arrow."""
    net, optimiser = begin(seed, lambda: Network(name, Patches(1, overlapping=True), 2, averaged=False))
    for step in range(updates):
        batch = arrows(BATCH, SIZES[0], (seed << 32) + step)
        update(net, optimiser, step / updates, batch, 2 * RATE)
    return [right(net, *arrows(TESTED, size, (1 << 62) + size)) for size in SIZES]


def graphs(name: str, seed: int, epochs: int) -> list[float]:
    """Share right at each of `NODES`."""
    torch.manual_seed(seed)
    net = GraphNetwork(name)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    for step in range(GRAPH_UPDATES):
        update(net, optimiser, step / GRAPH_UPDATES, paths(BATCH, NODES[0], (seed << 32) + step), 2 * RATE)
    scores = []
    with torch.no_grad():
        for nodes in NODES:
            tests = [paths(BATCH, nodes, (1 << 62) + n) for n in range(GRAPHS_TESTED)]
            scores.append(float(np.mean([(net(x).argmax(1) == y).float().mean() for x, y in tests])))
    return scores


def nmnist(name: str, seed: int, epochs: int) -> list[float]:
    """Share right of the test recordings."""
    images, labels = frames("train")
    net, optimiser = begin(seed, lambda: Network(name, Patches(2), 10))
    steps = epochs * len(labels) // BATCH
    for step in tqdm(range(steps), desc=f"nmnist, {name}, {seed}", file=sys.stderr, mininterval=15):
        draws = torch.Generator().manual_seed((seed << 32) + step)
        chosen = torch.randint(len(labels), (BATCH,), generator=draws)
        shift = torch.randint(-2, 3, (2,), generator=draws).tolist()
        update(net, optimiser, step / steps, (images[chosen].roll(shift, (2, 3)), labels[chosen]))
    return [right(net, *frames("test"))]


PARTS: dict[str, Callable[[str, int, int], list[float]]] = {
    "rays": ray,
    "arrow": arrow,
    "overlapping": overlapping,
    "nmnist": nmnist,
    "graphs": graphs,
}


def kept(folder: Path | None, part: str, name: str, length: int, seed: int) -> list[float]:
    """Return a result from `folder`, or compute it and put it there."""
    if folder is None:
        return PARTS[part](name, seed, length)
    path = folder / f"{part}-{name}-{length}-{seed}.json"
    if not path.is_file():
        found = PARTS[part](name, seed, length)
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return [float(value) for value in json.loads(path.read_text())]


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("parts", nargs="*", default=[part for part in PARTS if part != "graphs"])
    parser.add_argument("--layers", default=",".join(LAYERS))
    parser.add_argument("--epochs", type=int, default=20, help="of nmnist")
    parser.add_argument("--updates", type=int, default=500, help="of overlapping")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    lines = []
    for part in options.parts:
        length = options.updates if part == "overlapping" else options.epochs
        for name in options.layers.split(","):
            scores = [kept(options.keep, part, name, length, seed) for seed in range(options.seeds)]
            rows.append({"part": part, "layer": name, "right": scores})
            spread = (f"{s.mean():.3f} ({s.min():.3f} to {s.max():.3f})" for s in np.array(scores).T)
            lines.append(f"{part:8}{name:28}" + "  ".join(spread))
    frame.report(options, lines, {"rows": rows})


if __name__ == "__main__":
    main()
