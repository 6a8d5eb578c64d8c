"""No index of a compiled kernel leaves its array: a sample of the tests with numba's checks, in a process of its own.

NUMBA_BOUNDSCHECK=1 pytest tests/engine tests/memory tests/kernels tests/data is the whole. Kernels with checks lie in a
folder of their own in the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurosim.kernels.tools.compiled import compiled

TESTS = Path(__file__).parents[1]
SAMPLE = {
    "engine": ("engine/test_golden.py", "of_the_release"),
    "memory": ("memory/test_temporal.py", "by_hand or contexts_apart or memory_is_bounded"),
    "decode": (
        "kernels/test_decode_operations.py kernels/test_decode_states.py kernels/test_decode_windows.py",
        "convolve or rotary or delta_rule or over_a_window",
    ),
    "io": ("data/test_fuzz.py", "test_mutated_files and (nmnist or evt or aedat)"),
}


@compiled
def beyond(values, n):
    return values[n]


def test_an_index_is_checked_here() -> None:
    """Called by the test below: without the checks it would read whatever lies there."""
    if not os.environ.get("NUMBA_BOUNDSCHECK"):
        pytest.skip("needs NUMBA_BOUNDSCHECK=1")
    with pytest.raises(IndexError):
        beyond(np.zeros(3), 3)


@pytest.mark.slow
@pytest.mark.parametrize("room", SAMPLE)
def test_no_index_leaves_its_array(room: str) -> None:
    files, chosen = SAMPLE[room]
    paths = [str(TESTS / file) for file in files.split()]
    expression = f"index_is_checked_here or ({chosen})"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, *paths, "-k", expression]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"NUMBA_BOUNDSCHECK": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
