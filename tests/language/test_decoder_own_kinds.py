"""Kinds of a user in the compiled step, and what cannot be traced."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from helpers.decoding import assert_same, decoded, model_of, stepped, text
from helpers.samples import sampled
from torch import Tensor, nn

from neurosim.language import KINDS, Coding, Decoder, Mixer, convert
from neurosim.language.attention.kinds.base import Inputs, Shared, State
from neurosim.language.attention.kinds.delta import GatedDeltaNet
from neurosim.language.attention.kinds.linear import GLA
from neurosim.language.attention.kinds.matrix_memory import read
from neurosim.language.attention.kinds.modules import repeat_heads
from neurosim.language.attention.kinds.parallel_rnn import ParaLSTM
from neurosim.language.conversion.decoder.program import NotCompiledError


@dataclass(eq=False, repr=False, kw_only=True)
class OwnKind(Mixer):
    """S = s(W x) S + k (v + m - S^T k)^T / 2, o = S^T q / (1 + |q|^2), m a running mean of x: a kind of a user."""

    heads: int = 4

    def build(self) -> None:
        self.size = self.width // self.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(self.width, self.width) for _ in range(4))
        self.keep_proj = nn.Linear(self.width, self.heads)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), self.heads, self.size, self.size)
        return {"memory": memory, "mean": x.new_zeros(len(x), 1, self.width)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        mean = 0.9 * state["mean"] + 0.1 * x
        v = self.v_proj(x) + mean
        q, k, v = (y.unflatten(-1, (self.heads, self.size)) for y in (self.q_proj(x), self.k_proj(x), v))
        return {"q": q, "k": k.softmax(-1), "v": v, "keep": self.keep_proj(x).sigmoid()}, {"mean": mean}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q = inputs["q"]
        k = inputs["k"]
        v = inputs["v"]
        error = v - read(memory, k)
        memory = inputs["keep"][..., None, None] * memory + 0.5 * k[..., None] * error[..., None, :]
        return memory, read(memory, q) / (1 + q.square().sum(-1, keepdim=True))

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        raise NotImplementedError  # tokens come one at a time here

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        y: Tensor = self.o_proj(out.flatten(-2))
        return y


class Sorted(OwnKind):
    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return memory, inputs["v"].sort(-1).values


class Forgetful(GLA):
    """A kind of the package with another recurrence: its operation is not taken for it."""

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        after, out = super().recur(memory, inputs)
        return 0.5 * after, out


class Alike(GatedDeltaNet):
    """A kind of the package whose keys are alike in all heads, and whose values repeat."""

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        half = inputs["v"][:, :, : self.heads // 2]
        return inputs | {"k": inputs["k"][:, :, :1], "v": repeat_heads(half, 2)}, after


class Slow(ParaLSTM):
    """The same for a recurrence that is said by another method than `recur`."""

    def step(self, state: Tensor, inputs: Tensor) -> Tensor:
        return 0.5 * (state + super().step(state, inputs))


@pytest.mark.parametrize("kind", sampled([OwnKind, Forgetful, Slow, Alike], [OwnKind, Slow]))
def test_a_kind_of_a_user(kind: type[Mixer], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its compiled step from `project`, `recur` and `finish`, in spikes and with its state in spikes, too."""
    monkeypatch.setitem(KINDS, "own", kind)
    model = model_of("own", {})
    tokens = text(9, 2)
    assert_same(decoded(Decoder(model, 2), tokens), stepped(model, tokens))
    for state in (False, True):
        made = convert(model, Coding("ternary", state=state)).execute()
        one = decoded(Decoder(made.model, 2), tokens)
        assert_same(one, stepped(made.model, tokens))
        assert torch.equal(decoded(Decoder(made.model, 2, 2), tokens), one)


def test_what_cannot_be_traced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "own", Sorted)
    words = r"layers\.0\.mixer: torch function 'sort': no compiled operation computes it"
    with pytest.raises(NotCompiledError, match=words):
        Decoder(model_of("own", {}))
