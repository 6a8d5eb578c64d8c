"""SeqBoat: a gated attention unit behind a linear recurrence, which few tokens pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup
from ....base.rules import Rule
from .base import Inputs, Mixer, Shared, State
from .compiled import Cache, Routing, Step
from .gated_attention import AVERAGES, AttentionUnit
from .modules import linear
from .nested import initial_inside, run_inside
from .rotary import build_rotary
from .windows import Blocks

POSITIONS = ("rotary", "bias", "none")
WEIGHTS = ("softmax", "relu2")
MAX_DISTANCE = 1024  # tokens: the bias of keys farther away is that of this distance


@dataclass(eq=False, repr=False, kw_only=True)
class SeqBoat(Mixer):
    """Attention for the tokens that a router activates (Ren et al. 2023, sparse modular activation, arXiv 2306.11197).

        s = silu(SSM(x)),  [u, h] = W s,  p = softmax(u / temperature),  a token is active where p_1 > p_0
        y = silu(h + p_1 unit(s) + x_0) where active, silu(h + x_0) elsewhere

    x_0 is the stream of which x is the norm; outside a stack it is x. Blocks add y - x_0 to the stream, which leaves
    y. The unit is an `AttentionUnit` over the last `slots` active tokens; its layers compute active tokens alone, so
    that a conversion counts those. As in the source's code, text takes softmax and rotary positions, other data 'relu2'
    and 'bias'. First scales of q and k are near 1, in the source near 0.

    Args:
        slots: active tokens that attention sees, the present one among them; the source's window and 1.
        key_dim, value_dim: K and V (defaults: width / 2, width).
        state_size: size of the state of the state-space layer.
        ssm: 'ema', damped averages (`MovingAverage`), or 's4d' (`DiagonalSSM`).
        positions: 'rotary', 'bias' (a number for each distance up to 1,024 tokens, added to the scores) or 'none'.
            They are the positions of the tokens in the text, not among the active ones.
        attention: 'softmax', or 'relu2': weights relu(q . k / (slots - 1) + bias)^2.

    The memory is [B, slots, K + V + 1], the last channel the position of a token plus 1, or 0 where there is none.
    """

    why_not_parallel = "its keys come from active tokens, which lie in other processes"
    holds_tokens = True

    slots: Annotated[int, Rule(">= 1 tokens")] = 256
    key_dim: int | None = None
    value_dim: int | None = None
    state_size: Annotated[int, Rule("> 0")] = 16
    ssm: str = "ema"
    positions: str = "rotary"
    attention: str = "softmax"

    def build(self) -> None:
        lookup(dict.fromkeys(POSITIONS), self.positions, self.name("positions"))
        lookup(dict.fromkeys(WEIGHTS), self.attention, self.name("attention"))
        self.k_size = self.key_dim or max(self.width // 2, 1)
        self.v_size = self.value_dim or self.width
        average = lookup(AVERAGES, self.ssm, self.name("ssm"))
        self.average = average(self.width, self.depth, self.state_size)
        self.rotary = build_rotary(self.k_size) if self.positions == "rotary" else None
        if self.positions == "bias":
            self.bias = nn.Parameter(0.02 * torch.randn(MAX_DISTANCE))
        self.hx_proj = linear(self.width, 2 + self.width, bias=True)
        # temperature = sqrt(width) at the start
        self.log_temperature = nn.Parameter(torch.tensor(0.5 * math.log(self.width)))
        self.unit = AttentionUnit(self.width, self.k_size, self.v_size)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), self.slots, self.k_size + self.v_size + 1)
        position = torch.zeros((), dtype=torch.int64, device=x.device)
        return {"memory": memory, "position": position} | initial_inside(self.average, x)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        s, after = run_inside(self.average, x, state, shared)
        s = F.silu(s)
        u, h = self.hx_proj(s).split([2, self.width], -1)
        p = (u * (-self.log_temperature).exp()).softmax(-1)
        # The choice has no gradient; p_1, which multiplies the output, trains the router.
        active = p[..., 1] > p[..., 0]
        # Only rows of active tokens pass the layers; others stay zero.
        spread = []
        for rows in self.unit(s[active], s[active]):
            zeros = x.new_zeros(*x.shape[:2], rows.shape[-1])
            spread.append(zeros.masked_scatter(active[..., None], rows))
        q, k, v, r = spread
        position = state["position"]
        q, k = (self.turned(value, position) for value in (q, k))
        place = (position + torch.arange(1, x.shape[1] + 1, device=x.device)).to(x.dtype).expand(len(x), -1)
        inputs = {"q": q, "k": k, "v": v, "r": r, "active": active, "share": p[..., 1:], "h": h, "place": place}
        return inputs | {"stream": shared.get("stream", x)}, after | {"position": position + x.shape[1]}

    def turned(self, x: Tensor, position: Tensor) -> Tensor:
        """Return q or k [B, T, K] at their positions, from `position` [] of the first token on."""
        if self.rotary is None:
            return x
        return self.rotary.turn(x[:, :, None], position)[:, :, 0]

    def weights(self, q: Tensor, keys: Tensor, place: Tensor, places: Tensor, visible: Tensor) -> Tensor:
        """Return the weights [.., Q, N] of keys [.., N, K] for queries [.., Q, K].

        Args:
            place, places: positions of queries [.., Q] and of keys [.., N].
            visible: [.., Q, N], false where a query does not see a key.
        """
        scores = q @ keys.mT
        softmax = self.attention == "softmax"
        scores = scores * (self.k_size**-0.5 if softmax else 1 / max(self.slots - 1, 1))
        if self.positions == "bias":
            distance = (place[..., :, None] - places[..., None, :]).clamp(0, MAX_DISTANCE - 1)
            scores = scores + self.bias[distance.long()]
        if softmax:
            # Without any token nothing is read: the output is multiplied by 0 behind it.
            return scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(-1)
        return F.relu(scores.masked_fill(~visible, 0.0)).square()

    def compiled_layer(self, step: Step, x: Tensor, state: State, shared: Shared) -> Tensor | None:
        s, _ = run_inside(self.average, x, state, shared)
        s = F.silu(s)
        # As `project`, but a route leaves out the tokens that are not active.
        both = self.hx_proj(s)
        scores = both[..., :2] * (-self.log_temperature).exp()
        h = both[..., 2:]
        stream = shared.get("stream", x)
        step.evaluate(s, h, stream)
        # Of two routes the second takes active tokens, p_1 > p_0, with the weight p_1.
        _, active = step.route(scores, Routing(1))
        squared = self.attention == "relu2"
        scale = 1 / max(self.slots - 1, 1) if squared else None
        cache = Cache(
            kv_heads=1, groups=1, keys=self.k_size, values=self.v_size, tokens=self.slots, scale=scale, squared=squared
        )
        bias = self.bias if self.positions == "bias" else None
        with step.only(active):
            q, k, v, r = self.unit(s, s)
            q, k = (self.turned(value, state["position"]) for value in (q, k))
            attended = step.attend(cache, q, k, v, bias=bias, by_distance=bias is not None)
            read = step.add(None, self.unit.h_proj(attended * r), active.weight)
        return self.left(h + read, stream)

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        active = inputs["active"][:, None]
        place = inputs["place"][:, None]
        token = torch.cat([inputs["k"], inputs["v"], place], -1)
        # An active token pushes the oldest out; the state of the others is unchanged.
        memory = torch.where(active[..., None], torch.cat([memory[:, 1:], token[:, None]], 1), memory)
        keys, values, places = memory.split([self.k_size, self.v_size, 1], -1)
        places = places[..., 0]
        weights = self.weights(inputs["q"][:, None], keys, place, places, (places != 0)[:, None])
        return memory, (weights @ values)[:, 0] * active

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        active = inputs["active"]
        slots = self.slots
        sizes = active.sum(1)
        max_active = int(sizes.max())
        if max_active == 0:
            return memory, torch.zeros_like(inputs["v"])
        # Active tokens first, in order of time: attention is computed for them alone.
        order = (~active).to(torch.uint8).argsort(dim=1, stable=True)[:, :max_active]
        place = inputs["place"] * active
        token = torch.cat([inputs["k"], inputs["v"], place[..., None]], -1)
        picked = token.gather(1, order[..., None].expand(-1, -1, token.shape[-1]))
        q = inputs["q"].gather(1, order[..., None].expand(-1, -1, self.k_size))
        known = torch.cat([memory, picked], 1)
        # Query i, the i-th active token, lies at slots + i: it sees itself and the slots - 1 before it.
        blocks = Blocks(slots, max_active, slots + max_active)
        seen = blocks.tokens(known[:, :, None])[:, :, 0]  # [B, blocks, tokens, K + V + 1]
        keys, values, places = seen.split([self.k_size, self.v_size, 1], -1)
        places = places[..., 0]
        queries = blocks.queries(torch.cat([q, picked[..., -1:]], -1)[:, :, None])[:, :, :, 0]
        q, place = queries.split([self.k_size, 1], -1)
        visible = blocks.visible(q.device) & (places != 0)[:, :, None]
        weights = self.weights(q, keys, place[..., 0], places, visible)
        mixed = blocks.join((weights @ values)[..., None, :])[:, :, 0]
        out = torch.zeros_like(inputs["v"]).scatter(1, order[..., None].expand(-1, -1, self.v_size), mixed)
        # The memory after it: the last `slots` tokens of each sequence, before the padding.
        last = sizes[:, None] + torch.arange(slots, device=q.device)
        return known.gather(1, last[..., None].expand(-1, -1, known.shape[-1])), out * active[..., None]

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        active = inputs["active"]
        read = torch.zeros_like(x).masked_scatter(active[..., None], self.unit.h_proj((out * inputs["r"])[active]))
        return self.left(inputs["h"] + read * inputs["share"], inputs["stream"])

    def left(self, sums: Tensor, stream: Tensor) -> Tensor:
        """Return silu(sums + stream) - stream: added to the stream by a block, it leaves the activation alone."""
        return F.silu(sums + stream) - stream
