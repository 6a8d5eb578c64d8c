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

from ...base.errors import NeurosimInputError
from .kinds.base import Inputs, Mixer, Shared
from .kinds.slices import Slices
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
    slices = Slices(dist.get_rank(group), lambda x: _Gather.apply(x, group))
    x = model.embed(tokens)
    shared = {}
    bounds = model.bounds()
    for i, block in enumerate(model.layers):
        if bounds is not None:
            shared["lower_bound"] = bounds[i]
        x = _block(block, x, shared, slices)  # type: ignore[arg-type]
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


def _block(block: ResidualBlock, x: Tensor, shared: Shared, slices: Slices) -> Tensor:
    """Run one block on this process's slice."""
    if block.pre_norm is not None:
        x = block.pre_norm(x)
    mixed = _mix(block.mixer, block.norm(x), shared, slices)
    out, _ = block.feed(x, mixed, lambda inner: slices.before(inner, 1))
    return out


def _mix(mixer: Mixer, x: Tensor, shared: Shared, slices: Slices) -> Tensor:
    """Run a mixer on this slice, with the tails of its convolutions and its memory after the slices before."""
    state = mixer.state_before(x, shared, slices)
    inputs = mixer.coded(mixer.project(x, state, shared)[0])
    to_keep = mixer.tokens_to_keep(inputs)
    if to_keep is None:
        memory = _composed(mixer, state["memory"], inputs, slices)
    else:
        # In the first slice nothing is added, and the empty rest still takes part in the exchange of gradients.
        memory = mixer.visible_later(torch.cat([state["memory"], slices.earlier(to_keep)], 1))
    _, out = mixer.chunked(memory, inputs)
    return mixer.finish(out, x, inputs)


def _composed(mixer: Mixer, empty: Tensor, inputs: Inputs, slices: Slices) -> Tensor:
    """Return the memory after all slices before this one, from one gather of their memories and transitions."""
    added, _ = mixer.chunked(empty, inputs)
    transition = mixer.transition(empty, inputs)
    both = slices.gather(torch.cat([added.flatten(1), transition.flatten(1)], 1))
    memory = empty + 0 * both[0][:, : added[0].numel()].view_as(added)
    # S after a slice = its transition applied to S before it + what it adds from an empty state.
    for each in both[: slices.rank]:
        slice_added, slice_transition = each.split([added[0].numel(), transition[0].numel()], 1)
        memory = mixer.carried(slice_transition.view_as(transition), memory) + slice_added.view_as(added)
    return memory
