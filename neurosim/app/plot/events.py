"""Plots of spikes and events: rasters, rates, frames of a camera, animations."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, NeurosimMissingError, require
from ...data.spikes import Spikes, check_spikes
from ...data.stats.binned import population_rate
from .axes import axes_of

MAX_FRAMES = 10_000
SUFFIXES = {".gif": "pillow", ".mp4": "ffmpeg"}


def raster(spikes: Spikes | Mapping[str, Spikes], *, ax: Any = None) -> Any:
    """Draw a dot for each spike, time against unit; populations of a mapping, such as `result.spikes`, in a stack."""
    ax = axes_of(ax)
    named = _named(spikes)
    first = 0
    for name, each in named.items():
        ax.plot(each.times, first + each.units, ".", markersize=2, label=f"{name} ({each.size:,})" if name else None)
        first += each.size
    ax.set(
        xlabel="time (s)", ylabel="unit", xlim=(0, max(s.duration for s in named.values())), ylim=(-0.5, first - 0.5)
    )
    if len(named) > 1:
        ax.legend(loc="upper right", markerscale=4)
    return ax


def rates(spikes: Spikes | Mapping[str, Spikes], bin_size: float = 5e-3, *, ax: Any = None) -> Any:
    """Draw the mean rate of a population's units in bins of `bin_size` s, a line for each population of a mapping."""
    ax = axes_of(ax)
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
    ax = axes_of(ax)
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
    ax = axes_of(ax)
    path = Path(path)
    check_spikes(spikes, "plot.spikes")
    require(path.suffix in SUFFIXES, "animate.path", f"must end in {' or '.join(SUFFIXES)}", str(path))
    if not path.parent.is_dir():
        raise NeurosimMissingError(f"animate.path: no such folder (got {path.parent}); create it")
    for name, value in (("interval", interval), ("speed", speed)):
        require(math.isfinite(value) and value > 0, f"animate.{name}", "must be > 0", value)
    frames = max(1, math.ceil(spikes.duration / interval - 1e-6))
    require(frames <= MAX_FRAMES, "animate.interval", f"must cut {spikes.duration:g} s to <= {MAX_FRAMES:,}", interval)
    from matplotlib import animation

    writer = SUFFIXES[path.suffix]
    if not animation.writers.is_available(writer):
        raise NeurosimMissingError(f"animate.path: {path.suffix} needs {writer}; install it, or write .gif")
    edges = np.minimum(np.arange(frames + 1) * interval, spikes.duration)
    pictures = [_picture(spikes.window(a, z)) for a, z in pairwise(edges.tolist())]
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
