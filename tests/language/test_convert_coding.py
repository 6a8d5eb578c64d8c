"""Spike coding: expansions give counts back, thresholds are the published ones, neurons send the counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.counting_neurons import bipolar_with_tracer, integrate_and_fire
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from neurosim.base import NeurosimInputError
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.encode.launch import encode, numpy_rounding
from neurosim.kernels.spikes.encode.reference import encode_reference, thresholds_reference
from neurosim.kernels.spikes.planes.reference import pack_reference, product_reference
from neurosim.language import EXPANSIONS, SCHEMES, Coder, SpikedLinear
from neurosim.language.conversion.coding import ternary, token_levels
from neurosim.language.conversion.expansions import collapse, count_spikes, expand
from neurosim.language.conversion.histogram import CountHistogram
from neurosim.language.conversion.roundings import levels_of

WIDE = st.lists(st.integers(-3000, 3000), min_size=1, max_size=40)


def counts_for(name: str, values: list[int]) -> np.ndarray:
    whole = np.array(values)
    return whole if EXPANSIONS[name].signed else np.abs(whole)


@pytest.mark.parametrize("name", EXPANSIONS)
@given(values=WIDE, planes=st.integers(1, 14))
def test_planes_and_escapes_give_the_counts_back(name: str, values: list[int], planes: int) -> None:
    counts = counts_for(name, values).reshape(1, -1)
    found = expand(EXPANSIONS[name], counts, planes)
    assert found.spikes.shape == (planes, *counts.shape) and set(np.unique(found.spikes)) <= {-1, 0, 1}
    assert np.array_equal(collapse(found), counts)
    low, high = EXPANSIONS[name].reach(planes)
    assert np.array_equal(found.escaped, np.flatnonzero((counts < low) | (counts > high)))


@pytest.mark.parametrize("name", EXPANSIONS)
@given(values=st.lists(st.integers(-200, 200), min_size=1, max_size=30))
def test_spikes_are_counted_as_they_are_sent(name: str, values: list[int]) -> None:
    counts = counts_for(name, values)
    code = EXPANSIONS[name]
    needed = code.needed(counts)
    low, high = code.reach(needed)
    assert low <= counts.min() and counts.max() <= high
    if needed > 1:
        low, high = code.reach(needed - 1)
        assert counts.min() < low or counts.max() > high
    for planes in (needed, needed + 3):
        sent = np.abs(expand(code, counts, planes).spikes).sum(axis=0)
        assert np.array_equal(sent, count_spikes(code, counts, planes))


def test_published_lengths_and_spikes() -> None:
    """T = max |s|, ceil(log2(max |s| + 1)), and one more for two's complement; -1 in it is all ones."""
    counts = np.array([5, -3, 0, 1])
    assert [EXPANSIONS[n].needed(counts) for n in ("unary_ternary", "bitwise", "twos_complement")] == [5, 3, 4]
    assert count_spikes(EXPANSIONS["bitwise"], counts, 3).tolist() == [2, 2, 0, 1]
    assert count_spikes(EXPANSIONS["twos_complement"], np.array([-1, -8, 3]), 4).tolist() == [4, 1, 2]
    assert expand(EXPANSIONS["canonical"], np.array([7, -7, 11]), 5).spikes.T.tolist() == [
        [0, 1, 0, 0, -1],
        [0, -1, 0, 0, 1],
        [1, 0, -1, 0, -1],  # 16 - 4 - 1
    ]
    assert expand(EXPANSIONS["bitwise"], np.array([-5]), 3).spikes[:, 0].tolist() == [-1, 0, -1]


def test_a_code_without_sign_refuses_negative_counts() -> None:
    with pytest.raises(NeurosimInputError, match=r"must be >= 0 for unary_binary.*use unary_ternary"):
        expand(EXPANSIONS["unary_binary"], np.array([1, -1]), 3)
    with pytest.raises(NeurosimInputError, match=r"expand.planes: must be >= 1 \(got 0\)"):
        expand(EXPANSIONS["bitwise"], np.array([1]), 0)


@pytest.mark.parametrize("k", [0.5, 3.0, 7.3])
def test_token_levels_are_those_of_the_kernel_bit_for_bit(k: float) -> None:
    draws = np.random.default_rng(3)
    x = (draws.standard_normal((200, 173)) * np.exp(6 * draws.standard_normal((200, 1)))).astype(np.float32)
    x[3] = 0
    x[4, 1:] = 0
    x[5] = 1e-30
    levels = token_levels(torch.from_numpy(x), k)[:, 0].numpy()
    assert np.array_equal(levels, thresholds_reference(x, k))
    coder = ternary(k)
    counts = coder.counts(torch.from_numpy(x), coder.level(torch.from_numpy(x)))
    assert np.array_equal(counts.numpy(), encode_reference(x, k)[0])


@pytest.mark.parametrize(("price", "shrink"), [(0.0, 0.0), (0.3, 0.0), (0.3, 0.2)])
def test_counts_without_gradients_are_those_with_them_bit_for_bit(price: float, shrink: float) -> None:
    x = 5 * torch.randn(3, 50, 120, generator=torch.Generator().manual_seed(0))
    # Counts beyond int8, and a token without activity.
    x[..., 7] *= 300
    x[1, 2] = 0
    coder = ternary(2.5, shrink, price)
    level = coder.level(x)
    with torch.no_grad():
        counts, levels = coder.coded(x)
    assert level is not None and levels is not None
    assert torch.equal(counts, coder.counts(x, level)) and torch.equal(levels, level)
    assert counts.abs().max() > 127
    coder.histogram = CountHistogram()
    with torch.no_grad():
        coder.coded(x)
    assert coder.histogram.bins.sum() > 15_000
    x[2, 49, 119] = torch.nan
    coder.histogram = None
    with torch.no_grad():
        passed_on = coder.coded(x)[0]
        assert passed_on.isnan().any() and torch.equal(passed_on[:2], counts[:2])


def test_the_rule_of_spikingbrain() -> None:
    """v = clamp(mean |x| / k, 1e-5, 1e4), s = round(x / v)."""
    x = torch.tensor([[0.1, -0.5, 2.0, 0.2], [0.0, 0.0, 0.0, 0.0]])
    coder = ternary(3.0)
    level = coder.level(x)
    assert level is not None and torch.allclose(level[:, 0], torch.tensor([0.7 / 3, 1e-5]))
    assert coder.counts(x, level).tolist() == [[0, -2, 9, 1], [0, 0, 0, 0]]
    assert torch.allclose(coder(x)[0], torch.tensor([0.0, -2.0, 9.0, 1.0]) * 0.7 / 3)


def test_coders_of_one_rule_code_a_tensor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: Any, **settings: Any) -> Any:
        calls.append(args)
        return encode(*args, **settings)

    monkeypatch.setattr("neurosim.language.conversion.coding.encode", counted)
    x = torch.randn(128, 144, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = ternary(2.0).coded(x)
        assert all(a is b for a, b in zip(ternary(2.0).coded(x), first, strict=True)) and len(calls) == 1
        other = ternary(1.0).coded(x)
        assert len(calls) == 2 and not torch.equal(other[0], first[0])
        # Changed in place, it is another tensor.
        x *= -1
        assert torch.equal(ternary(1.0).coded(x)[0], -other[0]) and len(calls) == 3
    with torch.inference_mode():
        y = x.clone()
        before = ternary(1.0).coded(y)[0]
        y *= -1
        assert torch.equal(ternary(1.0).coded(y)[0], -before)


def test_thresholds_of_channels_are_those_of_the_kernel() -> None:
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(64, 37, generator=draws)
    thresholds = torch.rand(37, generator=draws) + 0.05
    coder = Coder("calibrated", thresholds)
    expected = encode_reference(x.numpy(), thresholds=thresholds.numpy())[0]
    assert np.array_equal(coder.counts(x, None).numpy(), np.clip(expected, -127, 127))


def test_gradients_go_straight_through() -> None:
    """dy/dx = 1 where counts do not saturate; d y / d threshold = s - x / threshold (LSQ), 0 beyond the limit."""
    x = torch.tensor([[0.4, -1.2, 2.6, 9.0]], requires_grad=True)
    coder = Coder("stbif", torch.tensor([1.0]), limit=3)
    coder.thresholds.requires_grad_(True)
    (coder.counts(x, None) * coder.thresholds).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1.0, 1.0, 1.0, 0.0]]
    expected = sum(s - z for s, z in ((0, 0.4), (-1, -1.2), (3, 2.6))) + 3
    assert coder.thresholds.grad is not None and float(coder.thresholds.grad) == pytest.approx(expected, abs=1e-6)


@given(price=st.floats(0, 6), sizes=st.lists(st.floats(0, 120), min_size=1, max_size=30))
def test_sparing_rounding_is_the_cheapest_count(price: float, sizes: list[float]) -> None:
    z = torch.tensor(sizes, dtype=torch.float64)
    coder = Coder("calibrated", torch.ones(1), price=price, limit=127)
    found = coder._rounded(z)
    every = torch.arange(128, dtype=torch.float64)
    ones = torch.tensor([n.bit_count() for n in range(128)], dtype=torch.float64)
    cost = (z[:, None] - every).square() + price * ones
    mine = (z - found).square() + price * ones[found.long()]
    assert torch.all(mine <= cost.amin(1) + 1e-9)


@given(price=st.floats(0, 1), sizes=st.lists(st.floats(0, 128), min_size=1, max_size=30))
def test_priced_rounding_is_the_cheapest_count_in_canonical_digits(price: float, sizes: list[float]) -> None:
    z = torch.tensor(sizes, dtype=torch.float64)
    found = ternary(price=price)._rounded(z)
    every = np.arange(130)
    digits = torch.from_numpy(count_spikes(EXPANSIONS["canonical"], every, 9)).double()
    cost = (z[:, None] - torch.from_numpy(every)).square() + price * digits
    mine = (z - found).square() + price * digits[found.long()]
    # Edges are float32.
    assert torch.all(mine <= cost.amin(1) + 1e-6)


def test_a_priced_coder_sends_large_counts_and_passes_on_what_is_not_finite() -> None:
    """Counts that the kernel sends are the same, also beyond 127, where no price decides."""
    draws = np.random.default_rng(3)
    x = (draws.standard_normal((50, 173)) * np.exp(4 * draws.standard_normal((50, 1)))).astype(np.float32)
    x[:, 5] = 1000 * x[:, 6]
    coder = ternary(7.3, price=0.5)
    rounding, thresholds = coder.kernel_rounding(173)
    assert thresholds is None
    counts = coder.counts(torch.from_numpy(x), coder.level(torch.from_numpy(x))).numpy()
    assert np.array_equal(counts, encode_reference(x, 7.3, rounding=numpy_rounding(rounding))[0])
    assert np.abs(counts).max() > 127
    odd = torch.tensor([2.7, 127.2, math.nan, 200.6, -200.4])
    assert torch.equal(coder._rounded(odd).nan_to_num(-1.0), torch.tensor([2.0, 127.0, -1.0, 201.0, -200.0]))


@pytest.mark.parametrize("price", [0.0, 0.5, 1.0])
def test_looking_levels_up_is_searching_for_them(price: float) -> None:
    found = levels_of(price)
    z = torch.cat([torch.arange(0, 129, 1 / 64), torch.rand(4000, generator=torch.Generator().manual_seed(1)) * 140])
    assert found.fine is not None and levels_of(price + 0.01).fine is None
    assert torch.equal(found.index(z), torch.bucketize(z, found.edges.float(), right=True).to(torch.int32))


def test_without_a_price_every_count_is_a_level_and_shrinkage_is_soft() -> None:
    found = levels_of(0.0)
    assert found.counts.tolist() == list(range(128)) and torch.equal(found.edges, torch.arange(127) + 0.5)
    coder = ternary(1.0, shrink=0.5)
    z = torch.tensor([0.9, -1.1, 3.2])
    assert coder._rounded(z).tolist() == [0.0, -1.0, 3.0]


@pytest.mark.parametrize("levels", [1, 4, 15])
def test_neurons_of_qcfs_send_its_counts(levels: int) -> None:
    """An on and an off neuron over L steps send clip(floor(|x| L / lambda + 1/2), 0, L)."""
    x = torch.arange(-800, 801, dtype=torch.float64) / 256
    biggest = 2.0
    spikes = integrate_and_fire(x.clamp(min=0), biggest, levels).sum(0)
    spikes = spikes - integrate_and_fire((-x).clamp(min=0), biggest, levels).sum(0)
    coder = Coder("qcfs", torch.tensor([biggest / levels], dtype=torch.float64), limit=levels)
    coder.thresholds.data = torch.tensor([biggest / levels], dtype=torch.float64)
    published = x.sign() * (x.abs() * levels / biggest + 0.5).floor().clamp(0, levels)
    assert torch.equal(spikes.double(), published)
    if levels != 15:  # lambda / L is a binary fraction, so that x / (lambda / L) rounds as x L / lambda
        assert torch.equal(coder.counts(x, None), published)


@given(
    parts=st.lists(st.lists(st.integers(-900, 900), min_size=5, max_size=5), min_size=1, max_size=6),
    high=st.integers(1, 9),
)
def test_neurons_with_tracers_equal_the_quantised_activation(parts: list[list[int]], high: int) -> None:
    """Whatever the order in which inputs come, and however many spikes are taken back."""
    inputs = torch.tensor(parts, dtype=torch.float64) / 256
    spikes = bipolar_with_tracer(inputs, 0.25, -high, high, len(parts) + 4 * high + 40)
    coder = Coder("stbif", torch.tensor([0.25]), limit=high)
    assert torch.equal(spikes.sum(0).double(), coder.counts(inputs.sum(0), None))


def test_a_network_of_such_neurons_equals_the_quantised_network() -> None:
    """Two layers in time: the second gets the spikes of the first as they come, and settles on the same counts."""
    draws = torch.Generator().manual_seed(5)
    weight = torch.randint(-64, 65, (7, 11), generator=draws).double() / 128
    x = torch.randint(-512, 513, (11,), generator=draws).double() / 128
    first = bipolar_with_tracer(x[None], 0.5, -7, 7, 30)
    second = bipolar_with_tracer(first.double() @ (0.5 * weight).T, 0.25, -7, 7, 80)
    coders = [Coder("stbif", torch.tensor([t]), limit=7) for t in (0.5, 0.25)]
    hidden = coders[0].counts(x, None) * 0.5
    assert torch.equal(second.sum(0).double(), coders[1].counts(hidden @ weight.T, None))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kept", ["float32", "int8"])
def test_accumulated_layer_equals_integer_arithmetic(scheme: str, kept: str) -> None:
    draws = torch.Generator().manual_seed(2)
    dense = nn.Linear(45, 23)
    nn.init.normal_(dense.weight, generator=draws)
    nn.init.normal_(dense.bias, generator=draws)
    size = 45 if SCHEMES[scheme].channel else 1
    thresholds = torch.rand(size, generator=draws) + 0.2
    layer = SpikedLinear(dense, Coder(scheme, thresholds, thresholds * 1.1, limit=15), kept)
    x = torch.randn(3, 17, 45, generator=draws)
    simulated = layer(x)
    layer.execute(True, threads=2)
    executed = layer(x)
    if kept == "int8":
        assert torch.equal(executed, simulated)  # bit for bit
    else:
        assert torch.allclose(executed, simulated, rtol=1e-5, atol=1e-5)
    level = layer.coder.level(x)
    counts = layer.coder.counts(x, level).to(torch.int32).view(-1, 45).numpy()
    stored, steps = layer.stored()
    y = torch.from_numpy(accumulate_reference(counts, stored.detach().T.contiguous().numpy())).float()
    y = (y if steps is None else y * steps).view(3, 17, 23)
    expected = (y if level is None else y * level) + layer.bias
    close = 0.0 if kept == "int8" else 2e-5
    torch.testing.assert_close(executed, expected.detach(), rtol=close, atol=close)


def test_planes_of_the_kernel_are_those_of_the_expansion() -> None:
    counts = np.random.default_rng(0).integers(-15, 16, (5, 70)).astype(np.int8)
    found = expand(EXPANSIONS["bitwise"], counts, 4)
    weights = np.eye(70, dtype=np.int8)
    assert np.array_equal(
        product_reference(pack_reference(counts, 4), weights), np.tensordot(found.places, found.spikes, axes=1)
    )


@pytest.mark.parametrize("sent_as", ["bitwise", "canonical", "twos_complement"])
def test_histograms_count_by_brute_force(sent_as: str) -> None:
    """Counts and spikes of channels, added in three parts."""
    draws = np.random.default_rng(4)
    counts = np.rint(draws.standard_cauchy((400, 6)) * 20).astype(np.int64)
    histogram = CountHistogram("layer", sent_as, 4)
    for part in np.array_split(counts, 3):
        histogram.add(torch.from_numpy(part).double())
    assert histogram.rows == 400 and histogram.entries == 2400 and histogram.silent() == (counts == 0).sum()
    assert (np.abs(counts) > 127).any()
    of_channels = count_spikes(EXPANSIONS[sent_as], counts, 4).sum(axis=0)
    np.testing.assert_array_equal(histogram.channel_spikes, of_channels)
    for name in ("unary_ternary", "bitwise", "twos_complement"):
        code = EXPANSIONS[name]
        assert histogram.spikes(name, 4) == count_spikes(code, counts, 4).sum()
        low, high = code.reach(4)
        assert histogram.escaped(name, 4) == ((counts < low) | (counts > high)).sum()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ternary(0.0), r"Coder.k: must be > 0 \(got 0.0\)"),
        (lambda: ternary(math.nan), r"Coder.k: must be > 0 \(got nan\)"),
        (lambda: Coder("ternery", torch.ones(1)), "did you mean 'ternary'"),
        (lambda: Coder("stbif", torch.zeros(1)), r"Coder.thresholds: must be > 0 \(got 0.0\)"),
        (lambda: SpikedLinear(nn.Linear(2, 2), ternary(), "int3"), "weights: unknown name 'int3'"),
    ],
)
def test_errors_name_what_is_wrong(build: object, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=words):
        build()  # type: ignore[operator]
