"""Trainings on disk: weights, the state of their optimisers, and the settings to continue bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...base.errors import NeurosimInputError
from ...base.plain import Record, from_plain
from ...data.files.state import check_finite, read_state, saved_values, write_state

Optimizers = Sequence[torch.optim.Optimizer]
Progress = TypeVar("Progress", bound=Record)


def write_training(
    path: Path, kind: str, version: int, progress: Record, model: nn.Module, optimizers: Optimizers
) -> None:
    """Write a training, with its progress beside its arrays."""
    arrays = {f"model/{name}": _array(value) for name, value in model.state_dict().items()}
    # The moments of each parameter, by its name in the model.
    for name, p, optimizer in _named(model, optimizers):
        arrays |= {f"optimizer/{name}/{key}": _array(value) for key, value in optimizer.state[p].items()}
    write_state(path, kind, version, progress.to_dict(), arrays)


def read_training(
    path: Path, kind: str, version: int, progress: type[Progress], model: nn.Module, optimizers: Optimizers
) -> Progress:
    """Put a saved training into model and optimisers; return its progress, a record of the type `progress`.

    Raises:
        NeurosimInputError: it is of another model.
        NeurosimFormatError: a damaged file.
    """
    settings, arrays = read_state(path, kind, version)
    saved = {name: torch.from_numpy(a) for name, a in _below(arrays, "model/").items()}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if {name: tuple(value.shape) for name, value in saved.items()} != shapes:
        raise NeurosimInputError(f"{path}: is the training of another model; run it again")
    with saved_values(path, "run it again"):
        check_finite(arrays)
        model.load_state_dict(saved)
        for name, p, optimizer in _named(model, optimizers):
            # A file has no arrays without axes: numbers of steps come back as such.
            values = {key: torch.from_numpy(np.array(a)) for key, a in _below(arrays, f"optimizer/{name}/").items()}
            state = {key: value.to(p.device) for key, value in values.items()}
            if "step" in values:
                state["step"] = values["step"].reshape(())
            optimizer.state[p] = state
        return from_plain(progress, settings, "training")


def _named(model: nn.Module, optimizers: Optimizers) -> list[tuple[str, nn.Parameter, torch.optim.Optimizer]]:
    """Return name, parameter and optimiser of all parameters."""
    owner = {p: each for each in optimizers for group in each.param_groups for p in group["params"]}
    return [(name, p, owner[p]) for name, p in model.named_parameters()]


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def _array(value: Tensor) -> np.ndarray:
    """Return a copy, which later updates do not change."""
    return np.array(value.detach().cpu().numpy())
