"""Softmax attention over all earlier tokens or the last ones: the layers of a Transformer, and of hybrid stacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ....base.errors import require
from ....base.rules import Positive, Rule
from .base import Inputs, Mixer, Shared, State
from .compiled import Cache, Step
from .growing import appended
from .modules import divide, linear, repeat_heads, split_heads
from .rotary import build_rotary
from .weights import ages, products
from .windows import attend_to_last, bounded


class CachedAttention(Mixer):
    """o = softmax(q K^T / sqrt(K)) V over the tokens so far (Vaswani et al. 2017).

    The memory is [B, tokens, kv_heads, K + V]: keys and values of all tokens, or of at most window_size - 1.

    Attributes:
        kv_heads, groups: heads of keys and values, and heads of queries that share each.
        k_size, v_size: K and V, channels of a key and of a value.
        window_size: tokens seen, the present one among them; 0 for all: the memory then grows with the sequence.
        score_cap: c: scores s become c tanh(s / c); None leaves them.
    """

    recurrence = ("recur", "visible_later")
    in_words = "softmax attention over earlier tokens"
    holds_tokens = True
    has_qk = True
    window_size = 0
    score_cap: float | None = None
    kv_heads: int
    groups: int
    k_size: int
    v_size: int

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), 0, self.kv_heads, self.k_size + self.v_size)
        return {"memory": memory, "position": torch.zeros((), dtype=torch.int64, device=x.device)}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = self._known(memory, torch.cat([inputs["k"], inputs["v"]], -1)[:, None])
        if self.window_size:
            known = known[:, -self.window_size :]
        keys, values = known.split([self.k_size, self.v_size], -1)
        # Heads of q in groups that share a head of keys: [B, kv_heads, groups, K].
        q = inputs["q"].unflatten(1, (self.kv_heads, self.groups))
        scores = bounded(torch.einsum("bhgk,bthk->bhgt", q, keys) * self.k_size**-0.5, self.score_cap)
        weights = scores.softmax(-1)
        return self.visible_later(known), torch.einsum("bhgt,bthk->bhgk", weights, values).flatten(1, 2)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = self._known(memory, torch.cat([inputs["k"], inputs["v"]], -1))
        keys, values = known.split([self.k_size, self.v_size], -1)
        return self.visible_later(known), attend_to_last(
            inputs["q"], keys, values, self.window_size, cap=self.score_cap
        )

    def cache(self, **options: Any) -> Cache:
        """Return what a compiled step stores, with further options of `Cache`."""
        return Cache(
            kv_heads=self.kv_heads,
            groups=self.groups,
            keys=self.k_size,
            values=self.v_size,
            tokens=self.window_size,
            cap=self.score_cap,
            **options,
        )

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.attend(self.cache(), inputs["q"], inputs["k"], inputs["v"])

    def _known(self, memory: Tensor, rows: Tensor) -> Tensor:
        """Return keys and values [B, N + T, heads, K + V] of the memory and of T further tokens."""
        if self.window_size:
            # At most window_size - 1 old ones, which are copied.
            return torch.cat([memory, rows], 1)
        return appended(memory, rows)

    def tokens_to_keep(self, inputs: Inputs) -> Tensor | None:
        return self.visible_later(torch.cat([inputs["k"], inputs["v"]], -1))

    @property
    def sees_everything(self) -> bool:
        return not self.window_size

    def visible_later(self, known: Tensor) -> Tensor:
        if self.window_size:
            # The next token takes the last place in the window itself.
            return known[:, max(known.shape[1] - self.window_size + 1, 0) :]
        return known


@dataclass(eq=False, repr=False, kw_only=True)
class SoftmaxAttention(CachedAttention):
    """Softmax attention over the tokens so far with rotary positions; the memory holds keys turned.

    Args:
        num_heads, num_kv_heads: of queries, and of keys and values, which are shared by groups.
        head_dim: K, channels of a head (default: width / num_heads).
        window_size: tokens seen, the present one among them; 0 for all: the memory then grows with the sequence.
        rope_theta: base of the rotary positions.
        rotary_dim: channels of a head that positions turn (default: all); 0 for no positions.
        rope_scaling: entries of a config's `rope_scaling`, see `build_rotary`.
        qkv_bias, o_bias: give the projections of q, k and v, and of the output, biases.
        qk_norm: root-mean-square norm of each head of q and k, before its position.
        whole_norm: one such norm over all heads of q, and one over those of k (OLMo 2).
        score_scale: factor of the products of q and k (default: 1 / sqrt(K)).
        score_cap: c > 0: scores s become c tanh(s / c) before the softmax (Gemma 2); kinds that choose among tokens, or
            join others with them, have none.
        output_gate: the outputs are multiplied by sigmoid(W_g x).
        norm_eps: epsilon of the norms.
    """

    num_heads: Annotated[int, Rule("> 0")] = 4
    num_kv_heads: int | None = None
    head_dim: int | None = None
    window_size: Annotated[int, Rule(">= 0 tokens")] = 0
    rope_theta: Positive = 10000.0
    rotary_dim: int | None = None
    rope_scaling: Mapping[str, object] | None = None
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    whole_norm: bool = False
    score_scale: Positive | None = None
    score_cap: Positive | None = None
    output_gate: bool = False
    norm_eps: Positive = 1e-6

    def build(self) -> None:
        self.kv_heads = self.num_kv_heads or self.num_heads
        self.groups = divide(self.num_heads, self.kv_heads, self.name("num_heads"))
        self.k_size = self.v_size = self.head_dim or divide(self.width, self.num_heads, self.name("width"))
        if self.rotary_dim is None:
            turned = self.k_size
        else:
            turned = self.rotary_dim
        require(0 <= turned <= self.k_size, self.name("rotary_dim"), f"must be 0 to {self.k_size}", turned)
        # Another algorithm for the softmax knows no bound.
        may_bound = self.is_plain or self.score_cap is None
        require(may_bound, self.name("score_cap"), "must be None in this kind", self.score_cap)
        self.rotary = build_rotary(turned, self.rope_theta, self.rope_scaling) if turned else None
        queries = self.num_heads * self.k_size
        keys = self.kv_heads * self.k_size
        self.q_proj = linear(self.width, queries, self.qkv_bias)
        self.o_proj = linear(queries, self.width, self.o_bias)
        self.k_proj, self.v_proj = (linear(self.width, keys, self.qkv_bias) for _ in range(2))
        if self.output_gate:
            self.g_proj = linear(self.width, queries)
        require(not (self.qk_norm and self.whole_norm), self.name("whole_norm"), "must be false with qk_norm", True)
        if self.qk_norm or self.whole_norm:
            sizes = (queries, keys) if self.whole_norm else (self.k_size, self.k_size)
            self.q_norm, self.k_norm = (nn.RMSNorm(size, self.norm_eps) for size in sizes)

    @property
    def is_plain(self) -> bool:
        """Say whether this is softmax over the tokens so far or the last ones, by no algorithm of a subclass."""
        return type(self).chunked is CachedAttention.chunked

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q [B, T, H, K], and k and v of `kv_heads`, before their positions."""
        q = self.q_proj(x)
        k = self.k_proj(x)
        if self.whole_norm:
            q = self.q_norm(q)
            k = self.k_norm(k)
        q, k, v = (split_heads(value, self.k_size) for value in (q, k, self.v_proj(x)))
        if self.qk_norm:
            q = self.q_norm(q)
            k = self.k_norm(k)
        if self.score_scale is not None:
            # Scores are divided by sqrt(K) later.
            q = q * (self.score_scale * self.k_size**0.5)
        return (q, k, v)

    def turn(self, x: Tensor, position: Tensor) -> Tensor:
        """Return q or k [B, T, heads, K] at their positions, from `position` [] of the first token on."""
        if self.rotary is None:
            return x
        return self.rotary.turn(x, position)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v = self.split(x)
        # Keys are stored at their positions: q . k then depends on the distance alone.
        q, k = (self.turn(value, state["position"]) for value in (q, k))
        return {"q": q, "k": k, "v": v}, {"position": state["position"] + x.shape[1]}

    def log_weights(self, x: Tensor) -> Tensor | None:
        if not self.is_plain:
            return None
        inputs, _ = self.project(x, self.initial(x), {})
        scores = products(inputs["q"], repeat_heads(inputs["k"], self.groups)) * self.k_size**-0.5
        age = ages(x)
        visible = age >= 0
        if self.window_size:
            visible = visible & (age < self.window_size)
        return bounded(scores, self.score_cap).masked_fill(~visible, -torch.inf).log_softmax(-1)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        out = out.flatten(-2)
        if self.output_gate:
            out = out * self.g_proj(x).sigmoid()
        return self.o_proj(out)


@dataclass(eq=False, repr=False, kw_only=True)
class WindowAttention(SoftmaxAttention):
    """Softmax attention over the last `window_size` tokens, for stacks that mix it with recurrent kinds (Beltagy 2020).

    `qkv_bias` gives the projection of the output a bias, too.
    """

    window_size: int = 128

    def build(self) -> None:
        self.o_bias = self.o_bias or self.qkv_bias
        super().build()
