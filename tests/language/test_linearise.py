"""Softmax attention replaced by linear kinds: seeds, stages, low-rank changes, resumption, and the run to spikes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec
from neurosim.language.attention.train import draw_windows
from neurosim.language.conversion.comparison import compare_windows
from neurosim.language.conversion.linearise.low_rank import add_low_rank, merge_low_rank
from neurosim.language.conversion.linearise.records import LinearisationSpec, MatchSpec, TuneSpec
from neurosim.language.conversion.linearise.stages import Linearisation
from neurosim.language.conversion.linearise.students import STUDENTS, make_student, parse_student_pattern
from neurosim.language.conversion.tuning import window_loss

WORDS = b"the cat sat on the mat and the dog sat on the log. "
TEXT = WORDS * 40
TOKENS = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()
QUICK = LinearisationSpec(24, MatchSpec(14, 2, 1e-2), TuneSpec(14, 4, 5e-3, rank=2))


def softmax_model(layers: int = 2, **options: Any) -> LanguageModel:
    """A model with weights of size 1, whose attention depends on its context."""
    spec = MixerSpec("window", {"num_heads": 2, "window_size": 0, **options})
    model = LanguageModel(LanguageConfig((spec,) * layers, width=16, hidden=24), 1)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.copy_(torch.randn(p.shape, generator=draws) * 1.5 / p.shape[1] ** 0.5)
    return model.eval()


@pytest.fixture(scope="module")
def teacher() -> LanguageModel:
    return softmax_model()


def windows(count: int = 3, length: int = 40) -> Tensor:
    return TOKENS[: count * length].view(count, length)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1, "qkv_bias": True, "qk_norm": True, "output_gate": True}])
def test_a_student_whose_window_holds_all_tokens_is_the_teacher(options: dict[str, Any]) -> None:
    teacher = softmax_model(**options)
    student = make_student(teacher, ("window_linear",), {"window_linear": {"window_size": 40}})
    wanted = teacher(windows())[0]
    torch.testing.assert_close(student.model(windows())[0], wanted, rtol=1e-5, atol=1e-5)
    narrow = make_student(teacher, ("window_linear",), {"window_linear": {"window_size": 8}}).model(windows())[0]
    torch.testing.assert_close(narrow[:, :8], wanted[:, :8], rtol=1e-5, atol=1e-5)
    assert float((narrow[:, 8:] - wanted[:, 8:]).abs().max()) > 1e-3


@torch.no_grad()
def test_seeds_are_the_teachers_projections() -> None:
    """q, k and v of every seeded kind are the teacher's before its rotary positions, heads repeated where shared."""
    teacher = softmax_model(num_kv_heads=1)
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = teacher.mixers()[0].split(x)  # type: ignore[operator]
    k, v = (part.repeat_interleave(2, 2) for part in (k, v))
    for kind in ("gla", "simple_gla", "mamba2"):
        student = make_student(teacher, (kind,)).model.mixers()[0]
        inputs, _ = student.project(x, student.initial(x), {})
        for name, wanted in (("q", q), ("k", k), ("u" if kind == "mamba2" else "v", v)):
            torch.testing.assert_close(inputs[name], wanted, rtol=1e-5, atol=1e-5)
    z = inputs["z"]
    torch.testing.assert_close(torch.nn.functional.silu(z), torch.ones_like(z), rtol=1e-5, atol=1e-5)
    out = make_student(teacher, ("mamba2",)).model.mixers()[0].get_parameter("out_proj.weight")
    assert torch.equal(out, teacher.mixers()[0].get_parameter("o_proj.weight"))


def test_patterns() -> None:
    assert parse_student_pattern("gla*2, keep") == ("gla", "gla", "keep")
    model = make_student(softmax_model(3), ("mamba2", "keep")).model
    assert [layer.kind for layer in model.config.layers] == ["mamba2", "window", "mamba2"]
    with pytest.raises(NeurosimInputError, match=r"student\.pattern: unknown name 'glaa'; did you mean 'gla'"):
        parse_student_pattern("glaa")
    with pytest.raises(NeurosimInputError, match=r"student\.pattern: must repeat kinds by integers of at least 1"):
        parse_student_pattern("gla*0")


def test_layers_that_cannot_be_replaced(teacher: LanguageModel) -> None:
    with pytest.raises(NeurosimInputError, match=r"student\.pattern: must replace at least one layer \(got keep\)"):
        make_student(teacher, ("keep",))
    linear = make_student(teacher, ("gla",)).model
    with pytest.raises(
        NeurosimInputError, match=r"layers\.0: must be softmax attention to be replaced \(got 'gla'\); keep it"
    ):
        make_student(linear, ("gla",))
    with pytest.raises(NeurosimInputError, match="has no place for the biases of the model's"):
        make_student(softmax_model(qkv_bias=True), ("gla",))
    with pytest.raises(NeurosimInputError, match=r"WindowLinearAttention\.window_size: must be >= 1 tokens \(got 0\)"):
        make_student(teacher, ("window_linear",), {"window_linear": {"window_size": 0}})


@torch.no_grad()
def test_low_rank_changes_start_at_nothing_and_merge_into_weights(teacher: LanguageModel) -> None:
    model = make_student(teacher, ("window_linear",)).model
    before = model(windows())[0]
    added = add_low_rank(model, ["layers.0.mlp.up_proj", "layers.1.mixer.softmax.q_proj"], 2, 8.0, 3)
    assert torch.equal(model(windows())[0], before) and len(added) == 4
    for name, p in added.items():
        if name.endswith(".b"):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(5)))
    changed = model(windows())[0]
    assert float((changed - before).abs().max()) > 0.1
    merge_low_rank(model)
    assert isinstance(model.get_submodule("layers.0.mlp.up_proj"), torch.nn.Linear)
    torch.testing.assert_close(model(windows())[0], changed, rtol=1e-4, atol=1e-4)


def trained(
    teacher: LanguageModel, kind: str, spec: LinearisationSpec = QUICK, path: Path | None = None, stop: int = 0
) -> tuple[LanguageModel, list[Any]]:
    """A student after both stages, or killed after `stop` updates."""
    options = {"window_linear": {"window_size": 4}}
    student = make_student(teacher, (kind,), options, seed=2)
    updates = 0

    def count(progress: object) -> None:
        nonlocal updates
        updates += 1
        if updates == stop:
            raise KeyboardInterrupt

    training = Linearisation(teacher, student, TOKENS, spec, 7, path)
    state = training.run(lambda model: compare_windows(teacher, model, TOKENS[:400], 24), count)
    return student.model, state.stages


@pytest.mark.parametrize("kind", STUDENTS)
def test_stages_bring_the_student_nearer(kind: str, teacher: LanguageModel) -> None:
    before = {name: p.clone() for name, p in teacher.named_parameters()}
    student = make_student(teacher, (kind,), {"window_linear": {"window_size": 4}}, seed=2).model
    probe = draw_windows(TOKENS, 16, 24, 1)
    with torch.no_grad():
        start = float(window_loss(student, teacher, probe))
    model, (match, tune) = trained(teacher, kind)
    assert match.done == tune.done == 14 and match.trained > 0 < tune.trained and len(match.errors) == 2
    with torch.no_grad():
        assert float(window_loss(model, teacher, probe)) < 0.9 * start
    assert tune.comparison == compare_windows(teacher, model, TOKENS[:400], 24)
    assert all(torch.equal(before[name], p) for name, p in teacher.named_parameters())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def repeated(count: int, seed: int) -> Tensor:
    """Windows [count, 16] whose second half is the first: a token is found eight places back."""
    first = torch.randint(97, 113, (count, 8), generator=torch.Generator().manual_seed(seed))
    return torch.cat([first, first], 1)


def test_hedgehog_maps_match_better_behind_rotary_positions() -> None:
    """A teacher that attends by distance alone: the error of its layer, as a share of the power of the outputs."""
    layer = MixerSpec("softmax", {"num_heads": 2, "rope_theta": 100.0})
    model = LanguageModel(LanguageConfig((layer,), width=32, hidden=32), 0)
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    for update in range(150):
        text = repeated(16, update)
        logits = model(text[:, :-1])[0][:, 8:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 9:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.1  # log 16 = 2.77 by chance

    model.eval()
    text = repeated(60, 9999).flatten()
    spec = LinearisationSpec(16, MatchSpec(60, 8, 1e-2), TuneSpec(0, 4, 5e-3, rank=2))
    errors = []
    for options in ({}, {"rotary_dim": 0}):
        student = make_student(model, ("linear",), {"linear": options}, seed=2)
        training = Linearisation(model, student, text, spec, 7)
        state = training.run(lambda other: compare_windows(model, other, text[:400], 16), lambda progress: None)
        errors.append(state.stages[0].errors[0])
    turned, unturned = errors
    assert turned < 0.6 * unturned


def test_a_killed_training_resumes_bit_for_bit(teacher: LanguageModel, tmp_path: Path, monkeypatch: Any) -> None:
    """Within the first stage, at its end and within the second."""
    monkeypatch.setattr("neurosim.language.conversion.linearise.stages.SAVED", 2)
    monkeypatch.setattr("neurosim.language.conversion.linearise.records.RECORDED", 3)
    spec = replace(QUICK, match=replace(QUICK.match, steps=7), tune=replace(QUICK.tune, steps=5))
    whole, stages = trained(teacher, "window_linear", spec)
    assert len(stages[0].losses) == 2
    for stop in (4, 7, 10):
        path = tmp_path / f"{stop}.safetensors"
        with pytest.raises(KeyboardInterrupt):
            trained(teacher, "window_linear", spec, path, stop)
        again, resumed = trained(teacher, "window_linear", spec, path)
        for a, b in zip(stages, resumed, strict=True):
            assert (a.done, a.losses, a.sum) == (b.done, b.losses, b.sum)
            assert (a.comparison, a.errors) == (b.comparison, b.errors)
        for (name, a), b in zip(whole.named_parameters(), again.parameters(), strict=True):
            assert torch.equal(a, b), name


def test_checkpoints_of_other_models_and_losses_that_are_not_finite(teacher: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "linearise.safetensors"
    trained(teacher, "window_linear", replace(QUICK, tune=replace(QUICK.tune, steps=0)), path)
    with pytest.raises(NeurosimError, match="linearise again"):
        trained(teacher, "gla", replace(QUICK, tune=replace(QUICK.tune, steps=0)), path)
    with pytest.raises(NeurosimInputError, match=r"text: must have at least 9002 tokens to learn from \(got 2040\)"):
        Linearisation(teacher, make_student(teacher, ("gla",)), TOKENS, LinearisationSpec(9000))
    broken = softmax_model()
    with torch.no_grad():
        broken.layers[0].mixer.q_proj.weight.fill_(torch.inf)
    with pytest.raises(NeurosimError, match="a gradient is not finite at update 1 of stage 'match'; try a lower"):
        trained(broken, "gla")
