"""Trained networks and trainings on disk: safetensors with what was trained and how far, and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import files
from ..errors import NeurosimFormatError, NeurosimInputError
from .binning import Binning
from .design import Design
from .net import SpikingNet

NET, TRAINING, VERSION = "SpikingNet", "Training", 1
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save(path: Path | str, net: SpikingNet, binning: Binning, classes: tuple[str, ...] = ()) -> None:
    """Replace `path` by a network and how its input is made.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    about = {**_about(net), "binning": _plain(asdict(binning)), "names": list(classes)}
    files.write_state(path, NET, VERSION, about, _arrays(net.state_dict(), ""))


def load(path: Path | str) -> tuple[SpikingNet, Binning, tuple[str, ...]]:
    """The network that `save` wrote, its binning and the names of its classes.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a whole file of this kind, or of a later version.
    """
    settings, arrays = files.read_state(path, NET, VERSION)
    try:
        design = Design(**{k: _tuple(v) for k, v in settings["design"].items()})
        net = SpikingNet(tuple(settings["shape"]), settings["classes"], design, settings["dt"])
        binning = Binning(**{k: _tuple(v) for k, v in settings["binning"].items()})
        net.load_state_dict(_tensors(arrays, ""))
        return net, binning, tuple(settings["names"])
    except (KeyError, TypeError, AttributeError, RuntimeError, NeurosimInputError) as error:
        raise NeurosimFormatError(
            f"{path}: holds no network this neurosim can build ({error}); save it again"
        ) from None


def write_checkpoint(
    path: Path, net: SpikingNet, optimiser: torch.optim.Optimizer, kept: Mapping[str, Tensor], course: dict[str, Any]
) -> None:
    """Replace `path` by everything a training needs to go on: weights, the best ones so far, moments, and its course.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    arrays = {**_arrays(net.state_dict(), "net/"), **_arrays(kept, "kept/")}
    for name, parameter in net.named_parameters():
        arrays |= _arrays({key: optimiser.state[parameter][key] for key in MOMENTS}, f"adam/{name}/")
    files.write_state(path, TRAINING, VERSION, {**_about(net), "course": course}, arrays)


def read_checkpoint(
    path: Path, net: SpikingNet, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Lead `net` and `optimiser` to where `write_checkpoint` saw them; the best weights so far, and the course.

    Raises:
        NeurosimInputError: the checkpoint of another network: says what differs.
        NeurosimMissingError, NeurosimFormatError: as `load`.
    """
    settings, arrays = files.read_state(path, TRAINING, VERSION)
    here = _about(net)
    for key, value in _leaves(here):
        there = dict(_leaves({k: settings.get(k) for k in here})).get(key)
        if there != value:
            raise NeurosimInputError(
                f"{path}: is the checkpoint of another network: {key} must be {value!r} (got {there!r}); train anew"
            )
    try:
        net.load_state_dict(_tensors(arrays, "net/"))
        for name, parameter in net.named_parameters():
            found = _tensors(arrays, f"adam/{name}/")
            optimiser.state[parameter] = {
                key: found[key] if key == "step" else torch.empty_like(parameter).copy_(found[key]) for key in MOMENTS
            }
        return _tensors(arrays, "kept/"), dict(settings["course"])
    except (KeyError, RuntimeError) as error:
        raise NeurosimFormatError(f"{path}: lacks a part of the training ({error}); train anew") from None


def _about(net: SpikingNet) -> dict[str, Any]:
    design = _plain(asdict(net.design))
    return {"shape": list(net.shape), "classes": net.classes, "dt": net.dt, "design": design}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _leaves(tree: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        found += [(f"{key}.{k}", v) for k, v in _leaves(value)] if isinstance(value, Mapping) else [(key, value)]
    return found


def _arrays(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, NDArray]:
    return {prefix + name: np.array(value.detach().numpy()) for name, value in tensors.items()}


def _tensors(arrays: Mapping[str, NDArray], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
