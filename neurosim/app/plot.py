"""Plots on matplotlib axes, one line each (extra `plot`): every function draws into `ax`, or the current axes, and
returns it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.distribution import install
from ..base.errors import NeurosimInputError, NeurosimMissingError, require
from ..data.spikes import Spikes, check_spikes
from ..data.stats import population_rate
from ..engine.connections import Connections
from ..memory.sdr.code import SDR

MAX_FRAMES = 10_000
MAX_DOTS = 2_000
SUFFIXES = {".gif": "pillow", ".mp4": "ffmpeg"}


def traces(
    samples: NDArray[Any],
    interval: float = 1e-3,
    *,
    units: Sequence[int] = (),
    ylabel: str = "",
    ax: Any = None,
) -> Any:
    """Draw sampled variables, [samples, units] every `interval` s: `plot.traces(result.states["E.v"])`.

    Args:
        units: columns to draw; none means all.
    """
    ax = _axes(ax)
    samples = np.asarray(samples)
    samples = samples[:, None] if samples.ndim == 1 else samples
    require(samples.ndim == 2, "plot.traces.samples", "must be [samples, units]", samples.shape)
    for unit in units or range(samples.shape[1]):
        ax.plot(np.arange(len(samples)) * interval, samples[:, unit], label=f"unit {unit}", linewidth=0.8)
    if 1 < (len(units) or samples.shape[1]) <= 8:
        ax.legend()
    ax.set(xlabel="time (s)", ylabel=ylabel)
    return ax


def weights(values: NDArray[Any] | Connections, *, bins: int = 50, ax: Any = None) -> Any:
    """Draw the histogram of weights, such as `simulation.weights["E->E"]`, or of `simulation.connections("E->E")`."""
    ax = _axes(ax)
    ax.hist(np.asarray(values.weight if isinstance(values, Connections) else values).ravel(), bins=bins)
    ax.set(xlabel="weight", ylabel="synapses")
    return ax


def connectivity(matrix: Any, *, ax: Any = None) -> Any:
    """Draw weights [sources, targets]: `Connections`, an array, or a scipy.sparse matrix; a large sparse one as
    dots."""
    ax = _axes(ax)
    if isinstance(matrix, Connections):
        matrix = matrix.matrix()
    if hasattr(matrix, "tocoo") and max(matrix.shape) > 500:
        ax.spy(matrix, markersize=0.5, aspect="auto")
    else:
        if hasattr(matrix, "tocoo"):
            dense = matrix.toarray()
        else:
            dense = np.asarray(matrix)
        require(dense.ndim == 2, "plot.connectivity.matrix", "must be [sources, targets]", dense.shape)
        # Symmetric, so that white is zero.
        reach = float(np.abs(dense).max(initial=0)) or 1.0
        _image(ax, dense, "weight", cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(xlabel="target", ylabel="source")
    return ax


def accuracy(values: NDArray[Any], *, ax: Any = None) -> Any:
    """Draw an accuracy matrix [tasks + 1, tasks], row i after learning i tasks: `plot.accuracy(matrix.values)`."""
    ax = _axes(ax)
    # White is 0, as the paper is: where a page in the dark turns the lightness, 0 still looks like its ground.
    _image(ax, np.asarray(values), "accuracy", cmap="Blues", vmin=0, vmax=1)
    ax.set(xlabel="task", ylabel="tasks learned")
    tasks = np.shape(values)[1]
    ax.set_xticks(range(tasks), range(1, tasks + 1))
    return ax


def codes(values: NDArray[Any] | Sequence[SDR], *, ax: Any = None) -> Any:
    """Draw binary codes, SDRs or an array [codes, bits], a row each."""
    ax = _axes(ax)
    dense = np.stack([value.dense() if isinstance(value, SDR) else np.asarray(value) for value in values])
    require(dense.ndim == 2, "plot.codes.values", "must be [codes, bits]", dense.shape)
    ax.imshow(dense, aspect="auto", interpolation="nearest", cmap="gray_r", vmin=0, vmax=1)
    ax.set(xlabel="bit", ylabel="code")
    return ax


def raster(spikes: Spikes | Mapping[str, Spikes], *, ax: Any = None) -> Any:
    """Draw a dot for each spike, time against unit; populations of a mapping, such as `result.spikes`, in a stack."""
    ax = _axes(ax)
    named = _named(spikes)
    first = 0
    for name, each in named.items():
        label = f"{name} ({each.size:,})" if name else None
        # Vector files of many thousand dots have megabytes: these are drawn as pixels in them.
        pixels = len(each) > MAX_DOTS
        ax.plot(each.times, first + each.units, ".", markersize=2, label=label, rasterized=pixels)
        first += each.size
    ax.set(
        xlabel="time (s)", ylabel="unit", xlim=(0, max(s.duration for s in named.values())), ylim=(-0.5, first - 0.5)
    )
    if len(named) > 1:
        ax.legend(loc="upper right", markerscale=4)
    return ax


def rates(spikes: Spikes | Mapping[str, Spikes], bin_size: float = 5e-3, *, ax: Any = None) -> Any:
    """Draw the mean rate of a population's units in bins of `bin_size` s, a line for each population of a mapping."""
    ax = _axes(ax)
    named = _named(spikes)
    for name, each in named.items():
        rate = population_rate(each, bin_size)
        ax.step(np.arange(len(rate)) * bin_size, rate, where="post", label=name or None)
    ax.set(xlabel="time (s)", ylabel="spikes/s per unit")
    if len(named) > 1:
        ax.legend()
    return ax


def frame(spikes: Spikes, start: float = 0.0, stop: float | None = None, *, ax: Any = None) -> Any:
    """Draw the events of a camera from `start` to `stop` s (None: the end): ON minus OFF where there are polarities.

    Raises:
        NeurosimInputError: a shape other than [y, x], [1, y, x] or [2, y, x].
    """
    ax = _axes(ax)
    check_spikes(spikes, "plot.spikes")
    counts = _picture(spikes.window(start, spikes.duration if stop is None else stop))
    reach = max(1, int(np.abs(counts).max()))
    ax.imshow(counts, **_colours(spikes, reach))
    ax.set(xlabel="x", ylabel="y")
    return ax


def animate(
    spikes: Spikes, path: str | os.PathLike[str], interval: float = 0.02, *, speed: float = 1.0, ax: Any = None
) -> Any:
    """Write a recording of a camera as an animation, a frame for `interval` s of it.

    Args:
        path: `.gif`, or `.mp4` where ffmpeg is installed.
        speed: seconds of the recording a second of the animation shows.

    Raises:
        NeurosimInputError: another suffix, an interval or speed <= 0, more than 10,000 frames; a shape as in `frame`.
        NeurosimMissingError: matplotlib or ffmpeg is missing, or there is no such folder.
    """
    ax = _axes(ax)
    path = Path(path)
    check_spikes(spikes, "plot.spikes")
    require(path.suffix in SUFFIXES, "animate.path", f"must end in {' or '.join(SUFFIXES)}", str(path))
    if not path.parent.is_dir():
        raise NeurosimMissingError(f"animate.path: no such folder (got {path.parent}); create it")
    for name, value in (("interval", interval), ("speed", speed)):
        require(math.isfinite(value) and value > 0, f"animate.{name}", "must be > 0", value)
    # The slack keeps a duration of n intervals at n frames, whatever its rounding.
    frames = max(1, math.ceil(spikes.duration / interval - 1e-6))
    require(frames <= MAX_FRAMES, "animate.interval", f"must cut {spikes.duration:g} s to <= {MAX_FRAMES:,}", interval)
    from matplotlib import animation

    writer = SUFFIXES[path.suffix]
    if not animation.writers.is_available(writer):
        raise NeurosimMissingError(f"animate.path: {path.suffix} needs {writer}; install it, or write .gif")
    edges = np.minimum(np.arange(frames + 1) * interval, spikes.duration)
    pictures = [_picture(spikes.window(a, z)) for a, z in pairwise(edges.tolist())]
    # One scale for all frames, or colours would flicker.
    reach = max(1, *(int(np.abs(picture).max()) for picture in pictures))
    shown = ax.imshow(pictures[0], **_colours(spikes, reach))
    ax.set(xlabel="x", ylabel="y")
    title = ax.set_title(f"{0.0:.3f} s")

    def show(number: int) -> tuple[Any, ...]:
        shown.set_data(pictures[number])
        title.set_text(f"{edges[number]:.3f} s")
        return shown, title

    film = animation.FuncAnimation(ax.figure, show, frames=frames)
    film.save(path, writer=animation.writers[writer](fps=speed / interval))  # type: ignore[arg-type]
    return ax


def _axes(ax: Any) -> Any:
    """Return `ax`, or the current axes of pyplot for None.

    Raises:
        NeurosimMissingError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise NeurosimMissingError(f"neurosim.plot: needs matplotlib; run: {install('plot')}") from None
    return pyplot.gca()


def _image(ax: Any, values: Any, label: str, **settings: Any) -> Any:
    """Draw an array [rows, columns] with a bar that says what its colours mean."""
    shown = ax.imshow(values, aspect="auto", interpolation="nearest", **settings)
    ax.figure.colorbar(shown, ax=ax, label=label)
    return ax


def _named(spikes: Spikes | Mapping[str, Spikes]) -> Mapping[str, Spikes]:
    """Return populations by name, or one without."""
    if isinstance(spikes, Mapping):
        named = spikes
    else:
        named = {"": spikes}
    for each in named.values():
        check_spikes(each, "plot.spikes", ", or a mapping of such, as result.spikes")
    return named


def _picture(spikes: Spikes) -> NDArray[np.int64]:
    shape = spikes.shape
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 2))):
        raise NeurosimInputError(f"plot.frame: needs units of shape [y, x] or [polarity, y, x] (got {shape})")
    counts = spikes.counts().reshape(-1, *shape[-2:])
    # Polarity 1 is ON.
    if len(counts) == 2:
        return counts[1] - counts[0]
    return counts[0]


def _colours(spikes: Spikes, reach: int) -> dict[str, Any]:
    signed = len(spikes.shape) == 3 and spikes.shape[0] == 2
    return {"cmap": "RdBu" if signed else "gray_r", "vmin": -reach if signed else 0, "vmax": reach}
