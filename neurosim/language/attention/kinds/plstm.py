"""pLSTM: linear recurrences with source, transition and mark gates, along a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import NeurosimInputError, require
from ....base.rules import Rule
from ....kernels.decode.matrix_states import cpu as matrix_states
from ....kernels.decode.vectors import rotations as rotation_kernels
from . import chunks
from .base import Inputs, Shared, State
from .compiled import Groups, Heads, Step
from .linear_system import LinearSystem, decays
from .matrix_memory import decayed, read
from .modules import ShortConv, divide, linear, split_heads
from .qkv import ConvolvedMixer, GatedMixer
from .tracing import compiles, leaf

DIRECT = 4.0  # first bias of the transition gates: they keep sigmoid(4) = 0.98 of a state
SATURATED = 5.0  # tanh(5 l): near 1 for first l = 1
CLOSED = -5.0  # first biases of sources, marks and the direct weight in the source's layers of sequences and graphs


@leaf
def rotations(turns: Tensor) -> Tensor:
    """Return exp(A - A^T) of matrices A [.., J, J]."""
    return torch.matrix_exp(turns - turns.mT)


@compiles(rotations)
def _rotations(step: Step, turns: Tensor) -> Tensor:
    size = turns.shape[-1]
    out = step.value(*turns.shape[1:])
    spare = step.scratch(3 * size**2, "float64")
    step.append(rotation_kernels.rotations, Groups(size**2), {"x": turns}, {"out": out}, size=size, spare=spare)
    return out


class MatrixGates(nn.Module):
    """Transitions U diag(tanh(5 l)) V of J states, l = W x + b; U and V are rotations exp(A - A^T), A = W x + B.

    First b = 1, B = 1 and W = 0: a node passes on tanh(5) of each state. Of one state T = tanh(5 l), which may be
    negative (Poeppel et al. 2025, in their code `LongRangeTransitionLayer`).

    Args:
        width: channels of x.
        count: number of transitions.
        states: J.
    """

    def __init__(self, width: int, count: int, states: int) -> None:
        super().__init__()
        self.count = count
        self.states = states
        self.scale_proj = linear(width, count * states, bias=True)
        nn.init.ones_(self.scale_proj.bias)
        # Without rotations a single state is scaled alone.
        self.turn_proj = linear(width, 2 * count * states**2, bias=True) if states > 1 else None
        if self.turn_proj is not None:
            with torch.no_grad():
                self.turn_proj.bias.copy_(torch.eye(states).repeat(2 * count, 1, 1).flatten())
            nn.init.zeros_(self.turn_proj.weight)
        nn.init.zeros_(self.scale_proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return [.., count, J, J] of x [.., width]; the row is the state that leaves."""
        scales = (SATURATED * self.scale_proj(x)).tanh().unflatten(-1, (self.count, self.states))
        if self.turn_proj is None:
            return scales[..., None]
        turns = self.turn_proj(x).unflatten(-1, (2, self.count, self.states, self.states))
        out, into = rotations(turns).unbind(-4)
        return out * scales[..., None, :] @ into


@dataclass(eq=False, repr=False, kw_only=True)
class PLSTM(ConvolvedMixer, GatedMixer):
    """o = m S^T q + d (q . k) v, then S = t S + s k v^T (Poeppel et al. 2025, arXiv 2506.11997, on a chain).

    S is what the edge from the token before brings; source s, transition t and mark m are sigmoids of W x for each
    head, d a weight of each head. q is scaled by K^-1/2. With J `states` a head has J such S, s and m are vectors of J
    and t is a matrix that mixes them (`MatrixGates`): S_i = sum_j t_ij S_j + s_i k v^T, o = sum_j m_j S_j^T q. The
    first gates of the source's code are those of `closed=True`.

    With P `value_parts` v, and what a head puts out, are in P parts, s is [J, P], m [P, J] and d [P, P]:
    S_i = sum_j t_ij S_j + k (sum_p s_ip v_p)^T, o_p = sum_j m_pj S_j^T q + (q . k) sum_r d_pr v_r. The source's layer
    of sequences has 4 states and 4 parts (in its code J_T, J_V and J_O).

    Args:
        num_heads: heads; width / num_heads channels each.
        gate_fn: activation of the output gate; None for no gate.
        states: J; None: one state, whose transition is a sigmoid.
        value_parts: P; needs `states`.
        conv_inputs: one convolution of x, without an activation, in place of those of q, k and v. q, k, the gates and
            the path past the layer see it; v and the output gate see x. So does the source's layer of sequences, with
            4 tokens and a bias.
        passthrough: add each channel of x to y times a weight, 1 at first.
        closed: sources and marks begin at sigmoid(-5) in place of 1/2, the same for all tokens, and d is a sigmoid of a
            weight, sigmoid(-5) at first, in place of 1.

    The memory is [B, H, J K, V / P].
    """

    num_heads: int = 4
    gate_fn: str | None = "swish"
    states: Annotated[int, Rule("> 0")] | None = None
    value_parts: Annotated[int, Rule("> 0")] = 1
    conv_inputs: bool = False
    passthrough: bool = False
    closed: bool = False

    def build(self) -> None:
        self.heads = self.num_heads
        self.k_size = self.v_size = divide(self.width, self.num_heads, self.name("width"))
        self.project_qkv(self.width, self.width, self.width)
        if self.conv_inputs:
            require(self.conv_size > 0, self.name("conv_size"), "must be > 0 tokens with conv_inputs", self.conv_size)
            self.conv1d = ShortConv(self.width, self.conv_size, self.conv_bias, None)
        else:
            self.convolve()
        parts = self.value_parts
        require(parts == 1 or self.states is not None, self.name("value_parts"), "must be 1 without states", parts)
        rule = f"must divide the {self.v_size} channels of a head"
        require(self.v_size % parts == 0, self.name("value_parts"), rule, parts)
        self.transitions: MatrixGates | None = None
        if self.states is None:
            self.edge_proj = linear(self.width, 3 * self.heads, bias=True)
            nn.init.constant_(self.edge_proj.bias[self.heads : 2 * self.heads], DIRECT)
        else:
            self.edge_proj = linear(self.width, 2 * self.heads * self.states * parts, bias=True)
            self.transitions = MatrixGates(self.width, self.heads, self.states)
            self.why_not_parallel = "its states are mixed by matrices"
        # Of one part d is a number a head, of several it begins as the identity.
        direct = torch.ones(self.heads) if parts == 1 else torch.eye(parts).repeat(self.heads, 1, 1)
        self.direct = nn.Parameter(direct)
        if self.passthrough:
            self.through = nn.Parameter(torch.ones(self.width))
        if self.closed:
            self._close()
        self.output()

    @torch.no_grad()
    def _close(self) -> None:
        """Begin with sources, marks and d that are nearly closed, and gates that do not see x yet."""
        nn.init.zeros_(self.edge_proj.weight)
        nn.init.constant_(self.direct, CLOSED)
        # Source and mark are first and last; between them, without states, the transitions.
        count = self.heads * (self.states or 1) * self.value_parts
        self.edge_proj.bias[:count] = CLOSED
        self.edge_proj.bias[-count:] = CLOSED

    def initial(self, x: Tensor) -> State:
        rows = (self.states or 1) * self.k_size
        memory = x.new_zeros(len(x), self.heads, rows, self.v_size // self.value_parts)
        if self.conv_inputs:
            return {"memory": memory, "tail": self.conv1d.initial(x)}
        return super().initial(x) | {"memory": memory}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        if self.conv_inputs:
            seen, tail = self.conv1d(x, state["tail"])
            values = [self.q_proj(seen), self.k_proj(seen), self.v_proj(x)]
            tails = {"tail": tail}
        else:
            seen = x
            values, tails = self.convolved(x, state)
        q, k, v = (split_heads(value, self.k_size) for value in values)
        inputs = {"q": q * self.k_size**-0.5, "k": k, "v": v} | self._project_gates(seen)
        if self.passthrough:
            inputs["passed"] = self.through * seen
        return inputs, tails

    def _project_gates(self, x: Tensor) -> Inputs:
        """Return source and mark of each head, and its transition, or the log `g` of it."""
        if self.transitions is not None:
            source, mark = self.edge_proj(x).sigmoid().unflatten(-1, (2, self.heads, -1)).unbind(-3)
            return {"source": source, "mark": mark, "transition": self.transitions(x)}
        source, transition, mark = self.edge_proj(x).chunk(3, -1)
        return {"source": source.sigmoid(), "mark": mark.sigmoid(), "g": F.logsigmoid(transition)}

    def own(self, inputs: Inputs) -> Tensor:
        """Return d (q . k) v [.., H, V], the share of a token in its own output."""
        weight = self.direct.sigmoid() if self.closed else self.direct
        product = (inputs["q"] * inputs["k"]).sum(-1)
        if self.value_parts == 1:
            return (product * weight)[..., None] * inputs["v"]
        return ((product[..., None, None] * weight) @ self._in_parts(inputs["v"])).flatten(-2)

    def _in_parts(self, v: Tensor) -> Tensor:
        """Return values [.., H, V] as [.., H, P, V / P]."""
        return v.unflatten(-1, (self.value_parts, -1))

    def _gates(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the sources [.., H, J, P] and marks [.., H, P, J] of several states."""
        source = inputs["source"].unflatten(-1, (-1, self.value_parts))
        return source, inputs["mark"].unflatten(-1, (self.value_parts, -1))

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        if self.states is not None:
            return self._mixed(memory, inputs)
        # o = m S^T q + d (q . k) v, with S before this token
        out = inputs["mark"][..., None] * read(memory, inputs["q"]) + self.own(inputs)
        new = (inputs["source"][..., None] * inputs["k"])[..., None] * inputs["v"][..., None, :]
        # S = t S + s k v^T, t = e^g
        return decayed(memory, inputs["g"]) + new, out

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        if self.states is not None:
            return self._append_mixed(step, memory, inputs)
        # Mark and source go onto q and k: o = m S^T q, then S = t S + s k v^T.
        q = inputs["mark"][..., None] * inputs["q"]
        k = inputs["source"][..., None] * inputs["k"]
        # The share of the token itself, d (q . k) v, is of q and k without them.
        own = self.own(inputs)
        return step.bonus(memory, {"q": q, "k": k, "v": inputs["v"], "g": inputs["g"]}) + own

    def _append_mixed(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor:
        """Append `_mixed`."""
        heads = self.heads
        values = self.v_size // self.value_parts
        count = memory.shape[2] // self.k_size
        out = step.value(heads, self.v_size)
        step.append(
            matrix_states.several_states,
            Heads(heads),
            {name: inputs[name] for name in ("q", "k", "v", "source", "mark", "transition")},
            {"state": memory, "out": out},
            heads=heads,
            keys=self.k_size,
            values=values,
            mixed=count,
            parts=self.value_parts,
            change=step.scratch(count * values),
        )
        return out + self.own(inputs)

    def _mixed(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return `recur` of states that a matrix mixes."""
        seen = memory.unflatten(-2, (-1, self.k_size))
        source, mark = self._gates(inputs)
        # sum over states of m_pj S_j, then q: [B, H, P, V / P]
        marked = torch.einsum("bhpj,bhjkv->bhpkv", mark, seen)
        out = torch.einsum("bhpkv,bhk->bhpv", marked, inputs["q"]).flatten(-2) + self.own(inputs)
        written = source @ self._in_parts(inputs["v"])
        after = torch.einsum("bhij,bhjkv->bhikv", inputs["transition"], seen)
        after = after + inputs["k"][:, :, None, :, None] * written[..., None, :]
        return after.flatten(-3, -2), out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        if self.states is not None:
            source, mark = self._gates(inputs)
            parted = inputs | {"v": self._in_parts(inputs["v"]), "source": source, "mark": mark}
            after, out = _chunked_states(memory.unflatten(-2, (-1, self.k_size)), parted, self.chunk)
            return after.flatten(-3, -2), out.flatten(-2) + self.own(inputs)
        # The mark scales what is read, the source what is written: both go onto q and k.
        q = inputs["mark"][..., None] * inputs["q"]
        k = inputs["source"][..., None] * inputs["k"]
        # A token reads the state before its own update: shift the queries back by one token.
        later = torch.cat([q[:, 1:], torch.zeros_like(q[:, :1])], 1)
        after, out = chunks.additive(later, k, inputs["v"], memory, inputs["g"], self.chunk)
        out = torch.cat([read(memory, q[:, 0])[:, None], out[:, :-1]], 1)
        return after, out + self.own(inputs)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        y = super().finish(out, x, inputs)
        return y + inputs["passed"] if self.passthrough else y

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = diag(t), B = s k, u = v, with y = m C h of the token before, and d (q . k) v."""
        if self.value_parts > 1:
            raise NeurosimInputError(f"{type(self).__name__}: with value_parts a state is read by several outputs")
        q, k, v = (inputs[name] for name in "qkv")
        source = inputs["source"][..., None]
        mark = inputs["mark"][..., None]
        if self.states is None:
            transition = decays(inputs["g"], k)
            write = source * k
            read_by = mark * q
        else:
            # State j of channel k is row j K + k: Lambda is t for every channel.
            eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
            mixing = torch.einsum("bthij,kl->bthikjl", inputs["transition"], eye)
            transition = mixing.flatten(-2).flatten(-3, -2)
            write = (source * k[..., None, :]).flatten(-2)
            read_by = (mark * q[..., None, :]).flatten(-2)
        return LinearSystem(
            transition=transition,
            write=write[..., None],
            inputs=v[..., None, :],
            read=read_by,
            through=self.own(inputs),
            reads_before=True,
        )


def _chunked_states(states: Tensor, inputs: Inputs, chunk: int) -> tuple[Tensor, Tensor]:
    """Return (states [B, H, J, K, V] after the tokens, what the tokens read [B, T, H, P, V]) of states before them.

    Values are [B, T, H, P, V], sources [B, T, H, J, P] and marks [B, T, H, P, J].

    Within a chunk a token reads earlier ones by the weights m_t . T_(t-1) .. T_(n+1) s_n, which are carried on for all
    of them, and for all chunks, at once; from chunk to chunk the states are.
    """
    length = inputs["q"].shape[1]
    size = min(chunk, length)
    names = ("q", "k", "v", "source", "mark", "transition")
    # Tokens that fill up the last chunk change no state: they have no source, and their transition is put to 1 below.
    padded = (F.pad(inputs[name].movedim(1, -1), (0, -length % size)).movedim(-1, 1) for name in names)
    q, k, v, source, mark, transition = (x.unflatten(1, (-1, size)) for x in padded)
    eye = torch.eye(states.shape[2], dtype=q.dtype, device=q.device)
    is_more = torch.arange(q.shape[1] * size, device=q.device).view(1, -1, size, 1, 1, 1) >= length
    transition = torch.where(is_more, eye, transition)
    passed = eye.expand(*transition[:, :, 0].shape)  # T_(t-1) .. of the chunk's first token
    carried = source[:, :, :0]  # [B, C, tokens so far, H, J, P]
    weights = []
    leads = []
    for t in range(size):
        # [B, C, H, P, P, tokens of the chunk]
        weights.append(F.pad((mark[:, :, t, None] @ carried).movedim(2, -1), (0, size - t)))
        leads.append(mark[:, :, t] @ passed)
        step = transition[:, :, t]
        carried = torch.cat([step[:, :, None] @ carried, source[:, :, t, None]], 2)
        passed = step @ passed
    scores = torch.einsum("bcthk,bcnhk->bchtn", q, k)[:, :, :, None, None] * torch.stack(weights, -2)
    out = torch.einsum("bchprtn,bcnhrv->bcthpv", scores, v)
    added = torch.einsum("bcnhjv,bcnhk->bchjkv", carried @ v, k)
    lead = torch.stack(leads, 2)
    rest = []
    # Chunks are taken apart at once: the gradient of an index would be a tensor of all of them, for each.
    parts = (x.unbind(1) for x in (lead, q, passed, added))
    for marked, queries, through, new in zip(*parts, strict=True):
        rest.append(torch.einsum("bthpj,bthk,bhjkv->bthpv", marked, queries, states))
        states = torch.einsum("bhij,bhjkv->bhikv", through, states) + new
    return states, (out + torch.stack(rest, 1)).flatten(1, 2)[:, :length]
