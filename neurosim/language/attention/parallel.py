"""A long sequence over several processes: each has a slice of it, and every layer exchanges states once.

As in LASP-2 (Sun et al. 2025, arXiv 2502.07563): a process runs its slice from an empty state. All gather the memory
after each slice and its transition (its effect on a memory before it). Every process composes the slices before
its own into its first memory, and runs its slice again from there. The data exchanged does not grow with the
sequence: a state, its transition, and the few tokens at the border that a short convolution sees.

Softmax layers between them (LASP-2H, in the same paper) gather keys and values: of the slices before, or, with a
window, the last of these that the window reaches. Memories that tokens are routed to are composed one by one.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ...base.errors import NeurosimInputError, require
from .kinds.base import Inputs, Mixer, Shared, State
from .kinds.mixture_of_memories import MoM
from .kinds.rwkv import ChannelMix
from .model import LanguageModel, ResidualBlock


def forward_slice(model: LanguageModel, tokens: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Return logits [B, T, vocabulary] of this process's slice [B, T] of a sequence cut into equal slices, by rank.

    Every process of the group calls it with the same model. Gradients flow through the exchange: sum the gradients of
    the parameters over the group, as in data parallelism.

    Raises:
        NeurosimInputError: a layer whose state cannot be composed: names it and the reason.
    """
    for i, mixer in enumerate(model.mixers()):
        if mixer.why_not_parallel or mixer.codes.state is not None:
            reason = mixer.why_not_parallel or "its state is coded token by token"
            raise NeurosimInputError(f"layer {i} ({type(mixer).__name__}): cannot be cut over processes: {reason}")
    x = model.embed(tokens)
    shared = {}
    bounds = model.bounds()
    for i, block in enumerate(model.layers):
        if bounds is not None:
            shared["lower_bound"] = bounds[i]
        x = _block(block, x, shared, group)  # type: ignore[arg-type]
    return model.config.logits(model.lm_head(model.norm(x)))


class _Gather(torch.autograd.Function):
    """Stack the tensors of all processes; the gradient of each is the sum over the processes that read it."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group  # type: ignore[attr-defined]
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, x.contiguous(), group=group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        group: dist.ProcessGroup | None = ctx.group  # type: ignore[attr-defined]
        grad = grad.contiguous()
        dist.all_reduce(grad, group=group)
        return grad[dist.get_rank(group)], None


def _gather(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Return [processes, ..]."""
    return _Gather.apply(x, group)


def _block(block: ResidualBlock, x: Tensor, shared: Shared, group: dist.ProcessGroup | None) -> Tensor:
    """Run one block on this process's slice."""
    if block.pre_norm is not None:
        x = block.pre_norm(x)
    x = x + block.out_norm(_mix(block.mixer, block.norm(x), shared, group))
    if block.mlp is None:
        return x
    inner = block.mlp_norm(x)
    if isinstance(block.mlp, ChannelMix):
        return x + block.mlp_out_norm(block.mlp(inner, _before(inner, 1, group))[0])
    return x + block.mlp_out_norm(block.mlp(inner))


def _before(x: Tensor, count: int, group: dist.ProcessGroup | None) -> Tensor:
    """Return [B, count, D] the tokens before this slice, zeros before the first slice."""
    require(x.shape[1] >= count, "tokens", f"must be at least {count} a slice, for the convolutions", x.shape[1])
    ends = _gather(x[:, x.shape[1] - count :], group)
    rank = dist.get_rank(group)
    # Every process must use the gathered tensor, or it would not take part in the exchange of gradients.
    return ends[rank - 1] if rank else 0 * ends[0]


def _mix(mixer: Mixer, x: Tensor, shared: Shared, group: dist.ProcessGroup | None) -> Tensor:
    """Run a mixer on this slice, with the tails of its convolutions and its memory after the slices before."""
    state = mixer.initial(x)
    rank = dist.get_rank(group)
    if isinstance(mixer, MoM):
        inputs, _ = mixer.project(x, _routed_tails(mixer, state, x, shared, group), shared)
        return _run(mixer, state, x, inputs, group)
    reach = max([value.shape[1] for name, value in state.items() if name.endswith("tail")], default=0)
    if "position" in state:
        state["position"] = state["position"] + rank * x.shape[1]
    if reach:
        state = _with_tails(mixer, state, _before(x, reach, group), shared, rank)
    return _run(mixer, state, x, mixer.project(x, state, shared)[0], group)


def _run(mixer: Mixer, state: State, x: Tensor, inputs: Inputs, group: dist.ProcessGroup | None) -> Tensor:
    """Run a mixer on its inputs of this slice, from the memory after the slices before."""
    inputs = mixer.coded(inputs)
    to_keep = mixer.tokens_to_keep(inputs)
    if to_keep is None:
        memory = _composed(mixer, state["memory"], inputs, group)
    else:
        # In the first slice nothing is added, and the empty rest still takes part in the exchange of gradients.
        before = _gather(to_keep, group)[: dist.get_rank(group)].movedim(0, 1).flatten(1, 2)
        memory = mixer.visible_later(torch.cat([state["memory"], before], 1))
    _, out = mixer.chunked(memory, inputs)
    return mixer.finish(out, x, inputs)


def _routed_tails(mixer: MoM, state: State, x: Tensor, shared: Shared, group: dist.ProcessGroup | None) -> State:
    """Return the state with the tails of convolutions after the tokens routed to each memory before this slice."""
    inputs, tails = mixer.project(x, state, shared)
    if not tails:
        return state
    memories = torch.arange(mixer.count, device=x.device)
    routed = (inputs["index"].flatten(1)[:, None] == memories[:, None]).sum(-1)  # [B, memories]
    tail = torch.cat(list(tails.values()), -1)
    # Tails of all memories, and in a further channel the number of tokens that were routed to each in the slice.
    counts = routed[..., None, None].to(tail.dtype).expand(-1, -1, tail.shape[2], 1)
    both = _gather(torch.cat([tail, counts], -1), group)
    known = torch.cat([state[name] for name in tails], -1) + 0 * both[0][..., :-1]
    length = tail.shape[2]
    place = torch.arange(length, device=x.device)[:, None]
    for each in both[: dist.get_rank(group)]:
        # n tokens of that slice push n of the tail out; what remains moves to the front.
        pushed = each[..., -1:].clamp(max=length).long()
        index = torch.where(place < length - pushed, place + pushed, place + length)
        known = torch.cat([known, each[..., :-1]], 2).gather(2, index.expand_as(known))
    return state | dict(zip(tails, known.split([value.shape[-1] for value in tails.values()], -1), strict=True))


def _with_tails(mixer: Mixer, state: State, before: Tensor, shared: Shared, rank: int) -> State:
    """Return the state with the tails of convolutions after the tokens before this slice."""
    scratch = dict(shared)
    if "first_values" in scratch:
        scratch["first_values"] = scratch["first_values"][:, : before.shape[1]]
    _, after = mixer.project(before, state, scratch)
    tails = {name: value for name, value in after.items() if name.endswith("tail")}
    # 0 * value: the first slice too must use what was gathered, for the exchange of gradients.
    return state | {name: value if rank else state[name] + 0 * value for name, value in tails.items()}


def _composed(mixer: Mixer, empty: Tensor, inputs: Inputs, group: dist.ProcessGroup | None) -> Tensor:
    """Return the memory after all slices before this one, from one gather of their memories and transitions."""
    added, _ = mixer.chunked(empty, inputs)
    transition = mixer.transition(empty, inputs)
    both = _gather(torch.cat([added.flatten(1), transition.flatten(1)], 1), group)
    memory = empty + 0 * both[0][:, : added[0].numel()].view_as(added)
    # S after a slice = its transition applied to S before it + what it adds from an empty state.
    for rank in range(dist.get_rank(group)):
        slice_added, slice_transition = both[rank].split([added[0].numel(), transition[0].numel()], 1)
        memory = mixer.carried(slice_transition.view_as(transition), memory) + slice_added.view_as(added)
    return memory
