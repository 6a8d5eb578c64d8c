"""Training a byte-level language model: AdamW or Muon on random windows of a text, with a held-out end.

The objective is the next byte, or a mixture of objectives (`objectives`) with fixed shares, or with shares that follow
their progress (`mixture`). With a checkpoint a killed training resumes bit for bit.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from ...base.errors import NeurosimError, lookup, require
from ...base.plain import Record
from ...base.random import torch_seed
from ...base.rules import Count, LearningRate, Natural, NotASetting, Rule, check_rules
from .checkpoint import write_model
from .mixture import Interval, choose_shares, rewards
from .model import LanguageConfig, LanguageModel, MixerSpec
from .objectives import MIN_LENGTH, NAMES, NEXT_TOKEN, ObjectiveBatch, check_text, draw_batch
from .optimizers import OPTIMIZERS, optimizers_of
from .parallel import forward_slice
from .saved_training import read_training, write_training

KIND = "ByteTraining"
VERSION = 1
SAVED = 50  # updates between checkpoints
BIRDIE = "birdie"
OBJECTIVE_CHOICES = (NEXT_TOKEN, "mixture", BIRDIE)
INTERVALS = 32  # of a training, each with shares of its own
OBSERVED = 16  # sequences of each objective whose loss is its progress
log = logging.getLogger(__name__)


def small() -> LanguageConfig:
    """Return the config of a byte model of 1.1 M parameters that learns quickly on a CPU: four gated delta rules."""
    layer = MixerSpec("gated_deltanet", {"num_heads": 2, "head_dim": 64, "head_v_dim": 64})
    return LanguageConfig((layer,) * 4, width=144, hidden=384)


@dataclass(frozen=True)
class LanguageTraining:
    """Settings of `train_bytes`.

    Attributes:
        steps: number of updates.
        batch, length: windows of an update, and bytes of each.
        learning_rate: highest; reached after `warmup` updates, then it follows a half cosine down to a tenth.
        decay: weight decay of matrices; vectors have none.
        clip: maximum norm of the gradient.
        optimizer: a name of `OPTIMIZERS`; 'muon' is for the matrices of the layers, with AdamW for all else.
        objective: 'next_token'; 'mixture' of the objectives of `objectives.NAMES` with fixed shares; or 'birdie', whose
            shares follow the progress of each, anew after every 32nd of the training.
        shares: shares of the objectives of a mixture, relative to each other; 0 where not named (default: all equal).
        bidirectional: half of the heads read the prompt backwards, in kinds that can (`Mixer.both_ways`).
        held_out: part of the text, at its end, that is only for validation.
        every: updates between validations; 0 for one at the end.
        seed: key of first weights and windows.
    """

    steps: Count = 1000
    batch: Annotated[int, Rule("> 0")] = 16
    length: Annotated[int, Rule("> 0")] = 128
    learning_rate: LearningRate = 4e-3
    warmup: Annotated[int, Rule("> 0")] = 50
    decay: float = 0.1
    clip: float = 1.0
    optimizer: str = "adamw"
    objective: str = NEXT_TOKEN
    shares: Mapping[str, float] | None = None
    bidirectional: bool = False
    held_out: Annotated[float, NotASetting(), Rule("> 0 and < 1")] = 0.1
    every: Natural = 250
    seed: Annotated[int, NotASetting()] = 0

    def check(self, size: int) -> None:
        """Check every value for a text of `size` bytes.

        Raises:
            NeurosimInputError: a value breaks its rule.
        """
        check_rules(self)
        lookup(OPTIMIZERS, self.optimizer, "LanguageTraining.optimizer")
        lookup(dict.fromkeys(OBJECTIVE_CHOICES), self.objective, "LanguageTraining.objective")
        mixed = self.objective != NEXT_TOKEN
        rule = "must be left out for the objective next_token"
        require(mixed or self.shares is None, "LanguageTraining.shares", rule, self.shares)
        require(mixed or not self.bidirectional, "LanguageTraining.bidirectional", rule, self.bidirectional)
        require(not mixed or self.length >= MIN_LENGTH, "length", f"must be >= {MIN_LENGTH} for a mixture", self.length)
        for name in self.shares or ():
            lookup(dict.fromkeys(NAMES), name, "LanguageTraining.shares")
        shares = list((self.shares or {NEXT_TOKEN: 1.0}).values())
        is_share = all(0 <= share < math.inf for share in shares) and sum(shares) > 0
        require(is_share, "LanguageTraining.shares", "must be finite, >= 0, and not all 0", shares)
        # Both parts of the text must hold a window and the token behind it.
        needed = math.ceil((self.length + 2) / min(self.held_out, 1 - self.held_out))
        require(size >= needed, "text", f"must have at least {needed} bytes for windows of {self.length}", size)

    def first_shares(self) -> tuple[float, ...]:
        """Return the share of each objective of `NAMES` in a mixture at the start; their sum is 1."""
        parts = [1.0 if self.shares is None else self.shares.get(name, 0.0) for name in NAMES]
        return tuple(part / sum(parts) for part in parts)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of update `step`, from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training after `step` of `steps` updates: recent training loss and validation loss, nats a byte."""

    step: int
    steps: int
    loss: float
    validation: float | None


def split_text(text: bytes, held_out: float) -> tuple[Tensor, Tensor]:
    """Return (training part, validation part) as int64 tokens; the latter is the last `held_out` of the text."""
    return split_tokens(torch.frombuffer(bytearray(text), dtype=torch.uint8).long(), held_out)


def split_tokens(tokens: Tensor, held_out: float) -> tuple[Tensor, Tensor]:
    """Return (training part, validation part) of tokens [n]; the latter is the last `held_out` of them."""
    border = len(tokens) - int(len(tokens) * held_out)
    return tokens[:border], tokens[border:]


@dataclass(kw_only=True)
class ByteTrainingState(Record):
    """Progress that a checkpoint holds.

    Attributes:
        done: number of updates.
        recent: training loss, smoothed.
        validations: updates done, recent loss and validation loss of each validation.
        shares: current shares of the objectives of a mixture.
        losses: losses of the objectives at the start of the interval.
        intervals: past intervals, of 'birdie'.
    """

    done: int = 0
    recent: float = 0.0
    validations: tuple[tuple[int, float, float], ...] = ()
    shares: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    intervals: tuple[Interval, ...] = ()


def train_bytes(
    text: bytes,
    config: LanguageConfig | None = None,
    training: LanguageTraining | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    *,
    sliced: bool = False,
) -> tuple[LanguageModel, float]:
    """Return (trained model, its validation loss in nats a byte) from a text.

    Windows are a function of seed and step alone: the number of validations does not change the training.

    Args:
        config: default `small()`; its vocabulary must be 256.
        on_progress: called after every validation, and every 10 updates between them; first of all for each validation
            of a training that is resumed.
        folder: the model is written there (`write_model`) after every validation.
        checkpoint: file that holds the training, and is resumed from if it exists; None: no file.
        sliced: cut every window over the processes of torch.distributed (LASP-2, `parallel.forward_slice`), which all
            call this function alike; the process of rank 0 alone writes files.

    Raises:
        NeurosimInputError: a setting breaks its rule, the text is too short, or a checkpoint of another model; with
            `sliced` a mixture of objectives, windows that do not divide by the processes, or a kind that cannot be cut.
        NeurosimFormatError: a damaged checkpoint.
        NeurosimError: the loss is not finite; the error says at which update.
    """
    config = config or small()
    training = training or LanguageTraining()
    training.check(len(text))
    require(config.vocabulary == 256, "LanguageConfig.vocabulary", "must be 256 for bytes", config.vocabulary)
    run = _ByteTraining(text, config, training, device, sliced=sliced)
    if checkpoint is not None and checkpoint.is_file():
        run.restore(checkpoint)
    state = run.state
    report = on_progress or (lambda progress: None)
    for step, recent, validation in state.validations:
        report(TrainingProgress(step, training.steps, recent, validation))
    while state.done < training.steps:
        run.update()
        last = state.done == training.steps
        due = last or (training.every and state.done % training.every == 0)
        loss = validation_loss(run.model, run.held_out, training.length) if due else None
        if loss is not None:
            run.check_loss(loss, state.done)
        if loss is not None:
            state.validations = (*state.validations, (state.done, state.recent, loss))
            log.info("update %d of %d: loss %.4f nats a token on held-out text", state.done, training.steps, loss)
            if folder is not None and run.rank == 0:
                write_model(folder, run.model)
        # After the validation, whose loss is part of the state: a resumed training reports the same history.
        if checkpoint is not None and run.rank == 0 and (due or state.done % SAVED == 0):
            run.write(checkpoint)
        if due or state.done % 10 == 0:
            report(TrainingProgress(state.done, training.steps, state.recent, loss))
    return run.model, state.validations[-1][2]


class _ByteTraining:
    """Model, optimisers, both parts of the text, and progress of a training."""

    def __init__(
        self, text: bytes, config: LanguageConfig, training: LanguageTraining, device: str, *, sliced: bool
    ) -> None:
        self.training = training
        self.rank = 0
        self.processes = 1
        if sliced:
            self.rank = dist.get_rank()
            self.processes = dist.get_world_size()
            plain = training.objective == NEXT_TOKEN
            require(plain, "LanguageTraining.objective", "must be next_token over processes", training.objective)
            rule = f"must divide by the {self.processes} processes"
            require(training.length % self.processes == 0, "LanguageTraining.length", rule, training.length)
        self.model = LanguageModel(config, training.seed).to(device)
        self.learn, self.held_out = (part.to(device) for part in split_text(text, training.held_out))
        self.optimizers = optimizers_of(training.optimizer, self.model, training.learning_rate, training.decay)
        self.state = ByteTrainingState()
        self.mixed = training.objective != NEXT_TOKEN
        if self.mixed:
            check_text(torch.cat([self.learn, self.held_out]))
            self.state.shares = training.first_shares()

    def write(self, path: Path) -> None:
        """Replace the checkpoint."""
        write_training(path, KIND, version=VERSION, progress=self.state, model=self.model, optimizers=self.optimizers)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint."""
        self.state = read_training(
            path, KIND, version=VERSION, progress=ByteTrainingState, model=self.model, optimizers=self.optimizers
        )

    def update(self) -> None:
        """Take a step, and before it choose the shares of an interval of 'birdie' that begins with it."""
        settings = self.training
        state = self.state
        if settings.objective == BIRDIE and state.done % max(settings.steps // INTERVALS, 1) == 0:
            self._choose_shares()
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = settings.learning_rate_at(state.done)
        # One key for each update, so that a resumed training draws the same windows.
        key = torch_seed((settings.seed << 32) + state.done)
        if self.mixed:
            generator = torch.Generator().manual_seed(key)
            shares = torch.tensor(state.shares, dtype=torch.float64)
            objectives = torch.multinomial(shares, settings.batch, replacement=True, generator=generator)
            batch = draw_batch(self.learn, [NAMES[i] for i in objectives.tolist()], settings.length, key)
            loss = self._loss(batch)
        else:
            windows = draw_windows(self.learn, settings.batch, settings.length, key)
            loss = self._next_token_loss(windows)
        self.model.zero_grad(set_to_none=True)
        (loss + self.model.auxiliary_loss() / self.processes).backward()
        if self.processes > 1:
            # The loss of a process is its share of the sum, so that gradients of all are added.
            loss = loss.detach()
            dist.all_reduce(loss)
            for p in self.model.parameters():
                if p.grad is not None:
                    dist.all_reduce(p.grad)
        now = float(loss.detach())
        self.check_loss(now, state.done + 1)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        # A mean over about 20 updates.
        state.recent = now if state.done == 0 else 0.95 * state.recent + 0.05 * now
        state.done += 1

    def check_loss(self, loss: float, update: int) -> None:
        """Raise `NeurosimError` where a loss is not finite: no later update brings the weights back."""
        if not math.isfinite(loss):
            raise NeurosimError(
                f"training: the loss is not finite at update {update} of {self.training.steps}; train again "
                "with a lower training.learning_rate"
            )

    def _next_token_loss(self, windows: Tensor) -> Tensor:
        """Return the mean loss of windows [B, T + 1], nats; over processes the part of this one's slice."""
        inputs = windows[:, :-1]
        targets = windows[:, 1:]
        if self.processes == 1:
            logits, _ = self.model(inputs)
        else:
            own = inputs.shape[1] // self.processes
            begin = self.rank * own
            logits = forward_slice(self.model, inputs[:, begin : begin + own])
            targets = targets[:, begin : begin + own]
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / self.processes

    def _loss(self, batch: ObjectiveBatch) -> Tensor:
        """Return the mean loss over the bytes of the answers, nats."""
        prefix = batch.prefix if self.training.bidirectional else None
        logits, _ = self.model(batch.tokens[:, :-1], prefix=prefix)
        return F.cross_entropy(logits[batch.loss_mask], batch.tokens[:, 1:][batch.loss_mask])

    def _choose_shares(self) -> None:
        """End an interval, if there was one, and choose the shares of the next."""
        settings = self.training
        state = self.state
        now = self._objective_losses()
        if state.losses:
            gains = rewards(torch.tensor(state.losses), torch.tensor(now))
            interval = Interval(shares=state.shares, losses=state.losses, rewards=tuple(gains.tolist()))
            state.intervals = (*state.intervals, interval)
            state.shares = choose_shares(state.intervals, now, state.done / settings.steps, settings.seed)
        state.losses = now

    @torch.no_grad()
    def _objective_losses(self) -> tuple[float, ...]:
        """Return the loss of each objective on the held-out text, the same sequences every time."""
        settings = self.training
        batches = (draw_batch(self.held_out, [name] * OBSERVED, settings.length, settings.seed) for name in NAMES)
        return tuple(float(self._loss(batch)) for batch in batches)


@torch.no_grad()
def validation_loss(model: LanguageModel, tokens: Tensor, length: int = 128, batch: int = 64) -> float:
    """Return the mean nats a byte over tokens [n], read by `stream_windows` with their state.

    Each of the `batch` streams is read from its start: context is short in the first windows only. Attention over all
    tokens has learnt no distance beyond a window: with it, every window begins without context.
    """
    total = 0.0
    count = 0
    state = None
    carries_state = not sees_all_tokens(model)
    for inputs, targets in stream_windows(tokens, length, batch):
        logits, after = model(inputs, state)
        state = after if carries_state else None
        total += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        count += targets.numel()
    return total / count


def sees_all_tokens(model: LanguageModel) -> bool:
    """Return whether a layer is attention over all earlier tokens, at any distance."""
    return any(mixer.sees_everything for mixer in model.mixers())


def stream_windows(tokens: Tensor, length: int, streams: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield windows [streams, up to length] of tokens [n] and the tokens after each, one behind the other.

    The tokens are cut into `streams` equal streams, or fewer where they would be shorter than a window.
    """
    streams = max(min(streams, (len(tokens) - 1) // length), 1)
    span = (len(tokens) - 1) // streams
    # Inputs and targets, one token apart.
    both = [tokens[first : first + span * streams].view(streams, span).split(length, 1) for first in (0, 1)]
    yield from zip(*both, strict=True)


def draw_windows(tokens: Tensor, count: int, length: int, seed: int = 0) -> Tensor:
    """Draw [count, length + 1] windows from anywhere in tokens [n]."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(tokens) - length, (count,), generator=generator).to(tokens.device)
    return tokens[starts[:, None] + torch.arange(length + 1, device=tokens.device)]
