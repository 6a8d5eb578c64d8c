"""One dictionary of patches for all places: against plain loops, in one trial, in a network, stacked, saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import Link, Network, Population, Spikes, SpikeSource, Windowed, simulate
from neurosim.base import NeurosimInputError
from neurosim.base.measure.measures import measure
from neurosim.engine import read_description
from neurosim.kernels.memory.patch_code.launch import encode
from neurosim.kernels.memory.patch_code.reference import PatchPlaces, encode_reference
from neurosim.memory import PatchCode

SHAPE = (2, 9, 11)


def pictures(n: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Numbers of spikes, of which two in three are 0."""
    chance = np.random.default_rng(seed)
    size = int(np.prod(shape))
    return chance.integers(1, 5, (n, size)) * (chance.random((n, size)) < 1 / 3)


def small(**changes: object) -> PatchCode:
    return PatchCode(
        **{"input_shape": SHAPE, "units": 10, "side": (3, 4), "stride": 2, "winners": 3, "pool": 2, **changes}
    )


def test_kernel_is_its_reference() -> None:
    chance = np.random.default_rng(2)
    places = PatchPlaces(
        np.array([0, 3, 20, 31], np.int32), np.array([0, 1, 5, 9], np.int32), np.array([1, 0, 1, 1], np.int32)
    )
    items = pictures(7, (41,)).astype(np.float32)
    items[3] = 0
    # Rows from few numbers: many sums are equal, and ties matter.
    rows = (chance.integers(-2, 3, (4, 13)) / 2).astype(np.float32)
    for stored, winners in ((13, 4), (5, 4), (2, 4), (0, 1)):
        expected = encode_reference(items, places, rows, stored, winners, 0.25, 2)
        for threads in (1, 3):
            counts, operations = encode(items, places, rows, stored, winners, 0.25, 2, threads)
            assert np.array_equal(counts, expected[0]) and np.array_equal(operations, expected[1])
    assert not counts[3].any() and operations[3] == 0


def test_a_place_is_coded_by_the_patches_it_correlates_with_most() -> None:
    code = small()
    code.store(pictures(10))
    item = pictures(1, seed=5)
    frame = item.reshape(SHAPE)
    expected = np.zeros((10, 2, 2), int)
    operations = 0
    for row, y in enumerate(range(0, 7, 2)):
        for column, x in enumerate(range(0, 8, 2)):
            square = frame[:, y : y + 3, x : x + 4].astype(float)
            operations += 10 * np.count_nonzero(square)
            # Pearson's correlation ranks as the sums do.
            like = [np.corrcoef(square.ravel(), patch.ravel())[0, 1] for patch in code.dictionary]
            best = np.argsort(like)[::-1][:3]
            expected[[j for j in best if like[j] > 1e-4], row * 2 // 4, column * 2 // 4] += 1
    assert np.array_equal(code.encode(item)[0], expected)
    (work,) = code.work(item)
    assert work.synaptic_operations == operations and work.output_events == expected.sum()
    assert work.input_events == np.count_nonzero(item) and work.dense_operations == 16 * 24 * 10
    # Of 16 places and 10 units: each place that has contrast is won by three.
    assert work.output_entries == 16 * 10 and work.output_events <= 16 * 3


def test_a_pooled_code_has_at_most_one_spike_for_each_output() -> None:
    """A unit that won at several places of its region made the activation sparsity of a run negative."""
    code = small(pool=1)
    code.store(pictures(10))
    items = pictures(20, seed=5)
    layers = code.work(items)
    spikes = int(code.encode(items).sum())
    assert spikes > len(items) * code.outputs, "units win more than once"
    found = measure(layers, samples=len(items), duration=1.0).activation_sparsity
    assert found == pytest.approx(1 - spikes / (len(items) * 16 * 10)) and found > 0.5


def test_patches_are_seen_ones_stored_at_once() -> None:
    code = small(stride=1)
    items = pictures(12)
    assert code.store(items) == 10 and code.stored == 10
    for patch, item in zip(code.dictionary, items, strict=False):
        frame = item.reshape(SHAPE)
        squares = np.lib.stride_tricks.sliding_window_view(frame, (3, 4), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
        like = [np.corrcoef(square.ravel(), patch.ravel())[0, 1] for square in squares.reshape(-1, 24)]
        assert max(like) == pytest.approx(1)
        assert np.linalg.norm(patch) == pytest.approx(1) and patch.mean() == pytest.approx(0, abs=1e-7)
    # A full dictionary stays as it is.
    before = code.dictionary
    assert code.store(items) == 0
    assert np.array_equal(code.dictionary, before)


def test_neither_calls_nor_threads_change_anything() -> None:
    items = pictures(9)
    whole = small(patches=2)
    whole.store(items)
    parts = small(patches=2)
    for item in items:
        parts.store(item[None])
    assert np.array_equal(whole.dictionary, parts.dictionary)
    assert np.array_equal(whole.encode(items), whole.encode(items, threads=3))
    assert not np.array_equal(small(seed=1, patches=2).state()["rows"], whole.state()["rows"])


def test_without_contrast_nothing_is_stored_and_nothing_wins() -> None:
    code = small()
    flat = np.full((2, code.inputs), 7)
    assert code.store(flat) == 2 and code.stored == 0
    assert not code.encode(pictures(1)).any()
    code.store(pictures(10))
    assert not code.encode(flat).any() and not code.encode(0 * flat).any()


def test_cost_of_an_item_does_not_depend_on_what_was_seen() -> None:
    code = small()
    code.store(pictures(10))
    item = pictures(1, seed=3)
    first = code.work(item)[0].synaptic_operations
    code.store(pictures(500, seed=4))
    assert code.work(item)[0].synaptic_operations == first


def play(items: np.ndarray, window: float = 0.01) -> Spikes:
    """Each item in a window of its own, an input's spikes in steps of their own."""
    which, unit = np.nonzero(items)
    repeats = items[which, unit]
    step = np.concatenate([np.arange(n) for n in repeats]) + 0.5
    times = np.repeat(which, repeats) * window + 1e-3 * step
    return Spikes.sort(times, np.repeat(unit, repeats), items.shape[1], len(items) * window)


TOML = """
[simulation]
clock = 1e-3
[[population]]
name = "camera"
shape = [2, 9, 11]
model = "SpikeSource"
[[population]]
name = "code"
model = "PatchCode"
window = 0.01
input_shape = [2, 9, 11]
units = 10
side = [3, 4]
stride = 2
winners = 3
pool = 2
[[link]]
source = "camera"
target = "code"
"""


def test_in_a_network_windows_are_pictures(tmp_path: Path) -> None:
    items = pictures(14)
    code = small()
    network = Network(
        [Population("camera", 198, SpikeSource()), Population("code", code.outputs, Windowed(code, 0.01))],
        links=[Link("camera", "code")],
    )
    result = simulate(network, play(items), clock=1e-3)
    assert code.stored == 0  # a run learns on a copy
    expected = np.zeros((14, code.outputs), int)
    by_hand = small()
    for i, item in enumerate(items):
        by_hand.store(item[None])
        expected[i] = by_hand.encode(item[None]).ravel()
    spikes = result.spikes["code"]
    # A code is sent at the end of its window.
    found = np.zeros_like(expected)
    np.add.at(found, (np.rint(spikes.times / 0.01).astype(int) - 1, spikes.units), 1)
    assert np.array_equal(found, expected)
    assert np.array_equal(result.learned["code"]["rows"], by_hand.state()["rows"])
    (tmp_path / "net.toml").write_text(TOML)
    described = read_description(tmp_path / "net.toml").network
    again = simulate(described, play(items), clock=1e-3).spikes["code"]
    assert np.array_equal(again.units, spikes.units) and np.array_equal(again.times, spikes.times)


def test_codes_are_stacked_by_their_shapes() -> None:
    low = small(pool=(4, 4))
    low.store(pictures(10))
    assert low.output_shape == (10, 4, 4)
    high = PatchCode(low.output_shape, units=6, side=2, winners=2, pool=1)
    codes = low.encode(pictures(8, seed=1)).reshape(8, -1)
    assert high.store(codes) == 6
    assert high.dictionary.shape == (6, 10, 2, 2)
    # Nine places, at most two winners each.
    won = high.encode(codes).sum(axis=(1, 2, 3))
    assert won.max() <= 18 and won.min() >= 9


def test_saved_and_loaded_goes_on_alike(tmp_path: Path) -> None:
    code = small()
    code.store(pictures(4))
    code.save(tmp_path / "code.safetensors")
    again = PatchCode.load(tmp_path / "code.safetensors")
    for each in (code, again):
        each.store(pictures(9, seed=6))
    assert again.stored == 10 and np.array_equal(again.dictionary, code.dictionary)
    other = small(units=11)
    with pytest.raises(NeurosimInputError, match=r"state\['rows'\]: must be float32 \[24, 11\]"):
        other.restore(code.state())
    assert other.stored == 0


def test_bad_settings_are_named() -> None:
    for changes, message in (
        (
            {"input_shape": (9,)},
            r"PatchCode.input_shape: must be \(height, width\) or \(planes, height, width\) \(got \(9,\)\)",
        ),
        ({"side": 10}, r"PatchCode.side: must be in 1..9 by 1..11, height and width \(got 10\)"),
        ({"pool": (1, 6)}, r"PatchCode.pool: must be in 1..4 by 1..4, rows and columns of places"),
        ({"winners": 11}, r"PatchCode.winners: must be at most 10 units \(got 11\)"),
        ({"threshold": 0.0}, r"PatchCode.threshold: must be > 0 and finite"),
        ({"stride": 0}, r"PatchCode.stride: must be >= 1"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            small(**changes)
    with pytest.raises(NeurosimInputError, match=r"PatchCode: needs items \[n, 198\] \(got \(3, 5\)\)"):
        small().encode(np.zeros((3, 5)))
