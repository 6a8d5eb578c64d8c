"""Saved state of every kind with other values and a right digest: refused in one line, or used, twice the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.mutants import mutate
from helpers.saved_kinds import KINDS

from neurosim import NeurosimError

# A sample of quick kinds; `benchmarks/fuzz.py` makes thousands of mutants, in processes that may die.
QUICK = ("pooler", "temporal memory", "macrocolumn", "hierarchy", "readout", "Hopfield", "dense Hebbian")
SAMPLE = 30
MANY = 80


def use_mutants(kind: str, folder: Path, mutants: int) -> None:
    if kind in {"training", "trained network", "converted model", "continual plain"}:
        pytest.importorskip("torch")
    KINDS[kind].make(folder / "sound")
    sound = KINDS[kind].use(folder / "sound")
    assert sound and all(array.size for array in sound)
    refused = 0
    for trial in range(mutants):
        words = mutate(folder / "mutant", folder / "sound", np.random.default_rng([*kind.encode(), trial]))
        try:
            with np.errstate(all="ignore"):
                first, second = (KINDS[kind].use(folder / "mutant") for _ in range(2))
        except NeurosimError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1, words
            continue
        for a, b in zip(first, second, strict=True):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), words
    assert 0 < refused < mutants


@pytest.mark.parametrize("kind", QUICK)
def test_mutants_of_saved_state(kind: str, tmp_path: Path) -> None:
    use_mutants(kind, tmp_path, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_many_mutants_of_saved_state(kind: str, tmp_path: Path) -> None:
    use_mutants(kind, tmp_path, MANY)
