"""Softmax attention replaced by linear kinds: seeds, stages, low-rank changes, resumption, and the run to spikes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.samples import sampled
from torch import Tensor

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec
from neurosim.language.attention.kinds.base import Mixer
from neurosim.language.attention.train import draw_windows
from neurosim.language.conversion.comparison import compare_windows
from neurosim.language.conversion.linearise.low_rank import add_low_rank, merge_low_rank
from neurosim.language.conversion.linearise.records import LayerSpec, LinearisationSpec, MatchSpec, TuneSpec
from neurosim.language.conversion.linearise.stages import Linearisation
from neurosim.language.conversion.linearise.students import STUDENTS, make_student, parse_student_pattern
from neurosim.language.conversion.tuning import window_loss

WORDS = b"the cat sat on the mat and the dog sat on the log. "
TEXT = WORDS * 40
TOKENS = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()
NARROW = {"window_linear": {"window_size": 4}, "sea": {"topk": 4, "columns": 6, "hidden": 8}}
QUICK = LinearisationSpec(24, MatchSpec(14, 2, 1e-2), tune=TuneSpec(14, 4, 5e-3, rank=2))


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
    expected = teacher(windows())[0]
    torch.testing.assert_close(student.model(windows())[0], expected, rtol=1e-5, atol=1e-5)
    narrow = make_student(teacher, ("window_linear",), {"window_linear": {"window_size": 8}}).model(windows())[0]
    torch.testing.assert_close(narrow[:, :8], expected[:, :8], rtol=1e-5, atol=1e-5)
    assert float((narrow[:, 8:] - expected[:, 8:]).abs().max()) > 1e-3


@torch.no_grad()
def test_seeds_are_the_teachers_projections() -> None:
    """q, k and v of every seeded kind are the teacher's before its rotary positions, heads repeated where shared."""
    teacher = softmax_model(num_kv_heads=1)
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = teacher.mixers()[0].split(x)  # type: ignore[operator]
    k, v = (part.repeat_interleave(2, 2) for part in (k, v))
    for kind in ("gla", "mamba2"):
        student = make_student(teacher, (kind,)).model.mixers()[0]
        inputs, _ = student.project(x, student.initial(x), {})
        for name, expected in (("q", q), ("k", k), ("u" if kind == "mamba2" else "v", v)):
            torch.testing.assert_close(inputs[name], expected, rtol=1e-5, atol=1e-5)
    z = inputs["z"]
    torch.testing.assert_close(torch.nn.functional.silu(z), torch.ones_like(z), rtol=1e-5, atol=1e-5)
    out = make_student(teacher, ("mamba2",)).model.mixers()[0].get_parameter("out_proj.weight")
    assert torch.equal(out, teacher.mixers()[0].get_parameter("o_proj.weight"))


@torch.no_grad()
def test_the_published_mamba_student_starts_as_its_source() -> None:
    """q, k and v behind silu, no open gate, A = -e, one decay for all tokens."""
    teacher = softmax_model(num_kv_heads=1)
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    student = make_student(teacher, ("mmmamba",)).model
    assert student.config.layers[0].kind == "mamba2"
    layer = student.mixers()[0]
    inputs, _ = layer.project(x, layer.initial(x), {})
    q, k, v = teacher.mixers()[0].split(x)  # type: ignore[operator]
    for name, expected in (("q", q), ("k", k.repeat_interleave(2, 2)), ("u", v.repeat_interleave(2, 2))):
        torch.testing.assert_close(inputs[name], torch.nn.functional.silu(expected), rtol=1e-5, atol=1e-5)
    # Gain 2^-2.5 of Xavier's sqrt(2 / (16 + 16)).
    assert float(layer.get_parameter("in_proj.weight")[:16].std()) == pytest.approx(2**-2.5 / 4)
    dt = torch.nn.functional.softplus(layer.get_parameter("dt_bias"))
    torch.testing.assert_close(inputs["g"], (-torch.e * dt).expand(2, 9, 2), rtol=1e-5, atol=1e-7)
    assert float(dt.min()) > 9e-4
    assert float(dt.max()) < 0.11


def test_the_estimate_of_sea_learns_the_weights_of_the_teacher() -> None:
    """With all keys chosen it is the teacher; its losses are the error of its outputs and that of its estimate."""
    teacher = softmax_model(num_kv_heads=1, qk_norm=True)
    student = make_student(teacher, ("sea",), {"sea": {"topk": 40, "columns": 6, "hidden": 8}}, seed=2)
    with torch.no_grad():
        for mixer in student.model.mixers():
            mixer.get_parameter("mix_proj.bias").fill_(1e9)
        torch.testing.assert_close(student.model(windows())[0], teacher(windows())[0], rtol=1e-5, atol=1e-5)
    new = {name.split(".", 3)[3].split(".")[0] for name in student.new_parameters()}
    assert new == {"estimate", "rows_proj", "rows", "mix_proj"}
    narrow = make_student(teacher, ("sea",), NARROW, seed=2)
    stages = Linearisation(teacher, narrow, TOKENS, QUICK, 7)
    recorded = stages._record(windows())
    alone = torch.stack(stages._errors_of(recorded)).sum()
    narrow.model.train()
    both = stages._layer_loss(recorded)
    own = torch.stack([mixer.auxiliary for mixer in narrow.model.mixers()]).sum()  # type: ignore[arg-type]
    torch.testing.assert_close(both, alone + own)
    assert float(own.detach()) > 1e-3


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
    with pytest.raises(NeurosimInputError, match=r"layers\.0: bounds its scores by 50, .*; keep it"):
        make_student(softmax_model(score_cap=50.0), ("window_linear",))
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
    student = make_student(teacher, (kind,), NARROW, seed=2)
    updates = 0

    def count(progress: object) -> None:
        nonlocal updates
        updates += 1
        if updates == stop:
            raise KeyboardInterrupt

    training = Linearisation(teacher, student, TOKENS, spec, 7, path)
    state = training.run(lambda model: compare_windows(teacher, model, TOKENS[:400], 24), count)
    return student.model, state.stages


@pytest.mark.parametrize("kind", sampled(STUDENTS, ["gla", "window_linear"]))
def test_stages_bring_the_student_nearer(kind: str, teacher: LanguageModel) -> None:
    before = {name: p.clone() for name, p in teacher.named_parameters()}
    student = make_student(teacher, (kind,), NARROW, seed=2).model
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


def log_weights(layer: Mixer, x: Tensor) -> Tensor:
    found = layer.log_weights(x)
    assert found is not None
    return found


WINDOWS = ({}, {"use_gate": False}, {"window_size": 40}, {"window_size": 1})


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1, "qk_norm": True}])
def test_attention_weights_give_the_outputs(options: dict[str, Any]) -> None:
    """a v of the weights is what the layer computes: softmax, a window, linear, and a window before a state."""
    teacher = softmax_model(**options)
    x = torch.randn(2, 23, 16, generator=torch.Generator().manual_seed(0))
    layers = [softmax_model(**options).mixers()[0], softmax_model(**options, window_size=5).mixers()[0]]
    for own in WINDOWS:
        layers.append(
            make_student(teacher, ("window_linear",), {"window_linear": {"window_size": 5, **own}}).model.mixers()[0]
        )
    if "qk_norm" not in options:
        layers.append(make_student(teacher, ("linear",)).model.mixers()[0])
    draws = torch.Generator().manual_seed(1)
    for layer in layers:
        for name, p in layer.named_parameters():
            if "offset" in name or "gk_proj" in name or "feature_map" in name:
                p.copy_(0.3 * torch.randn(p.shape, generator=draws))
        weights = log_weights(layer, x).exp()
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 23), rtol=1e-5, atol=1e-5)
        inner = getattr(layer, "softmax", layer)
        v = layer.get_submodule("softmax.v_proj" if inner is not layer else "v_proj")(x).unflatten(-1, (-1, 8))
        out = torch.einsum("bhij,bjhc->bihc", weights, v.repeat_interleave(2 // v.shape[2], 2))
        torch.testing.assert_close(inner.get_submodule("o_proj")(out.flatten(2)), layer(x)[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_meta_tokens_take_their_share_of_the_weights(teacher: LanguageModel) -> None:
    options = {"window_linear": {"window_size": 5, "meta_tokens": 3}}
    layer = make_student(teacher, ("window_linear",), options).model.mixers()[0]
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    total = log_weights(layer, x).exp().sum(-1)
    assert float(total.max()) < 1
    # The first token sees itself and three keys near 0, whose scores are near 0.
    q, k, _ = layer.softmax.split(x)  # type: ignore[union-attr, operator]
    own = (q[:, 0] * k[:, 0]).sum(-1) * 8**-0.5
    torch.testing.assert_close(total[:, :, 0], own.exp() / (own.exp() + 3), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("kind", sampled(["linear", "window_linear"], ["window_linear"]))
def test_attention_weights_are_learnt_beside_outputs(kind: str, teacher: LanguageModel) -> None:
    """Their cross entropy ends lower than by outputs alone; it is the entropy of the teacher's rows at least."""
    options = {"window_linear": {"window_size": 2}}
    losses = []
    for weight in (0.0, 1.0):
        student = make_student(teacher, (kind,), options, seed=2)
        spec = LinearisationSpec(24, MatchSpec(60, 4, 1e-2, attention=weight), tune=TuneSpec(0))
        training = Linearisation(teacher, student, TOKENS, spec, 7)
        probe = draw_windows(TOKENS, 16, 24, 1)
        with torch.no_grad():
            recorded = training._record(probe)
            before = float(training._weight_loss(recorded))
        training.run(lambda model: compare_windows(teacher, model, TOKENS[:400], 24))
        with torch.no_grad():
            losses.append(float(training._weight_loss(recorded)))
            logs = [log_weights(teacher.mixers()[i], recorded[i][0]) for i in (0, 1)]
            entropy = sum(float(-(a.exp() * a.nan_to_num(neginf=0.0)).sum(-1).mean()) for a in logs)
    outputs_alone, both = losses
    assert entropy < both < min(outputs_alone, before)


def test_students_without_attention_weights_cannot_learn_them(teacher: LanguageModel) -> None:
    spec = LinearisationSpec(24, MatchSpec(attention=0.5))
    for kind, options in (("gla", {}), ("linear", {"do_feature_map_norm": False})):
        words = f"match.attention: must be 0 for layers without attention weights .layers.0 is '{kind}'.; set it to 0"
        with pytest.raises(NeurosimInputError, match=words):
            Linearisation(teacher, make_student(teacher, (kind,), {kind: options}), TOKENS, spec)


def test_learning_rates_of_both_schedules() -> None:
    spec = TuneSpec(40, learning_rate=2.0, schedule="wsd")
    rates = [spec.learning_rate_at(step) for step in range(40)]
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[4:36] == [2.0] * 32
    assert rates[-4:] == [2.0, 1.5, 1.0, 0.5]
    falling = [TuneSpec(40, learning_rate=2.0).learning_rate_at(step) for step in range(40)]
    assert falling[:3] == [1.0, 2.0, 2.0]
    assert falling[2:] == sorted(falling[2:], reverse=True)
    with pytest.raises(NeurosimInputError, match="schedule: unknown name 'linear'; choose from cosine, wsd"):
        TuneSpec(schedule="linear")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["gla", "mamba2"])
def test_outputs_of_a_norm_start_at_the_size_of_the_teachers(kind: str) -> None:
    """Layers whose values are small miss less than the power of their outputs before the first update."""
    teacher = softmax_model()
    with torch.no_grad():
        for mixer in teacher.mixers():
            mixer.get_parameter("v_proj.weight").mul_(0.02)
    student = make_student(teacher, (kind,), seed=2)
    training = Linearisation(teacher, student, TOKENS, QUICK, 7)
    assert min(training._errors()) > 20
    training._scale_outputs()
    assert max(training._errors()) < 1


def test_three_stages_and_all_weights(teacher: LanguageModel) -> None:
    """A student of Mamba-2 as its source trains it: new parameters, whole layers, the whole model."""
    match = MatchSpec(6, 2, 1e-3, "wsd")
    layer = LayerSpec(6, 2, 5e-4, "wsd")
    tune = TuneSpec(6, 2, 5e-5, "wsd", full=True)
    model, stages = trained(teacher, "mmmamba", LinearisationSpec(24, match, layer, tune))
    assert [stage.name for stage in stages] == ["match", "layer", "tune"]
    mixers = [p for mixer in model.mixers() for p in mixer.parameters()]
    assert stages[0].trained < stages[1].trained == sum(p.numel() for p in mixers)
    assert stages[2].trained == model.parameter_count()
    assert not torch.equal(model.embeddings.weight, teacher.embeddings.weight)
    assert not any("low_rank" in name or name.endswith(".a") for name, _ in model.named_parameters())


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
    spec = LinearisationSpec(16, MatchSpec(60, 8, 1e-2), tune=TuneSpec(0, 4, 5e-3, rank=2))
    errors = []
    for options in ({}, {"rotary_dim": 0}):
        student = make_student(model, ("linear",), {"linear": options}, seed=2)
        training = Linearisation(model, student, text, spec, 7)
        state = training.run(lambda other: compare_windows(model, other, text[:400], 16), lambda progress: None)
        errors.append(state.stages[0].errors[0])
    turned, unturned = errors
    assert turned < 0.6 * unturned


# Within the first stage, at its end, within the second and within the third; all weights are tuned, or few.
KILLS = [(stop, full) for stop in (4, 7, 9, 14) for full in (False, True)]


@pytest.mark.parametrize("kill", sampled(KILLS, [(9, False)]))
def test_a_killed_training_resumes_bit_for_bit(
    kill: tuple[int, bool], teacher: LanguageModel, tmp_path: Path, monkeypatch: Any
) -> None:
    stop, full = kill
    monkeypatch.setattr("neurosim.language.conversion.linearise.stages.SAVED", 2)
    monkeypatch.setattr("neurosim.language.conversion.linearise.records.RECORDED", 3)
    match = replace(QUICK.match, steps=7, attention=0.5)
    spec = replace(QUICK, match=match, layer=LayerSpec(4, 2), tune=replace(QUICK.tune, steps=5, full=full))
    whole, stages = trained(teacher, "window_linear", spec)
    assert len(stages[0].losses) == 2
    path = tmp_path / "state.safetensors"
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
