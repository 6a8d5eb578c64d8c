"""Training by surrogate gradients: small batches, stopped by validation, resumable after any epoch."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...base.errors import NeurosimError, require
from ...base.random import rng_key
from ...data.recordings import Recordings
from .augment import Augment
from .binned import BinnedRecordings, ListedBatch
from .binning import Binning, EventBatch
from .items import Batches, Labelled
from .optimizers import ClippedAdamax, ClippedAdamW, norm_of
from .parallel import Team
from .records import EpochProgress, EpochRecord, TrainingState
from .saved import read_checkpoint, write_checkpoint
from .scoring import device_of, loss_and_accuracy, scores_of_batches, tensors_of
from .specs import TrainingSpec

if TYPE_CHECKING:
    from .saved import TrainableNet

# Number of batches within which recordings are sorted by duration, so that few steps are padding.
SORTED_BATCHES = 8
OPTIMIZERS: dict[str, type[ClippedAdamW | ClippedAdamax]] = {"adamw": ClippedAdamW, "adamax": ClippedAdamax}
log = logging.getLogger(__name__)


def _ignore(progress: EpochProgress) -> None:
    """Default of `on_progress`."""


@final
class Trainer:
    """Training of a network on recordings.

    Everything random is keyed by seed, epoch, recording and step: a resumed training equals an uninterrupted one, and
    several processes have the same batches as one process.

    Args:
        net: network to train, on its device; `SpikingNet.calibrate` scales its weights on the first batch.
        binning: conversion of recordings to tensors.
        train: recordings to learn from.
        validation: recordings that decide when to stop; None: train all epochs and keep the last.
        spec: epochs, batches and learning rate.
        augment: changes of recordings in training.
        seed: key of the order of recordings, of their changes, and of dropout.
        team: processes that share the batches; all of them need the same arguments.
        checkpoint: file that holds the training after each epoch, and is resumed from if it exists; None: no file.

    Raises:
        NeurosimInputError: recordings of another sensor, or a checkpoint of another network.
    """

    def __init__(
        self,
        net: TrainableNet,
        binning: Batches,
        train: Labelled,
        validation: Labelled | None = None,
        spec: TrainingSpec | None = None,
        augment: Augment | None = None,
        seed: int = 0,
        team: Team | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        require(net.units == binning.units, "Trainer.net", f"must take the {binning.units} units of a bin", net.units)
        require(len(train) > 0, "Trainer.train", "must hold recordings", 0)
        self.net = net
        self.binning = binning
        self.train = train
        self.validation = validation
        self.spec = spec or TrainingSpec()
        self.augment = augment or Augment()
        self.seed = seed
        self.team = team or Team()
        self.checkpoint = checkpoint
        # A norm would take the mean squares of a share of the batch.
        alone = self.team.size == 1 or not getattr(net.spec, "normalise", False)
        require(alone, "NetworkSpec.normalise", "must be false with several processes, which share a batch", True)
        self.state = TrainingState()
        self._layer_seconds = 0.0
        self._device = device_of(net)
        self._binned = _binned_once(binning, train, self.augment)
        self._validated = None if validation is None else _binned_once(binning, validation, Augment())
        # Only matrices decay: a bias, a threshold or a time constant has its own scale.
        # Listed once: to find them in a network takes as long as to move them.
        self._parameters = list(net.parameters())
        matrices = [p for p in self._parameters if p.ndim > 1]
        others = [p for p in self._parameters if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": self.spec.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = OPTIMIZERS[self.spec.optimizer](groups, lr=self.spec.learning_rate)
        self.best_weights: dict[str, torch.Tensor] = {}
        if checkpoint is not None and checkpoint.is_file():
            self.best_weights, self.state = read_checkpoint(checkpoint, net, self.optimiser)
        else:
            chosen = self._batches(0)[0]
            first = self.binning.batch(train, chosen) if self._binned is None else self._binned.batch(chosen)
            net.calibrate(torch.from_numpy(first.x).to(self._device))

    def __repr__(self) -> str:
        epochs = f"epoch {self.state.epoch} of {self.spec.epochs}"
        return f"Trainer({type(self.net).__name__}, {len(self.train):,} items, {epochs})"

    def run(self, on_progress: Callable[[EpochProgress], None] = _ignore) -> TrainingState:
        """Train to the end, and leave the best weights in the network.

        Args:
            on_progress: called after every step.

        Raises:
            NeurosimError: the loss or a gradient is not finite; the error says at which step. The checkpoint of the
                epoch before stays.
        """
        while self.state.epoch < self.spec.epochs and not self.state.stopped:
            self._epoch(on_progress)
            if self.checkpoint is not None and self.team.leads:
                write_checkpoint(self.checkpoint, self.net, self.optimiser, self.best_weights, self.state)
        self.net.load_state_dict(self.best_weights)
        return self.state

    def gradient(self, chosen: NDArray[np.int64]) -> tuple[float, int, float]:
        """Compute the gradient of a batch's mean loss; return loss, number of hits and mean rate.

        Each process works on its share, and all get the gradient of the batch.
        """
        for parameter in self._parameters:
            parameter.grad = None
        share = self.team.share(chosen)
        sums = torch.zeros(3, device=self._device)
        # A last, small batch may hold nothing for this process.
        if len(chosen[share]):
            sums = self._backward(chosen, share)
        gradients = []
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        # Shares are parts of the batch's mean: their sum over the processes is the mean.
        self.team.add([sums, *gradients])
        return float(sums[0]), int(sums[1]), float(sums[2])

    def _backward(self, chosen: NDArray[np.int64], share: slice) -> torch.Tensor:
        """Add the gradient of a share of a batch; return its parts of loss, hits and rate."""
        batch = self._batch(chosen[share])
        draws = rng_key(self.seed, "training", "dropout", str(self.state.step)) >> 1
        x, lengths, labels = tensors_of(batch, self._device)
        masks = [mask[share].to(self._device) for mask in self.net.dropout(len(chosen), draws)]
        # Walks through all modules, and only an evaluation changes it.
        if not self.net.training:
            self.net.train()
        began = time.perf_counter()
        trace = self.net.trace(x, lengths, masks)
        self._layer_seconds += time.perf_counter() - began
        # This process's part of the loss of the whole batch.
        part = len(labels) / len(chosen)
        loss = self._loss(trace.scores, labels, batch) / len(chosen)
        total = loss + part * trace.auxiliary
        # The penalty on activity: mean squared rate of each layer. Without it no gradient passes through the rates.
        with torch.set_grad_enabled(self.spec.sparsity > 0):
            rates = _rates(trace.spikes, lengths)
        if self.spec.sparsity:
            square = torch.stack([_mean(rate.square()) for rate in rates]).sum()
            total = total + self.spec.sparsity * part * square
        began = time.perf_counter()
        total.backward()
        self._layer_seconds += time.perf_counter() - began
        right = (trace.scores.argmax(dim=1) == labels).sum().float()
        mean = _mean(torch.cat(rates, dim=1).detach())
        return torch.stack([loss.detach(), right, part * mean])

    def _batch(self, chosen: NDArray[np.int64]) -> EventBatch | ListedBatch:
        """Return recordings of the present epoch; those that no epoch changes are binned once."""
        if self._binned is None:
            return self.binning.batch(self.train, chosen, self.augment, self.seed, self.state.epoch)
        return self._of_binned(self._binned, chosen)

    def _of_binned(self, binned: BinnedRecordings, chosen: NDArray[np.int64]) -> EventBatch | ListedBatch:
        """Return the `chosen` recordings, as a list of their entries where the network takes one."""
        if self.net.takes_lists and self._device.type == "cpu":
            return binned.listed(chosen)
        return binned.batch(chosen)

    def _loss(self, scores: torch.Tensor, labels: torch.Tensor, batch: EventBatch | ListedBatch) -> torch.Tensor:
        """Return the summed cross-entropy of scores; with cutmix both classes count by their shares of the events."""
        smoothing = self.spec.smoothing
        if isinstance(batch, ListedBatch) or not batch.shares.any():
            return nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing, reduction="sum")
        shares = torch.from_numpy(batch.shares).to(labels.device)
        others = torch.from_numpy(batch.others).to(labels.device)
        own = nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing, reduction="none")
        other = nn.functional.cross_entropy(scores, others, label_smoothing=smoothing, reduction="none")
        return ((1 - shares) * own + shares * other).sum()

    def _epoch(self, on_progress: Callable[[EpochProgress], None]) -> None:
        """Train for one epoch, validate, and keep the best network."""
        began = time.perf_counter()
        self._layer_seconds = 0.0
        state = self.state
        size = len(self.train)
        batches = self._batches(state.epoch)
        # Sums over recordings: loss and rate of a batch are means.
        loss = 0.0
        right = 0
        rate = 0.0
        done = 0
        for k, chosen in enumerate(batches):
            batch_loss, batch_right, batch_rate = self.gradient(chosen)
            learning_rate = self._step(batch_loss, len(batches))
            done += len(chosen)
            loss += batch_loss * len(chosen)
            right += batch_right
            rate += batch_rate * len(chosen)
            progress = EpochProgress(
                epoch=state.epoch + 1, done=k + 1, total=len(batches), loss=loss / done, accuracy=right / done
            )
            on_progress(progress)
        state.epoch += 1
        record = EpochRecord(loss=loss / size, accuracy=right / size, rate=rate / size, learning_rate=learning_rate)
        if self.validation is not None:
            validation_loss, accuracy = loss_and_accuracy(self.scores(self.validation), self.validation)
            record = replace(record, validation_loss=validation_loss, validation_accuracy=accuracy)
        seconds = time.perf_counter() - began
        self._keep_best(replace(record, seconds=seconds, layer_seconds=self._layer_seconds))

    def _step(self, loss: float, steps: int) -> float:
        """Clip the gradients and move the weights; return the learning rate. `steps`: steps of an epoch."""
        norm = norm_of(p.grad for p in self._parameters if p.grad is not None)
        state = self.state
        if not math.isfinite(loss):
            self._fail(f"the loss is {loss}")
        if not math.isfinite(norm):
            self._fail("a gradient is not finite")
        learning_rate = self.spec.learning_rate_at(state.step, steps * self.spec.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.clipped_step(norm, self.spec.clip)
        state.step += 1
        return learning_rate

    def _fail(self, reason: str) -> NoReturn:
        state = self.state
        checkpoint = ""
        if state.epoch and self.checkpoint:
            checkpoint = f"; {self.checkpoint} holds epoch {state.epoch}"
        raise NeurosimError(
            f"training: {reason} at step {state.step + 1}, in epoch {state.epoch + 1}{checkpoint}; train again with a "
            "lower training.learning_rate"
        )

    def _keep_best(self, record: EpochRecord) -> None:
        """Keep the weights if they are the best; stop after `patience` epochs without improvement."""
        state = self.state
        state.history.append(record)
        log.info("epoch %d: %s", state.epoch, record)
        without_rival = self.validation is None or state.best == 0
        if without_rival or record.is_better_than(state.history[state.best - 1]):
            state.best = state.epoch
            self.best_weights = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        patience = self.spec.patience
        state.stopped = bool(patience) and state.epoch - state.best >= patience

    def scores(self, recordings: Labelled) -> NDArray[np.float32]:
        """Return [n, classes] scores of recordings as they are; the processes share the work."""
        every = np.arange(len(recordings))
        share = self.team.share(every)
        out = torch.zeros(len(recordings), self.net.classes)
        batch_of: Callable[[NDArray[np.int64]], EventBatch | ListedBatch] = partial(self.binning.batch, recordings)
        if recordings is self.validation and self._validated is not None:
            batch_of = partial(self._of_binned, self._validated)
        out[share] = torch.from_numpy(scores_of_batches(self.net, batch_of, recordings.durations, every[share]))
        self.team.add([out])
        return out.numpy()

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the recordings of each step, in the order of an epoch; similar durations come together."""
        size = self.spec.batch
        generator = np.random.Generator(np.random.Philox(rng_key(self.seed, "training", "order", str(epoch))))
        permutation = generator.permutation(len(self.train))
        groups = np.array_split(permutation, max(1, len(self.train) // (SORTED_BATCHES * size)))
        durations = self.train.durations
        order = np.concatenate([group[np.argsort(durations[group], kind="stable")] for group in groups])
        batches = [order[k : k + size] for k in range(0, len(order), size)]
        return [batches[k] for k in generator.permutation(len(batches))]


def _binned_once(binning: Batches, items: Labelled, augment: Augment) -> BinnedRecordings | None:
    """Return recordings binned once, where no epoch changes them and they fit into memory; else None."""
    if not isinstance(binning, Binning) or not isinstance(items, Recordings) or augment != Augment():
        return None
    if not BinnedRecordings.fits(items):
        return None
    return BinnedRecordings(binning, items)


def _rates(spikes: tuple[torch.Tensor, ...], lengths: torch.Tensor) -> list[torch.Tensor]:
    """Return [B, units] spikes a step of each recording, for every layer; zeros for a network without spikes."""
    if not spikes:
        return [torch.zeros(len(lengths), 1, device=lengths.device)]
    inside = torch.arange(len(spikes[0]), device=lengths.device)[:, None] < lengths
    return [(s * inside[..., None]).sum(dim=0) / lengths[:, None] for s in spikes]


def _mean(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of x [B, units], of recordings first: torch cuts one sum over a large tensor by its threads."""
    return x.mean(dim=1).mean()
