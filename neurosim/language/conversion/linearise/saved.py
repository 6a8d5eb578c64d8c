"""Linearisations on disk, as state of `neurosim.data.files`: progress, student and moments of the optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.plain import from_plain
from ....data.files.state import read_state, saved_values, write_state
from ...attention.model import LanguageModel
from .records import LinearisationState

KIND = "Linearisation"
VERSION = 1
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
Arrays = Mapping[str, NDArray[Any]]


def write_checkpoint(
    path: Path,
    state: LinearisationState,
    model: LanguageModel,
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Replace `path` by the progress, the student and the moments of the parameters that are trained.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    arrays = {f"student/{name}": _array(value) for name, value in model.state_dict().items()}
    for name, parameter in parameters.items():
        arrays |= {f"adam/{name}/{key}": _array(optimiser.state[parameter][key]) for key in MOMENTS}
    write_state(path, KIND, version=VERSION, settings=state.to_dict(), arrays=arrays)


def read_checkpoint(path: Path) -> tuple[LinearisationState, Arrays]:
    """Return progress and arrays that `write_checkpoint` wrote.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a complete file of this kind, or of a later version.
    """
    settings, arrays = read_state(path, KIND, VERSION)
    with saved_values(path, "linearise again"):
        return from_plain(LinearisationState, settings, "linearisation"), arrays


def restore(
    path: Path | None,
    arrays: Arrays,
    model: LanguageModel,
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Copy the arrays of a checkpoint into the student and the optimiser.

    Raises:
        NeurosimFormatError: they are of another model.
    """
    with saved_values(str(path), "linearise again"):
        model.load_state_dict(
            {
                name.removeprefix("student/"): torch.from_numpy(a)
                for name, a in arrays.items()
                if name.startswith("student/")
            }
        )
        for name, parameter in parameters.items():
            moments = {key: torch.from_numpy(arrays[f"adam/{name}/{key}"]) for key in MOMENTS}
            state = {"step": moments["step"]}  # AdamW has it on the CPU
            for key in ("exp_avg", "exp_avg_sq"):
                state[key] = torch.empty_like(parameter).copy_(moments[key])
            optimiser.state[parameter] = state


def _array(value: Tensor) -> NDArray[Any]:
    """Return a copy of a tensor, which later updates do not change."""
    return np.array(value.detach().cpu().numpy())
