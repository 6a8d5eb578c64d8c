"""A kind outside of the package says its compiled step in its own file, by an operation of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers.decoding import assert_same, decoded, model_of, stepped, text
from torch import Tensor, nn

from neurosim.kernels.decode.program import FLOAT, BoundOperation, operation, skipped
from neurosim.kernels.tools.pointers import vector
from neurosim.language import KINDS, Coding, Decoder, Mixer, convert
from neurosim.language.attention.kinds.base import Inputs, Shared, State
from neurosim.language.attention.kinds.compiled import Cache, Channels, Routing, Step
from neurosim.language.attention.kinds.mixture_of_memories import MoM
from neurosim.language.attention.kinds.softmax import SoftmaxAttention
from neurosim.language.attention.kinds.tracing import compiles, leaf
from neurosim.language.conversion.decoder.program import NotCompiledError


@operation("u width tokens rate state out mask?")
def leaky(p, context, begin, end):  # type: ignore[no-untyped-def]
    """s = a s + u, out = s for each channel. Parts are channels."""
    rate = vector(p.rate, p.width, FLOAT)
    for i in range(p.tokens):
        if skipped(p.mask, i):
            continue
        u = vector(p.u + 4 * i * p.width, p.width, FLOAT)
        s = vector(p.state + 4 * i * p.width, p.width, FLOAT)
        out = vector(p.out + 4 * i * p.width, p.width, FLOAT)
        for j in range(begin, end):
            s[j] = rate[j] * s[j] + u[j]
            out[j] = s[j]


@leaf
def sharpened(x: Tensor) -> Tensor:
    """Return x sorted within each token, which no torch function of the step does."""
    return x.sort(-1).values


@compiles(sharpened)
def _sharpened(step: Step, x: Tensor) -> Tensor:
    # A softmax is no sort: what is entered here, and not the function, is in the step.
    return x.softmax(-1)


@dataclass(eq=False, repr=False, kw_only=True)
class Leaky(Mixer):
    """s = a s + W x, y = W_o s."""

    def build(self) -> None:
        self.rate = nn.Parameter(torch.linspace(0.5, 0.95, self.width))
        self.in_proj, self.o_proj = (nn.Linear(self.width, self.width) for _ in range(2))

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.width)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": self.in_proj(x)}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        memory = self.rate * memory + inputs["u"]
        return memory, memory

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out = step.value(self.width)
        u = {"u": inputs["u"]}
        step.append(leaky, Channels(self.width), u, {"state": memory, "out": out}, width=self.width, rate=self.rate)
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.stepwise(memory, inputs)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        y: Tensor = self.o_proj(out)
        return y


class Doubled(Leaky):
    """Another recurrence, which does not say its operations."""

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        memory, out = super().recur(memory, inputs)
        return memory, 2 * out


class Misnamed(Leaky):
    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        step.append(leaky, Channels(self.width), {"x": inputs["u"]}, {"state": memory}, width=self.width)
        return memory


class Forgotten(Leaky):
    """A compiled step whose operations leave the memory alone."""

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return inputs["u"]


class Sharpened(Leaky):
    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": sharpened(self.in_proj(x))}, {}


class Sent(Leaky):
    """One of three memories takes a token; the others wait."""

    def build(self) -> None:
        super().build()
        self.gate_proj = nn.Linear(self.width, 3)

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), 3, self.width)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": self.in_proj(x), "p": self.gate_proj(x).softmax(-1)}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        weight, index = inputs["p"].max(-1)
        rows = torch.arange(len(memory))
        taken = self.rate * memory[rows, index] + inputs["u"]
        return memory.index_put((rows, index), taken), taken * weight[:, None]

    compiled = Leaky.compiled

    def compiled_layer(self, step: Step, x: Tensor, state: State, shared: Shared) -> Tensor | None:
        scores = self.gate_proj(x)
        u = self.in_proj(x)
        step.evaluate(scores, u)
        total = None
        for route in step.route(scores, Routing(1)):
            with step.only(route):
                memory = step.state(self.width)
                out = self.compiled(step, memory, {"u": u[:, 0]})
                step.code_state(memory, self.codes.state)
                assert out is not None
                total = step.add(total, out, route.weight)
        assert total is not None
        return self.finish(total[:, None], x, {})


class Picked(Leaky):
    """Two heads attend to the last four tokens that a gate took, with a bias by how far they lie in the text."""

    def build(self) -> None:
        super().build()
        self.gate_proj = nn.Linear(self.width, 2)
        self.bias = nn.Parameter(torch.linspace(1.0, -1.0, 9))

    def initial(self, x: Tensor) -> State:
        position = torch.zeros((), dtype=torch.int64)
        return {"memory": x.new_zeros(len(x), 4, self.width + 1), "position": position}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        count = x.shape[1]
        place = (state["position"] + torch.arange(1, count + 1)).to(x.dtype).expand(len(x), -1)
        inputs = {"u": self.in_proj(x), "p": self.gate_proj(x).softmax(-1), "place": place}
        return inputs, {"position": state["position"] + count}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        u, p, place = inputs["u"], inputs["p"], inputs["place"][:, None]
        active = p[:, 1:] > p[:, :1]
        taken = torch.cat([memory[:, 1:], torch.cat([u, place], -1)[:, None]], 1)
        memory = torch.where(active[..., None], taken, memory)
        keys = memory[..., :-1].unflatten(-1, (2, -1))
        places = memory[..., -1]
        scores = torch.einsum("bhk,bnhk->bhn", u.unflatten(-1, (2, -1)), keys) * (self.width // 2) ** -0.5
        scores = scores + self.bias[(place - places).clamp(0, 8).long()][:, None]
        weights = scores.masked_fill(places[:, None] == 0, -1e30).softmax(-1)
        out = torch.einsum("bhn,bnhk->bhk", weights, keys).flatten(1)
        return memory, out * active * p[:, 1:]

    def compiled_layer(self, step: Step, x: Tensor, state: State, shared: Shared) -> Tensor | None:
        scores = self.gate_proj(x)
        u = self.in_proj(x)
        step.evaluate(scores, u)
        _, active = step.route(scores, Routing(1))
        channels = self.width // 2
        with step.only(active):
            heads = u[:, 0].unflatten(-1, (2, channels))
            cache = Cache(kv_heads=2, groups=1, keys=channels, values=channels, tokens=4)
            out = step.attend(cache, heads, heads, heads, bias=self.bias, by_distance=True)
            total = step.add(None, out.flatten(1), active.weight)
        return self.finish(total[:, None], x, {})


def operations(decoder: Decoder) -> list[str]:
    """Names of the operations of a step, in the order in which they are appended."""
    alive = decoder._programs[decoder.tokens].builder.alive
    return [each.operation.function.__name__ for each in alive if isinstance(each, BoundOperation)]


@pytest.mark.parametrize(("kind", "own"), [(Leaky, True), (Doubled, False), (Sent, True)])
def test_the_step_is_the_recurrence(kind: type[Mixer], own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any batch and threads, and with the state in spikes; a subclass with another recurrence is traced."""
    monkeypatch.setitem(KINDS, "own", kind)
    model = model_of("own", {})
    tokens = text(9, 3)
    decoder = Decoder(model, 3)
    assert ("leaky" in operations(decoder)) == own
    assert_same(decoded(decoder, tokens), stepped(model, tokens))
    made = convert(model, Coding("ternary", state=True)).execute()
    one = decoded(Decoder(made.model, 3), tokens)
    assert_same(one, stepped(made.model, tokens))
    assert torch.equal(decoded(Decoder(made.model, 3, 2), tokens), one)


@pytest.mark.parametrize("threads", [1, 2])
def test_heads_of_a_step_that_leaves_tokens_out_count_their_own(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "own", Picked)
    model = model_of("own", {})
    # So many sequences that a memory of one count each would not hold the counts of both heads.
    tokens = text(12, 16)
    assert_same(decoded(Decoder(model, 16, threads), tokens), stepped(model, tokens))


def test_a_function_of_a_kind_has_its_step_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "own", Sharpened)
    # The model of two layers normalises once more where `sharpened` is called.
    assert operations(Decoder(model_of("own", {}))).count("normalise") == 2


def test_operands_are_checked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "own", Misnamed)
    with pytest.raises(
        TypeError, match="leaky: unknown operands: x; choose from u, width, tokens, rate, state, out, mask"
    ):
        Decoder(model_of("own", {}))


def test_a_state_that_no_operation_writes_is_not_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "own", Forgotten)
    model = convert(model_of("own", {}), Coding("ternary", state=True)).model
    with pytest.raises(NotCompiledError, match=r"layers\.0\.mixer: codes\.state"):
        Decoder(model)


def test_methods_that_define_a_recurrence_are_those_of_the_kind() -> None:
    class Seen(SoftmaxAttention):
        def visible_later(self, known: Tensor) -> Tensor:
            return super().visible_later(known)

    class Turned(SoftmaxAttention):
        def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
            return -super().finish(out, x, inputs)

    class Uneven(MoM):
        def balance(self, scores: Tensor, index: Tensor) -> None:
            self.auxiliary = None

    # A whole layer is that of its class alone: nothing says which of its parts a subclass has changed.
    assert MoM.compiled_layer is not Mixer.compiled_layer
    assert Uneven.compiled_layer is Mixer.compiled_layer
    assert Seen.compiled is Mixer.compiled
    assert Turned.compiled is SoftmaxAttention.compiled


def test_one_step_of_several_is_the_delta_rule() -> None:
    """One Householder step a token has its operation, too."""
    model = model_of("deltaproduct", {"num_heads": 2, "head_dim": 6, "num_householder": 1})
    tokens = text(7, 2)
    assert_same(decoded(Decoder(model, 2), tokens), stepped(model, tokens))
    assert np.isfinite(Decoder(model).step([1])).all()
