"""Likelihoods from the inputs of a head, read in parts: those of all logits at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurosim.language import LanguageConfig
from neurosim.language.conversion import logits
from neurosim.language.conversion.coding import ternary
from neurosim.language.conversion.linear import SpikedLinear

WORDS = 37
TOKENS = 11


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


BOUNDED = LanguageConfig((), logit_scale=0.5, logit_cap=2.0)


@pytest.fixture(params=["dense", "bias", "bfloat16", "spiked"])
def head(request: pytest.FixtureRequest) -> logits.LogitHead:
    torch.manual_seed(2)
    dense = nn.Linear(16, WORDS, bias=request.param == "bias").requires_grad_(False)
    if request.param == "bfloat16":
        return logits.LogitHead(dense.bfloat16(), BOUNDED.logits)
    if request.param == "spiked":
        return logits.LogitHead(SpikedLinear(dense, ternary(2.0)), BOUNDED.logits)
    return logits.LogitHead(dense, BOUNDED.logits)


@pytest.mark.parametrize("words", [5, 37, 64])
@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_parts_add_up_to_the_whole(
    head: logits.LogitHead, words: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logits, "WORDS", words)
    monkeypatch.setattr(logits, "LOGITS", at_once)
    hidden = 3 * drawn(TOKENS, 16)
    following = torch.arange(TOKENS) * 7 % WORDS
    layer = head.layer
    out = layer(hidden) if isinstance(layer, SpikedLinear) else F.linear(hidden, layer.weight.float(), layer.bias)
    whole = 2 * torch.tanh(out * 0.5 / 2)
    read = logits.likelihoods(head, hidden, following)
    torch.testing.assert_close(read.losses, F.cross_entropy(whole, following, reduction="none"))
    torch.testing.assert_close(read.log_sums, whole.logsumexp(1))
    assert torch.equal(read.likeliest, whole.argmax(1))
    seen = torch.zeros(TOKENS, WORDS)
    for rows, columns, (one, other) in logits.logit_parts([head, head], [hidden, 2 * hidden]):
        torch.testing.assert_close(one, whole[rows, columns])
        assert other.shape == one.shape and one.numel() <= max(at_once, WORDS)
        seen[rows, columns] += 1
    assert bool((seen == 1).all())


def test_nan_is_passed_on() -> None:
    hidden = drawn(3, 4)
    hidden[1, 2] = torch.nan
    head = logits.LogitHead(nn.Linear(4, 9).requires_grad_(False), LanguageConfig(()).logits)
    read = logits.likelihoods(head, hidden, torch.zeros(3, dtype=torch.int64))
    assert read.losses.isnan().tolist() == [False, True, False]
