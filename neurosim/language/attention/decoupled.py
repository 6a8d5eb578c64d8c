"""Gradients of a sequence window by window: cut off, or continued by a predictor of the gradient of the state.

The state of a memory is handed from window to window without its graph, so that a training holds one window at a time.
A controller that writes for later windows then learns nothing of their losses; a synthetic gradient, a network's guess
of dL/d(state) from the state and the answers to come, takes their place (Jaderberg et al. 2017, arXiv 1608.05343, there
"conditioned on labels"). The network learns from the gradient that arrives at the start of the next window, which has a
guess for all windows behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ...base.errors import require
from .kinds.base import State
from .tasks.base import SequenceTask, TaskBatch

Forward = Callable[[Tensor, list[State] | None], tuple[Tensor, list[State]]]
ANSWERS = 16  # answers to come that a predictor sees


@dataclass(frozen=True, eq=False)
class GradientExample:
    """The end of a window, to learn from.

    Attributes:
        state: [B, S].
        answers: [B, ANSWERS, outputs], see `answers_from`.
        target: [B, S], B dL/d(state), with a guess for the windows behind the next.
    """

    state: Tensor
    answers: Tensor
    target: Tensor


def guessing_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a network of two hidden layers whose answers start at 0: nothing is better than noise."""
    layers = nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )
    for p in layers[-1].parameters():
        nn.init.zeros_(p)
    return layers


class GradientPredictor(nn.Module):
    """Synthetic gradient of the state of a model: [B, S] numbers of the state to [B, S], 0 before it has learnt.

    Args:
        states: states of the model after a token, see `flat_state`.
        outputs: classes of an answer.
        hidden: channels of two layers between.

    Raises:
        NeurosimInputError: there is no state of floats.
    """

    def __init__(self, states: list[State], outputs: int, hidden: int = 128) -> None:
        super().__init__()
        self.size = flat_state(states).shape[1]
        require(self.size > 0, "training.synthetic", "must be for kinds that have a state", self.size)
        self.layers = guessing_layers(self.size + ANSWERS * outputs, hidden, self.size)

    def forward(self, state: Tensor, answers: Tensor) -> Tensor:
        rule = "must be for kinds with a state of fixed size"
        require(state.shape[1] == self.size, "training.synthetic", rule, f"{state.shape[1]} numbers")
        return self.layers(torch.cat([state, answers.flatten(1).to(state)], 1))

    def loss(self, examples: Sequence[GradientExample]) -> Tensor:
        """Return the mean squared error of the guesses for several windows."""
        errors = [(self(each.state, each.answers) - each.target).square().sum(1).mean() for each in examples]
        return torch.stack(errors).sum()


def answers_from(batch: TaskBatch, begin: int, outputs: int) -> Tensor:
    """Return [B, ANSWERS, outputs], one-hot, the first answers from token `begin` on, 0 where there are fewer."""
    mask = batch.loss_mask[:, begin:]
    # Answer number n of a sequence; those beyond ANSWERS, and tokens without one, go into a last place that is cut off.
    place = torch.where(mask, mask.cumsum(1) - 1, ANSWERS).clamp(max=ANSWERS)
    answers = torch.zeros(len(mask), ANSWERS + 1, outputs)
    rows = torch.arange(len(mask))[:, None].expand_as(place)
    answers[rows, place, batch.targets[:, begin:]] = 1.0
    return answers[:, :ANSWERS]


def flat_state(states: list[State]) -> Tensor:
    """Return all floats of the states of the layers as [B, S]."""
    return torch.cat([value.flatten(1) for value in floats_of(states)], 1)


def floats_of(states: list[State]) -> list[Tensor]:
    """Return the floats of the states, in an order of their names."""
    return [state[name] for state in states for name in sorted(state) if state[name].is_floating_point()]


def cut(states: list[State]) -> list[State]:
    """Return the states without their graph; the floats are leaves."""
    return [
        {name: value.detach().requires_grad_(value.is_floating_point()) for name, value in state.items()}
        for state in states
    ]


def gradients_at(
    values: Sequence[Tensor], of: Tensor | Sequence[Tensor], along: Tensor | Sequence[Tensor]
) -> list[Tensor]:
    """Return d(of . along)/d(values), 0 where `of` does not depend on a value; the graph stays."""
    gradients = torch.autograd.grad(of, values, along, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(v) if g is None else g for v, g in zip(values, gradients, strict=True)]


def windows_of(task: SequenceTask, batch: TaskBatch, window: int) -> list[TaskBatch]:
    """Return a batch in windows of tokens.

    Raises:
        NeurosimInputError: a task that is not answered by classes: its loss is no sum over tokens.
    """
    require(task.measure == "accuracy", "training.window", "must be 0 for a task that is answered by numbers", window)
    pieces = zip(*(part.split(window, 1) for part in (batch.inputs, batch.targets, batch.loss_mask)), strict=True)
    return [replace(batch, inputs=x, targets=y, loss_mask=mask) for x, y, mask in pieces]


def window_loss(task: SequenceTask, scores: Tensor, part: TaskBatch, batch: TaskBatch) -> Tensor:
    """Return the share of a window in the mean loss over all tokens of a batch that have one; 0 where it has none."""
    if not bool(part.loss_mask.any()):
        return scores.new_zeros(())
    return task.loss(scores, part) * part.loss_mask.sum() / batch.loss_mask.sum()


def window_gradients(
    forward: Forward, predictor: GradientPredictor | None, task: SequenceTask, batch: TaskBatch, window: int
) -> tuple[float, list[GradientExample]]:
    """Add the gradient of a batch to the parameters of a model.

    Args:
        forward: (inputs, state) -> (scores, state) of the model.
        predictor: predictor of B times dL/d(state) for L, the mean over the batch; None cuts the gradient off.
        window: tokens of a window.

    Returns:
        The loss, and with a predictor what it learns from: the ends of all windows but the last.

    Raises:
        NeurosimInputError: a task that is not answered by classes: its loss is no sum over tokens.
    """
    loss = 0.0
    state = None
    examples: list[GradientExample] = []
    answers = torch.zeros(0)
    count = len(batch.inputs)
    windows = windows_of(task, batch, window)
    for i, part in enumerate(windows):
        scores, after = forward(part.inputs, state)
        objective = window_loss(task, scores, part, batch)
        loss += float(objective.detach())
        before = answers
        if predictor is not None and i + 1 < len(windows):
            # The guess g stands for dL/d(state) of later windows: (state . g) has that gradient.
            end = flat_state(after)
            answers = answers_from(batch, (i + 1) * window, task.outputs)
            with torch.no_grad():
                future = predictor(end, answers) / count
            objective = objective + (end * future).sum()
        if objective.requires_grad:
            objective.backward()
        if predictor is not None and state is not None:
            # What arrived at the start of this window is what the guess at the end of the last should have been.
            arrived = [torch.zeros_like(value) if value.grad is None else value.grad for value in floats_of(state)]
            target = count * torch.cat([grad.flatten(1) for grad in arrived], 1)
            examples.append(GradientExample(flat_state(state).detach(), before, target))
        state = cut(after)
    return loss, examples
