"""B'MOJO: one softmax over the last tokens, a state's summary of those before, and the most surprising of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ....base.errors import require
from ....base.rules import Rule
from ....kernels.decode.attention import sparse
from ....kernels.layers.picks.launch import attend_to_picks, best_so_far
from ....kernels.layers.picks.reference import PICK_NONE
from .base import Inputs, Mixer, Shared, State
from .compiled import EachToken, Heads, Step
from .mamba import Mamba2
from .modules import divide, linear, split_heads
from .nested import initial_inside, run_inside
from .rotary import build_rotary
from .softmax import CachedAttention
from .tracing import compiles, leaf

EMPTY = -1.0  # innovation of a slot without a token; a token's innovation is at least 0


@leaf
def innovation(x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """Return (mean square [B, T] of x minus the mean of the w tokens before it, the last w tokens).

    Args:
        tail: [B, w, D], the w tokens before x [B, T, D].
    """
    window = torch.cat([tail, x], 1)
    # The mean of the w tokens before each token is its prediction.
    expected = window[:, :-1].unfold(1, tail.shape[1], 1).mean(-1)
    return (x - expected).square().mean(-1).detach(), window[:, x.shape[1] :]


@compiles(innovation)
def _innovation(step: Step, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    out = step.value(1)
    width = x.shape[-1]
    step.append(sparse.innovation, EachToken(), {"x": x}, {"ring": tail, "out": out}, width=width, length=tail.shape[1])
    return out, tail


@dataclass(eq=False, repr=False, kw_only=True)
class BMojo(CachedAttention):
    """o_t = softmax of q_t over x_{t-w+1..t}, s_{t-2w+1..t-w} and eidetic tokens (Zancato et al. 2024, 2407.06324).

    s are outputs of a Mamba-2 layer (fading memory), whose keys and values come from the projections of x. `eidetic`
    tokens older than the window are remembered as they are: those whose innovation |x_t - mean of the w tokens before|
    is greatest. The source's predictor is trained; this mean is the linear one without parameters.

    Args:
        num_heads: heads; width / num_heads channels each.
        window_size: w.
        use_fading: see the outputs of the state-space layer.
        eidetic: number of eidetic tokens; 0 for none (B'MOJO-F).
        mamba: options of the state-space layer.
        rope_theta: base of the rotary positions.

    The memory is [B, eidetic + tokens, H, 4 K + 1]: key, value, key and value of s, innovation.
    """

    why_not_parallel = "its keys of earlier tokens lie in other processes"

    num_heads: Annotated[int, Rule("> 0")] = 4
    window_size: Annotated[int, Rule(">= 1 tokens")] = 64
    use_fading: bool = True
    eidetic: Annotated[int, Rule(">= 0 tokens")] = 0
    mamba: Mapping[str, object] | None = None
    rope_theta: float = 10000.0

    def build(self) -> None:
        self.kv_heads = self.num_heads
        self.groups = 1
        self.k_size = self.v_size = divide(self.width, self.num_heads, self.name("width"))
        require(self.k_size % 2 == 0, self.name("width"), "must have an even number of channels a head", self.k_size)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (linear(self.width, self.width) for _ in range(4))
        self.positions = build_rotary(self.k_size, self.rope_theta)
        options: Mapping[str, object] = self.mamba or {}
        self.fading: Mixer | None = Mamba2(self.width, self.depth, **options) if self.use_fading else None  # type: ignore[arg-type]

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), self.eidetic, self.kv_heads, 4 * self.k_size + 1)
        # Tokens before the first have no innovation: they never win a slot.
        memory[..., -1] = EMPTY
        state = super().initial(x) | {"memory": memory, "tail": x.new_zeros(len(x), self.window_size, self.width)}
        if self.fading is None:
            return state
        return state | initial_inside(self.fading, x)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        position = state["position"]
        after: State = {}
        q, k, v = (split_heads(layer(x), self.k_size) for layer in (self.q_proj, self.k_proj, self.v_proj))
        inputs = {"q": self.positions.turn(q, position), "k": self.positions.turn(k, position), "v": v}
        inputs["innovation"], tail = innovation(x, state["tail"])
        # Fading memory: the outputs s of Mamba-2 pass the same projections as x.
        if self.fading is not None:
            s, after = run_inside(self.fading, x, state, shared)
            faded_k, faded_v = (split_heads(layer(s), self.k_size) for layer in (self.k_proj, self.v_proj))
            inputs |= {"faded_k": self.positions.turn(faded_k, position), "faded_v": faded_v}
        return inputs, after | {"position": position + x.shape[1], "tail": tail}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        heads = self.kv_heads
        size = self.k_size
        w = self.window_size
        slots = self.eidetic
        rows = {name: inputs[name] for name in "qkv"}
        if self.fading is not None:
            rows |= {"state_k": inputs["faded_k"], "state_v": inputs["faded_v"]}
        out = step.value(heads, size)
        step.append(
            sparse.attend_memories,
            Heads(heads),
            rows,
            {
                # Two windows of tokens, with keys and values of x and of s, and their innovation; then the slots.
                "ring": step.state(heads, 2 * w, 4 * size + 1),
                "kept": step.state(heads, slots, 2 * size),
                "best": step.state(heads, slots, 2),
                "out": out,
            },
            whole={"innovation": inputs["innovation"]},
            heads=heads,
            size=size,
            window=w,
            slots=slots,
            weights=step.scratch(2 * w + slots),
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        w = self.window_size
        slots = self.eidetic
        device = memory.device
        absent = torch.zeros_like(inputs["v"])
        faded_k = inputs.get("faded_k", absent)
        faded_v = inputs.get("faded_v", absent)
        surprise = inputs["innovation"][..., None, None].expand(-1, -1, self.kv_heads, -1)
        rows = torch.cat([inputs["k"], inputs["v"], faded_k, faded_v, surprise], -1)
        known = torch.cat([memory, rows], 1)  # first the slots, then the window and the tokens behind it
        own, faded, surprise = known.split([2 * self.k_size, 2 * self.k_size, 1], -1)
        total = known.shape[1]
        now = torch.arange(total - inputs["q"].shape[1], total, device=device)[:, None]
        # The window of x, the token itself first; of s, the window before it; and the slots.
        recent = now - torch.arange(w, device=device)
        recent = recent.masked_fill(recent < slots, PICK_NONE)
        old = now - torch.arange(w, 2 * w, device=device)
        # Keys of s lie behind those of x.
        old = (old + total).masked_fill(old < slots, PICK_NONE)
        # Slots and tokens that leave the window compete for the slots; those that left it earlier have done so.
        then = torch.arange(total, device=device)
        competed = (then >= slots) & (then <= memory.shape[1] - 1 - w)
        scores = surprise[:, :, 0, 0].masked_fill(competed, EMPTY)
        # Token t competes from the moment on at which it leaves the window, w - 1 tokens later.
        best = best_so_far(scores, (now[:, 0] - w + 1).clamp(min=slots), slots)
        token = scores[:, None].expand(-1, len(now), -1).gather(2, best.clamp(min=0))
        best = best.masked_fill(token == EMPTY, PICK_NONE)
        picks = [recent.expand(len(known), -1, -1), best]
        if self.fading is not None:
            picks.append(old.expand(len(known), -1, -1))
        # One softmax over the keys of x and of s, the same for all heads.
        rows = torch.cat([own, faded], 1)
        out = attend_to_picks(inputs["q"], rows, torch.cat(picks, -1)[:, :, None], self.v_size)
        return self._remembered(known, best[:, -1]), out

    def _remembered(self, known: Tensor, best: Tensor) -> Tensor:
        """Return the memory: the best [B, slots] in their order, empty slots, and the tokens seen later."""
        slots = self.eidetic
        # Of the last 2 w - 1 tokens, the later w - 1 are seen as x, those before as s.
        recent = known[:, max(known.shape[1] - 2 * self.window_size + 1, slots) :]
        if not slots:
            return recent
        # In order of time, empty slots last.
        end = known.shape[1]
        order = best.masked_fill(best == PICK_NONE, end).sort(-1).values
        empty = order == end
        order = order.clamp(max=end - 1)
        surprising = known.gather(1, order[..., None, None].expand(-1, -1, *known.shape[2:]))
        surprising = surprising.masked_fill(empty[..., None, None], 0.0)
        score = surprising[..., -1:].masked_fill(empty[..., None, None], EMPTY)
        return torch.cat([torch.cat([surprising[..., :-1], score], -1), recent], 1)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out.flatten(-2))
