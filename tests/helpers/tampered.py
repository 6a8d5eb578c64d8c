"""Saved arrays with one that does not fit: a refusal must leave the object as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosim.base import NeurosimInputError
from neurosim.network.windowed import Arrivals, WindowModel, WindowState

Arrays = Mapping[str, NDArray[Any]]


def tampered(arrays: Arrays) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield the arrays with each in turn missing, of another shape, of another type and with values out of range."""
    for name, array in arrays.items():
        yield f"{name} is missing", {key: value for key, value in arrays.items() if key != name}
        forms = {
            "longer": np.concatenate([np.atleast_1d(array), np.ones_like(np.atleast_1d(array)[:1])]),
            "of another rank": array[..., None, None],
            "of another type": array.astype("S1"),
        }
        if array.dtype.kind == "f":
            forms["not a number"] = np.full_like(array, np.nan)
            forms["too large"] = np.full_like(array, np.finfo(array.dtype).max)
        elif array.dtype.kind == "i":
            forms["too small"] = np.full_like(array, np.iinfo(array.dtype).min)
            forms["too large"] = np.full_like(array, np.iinfo(array.dtype).max)
        for rule, value in forms.items():
            yield f"{name} is {rule}", {**arrays, name: value}


def check_refusals(state: Callable[[], Arrays], restore: Callable[[Arrays], None], later: Arrays) -> None:
    """Check that a restore of tampered arrays is refused without any change, or accepted.

    Args:
        state: returns copies of the arrays of the object.
        restore: replaces them.
        later: arrays of the object after it learned more, so that they differ from those of `state`.
    """
    before = state()
    assert differing(before, later)
    for words, arrays in tampered(later):
        try:
            restore(arrays)
        except NeurosimInputError:
            assert not differing(before, state()), f"{words}: is refused, and changes {differing(before, state())}"
        else:
            restore(before)
            assert not differing(before, state())
    restore(later)
    assert not differing(later, state())


def check_window_state(model: WindowModel) -> None:
    """Check what a state of a windowed model refuses, before and after it learned from random windows."""
    state = model.start()
    state.begin()
    _learn(state, model, 1)
    before = state.arrays()
    _learn(state, model, 2)
    later = state.arrays()
    state.restore(before)
    check_refusals(state.arrays, state.restore, later)


def differing(first: Arrays, second: Arrays) -> list[str]:
    """Return the names of arrays that are not the same in both."""
    names = sorted({*first, *second})
    return [name for name in names if name not in first or name not in second or not _same(first[name], second[name])]


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _learn(state: WindowState, model: WindowModel, seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(9):
        arrivals = {}
        for name, size in model.receptors.items():
            # Few inputs are a label or a reward, of which one is active.
            units = np.sort(random.choice(size, max(size // 8, 1), replace=False)).astype(np.int32)
            arrivals[name] = Arrivals(units, np.ones(len(units), np.int64))
        state.step(arrivals, learn=True)
