"""Programs of memories that are networks, trained while they are read: Titans, Moneta, Yaad and Memora."""

from __future__ import annotations

from typing import Any

import torch

from ...attention.kinds.neural_memory import Memora, Moneta, NeuralMemory, Yaad
from ...attention.kinds.titans import TitansContext, TitansGate
from ...kernels.decode import networks, vectors
from .additive import activated, convolved, gate_of, gated
from .attention import Kept, Learnt, refuse_coded_state, softmax, window
from .builder import Builder
from .memory import Buffer
from .program import Scratch, Touch


def _memory(b: Builder, mixer: NeuralMemory) -> tuple[Buffer, list[Any], Scratch]:
    """Return the memories, the first arguments of the operations on them, and the threads' own memory."""
    first = torch.stack([mixer.first, mixer.first, torch.zeros_like(mixer.first)], 1)
    heads, _, weights = first.shape
    hidden = mixer.expansion * mixer.k_size
    memory = b.state(heads, 3, weights, first=b.constant(first))
    spare = b.scratch(networks.spare_size(mixer.k_size, hidden, mixer.memory_depth, weights))
    return memory, [memory, heads, mixer.k_size, b.tokens, mixer.memory_depth, hidden, weights, mixer.span], spare


def _train(
    b: Builder, mixer: NeuralMemory, x: Buffer, qkv: list[Buffer], memory: tuple[Buffer, list[Any], Scratch]
) -> Buffer:
    """Return what the memories say of q once they have learned k and v."""
    state, first, spare = memory
    keep = b.pointwise(b.linear(mixer.alpha_proj, x), vectors.SIGMOID, times=b.constant(-1.0), then=b.constant(1.0))
    theta = b.pointwise(b.linear(mixer.theta_proj, x), vectors.SIGMOID, times=b.constant(mixer.max_step))
    momentum = activated(b, b.linear(mixer.momentum_proj, x), "sigmoid") if mixer.has_momentum else None
    delta, loss, retention, p, q = None, networks.SQUARED, networks.PLAIN, 2.0, 2.0
    if isinstance(mixer, Yaad):
        loss, delta = networks.HUBER, b.pointwise(b.linear(mixer.delta_proj, x), vectors.SOFTPLUS)
    elif isinstance(mixer, Moneta):
        loss, retention, p, q = networks.POWER, networks.NORM, float(mixer.p), float(mixer.q)
        if mixer.retention == "printed":
            retention = networks.PRINTED
    elif isinstance(mixer, Memora):
        retention = networks.COLUMNS
    out = b.buffer(mixer.heads * mixer.k_size)
    places, own = b.by_heads(mixer.heads)
    given = [*qkv, keep, theta, momentum, delta]
    touches: list[Touch] = [b.head_read(y, own, places, 1) for y in given if y is not None]
    arguments = [*first, loss, retention, p, q, *given, spare, out]
    b.emit(networks.train, arguments, places, [*touches, (state, own, True), (out, own, True)])
    return out


def _normalised(b: Builder, mixer: NeuralMemory, q: Buffer, k: Buffer) -> list[Buffer]:
    return [b.normalise(y, mixer.k_size, vectors.L2, 1e-6) for y in (q, k)]


def _read(b: Builder, mixer: NeuralMemory, x: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x, "silu")
    q, k = _normalised(b, mixer, q, k)
    q, k = b.code(q, mixer.codes.q, mixer.k_size), b.code(k, mixer.codes.k, mixer.k_size)
    memory = _memory(b, mixer)
    out = _train(b, mixer, x, [q, k, v], memory)
    b.code_state(memory[0], mixer.codes.state, memory[0].width // (3 * mixer.heads))
    return out


def neural_memory(b: Builder, mixer: NeuralMemory, x: Buffer, before: Buffer) -> Buffer:
    gate = gate_of(b, mixer, x)
    return gated(b, mixer, gate, _read(b, mixer, x), before)


def titans_gate(b: Builder, mixer: TitansGate, x: Buffer, before: Buffer) -> Buffer:
    gate, seen = gate_of(b, mixer, x), softmax(b, mixer.attention, x, None)
    return b.pointwise(gated(b, mixer, gate, _read(b, mixer, x), None), vectors.SIGMOID, times=seen, then=before)


def titans_context(b: Builder, mixer: TitansContext, x: Buffer, before: Buffer) -> Buffer:
    refuse_coded_state(mixer)
    heads, size = mixer.heads, mixer.k_size
    asked = b.normalise(activated(b, b.linear(mixer.q_proj, x), "silu"), size, vectors.L2, 1e-6)
    asked, memory, recalled = b.code(asked, mixer.codes.q, size), _memory(b, mixer), b.buffer(heads * size)
    places, own = b.by_heads(heads)
    touches: list[Touch] = [b.head_read(asked, own, places, 1), (memory[0], own, True), (recalled, own, True)]
    b.emit(networks.recall, [*memory[1], asked, memory[2], recalled], places, touches)
    rows: list[Buffer] = []
    for layer in (mixer.attend_k, mixer.attend_v):
        both = b.buffer(2 * x.width)
        for at, value in ((0, recalled), (x.width, x)):
            b.copy(b.linear(layer, value), 0, both, at, x.width)
        rows.append(both)
    # Learnt tokens are those of the model, through its own layers.
    fixed = [layer(mixer.tokens).unflatten(-1, (heads, size)) for layer in (mixer.attend_k, mixer.attend_v)]
    q = b.linear(mixer.attend_q, x)
    learnt = Learnt(b.buffer(heads), mixer.persistent, b.constant(torch.cat(fixed, -1)), q)
    kept = Kept(heads, 1, size, size, mixer.span, restarts=True, rows=2)
    y = window(b, kept, b.state(mixer.span, 2, heads * 2 * size), q, rows[0], rows[1], learnt)
    q, k, v = (activated(b, b.linear(layer, y), "silu") for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    out = b.norm(mixer.o_norm, _train(b, mixer, x, [*_normalised(b, mixer, q, k), v], memory), size)
    return b.linear(mixer.o_proj, b.pointwise(out, vectors.SIGMOID, times=y), before)
