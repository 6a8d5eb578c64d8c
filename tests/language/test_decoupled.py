"""Gradients window by window: exact with the true gradient of the state, cut off without, learnt by a predictor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neurosim.base import NeurosimInputError
from neurosim.language import MixerSpec
from neurosim.language.attention.decoupled import (
    ANSWERS,
    GradientPredictor,
    answers_from,
    flat_state,
    window_gradients,
)
from neurosim.language.attention.kinds.base import State
from neurosim.language.attention.probe import ProbeModel, ProbeRun, ProbeTraining
from neurosim.language.attention.tasks.base import TaskBatch
from neurosim.language.attention.tasks.recall import SelectiveCopying
from neurosim.language.attention.tasks.vectors import Regression

TASK = SelectiveCopying(trained=(12, 12), sizes=(12,), tokens=2, values=4)
LAYERS = (MixerSpec("gla", {"num_heads": 1, "key_dim": 4, "value_dim": 4}), MixerSpec("deltanet", {"num_heads": 1}))
WINDOW = 5


def model_of(layers: tuple[MixerSpec, ...] = LAYERS) -> ProbeModel:
    return ProbeModel(TASK, layers, 8, seed=1).double()


def gradients(model: nn.Module) -> list[Tensor]:
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    return found


def true_gradients(model: ProbeModel, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """(gradients of the parameters, B dL/d(state) at the end of each window but the last)."""
    batch = TASK.draw(12, 6, torch.Generator().manual_seed(seed))
    state = None
    ends = []
    scores = []
    for part in batch.inputs.split(WINDOW, 1):
        out, state = model(part, state)
        scores.append(out)
        ends.append([value for each in state for _, value in sorted(each.items()) if value.is_floating_point()])
    loss = TASK.loss(torch.cat(scores, 1), batch)
    at = [torch.autograd.grad(loss, end, retain_graph=True, allow_unused=True) for end in ends[:-1]]
    loss.backward()
    flat = [
        torch.cat([(torch.zeros_like(v) if g is None else g).flatten(1) for v, g in zip(end, grads, strict=True)], 1)
        for end, grads in zip(ends, at, strict=False)
    ]
    return gradients(model), [6 * each for each in flat]


class Told(GradientPredictor):
    """A predictor that knows the answers, by the windows in their order."""

    def __init__(self, states: list[State], gradients: list[Tensor]) -> None:
        super().__init__(states, TASK.outputs)
        self.queue = list(gradients)

    def forward(self, state: Tensor, answers: Tensor) -> Tensor:
        return self.queue.pop(0)


def test_with_the_true_gradient_of_the_state_windows_have_the_gradient_of_the_whole() -> None:
    model = model_of()
    expected, states = true_gradients(model)
    batch = TASK.draw(12, 6, torch.Generator().manual_seed(0))
    told = Told(model(batch.inputs[:, :1])[1], states)
    loss, examples = window_gradients(model, told, TASK, batch, WINDOW)
    for one, whole in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(one, whole, rtol=1e-9, atol=1e-12)
    # What arrives at the start of each window is what was told.
    for example, state in zip(examples, states, strict=True):
        torch.testing.assert_close(example.target, state, rtol=1e-9, atol=1e-12)
    assert abs(loss - float(TASK.loss(model(batch.inputs)[0], batch).detach())) < 1e-12
    window_gradients(model, None, TASK, batch, WINDOW)
    cut = gradients(model)
    assert any(float((one - whole).abs().max()) > 1e-3 for one, whole in zip(cut, expected, strict=True))
    window_gradients(model, None, TASK, batch, 99)
    for one, whole in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(one, whole, rtol=1e-9, atol=1e-12)


def test_a_predictor_learns_the_gradient_of_the_state() -> None:
    """Check that, while the model stays, its guess is nearer to the true gradient than zero is."""
    model = model_of()
    with torch.no_grad():
        model.body.lm_head.weight.mul_(20)
    batch = TASK.draw(12, 2, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    predictor = GradientPredictor(model(batch.inputs[:, :1])[1], TASK.outputs, 32).double()
    answers = torch.ones(3, ANSWERS, TASK.outputs)
    assert not predictor(torch.ones(3, predictor.size, dtype=torch.float64), answers).any()
    optimiser = torch.optim.Adam(predictor.parameters(), lr=1e-2)
    for step in range(30):
        draws = torch.Generator().manual_seed(step + 10)
        _, examples = window_gradients(model, predictor, TASK, TASK.draw(12, 16, draws), WINDOW)
        predictor.zero_grad()
        predictor.loss(examples).backward()
        optimiser.step()
    _, states = true_gradients(model, 1)
    batch = TASK.draw(12, 6, torch.Generator().manual_seed(1))
    with torch.no_grad():
        end = flat_state(model(batch.inputs[:, : 2 * WINDOW])[1])
        guess = predictor(end, answers_from(batch, 2 * WINDOW, TASK.outputs))
    assert float((guess - states[1]).square().sum()) < 0.5 * float(states[1].square().sum())


def test_answers_to_come() -> None:
    """Those of the loss alone, in their order; of more than `ANSWERS` the first."""
    batch = TaskBatch(
        torch.zeros(2, 5, 1), torch.tensor([[3, 1, 2, 0, 1]] * 2), torch.tensor([[1, 1, 0, 1, 1]] * 2) > 0
    )
    batch.loss_mask[1] = False
    answers = answers_from(batch, 1, 4)
    assert answers.shape == (2, ANSWERS, 4)
    assert answers[0, :3].argmax(-1).tolist() == [1, 0, 1] and float(answers.sum()) == 3
    long = TaskBatch(torch.zeros(1, 40, 1), torch.arange(40)[None] % 7, torch.ones(1, 40, dtype=torch.bool))
    assert answers_from(long, 2, 7)[0].argmax(-1).tolist() == [(2 + i) % 7 for i in range(ANSWERS)]


@pytest.mark.slow
def test_a_training_by_synthetic_gradients_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.language.attention.probe.SAVED", 8)
    training = ProbeTraining(steps=16, tokens=64, window=5, synthetic=True)
    path = tmp_path / "state.safetensors"

    def run(checkpoint: Path | None, stop: int | None = None) -> ProbeRun:
        made = ProbeRun(TASK, ProbeModel(TASK, LAYERS, 8, seed=2), training, 2, checkpoint)

        def on_progress(step: int, loss: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        if stop is None:
            made.run(on_progress)
        else:
            with pytest.raises(KeyboardInterrupt):
                made.run(on_progress)
        return made

    whole = run(None)
    run(path, 11)
    again = run(path)
    assert all(torch.equal(a, b) for a, b in zip(whole.trained.parameters(), again.trained.parameters(), strict=True))
    assert whole.predictor is not None and bool(whole.predictor.layers[-1].weight.any())


def test_what_has_no_such_gradient_is_refused() -> None:
    batch = TASK.draw(12, 2, torch.Generator().manual_seed(0))
    model = model_of((MixerSpec("softmax", {"num_heads": 2}),))
    predictor = GradientPredictor(model(batch.inputs[:, :1])[1], TASK.outputs).double()
    with pytest.raises(NeurosimInputError, match=r"training.synthetic: must be for kinds with a state of fixed size"):
        window_gradients(model, predictor, TASK, batch, WINDOW)
    with pytest.raises(NeurosimInputError, match=r"training.window: must be 0 for a task that is answered by numbers"):
        window_gradients(model, None, Regression(), batch, WINDOW)
    with pytest.raises(NeurosimInputError, match=r"ProbeTraining.synthetic: must be false without a window"):
        ProbeTraining(synthetic=True)
