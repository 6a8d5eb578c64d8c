"""The linear layer of spikes: term by term against the reference, and as an `nn.Linear` against torch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurosim.base import NeurosimInputError
from neurosim.kernels.layers.spike_linear import blocks, lists
from neurosim.kernels.layers.spike_linear import cpu as L
from neurosim.kernels.layers.spike_linear.lists import listed, turned
from neurosim.kernels.layers.spike_linear.reference import product_reference
from neurosim.kernels.tools import lines
from neurosim.learning import SpikeLinear
from neurosim.learning.layers.linear import SpikeList


def matrices(rows: int, inputs: int, outputs: int, density: float, counts: bool = False) -> list[np.ndarray]:
    rng = np.random.default_rng(rows)
    x = (rng.random((rows, inputs)) < density).astype(np.float32)
    if counts:
        x *= rng.integers(1, 4, x.shape)
    return [x, *(rng.standard_normal((n, outputs)).astype(np.float32) for n in (inputs, rows))]


SHAPES = [
    (13, 37, 29, 0.1),
    (40, 70, 45, 0.2),
    (3, 40_000, 33, 0.01),
    (517, 3, 70, 0.5),
    (1, 1, 1, 1.0),
    (5, 9, 4, 0.0),
    (1030, 300, 384, 0.05),
    (9, 1100, 333, 0.01),
    (3, 5, 400, 0.0),
]


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_taken_term_by_term(shape: tuple, counts: bool) -> None:
    x, weights, g = matrices(*shape, counts)
    active = listed(x, max_density=1.0)
    np.testing.assert_array_equal(L.product(active, weights), product_reference(x, weights))
    back = L.turned_product(active, x.shape[1], g)
    np.testing.assert_array_equal(back, product_reference(np.ascontiguousarray(x.T), g))
    np.testing.assert_array_equal(L.column_sums(g), np.add.accumulate(g)[-1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lists_are_the_matrix(shape: tuple) -> None:
    x = matrices(*shape, True)[0]
    active = listed(x, max_density=1.0)
    for matrix, found in ((x, active), (x.T, turned(active, x.shape[1]))):
        rows, units = np.nonzero(matrix)
        np.testing.assert_array_equal(found.units, units)
        np.testing.assert_array_equal(np.repeat(np.arange(len(matrix)), np.diff(found.starts)), rows)
        assert found.values.size == 0 or np.array_equal(found.values, matrix[rows, units])


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("columns", [300, 500])
def test_threads_and_tiles_change_nothing(columns: int, counts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weights, g = matrices(300, 900, columns, 0.05, counts)
    expected = product_reference(x, weights)
    expected_back = product_reference(np.ascontiguousarray(x.T), g)
    np.testing.assert_array_equal(L.product(listed(x), weights), expected)
    for module, name, value in (
        (L, "TILE_BYTES", 1 << 14),
        (L, "GRAIN", 1),
        (lists, "LOOK_GRAIN", 1),
        (L, "LOOK_GRAIN", 1),
        (blocks, "GRAIN", 1),
        (blocks, "ORDER_GRAIN", 1),
        (blocks, "SPIKES", 1),
        (blocks, "MIN_SHIFT", 4),
    ):
        monkeypatch.setattr(module, name, value)
    for threads in (1, 2, 5):
        active = listed(x, threads=threads)
        np.testing.assert_array_equal(L.product(active, weights, threads), expected)
        np.testing.assert_array_equal(L.turned_product(active, x.shape[1], g, threads), expected_back)
        np.testing.assert_array_equal(L.column_sums(weights, threads), L.column_sums(weights))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_groups_of_rows_and_streamed_results_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "GRAIN", 1)
    monkeypatch.setattr(lines, "STREAMED_BYTES", 0)
    for rows, columns in ((2 * blocks.GROUP + 1, 352), (1, 384), (0, 384), (70, 390)):
        x, weights, _ = matrices(rows, 40, columns, 0.1)
        expected = product_reference(x, weights)
        np.testing.assert_array_equal(L.product(listed(x), weights, threads), expected)
        by_input = listed(np.ascontiguousarray(x.T))
        np.testing.assert_array_equal(L.turned_product(by_input, rows, weights, threads), expected)


def test_a_dense_matrix_is_not_listed() -> None:
    x = matrices(50, 60, 1, 0.3)[0]
    assert listed(x) is None and listed(x, max_density=0.5) is not None


@pytest.mark.parametrize("lead", [(11,), (7, 3), ()], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("density", [0.1, 0.8])
def test_a_linear_layer_as_torchs(lead: tuple, bias: bool, density: float) -> None:
    g = torch.Generator().manual_seed(3)
    layer = SpikeLinear(40, 29, bias)
    x = (torch.rand(*lead, 40, generator=g) < density).float().requires_grad_()
    grad = torch.randn(*lead, 29, generator=g)
    found = []
    for form in (layer, lambda x: torch.nn.functional.linear(x, layer.weight, layer.bias)):
        y = form(x)
        y.backward(grad)
        found.append([y.detach(), x.grad, *(p.grad for p in layer.parameters())])
        x.grad = None
        layer.zero_grad()
    assert ("SpikeProduct" in type(layer(x).grad_fn).__name__) == (density < 0.2)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("entry", [1.0, 2.5])
@pytest.mark.parametrize("density", [0.1, 0.8])
def test_a_list_of_spikes_gives_the_bits_of_the_tensor(entry: float, density: float) -> None:
    g = torch.Generator().manual_seed(4)
    layer = SpikeLinear(40, 29)
    x = entry * (torch.rand(7, 3, 40, generator=g) < density).float()
    spikes = SpikeList(listed(x.flatten(0, 1).numpy(), max_density=1.0), (7, 3, 40))
    assert torch.equal(spikes.dense(), x)
    found = []
    for form in (x, spikes):
        y = layer(form)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad for p in layer.parameters())])
        layer.zero_grad()
    assert ("SpikeProduct" in type(layer(spikes).grad_fn).__name__) == (density < 0.2)
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_nobody_asks_for_the_gradient_of_the_input() -> None:
    layer = SpikeLinear(40, 29)
    x = (torch.rand(11, 40) < 0.1).float()
    layer(x).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.stride() == layer.weight.stride() == (1, 29)


def test_other_types_take_the_dense_product() -> None:
    layer = SpikeLinear(40, 29).double()
    x = (torch.rand(11, 40) < 0.1).double()
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
    assert SpikeLinear(40, 29)(torch.empty(0, 40)).shape == (0, 29)


def test_weights_come_from_the_seed_alone_and_draw_nothing_from_torch() -> None:
    before = torch.random.get_rng_state()
    a = SpikeLinear(30, 20, seed=1)
    b = SpikeLinear(30, 20, seed=1)
    other = SpikeLinear(30, 20, seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(a.weight, b.weight) and torch.equal(a.bias, b.bias) and not torch.equal(a.weight, other.weight)
    assert isinstance(a, torch.nn.Linear) and a.weight.shape == (20, 30)
    assert 0.9 / 30**0.5 < a.weight.abs().max() <= 1 / 30**0.5
    a.load_state_dict({name: value.contiguous() for name, value in other.state_dict().items()})
    assert torch.equal(a.weight, other.weight) and a.weight.stride() == (1, 20)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((0, 3), "SpikeLinear.in_features: must be an integer > 0"), ((3, 2.5), "SpikeLinear.out_features: must be")],
)
def test_bad_sizes_are_refused(sizes: tuple, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=words):
        SpikeLinear(*sizes)


def test_what_is_no_number_shows() -> None:
    """NaN is an entry like any other; -0 is none."""
    x = np.zeros((2, 70), np.float32)
    x[0, [3, 69]] = np.nan
    x[1, 5] = -0.0
    active = listed(x)
    np.testing.assert_array_equal(active.units, [3, 69])
    out = L.product(active, np.ones((70, 4), np.float32))
    assert np.isnan(out[0]).all() and (out[1] == 0).all()
