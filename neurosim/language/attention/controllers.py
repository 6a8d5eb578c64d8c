"""Synthetic gradients of what mixers write into their memories and read from them, window by window.

Fernando et al. 2020 (arXiv 2011.05438) decouple the controllers of a neural memory, which decide what is written and
what is read, from the memory between them: a network of its own guesses the gradient of each, and the memories of all
layers share it. Here the inputs of a recurrence that change the memory (k, v, decays) are written, and q reads. The
parameters of these inputs learn from a window and from the guesses; all others learn from the window alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...base.errors import require
from .decoupled import (
    ANSWERS,
    Forward,
    GradientExample,
    GradientPredictor,
    answers_from,
    cut,
    flat_state,
    floats_of,
    gradients_at,
    guessing_layers,
    window_loss,
    windows_of,
)
from .kinds.base import Inputs, Mixer, State
from .tasks.base import SequenceTask, TaskBatch

READ = "q"  # the input of a recurrence that reads; all others write
SCALE_SHARE = 0.05  # share of a batch in the scale of the gradients


class Accesses(NamedTuple):
    """Inputs of a mixer's recurrence in a window, each [B, T, ..], in an order of their names."""

    writes: list[Tensor]
    reads: list[Tensor]

    @classmethod
    def of(cls, inputs: Inputs) -> Accesses:
        """Return those that are learned."""
        learned = {name: inputs[name] for name in sorted(inputs) if inputs[name].requires_grad}
        return cls([value for name, value in learned.items() if name != READ], [learned[READ]])


def _joined(values: Sequence[Tensor]) -> Tensor:
    """Return tensors [B, T, ..] as [B, T, n]."""
    return torch.cat([value.flatten(2) for value in values], -1)


@contextmanager
def accesses_of(mixers: Sequence[Mixer]) -> Iterator[list[Accesses]]:
    """Return a list that gets the accesses of each mixer in turn while the context is open."""
    seen: list[Accesses] = []
    for mixer in mixers:
        mixer.on_inputs = lambda inputs: seen.append(Accesses.of(inputs))
    try:
        yield seen
    finally:
        for mixer in mixers:
            mixer.on_inputs = None


@dataclass(frozen=True, eq=False)
class ControllerExample:
    """A window with a window behind it, to learn from.

    Attributes:
        end: the state behind it, with the gradient that arrived.
        writes, reads: [B, T, n] of each layer.
        write_targets, read_targets: B times their gradients of the loss of later windows, of the same shapes.
    """

    end: GradientExample
    writes: list[Tensor]
    reads: list[Tensor]
    write_targets: list[Tensor]
    read_targets: list[Tensor]


class _TokenPredictor(nn.Module):
    """Guess of the gradient of values [B, T, n] from them and the answers to come [B, ANSWERS, outputs]; first 0.

    The network answers in units of `scale`, the root mean square of the gradients so far: they are as small as 1e-4,
    below the noise of a network that learns them as they are.
    """

    scale: Tensor

    def __init__(self, size: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.layers = guessing_layers(size + ANSWERS * outputs, hidden, size)
        self.register_buffer("scale", torch.zeros(1))

    def forward(self, values: Tensor, answers: Tensor) -> Tensor:
        return self.scale * self._in_units(values, answers)

    def _in_units(self, values: Tensor, answers: Tensor) -> Tensor:
        later = answers.flatten(1)[:, None].expand(-1, values.shape[1], -1)
        out: Tensor = self.layers(torch.cat([values, later.to(values)], -1))
        return out

    def observe(self, targets: Sequence[Tensor]) -> None:
        """Take gradients [B, T, n] into the scale."""
        power = torch.stack([target.square().mean() for target in targets]).mean(0, keepdim=True)
        share = SCALE_SHARE if bool(self.scale > 0) else 1.0
        self.scale.copy_(torch.lerp(self.scale.square(), power.to(self.scale), share).sqrt())

    def loss(self, values: Tensor, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error, in units of the scale."""
        if not bool(self.scale > 0):
            return values.new_zeros(())
        return (self._in_units(values, answers) - targets / self.scale).square().mean()


class ControllerPredictors(nn.Module):
    """Synthetic gradients of a model's writes and reads, and of its state, from which theirs are learned.

    Args:
        states: states of the model after a token, see `flat_state`.
        accesses: inputs of its mixers.
        outputs: classes of an answer.
        hidden: channels of two layers between.

    Raises:
        NeurosimInputError: layers whose writes or reads differ in size; they share one network.
    """

    def __init__(self, states: list[State], accesses: Sequence[Accesses], outputs: int, hidden: int = 128) -> None:
        super().__init__()
        sizes = {tuple(_joined(values).shape[-1] for values in each) for each in accesses}
        rule = "must be false where layers differ in kind or size"
        require(len(sizes) == 1, "training.controllers", rule, f"writes and reads of {sorted(sizes)} numbers")
        ((writes, reads),) = sizes
        self.state = GradientPredictor(states, outputs, hidden)
        self.write = _TokenPredictor(writes, outputs, hidden)
        self.read = _TokenPredictor(reads, outputs, hidden)

    def observe(self, examples: Sequence[ControllerExample]) -> None:
        """Take the gradients of several windows into the scales of the guesses."""
        self.write.observe([target for each in examples for target in each.write_targets])
        self.read.observe([target for each in examples for target in each.read_targets])

    def loss(self, examples: Sequence[ControllerExample]) -> Tensor:
        """Return the sum of the errors of all guesses for several windows."""
        errors = [self.state.loss([each.end for each in examples])]
        for each in examples:
            answers = each.end.answers
            for layer, values, targets in (
                (self.write, each.writes, each.write_targets),
                (self.read, each.reads, each.read_targets),
            ):
                pairs = zip(values, targets, strict=True)
                errors += [layer.loss(value, answers, target) for value, target in pairs]
        return torch.stack(errors).sum()


class _Window(NamedTuple):
    """A window whose graph stays until the gradient behind it arrives: its end, accesses, and the answers to come."""

    end: Tensor
    accesses: list[Accesses]
    answers: Tensor

    def example(self, arrived: Tensor, count: int) -> ControllerExample:
        """Return what is learned from it, from dL/d(end) [B, S] of later windows."""
        values: list[Tensor] = []
        for each in self.accesses:
            values += [*each.writes, *each.reads]
        # One pass through the graph for all of them; they come back in this order.
        gradients = iter(gradients_at(values, self.end, arrived))
        write_targets = []
        read_targets = []
        for each in self.accesses:
            write_targets.append(count * _joined([next(gradients) for _ in each.writes]))
            read_targets.append(count * _joined([next(gradients) for _ in each.reads]))
        return ControllerExample(
            end=GradientExample(self.end.detach(), self.answers, count * arrived),
            writes=[_joined(each.writes).detach() for each in self.accesses],
            reads=[_joined(each.reads).detach() for each in self.accesses],
            write_targets=write_targets,
            read_targets=read_targets,
        )


def controller_gradients(
    forward: Forward,
    mixers: Sequence[Mixer],
    predictors: ControllerPredictors,
    task: SequenceTask,
    batch: TaskBatch,
    window: int,
) -> tuple[float, list[ControllerExample]]:
    """Add the gradient of a batch to the parameters of a model, of writes and reads with guesses for later windows.

    Args:
        forward: (inputs, state) -> (scores, state) of the model.
        mixers: its mixers, bottom to top.
        window: tokens of a window.

    Returns:
        The loss, and what the predictors learn from: all windows but the last.

    Raises:
        NeurosimInputError: a task that is not answered by classes.
    """
    loss = 0.0
    count = len(batch.inputs)
    windows = windows_of(task, batch, window)
    examples: list[ControllerExample] = []
    state: list[State] | None = None
    before: _Window | None = None
    for i, part in enumerate(windows):
        with accesses_of(mixers) as seen:
            scores, after = forward(part.inputs, state)
        objective = window_loss(task, scores, part, batch)
        loss += float(objective.detach())
        is_last = i + 1 == len(windows)
        if objective.requires_grad:
            objective.backward(retain_graph=not is_last)
        now = None
        if not is_last:
            now = _Window(flat_state(after), seen, answers_from(batch, (i + 1) * window, task.outputs))
            _add_guesses(now, state, mixers, predictors)
        if before is not None and state is not None:
            # This window began with a copy of the state: its gradients are those that the window before never receives.
            arrived = torch.cat([_gradient(value).flatten(1) for value in floats_of(state)], 1)
            examples.append(before.example(arrived, count))
        before = now
        state = cut(after)
    return loss, examples


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _add(values: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Add gradients to those of leaves."""
    for value, gradient in zip(values, gradients, strict=True):
        value.grad = _gradient(value) + gradient


def _add_guesses(
    window: _Window, state: list[State] | None, mixers: Sequence[Mixer], predictors: ControllerPredictors
) -> None:
    """Add the guesses for later windows to the gradients of the state before a window and of the mixers' inputs."""
    count = len(window.end)
    if state is not None:
        with torch.no_grad():
            future = predictors.state(window.end, window.answers) / count
        leaves = floats_of(state)
        _add(leaves, gradients_at(leaves, window.end, future))
    for mixer, each in zip(mixers, window.accesses, strict=True):
        values = [_joined(each.writes), _joined(each.reads)]
        with torch.no_grad():
            guesses = [
                layer(value, window.answers) / count
                for layer, value in zip((predictors.write, predictors.read), values, strict=True)
            ]
        # Through the mixer's own layers alone: what it wrote in other layers has a guess there.
        parameters = [p for p in mixer.parameters() if p.requires_grad]
        _add(parameters, gradients_at(parameters, values, guesses))
