"""Columns in a network: each window is one frame of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.measure.work import LayerCounts
from ...network.windowed import MAX_COUNT, Arrivals, Output, WindowState, WindowTotals, array_of
from ..sdr.code import SDR
from .state import ColumnMemory, ColumnTrace, LevelBatch

READINGS = ("familiarity",)
INPUT = "input"
ABOVE = "above"
NEIGHBOURS = "neighbours"
# Signals of each frame by receptor: those that the model has of `ABOVE` and `NEIGHBOURS`.
Signals = Mapping[str, Sequence[SDR]]
# (inputs, signals, traces or None, learn) -> a batch of these frames for each level
Advance = Callable[[Sequence[SDR], Signals, Sequence[ColumnTrace] | None, bool], Sequence[LevelBatch]]


@final
class ColumnsState(WindowState):
    """Levels of columns, their memories, and the traces of the last frame.

    Args:
        memories: memory of each level; learning changes it.
        modules: number of modules of a column, by level.
        receptors: sizes of the receptors; `INPUT` is one of them.
        advance: function that runs frames on the memories.
    """

    def __init__(
        self,
        memories: Sequence[ColumnMemory],
        modules: Sequence[int],
        receptors: Mapping[str, int],
        advance: Advance,
    ) -> None:
        self.memories = tuple(memories)
        self.modules = tuple(modules)
        self.advance = advance
        self.receptors = receptors
        self.traces: Sequence[ColumnTrace] | None = None

    def begin(self) -> None:
        self.traces = None

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        return self.run([arrivals], learn=learn)[0]

    def run(self, windows: Sequence[Mapping[str, Arrivals]], *, learn: bool) -> list[Output]:
        signals = {
            name: [SDR.unchecked(arrivals[name].units, size) for arrivals in windows]
            for name, size in self.receptors.items()
        }
        items = signals.pop(INPUT)
        batches = self.advance(items, signals, self.traces, learn)
        self.traces = [batch.trace for batch in batches]
        # By frame, over the columns of all levels; the familiarity is taken from the highest.
        operations = sum(batch.synaptic_operations.reshape(len(items), -1).sum(axis=1) for batch in batches)
        familiarity = batches[-1].familiarity.reshape(len(items), -1).mean(axis=1)
        rows = zip(_units(batches), np.asarray(operations).tolist(), familiarity.tolist(), strict=True)
        return [Output(units, count, (g,)) for units, count, g in rows]

    def arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {"fresh": np.array([self.traces is None])}
        for i, memory in enumerate(self.memories):
            arrays |= {f"{i}.{name}": array.copy() for name, array in _memory_arrays(memory).items()}
            arrays[f"{i}.stored"] = np.array([memory.stored, memory.warned], np.int64)
            if self.traces is None:
                trace = self._fresh(i)
            else:
                trace = self.traces[i]
            arrays |= {f"{i}.trace.{f.name}": getattr(trace, f.name).copy() for f in fields(ColumnTrace)}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        fresh = bool(array_of(arrays, "fresh", np.array([True]))[0])
        restored = []
        counters = []
        traces = []
        for i, memory in enumerate(self.memories):
            for name, array in _memory_arrays(memory).items():
                # Arrays of int64 are numbers of frames.
                limits = (0, MAX_COUNT) if array.dtype == np.int64 else ()
                restored.append((array, array_of(arrays, f"{i}.{name}", array, *limits)))
            counters.append(array_of(arrays, f"{i}.stored", like=np.zeros(2, np.int64), low=0, high=MAX_COUNT))
            empty = self._fresh(i)
            winners = memory.u.shape[2] // self.modules[i] - 1
            traces.append(
                ColumnTrace(
                    array_of(arrays, f"{i}.trace.code", like=empty.code, low=-1, high=winners).copy(),
                    array_of(arrays, f"{i}.trace.numbers", like=empty.numbers, low=0, high=MAX_COUNT).copy(),
                    array_of(arrays, f"{i}.trace.familiarity", like=empty.familiarity, low=0, high=1).copy(),
                )
            )
        # All arrays are checked before any of them is written.
        for array, value in restored:
            array[...] = value
        for memory, (stored, warned) in zip(self.memories, counters, strict=True):
            memory.stored = int(stored)
            memory.warned = bool(warned)
        self.traces = None if fresh else traces

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        sizes = [len(m.u) * m.u.shape[2] for m in self.memories]
        units = sum(sizes)
        weights = sum(size * sum(m.afferents) for size, m in zip(sizes, self.memories, strict=True))
        on = sum(int(np.unpackbits(w.view(np.uint8)).sum()) for m in self.memories for w in (m.u, m.h, m.d))
        return LayerCounts(
            name=name,
            inputs=sum(self.receptors.values()),
            weights=weights,
            nonzero_weights=on,
            weight_bits=1,
            weight_type="int",
            binary_input=True,
            state_bytes=units * 2,
            parameter_bytes=sum(m.nbytes for m in self.memories),
            dense_weights=weights,
            state_bits=16,
            **totals.counts(
                outputs=units,
                dense_operations=weights,
                membranes=units,
            ),
        )

    def _fresh(self, level: int) -> ColumnTrace:
        return ColumnTrace.fresh(len(self.memories[level].u), self.modules[level])


def _memory_arrays(memory: ColumnMemory) -> dict[str, NDArray[Any]]:
    """Return the arrays of a memory by name, without copies."""
    arrays: dict[str, NDArray[Any]] = {name: getattr(memory, name) for name in ("u", "h", "d", "clock")}
    for name in ("stages", "last"):
        arrays |= {f"{name}{t}": array for t, array in enumerate(getattr(memory, name))}
    return arrays


def _units(batches: Sequence[LevelBatch]) -> list[NDArray[np.int32]]:
    """Return for each frame the winners among the units of all levels: level by level, column by column."""
    levels = []
    first = 0
    for batch in batches:
        codes = batch.codes.reshape(len(batch), -1)
        # First unit of each module, counted through all levels.
        places = first + np.arange(codes.shape[1], dtype=np.int32) * np.int32(batch.module_units)
        levels.append(np.where(codes >= 0, places + codes, -1))
        first += codes.shape[1] * batch.module_units
    if len(levels) == 1:
        every = levels[0]
    else:
        every = np.concatenate(levels, axis=1)
    return [units[units >= 0].astype(np.int32, copy=False) for units in every]
