"""Small models of attention layers on synthetic tasks, and their training, which resumes bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from ...base.errors import NeurosimError, lookup, require
from ...base.optimizers import Adam
from ...base.plain import Record
from ...base.random import rng_key
from ...base.rules import LearningRate, Natural, Rule, check_rules
from .controllers import ControllerPredictors, accesses_of, controller_gradients
from .decoupled import GradientPredictor, window_gradients
from .kinds.base import State
from .kinds.modules import linear
from .model import LanguageConfig, LanguageModel, MixerSpec
from .optimizers import OPTIMIZERS, optimizers_of
from .saved_training import read_training, write_training
from .tasks.base import SequenceTask, TaskBatch

KIND = "Probe"
VERSION = 1
RECORDED = 25  # updates of a recorded mean loss
SAVED = 50  # updates between checkpoints
PREDICTOR_RATE = 1e-3  # learning rate of synthetic gradients
TEST_TOKENS = 16_384  # of each size that is tested


class ProbeModel(nn.Module):
    """Tokens of a task to scores through a stack of layers.

    The fields of a token are embedded, joined, normalised and mixed to `width` channels; vectors are mixed as they are.
    Then come the blocks, norm and head of a `LanguageModel`.

    Args:
        layers: mixers, bottom to top.
        width: channels of the residual stream.
        hidden: channels of the feed-forward layers; None for none.
        seed: key of the first weights.
    """

    def __init__(
        self, task: SequenceTask, layers: Sequence[MixerSpec], width: int, hidden: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        mlp = "none" if hidden is None else "gated"
        config = LanguageConfig(layers=tuple(layers), vocabulary=task.outputs, width=width, mlp=mlp, hidden=hidden)
        self.body = LanguageModel(config, seed)
        self.body.embeddings = nn.Identity()  # type: ignore[assignment] # tokens are embedded here
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng_key(seed, "probe") >> 2)
            self.embeddings = nn.ModuleList([nn.Embedding(count, width) for count in task.fields])
            channels = task.channels or width * len(task.fields)
            self.norm = None if task.channels else nn.RMSNorm(channels)
            self.mix = linear(channels, width)

    def forward(self, inputs: Tensor, state: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Return (scores [B, T, outputs], state after them) of inputs [B, T, fields or channels]."""
        if self.norm is None:
            return self.body.through(self.mix(inputs), state)
        parts = [layer(inputs[..., i]) for i, layer in enumerate(self.embeddings)]
        return self.body.through(self.mix(self.norm(torch.cat(parts, -1))), state)


@dataclass(frozen=True)
class ProbeTraining:
    """Settings of `ProbeRun`.

    Attributes:
        steps: number of updates.
        tokens: approximate number of tokens of a batch, which has 8 to 64 sequences.
        learning_rate: highest; reached after `warmup` updates, then it follows a half cosine down to a fiftieth.
        decay: weight decay of matrices; vectors have none.
        clip: maximum norm of the gradient.
        optimizer: a name of `OPTIMIZERS`.
        window: tokens after which the gradient is cut off (`decoupled`); 0: the gradient of whole sequences.
        synthetic: continue it by synthetic gradients.
        controllers: synthetic gradients of what mixers write and read (`controllers`), in place of the state's.
        predictor_steps: updates of the predictor of these gradients for each update of the model.
    """

    steps: Annotated[int, Rule("> 0")] = 1000
    tokens: Annotated[int, Rule("> 0")] = 1024
    learning_rate: LearningRate = 5e-3
    warmup: Annotated[int, Rule("> 0")] = 50
    decay: Annotated[float, Rule("finite and >= 0")] = 0.01
    clip: Annotated[float, Rule("finite and > 0")] = 1.0
    optimizer: str = "adamw"
    window: Natural = 0
    synthetic: bool = False
    controllers: bool = False
    predictor_steps: Annotated[int, Rule("> 0")] = 4

    def __post_init__(self) -> None:
        check_rules(self)
        rule = "must be false without a window"
        require(self.window > 0 or not self.synthetic, "ProbeTraining.synthetic", rule, self.synthetic)
        rule = "must be false without synthetic gradients"
        require(self.synthetic or not self.controllers, "ProbeTraining.controllers", rule, self.controllers)
        lookup(OPTIMIZERS, self.optimizer, "ProbeTraining.optimizer")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of update `step`, from 0."""
        rise = min(1.0, (step + 1) / self.warmup)
        return self.learning_rate * rise * (0.02 + 0.49 * (1 + math.cos(math.pi * step / self.steps)))


@dataclass(kw_only=True)
class ProbeState(Record):
    """Progress of a training: updates done, mean losses of each `RECORDED` updates and the sum since, seconds."""

    done: int = 0
    losses: tuple[float, ...] = ()
    since: float = 0.0
    seconds: float = 0.0


class ProbeRun:
    """Training of a model on a task. Batches are keyed by seed and update: a resumed one equals an uninterrupted one.

    Args:
        model: trained in place.
        seed: key of the batches.
        checkpoint: file that holds the training, and is resumed from if it exists; None: no file.

    Raises:
        NeurosimInputError: a checkpoint of another model.
        NeurosimFormatError: a damaged checkpoint.
    """

    def __init__(
        self,
        task: SequenceTask,
        model: ProbeModel,
        training: ProbeTraining | None = None,
        seed: int = 0,
        checkpoint: Path | None = None,
    ) -> None:
        self.task = task
        self.model = model
        self.training = training or ProbeTraining()
        self.seed = seed
        self.checkpoint = checkpoint
        self.state = ProbeState()
        settings = self.training
        self.scheduled = optimizers_of(settings.optimizer, model, settings.learning_rate, settings.decay)
        self.optimizers = self.scheduled
        self.predictor: GradientPredictor | ControllerPredictors | None = None
        self.trained: nn.Module = model
        if settings.synthetic:
            self._predict()
        if checkpoint is not None and checkpoint.is_file():
            self._restore(checkpoint)

    def _predict(self) -> None:
        """Make the predictor of gradients, its optimiser, and both networks one to be saved."""
        # One token of any sequence shows the shapes of the states.
        first = self.task.draw(self.task.trained[0], 1, torch.Generator().manual_seed(0)).inputs[:, :1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng_key(self.seed, "predictor") >> 1)
            with accesses_of(self.model.body.mixers()) as accesses:
                states = self.model(first)[1]
            if self.training.controllers:
                self.predictor = ControllerPredictors(states, accesses, self.task.outputs)
            else:
                self.predictor = GradientPredictor(states, self.task.outputs)
        self.optimizers = [*self.scheduled, Adam(self.predictor.parameters(), lr=PREDICTOR_RATE)]
        self.trained = nn.ModuleDict({"model": self.model, "predictor": self.predictor})

    def run(self, on_progress: Callable[[int, float], None] = lambda step, loss: None) -> ProbeState:
        """Train to the end; `on_progress` gets the updates done and the loss of the last.

        Raises:
            NeurosimError: the loss is not finite; says at which update.
        """
        began = time.perf_counter()
        state = self.state
        steps = self.training.steps
        while state.done < steps:
            loss = self._update(state.done)
            state.done += 1
            state.since += loss
            if state.done % RECORDED == 0:
                state.losses = (*state.losses, state.since / RECORDED)
                state.since = 0.0
            on_progress(state.done, loss)
            if self.checkpoint is not None and (state.done % SAVED == 0 or state.done == steps):
                # Times add up over interrupted runs: what ran since the last checkpoint was written is added before
                # each.
                state.seconds = state.seconds + time.perf_counter() - began
                began = time.perf_counter()
                self._write(self.checkpoint)
        state.seconds += time.perf_counter() - began
        return state

    def _update(self, step: int) -> float:
        """Take one update; return the loss of its batch."""
        settings = self.training
        model = self.model
        generator = torch.Generator().manual_seed(rng_key(self.seed, "batch", str(step)) >> 1)
        batch = self.task.training_batch(generator, settings.tokens)
        for group in (group for optimizer in self.scheduled for group in optimizer.param_groups):
            group["lr"] = settings.learning_rate_at(step)
        self.trained.zero_grad(set_to_none=True)
        if isinstance(self.predictor, ControllerPredictors):
            mixers = model.body.mixers()
            loss, windows = controller_gradients(model, mixers, self.predictor, self.task, batch, settings.window)
            if windows:
                self.predictor.observe(windows)
            self._learn_gradients(partial(self.predictor.loss, windows), len(windows))
        elif settings.window:
            loss, examples = window_gradients(model, self.predictor, self.task, batch, settings.window)
            if self.predictor is not None:
                self._learn_gradients(partial(self.predictor.loss, examples), len(examples))
        else:
            whole = self.task.loss(model(batch.inputs)[0], batch)
            (whole + model.body.auxiliary_loss()).backward()
            loss = float(whole.detach())
        # Gradients of the model alone are clipped.
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        if not bool(torch.isfinite(norm)):
            raise NeurosimError(
                f"a gradient is not finite at update {step + 1} of {settings.steps}; lower learning_rate"
            )
        for optimizer in self.scheduled:
            optimizer.step()
        return loss

    def _learn_gradients(self, loss: Callable[[], Tensor], windows: int) -> None:
        """Take the steps of the predictor on its loss of a batch that has windows behind others."""
        if not windows:
            return
        (optimizer,) = self.optimizers[len(self.scheduled) :]
        for _ in range(self.training.predictor_steps):
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            optimizer.step()

    def _write(self, path: Path) -> None:
        """Replace the checkpoint."""
        write_training(path, KIND, version=VERSION, progress=self.state, model=self.trained, optimizers=self.optimizers)

    def _restore(self, path: Path) -> None:
        """Continue from a checkpoint."""
        self.state = read_training(
            path, KIND, version=VERSION, progress=ProbeState, model=self.trained, optimizers=self.optimizers
        )


@torch.no_grad()
def references_by_size(task: SequenceTask, seed: int = 0) -> dict[str, tuple[float, ...]]:
    """Return the scores of known algorithms at each size of `task.sizes`, by name, on 64 sequences of each."""
    scores: dict[str, tuple[float, ...]] = {}
    for size in task.sizes:
        batch = task.draw(size, 64, torch.Generator().manual_seed(rng_key(seed, "test", str(size)) >> 1))
        for name, score in task.references(batch, size).items():
            scores[name] = (*scores.get(name, ()), score)
    return scores


def scores_by_size(task: SequenceTask, model: ProbeModel, seed: int = 0) -> tuple[float, ...]:
    """Return the score of a model at each size of `task.sizes`, on about `TEST_TOKENS` tokens of each."""
    scores = []
    for size in task.sizes:
        generator = torch.Generator().manual_seed(rng_key(seed, "test", str(size)) >> 1)
        batch = task.draw(size, max(task.min_tested, TEST_TOKENS // task.length(size)), generator)
        parts = zip(batch.inputs.split(32), batch.targets.split(32), batch.loss_mask.split(32), strict=True)
        each = [(task.score(model(x)[0], TaskBatch(x, y, mask)), len(x)) for x, y, mask in parts]
        scores.append(sum(score * count for score, count in each) / len(batch.inputs))
    return tuple(scores)
