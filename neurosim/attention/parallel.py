"""A long sequence over several processes: each holds a slice of it, and every layer exchanges states once.

As in LASP-2 (Sun et al. 2025, arXiv 2502.07563): a process runs its slice from an empty state, all gather what the
slices left behind (their memory and what they do to a memory that comes before them), every process composes those
before it into the memory it starts from, and runs its slice again from there. What crosses processes does not grow
with the sequence: a state and its transition, and the few tokens at the border that a short convolution sees.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import NeurosimInputError, require
from .base import AdditiveMixer, Inputs, Mixer, Shared, State
from .model import Block, LanguageModel
from .rwkv import ChannelMix
from .spaces import DiagonalSSM


def forward_slice(model: LanguageModel, tokens: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Logits [B, T, vocabulary] of this process's slice [B, T] of a sequence cut into equal slices, in rank order.

    Every process of the group calls it with the same model; gradients flow through the exchange: sum those of the
    parameters over the group, as in data parallelism.

    Raises:
        NeurosimInputError: a layer whose state cannot be composed: names it and why.
    """
    for i, mixer in enumerate(model.mixers()):
        if mixer.alone or mixer.codes.state is not None:
            why = mixer.alone or "its state is coded token by token"
            raise NeurosimInputError(f"layer {i} ({type(mixer).__name__}): cannot be cut over processes: {why}")
    x, shared = model.embeddings(tokens), {}
    bounds = model.bounds()
    for i, block in enumerate(model.layers):
        if bounds is not None:
            shared["lower_bound"] = bounds[i]
        x = _block(block, x, shared, group)  # type: ignore[arg-type]
    return model.lm_head(model.norm(x))


class _Gather(torch.autograd.Function):
    """All processes' tensors, stacked; the gradient of each is the sum over the processes that read it."""

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
    """[processes, ..]."""
    return _Gather.apply(x, group)


def _block(block: Block, x: Tensor, shared: Shared, group: dist.ProcessGroup | None) -> Tensor:
    """One block on this process's slice."""
    x = x if block.pre_norm is None else block.pre_norm(x)
    x = x + _mix(block.mixer, block.norm(x), shared, group)
    if block.mlp is None or block.mlp_norm is None:
        return x
    inner = block.mlp_norm(x)
    if isinstance(block.mlp, ChannelMix):
        return x + block.mlp(inner, _before(inner, 1, group))[0]
    return x + block.mlp(inner)


def _before(x: Tensor, count: int, group: dist.ProcessGroup | None) -> Tensor:
    """[B, count, D] the tokens before this slice, zeros before the first."""
    require(x.shape[1] >= count, "tokens", f"must be at least {count} a slice, what convolutions see", x.shape[1])
    ends = _gather(x[:, x.shape[1] - count :], group)
    rank = dist.get_rank(group)
    # Every process must use what it gathered, or it would not take part in the exchange of gradients.
    return ends[rank - 1] if rank else 0 * ends[0]


def _mix(mixer: Mixer, x: Tensor, shared: Shared, group: dist.ProcessGroup | None) -> Tensor:
    """A mixer on this slice: tails of convolutions from the slice before, then the memory composed."""
    state, rank = mixer.initial(x), dist.get_rank(group)
    reach = max([value.shape[1] for name, value in state.items() if name.endswith("tail")], default=0)
    if "position" in state:
        state["position"] = state["position"] + rank * x.shape[1]
    if reach:
        state = _warmed(mixer, state, _before(x, reach, group), shared, rank)
    inputs, _ = mixer.project(x, state, shared)
    inputs = mixer.coded(inputs)
    start = _composed(mixer, state["memory"], inputs, group)
    _, out = mixer.chunked(start, inputs)
    return mixer.finish(out, x, inputs)


def _warmed(mixer: Mixer, state: State, before: Tensor, shared: Shared, rank: int) -> State:
    """The state with the tails of convolutions as they are behind the tokens before this slice."""
    scratch = dict(shared)
    if "first_values" in scratch:
        scratch["first_values"] = scratch["first_values"][:, : before.shape[1]]
    _, kept = mixer.project(before, state, scratch)
    tails = {name: value for name, value in kept.items() if name.endswith("tail")}
    return state | {name: value if rank else state[name] + 0 * value for name, value in tails.items()}


def _composed(mixer: Mixer, empty: Tensor, inputs: Inputs, group: dist.ProcessGroup | None) -> Tensor:
    """The memory behind all slices before this one: one gather of what each leaves and of its transition."""
    left, _ = mixer.chunked(empty, inputs)
    passed = _transition(mixer, empty, inputs)
    both = _gather(torch.cat([left.flatten(1), passed.flatten(1)], 1), group)
    memory = empty + 0 * both[0][:, : left[0].numel()].view_as(left)
    for rank in range(dist.get_rank(group)):
        add, by = both[rank].split([left[0].numel(), passed[0].numel()], 1)
        memory = _applied(mixer, by.view_as(passed), memory) + add.view_as(left)
    return memory


def _transition(mixer: Mixer, empty: Tensor, inputs: Inputs) -> Tensor:
    """What a slice does to a memory before it: decays [B, H, K or 1, 1] or [B, D, N, 2], or a matrix [B, H, K, K].

    A memory the recurrence starts from passes through linearly, so that the matrix is what an identity becomes when
    nothing is written.
    """
    if isinstance(mixer, DiagonalSSM):
        return mixer.passed(empty, inputs["u"].shape[1])
    if isinstance(mixer, AdditiveMixer):
        g = inputs.get("g")
        if g is None:
            return torch.ones_like(empty[..., :1, :1])
        total = g.sum(1).exp()
        return total[..., None] if g.dim() == 4 else total[..., None, None]
    eye = torch.eye(empty.shape[-2], dtype=empty.dtype, device=empty.device).expand(*empty.shape[:-1], -1)
    silent = inputs["v"].new_zeros(*inputs["v"].shape[:-1], empty.shape[-2])
    return mixer.chunked(eye, inputs | {"v": silent})[0]


def _applied(mixer: Mixer, by: Tensor, memory: Tensor) -> Tensor:
    if isinstance(mixer, DiagonalSSM):
        return torch.view_as_real(torch.view_as_complex(by.contiguous()) * torch.view_as_complex(memory.contiguous()))
    return by * memory if isinstance(mixer, AdditiveMixer) else by @ memory
