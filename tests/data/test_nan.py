"""NaN in files: saved states with it are refused, checkpoints named in a warning, with file, array and index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from helpers.networks import recording, small
from numpy.typing import NDArray

from neurosim import Simulation
from neurosim.base import CheckpointWarning, NeurosimFormatError
from neurosim.data import read_state, write_state
from neurosim.data.files.arrays import first_nan
from neurosim.learning import TrainedReadout


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_first_nan_is_found_and_infinity_is_none(dtype: type) -> None:
    array = np.zeros((3, 4), dtype)
    array[0, 1] = np.inf
    array[2, 0] = -np.inf
    assert first_nan(array) is None
    array[2, 3] = array[1, 2] = np.nan
    assert first_nan(array) == (1, 2) and first_nan(array.T) == (2, 1)
    assert first_nan(np.zeros((0, 2), dtype)) is None and first_nan(np.array([1, 2])) is None


def test_a_state_with_nan_is_refused_unless_it_stands_for_no_value(tmp_path: Path) -> None:
    path = tmp_path / "state"
    arrays = {"weights": np.ones(4, np.float32), "scores": np.array([[1.0, np.nan]])}
    write_state(path, "Thing", 1, {}, arrays)
    with pytest.raises(NeurosimFormatError, match=r"state: array 'scores' holds NaN at \[0, 1\], .*; restore a copy"):
        read_state(path, "Thing", 1)
    assert np.isnan(read_state(path, "Thing", 1, with_nan=["scores"])[1]["scores"][0, 1])


def with_nan(path: Path, kind: str, name: str, place: int) -> None:
    """Write NaN into an array of a saved state, with a digest that fits."""
    settings, arrays = read_state(path, kind, 9)
    changed: Mapping[str, NDArray] = {key: array.copy() for key, array in arrays.items()}
    changed[name].reshape(-1)[place] = np.nan
    write_state(path, kind, 1, settings, changed)


def test_a_simulation_with_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved.safetensors"
    with Simulation(small(), recording(), seed=3) as simulation:
        simulation.run(0.05)
        simulation.save(path)
    with_nan(path, "Simulation", "state.1", 7)
    with pytest.raises(NeurosimFormatError, match=r"saved\.safetensors: array 'state\.1' holds NaN at \[7\]"):
        Simulation.load(path, small(), recording())


def test_a_readout_with_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "readout.safetensors"
    write_state(path, "TrainedReadout", 1, {}, {"coefficients": np.array([1.0, np.nan])})
    with pytest.raises(NeurosimFormatError, match=r"array 'coefficients' holds NaN at \[1\]"):
        TrainedReadout.load(path)


@pytest.mark.parametrize("bits", [16, 32])
def test_a_checkpoint_with_nan_is_named_in_a_warning(bits: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from neurosim.language import LanguageConfig, LanguageModel, MixerSpec, read_model, write_model

    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}),), width=32, hidden=80), 1)
    if bits == 16:
        model.bfloat16()
    with torch.no_grad():
        model.lm_head.weight[5, 2] = float("inf")
        model.lm_head.weight[5, 3] = -float("inf")
    write_model(tmp_path / "infinite", model)
    read_model(tmp_path / "infinite")
    with torch.no_grad():
        model.lm_head.weight[3, 7] = float("nan")
    write_model(tmp_path / "broken", model)
    with pytest.warns(
        CheckpointWarning, match=r"broken/model.safetensors: tensor 'lm_head\.weight' holds NaN at \[3, 7"
    ):
        read_model(tmp_path / "broken")
