"""Trained networks and trainings on disk, as state of `neurosim.data.files`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...base.errors import NeurosimInputError, require
from ...base.plain import PlainTree, Record, from_plain, to_plain
from ...data.files.state import check_finite, read_state, saved_values, write_state
from .attention_net import AttentionNet
from .binning import Binning
from .elm_net import ELMNet
from .net import SpikingNet
from .records import TrainingState
from .specs import AttentionSpec, ELMSpec, NetworkSpec

NET = "SpikingNet"
TRAINING = "Training"
VERSION = 1
MEAN = "exp_avg"
SIZE = {torch.optim.AdamW: "exp_avg_sq", torch.optim.Adamax: "exp_inf"}  # of gradients

Weights = Mapping[str, Tensor]
TrainableNet = SpikingNet | AttentionNet | ELMNet


@dataclass(frozen=True, kw_only=True)
class _Net(Record):
    """A network without its weights."""

    shape: tuple[int, ...]
    classes: int
    dt: float


@dataclass(frozen=True, kw_only=True)
class _TrainedNet(_Net):
    spec: NetworkSpec
    binning: Binning
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Training(_Net):
    spec: NetworkSpec | AttentionSpec | ELMSpec
    state: TrainingState


def save(path: Path | str, net: SpikingNet, binning: Binning, classes: tuple[str, ...] = ()) -> None:
    """Replace `path` by a network, the binning of its input, and the names of its classes.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    about = _TrainedNet(
        shape=net.shape, classes=net.classes, dt=net.dt, spec=net.spec, binning=binning, names=tuple(classes)
    )
    write_state(path, NET, VERSION, about.to_dict(), _arrays(net.state_dict(), ""))


def load(path: Path | str) -> tuple[SpikingNet, Binning, tuple[str, ...]]:
    """Return the network that `save` wrote, its binning and the names of its classes.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a complete file of this kind, or of a later version.
    """
    settings, arrays = _read(path, NET)
    with saved_values(path, "save it again"):
        check_finite(arrays)
        about = from_plain(_TrainedNet, settings, "network")
        net = SpikingNet(about.shape, about.classes, about.spec, about.dt)
        net.load_state_dict(_tensors(arrays, ""))
        return net, about.binning, about.names


def write_checkpoint(
    path: Path, net: TrainableNet, optimiser: torch.optim.Optimizer, best: Weights, state: TrainingState
) -> None:
    """Replace `path` by all that a training needs to go on.

    Args:
        best: weights of the best epoch so far.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    arrays = {**_arrays(net.state_dict(), "net/"), **_arrays(best, "best/")}
    keys = "step", MEAN, SIZE[type(optimiser)]
    for name, parameter in net.named_parameters():
        arrays |= _arrays({key: optimiser.state[parameter][key] for key in keys}, f"adam/{name}/")
    about = _Training(shape=net.shape, classes=net.classes, dt=net.dt, spec=net.spec, state=state)
    write_state(path, TRAINING, VERSION, about.to_dict(), arrays)


def read_checkpoint(
    path: Path, net: TrainableNet, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], TrainingState]:
    """Restore `net` and `optimiser` from a checkpoint; return the best weights so far and the training's state.

    Raises:
        NeurosimInputError: the checkpoint of another network; says what differs.
        NeurosimMissingError, NeurosimFormatError: as `load`.
    """
    settings, arrays = _read(path, TRAINING)
    with saved_values(path, "train anew"):
        about = from_plain(_Training, settings, "training")
    there = _facts(about)
    for name, value in _facts(net).items():
        if value != there[name]:
            got = f"{name} must be {value!r} (got {there[name]!r})"
            raise NeurosimInputError(f"{path}: is the checkpoint of another network: {got}; train anew")
    with saved_values(path, "train anew"):
        check_finite(arrays)
        best = _tensors(arrays, "best/")
        net.load_state_dict(best)  # checks names and shapes
        net.load_state_dict(_tensors(arrays, "net/"))
        for name, parameter in net.named_parameters():
            saved = _tensors(arrays, f"adam/{name}/")
            optimiser.state[parameter] = _moments(saved, f"adam/{name}", parameter, SIZE[type(optimiser)])
        return best, about.state


def _moments(saved: Weights, name: str, parameter: Tensor, size: str) -> dict[str, Tensor]:
    """Return the state of Adam for a parameter; `size` names that of gradients."""
    keys = "step", MEAN, size
    for key in keys:
        # The file has no arrays without an axis: the step is one number.
        if key == "step":
            good = saved[key].numel() == 1
        else:
            good = saved[key].shape == parameter.shape
        require(good, f"{name}/{key}", "must be as the parameter has it", tuple(saved[key].shape))
        low = 0.0 if key == MEAN else float(saved[key].min())
        require(low >= (1 if key == "step" else 0), f"{name}/{key}", f"must be >= {int(key == 'step')}", low)
    return {
        key: saved[key].reshape(()).float() if key == "step" else torch.empty_like(parameter).copy_(saved[key])
        for key in keys
    }


def _read(path: Path | str, kind: str) -> tuple[PlainTree, dict[str, NDArray]]:
    return read_state(path, kind, VERSION)


def _facts(net: TrainableNet | _Training) -> dict[str, object]:
    """Return by name what a network shares with its checkpoints."""
    spec = {f"spec.{field.name}": to_plain(getattr(net.spec, field.name)) for field in fields(net.spec)}
    return {"shape": list(net.shape), "classes": net.classes, "dt": net.dt, **spec}


def _arrays(tensors: Weights, prefix: str) -> dict[str, NDArray]:
    return {prefix + name: np.array(value.detach().cpu().numpy()) for name, value in tensors.items()}


def _tensors(arrays: Mapping[str, NDArray], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
