"""The choice of a coding for a stated loss."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.recorded import value_of

from neurosim.base import NeurosimInputError
from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert
from neurosim.language.conversion.choice import BOUNDS, choose_coding, search_strength, split_for_choice
from neurosim.language.conversion.comparison import compare_models, window_losses
from neurosim.language.conversion.records import Trial


def trial(strength: float, increase: float) -> Trial:
    return Trial(strength=strength, spikes=strength, active=1.0, increase=increase)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("start", [0.5, 3.0, 40.0])
def test_search_finds_the_strength_of_a_stated_loss(power: float, start: float) -> None:
    """Losses c / s^power: the exact strength is known."""
    exact = (0.3 / 0.01) ** (1 / power)
    trials = search_strength(lambda s: trial(s, 0.3 / s**power), 0.01, start, (0.01, 1000.0), 12)
    best = min((t for t in trials if t.increase <= 0.01), key=lambda t: t.strength)
    assert exact <= best.strength <= 1.2 * exact and len(trials) <= 8


def test_search_ends_at_its_bounds_and_trials() -> None:
    """No strength is good enough, or all are."""
    never = search_strength(lambda s: trial(s, 1.0), 0.01, 3.0, (0.25, 16.0), 9)
    assert max(t.strength for t in never) == 16.0 and len(never) < 5
    always = search_strength(lambda s: trial(s, -0.001), 0.01, 3.0, (0.25, 16.0), 9)
    assert min(t.strength for t in always) == 0.25 and len(always) < 5
    assert len(search_strength(lambda s: trial(s, 1 / s), 0.001, 1.0, (0.1, 1e9), 3)) == 3
    # A step of the loss: the search closes in on it.
    steps = search_strength(lambda s: trial(s, 0.5 if s < 5 else 0.001), 0.01, 3.0, (0.25, 64.0), 12)
    assert 5 <= min(t.strength for t in steps if t.increase <= 0.01) < 5.6


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
    with pytest.raises(NeurosimInputError, match="must have at least 1285 tokens before its held-out end"):
        split_for_choice(torch.arange(900), 1024)


@pytest.mark.parametrize("scheme", ["ternary", "stbif"])
def test_the_chosen_coding_loses_what_was_stated(dense: LanguageModel, scheme: str) -> None:
    text = split_for_choice(TOKENS, 512)
    finest = "k" if scheme == "ternary" else "levels"
    coding, choice = choose_coding(dense, Coding(scheme), text, 0.02, windows=4, length=32)
    assert choice.met and getattr(coding, finest) == choice.strength and choice.tokens == 512
    # The chosen strength, measured anew.
    again = convert(dense, coding, text.learn, windows=4, length=32)
    rise = (window_losses(again.model, text.windows) - window_losses(dense, text.windows)).mean()
    chosen = next(t for t in choice.trials if t.strength == choice.strength)
    assert math.expm1(float(rise)) == pytest.approx(chosen.increase, abs=1e-9) and chosen.increase <= 0.02
    # Coarser strengths that were tried lose more, and send fewer spikes.
    coarser = [t for t in choice.trials if t.strength < choice.strength]
    assert coarser and all(t.increase > 0.02 and t.spikes < chosen.spikes for t in coarser)
    assert chosen.seconds is not None and chosen.seconds > 0 and 0 < chosen.active <= 1
    assert list(choice.trials) == sorted(choice.trials, key=lambda t: t.strength)


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
    rise = window_losses(converted.model, windows) - window_losses(dense, windows)
    assert found.spiking - found.dense == pytest.approx(float(rise.mean()), abs=1e-6)
    assert found.error == pytest.approx(float(rise.std() / math.sqrt(8)), rel=1e-5)
    assert found.perplexity_error == pytest.approx((1 + found.perplexity_increase) * found.error)
    assert compare_models(dense, converted.model, tokens[:9], length=16, streams=1).error is None


def test_a_loss_that_noise_hides_does_not_make_a_long_step() -> None:
    """Losses .64 / s^2 with an offset of -.0101, as of a text that is too short, and the error that says so."""
    trials = search_strength(
        lambda s: Trial(strength=s, spikes=s, active=1.0, increase=0.64 / s**2 - 0.0101, error=0.003),
        *(0.01, 8.0, (0.25, 128.0), 8),
    )
    assert trials[0].increase < 0 and 4 < trials[1].strength < 5
    best = min(t.strength for t in trials if t.increase <= 0.01)
    assert 5.64 < best < 6.2
