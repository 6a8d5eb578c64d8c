"""Code of a picture by one dictionary of seen patches, which all places share."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...base.rules import Count, Rule, Seed, check_rules
from ...data.files.state import SavedState
from ...network.windowed import MAX_COUNT, Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of
from .code import generator

if TYPE_CHECKING:
    from ...kernels.memory.patch_code.reference import PatchPlaces

INPUT = "input"
MAX_INPUTS = 2**31 - 1


@final
@dataclass(eq=False)
class PatchCode(SavedState, WindowModel):
    """Places of a picture, each as the patches of one dictionary that it resembles most.

    The dictionary is filled from patches that were seen, each once and at once. Unit j holds a patch a less its mean,
    w_j = (a - mean(a)) / |a - mean(a)|. At every place the units with the largest sums w_j . x win, x being the number
    of spikes of each input of the square there: `winners` of them, if above `threshold`. The mean of x plays no part,
    so a sum is the contrast of the square times its correlation with the patch. Places are pooled: a unit answers
    in each of `pool` regions with the number of places where it won.

    An input that spikes selects one row of weights at each place that sees it; silent inputs cost nothing. A full
    dictionary does not change, so an item costs the same whatever was seen before it.

    In a network a window is one picture. While the code learns and has room, a window stores `patches` patches before
    it is coded, of places drawn among those whose contrast is above `threshold`. A unit then sends a burst of one spike
    for each place of its region where it won. Codes are stacked: `output_shape` of one is `input_shape` of the next.

    Source: dictionaries of plain patches do as well as learned ones (Coates & Ng 2011, ICML).

    Attributes:
        input_shape: (height, width) of the inputs, or (planes, height, width); a patch holds all planes.
        units: number of patches in the dictionary.
        side: height and width of a patch; one number for squares.
        stride: distance of two places.
        winners: number of winners at a place.
        pool: rows and columns of regions; one number for both.
        threshold: sum that a winner exceeds; it keeps rounding from choosing winners where there is no contrast.
        patches: number of patches that a window or item stores while there is room.
        seed: key of the draw of patches.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    input_shape: tuple[int, ...]
    units: Count = 400
    side: int | tuple[int, int] = 9
    stride: Count = 1
    winners: Count = 8
    pool: int | tuple[int, int] = 3
    threshold: Annotated[float, Rule("> 0 and finite")] = 0.001
    patches: Count = 1
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_rules(self)
        shape = tuple(self.input_shape)
        good = len(shape) in (2, 3) and all(isinstance(n, int) and n >= 1 for n in shape)
        require(good, "PatchCode.input_shape", "must be (height, width) or (planes, height, width)", self.input_shape)
        require(
            math.prod(shape) <= MAX_INPUTS, "PatchCode.input_shape", f"must have at most {MAX_INPUTS} inputs", shape
        )
        self.input_shape = shape
        self._side = _pair(self.side, "PatchCode.side", shape[-2:], "height and width")
        # Squares that lie in the picture as a whole.
        rows, columns = (
            (length - side) // self.stride + 1 for length, side in zip(shape[-2:], self._side, strict=True)
        )
        self._grid = rows, columns
        self._pool = _pair(self.pool, "PatchCode.pool", self._grid, "rows and columns of places")
        require(self.winners <= self.units, "PatchCode.winners", f"must be at most {self.units} units", self.winners)
        size = self._planes * math.prod(self._side)
        self._rows: NDArray[np.float32] = np.zeros((size, self.units), np.float32)
        self._stored = 0
        self._seen = 0

    @property
    def _planes(self) -> int:
        return math.prod(self.input_shape[:-2])

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return math.prod(self.input_shape)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape of the answers: (units, rows, columns of regions)."""
        return (self.units, *self._pool)

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)

    @property
    def receptors(self) -> Mapping[str, int]:
        return {INPUT: self.inputs}

    @property
    def places(self) -> int:
        """Number of places."""
        return math.prod(self._grid)

    @property
    def stored(self) -> int:
        """Number of patches in the dictionary so far."""
        return self._stored

    @property
    def dictionary(self) -> NDArray[np.float32]:
        """[stored, planes, height, width] weights of the units that hold a patch."""
        return self._rows[:, : self._stored].T.reshape(self._stored, self._planes, *self._side).copy()

    def store(self, items: NDArray[Any]) -> int:
        """Store patches of items [n, inputs], in this order, while there is room; return the number of items read.

        Items without contrast store nothing.

        Raises:
            NeurosimInputError: items of another shape.
        """
        pictures = self._items(items)
        for number, item in enumerate(pictures):
            if self._stored == self.units:
                return number
            self._store(item)
        return len(pictures)

    def encode(self, items: NDArray[Any], threads: int = 1) -> NDArray[np.int32]:
        """Return [n, units, rows, columns] numbers of places of each region where a unit won, of items [n, inputs].

        Raises:
            NeurosimInputError: items of another shape.
        """
        counts, _ = self._encode(self._items(items), threads)
        return counts.reshape(-1, *self.output_shape)

    def work(self, items: NDArray[Any], threads: int = 1, name: str = "patches") -> list[LayerCounts]:
        """Return the work of `encode` on items [n, inputs].

        Raises:
            NeurosimInputError: items of another shape.
        """
        return [self.encode_counted(items, threads, name)[1]]

    def encode_counted(
        self, items: NDArray[Any], threads: int = 1, name: str = "patches"
    ) -> tuple[NDArray[np.int32], LayerCounts]:
        """Return the answers of `encode` to items [n, inputs], and the work of computing them.

        Raises:
            NeurosimInputError: items of another shape.
        """
        pictures = self._items(items)
        counts, operations = self._encode(pictures, threads)
        events = int(np.count_nonzero(pictures))
        totals = WindowTotals(len(pictures), events, int(counts.sum()), int(operations.sum()))
        return counts.reshape(-1, *self.output_shape), self._layer(name, totals)

    def start(self) -> WindowState:
        return _PatchState(copy.deepcopy(self))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that storing changes.

        By name: "rows" [size, units] float32, weights by input of a patch, 0 where a unit holds none; "stored", "seen"
        [1] int64, numbers of patches in the dictionary and of items that were offered to it.
        """
        numbers = {"stored": np.array([self._stored]), "seen": np.array([self._seen])}
        return {"rows": self._rows.copy(), **numbers}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        one = np.zeros(1, np.int64)
        rows = array_of(arrays, "rows", like=self._rows, low=-1, high=1)
        stored = array_of(arrays, "stored", like=one, low=0, high=self.units)
        seen = array_of(arrays, "seen", like=one, low=0, high=MAX_COUNT)
        self._rows[...] = rows
        self._stored = int(stored[0])
        self._seen = int(seen[0])

    @cached_property
    def _places(self) -> PatchPlaces:
        from ...kernels.memory.patch_code.reference import PatchPlaces

        inputs = np.arange(self.inputs, dtype=np.int32).reshape(-1, *self.input_shape[-2:])
        height, width = self._side
        tops = np.arange(self._grid[0]) * self.stride
        lefts = np.arange(self._grid[1]) * self.stride
        # Region of a row of places, and of a column: equal parts of the grid.
        down, across = (np.arange(n) * parts // n for n, parts in zip(self._grid, self._pool, strict=True))
        return PatchPlaces(
            # The input at the upper left of each place, and what leads from it to the other inputs of its square.
            first=inputs[0][np.ix_(tops, lefts)].ravel(),
            offsets=np.ascontiguousarray(inputs[:, :height, :width]).ravel(),
            regions=(down[:, None] * self._pool[1] + across).ravel().astype(np.int32),
        )

    def _items(self, items: NDArray[Any]) -> NDArray[Any]:
        pictures = np.asarray(items)
        good = pictures.ndim == 2 and pictures.shape[1] == self.inputs
        require(good, "PatchCode", f"needs items [n, {self.inputs}]", pictures.shape)
        return pictures

    def _store(self, item: NDArray[Any]) -> None:
        """Store `patches` patches of an item, or as many as there is room for."""
        places = self._places
        # a - mean(a) of every place, and its length.
        squares = item[places.first[:, None] + places.offsets].astype(np.float64)
        squares -= squares.mean(axis=1, keepdims=True)
        contrasts = np.sqrt(np.square(squares).sum(axis=1))
        candidates = np.flatnonzero(contrasts > self.threshold)
        # Keyed by the item: the draw does not depend on the calls that items came in.
        draw = generator(self.seed, self._seen)
        self._seen += 1
        for place in draw.permutation(candidates)[: min(self.patches, self.units - self._stored)]:
            self._rows[:, self._stored] = squares[place] / contrasts[place]
            self._stored += 1

    def _encode(self, items: NDArray[Any], threads: int = 1) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        from ...kernels.memory.patch_code.launch import encode

        regions = math.prod(self._pool)
        return encode(items, self._places, self._rows, self._stored, self.winners, self.threshold, regions, threads)

    def _layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        weights = self._rows.size
        layer = LayerCounts(
            name=name,
            inputs=self.inputs,
            weights=weights,
            nonzero_weights=int(np.count_nonzero(self._rows)),
            weight_bits=32,
            weight_type="float",
            binary_input=False,
            state_bytes=0,
            parameter_bytes=self._rows.nbytes,
            dense_weights=weights,
            **totals.counts(
                outputs=self.outputs,
                # As a convolution: every weight at every place.
                dense_operations=weights * self.places,
                membranes=0,  # sums do not outlast their window
            ),
        )
        # As a convolution, too: a unit has an output at every place, and fires once for each place where it won.
        return replace(layer, output_entries=self.units * self.places * totals.windows)


@final
class _PatchState(WindowState):
    """A code in a network."""

    def __init__(self, code: PatchCode) -> None:
        self.code = code
        self.item: NDArray[np.float32] = np.zeros((1, code.inputs), np.float32)

    def begin(self) -> None:
        """Do nothing: a code has no state from window to window."""

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        spikes = arrivals[INPUT]
        self.item[:] = 0
        self.item[0, spikes.units] = spikes.counts
        if learn:
            self.code.store(self.item)
        counts, operations = self.code._encode(self.item)
        flat = counts.ravel()
        # One spike for each place where the unit won.
        units = np.repeat(np.arange(len(flat), dtype=np.int32), flat)
        return Output(units, int(operations[0]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return self.code.state()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.code.restore(arrays)

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        return self.code._layer(name, totals)


def _pair(value: int | tuple[int, int], name: str, limits: tuple[int, ...], of: str) -> tuple[int, int]:
    """Return two integers, each from 1 to its limit, from one for both or a pair."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    good = len(pair) == 2 and all(isinstance(n, int) and 1 <= n <= limit for n, limit in zip(pair, limits, strict=True))
    require(good, name, f"must be in 1..{limits[0]} by 1..{limits[1]}, {of}", value)
    return pair[0], pair[1]
