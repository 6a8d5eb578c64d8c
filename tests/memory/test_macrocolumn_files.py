"""Files of macrocolumns: they go on alike, and those that are damaged or of others are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.macrocolumns import hierarchy, items

from neurosim.base import NeurosimFormatError, NeurosimMissingError
from neurosim.data import read_state, write_state
from neurosim.memory import SDR, Macrocolumn, Permanence
from neurosim.memory.macrocolumn.saved import load, save
from neurosim.memory.macrocolumn.state import ColumnMemory


def test_saved_and_loaded_goes_on_alike(tmp_path: Path) -> None:
    for column in (
        Macrocolumn(90, 5, 7, above=3, bounds=(2, 40), permanence=Permanence((4, 9)), seed=2, neighbours=4),
        Macrocolumn(70, 4, 5),
    ):
        memory = column.memory()
        known = items(6, column.inputs, 9)
        column.store_sequence(memory, known)
        save(tmp_path / "a.safetensors", column, memory)
        other, again = load(tmp_path / "a.safetensors")
        assert other == column and isinstance(again, ColumnMemory) and again.stored == 1
        column.store_many(memory, known), other.store_many(again, known)
        assert memory.u.tobytes() == again.u.tobytes() and memory.clock.tolist() == again.clock.tolist()
    owner = hierarchy()
    memory = owner.memory()
    frames = [SDR.random(400, 60, 1, i) for i in range(4)]
    owner.store(memory, frames)
    save(tmp_path / "h.safetensors", owner, memory)
    other, again = load(tmp_path / "h.safetensors")
    for a, b in zip(owner.recall(memory, frames), other.recall(again, frames), strict=True):
        assert np.array_equal(a.codes, b.codes) and np.array_equal(a.familiarity, b.familiarity)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    column = Macrocolumn(40, 3, 4)
    memory = column.memory()
    column.store_many(memory, items(3, 40, 5))
    save(tmp_path / "m.safetensors", column, memory)
    return tmp_path / "m.safetensors"


def test_files_that_are_not_whole_are_refused(saved: Path) -> None:
    data = saved.read_bytes()
    for cut in (0, 5, 40, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:cut])
        with pytest.raises(NeurosimFormatError, match="is not a complete neurosim macrocolumn file"):
            load(saved)
    damaged = bytearray(data)
    damaged[-1] ^= 1
    saved.write_bytes(damaged)
    with pytest.raises(NeurosimFormatError, match="its contents do not match its digest"):
        load(saved)
    saved.unlink()
    with pytest.raises(NeurosimMissingError, match="no such file"):
        load(saved)


def alter_inputs(settings: dict) -> None:
    settings["parameters"]["column"]["inputs"] = 39


@pytest.mark.parametrize(
    ("kind", "version", "alter", "message"),
    [
        ("macrocolumn", 2, None, "macrocolumn format up to 1 is known (got 2); upgrade neurosim"),
        ("TemporalMemory", 1, None, "must hold a macrocolumn (got TemporalMemory)"),
        ("macrocolumn", 1, lambda s: s.update({"class": "Macrocolum"}), "did you mean 'Macrocolumn'"),
        ("macrocolumn", 1, lambda s: s.update({"class": "Hierarchy"}), "holds values that do not fit"),
        ("macrocolumn", 1, lambda s: s.update({"parameters": {}}), "holds values that do not fit ('column')"),
        ("macrocolumn", 1, alter_inputs, "afferents: must be (39, 12, 0) (got [40, 12, 0])"),
    ],
)
def test_other_files_are_refused(saved: Path, kind: str, version: int, alter: object, message: str) -> None:
    settings, arrays = read_state(saved, "macrocolumn", 1)
    if alter:
        alter(settings)  # type: ignore[operator]
    write_state(saved, kind, version, settings, arrays)
    with pytest.raises(NeurosimFormatError) as error:
        load(saved)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["0.u", "0.stages1", "0.clock"])
def test_arrays_of_other_shapes_are_refused(saved: Path, name: str) -> None:
    settings, arrays = read_state(saved, "macrocolumn", 1)
    write_state(saved, "macrocolumn", 1, settings, {**arrays, name: arrays[name].ravel()[:0]})
    with pytest.raises(NeurosimFormatError, match=f"{name}: must be"):
        load(saved)
