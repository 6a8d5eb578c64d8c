"""Features of items that do not change: sums over windows, random units, filters on a picture and their means."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple, final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ....base.errors import require
from ....base.measure.activity import count
from ....base.measure.work import LayerCounts
from ....base.random import rng_key
from ..tasks import FULL, Problem

Shape = tuple[int, int, int]
Pair = tuple[int, int]
# What the windows of a recording are in its picture.
Windows = Literal["planes", "rows", "sum"]
# Items whose maps are in memory together: 100 maps of 22 x 22 places are 19 MB for 100 items.
TOGETHER = 100


class ItemFeatures(ABC):
    """A fixed function from items to vectors.

    Attributes:
        problem: the problem whose items it takes.
        size: number of features.
    """

    problem: Problem
    size: int

    @abstractmethod
    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return [n, size] features of items [n, steps, units]."""

    @abstractmethod
    def work(self, x: NDArray[np.uint8]) -> list[LayerCounts]:
        """Return the work of computing the features of items."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of its weights."""


def draws(problem: Problem, purpose: str) -> np.random.Generator:
    """Return the generator of a problem's seed for a purpose."""
    return np.random.Generator(np.random.Philox(key=rng_key(problem.seed, "learner", purpose)))


def drives(problem: Problem, x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return items as float32 in 0..1, [n, steps, units]; a still image among recordings gets all their steps."""
    if x.shape[1] < problem.steps:
        x = np.broadcast_to(x, (len(x), problem.steps, x.shape[2]))
    return x.astype(np.float32) / np.float32(FULL)


@final
class SummedDrives(ItemFeatures):
    """Drive of each unit, summed over the steps of an item."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.size = problem.units

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return drives(self.problem, x).sum(axis=1, dtype=np.float64)

    def work(self, x: NDArray[np.uint8]) -> list[LayerCounts]:
        """Return nothing: the sums come with the inputs of the readout."""
        return []

    @property
    def nbytes(self) -> int:
        return 0


@final
class RandomUnits(ItemFeatures):
    """z = max(0, W x + b) of all steps of an item, with W and b drawn from normal distributions.

    Attributes:
        weights: [steps x units, features], variance 1 / (steps x units).
        bias: [features], standard deviation .1.
    """

    def __init__(self, problem: Problem, features: int) -> None:
        generator = draws(problem, "random units")
        inputs = problem.steps * problem.units
        self.problem = problem
        self.size = features
        # Variance 1 / inputs: responses are as large for items of any size.
        self.weights = (generator.normal(size=(inputs, features)) / math.sqrt(inputs)).astype(np.float32)
        self.bias = (0.1 * generator.normal(size=features)).astype(np.float32)

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        flat = drives(self.problem, x).reshape(len(x), -1)
        return np.maximum(flat @ self.weights + self.bias, 0).astype(np.float64)

    def work(self, x: NDArray[np.uint8]) -> list[LayerCounts]:
        flat = drives(self.problem, x).reshape(len(x), 1, -1)
        outputs = self(x)[:, None].astype(np.float32)
        none = np.zeros((*outputs.shape, 0), np.float32)
        return [count("features", self.weights, flat, outputs, none, parameter_bytes=self.nbytes)]

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.bias.nbytes


class FilterView(NamedTuple):
    """Picture that filters see of an item.

    Attributes:
        windows: "planes", windows of a recording are planes of the picture, so that a filter sees all of them; "rows",
            they are the rows of a picture of time and a line of units; "sum", they are added up.
        shape: planes, rows and columns of the picture.
        field: rows and columns that a filter sees.
        pool: rows and columns of places that are averaged.
    """

    windows: Windows
    shape: Shape
    field: Pair
    pool: Pair

    @property
    def inputs(self) -> int:
        """Number of inputs of a filter."""
        return self.shape[0] * math.prod(self.field)

    @property
    def places(self) -> Pair:
        """Rows and columns of places where a filter answers."""
        return self.shape[1] - self.field[0] + 1, self.shape[2] - self.field[1] + 1

    def pictures(self, problem: Problem, x: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return [n, planes, rows, columns] of items [n, steps, units]."""
        driven = drives(problem, x)
        if self.windows == "sum":
            driven = driven.sum(axis=1)
        elif self.windows == "rows":
            # Units are planes of a line of columns; steps become the rows of each plane.
            planes, steps, columns = self.shape
            driven = driven.reshape(len(x), steps, planes, columns).swapaxes(1, 2)
        return driven.reshape(len(x), *self.shape)

    def patches(self, problem: Problem, x: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return [n, rows, columns, inputs], the part of the picture that the filters see at each place."""
        seen = sliding_window_view(self.pictures(problem, x), self.field, axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
        return np.ascontiguousarray(seen).reshape(*seen.shape[:3], -1)


class Filters(ItemFeatures):
    """Responses of filters at every place of a picture, and their means over squares of places.

    Attributes:
        view: the picture, the field of a filter and the squares.
        weights: [planes x rows x columns of a filter, filters].
    """

    def __init__(self, problem: Problem, view: FilterView, weights: NDArray[np.float32]) -> None:
        self.problem = problem
        self.view = view
        self.weights = weights
        self._edges = [np.arange(0, size, by) for size, by in zip(view.places, view.pool, strict=True)]
        self.size = len(self._edges[0]) * len(self._edges[1]) * weights.shape[1]

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        parts = [self._pooled(x[first : first + TOGETHER]) for first in range(0, len(x), TOGETHER)]
        return np.concatenate(parts) if parts else np.zeros((0, self.size))

    def respond(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [..., filters], the responses to patches [..., inputs]: max(0, W p)."""
        return np.maximum(patches @ self.weights, 0)

    def _pooled(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        maps = self.respond(self.view.patches(self.problem, x))
        # Squares at the far edges may have fewer places; they are divided by the same number.
        rows = np.add.reduceat(maps, self._edges[0], axis=1)
        sums = np.add.reduceat(rows, self._edges[1], axis=2)
        return sums.reshape(len(x), -1).astype(np.float64) / math.prod(self.view.pool)

    def work(self, x: NDArray[np.uint8]) -> list[LayerCounts]:
        """Return the work of the filters: a driven unit selects their weights at every place that sees it."""
        filters = self.weights.shape[1]
        seen = 0
        fired = 0
        driven = 0
        for first in range(0, len(x), TOGETHER):
            # Patches hold a unit once for each place that sees it: batches keep them small.
            part = x[first : first + TOGETHER]
            patches = self.view.patches(self.problem, part)
            driven += np.count_nonzero(self.view.pictures(self.problem, part))
            seen += np.count_nonzero(patches)
            fired += np.count_nonzero(self.respond(patches))
        places = len(x) * math.prod(self.view.places)
        return [
            LayerCounts(
                name="filters",
                inputs=math.prod(self.view.shape),
                outputs=math.prod(self.view.places) * filters,
                weights=self.weights.size,
                nonzero_weights=int(np.count_nonzero(self.weights)),
                weight_bits=32,
                steps=len(x),
                input_events=driven,
                output_events=fired,
                output_entries=places * filters,
                synaptic_operations=seen * filters,
                binary_input=False,
                dense_operations=places * self.weights.size,
                membrane_updates=0,
                dense_membrane_updates=0,
                state_bytes=0,
                parameter_bytes=self.weights.nbytes,
                spiking=True,
                weight_type="float",
            )
        ]

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes


def random_filters(problem: Problem, view: FilterView, filters: int) -> Filters:
    """Return filters drawn from a normal distribution, each with mean zero."""
    weights = draws(problem, "random filters").normal(size=(view.inputs, filters))
    # Without a mean a filter does not answer to even light.
    weights -= weights.mean(axis=0)
    return Filters(problem, view, weights.astype(np.float32))


def view_of(
    name: str, problem: Problem, shape: tuple[int, ...], side: int | Pair, pool: int | Pair, windows: Windows
) -> FilterView:
    """Return the picture of a problem, with fields of `side` and squares of `pool`, or of all there is.

    Rows of windows need a line of units; windows of other sensors are planes.

    Args:
        name: settings that errors name.
        shape: as for `picture_shape`.
        side, pool: rows and columns; one number for both.

    Raises:
        NeurosimInputError: a shape that does not unfold to the units of an item.
    """
    planes, rows, columns = picture_shape(f"{name}.shape", shape, problem)
    if windows == "rows" and rows > 1:
        windows = "planes"
    if windows == "planes":
        planes *= problem.steps
    elif windows == "rows":
        rows = problem.steps
    field = _within(side, (rows, columns))
    places = (rows - field[0] + 1, columns - field[1] + 1)
    return FilterView(windows, (planes, rows, columns), field, _within(pool, places))


def _within(size: int | Pair, limits: Pair) -> Pair:
    """Return rows and columns of `size`, at most `limits`."""
    height, width = (size, size) if isinstance(size, int) else size
    return min(height, limits[0]), min(width, limits[1])


def picture_shape(name: str, shape: tuple[int, ...], problem: Problem) -> Shape:
    """Return planes, rows and columns of a picture: of `shape`, or the stream's, or a line of all units.

    Raises:
        NeurosimInputError: a shape that does not unfold to the units of an item.
    """
    chosen = shape or problem.shape or (problem.units,)
    rule = f"must be [units], [rows, columns] or [planes, rows, columns] of the {problem.units} units of an item"
    good = 1 <= len(chosen) <= 3 and min(chosen) >= 1 and math.prod(chosen) == problem.units
    require(good, name, rule, chosen)
    planes, rows, columns = (1,) * (3 - len(chosen)) + tuple(chosen)
    return planes, rows, columns
