"""Programs of the kinds of the delta rule."""

from __future__ import annotations

import torch

from ...attention.kinds.base import Mixer
from ...attention.kinds.comba import Comba
from ...attention.kinds.delta import KDA, DeltaNet, DeltaProduct, GatedDeltaNet, HeadedMixer
from ...kernels.decode import states, vectors
from .additive import activated, convolved, gate_of, gated, low_rank, sizes_of
from .builder import Builder
from .memory import Array, Buffer
from .program import Groups, Sizes

_QK = {
    "elu": vectors.ELU_PLUS,
    "identity": vectors.IDENTITY,
    "relu": vectors.RELU,
    "silu": vectors.SILU,
}
_NORMS = {"l2": (vectors.L2, 1e-6), "sum": (vectors.SUM, 0.0)}


def delta(
    b: Builder, mixer: Mixer, q: Buffer, k: Buffer, v: Buffer, beta: Buffer | Array, g: Buffer | None = None, *,
    kind: int, groups: Groups, sizes: Sizes, steps: int = 1,
) -> Buffer:  # fmt: skip
    """Return o [tokens, H V] of the delta rule; k and v hold `steps` rows a token."""
    heads, keys, values = sizes
    q, k = b.code(q, mixer.codes.q, keys), b.code(k, mixer.codes.k, keys)
    memory, out = b.state(heads, keys, values), b.buffer(heads * values)
    places, own = b.by_heads(heads)
    touches = [b.head_read(q, own, places, groups.q)]
    # The heads of several steps do not lie side by side.
    for x, group in ((k, groups.k), (v, 1), (beta, 1)):
        if isinstance(x, Buffer):
            touches.append(b.head_read(x, own, places, group if steps == 1 else heads + 1))
    if g is not None:
        touches.append(b.head_read(g, own, places, groups.g))
    arguments = [memory, heads, keys, values, b.tokens, q, k, v, g, beta, groups.q, groups.k, groups.g, steps, kind]
    arguments += [float(mixer.scale), b.scratch(keys), b.scratch(values), out, b.mask]
    b.emit(states.delta, arguments, places, b.masked([*touches, (memory, own, True), (out, own, True)]))
    b.code_state(memory, mixer.codes.state, values)
    return out


def log_decays(b: Builder, a: Buffer, a_log: torch.Tensor, dt_bias: torch.Tensor) -> Buffer:
    """g = -exp(A_log) softplus(a + dt_bias)."""
    return b.pointwise(a, vectors.SOFTPLUS, plus=b.constant(dt_bias), times=b.constant(-a_log.exp()))


def _beta(b: Builder, mixer: HeadedMixer | DeltaNet, raw: Buffer) -> Buffer:
    return b.pointwise(raw, vectors.SIGMOID, times=b.constant(float(mixer.beta_scale)))


def delta_net(b: Builder, mixer: DeltaNet, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x)
    v = v if mixer.conv_size else activated(b, v, "silu")
    if mixer.b_proj is None:
        beta: Buffer | Array = b.constant(torch.full((b.tokens * mixer.heads,), float(mixer.beta_scale)))
    else:
        beta = _beta(b, mixer, b.linear(mixer.b_proj, x))
    kind, eps = _NORMS[mixer.qk_norm]
    q, k = (b.normalise(b.pointwise(y, _QK[mixer.qk_activation]), mixer.k_size, kind, eps) for y in (q, k))
    gate = gate_of(b, mixer, x)
    out = delta(b, mixer, q, k, v, beta, kind=states.NO_DECAY, groups=Groups(), sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def _headed(b: Builder, mixer: HeadedMixer, x: Buffer) -> tuple[Buffer, Buffer, Buffer, Buffer]:
    """Return q, k, v and beta."""
    q, k, v = convolved(b, mixer, x, "silu")
    beta = _beta(b, mixer, b.linear(mixer.b_proj, x))
    q, k = (b.normalise(y, mixer.k_size, vectors.L2, 1e-6) for y in (q, k))
    return q, k, v, beta


def gated_delta_net(b: Builder, mixer: GatedDeltaNet, x: Buffer, before: Buffer) -> Buffer:
    q, k, v, beta = _headed(b, mixer, x)
    g = log_decays(b, b.linear(mixer.a_proj, x), mixer.A_log, mixer.dt_bias)
    gate = gate_of(b, mixer, x)
    groups = Groups(q=mixer.groups, k=mixer.groups)
    out = delta(b, mixer, q, k, v, beta, g, kind=states.HEAD_DECAY, groups=groups, sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def delta_product(b: Builder, mixer: DeltaProduct, x: Buffer, before: Buffer) -> Buffer:
    q, k, v, beta = _headed(b, mixer, x)
    g, kind = None, states.NO_DECAY
    if mixer.a_proj is not None:
        g, kind = log_decays(b, b.linear(mixer.a_proj, x), mixer.A_log, mixer.dt_bias), states.HEAD_DECAY
    gate = gate_of(b, mixer, x)
    groups, steps = Groups(q=mixer.groups, k=mixer.groups), mixer.num_householder
    out = delta(b, mixer, q, k, v, beta, g, kind=kind, groups=groups, steps=steps, sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def kda(b: Builder, mixer: KDA, x: Buffer, before: Buffer) -> Buffer:
    q, k, v, beta = _headed(b, mixer, x)
    raw = low_rank(b, mixer.f_proj, x)
    rate = mixer.A_log.repeat_interleave(mixer.k_size)
    if mixer.lower_bound is None:
        g = log_decays(b, raw, rate, mixer.dt_bias)
    else:
        inner = b.pointwise(b.pointwise(raw, plus=b.constant(mixer.dt_bias)), times=b.constant(rate.exp()))
        g = b.pointwise(inner, vectors.SIGMOID, times=b.constant(mixer.lower_bound))
    gate = low_rank(b, mixer.g_proj, x)
    groups = Groups(q=mixer.groups, k=mixer.groups)
    out = delta(b, mixer, q, k, v, beta, g, kind=states.KEY_DECAY, groups=groups, sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def _repeated(b: Builder, x: Buffer, size: int, times: int) -> Buffer:
    """Return copies of each head of x, beside each other."""
    if times == 1:
        return x
    heads, out = x.viewed(size), b.buffer(size, x.rows * x.width // size * times)
    b.copy(heads, 0, out, 0, size)
    return out.viewed(x.width * times)


def comba(b: Builder, mixer: Comba, x: Buffer, before: Buffer) -> Buffer:
    """S = e^g S + beta k (v - S^T p)^T, S^T p before the decay."""
    q, k, v = convolved(b, mixer, x, "silu")
    heads, size, values = sizes_of(mixer)
    share = mixer.decay.sigmoid() if mixer.use_inner_decay else torch.ones(mixer.num_heads)
    if mixer.use_output_correction:
        q = b.pointwise(k, times=b.constant((-mixer.D * share).repeat_interleave(size)), then=q)
    each = b.constant(share.repeat_interleave(size))
    q, own = (b.normalise(y, size, vectors.L2, 1e-6) for y in (q, k))
    if mixer.normalise_feedback:
        p = b.normalise(b.pointwise(k, times=each), size, vectors.L2, 1e-6)
    else:
        p = b.pointwise(own, times=each)
    q, own, p = (_repeated(b, y, size, mixer.groups) for y in (q, own, p))
    q, own = b.code(q, mixer.codes.q, size), b.code(own, mixer.codes.k, size)
    q = b.pointwise(q, times=b.constant(float(mixer.scale)))
    beta = _beta(b, mixer, b.linear(mixer.b_proj, x))
    written = b.pointwise(own.viewed(size), times=beta.viewed(1)).viewed(own.width)
    removed = b.pointwise(written, times=b.constant(-1.0))
    g = log_decays(b, b.linear(mixer.a_proj, x), mixer.A_log, mixer.dt_bias)
    gate, memory, out = gate_of(b, mixer, x), b.state(heads, size, values), b.buffer(heads * values)
    places, dealt = b.by_heads(heads)
    inputs = (q, written, v, g, p, removed)
    arguments = [memory, heads, size, values, b.tokens, *inputs, b.scratch(size), b.scratch(values), out]
    reads = [b.head_read(y, dealt, places, 1) for y in inputs]
    touches = [*reads, (memory, dealt, True), (out, dealt, True)]
    b.emit(states.rank_one, [*arguments, states.HEAD_DECAY], places, touches)
    b.code_state(memory, mixer.codes.state, values)
    return gated(b, mixer, gate, out, before)
