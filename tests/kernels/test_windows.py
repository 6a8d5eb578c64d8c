"""Spikes cut into windows, against numpy."""

import numpy as np
import pytest

from neurosim.kernels.engine.clocked.windows import cut, cut_reference, most_in_a_step

# Numbers of spikes of each source, and whether they are codes, which end with their window.
SOURCES = [((300,), (0,)), ((200, 0, 50), (0, 1, 1)), ((0,), (0,)), ((1, 400), (1, 0))]


@pytest.mark.parametrize(("sizes", "early"), SOURCES)
def test_windows_are_those_of_the_reference(sizes, early):
    rng = np.random.default_rng(len(sizes))
    inputs = 37
    length = 7
    first = 3
    windows = 11
    # From before the first window to after the last: others are left out.
    steps = np.concatenate([np.sort(rng.integers(0, 120, n)) for n in sizes]).astype(np.int32)
    units = rng.integers(0, inputs, len(steps)).astype(np.int32)
    feeds = np.cumsum([0, *sizes])
    scratch = np.zeros(inputs, np.int64)
    found = np.full(len(steps), -1, np.int32)
    counts = np.full(len(steps), -1, np.int64)
    bounds = np.full(windows + 1, -1, np.int64)
    given = steps, units, feeds, np.array(early)
    cut(*given, first, length, scratch, found, counts, bounds)
    for k, (active, number) in enumerate(cut_reference(*given, first, length, windows)):
        part = slice(bounds[k], bounds[k + 1])
        assert found[part].tolist() == active.tolist() and counts[part].tolist() == number.tolist()
    assert not scratch.any()


@pytest.mark.parametrize(("steps", "most"), [([], 0), ([4], 1), ([0, 1, 1, 1, 5, 5], 3), ([2, 2, 7], 2)])
def test_the_most_events_of_a_step(steps, most):
    assert most_in_a_step(np.array(steps, np.int32)) == most
