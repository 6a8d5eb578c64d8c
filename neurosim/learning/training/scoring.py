"""Scores of networks for recordings, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .binned import ListedBatch
from .binning import EventBatch
from .items import Batches, Labelled

if TYPE_CHECKING:
    from .saved import TrainableNet

# Recordings at a time where no gradient is needed.
EVALUATION_BATCH = 128


def scores(
    net: TrainableNet, binning: Batches, recordings: Labelled, chosen: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return [n, classes] scores of a network for recordings as they are, or for those that are `chosen`."""
    if chosen is None:
        every = np.arange(len(recordings))
    else:
        every = chosen
    return scores_of_batches(net, partial(binning.batch, recordings), recordings.durations, every)


@torch.no_grad()
def scores_of_batches(
    net: TrainableNet,
    batch_of: Callable[[NDArray[np.int64]], EventBatch | ListedBatch],
    durations: NDArray[np.float64],
    chosen: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return [n, classes] scores of the `chosen` [n] items, of which `batch_of` makes batches."""
    net.eval()
    out = np.empty((len(chosen), net.classes), np.float32)
    # By duration: recordings of a batch then need little padding.
    order = np.argsort(durations[chosen], kind="stable")
    for first in range(0, len(chosen), EVALUATION_BATCH):
        part = order[first : first + EVALUATION_BATCH]
        x, lengths, _ = tensors_of(batch_of(chosen[part]), device_of(net))
        out[part] = net(x, lengths).cpu().numpy()
    return out


def loss_and_accuracy(scores: NDArray[np.float32], recordings: Labelled) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy of scores [n, classes]."""
    assert recordings.labels is not None  # checked by the binning
    labels = torch.from_numpy(recordings.labels)
    outputs = torch.from_numpy(np.asarray(scores))
    loss = nn.functional.cross_entropy(outputs, labels)
    return float(loss), float((outputs.argmax(dim=1) == labels).double().mean())


def device_of(net: nn.Module) -> torch.device:
    """Return the device of the weights of a network."""
    return next(net.parameters()).device


def tensors_of(batch: EventBatch | ListedBatch, device: torch.device) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Return what `trace` takes for x, a tensor or a list, and lengths and labels."""
    lengths, labels = (torch.from_numpy(part).to(device) for part in (batch.lengths, batch.labels))
    if isinstance(batch, ListedBatch):
        return batch.x, lengths, labels
    return torch.from_numpy(batch.x).to(device), lengths, labels
