"""Trained networks and trainings on disk, as state of `neurosim.data.files`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from ...base.errors import NeurosimInputError, require
from ...base.optimizers import Adamax
from ...base.plain import PlainTree, Record, from_plain, to_plain
from ...data.files.state import check_finite, read_state, saved_values, write_state
from .binning import Binning
from .net import SpikingNet
from .records import TrainingState
from .specs import AttentionSpec, ELMSpec, NetworkSpec

if TYPE_CHECKING:
    from .attention_net import AttentionNet
    from .elm_net import ELMNet
    from .grid_net import GridNet

    TrainableNet = SpikingNet | AttentionNet | ELMNet | GridNet

NET = "SpikingNet"
GRID_NET = "GridNet"
TRAINING = "Training"
VERSION = 1
# State of a parameter in Adam and its kin, as torch names it: number of steps, mean of the gradients, and their size.
STEP = "step"
MEAN = "exp_avg"
SIZE = "exp_avg_sq"
LARGEST = "exp_inf"

Weights = Mapping[str, Tensor]


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
class _TrainedGridNet(_Net):
    spec: AttentionSpec
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


def save_grid(path: Path | str, net: GridNet, binning: Binning, classes: tuple[str, ...] = ()) -> None:
    """Replace `path` by a network over pixels, as `save`."""
    about = _TrainedGridNet(
        shape=net.shape, classes=net.classes, dt=net.dt, spec=net.spec, binning=binning, names=tuple(classes)
    )
    write_state(path, GRID_NET, VERSION, about.to_dict(), _arrays(net.state_dict(), ""))


def load_grid(path: Path | str) -> tuple[GridNet, Binning, tuple[str, ...]]:
    """Return the network that `save_grid` wrote, its binning and the names of its classes; errors as `load`."""
    settings, arrays = _read(path, GRID_NET)
    with saved_values(path, "save it again"):
        check_finite(arrays)
        from .grid_net import GridNet

        about = from_plain(_TrainedGridNet, settings, "network")
        net = GridNet(about.shape, about.classes, about.spec, about.dt)
        net.load_state_dict(_tensors(arrays, ""))
        return net, about.binning, about.names


def write_checkpoint(path: Path, net: TrainableNet, optimiser: Optimizer, best: Weights, state: TrainingState) -> None:
    """Replace `path` by the state from which a training continues.

    The file has the arrays "net/<parameter>", "best/<parameter>", and "adam/<parameter>/<moment>".

    Args:
        best: weights of the best epoch so far.

    Raises:
        NeurosimWriteError: the disk refused.
    """
    arrays = {**_arrays(net.state_dict(), "net/"), **_arrays(best, "best/")}
    # By the names of parameters: their numbers in an optimiser depend on the order of its groups.
    keys = STEP, MEAN, _size_of(optimiser)
    for name, parameter in net.named_parameters():
        arrays |= _arrays({key: optimiser.state[parameter][key] for key in keys}, f"adam/{name}/")
    about = _Training(shape=net.shape, classes=net.classes, dt=net.dt, spec=net.spec, state=state)
    write_state(path, TRAINING, VERSION, about.to_dict(), arrays)


def read_checkpoint(path: Path, net: TrainableNet, optimiser: Optimizer) -> tuple[dict[str, Tensor], TrainingState]:
    """Restore `net` and `optimiser` from a checkpoint; return the best weights so far and the training's state.

    Raises:
        NeurosimInputError: the checkpoint of another network; says what differs.
        NeurosimMissingError, NeurosimFormatError: as `load`.
    """
    settings, arrays = _read(path, TRAINING)
    with saved_values(path, "train anew"):
        about = from_plain(_Training, settings, "training")
    saved_facts = _facts(about)
    for name, value in _facts(net).items():
        if value != saved_facts[name]:
            got = f"{name} must be {value!r} (got {saved_facts[name]!r})"
            raise NeurosimInputError(f"{path}: is the checkpoint of another network: {got}; train anew")
    with saved_values(path, "train anew"):
        check_finite(arrays)
        best = _tensors(arrays, "best/")
        # Loading checks names and shapes, of the best weights as well.
        net.load_state_dict(best)
        net.load_state_dict(_tensors(arrays, "net/"))
        size = _size_of(optimiser)
        for name, parameter in net.named_parameters():
            saved = _tensors(arrays, f"adam/{name}/")
            optimiser.state[parameter] = _moments(saved, f"adam/{name}", parameter, size)
        return best, about.state


def _size_of(optimiser: Optimizer) -> str:
    """Return the key of the size of the gradients: of Adamax their largest, of others their mean square."""
    if isinstance(optimiser, Adamax):
        return LARGEST
    return SIZE


def _moments(saved: Weights, name: str, parameter: Tensor, size: str) -> dict[str, Tensor]:
    """Return the state of Adam for a parameter; `size` is the key of the size of its gradients."""
    moments = {}
    for key in (STEP, MEAN, size):
        value = saved[key]
        # The file has no arrays without an axis: the step is one number.
        is_step = key == STEP
        if is_step:
            good = value.numel() == 1
        else:
            good = value.shape == parameter.shape
        require(good, f"{name}/{key}", "must be as the parameter has it", tuple(value.shape))
        if key != MEAN:
            minimum = int(is_step)
            low = float(value.min())
            require(low >= minimum, f"{name}/{key}", f"must be >= {minimum}", low)
        if is_step:
            moments[key] = value.reshape(()).float()
        else:
            # On the device and of the type of the parameter.
            moments[key] = torch.empty_like(parameter).copy_(value)
    return moments


def _read(path: Path | str, kind: str) -> tuple[PlainTree, dict[str, NDArray[Any]]]:
    return read_state(path, kind, VERSION)


def _facts(net: TrainableNet | _Training) -> dict[str, object]:
    """Return by name the values that a network and its checkpoints must have in common."""
    spec = {f"spec.{field.name}": to_plain(getattr(net.spec, field.name)) for field in fields(net.spec)}
    return {"shape": list(net.shape), "classes": net.classes, "dt": net.dt, **spec}


def _arrays(tensors: Weights, prefix: str) -> dict[str, NDArray[Any]]:
    return {prefix + name: np.array(value.detach().cpu().numpy()) for name, value in tensors.items()}


def _tensors(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
