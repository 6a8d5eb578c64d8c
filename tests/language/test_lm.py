"""Byte-level language models: text, windows, losses, and that training learns."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.language import (
    LanguageConfig,
    LanguageModel,
    LanguageTraining,
    MixerSpec,
    python_text,
    read_model,
    read_text,
    train_bytes,
    validation_loss,
)
from neurosim.language.attention.optimizers import optimizers_of
from neurosim.language.attention.train import TrainingProgress, draw_windows, small, split_text

TINY = LanguageConfig(
    (MixerSpec("gated_deltanet", {"num_heads": 1, "head_dim": 8, "head_v_dim": 8}),), width=16, hidden=32
)
QUICK = LanguageTraining(steps=40, batch=4, length=24, learning_rate=2e-2, warmup=4, every=20)
TEXT = b"the cat sat on the mat. " * 60


def test_the_text_of_python_itself() -> None:
    text = python_text()
    assert len(text) > 400_000 and b"iterator" in text and text.decode()


def test_text_files(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"abc")
    assert read_text(path) == b"abc"
    path.write_bytes(b"")
    with pytest.raises(NeurosimInputError, match=r"must hold text \(got 0 bytes\)"):
        read_text(path)
    with pytest.raises(NeurosimMissingError, match="no such file; check the path"):
        read_text(tmp_path / "none.txt")


def test_training_learns_is_kept_and_is_a_function_of_the_seed(tmp_path: Path) -> None:
    heard: list[TrainingProgress] = []
    model, loss = train_bytes(TEXT, TINY, QUICK, heard.append, tmp_path / "lm")
    assert [p.step for p in heard] == [10, 20, 30, 40] and loss == heard[-1].validation
    assert loss < 2.0 < math.log(256) and loss < (heard[1].validation or 0)
    saved = read_model(tmp_path / "lm")
    assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), model.parameters(), strict=True))
    again, same = train_bytes(TEXT, TINY, dataclasses.replace(QUICK, every=0))
    assert same == loss and all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    _, other = train_bytes(TEXT, TINY, dataclasses.replace(QUICK, seed=1))
    assert other != loss


@pytest.mark.parametrize("objective", ["next_token", "mixture"])
def test_the_largest_seed_of_a_run_is_a_seed_of_a_training(objective: str) -> None:
    """Updates are keyed by the seed times 2^32, which torch's generator does not take."""
    short = dataclasses.replace(QUICK, steps=2, length=48, objective=objective)
    losses = {train_bytes(TEXT, TINY, dataclasses.replace(short, seed=seed))[1] for seed in (2**33, 2**63 - 1)}
    assert len(losses) == 2 and all(map(math.isfinite, losses))


def test_validation_loss_is_the_mean_over_streams_with_their_state() -> None:
    """Against one pass over each stream as a whole."""
    model = LanguageModel(TINY).double()
    tokens = split_text(TEXT, 0.5)[1][:241]
    streams = tokens[:240].view(4, 60), tokens[1:241].view(4, 60)
    logits, _ = model(streams[0])
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), streams[1].flatten())
    assert math.isclose(validation_loss(model, tokens, 16, 4), float(expected.detach()), rel_tol=1e-9)


@pytest.mark.parametrize(("kind", "carries"), [("softmax", False), ("latent", False), ("window", True)])
def test_attention_over_all_tokens_is_validated_at_the_distances_it_was_trained_on(kind: str, carries: bool) -> None:
    options = {} if kind == "latent" else {"num_heads": 2}
    model = LanguageModel(LanguageConfig((MixerSpec(kind, options),), width=16, hidden=32), 3).eval()
    tokens = torch.randint(256, (65,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.lm_head.weight.mul_(50)  # untrained logits are all alike
        parts = [tokens[first : first + 17] for first in range(0, 64, 16)]
        apart = [F.cross_entropy(model(part[None, :-1])[0][0], part[1:]) for part in parts]
    assert math.isclose(validation_loss(model, tokens, 16, 1), float(sum(apart)) / 4, rel_tol=1e-5) != carries


def test_the_end_of_the_text_is_held_out() -> None:
    learn, held = split_text(bytes(range(100)), 0.2)
    assert learn.tolist() == list(range(80)) and held.tolist() == list(range(80, 100))
    windows = draw_windows(learn, 500, 10, 3)
    assert windows.shape == (500, 11) and int(windows.max()) == 79 and int(windows.min()) == 0
    assert torch.equal(windows, draw_windows(learn, 500, 10, 3))


def test_the_rate_rises_and_falls() -> None:
    training = LanguageTraining(steps=100, warmup=10, learning_rate=1.0)
    rates = [training.learning_rate_at(step) for step in range(100)]
    assert math.isclose(rates[0], 0.1) and math.isclose(max(rates), 1.0) and 0.1 <= rates[-1] < 0.102
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_the_default_model_has_a_million_parameters() -> None:
    assert 1_000_000 <= LanguageModel(small()).parameter_count() < 1_300_000


def test_muon_orthogonalises_the_momentum_of_the_layers_matrices() -> None:
    """A step by hand; embedding, head and vectors are AdamW's, so that each parameter has one optimiser."""
    model = LanguageModel(TINY, 3)
    muon, adam = optimizers_of("muon", model, 1e-2, 0.1)
    groups = [p for optimizer in (muon, adam) for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in groups} == {id(p) for p in model.parameters()} and len(groups) == len(set(map(id, groups)))
    names = {id(p): name for name, p in model.named_parameters()}
    of_muon = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert "layers.0.mlp.down_proj.weight" in of_muon and not {"lm_head.weight", "embeddings.weight"} & of_muon
    p = model.layers[0].mlp.down_proj.weight  # type: ignore[union-attr, index]
    g = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    before = p.detach().clone().double()
    momentum = torch.zeros(p.shape, dtype=torch.float64)
    for _ in range(2):
        p.grad = g.clone()  # type: ignore[union-attr]
        muon.step()
        momentum = 0.95 * momentum + g.double()
        u, _, v = torch.linalg.svd(g.double() + 0.95 * momentum, full_matrices=False)
        before = before * (1 - 1e-3) - 1e-2 * 0.2 * max(p.shape) ** 0.5 * (u @ v)
    # Newton-Schulz leaves singular values of .7 to 1.2 in place of 1.
    moved = p.detach().double() - before
    assert 0 < float(torch.linalg.matrix_norm(moved, 2)) < 2 * 1e-2 * 0.2 * max(p.shape) ** 0.5 * 0.35


@pytest.mark.parametrize("every", [0, 1])
def test_a_loss_that_is_not_finite_ends_a_training(every: int) -> None:
    """In an update, or in the validation behind it."""
    away = dataclasses.replace(QUICK, steps=20, every=every, learning_rate=1e37, warmup=1)
    with pytest.raises(NeurosimError, match=r"training: the loss is not finite at update \d+ of 20; train again with"):
        train_bytes(TEXT, TINY, away)


def test_training_by_muon_learns() -> None:
    _, loss = train_bytes(TEXT, TINY, dataclasses.replace(QUICK, optimizer="muon"))
    assert loss < 2.0
    with pytest.raises(
        NeurosimInputError, match=r"LanguageTraining\.optimizer: unknown name 'mun'; did you mean 'muon'"
    ):
        train_bytes(TEXT, TINY, dataclasses.replace(QUICK, optimizer="mun"))


@pytest.mark.parametrize(
    "training, message",
    [
        (LanguageTraining(steps=0), r"LanguageTraining.steps: must be >= 1 \(got 0\)"),
        (LanguageTraining(learning_rate=math.inf), "LanguageTraining.learning_rate: must be > 0 and < 1e38"),
        (LanguageTraining(held_out=1.0), "LanguageTraining.held_out: must be > 0 and < 1"),
        (LanguageTraining(length=4000), "text: must have at least 40020 bytes for windows of 4000"),
    ],
)
def test_settings_that_break_their_rule(training: LanguageTraining, message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        train_bytes(TEXT, TINY, training)
    with pytest.raises(NeurosimInputError, match=r"LanguageConfig\.vocabulary: must be 256 for bytes"):
        train_bytes(TEXT, dataclasses.replace(TINY, vocabulary=64), QUICK)
