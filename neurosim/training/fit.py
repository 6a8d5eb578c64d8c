"""Training: epochs of small steps by the surrogate gradient, stopped by validation, resumable after any epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import NeurosimError, require
from ..random import rng_key
from ..spikes import Recordings
from .augment import Augment
from .binning import Batch, Binning
from .net import SpikingNet
from .parallel import Team
from .saved import read_checkpoint, write_checkpoint
from .schedule import Schedule

ASKED = 128  # recordings at a time where no gradient is needed
ALIKE = 8  # batches within which recordings are put together by duration, so that few steps are padding


@dataclass(frozen=True)
class Told:
    """Progress within an epoch: `done` of `total` steps, the mean loss and accuracy so far."""

    epoch: int
    done: int
    total: int
    loss: float
    accuracy: float


@dataclass
class Course:
    """How far training has come.

    Attributes:
        epoch: epochs done. step: of the optimiser.
        history: one row an epoch: loss, accuracy, rate (spikes a unit and step), learning_rate, seconds, and
            validation_loss, validation_accuracy, or None without validation.
        best: the epoch (from 1) whose network is kept; 0 before the first.
        stopped: validation has not become better for `patience` epochs.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: int = 0
    stopped: bool = False


@final
class Trainer:
    """Trains a network on recordings.

    Everything random is keyed by seed, epoch, recording and step: a training that is resumed goes on exactly as the
    uninterrupted one, and the batches of several processes are those of one.

    Args:
        net: starts from its weights, scaled by `SpikingNet.calibrate` on the first batch.
        binning: of the recordings, for training and for validation.
        train: what to learn from. validation: what to stop by; None trains for all epochs and keeps the last.
        schedule, augment: how.
        seed: of the order of recordings, their changes, and dropout.
        team: the processes that share the batches; all of them need the same arguments.
        checkpoint: the file that holds all of it after each epoch; None keeps none.

    Raises:
        NeurosimInputError: recordings of another sensor, or a checkpoint of another network.
    """

    def __init__(
        self,
        net: SpikingNet,
        binning: Binning,
        train: Recordings,
        validation: Recordings | None = None,
        schedule: Schedule | None = None,
        augment: Augment | None = None,
        seed: int = 0,
        team: Team | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        require(net.units == binning.units, "Trainer.net", f"must take the {binning.units} units of a bin", net.units)
        require(len(train) > 0, "Trainer.train", "must hold recordings", 0)
        self.net, self.binning, self.train, self.validation = net, binning, train, validation
        self.schedule, self.augment, self.seed = schedule or Schedule(), augment or Augment(), seed
        self.team, self.checkpoint = team or Team(), checkpoint
        self.course = Course()
        matrices = [p for p in net.parameters() if p.ndim > 1]
        others = [p for p in net.parameters() if p.ndim < 2]
        groups = [
            {"params": params, "weight_decay": decay}
            for params, decay in ((matrices, self.schedule.weight_decay), (others, 0.0))
            if params
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=self.schedule.learning_rate)
        self.kept: dict[str, torch.Tensor] = {}
        if checkpoint is not None and checkpoint.is_file():
            self.kept, saved = read_checkpoint(checkpoint, net, self.optimiser)
            self.course = Course(**saved)
        else:
            first = self.binning.batch(train, self._batches(0)[0])
            net.calibrate(torch.from_numpy(first.x))

    def run(self, told: Callable[[Told], None] = lambda told: None) -> Course:
        """Train to the end, and leave the network with its best weights.

        Args:
            told: called after every step.

        Raises:
            NeurosimError: the loss or a gradient is no number any more; says at which step. The checkpoint of the epoch
                before stays.
        """
        while self.course.epoch < self.schedule.epochs and not self.course.stopped:
            self._epoch(told)
            if self.checkpoint is not None and self.team.leads:
                write_checkpoint(self.checkpoint, self.net, self.optimiser, self.kept, asdict(self.course))
        self.net.load_state_dict(self.kept)
        return self.course

    def gradient(self, chosen: NDArray[np.int64]) -> tuple[float, int, float]:
        """Leave the gradient of a batch's mean loss in the parameters; the loss, how many were right, and the rate.

        Every process works on its share, and all get the gradient of the whole.
        """
        self.optimiser.zero_grad(set_to_none=False)
        share, sums = self.team.share(chosen), torch.zeros(3)
        # Of a last, small batch there may be nothing for this process.
        if len(chosen[share]):
            sums = self._backward(chosen, share)
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.net.parameters()]
        for parameter, grad in zip(self.net.parameters(), grads, strict=True):
            parameter.grad = grad
        self.team.add([sums, *grads])
        return float(sums[0]), int(sums[1]), float(sums[2])

    def _backward(self, chosen: NDArray[np.int64], share: slice) -> torch.Tensor:
        """Add the gradient of a share of a batch; its part of the loss, how many were right, its part of the rate."""
        batch = self.binning.batch(self.train, chosen[share], self.augment, self.seed, self.course.epoch)
        draws = rng_key(self.seed, "training", "dropout", str(self.course.step)) >> 1
        x, lengths, labels = _tensors(batch)
        trace = self.net.trace(x, lengths, [mask[share] for mask in self.net.dropout(len(chosen), draws)])
        each = nn.functional.cross_entropy(
            trace.scores, labels, label_smoothing=self.schedule.smoothing, reduction="sum"
        )
        part = len(labels) / len(chosen)
        loss = each / len(chosen)
        rates = _rates(trace.spikes, lengths)
        square = torch.stack([rate.square().mean() for rate in rates]).sum()
        (loss + self.schedule.sparsity * part * square).backward()
        right = (trace.scores.argmax(dim=1) == labels).sum().float()
        mean = torch.cat(rates, dim=1).detach().mean()
        return torch.stack([loss.detach(), right, part * mean])

    def _epoch(self, told: Callable[[Told], None]) -> None:
        began, course, size = time.perf_counter(), self.course, len(self.train)
        batches = self._batches(course.epoch)
        loss, right, rate, seen = 0.0, 0, 0.0, 0
        for k, chosen in enumerate(batches):
            lr = self._step(chosen, sums := self.gradient(chosen), len(batches))
            seen += len(chosen)
            loss, right, rate = loss + sums[0] * len(chosen), right + sums[1], rate + sums[2] * len(chosen)
            told(Told(course.epoch + 1, k + 1, len(batches), loss / seen, right / seen))
        course.epoch += 1
        row: dict[str, float | None] = {
            "loss": loss / size,
            "accuracy": right / size,
            "rate": rate / size,
            "learning_rate": lr,
        }
        row |= {"validation_loss": None, "validation_accuracy": None}
        if self.validation is not None:
            scores = self.scores(self.validation)
            row["validation_loss"], row["validation_accuracy"] = judge(scores, self.validation)
        self._judge({**row, "seconds": time.perf_counter() - began})

    def _step(self, chosen: NDArray[np.int64], sums: tuple[float, int, float], steps: int) -> float:
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.schedule.clip)
        course = self.course
        if not (math.isfinite(sums[0]) and bool(torch.isfinite(norm))):
            what = f"the loss is {sums[0]}" if not math.isfinite(sums[0]) else "a gradient is no number"
            kept = f"; {self.checkpoint} holds epoch {course.epoch}" if course.epoch and self.checkpoint else ""
            raise NeurosimError(
                f"training: {what} at step {course.step + 1}, in epoch {course.epoch + 1}{kept}; train again with a "
                "lower training.learning_rate"
            )
        lr = self.schedule.rate(course.step, steps * self.schedule.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        course.step += 1
        return lr

    def _judge(self, row: dict[str, Any]) -> None:
        """Keep the network if it is the best so far, and stop where it has long not been."""
        course = self.course
        course.history.append(row)
        if self.validation is None or course.best == 0 or _better(row, course.history[course.best - 1]):
            course.best = course.epoch
            self.kept = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        patience = self.schedule.patience
        course.stopped = bool(patience) and course.epoch - course.best >= patience

    def scores(self, recordings: Recordings) -> NDArray[np.float32]:
        """[n, classes] of recordings as they are, shared among the processes."""
        every = np.arange(len(recordings))
        share = self.team.share(every)
        out = torch.zeros(len(recordings), self.net.classes)
        out[share] = torch.from_numpy(scores(self.net, self.binning, recordings, every[share]))
        self.team.add([out])
        return out.numpy()

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """The recordings of each step: in an order of the epoch's own, those of like duration together."""
        size = self.schedule.batch
        draws = np.random.Generator(np.random.Philox(rng_key(self.seed, "training", "order", str(epoch))))
        groups = np.array_split(draws.permutation(len(self.train)), max(1, len(self.train) // (ALIKE * size)))
        durations = self.train.durations
        order = np.concatenate([group[np.argsort(durations[group], kind="stable")] for group in groups])
        cut = [order[k : k + size] for k in range(0, len(order), size)]
        return [cut[k] for k in draws.permutation(len(cut))]


@torch.no_grad()
def scores(
    net: SpikingNet, binning: Binning, recordings: Recordings, chosen: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """[n, classes] what a network says of recordings as they are, or of those that are `chosen`."""
    every = np.arange(len(recordings)) if chosen is None else chosen
    out = np.empty((len(every), net.classes), np.float32)
    order = np.argsort(recordings.durations[every], kind="stable")
    for first in range(0, len(every), ASKED):
        part = order[first : first + ASKED]
        x, lengths, _ = _tensors(binning.batch(recordings, every[part]))
        out[part] = net(x, lengths).numpy()
    return out


def judge(scores: NDArray[np.float32], recordings: Recordings) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    assert recordings.labels is not None  # binning has made sure
    labels = torch.from_numpy(recordings.labels)
    said = torch.from_numpy(np.asarray(scores))
    loss = nn.functional.cross_entropy(said, labels)
    return float(loss), float((said.argmax(dim=1) == labels).double().mean())


def _better(row: dict[str, Any], than: dict[str, Any]) -> bool:
    """A higher accuracy, or the same with a lower loss."""
    a, b = ((r["validation_accuracy"], -r["validation_loss"]) for r in (row, than))
    return a > b


def _tensors(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(batch.x), torch.from_numpy(batch.lengths), torch.from_numpy(batch.labels)


def _rates(spikes: tuple[torch.Tensor, ...], lengths: torch.Tensor) -> list[torch.Tensor]:
    """[B, units] spikes a step of each recording, of every layer."""
    inside = torch.arange(len(spikes[0]))[:, None] < lengths
    return [(s * inside[..., None]).sum(dim=0) / lengths[:, None] for s in spikes]
