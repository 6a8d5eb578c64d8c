"""Linear nodes of NIR against loops: convolutions, pooling, chains, paths side by side, delays."""

from __future__ import annotations

from typing import Any

import nir as library
import numpy as np
import pytest
from helpers.nir_graphs import chain, plain

from neurosim import AllToAll, OneToOne
from neurosim.network import LI, from_nir
from neurosim.network.nir.transforms import transform


def loops(kernel: np.ndarray, x: np.ndarray, stride: Any, pad: Any, dilation: Any, groups: int) -> np.ndarray:
    f, c, kh, kw = kernel.shape
    sh, sw = stride
    dh, dw = dilation
    x = np.pad(x, ((0, 0), pad[0], pad[1]))
    rows = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[2] - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((f, rows, columns))
    for o in range(f):
        first = o // (f // groups) * c
        for i in range(rows):
            for j in range(columns):
                window = x[first : first + c, i * sh : i * sh + dh * kh : dh, j * sw : j * sw + dw * kw : dw][
                    :, :kh, :kw
                ]
                out[o, i, j] = (kernel[o] * window).sum()
    return out


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups", "ends"),
    [
        (1, 0, 1, 1, ((0, 0), (0, 0))),
        (2, 1, 1, 2, ((1, 1), (1, 1))),
        ((2, 1), (0, 2), (1, 2), 4, ((0, 0), (2, 2))),
        (1, "same", (2, 1), 1, ((2, 2), (0, 1))),
        (1, "valid", 1, 1, ((0, 0), (0, 0))),
    ],
)
def test_convolutions(stride: Any, padding: Any, dilation: Any, groups: int, ends: Any) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 4 // groups, 3, 2))
    x = rng.normal(size=(4, 9, 8))
    node = library.Conv2d((9, 8), kernel, stride, padding, dilation, groups, rng.normal(size=4))
    step = transform(node, "Conv2d 'c'", x.shape)
    two = [v if isinstance(v, tuple) else (v, v) for v in (stride, dilation)]
    expected = loops(kernel, x, two[0], ends, two[1], groups) + node.bias[:, None, None]
    found = (step.matrix @ x.ravel() + step.bias).reshape(step.output)
    assert found.shape == expected.shape and np.allclose(found, expected)


@pytest.mark.parametrize("average", [False, True])
def test_pooling(average: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 7, 6))
    kind = library.AvgPool2d if average else library.SumPool2d
    node = kind(np.array([3, 2]), np.array([2, 2]), np.array([1, 0]))
    step = transform(node, "pool", x.shape)
    kernel = np.kron(np.eye(3), np.ones((1, 1))).reshape(3, 3, 1, 1) * np.ones((1, 1, 3, 2)) / (6 if average else 1)
    assert np.allclose(
        (step.matrix @ x.ravel()).reshape(step.output), loops(kernel, x, (2, 2), ((1, 1), (0, 0)), (1, 1), 1)
    )


def test_one_dimension() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 3, 5))
    x = rng.normal(size=(3, 20))
    step = transform(library.Conv1d(20, kernel, 2, 2, 1, 1, np.zeros(4)), "c", x.shape)
    expected = loops(kernel[:, :, None], x[:, None], (1, 2), ((0, 0), (2, 2)), (1, 1), 1)[:, 0]
    assert np.allclose((step.matrix @ x.ravel()).reshape(step.output), expected)


def test_a_chain_of_linear_nodes_is_one_projection() -> None:
    """Convolution, pooling, unfolding, scaling and a matrix, with biases on the way: against the same in numpy."""
    rng = np.random.default_rng(0)
    shape = (2, 8, 8)
    conv = rng.normal(size=(4, 2, 3, 3))
    dense = rng.normal(size=(5, 36))
    scale = rng.normal(size=36)
    biases = (rng.normal(size=4), rng.normal(size=5))
    nodes = [
        library.Conv2d((8, 8), conv, 1, 0, 1, 1, biases[0]),
        library.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        library.Flatten({"input": None}, 0, -1),
        library.Scale(scale),
        library.Affine(dense, biases[1]),
        plain("LI", 5, 1e-3),
    ]
    network = from_nir(chain(*nodes, size=shape), 1e-3)
    (projection,) = network.projections
    weight = np.zeros((128, 5))
    weight[:] = np.reshape(projection.weight, (128, 5))

    def straight(x: np.ndarray) -> np.ndarray:
        y = loops(conv, x, (1, 1), ((0, 0), (0, 0)), (1, 1), 1) + biases[0][:, None, None]
        return dense @ (scale * y.reshape(4, 3, 2, 3, 2).sum(axis=(2, 4)).ravel()) + biases[1]

    x = rng.normal(size=shape)
    model = network.population("n5").model
    assert isinstance(model, LI)
    rest = model.v_leak + model.r * model.i_offset  # the bias: r is tau / dt
    assert np.allclose(np.asarray(rest) / 20, straight(np.zeros(shape)))
    assert np.allclose(x.ravel() @ weight + np.asarray(rest) / 20, straight(x))
    assert projection.name == "n0.n1.n3.n4"


def test_paths_side_by_side_add_up() -> None:
    one = library.NIRGraph(
        {
            "in": library.Input({"input": np.array([4])}),
            "a": library.Linear(np.full((3, 4), 0.25)),
            "b": library.Scale(np.full(4, 2.0)),
            "c": library.Linear(np.full((3, 4), 0.5)),
            "x": plain("LI", 3, 1e-3),
            "out": library.Output({"output": np.array([3])}),
        },
        [("in", "a"), ("a", "x"), ("in", "b"), ("b", "c"), ("c", "x"), ("x", "out"), ("x", "out")],
        type_check=False,
    )
    network = from_nir(one, 1e-3)
    assert {p.name: p.weight for p in network.projections} == {"a": 0.25, "b.c": 1.0}


def test_graphs_in_graphs() -> None:
    inner = library.NIRGraph(
        {
            "input": library.Input({"input": np.array([4])}),
            "lif": plain("LIF", 4, 1e-3),
            "w_rec": library.Linear(np.eye(4) * 0.5),
            "output": library.Output({"output": np.array([4])}),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
        type_check=False,
    )
    graph = chain(library.Linear(np.eye(4) * 2), inner, library.Linear(np.ones((2, 4))), plain("IF", 2, 1e-3))
    network = from_nir(graph, 1e-3)
    found = {(p.source, p.target): type(p.pattern) for p in network.projections}
    assert found == {("in", "n1.lif"): OneToOne, ("n1.lif", "n1.lif"): OneToOne, ("n1.lif", "n3"): AllToAll}
    # A graph may end in another: its last node is that of the inner one.
    ends = from_nir(chain(library.Linear(np.eye(4) * 2), inner), 1e-3)
    assert [p.name for p in ends.populations] == ["in", "n1.lif"]


@pytest.mark.parametrize(
    ("delay", "where", "expected"),
    [
        (np.full(4, 3e-3), 0, 3e-3),
        (np.zeros(4), 0, 1e-3),
        (np.array([1.0, 2.0, 3.0, 4.0]) * 1e-3, 0, np.repeat([1, 2, 3, 4], 3) * 1e-3),
        (np.array([1.0, 2.0, 3.0]) * 1e-3, 1, np.tile([1, 2, 3], 4) * 1e-3),
    ],
)
def test_delays(delay: np.ndarray, where: int, expected: Any) -> None:
    nodes = [library.Linear(np.full((3, 4), 0.2)), plain("LI", 3, 1e-3)]
    nodes.insert(where, library.Delay(delay))
    (projection,) = from_nir(chain(*nodes), 1e-3).projections
    assert np.allclose(projection.delay, expected, rtol=1e-12)  # type: ignore[arg-type]
