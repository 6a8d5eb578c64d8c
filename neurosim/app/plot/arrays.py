"""Plots of arrays: sampled variables, weights, connectivity, accuracy matrices, codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...engine.connections import Connections
from ...memory.sdr.code import SDR
from .axes import axes_of, image


def traces(
    samples: NDArray[Any],
    interval: float = 1e-3,
    *,
    units: Sequence[int] = (),
    ylabel: str = "",
    ax: Any = None,
) -> Any:
    """Draw sampled variables, [samples, units] every `interval` s: `plot.traces(result.states["E.v"])`.

    units: columns to draw; none means all.
    """
    ax = axes_of(ax)
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
    ax = axes_of(ax)
    ax.hist(np.asarray(values.weight if isinstance(values, Connections) else values).ravel(), bins=bins)
    ax.set(xlabel="weight", ylabel="synapses")
    return ax


def connectivity(matrix: Any, *, ax: Any = None) -> Any:
    """Draw weights [sources, targets]: `Connections`, an array, or a scipy.sparse matrix; a large sparse one as
    dots."""
    ax = axes_of(ax)
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
        reach = float(np.abs(dense).max(initial=0)) or 1.0
        image(ax, dense, "weight", cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(xlabel="target", ylabel="source")
    return ax


def accuracy(values: NDArray[Any], *, ax: Any = None) -> Any:
    """Draw an accuracy matrix [tasks + 1, tasks], row i after learning i tasks: `plot.accuracy(matrix.values)`."""
    ax = axes_of(ax)
    image(ax, np.asarray(values), "accuracy", vmin=0, vmax=1)
    ax.set(xlabel="task", ylabel="tasks learned")
    tasks = np.shape(values)[1]
    ax.set_xticks(range(tasks), range(1, tasks + 1))
    return ax


def codes(values: NDArray[Any] | Sequence[SDR], *, ax: Any = None) -> Any:
    """Draw binary codes, SDRs or an array [codes, bits], a row each."""
    ax = axes_of(ax)
    dense = np.stack([value.dense() if isinstance(value, SDR) else np.asarray(value) for value in values])
    require(dense.ndim == 2, "plot.codes.values", "must be [codes, bits]", dense.shape)
    ax.imshow(dense, aspect="auto", interpolation="nearest", cmap="gray_r", vmin=0, vmax=1)
    ax.set(xlabel="bit", ylabel="code")
    return ax
