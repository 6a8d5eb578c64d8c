"""Files that earlier versions saved, some under headers of their own, load without loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from neurosim.data import read_state
from neurosim.learning import TrainedReadout
from neurosim.memory import DenseHebbian, Hopfield, PairMemory, SpatialPooler, TemporalMemory
from neurosim.memory.macrocolumn.saved import load, save

SAVED = Path(__file__).parents[1] / "fixtures" / "saved"
CLASSES = {
    "dense_hebbian": DenseHebbian,
    "hopfield": Hopfield,
    "pair_memory": PairMemory,
    "readout": TrainedReadout,
    "spatial_pooler": SpatialPooler,
    "temporal_memory": TemporalMemory,
}


def again(name: str, path: Path) -> None:
    """Load the fixture and save it at `path`."""
    if name in CLASSES:
        CLASSES[name].load(SAVED / f"{name}.safetensors").save(path)  # type: ignore[attr-defined]
    else:
        save(path, *load(SAVED / f"{name}.safetensors"))


@pytest.mark.parametrize("name", sorted(path.stem for path in SAVED.iterdir()))
def test_what_was_saved_before_is_the_same_when_saved_again(name: str, tmp_path: Path) -> None:
    path = tmp_path / "again.safetensors"
    again(name, path)
    before = load_file(SAVED / path.with_stem(name).name)
    after = load_file(path)
    assert before.keys() == after.keys()
    for key, array in before.items():
        assert after[key].dtype == array.dtype and np.array_equal(after[key], array), key


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("spatial_pooler", "SpatialPooler", lambda s: s["inputs"] == [6, 5] and s["boost"] == 1.0),
        ("temporal_memory", "TemporalMemory", lambda s: s["columns"] == 20),
        ("readout", "TrainedReadout", lambda s: s["readout"]["windows"] == [1, 2]),
        ("hopfield", "Hopfield", lambda s: s == {"stored": 3}),
    ],
)
def test_every_form_of_the_header_is_read(name: str, kind: str, settings: Callable[[Any], bool]) -> None:
    assert settings(read_state(SAVED / f"{name}.safetensors", kind, 1)[0])
