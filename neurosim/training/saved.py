"""Trained networks and trainings on disk, as state of `neurosim.files`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import files
from ..errors import NeurosimFormatError, NeurosimInputError
from ..plain import from_plain, to_plain
from .binning import Binning
from .net import SpikingNet
from .specs import NetworkSpec

NET, TRAINING, VERSION = "SpikingNet", "Training", 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
# Names of version 1, of settings and in those of arrays.
FORMER_SETTINGS = {"design": "spec", "course": "state"}
FORMER_ARRAYS = {".joint.": ".connection.", "kept/": "best/"}

Weights = Mapping[str, Tensor]


def save(path: Path | str, net: SpikingNet, binning: Binning, classes: tuple[str, ...] = ()) -> None:
    """Replace `path` by a network, the binning of its input, and the names of its classes.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    settings = {**_description(net), "binning": to_plain(binning), "names": list(classes)}
    files.write_state(path, NET, VERSION, settings, _arrays(net.state_dict(), ""))


def load(path: Path | str) -> tuple[SpikingNet, Binning, tuple[str, ...]]:
    """Return the network that `save` wrote, its binning and the names of its classes.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a complete file of this kind, or of a later version.
    """
    settings, arrays = _read(path, NET)
    try:
        spec = from_plain(NetworkSpec, settings["spec"], "spec")
        net = SpikingNet(tuple(settings["shape"]), settings["classes"], spec, settings["dt"])
        binning = from_plain(Binning, _renamed(settings["binning"], {"most": "max_count"}), "binning")
        net.load_state_dict(_tensors(arrays, ""))
        return net, binning, tuple(settings["names"])
    except (KeyError, TypeError, AttributeError, RuntimeError, NeurosimInputError) as error:
        raise NeurosimFormatError(
            f"{path}: holds no network this neurosim can build ({error}); save it again"
        ) from None


def write_checkpoint(
    path: Path, net: SpikingNet, optimiser: torch.optim.Optimizer, best: Weights, state: Mapping[str, Any]
) -> None:
    """Replace `path` by all that a training needs to go on.

    Args:
        best: weights of the best epoch so far.
        state: plain form of the training's state.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    arrays = {**_arrays(net.state_dict(), "net/"), **_arrays(best, "best/")}
    for name, parameter in net.named_parameters():
        arrays |= _arrays({key: optimiser.state[parameter][key] for key in MOMENTS}, f"adam/{name}/")
    files.write_state(path, TRAINING, VERSION, {**_description(net), "state": dict(state)}, arrays)


def read_checkpoint(
    path: Path, net: SpikingNet, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore `net` and `optimiser` from a checkpoint; return the best weights so far and the training's state.

    Raises:
        NeurosimInputError: the checkpoint of another network; says what differs.
        NeurosimMissingError, NeurosimFormatError: as `load`.
    """
    settings, arrays = _read(path, TRAINING)
    here = _description(net)
    try:
        spec = to_plain(from_plain(NetworkSpec, settings["spec"]))
    except (KeyError, NeurosimInputError) as error:
        raise NeurosimFormatError(f"{path}: lacks a part of the training ({error}); train anew") from None
    there = {**settings, "spec": spec}
    for name, value, other in _pairs(here, there):
        if value != other:
            raise NeurosimInputError(
                f"{path}: is the checkpoint of another network: {name} must be {value!r} (got {other!r}); train anew"
            )
    try:
        net.load_state_dict(_tensors(arrays, "net/"))
        for name, parameter in net.named_parameters():
            moments = _tensors(arrays, f"adam/{name}/")
            optimiser.state[parameter] = {
                key: moments[key] if key == "step" else torch.empty_like(parameter).copy_(moments[key])
                for key in MOMENTS
            }
        return _tensors(arrays, "best/"), dict(settings["state"])
    except (KeyError, RuntimeError) as error:
        raise NeurosimFormatError(f"{path}: lacks a part of the training ({error}); train anew") from None


def _read(path: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, NDArray]]:
    settings, arrays = files.read_state(path, kind, VERSION)
    for old, new in FORMER_ARRAYS.items():
        arrays = {name.replace(old, new): array for name, array in arrays.items()}
    return _renamed(settings, FORMER_SETTINGS), arrays


def _renamed(settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in settings.items()}


def _description(net: SpikingNet) -> dict[str, Any]:
    return {"shape": list(net.shape), "classes": net.classes, "dt": net.dt, "spec": to_plain(net.spec)}


def _pairs(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the values of two descriptions of networks by name."""
    spec = [(f"spec.{key}", value, there["spec"].get(key)) for key, value in here["spec"].items()]
    return [(key, value, there.get(key)) for key, value in here.items() if key != "spec"] + spec


def _arrays(tensors: Weights, prefix: str) -> dict[str, NDArray]:
    return {prefix + name: np.array(value.detach().numpy()) for name, value in tensors.items()}


def _tensors(arrays: Mapping[str, NDArray], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
