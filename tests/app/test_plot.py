"""Plots: what is on the axes is what was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from neurosim import Spikes
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.engine import Connections
from neurosim.memory import SDR

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot

from neurosim.app import plot


@pytest.fixture(autouse=True)
def closed() -> object:
    yield
    pyplot.close("all")


@pytest.fixture
def camera() -> Spikes:
    # An ON event at (y 1, x 2), two OFF events at (0, 0).
    return Spikes(np.array([0.0, 0.01, 0.05]), np.array([0, 0, 12 + 6]), 24, 0.06, (2, 3, 4))


def test_a_raster_stacks_populations() -> None:
    one = Spikes(np.array([0.1, 0.2]), np.array([0, 2]), 3, 1.0)
    ax = plot.raster({"E": one, "I": one})
    first, second = ax.get_lines()
    assert first.get_ydata().tolist() == [0, 2] and second.get_ydata().tolist() == [3, 5]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["E (3)", "I (3)"]
    assert ax.get_xlim() == (0, 1)


def test_rates_and_traces() -> None:
    one = Spikes(np.array([0.1, 0.2, 0.2]), np.array([0, 1, 2]), 3, 1.0)
    (line,) = plot.rates(one, 0.1, ax=pyplot.figure().gca()).get_lines()
    np.testing.assert_allclose(line.get_ydata(), [0, 10 / 3, 20 / 3, *[0] * 7])
    ax = plot.traces(np.arange(12).reshape(4, 3), 0.5, units=[2], ylabel="v (V)", ax=pyplot.figure().gca())
    (line,) = ax.get_lines()
    assert line.get_ydata().tolist() == [2, 5, 8, 11] and line.get_xdata().tolist() == [0, 0.5, 1, 1.5]


def test_a_frame_is_on_minus_off(camera: Spikes) -> None:
    (image,) = plot.frame(camera).get_images()
    expected = np.zeros((3, 4))
    expected[0, 0] = -2
    expected[1, 2] = 1
    assert image.get_array().tolist() == expected.tolist()
    (image,) = plot.frame(camera, 0.0, 0.01, ax=pyplot.figure().gca()).get_images()
    assert image.get_array().sum() == -1
    with pytest.raises(NeurosimInputError, match=r"needs units of shape \[y, x\] or .* \(got \(24,\)\)"):
        plot.frame(Spikes(camera.times, camera.units, 24, 0.06))


def test_an_animation_has_a_frame_an_interval(camera: Spikes, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    plot.animate(camera, tmp_path / "camera.gif", 0.02)
    with image.open(tmp_path / "camera.gif") as film:
        assert film.n_frames == 3 and film.info["duration"] == 20
    with pytest.raises(NeurosimInputError, match=r"animate.path: must end in .gif or .mp4"):
        plot.animate(camera, tmp_path / "camera.avi")


def test_what_cannot_be_drawn_is_named(camera: Spikes, tmp_path: Path) -> None:
    for draw in (plot.raster, plot.rates, plot.frame):
        with pytest.raises(NeurosimInputError, match=r"plot.spikes: must be Spikes of one recording.* \(got list\)"):
            draw([camera])
    with pytest.raises(NeurosimInputError, match=r"animate.path: no such folder \(got .*none\); create it"):
        plot.animate(camera, tmp_path / "none" / "camera.gif")


def test_films_without_ffmpeg_say_what_to_install(
    camera: Spikes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import animation

    monkeypatch.setattr(animation.writers, "is_available", lambda name: False)
    with pytest.raises(NeurosimMissingError, match=r"animate.path: .mp4 needs ffmpeg; install it, or write .gif"):
        plot.animate(camera, tmp_path / "camera.mp4")


def test_synapses_of_a_projection() -> None:
    found = Connections(
        np.array([0, 1], np.int32), np.array([1, 0], np.int32), np.array([2.0, -3.0]), np.full(2, 1e-3), (2, 3)
    )
    (image,) = plot.connectivity(found, ax=pyplot.figure().gca()).get_images()
    assert image.get_array().tolist() == [[0, 2, 0], [-3, 0, 0]]
    assert sum(patch.get_height() for patch in plot.weights(found, ax=pyplot.figure().gca()).patches) == 2


def test_matrices() -> None:
    matrix = np.array([[0.0, -2.0], [1.0, 0.0]])
    for given in (matrix, scipy.sparse.csr_matrix(matrix)):
        (image,) = plot.connectivity(given, ax=pyplot.figure().gca()).get_images()
        assert image.get_array().tolist() == matrix.tolist() and image.get_clim() == (-2, 2)
    large = scipy.sparse.csr_matrix(([1.0], ([600], [2])), shape=(700, 3))
    (line,) = plot.connectivity(large, ax=pyplot.figure().gca()).get_lines()
    assert line.get_xdata().tolist() == [2] and line.get_ydata().tolist() == [600]
    (image,) = plot.accuracy(np.eye(3, 2), ax=pyplot.figure().gca()).get_images()
    assert image.get_clim() == (0, 1)
    (image,) = plot.codes([SDR(np.array([1]), 3), SDR(np.array([0, 2]), 3)], ax=pyplot.figure().gca()).get_images()
    assert image.get_array().tolist() == [[0, 1, 0], [1, 0, 1]]
    counts = [patch.get_height() for patch in plot.weights(matrix, bins=3, ax=pyplot.figure().gca()).patches]
    assert sum(counts) == 4
