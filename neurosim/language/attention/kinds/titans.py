"""Titans with a window: a memory trained at test time beside softmax attention or below it (2501.00663)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ....base.rules import Natural
from .base import Inputs, Shared, State
from .compiled import Learnt, Step
from .nested import PREFIX, initial_inside, run_inside
from .neural_memory import Titans
from .softmax import WindowAttention
from .windows import attend_to_last


def _read_before(memory: Titans, tokens: Tensor, batch: int) -> tuple[Tensor, State]:
    """Return outputs [1, n, D] of a memory for learnt tokens [n, D], and its state behind them, for a batch.

    Its convolutions have seen them, too. Spans of the tokens that follow are counted from the first of these.
    """
    x = tokens[None]
    # The methods of `Titans`: a kind derived from it goes on from this state.
    state = Titans.initial(memory, x)
    inputs, after = Titans.project(memory, x, state, {})
    inputs = memory.coded(inputs)
    written, out = memory.chunked(state["memory"], inputs)
    after = after | {"memory": written}
    first = {name: value.expand(batch, *value.shape[1:]).contiguous() for name, value in after.items() if value.dim()}
    return Titans.finish(memory, out, x, inputs), first | {"position": state["position"]}


def _learnt_tokens(count: int, width: int) -> nn.Parameter | None:
    if count == 0:
        return None
    return nn.Parameter(torch.randn(count, width) * 0.02)


@dataclass(eq=False, repr=False, kw_only=True)
class PersistentWindow(WindowAttention):
    """Softmax attention over the last tokens and over rows of keys and values that every token sees.

    These rows have no positions: they are compared with queries before their rotary turn. They are the part `learnt`
    of the state, [B, n, kv_heads, K + V], which `learn` makes of n tokens.
    """

    def learn(self, tokens: Tensor, batch: int) -> Tensor:
        """Return rows [B, n, kv_heads, K + V] of tokens [1, n, D] for `learnt`."""
        _, k, v = self.split(tokens)
        return torch.cat([k, v], -1).expand(batch, -1, -1, -1).contiguous()

    def initial(self, x: Tensor) -> State:
        return super().initial(x) | {"learnt": x.new_zeros(len(x), 0, self.kv_heads, self.k_size + self.v_size)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        plain, k, v = self.split(x)
        q, k = (self.turn(value, state["position"]) for value in (plain, k))
        learnt = state["learnt"]
        # The same rows for every token: a view, not copies.
        rows = learnt[:, None].expand(-1, x.shape[1], -1, -1, -1)
        inputs = {"q": q, "k": k, "v": v, "plain_q": plain, "learnt": rows}
        return inputs, {"position": state["position"] + x.shape[1], "learnt": learnt}

    def coded(self, inputs: Inputs) -> Inputs:
        coded = super().coded(inputs)
        if self.codes.q is None:
            return coded
        return coded | {"plain_q": self.codes.q(inputs["plain_q"])}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        learnt = None
        if inputs["learnt"].numel():
            # Rows of the state that no token changes: constants, of each head of q.
            rows = step.first(inputs["learnt"]).repeat_interleave(self.groups, 1)
            learnt = Learnt(rows, inputs["plain_q"])
        return step.attend(self.cache(), inputs["q"], inputs["k"], inputs["v"], learnt=learnt)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = self._known(memory, torch.cat([inputs["k"], inputs["v"]], -1))
        sizes = [self.k_size, self.v_size]
        keys, values = known.split(sizes, -1)
        fixed = inputs["learnt"][:, 0].split(sizes, -1)
        out = attend_to_last(inputs["q"], keys, values, self.window_size, (inputs["plain_q"], *fixed))
        return self.visible_later(known), out


@dataclass(eq=False, repr=False, kw_only=True)
class TitansGate(Titans):
    """Memory as a gate (MAG): y = attention(x) s(W_o norm(M(q))), s the sigmoid.

    Attention is softmax over a window and learnt tokens P, which every token sees. M has read P before the first token.

    Args:
        window_size: tokens that attention sees.
        persistent: number of learnt tokens, 0 for none.
    """

    window_size: int = 64
    persistent: Natural = 4

    def build(self) -> None:
        super().build()
        heads = self.num_heads
        size = self.window_size
        self.attention = PersistentWindow(self.width, self.depth, num_heads=heads, window_size=size)
        self.tokens = _learnt_tokens(self.persistent, self.width)

    def initial(self, x: Tensor) -> State:
        state = initial_inside(self.attention, x)
        if self.tokens is None:
            return super().initial(x) | state
        tokens = self.tokens.to(x.dtype)
        _, first = _read_before(self, tokens, len(x))
        return first | state | {f"{PREFIX}learnt": self.attention.learn(tokens[None], len(x))}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        attended, inner = run_inside(self.attention, x, state, shared)
        return inputs | {"attended": attended}, after | inner

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return inputs["attended"] * super().finish(out, x, inputs).sigmoid()


@dataclass(eq=False, repr=False, kw_only=True)
class TitansLayer(PersistentWindow):
    """Memory as a layer (MAL): attention over a window of m, and over the m of P; m are outputs of `Titans` for [P, x].

    P are learnt tokens in front of the first.

    Args:
        memory: options of the `Titans` inside.
        persistent: number of learnt tokens, 0 for none.
    """

    why_not_parallel = Titans.why_not_parallel

    window_size: int = 64
    memory: Mapping[str, object] | None = None
    persistent: Natural = 4

    def build(self) -> None:
        super().build()
        options = {"num_heads": self.num_heads, **(self.memory or {})}
        self.titans = Titans(self.width, self.depth, **options)  # type: ignore[arg-type]
        self.tokens = _learnt_tokens(self.persistent, self.width)

    def initial(self, x: Tensor) -> State:
        state = super().initial(x)
        if self.tokens is None:
            return state | initial_inside(self.titans, x)
        read, first = _read_before(self.titans, self.tokens.to(x.dtype), len(x))
        inner = {PREFIX + name: value for name, value in first.items()}
        return state | inner | {"learnt": self.learn(read, len(x))}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        read, inner = run_inside(self.titans, x, state, shared)
        inputs, after = super().project(read, state, shared)
        return inputs, after | inner
