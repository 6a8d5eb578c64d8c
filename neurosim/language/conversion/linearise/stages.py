"""The stages of a linearisation: layers matched to the teacher's, then the whole tuned; resumable after any update."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import NeurosimError, require
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
SAVED = 50  # updates between checkpoints
ERROR_WINDOWS = 8  # for the errors of layers


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
        NeurosimInputError: too little text, or a checkpoint of another model.
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
        self.state = LinearisationState()
        self._saved: Mapping[str, NDArray] = {}
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
        names = [name for name, spec in (("match", self.spec.match), ("tune", self.spec.tune)) if spec.steps]
        for number, name in enumerate(names, 1):
            # A checkpoint holds the stages that have begun: all before the last are complete.
            if number < begun:
                continue
            stage = self._match() if name == "match" else self._tune()
            optimiser = torch.optim.AdamW(list(stage.parameters.values()), betas=(0.9, 0.95), weight_decay=0.0)
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

    def _match(self) -> _Stage:
        """Return stage 1: the loss is the error of the replaced layers on the teacher's inputs."""
        model = self.student.model
        spec = self.spec.match
        prefixes = tuple(f"layers.{i}.mixer." for i in self.student.layers)
        whole = {name: p for name, p in model.named_parameters() if name.startswith(prefixes)}
        parameters = whole if spec.whole else self.student.new_parameters()
        return _Stage(spec, parameters, lambda windows: torch.stack(self._layer_errors(windows)).sum())

    def _tune(self) -> _Stage:
        """Return stage 2: new parameters of the layers, and low-rank changes of all other linear layers."""
        model = self.student.model
        spec = self.spec.tune
        new = self.student.new_parameters()
        names = [
            name
            for name, module in model.layers.named_modules(prefix="layers")
            if isinstance(module, nn.Linear) and f"{name}.weight" not in new
        ]
        key = rng_key(self.seed, "linearise", "low rank") >> 2
        changes = add_low_rank(model, names, spec.rank, spec.alpha, key)
        return _Stage(spec, {**new, **changes}, lambda windows: window_loss(model, self.teacher, windows))

    def _layer_errors(self, windows: Tensor) -> list[Tensor]:
        """Return for each replaced layer the share of the power of the teacher's output that the student's misses."""
        with _recorded(self.teacher, self.student.layers) as recorded, torch.no_grad():
            self.teacher(windows[:, :-1])
        errors = []
        for i in self.student.layers:
            x, target = recorded[i]
            out, _ = self.student.model.mixers()[i](x, None, {})
            errors.append((out - target).square().sum() / target.square().sum())
        return errors

    @torch.no_grad()
    def _errors(self) -> tuple[float, ...]:
        """Return `_layer_errors` on a few windows of the text."""
        windows = draw_windows(self.tokens, ERROR_WINDOWS, self.spec.length, rng_key(self.seed, "linearise") >> 1)
        return tuple(float(error) for error in self._layer_errors(windows))

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
                if self.checkpoint is not None and (state.done % SAVED == 0 or state.done == spec.steps):
                    state.seconds = state.seconds + time.perf_counter() - began
                    began = time.perf_counter()
                    write_checkpoint(self.checkpoint, self.state, self.student.model, stage.parameters, optimiser)
        state.seconds += time.perf_counter() - began


@contextmanager
def _training(model: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let gradients reach these parameters of a model alone."""
    required = {p: p.requires_grad for p in model.parameters()}
    for p in required:
        p.requires_grad_(False)
    for p in parameters:
        p.requires_grad_(True)
    try:
        yield
    finally:
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
