"""The choice of a coding for a stated loss."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.recorded import value_of

from neurosim.base import NeurosimInputError
from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert
from neurosim.language.conversion.choice import (
    BOUNDS,
    RATIO,
    choose_coding,
    divergence_ratio,
    rise_error,
    search_strength,
    split_for_choice,
)
from neurosim.language.conversion.comparison import WindowComparison, compare_models
from neurosim.language.conversion.records import Trial


def trial(strength: float, increase: float) -> Trial:
    """Without an error the ratio of rise and divergence stays `RATIO`, and the estimate is `increase`."""
    nats = math.log1p(increase) / RATIO
    return Trial(strength=strength, spikes=strength, active=1.0, divergence=nats, rise=nats)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("start", [0.5, 3.0, 40.0])
def test_search_finds_the_strength_of_a_stated_loss(power: float, start: float) -> None:
    """Losses c / s^power: the exact strength is known."""
    exact = (0.3 / 0.01) ** (1 / power)
    trials = search_strength(lambda s: trial(s, 0.3 / s**power), 0.01, start, (0.01, 1000.0), 12)
    best = min((t for t in trials if t.estimate(RATIO) <= 0.01), key=lambda t: t.strength)
    assert exact <= best.strength <= 1.2 * exact and len(trials) <= 8


def test_search_ends_at_its_bounds_and_trials() -> None:
    """No strength is good enough, or all are."""
    never = search_strength(lambda s: trial(s, 1.0), 0.01, 3.0, (0.25, 16.0), 9)
    assert max(t.strength for t in never) == 16.0 and len(never) < 5
    always = search_strength(lambda s: trial(s, 1e-5), 0.01, 3.0, (0.25, 16.0), 9)
    assert min(t.strength for t in always) == 0.25 and len(always) < 5
    assert len(search_strength(lambda s: trial(s, 1 / s), 0.001, 1.0, (0.1, 1e9), 3)) == 3
    # A step of the loss: the search closes in on it.
    steps = search_strength(lambda s: trial(s, 0.5 if s < 5 else 0.001), 0.01, 3.0, (0.25, 64.0), 12)
    assert 5 <= min(t.strength for t in steps if t.estimate(RATIO) <= 0.01) < 5.6


@pytest.fixture(scope="module")
def dense() -> LanguageModel:
    """A model of two layers whose predictions are sharp, so that coding costs."""
    torch.manual_seed(0)
    layers = (MixerSpec("gla", {"num_heads": 2}), MixerSpec("softmax", {"num_heads": 2}))
    model = LanguageModel(LanguageConfig(layers, vocabulary=40, width=32, hidden=48)).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.data = 1.5 * value_of(name, list(parameter.shape))
    return model


TOKENS = torch.randint(40, (6000,), generator=torch.Generator().manual_seed(3))


def test_text_for_trials_is_not_that_of_thresholds() -> None:
    text = split_for_choice(torch.arange(1000), 128, 0.3)
    assert text.learn.tolist() == list(range(700))
    assert text.windows.shape == (1, 129) and text.windows.min() >= 700 and text.windows.max() < 1000
    many = split_for_choice(torch.arange(10_000), 1024)
    assert many.windows.shape == (4, 257) and many.windows[0, 0] == 8000 and many.windows[-1, -1] == 9999
    short = split_for_choice(torch.arange(900), 1024)
    assert short.windows.tolist() == [list(range(720, 900))]
    with pytest.raises(NeurosimInputError, match="must have at least 85 tokens before its held-out end"):
        split_for_choice(torch.arange(80), 1024)


@pytest.mark.parametrize("scheme", ["ternary", "stbif"])
def test_the_chosen_coding_loses_what_was_stated(dense: LanguageModel, scheme: str) -> None:
    text = split_for_choice(TOKENS, 512)
    finest = "k" if scheme == "ternary" else "levels"
    converter = partial(convert, dense, tokens=text.learn, windows=4, length=32)
    coding, choice = choose_coding(dense, Coding(scheme, levels=3), text, 0.04, converter=converter)
    assert choice.met and getattr(coding, finest) == choice.strength and choice.tokens == 512
    # The chosen strength, measured anew.
    again = convert(dense, coding, text.learn, windows=4, length=32)
    rises, divergences = WindowComparison(dense, text.windows).read(again.model)
    chosen = next(t for t in choice.trials if t.strength == choice.strength)
    assert float(rises.mean()) == pytest.approx(chosen.rise, abs=1e-9)
    assert float(divergences.mean()) == pytest.approx(chosen.divergence, abs=1e-9)
    assert chosen.increase == pytest.approx(math.expm1(choice.ratio * chosen.divergence)) and chosen.increase <= 0.04
    # Coarser strengths that were tried lose more, and send fewer spikes.
    coarser = [t for t in choice.trials if t.strength < choice.strength]
    assert coarser and all(t.increase > 0.04 and t.spikes < chosen.spikes for t in coarser)
    assert chosen.seconds is not None and chosen.seconds > 0 and 0 < chosen.active <= 1
    assert list(choice.trials) == sorted(choice.trials, key=lambda t: t.strength)
    assert all(t.error is not None and t.error >= math.sqrt(2 * t.divergence / 512) for t in choice.trials)


def test_another_k_is_another_conversion(dense: LanguageModel) -> None:
    """The model of the trials, with its k changed, against one that is made with that k; q and k are coded."""
    assert_set_k_converts_anew(dense, Coding(k=1.0, qk=True))


def test_another_k_is_another_coding_of_states() -> None:
    """A model whose layers have states alone, which are coded, too."""
    torch.manual_seed(0)
    layers = (MixerSpec("gla", {"num_heads": 2}),)
    model = LanguageModel(LanguageConfig(layers, vocabulary=40, width=32, hidden=48)).eval()
    assert_set_k_converts_anew(model, Coding(k=1.0, qk=True, state=True))


def assert_set_k_converts_anew(dense: LanguageModel, coding: Coding) -> None:
    changed = convert(dense, coding)
    before = changed.model(TOKENS[None, :40])[0]
    changed.set_k(2.5)
    anew = convert(dense, replace(coding, k=2.5))
    assert changed.coding == anew.coding
    after = changed.model(TOKENS[None, :40])[0]
    assert torch.equal(after, anew.model(TOKENS[None, :40])[0])
    assert not torch.equal(after, before)


def test_what_cannot_be_met_is_said(dense: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOUNDS, "k", (0.25, 1.0))
    coding, choice = choose_coding(dense, Coding(k=0.5), split_for_choice(TOKENS, 256), 1e-6)
    assert not choice.met and coding.k == choice.strength == 1.0
    with pytest.raises(NeurosimInputError, match=r"choice\.loss: must be finite and > 0"):
        choose_coding(dense, Coding(), split_for_choice(TOKENS, 256), 0.0)


def test_standard_error_of_a_comparison_is_that_of_its_windows(dense: LanguageModel) -> None:
    """Equal windows: the standard deviation of their differences over the root of their number."""
    converted = convert(dense, Coding(k=1.0))
    tokens = TOKENS[: 8 * 64 + 1]
    found = compare_models(dense, converted.model, tokens, length=64, streams=8)
    windows = torch.stack([tokens[64 * i : 64 * i + 65] for i in range(8)])
    rise, _ = WindowComparison(dense, windows).read(converted.model)
    assert found.spiking - found.dense == pytest.approx(float(rise.mean()), abs=1e-6)
    assert found.error == pytest.approx(float(rise.std() / math.sqrt(8)), rel=1e-5)
    assert found.perplexity_error == pytest.approx((1 + found.perplexity_increase) * found.error)
    assert compare_models(dense, converted.model, tokens[:9], length=16, streams=1).error is None


def test_a_loss_that_noise_hides_is_estimated_from_divergences() -> None:
    """Divergences .64 / s^2, rises 1.3 times as large with noise of .004: the ratio of all trials is nearly 1.3."""
    noise = torch.randn(100, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.004
    draws = iter(noise.tolist())

    def measure(strength: float) -> Trial:
        divergence = 0.64 / strength**2
        rise = 1.3 * divergence + next(draws)
        return Trial(strength=strength, spikes=strength, active=1.0, divergence=divergence, rise=rise, error=0.004)

    trials = search_strength(measure, 0.01, 2.0, (0.25, 128.0), 8)
    ratio = divergence_ratio(trials)
    assert ratio == pytest.approx(1.3, abs=0.05)
    best = min(t.strength for t in trials if t.estimate(ratio) <= 0.01)
    exact = math.sqrt(1.3 * 0.64 / math.log(1.01))
    assert 0.95 * exact < best < 1.1 * exact


def test_a_few_noisy_trials_leave_the_ratio_as_it_was() -> None:
    noisy = Trial(strength=8.0, spikes=1.8, active=0.9, divergence=0.008, rise=-0.008, error=0.02)
    assert RATIO - 0.1 < divergence_ratio([noisy]) < RATIO
    sure = Trial(strength=2.0, spikes=1.0, active=0.7, divergence=0.1, rise=0.2, error=0.001)
    assert divergence_ratio([noisy, sure]) == pytest.approx(2.0, abs=0.01)


@torch.no_grad()
def test_windows_that_are_alike_by_chance_do_not_decide_the_ratio() -> None:
    """The rise of n tokens of divergence D has an error of at least sqrt(2 D / n), of one window too."""
    rises = torch.tensor([0.01, 0.0101], dtype=torch.float64)
    assert rise_error(rises, 0.02, 400) == pytest.approx(0.01)
    assert rise_error(rises[:1], 0.02, 400) == pytest.approx(0.01)
    apart = torch.tensor([0.0, 0.2], dtype=torch.float64)
    assert rise_error(apart, 0.02, 400) == pytest.approx(0.1)


def test_divergence_and_rise_of_windows_by_hand(dense: LanguageModel) -> None:
    converted = convert(dense, Coding(k=1.0))
    windows = TOKENS[: 3 * 21].view(3, 21)
    comparison = WindowComparison(dense, windows)
    rises, divergences = comparison.read(converted.model)
    p, q = (model(windows[:, :-1])[0].log_softmax(-1) for model in (dense, converted.model))
    torch.testing.assert_close(divergences, (p.exp() * (p - q)).sum(-1).double().mean(1), rtol=1e-4, atol=1e-6)
    of_targets = [each.gather(2, windows[:, 1:, None])[..., 0].double().mean(1) for each in (p, q)]
    torch.testing.assert_close(comparison.losses, -of_targets[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rises, of_targets[0] - of_targets[1], rtol=1e-4, atol=1e-5)
    assert bool((divergences > 0).all()) and comparison.read(dense)[1].abs().max() < 1e-6
