"""Filters of the recordings of cameras: a cut-out, background activity, joined pixels and a refractory time."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from helpers.command import neurosim, refused

from neurosim import Spikes
from neurosim.base import NeurosimInputError
from neurosim.data import read, write
from neurosim.data.filters import EventFilter
from neurosim.engine.description.parse import parse_description

SHAPE = (2, 23, 31)


def recording(events: int = 4000, shape: tuple[int, ...] = SHAPE) -> Spikes:
    rng = np.random.default_rng(events)
    size = int(np.prod(shape))
    times = np.sort(rng.integers(0, 200_000, events)) * 1e-6
    return Spikes(times, rng.integers(0, size, events), size, 0.2, shape)


def by_hand(spikes: Spikes, chosen: EventFilter) -> list[tuple[float, int, int, int]]:
    """The rules, one event at a time, with dictionaries."""
    left, top, width, height = chosen.crop or (0, 0, spikes.shape[-1], spikes.shape[-2])
    factor = chosen.downsample or 1
    latest: dict[tuple[int, int], float] = {}
    passed: dict[tuple[int, int], float] = defaultdict(lambda: -np.inf)
    out = []
    for t, p, y, x in zip(spikes.times.tolist(), *(a.tolist() for a in spikes.coordinates()), strict=True):
        if not (left <= x < left + width and top <= y < top + height):
            continue
        near = [latest.get((y + j, x + i)) for j in (-1, 0, 1) for i in (-1, 0, 1) if (j, i) != (0, 0)]
        latest[y, x] = t
        if chosen.noise_filter and not any(s is not None and t - s <= chosen.noise_filter for s in near):
            continue
        cell = (y - top) // factor, (x - left) // factor
        if chosen.refractory and t - passed[cell] < chosen.refractory:
            continue
        passed[cell] = t
        out.append((t, p, *cell))
    return out


FILTERS = [
    EventFilter(crop=(3, 5, 17, 11)),
    EventFilter(noise_filter=3e-4),
    EventFilter(downsample=4),
    EventFilter(refractory=2e-3),
    EventFilter(crop=(1, 2, 29, 20), noise_filter=1e-3, downsample=3, refractory=5e-4),
]


@pytest.mark.parametrize("chosen", FILTERS, ids=lambda each: ", ".join(k for k, v in vars(each).items() if v))
def test_events_that_pass_are_those_of_the_rules(chosen: EventFilter) -> None:
    spikes = recording()
    result = chosen.apply(spikes)
    expected = by_hand(spikes, chosen)
    assert list(zip(result.times.tolist(), *(a.tolist() for a in result.coordinates()), strict=True)) == expected
    assert 0 < len(expected) <= len(spikes) and result.duration == spikes.duration
    dropped = 0 if result.report is None else sum(result.report.skipped.values())
    assert dropped + len(expected) == len(spikes)
    # In pieces, the same.
    state = chosen.start(SHAPE)
    parts = [
        Spikes(spikes.times[a : a + 7], spikes.units[a : a + 7], spikes.size, 0.2, SHAPE) for a in range(0, 4000, 7)
    ]
    pieces = [state.apply(part) for part in parts]
    assert np.array_equal(np.concatenate([piece.units for piece in pieces]), result.units)


def test_hot_pixels_and_lone_events_are_noise() -> None:
    # A pixel that fires by itself every 10 us, and an edge that moves over three neighbours.
    times = np.sort(np.concatenate([np.arange(100) * 1e-5, [2e-4, 2.1e-4, 2.2e-4]]))
    edge = np.isin(times, [2.1e-4, 2.2e-4])
    units = np.where(edge, 5 * 31 + 20, 10 * 31 + 3)
    units[np.flatnonzero(edge)[1]] += 1
    spikes = Spikes(times, units, 23 * 31, 1e-3, (23, 31))
    passed = EventFilter(noise_filter=1e-4).apply(spikes)
    assert set(passed.units.tolist()) <= {5 * 31 + 20, 5 * 31 + 21} and len(passed) >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 0, 32, 5)}, r"crop: must lie inside 31 x 23 pixels \(got \(0, 0, 32, 5\)\)"),
        ({"crop": (0, 0, 0, 5)}, r"crop: must be left, top, width, height, in pixels \(got \(0, 0, 0, 5\)\)"),
        ({"noise_filter": 0.0}, r"noise_filter: must be > 0 s \(got 0.0\)"),
        ({"refractory": float("nan")}, r"refractory: must be > 0 s \(got nan\)"),
        ({"downsample": 0}, r"downsample: must be at least 1 pixel \(got 0\)"),
    ],
)
def test_filters_that_break_a_rule(options: dict[str, object], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        EventFilter(**options).apply(recording())  # type: ignore[arg-type]


def test_filters_need_a_camera() -> None:
    with pytest.raises(NeurosimInputError, match=r"need the recording of a camera \(got \(700,\)\)"):
        EventFilter(downsample=2).apply(recording(10, (700,)))


def test_filters_are_options_of_read_of_networks_and_of_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.raw", recording())
    whole = read("a.raw", shape=SHAPE)
    chosen = FILTERS[-1]
    options = {key: value for key, value in vars(chosen).items() if value is not None}
    filtered = read("a.raw", shape=SHAPE, **options)
    assert filtered.units.tolist() == chosen.apply(whole).units.tolist() and len(filtered) < len(whole)
    assert sum(filtered.report.skipped.values()) == len(whole) - len(filtered)
    spikes = {"file": "a.raw", "crop": [0, 0, 16, 16], "downsample": 2}
    population = {"name": "camera", "shape": [2, 8, 8], "model": "SpikeSource", "spikes": spikes}
    played = parse_description({"population": [population]}, tmp_path).recordings()["camera"]
    assert played.shape == (2, 8, 8) and 0 < len(played) < len(whole)
    words = ["view", "a.raw", "--shape", "2,23,31", "--crop", "0,0,16,16", "--downsample", "2"]
    shown = neurosim(*words)
    assert shown.exit_code == 0 and "Sensor 2 x 8 x 8" in shown.output
    assert "row 0 at the top of the picture; polarity 1: brighter" in shown.output
    assert "--crop: must read X,Y,W,H, e.g. 0,0,640,480 (got 3,4)" in refused("view", "a.raw", "--crop", "3,4")
