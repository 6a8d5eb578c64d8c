"""The emulated event camera against its own equations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim.base import NeurosimInputError
from neurosim.data.camera import EventCamera
from neurosim.kernels.io.camera import cpu as kernel
from neurosim.kernels.io.camera.reference import pan_reference, watch_reference

QUIET = EventCamera(threshold_on=0.3, threshold_off=0.3, mismatch=0.0, refractory=0.0, noise_rate=0.0)
MILLISECOND = 1000.0  # the kernel counts in microseconds


def watch(film, step, on=0.3, off=0.3, start=0.0, refractory=0.0, kind=kernel.watch):
    """Times in microseconds and units of the events, with the same thresholds in every pixel."""
    film = np.asarray(film, float)
    film = film[:, None] if film.ndim == 1 else film
    pixels = film.shape[1]
    ticks, units = np.zeros((2, 10_000), np.int64)
    thresholds = (np.full(pixels, float(value)) for value in (on, off, start))
    count = kind(film, step, *thresholds, refractory, ticks, units)
    return ticks[:count], units[:count]


@pytest.mark.parametrize("frames", [2, 5, 51])
@pytest.mark.parametrize(("slope", "on", "off"), [(2.5, 0.31, 0.2), (-2.5, 0.31, 0.2), (0.7, 0.05, 0.9)])
def test_a_ramp_fires_once_a_threshold_at_the_exact_time(frames: int, slope: float, on: float, off: float) -> None:
    duration = 0.9317
    film = slope * np.linspace(0, duration, frames)
    ticks, units = watch(film, duration / (frames - 1) * 1e6, on, off)
    threshold, polarity = (on, 1) if slope > 0 else (off, 0)
    count = int(np.floor(abs(slope) * duration / threshold))
    expected = np.arange(1, count + 1) * threshold / abs(slope) * 1e6
    assert len(ticks) == count > 0
    np.testing.assert_array_equal(units, polarity)  # one pixel: unit 0 is OFF, unit 1 ON
    np.testing.assert_allclose(ticks, expected, atol=0.5 + 1e-6)


def test_the_level_a_pixel_starts_with_brings_the_first_event_forward() -> None:
    ticks, _ = watch([0.0, 1.0], 1e6, on=0.3, start=0.2)
    np.testing.assert_array_equal(ticks, [100_000, 400_000, 700_000, 1_000_000])


def test_a_refractory_pixel_fires_at_the_rate_of_crossing_plus_blindness() -> None:
    slope = 10.0
    threshold = 0.3
    refractory = 0.007
    ticks, _ = watch(slope * np.linspace(0, 1, 101), 10 * MILLISECOND, on=threshold, refractory=refractory * 1e6)
    interval = threshold / slope + refractory
    # The first waits for no one.
    expected = threshold / slope + interval * np.arange(len(ticks))
    np.testing.assert_allclose(ticks, expected * 1e6, atol=0.5 + 1e-6)
    assert len(ticks) == int((1 - threshold / slope) / interval) + 1


def test_a_refractory_pixel_forgets_what_happened_while_it_was_blind() -> None:
    # Up by 0.4 in 1 ms, then back in 1 ms, then still: an event on the way up, and blindness for the rest.
    film = [0.0, 0.4, 0.0, 0.0, 0.0]
    ticks, units = watch(film, MILLISECOND, refractory=1.9 * MILLISECOND)
    assert ticks.tolist() == [750] and units.tolist() == [1]
    # It opens at the very end of a frame as it does within one.
    ticks, _ = watch([0.0, 0.3, 0.3, 0.7], MILLISECOND, refractory=1 * MILLISECOND)
    assert ticks.tolist() == [1000, 2750]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_without_blindness_the_events_follow_the_light(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = 12
    pixels = 5
    film = np.cumsum(random.normal(0, 0.5, (frames, pixels)), axis=0)
    on, off = random.uniform(0.1, 0.5, (2, pixels))
    start = random.uniform(-off, on)
    ticks, units = np.zeros((2, 10_000), np.int64)
    count = kernel.watch(film, 100.0, on, off, start, 0.0, ticks, units)
    ups, downs = (np.bincount(units[:count], minlength=2 * pixels).reshape(2, pixels))[::-1]
    left = film[-1] - (film[0] - start + ups * on - downs * off)
    assert np.all(left < on) and np.all(left > -off)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_pixel_walked_in_tiny_steps_fires_alike(seed: int) -> None:
    random = np.random.default_rng(seed)
    film = np.cumsum(random.normal(0, 0.4, 6))
    refractory = random.choice([0.0, 37.0, 150.0])
    fine = np.interp(np.arange(0, 500.0, 0.01), np.arange(6) * 100.0, film)
    level = film[0]
    opens = -1.0
    expected = []
    for i, light in enumerate(fine):
        now = i * 0.01
        if now < opens:
            level = light
            continue
        if not -0.3 < light - level < 0.3:
            expected.append((now, int(light > level)))
            if refractory:
                level = light
            else:
                level = level + (0.3 if light > level else -0.3)
            opens = now + refractory
    ticks, units = watch(film, 100.0, refractory=refractory)
    assert len(ticks) == len(expected)
    np.testing.assert_array_equal(units, [polarity for _, polarity in expected])
    # Every blindness starts up to a tiny step late, so the error may grow with the events before.
    np.testing.assert_allclose(ticks, [time for time, _ in expected], atol=1.0)


def test_kernels_equal_their_references() -> None:
    random = np.random.default_rng(4)
    film = np.cumsum(random.normal(0, 0.2, (15, 37)), axis=0)
    on, off = random.uniform(0.1, 0.3, (2, 37))
    start = random.uniform(-off, on)
    found = []
    for kind in (watch_reference, kernel.watch):
        ticks, units = np.full((2, 500), -1)
        count = kind(film, 250.0, on, off, start, 80.0, ticks, units)
        assert 20 < count < 500
        found.append((count, ticks.tolist(), units.tolist()))
    assert found[0] == found[1]
    scene = random.normal(size=(13, 12))
    rows = random.uniform(0, 3, 4)
    columns = random.uniform(0, 2.9, 4)
    films = np.full((2, 4, 5, 4), np.nan)
    pan_reference(scene, rows, columns, 2, films[0])
    kernel.pan(scene, rows, columns, 2, films[1])
    np.testing.assert_array_equal(films[0], films[1])


def test_panning_over_a_slope_is_exact() -> None:
    y, x = np.mgrid[:20, :20]
    scene = 0.25 * y - 0.5 * x
    rows = np.array([0.0, 1.3, 3.75])
    columns = np.array([2.0, 0.1, 2.6])
    film = np.full((3, 7, 6), np.nan)
    kernel.pan(scene, rows, columns, 2, film)
    y, x = np.mgrid[:7, :6] * 2
    for k in range(3):
        np.testing.assert_allclose(film[k], 0.25 * (y + rows[k]) - 0.5 * (x + columns[k]), atol=1e-12)


def test_counting_goes_on_where_room_ends() -> None:
    ticks, units = np.full((2, 3), -1)
    one = np.ones(1)
    assert kernel.watch(np.array([[0.0], [7.5]]), 1e6, one, one, 0 * one, 0.0, ticks, units) == 7
    assert ticks.tolist() == [133333, 266667, 400000]
    # So the camera finds room for any number.
    film = np.zeros((2, 40, 40))
    film[1] = 3.0
    assert len(QUIET.see(film, 0.1)) in range(9 * 1600, 10 * 1600 + 1)


def test_events_come_as_polarity_y_x_in_order_of_time() -> None:
    film = np.zeros((3, 4, 6))
    film[1:, 2, 5] = 0.61
    film[2, 1, 3] = -0.61
    spikes = QUIET.see(film, 0.01)
    polarity, y, x = spikes.coordinates()
    assert spikes.shape == (2, 4, 6) and spikes.duration == 0.02
    assert np.all(np.diff(spikes.times) >= 0)
    up = polarity == 1
    down = polarity == 0
    assert set(zip(y[up], x[up], strict=True)) == {(2, 5)} and np.all(spikes.times[up] <= 0.01)
    assert set(zip(y[down], x[down], strict=True)) == {(1, 3)} and np.all(spikes.times[down] >= 0.01)


def test_background_events_are_poisson_in_time_pixel_and_polarity() -> None:
    camera = EventCamera(noise_rate=5.0)
    film = np.zeros((2, 30, 40))
    counts = np.array([len(camera.see(film, 1.0, seed=9, recording=i)) for i in range(60)])
    mean = 5.0 * 1200
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / 60)
    # The variance of a Poisson count is its mean; that of 60 counts scatters by sqrt(2 / 59).
    assert abs(counts.var(ddof=1) / mean - 1) < 4 * np.sqrt(2 / 59)
    spikes = camera.see(film, 1.0, seed=9)
    polarity, y, _ = spikes.coordinates()
    for share, expected in ((polarity.mean(), 0.5), ((y < 15).mean(), 0.5), ((spikes.times < 0.25).mean(), 0.25)):
        assert abs(share - expected) < 4 * np.sqrt(0.25 / len(spikes))


def test_the_pattern_belongs_to_the_sensor_and_the_noise_to_the_recording() -> None:
    camera = EventCamera(threshold_on=0.3, threshold_off=0.2, mismatch=0.1)
    on, off = camera.thresholds(20_000, seed=3)
    assert abs(on.mean() / 0.3 - 1) < 0.003 and abs(on.std() / 0.03 - 1) < 0.03
    assert on.min() >= 0.3 * 0.7 - 1e-12 and off.max() <= 0.2 * 1.3 + 1e-12
    assert abs(np.corrcoef(on, off)[0, 1]) < 0.03
    np.testing.assert_array_equal(on, camera.thresholds(20_000, seed=3)[0])
    assert np.any(on != camera.thresholds(20_000, seed=4)[0])
    film = np.random.default_rng(0).normal(0, 0.3, (5, 9, 8))
    digests = {camera.see(film, 0.01, seed, i).digest() for seed in range(3) for i in range(3)}
    assert len(digests) == 9


def test_the_same_key_gives_the_same_events_whatever_the_order_or_thread() -> None:
    camera = EventCamera()
    films = np.random.default_rng(1).normal(0, 0.4, (8, 6, 12, 11))
    alone = [camera.see(film, 0.005, 7, i).digest() for i, film in enumerate(films)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: camera.see(films[i], 0.005, 7, i).digest(), reversed(range(8))))
    assert together[::-1] == alone


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threshold_on": 0.0}, "EventCamera.threshold_on: must be > 0 units of log-light (got 0.0)"),
        ({"threshold_off": float("nan")}, "EventCamera.threshold_off: must be > 0 units of log-light (got nan)"),
        ({"mismatch": 0.5}, "EventCamera.mismatch: must be 0 to 0.3 of the threshold (got 0.5)"),
        ({"refractory": -1e-3}, "EventCamera.refractory: must be finite and >= 0 s (got -0.001)"),
        ({"noise_rate": float("inf")}, "EventCamera.noise_rate: must be finite and >= 0 Hz (got inf)"),
    ],
)
def test_parameters_that_make_no_camera(fields: dict[str, float], message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        EventCamera(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("film", "step", "message"),
    [
        (np.zeros((4, 4)), 0.1, "film: must be [frames >= 2, height >= 1, width >= 1] (got (4, 4))"),
        (np.zeros((2, 0, 4)), 0.1, "film: must be [frames >= 2, height >= 1, width >= 1] (got (2, 0, 4))"),
        (np.full((2, 1, 1), np.nan), 0.1, "film: must be finite log-light within +-100 (got nan)"),
        (np.full((2, 1, 1), 1e300), 0.1, "film: must be finite log-light within +-100 (got 1e+300)"),
        (np.zeros((2, 1, 1)), 0.0, "step: must be > 0 s (got 0.0)"),
    ],
)
def test_films_that_are_none(film: np.ndarray, step: float, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        QUIET.see(film, step)
    assert str(error.value) == message
