"""Gradients of what mixers write and read: exact with true guesses, learnt by networks that layers share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.language import MixerSpec
from neurosim.language.attention.controllers import ControllerPredictors, accesses_of, controller_gradients
from neurosim.language.attention.decoupled import flat_state, window_gradients
from neurosim.language.attention.probe import ProbeModel, ProbeRun, ProbeTraining
from neurosim.language.attention.tasks.recall import SelectiveCopying

TASK = SelectiveCopying(trained=(12, 12), sizes=(12,), tokens=2, values=4)
GLA = MixerSpec("gla", {"num_heads": 1, "key_dim": 4, "value_dim": 4})
WINDOW = 5


def model_of(*layers: MixerSpec) -> ProbeModel:
    return ProbeModel(TASK, layers or (GLA, GLA), 8, seed=1).double()


def gradients(model: ProbeModel) -> dict[str, Tensor]:
    found = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def predictors_of(model: ProbeModel, kind: type[ControllerPredictors] = ControllerPredictors) -> ControllerPredictors:
    inputs = TASK.draw(12, 1, torch.Generator().manual_seed(0)).inputs[:, :1]
    with accesses_of(model.body.mixers()) as accesses:
        states = model(inputs)[1]
    return kind(states, accesses, TASK.outputs, 32).double()


def true_guesses(model: ProbeModel) -> tuple[list[Tensor], list[Tensor]]:
    """B times the gradients that later windows give the ends of windows, and the writes and reads in them, in turn."""
    batch = TASK.draw(12, 6, torch.Generator().manual_seed(0))
    state = None
    losses = []
    ends = []
    accesses = []
    for part in zip(*(value.split(WINDOW, 1) for value in vars(batch).values()), strict=True):
        with accesses_of(model.body.mixers()) as seen:
            scores, state = model(part[0], state)
        mask = part[2]
        each = torch.nn.functional.cross_entropy(scores[mask], part[1][mask], reduction="sum")
        losses.append(each / batch.loss_mask.sum())
        ends.append([value for layer in state for _, value in sorted(layer.items()) if value.is_floating_point()])
        accesses.append(seen)
    at_ends = []
    at_tokens = []
    for i in range(len(losses) - 1):
        later = torch.stack(losses[i + 1 :]).sum()

        def flat(values: list[Tensor], axis: int, later: Tensor = later) -> Tensor:
            found = torch.autograd.grad(later, values, retain_graph=True, allow_unused=True)
            full = [torch.zeros_like(v) if g is None else g for v, g in zip(values, found, strict=True)]
            return 6 * torch.cat([g.flatten(axis) for g in full], -1)

        at_ends.append(flat(ends[i], 1))
        at_tokens += [flat(values, 2) for layer in accesses[i] for values in layer]
    return at_ends, at_tokens


class Known(torch.nn.Module):
    """A predictor that knows the answers, in their order."""

    def __init__(self, answers: list[Tensor]) -> None:
        super().__init__()
        self.answers = list(answers)

    def forward(self, values: Tensor, answers: Tensor) -> Tensor:
        return self.answers.pop(0)


def test_with_true_guesses_the_inputs_of_memories_have_the_gradient_of_the_whole() -> None:
    model = model_of()
    with torch.no_grad():
        model.body.lm_head.weight.mul_(100)
    batch = TASK.draw(12, 6, torch.Generator().manual_seed(0))
    TASK.loss(model(batch.inputs)[0], batch).backward()
    whole = gradients(model)
    window_gradients(model, None, TASK, batch, WINDOW)
    cut = gradients(model)
    ends, tokens = true_guesses(model)
    predictors = predictors_of(model)
    # No state comes before the first window: nothing is handed on to it.
    predictors.state = Known(ends[1:])  # type: ignore[assignment]
    # Of each window the writes of both layers, and the reads.
    predictors.write = Known(tokens[0::2])  # type: ignore[assignment]
    predictors.read = Known(tokens[1::2])  # type: ignore[assignment]
    loss, examples = controller_gradients(model, model.body.mixers(), predictors, TASK, batch, WINDOW)
    found = gradients(model)
    controllers = [name for name in whole if any(part in name for part in ("q_proj", "k_proj", "v_proj", "gk_proj"))]
    assert len(controllers) == 2 * 6
    for name in whole:
        expected = whole if name in controllers else cut
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-12, msg=name)
    assert max(float((whole[name] - cut[name]).abs().max()) for name in controllers) > 1e-3
    assert abs(loss - float(TASK.loss(model(batch.inputs)[0], batch).detach())) < 1e-12
    # What arrives is what was guessed.
    for i, example in enumerate(examples):
        torch.testing.assert_close(example.end.target, ends[i], rtol=1e-9, atol=1e-12)
        for layer in range(2):
            write, read = tokens[4 * i + 2 * layer : 4 * i + 2 * layer + 2]
            torch.testing.assert_close(example.write_targets[layer], write, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(example.read_targets[layer], read, rtol=1e-9, atol=1e-12)
    assert all(mixer.on_inputs is None for mixer in model.body.mixers())


@pytest.mark.slow
def test_predictors_learn_the_gradients_of_a_model_that_stays() -> None:
    """Check that guesses of the writes' gradients come nearer to the true ones than zero is."""
    model = model_of()
    with torch.no_grad():
        model.body.lm_head.weight.mul_(100)
    torch.manual_seed(0)
    predictors = predictors_of(model)
    optimiser = torch.optim.Adam(predictors.parameters(), lr=1e-2)
    left = []
    for step in range(30):
        batch = TASK.draw(12, 16, torch.Generator().manual_seed(step + 10))
        _, examples = controller_gradients(model, model.body.mixers(), predictors, TASK, batch, WINDOW)
        last = examples[-1]
        with torch.no_grad():
            # Of the upper layer, whose writes later windows read.
            guess = predictors.write(last.writes[1], last.end.answers)
        target = last.write_targets[1]
        left.append(float((guess - target).square().sum() / target.square().sum()))
        predictors.observe(examples)
        predictors.zero_grad()
        predictors.loss(examples).backward()
        optimiser.step()
    assert left[0] == 1 and sum(left[-5:]) / 5 < 0.6


def test_a_training_with_controllers_changes_writes_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosim.language.attention.probe.SAVED", 4)
    path = tmp_path / "state.safetensors"

    def run(steps: int, checkpoint: Path | None) -> ProbeRun:
        training = ProbeTraining(steps=8, tokens=64, window=5, synthetic=True, controllers=True)
        made = ProbeRun(TASK, ProbeModel(TASK, (GLA, GLA), 8, seed=2), training, 2, checkpoint)

        def on_progress(step: int, loss: float) -> None:
            if step == steps:
                raise KeyboardInterrupt

        try:
            made.run(on_progress)
        except KeyboardInterrupt:
            assert steps < 8
        return made

    whole = run(9, None)
    run(6, path)
    again = run(9, path)
    assert all(torch.equal(a, b) for a, b in zip(whole.trained.parameters(), again.trained.parameters(), strict=True))
    assert isinstance(whole.predictor, ControllerPredictors) and bool(whole.predictor.write.layers[-1].weight.any())


def test_what_controllers_cannot_be_is_refused() -> None:
    with pytest.raises(NeurosimInputError, match=r"ProbeTraining.controllers: must be false without synthetic"):
        ProbeTraining(window=4, controllers=True)
    wide = MixerSpec("gla", {"num_heads": 1, "key_dim": 8, "value_dim": 4})
    with pytest.raises(NeurosimInputError, match=r"training.controllers: must be false where layers differ"):
        predictors_of(model_of(GLA, wide))
    model = model_of()
    assert flat_state(model(TASK.draw(12, 2, torch.Generator().manual_seed(0)).inputs)[1]).shape == (2, 32)
