"""Converted models compared with their dense ones: in parts, layer by layer, block by block."""

from __future__ import annotations

import pytest
import torch
from helpers.convert_models import model_of, text
from torch import nn

from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert
from neurosim.language.conversion.blockwise import hidden_by_block
from neurosim.language.conversion.comparison import check_execution, compare_models, each_layer_alone


@torch.no_grad()
def test_comparison_in_parts_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits of some tokens and streams of some texts at a time, as of a large vocabulary and a wide model."""
    import neurosim.language.conversion.comparison as module
    from neurosim.language.conversion import logits

    dense = LanguageModel(LanguageConfig((MixerSpec("gla"), MixerSpec("window")), width=32, hidden=48), 1)
    made = convert(dense, Coding("ternary", k=1.5))
    tokens = torch.arange(1501) * 7 % 256
    whole = compare_models(dense, made.model, tokens, length=32, streams=8)
    monkeypatch.setattr(module, "VALUES", 32 * 48 * 3)
    monkeypatch.setattr(module, "HIDDEN", 1)
    monkeypatch.setattr(logits, "LOGITS", 100 * 5)
    monkeypatch.setattr(logits, "WORDS", 100)
    calls: list[tuple[int, int]] = []
    parts = compare_models(dense, made.model, tokens, 32, 8, lambda done, total: calls.append((done, total)))
    assert parts.tokens == whole.tokens and abs(parts.agreement - whole.agreement) < 0.01
    assert parts.dense == pytest.approx(whole.dense, rel=1e-6)
    assert parts.spiking == pytest.approx(whole.spiking, rel=1e-3)
    # Two models of two blocks read three groups of streams.
    assert calls[-1] == (whole.tokens, whole.tokens) and len(calls) == 2 * 2 * 3


def test_comparison_and_layers_alone(dense: LanguageModel) -> None:
    tokens = text(300)
    same = compare_models(dense, dense, tokens)
    assert same.agreement == 1.0 and same.perplexity_increase == 0.0
    logits, _ = dense(tokens[None, :-1])
    loss = float(nn.functional.cross_entropy(logits[0], tokens[1:]).detach())
    assert compare_models(dense, dense, tokens, length=len(tokens), streams=1).dense == pytest.approx(loss, rel=1e-5)
    made = convert(dense, Coding("ternary", k=0.5))
    found = each_layer_alone(dense, made, tokens)
    assert set(found) == set(made.layers) and not any(coder.bypassed for coder in made.coders().values())
    whole = compare_models(dense, made.model, tokens)
    silent = convert(dense, Coding("ternary", k=1e-5, qk=True))  # says nothing at all
    each = each_layer_alone(dense, silent, tokens)
    assert set(each) - set(silent.layers) == {f"layers.{i}.mixer.codes.{n}" for i in (0, 1) for n in "qk"}
    assert all(c.spiking != c.dense for c in each.values())
    assert sum(c.agreement > whole.agreement for c in found.values()) > len(found) / 2
    execution = check_execution(convert(dense, Coding("ternary", weights="int8")), tokens[:64].view(2, 32))
    assert execution.largest == 0.0 and execution.agreement == 1.0 and execution.tokens == 64
    assert execution.state == {}
    states = check_execution(convert(dense, Coding("ternary", k=1.0, qk=True)), tokens[:64].view(2, 32)).state
    assert set(states) == {"layers.0.mixer", "layers.1.mixer"}
    for each in states.values():
        assert 0 < each["operations"] < each["dense_operations"] and each["rows_written"] <= each["rows_read"]


@pytest.mark.parametrize("kinds", [("rwkv7", "gla"), pytest.param(("hgrn", "window"), marks=pytest.mark.slow)])
def test_a_layer_alone_is_the_model_with_all_other_coders_bypassed(kinds: tuple[str, ...]) -> None:
    dense = model_of(*kinds)
    made = convert(dense, Coding("ternary", k=0.5, head=True))
    coders = made.coders()
    # Two windows, the second of which continues the states of the first.
    tokens = text(32 * 160 + 1)
    found = each_layer_alone(dense, made, tokens)
    assert list(found) == list(coders) and "lm_head" in found
    for name in ("layers.0.mixer.o_proj", "layers.1.mixer.o_proj", "lm_head"):
        for other, coder in coders.items():
            coder.bypassed = other != name
        expected = compare_models(dense, made.model, tokens)
        for coder in coders.values():
            coder.bypassed = False
        assert found[name].spiking == pytest.approx(expected.spiking, rel=1e-12) and found[name].tokens == 32 * 160
        assert found[name].agreement == expected.agreement and found[name].dense == pytest.approx(expected.dense)


@torch.no_grad()
def test_a_model_read_block_by_block_has_the_same_values_and_keeps_no_rounded_weights() -> None:
    """Windows of two groups that follow each other, of kinds that share values between layers, bit for bit."""
    mixers = [MixerSpec("rwkv7", {"head_dim": 16}), MixerSpec("rwkv7", {"head_dim": 16}), MixerSpec("window")]
    made = convert(
        LanguageModel(LanguageConfig(tuple(mixers), width=32, hidden=48, mlp="channel_mix"), 3), Coding(k=2.0)
    )
    tokens = torch.arange(3 * 25).view(3, 25) * 7 % 256
    groups = [[part[:, :16], part[:, 16:]] for part in (tokens[:2], tokens[2:])]
    calls: list[tuple[int, int]] = []
    found = hidden_by_block(made.model, groups, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert all(layer._cached_floats is None for layer in made.layers.values())
    for windows, results in zip(groups, found, strict=True):
        state = None
        for window, result in zip(windows, results, strict=True):
            expected, state = made.model.hidden(made.model.embed(window), state)
            assert torch.equal(result, expected)


def test_rows_of_one_block_exist_at_a_time_in_the_check_of_the_executed_form(dense: LanguageModel) -> None:
    """Each layer adds rows while its block is called, and no layer of another block holds any then or later."""
    made = convert(dense, Coding("ternary", k=2.0))
    holding: list[set[str]] = []

    def note(*_: object) -> None:
        holding.append({name for name, layer in made.layers.items() if layer._rows is not None})

    handles = [layer.register_forward_hook(note) for layer in made.layers.values()]
    check_execution(made, torch.arange(16)[None])
    for handle in handles:
        handle.remove()
    executed = [names for names in holding if names]
    blocks = [{name.split(".")[1] for name in names} for names in executed]
    assert len(executed) == len(holding) / 2 and all(len(block) == 1 for block in blocks)
    assert {name for block in blocks for name in block} == {"0", "1"}
    assert all(layer._rows is None for layer in made.layers.values()) and not made.executed
