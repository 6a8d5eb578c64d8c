"""Softmax attention over the last tokens, and linear attention over all tokens before them, in one normaliser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....base.rules import Natural, Positive, Rule
from ....kernels.decode.attention import windows
from .base import Inputs, Shared, State
from .compiled import Heads, Learnt, Step
from .feature_maps import feature_map as map_of
from .matrix_memory import AdditiveMixer
from .modules import linear, repeat_heads
from .softmax import SoftmaxAttention
from .tracing import compiles, leaf
from .weights import ages, log_features, products

OPEN = 4.0  # first bias of the gates: a state keeps sigmoid(4)^(1/16) = 0.999 of itself per token


@leaf
def joined(attended: Tensor, mass: Tensor, sums: Tensor, offset: Tensor) -> Tensor:
    """Return attention over a window [.., H, V] of a mass [.., H] and that over older tokens in one normaliser.

    Args:
        sums: [.., H, V + 1] of the older tokens, the last column their weight.
        offset: [H], subtracted from the mass.
    """
    older = sums[..., :-1]
    total = sums[..., -1:].clamp(min=torch.finfo(sums.dtype).tiny)
    # e^m / (e^m + e^c d) = sigmoid(m - c - log d): no exponential of a mass overflows.
    share = ((mass - offset)[..., None] - total.log()).sigmoid()
    return share * attended + (1 - share) * older / total


@compiles(joined)
def _joined(step: Step, attended: Tensor, mass: Tensor, sums: Tensor, offset: Tensor) -> Tensor:
    *_, heads, size = attended.shape
    out = step.value(*attended.shape[1:])
    rows = {"seen": attended, "mass": mass, "sums": sums}
    step.append(windows.share, Heads(heads), rows, {"out": out}, offset=offset, heads=heads, size=size)
    return out


@dataclass(eq=False, repr=False, kw_only=True)
class WindowLinearAttention(AdditiveMixer):
    """Attention whose older tokens are read from a state of fixed size (LoLCATs, arXiv 2410.10254; Lizard, 2507.09025).

        S_t = e^{g_t} S_{t-1} + phi(k_{t-w}) [v_{t-w}, 1]^T,   [n_t, d_t] = S_t^T phi(q_t)
        o_t = (e^{m_t} softmax(q_t K^T / sqrt(K)) V + e^c n_t) / (e^{m_t} + e^c d_t)

    K and V are of the last w tokens and the meta tokens, m_t is the logarithm of the sum of their e^{q k / sqrt(K)},
    c is learnt for each head. While no token is older than the window this is `SoftmaxAttention`. The feature maps see
    q and k before their rotary positions: the gate g = logsigmoid(W x + b) / `gate_logit_normalizer` says how old a
    token is. The sources weigh the window by a learnt constant instead of e^{m_t}, which is known.

    Args:
        attention: options of the `SoftmaxAttention` inside, except `window_size`.
        window_size: w, tokens that softmax sees, the present one among them.
        meta_tokens: learnt keys and values that softmax always sees.
        feature_map: phi, a name of `FEATURE_MAPS`.
        use_gate: decay the state; without it g = 0.
    """

    reads_backwards = False  # its window is of tokens in order
    attention: Mapping[str, object] | None = None
    window_size: Annotated[int, Rule(">= 1 tokens")] = 64
    meta_tokens: Natural = 0
    feature_map: str = "hedgehog"
    use_gate: bool = True
    gate_logit_normalizer: Positive = 16.0

    def build(self) -> None:
        inner = {**(self.attention or {}), "window_size": self.window_size}
        self.softmax = SoftmaxAttention(self.width, self.depth, **inner)  # type: ignore[arg-type]
        cap = self.softmax.score_cap
        require(cap is None, self.name("attention.score_cap"), "must be None in this kind", cap)
        heads = self.softmax.num_heads
        k_size = self.softmax.k_size
        self.feature_map_q = map_of(self.feature_map, k_size, heads, is_query=True)
        self.feature_map_k = map_of(self.feature_map, k_size, heads, is_query=False)
        self.offset = nn.Parameter(torch.zeros(heads))
        self.gk_proj = linear(self.width, heads, True) if self.use_gate else None
        if self.gk_proj is not None:
            nn.init.constant_(self.gk_proj.bias, OPEN)
        self.meta = nn.Parameter(torch.randn(self.meta_tokens, heads, 2 * k_size) * 0.02) if self.meta_tokens else None

    def initial(self, x: Tensor) -> State:
        layer = self.softmax
        columns = self.softmax.k_size
        memory = x.new_zeros(len(x), layer.num_heads, self.feature_map_k.features, columns + 1)
        tail = x.new_zeros(len(x), self.window_size, layer.kv_heads, 2 * columns)
        return {"memory": memory, "tail": tail, "position": torch.zeros((), dtype=torch.int64, device=x.device)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        length = x.shape[1]
        position = state["position"]
        q, k, v = self.softmax.split(x)
        attended, mass, old_k, old_v, tail = self.slide(q, k, v, state["tail"], position)
        inputs = {
            "q": self.feature_map_q(q),
            "k": repeat_heads(self.feature_map_k(old_k), self.softmax.groups),
            "v": repeat_heads(old_v, self.softmax.groups),
            "attended": attended,
            "mass": mass,
        }
        if self.gk_proj is not None:
            inputs["g"] = F.logsigmoid(self.gk_proj(x)) / self.gate_logit_normalizer
        return inputs, {"tail": tail, "position": position + length}

    @leaf
    def slide(
        self, q: Tensor, k: Tensor, v: Tensor, tail: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the window's attention, its mass, the keys and [values, 1] that leave it, and its new tokens.

        While no token leaves, keys and values are 0, and so is the 1.

        Args:
            q, k, v: [B, T, heads, K], before their positions.
            tail: [B, w, heads, 2 K], the tokens before.
        """
        length = q.shape[1]
        # The token that leaves as token t comes is t - w; both lie w places apart in `known`.
        known = torch.cat([tail, torch.cat([k, v], -1)], 1)
        attended, mass = self._see_window(q, known, position)
        old_k, old_v = known[:, :length].split(self.softmax.k_size, -1)
        has_left = (torch.arange(length, device=q.device) + position >= self.window_size).to(q.dtype)[:, None, None]
        old_v = torch.cat([old_v, has_left.expand_as(old_v[..., :1])], -1)
        return attended, mass, old_k, old_v, known[:, length:]

    def _see_window(self, q: Tensor, known: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return (softmax attention [B, T, H, K] over window and meta tokens, m [B, T, H]).

        Blocks of at most w queries see the w tokens before the block and the tokens of the block: time grows with T w.

        Args:
            q: [B, T, H, K], before its rotary positions.
            known: [B, w + T, heads, 2 K], keys and values; before position 0 there are none.
        """
        layer = self.softmax
        w = self.window_size
        length = q.shape[1]
        block = min(length, w)
        more = -length % block
        keys, values = known.split(layer.k_size, -1)
        # Rotary positions of the window are the tokens' own, from position - w on.
        keys = layer.turn(keys, position - w)
        turned = F.pad(layer.turn(q, position), (0, 0, 0, 0, 0, more)).unflatten(1, (-1, block))
        behind = (0, 0, 0, 0, 0, more)
        # [B, blocks, H, K, w + block]: each block sees itself and the window before it.
        keys = repeat_heads(F.pad(keys, behind), layer.groups).unfold(1, w + block, block)
        values = repeat_heads(F.pad(values, behind), layer.groups).unfold(1, w + block, block)
        scores = torch.einsum("bnihk,bnhkj->bnhij", turned, keys)
        i = torch.arange(block, device=q.device)[:, None]
        j = torch.arange(w + block, device=q.device)
        first = block * torch.arange(scores.shape[1], device=q.device)[:, None, None, None] + position - w
        visible = (i < j) & (j <= i + w) & (first + j >= 0)
        scores = (scores * layer.k_size**-0.5).masked_fill(~visible, -torch.inf)
        scores, meta = self._with_meta(scores, q, more)
        # m, and softmax weights e^{score - m}: the window keeps its weight in the common normaliser.
        mass = scores.logsumexp(-1)
        weights = (scores - mass[..., None]).exp()
        attended = torch.einsum("bnhij,bnhkj->bnihk", weights[..., : w + block], values)
        if meta is not None:
            attended = attended + torch.einsum("bnhim,mhk->bnihk", weights[..., w + block :], meta)
        return attended.flatten(1, 2)[:, :length], mass.mT.flatten(1, 2)[:, :length]

    def _with_meta(self, scores: Tensor, q: Tensor, more: int) -> tuple[Tensor, Tensor | None]:
        """Return the scores [B, blocks, H, block, keys], of meta tokens last, and the values of meta tokens."""
        if self.meta is None:
            return scores, None
        keys, values = self.meta.split(self.softmax.k_size, -1)
        added = torch.einsum("bthk,mhk->bthm", q, keys) * self.softmax.k_size**-0.5
        added = F.pad(added, (0, 0, 0, 0, 0, more)).unflatten(1, (-1, scores.shape[-2])).transpose(2, 3)
        return torch.cat([scores, added], -1), values

    def log_weights(self, x: Tensor) -> Tensor | None:
        """Return the weights of both parts in their common normaliser, as `Mixer.log_weights`."""
        inner = self.softmax
        w = self.window_size
        q, k, _ = inner.split(x)
        start = torch.zeros((), dtype=torch.int64, device=x.device)
        turned = repeat_heads(inner.turn(k, start), inner.groups)
        near = products(inner.turn(q, start), turned) * inner.k_size**-0.5
        # c, learnt for each head, weighs the state against the window.
        features = log_features(self.feature_map_q(q), repeat_heads(self.feature_map_k(k), inner.groups))
        far = features + self.offset[:, None, None]
        if self.gk_proj is not None:
            gates = F.logsigmoid(self.gk_proj(x)) / self.gate_logit_normalizer
            total = gates.cumsum(1).mT
            # Token j enters the state as token j + w comes, and decays from the token after on.
            entered = F.pad(total[..., w:], (0, min(w, x.shape[1])))
            far = far + total[..., None] - entered[..., None, :]
        age = ages(x)
        scores = torch.where(age < w, near, far).masked_fill(age < 0, -torch.inf)
        if self.meta is None:
            return scores.log_softmax(-1)
        keys, _ = self.meta.split(inner.k_size, -1)
        meta = torch.einsum("bihc,mhc->bhim", q, keys) * inner.k_size**-0.5
        # Meta tokens take part in the normaliser; the teacher has none.
        return torch.cat([meta, scores], -1).log_softmax(-1)[..., self.meta_tokens :]

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.softmax.finish(joined(inputs["attended"], inputs["mass"], out, self.offset), x, inputs)


@compiles(WindowLinearAttention.slide)
def _slid(
    step: Step, mixer: WindowLinearAttention, q: Tensor, k: Tensor, v: Tensor, tail: Tensor, position: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    layer = mixer.softmax
    heads = layer.kv_heads
    size = layer.k_size
    cache = layer.cache()
    # Feature maps take keys without rotary positions, which are stored beside the keys of the window.
    plain = step.state(mixer.window_size, heads * size)
    memory = step.memory(cache)
    old_k = step.value(1, heads, size)
    old_v = step.value(1, heads, size + 1)
    sizes: dict[str, Any] = {"heads": heads, "size": size, "capacity": mixer.window_size}
    # First the token that leaves is read, then `attend` puts the present one in its place.
    step.append(
        windows.take_oldest,
        Heads(heads),
        {"x": k},
        {"ring": plain, "out": old_k},
        width=heads * size,
        first=0,
        more=False,
        **sizes,
    )
    # Values lie behind the keys; one more channel is 1 where a token leaves.
    step.append(
        windows.take_oldest,
        Heads(heads),
        {"ring": memory},
        {"out": old_v},
        width=2 * heads * size,
        first=heads * size,
        more=True,
        **sizes,
    )
    learnt = None if mixer.meta is None else Learnt(mixer.meta, q)
    # The mass is the weight of the window in the common normaliser.
    mass = step.value(1, layer.num_heads)
    turned = (layer.turn(q, position), layer.turn(k, position))
    attended = step.attend(cache, *turned, v, memory=memory, learnt=learnt, mass=mass)
    return attended[:, None], mass, old_k, old_v, tail
