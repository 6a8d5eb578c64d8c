"""Stages of a linearisation: layers matched to the teacher's, then the whole model tuned; resumable from any update."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import NeurosimError, NeurosimInputError, require
from ....base.optimizers import AdamW
from ....base.random import rng_key
from ...attention.model import LanguageModel
from ...attention.train import draw_windows
from ..records import Comparison
from ..tuning import window_loss
from .low_rank import add_low_rank, merge_low_rank
from .records import LinearisationSpec, LinearisationState, StageProgress, StageSpec, StageState
from .saved import read_checkpoint, restore, write_checkpoint
from .students import Student

CLIP = 1.0  # maximum norm of a gradient
SAVED = 50  # updates between checkpoints, at most
SAVED_SECONDS = 120.0  # time between checkpoints after which the next update writes one
ERROR_WINDOWS = 8  # for the errors of layers


Recorded = Mapping[int, tuple[Tensor, Tensor]]
"""(Input, output) of mixers by the number of their layer."""


@dataclass(frozen=True, eq=False)
class _Stage:
    """Parameters that a stage trains, and its loss of windows [B, T + 1]."""

    spec: StageSpec
    parameters: Mapping[str, nn.Parameter]
    loss: Callable[[Tensor], Tensor]


@final
class Linearisation:
    """Training of a student to reproduce the outputs of its teacher.

    Windows are keyed by seed, stage and update: a resumed training equals an uninterrupted one, bit for bit.

    Args:
        teacher: the softmax model.
        student: from `make_student`; trained in place.
        tokens: [n] text.
        spec: settings of the stages.
        seed: key of the windows and of the low-rank changes.
        checkpoint: file that holds the training, and is resumed from if it exists; None: no file.

    Raises:
        NeurosimInputError: too little text, a checkpoint of another model, or `match.attention` for a student without
            attention weights.
    """

    def __init__(
        self,
        teacher: LanguageModel,
        student: Student,
        tokens: Tensor,
        spec: LinearisationSpec | None = None,
        seed: int = 0,
        checkpoint: Path | None = None,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.tokens = tokens
        self.spec = spec or LinearisationSpec()
        self.seed = seed
        self.checkpoint = checkpoint
        minimum = self.spec.length + 2
        require(len(tokens) >= minimum, "text", f"must have at least {minimum} tokens to learn from", len(tokens))
        if self.spec.match.steps and self.spec.match.attention:
            self._check_weights()
        self.state = LinearisationState()
        self._saved: Mapping[str, NDArray[Any]] = {}
        if checkpoint is not None and checkpoint.is_file():
            self.state, self._saved = read_checkpoint(checkpoint)

    def run(
        self,
        compare: Callable[[LanguageModel], Comparison],
        on_progress: Callable[[StageProgress], None] = lambda progress: None,
    ) -> LinearisationState:
        """Run the stages; the student's model is dense afterwards.

        Args:
            compare: compares a student's model with the teacher's, at the end of each stage.
            on_progress: called after every update.

        Raises:
            NeurosimError: the loss is not finite; says at which update.
        """
        begun = len(self.state.stages)
        if begun == 0:
            self._scale_outputs()
        makers = {"match": self._match, "layer": self._layer, "tune": self._tune}
        names = [name for name in makers if getattr(self.spec, name).steps]
        for number, name in enumerate(names, 1):
            # A checkpoint holds the stages that have begun: all before the last are complete.
            if number < begun:
                continue
            stage = makers[name]()
            optimiser = AdamW(list(stage.parameters.values()), betas=(0.9, 0.95), weight_decay=0.0)
            if number == begun:
                restore(self.checkpoint, self._saved, self.student.model, stage.parameters, optimiser)
            else:
                trained = sum(p.numel() for p in stage.parameters.values())
                self.state.stages.append(StageState(name=name, trained=trained))
            self._train(stage, optimiser, on_progress)
            merge_low_rank(self.student.model)
            state = self.state.stages[-1]
            state.comparison = compare(self.student.model)
            state.errors = self._errors()
        return self.state

    @torch.no_grad()
    def _scale_outputs(self) -> None:
        """Scale the outputs of replaced layers to the teacher's, by least squares, where these have a gain.

        Outputs of a norm have size 1 at first: where the teacher's are small, as in a first layer, the error would be
        hundreds of times their power, and most of the updates would go into that one number.
        """
        if not self.student.gains:
            return
        recorded = self._record(self._error_windows())
        for i, weight in self.student.gains.items():
            x, target = recorded[i]
            out, _ = self.student.model.mixers()[i](x, None, {})
            gain = (out * target).sum() / out.square().sum()
            if gain > 0:
                weight.mul_(gain)

    @torch.no_grad()
    def _check_weights(self) -> None:
        """Raise if a replaced layer has no attention weights."""
        for i in self.student.layers:
            for model in (self.student.model, self.teacher):
                if model.mixers()[i].log_weights(model.embed(self.tokens[None, :1])) is None:
                    kind = model.config.layers[i].kind
                    raise NeurosimInputError(
                        f"match.attention: must be 0 for layers without attention weights (layers.{i} is '{kind}'); "
                        "set it to 0, or choose linear or window_linear"
                    )

    def _match(self) -> _Stage:
        """Return stage 1: new parameters of the replaced layers, and the errors of these layers."""
        return _Stage(self.spec.match, self.student.new_parameters(), self._match_loss)

    def _match_loss(self, windows: Tensor) -> Tensor:
        """Return the errors of the replaced layers, and of their attention weights where these have a weight."""
        recorded = self._record(windows)
        loss = self._layer_loss(recorded)
        if self.spec.match.attention == 0:
            return loss
        return loss + self.spec.match.attention * self._weight_loss(recorded)

    def _layer(self) -> _Stage:
        """Return stage 2: all parameters of the replaced layers."""
        prefixes = self.student.prefixes()
        named = self.student.model.named_parameters()
        parameters = {name: p for name, p in named if name.startswith(prefixes)}
        return _Stage(self.spec.layer, parameters, lambda windows: self._layer_loss(self._record(windows)))

    def _layer_loss(self, recorded: Recorded) -> Tensor:
        """Return the errors of the replaced layers, and the losses of their own (`Mixer.auxiliary`)."""
        errors = self._errors_of(recorded)
        mixers = (self.student.model.mixers()[i] for i in self.student.layers)
        own = [mixer.auxiliary for mixer in mixers if mixer.auxiliary is not None]
        return torch.stack([*errors, *own]).sum()

    def _tune(self) -> _Stage:
        """Return stage 3: all weights, or new parameters of the layers and low-rank changes of all linear layers."""
        model = self.student.model
        spec = self.spec.tune

        def loss(windows: Tensor) -> Tensor:
            return window_loss(model, self.teacher, windows) + model.auxiliary_loss()

        if spec.full:
            return _Stage(spec, dict(model.named_parameters()), loss)
        new = self.student.new_parameters()
        names = [
            name
            for name, module in model.layers.named_modules(prefix="layers")
            if isinstance(module, nn.Linear) and f"{name}.weight" not in new
        ]
        key = rng_key(self.seed, "linearise", "low rank") >> 2
        changes = add_low_rank(model, names, spec.rank, spec.alpha, key)
        return _Stage(spec, {**new, **changes}, loss)

    @torch.no_grad()
    def _record(self, windows: Tensor) -> Recorded:
        """Return (input, output) of the layers of the teacher that the student replaces."""
        with _recorded(self.teacher, self.student.layers) as recorded:
            # Logits of a large vocabulary would take as long as the layers.
            self.teacher.hidden(self.teacher.embed(windows[:, :-1]))
        return recorded

    def _errors_of(self, recorded: Recorded) -> list[Tensor]:
        """Return for each replaced layer the share of the power of the teacher's output that the student's misses."""
        errors = []
        for i in self.student.layers:
            x, target = recorded[i]
            out, _ = self.student.model.mixers()[i](x, None, {})
            errors.append((out - target).square().sum() / target.square().sum())
        return errors

    def _weight_loss(self, recorded: Recorded) -> Tensor:
        """Return the cross entropy of attention weights, nats a row: its mean over rows and heads, summed over layers.

        -sum_j a_j log a'_j, a of the teacher, a' of the student.
        """
        losses = []
        for i in self.student.layers:
            x, _ = recorded[i]
            with torch.no_grad():
                theirs = self.teacher.mixers()[i].log_weights(x)
            ours = self.student.model.mixers()[i].log_weights(x)
            assert theirs is not None and ours is not None  # `_check_weights`
            wanted = theirs.exp()
            # -inf for later tokens, whose weight is 0.
            ours = ours.masked_fill(wanted == 0, 0.0)
            losses.append(-(wanted * ours).sum(-1).mean())
        return torch.stack(losses).sum()

    @torch.no_grad()
    def _errors(self) -> tuple[float, ...]:
        """Return the errors of the replaced layers on a few windows of the text."""
        return tuple(float(error) for error in self._errors_of(self._record(self._error_windows())))

    def _error_windows(self) -> Tensor:
        return draw_windows(self.tokens, ERROR_WINDOWS, self.spec.length, rng_key(self.seed, "linearise") >> 1)

    @torch.enable_grad()
    def _train(
        self, stage: _Stage, optimiser: torch.optim.Optimizer, on_progress: Callable[[StageProgress], None]
    ) -> None:
        """Train from the last update on, and write checkpoints."""
        spec = stage.spec
        state = self.state.stages[-1]
        began = time.perf_counter()
        parameters = list(stage.parameters.values())
        with _training(self.student.model, parameters):
            while state.done < spec.steps:
                # Keyed by the update: a resumed training draws the same windows.
                key = rng_key(self.seed, "linearise", state.name, str(state.done)) >> 1
                loss = stage.loss(draw_windows(self.tokens, spec.batch, self.spec.length, key))
                # Zero gradients instead of none: clipping and moments then see every parameter in every update.
                optimiser.zero_grad(set_to_none=False)
                loss.backward()
                norm = nn.utils.clip_grad_norm_(parameters, CLIP)
                if not bool(torch.isfinite(norm)):
                    raise NeurosimError(
                        f"linearise: a gradient is not finite at update {state.done + 1} of stage '{state.name}'; "
                        f"try a lower {state.name}.learning_rate"
                    )
                for group in optimiser.param_groups:
                    group["lr"] = spec.learning_rate_at(state.done)
                optimiser.step()
                state.add(float(loss.detach()))
                on_progress(StageProgress(state.name, state.done, spec.steps, float(loss.detach())))
                now = time.perf_counter()
                is_due = state.done % SAVED == 0 or state.done == spec.steps or now - began > SAVED_SECONDS
                if self.checkpoint is not None and is_due:
                    state.seconds = state.seconds + now - began
                    began = now
                    write_checkpoint(self.checkpoint, self.state, self.student.model, stage.parameters, optimiser)
        state.seconds += time.perf_counter() - began


@contextmanager
def _training(model: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let gradients reach these parameters of a model alone, and layers add the losses of their own."""
    was_training = model.training
    model.train()
    required = {p: p.requires_grad for p in model.parameters()}
    for p in required:
        p.requires_grad_(False)
    for p in parameters:
        p.requires_grad_(True)
    try:
        yield
    finally:
        model.train(was_training)
        for p in model.parameters():
            p.requires_grad_(required.get(p, True))
            p.grad = None


@contextmanager
def _recorded(model: LanguageModel, layers: Sequence[int]) -> Iterator[dict[int, tuple[Tensor, Tensor]]]:
    """Yield (input, output) of the mixers of these layers, filled by the model's forward passes."""
    recorded: dict[int, tuple[Tensor, Tensor]] = {}

    def record(i: int) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...], out: tuple[Tensor, object]) -> None:
            recorded[i] = arguments[0], out[0]

        return hook

    handles = [model.mixers()[i].register_forward_hook(record(i)) for i in layers]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
