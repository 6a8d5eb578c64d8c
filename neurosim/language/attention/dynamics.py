"""Every kind as one linear system, h = Lambda h + B u, y = C h (Sieber et al. 2024, arXiv 2405.15731).

`system_of` returns Lambda, B, u and C of each token of a layer; kinds differ in how they compute them. Lambda acts on
each of the V columns of a state [K, V] alike: h is one column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...base.errors import NeurosimInputError, require
from .kinds.base import AdditiveMixer, DeltaMixer, Inputs, Mixer
from .kinds.comba import Comba
from .kinds.delta import DeltaProduct
from .kinds.hippo import HippoSSM
from .kinds.mixture_of_memories import RoutedMixer
from .kinds.plstm import PLSTM
from .kinds.rwkv import RWKV7
from .kinds.rwkv6 import RWKV5
from .kinds.slots import GatedSlotAttention
from .kinds.sparse_expansion import SSE
from .kinds.state_space import AlmostLinearRNN, DiagonalMixer

MAX_TOKENS = 64  # tokens whose eigenvalues are computed where Lambda is not diagonal
UNIT = 1e-6  # eigenvalues of modulus above 1 - UNIT do not decay


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """The tokens of a layer; `..` stands for its heads, or memories and heads.

    Attributes:
        transition: Lambda, [B, T, .., K] diagonals or [B, T, .., K, K].
        write: B, [B, T, .., K, R].
        inputs: u, [B, T, .., R, V].
        read: C, [B, T, .., K]; None reads the whole state.
        through: [B, T, H, V], added to the outputs; None for nothing.
        reads_before: the state is read before its token, not after.
        summed: outputs are summed over memories.
    """

    transition: Tensor
    write: Tensor
    inputs: Tensor
    read: Tensor | None
    through: Tensor | None = None
    reads_before: bool = False
    summed: bool = False

    @property
    def is_diagonal(self) -> bool:
        """Return whether Lambda is diagonal."""
        return self.transition.dim() == self.write.dim() - 1

    def run(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return (the state after the tokens, outputs [B, T, .., V]) from the state [B, .., K, V] before them."""
        outputs = []
        for t in range(self.write.shape[1]):
            before = state
            transition = self.transition[:, t]
            if self.is_diagonal:
                state = transition[..., None] * state
            else:
                state = transition @ state
            state = state + self.write[:, t] @ self.inputs[:, t]
            # Kinds with a bonus read the state before the token, which `through` adds (RWKV).
            source = before if self.reads_before else state
            if self.read is None:
                outputs.append(source)
            else:
                outputs.append((self.read[:, t][..., None, :] @ source)[..., 0, :])
        out = torch.stack(outputs, 1)
        if self.summed:
            out = out.sum(2)
        if self.through is not None:
            out = out + self.through
        return state, out

    def eigenvalues(self) -> Tensor:
        """Return [.., K] eigenvalues of Lambda of all tokens, or of at most `MAX_TOKENS`, evenly spread."""
        if self.is_diagonal:
            return self.transition
        tokens = self.transition.flatten(0, 1)
        positions = torch.linspace(0, len(tokens) - 1, min(len(tokens), MAX_TOKENS)).long()
        return torch.linalg.eigvals(tokens[positions.to(tokens.device)])


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Eigenvalues of a layer.

    Attributes:
        lowest, median, highest: their modulus.
        negative: share with a negative real part.
        horizon, longest: 1 / (1 - modulus), tokens, of the median and of the highest; None where nothing is lost.
    """

    lowest: float
    median: float
    highest: float
    negative: float
    horizon: float | None
    longest: float | None

    @staticmethod
    def of(system: LinearSystem) -> Spectrum:
        """Return the spectrum of a system."""
        values = system.eigenvalues().detach()
        sizes = values.abs().flatten()
        lowest, median, highest = (float(size) for size in (sizes.min(), sizes.median(), sizes.max()))
        negative = float((values.real < -UNIT).double().mean())
        return Spectrum(
            lowest=lowest,
            median=median,
            highest=highest,
            negative=negative,
            horizon=_horizon(median),
            longest=_horizon(highest),
        )


def _horizon(modulus: float) -> float | None:
    """Return the tokens over which a state of this modulus is remembered: sum of modulus^t; None without end."""
    if modulus > 1 - UNIT:
        return None
    return 1 / (1 - modulus)


def system_of(mixer: Mixer, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return the system of a layer over the tokens of `inputs`, which `mixer.project` returned.

    Args:
        memory: before the tokens; the almost-linear network alone needs it, for its signs.

    Raises:
        NeurosimInputError: the kind has no state of fixed size that tokens change linearly; says why.
    """
    for kind, build in SYSTEMS.items():
        if isinstance(mixer, kind):
            return build(mixer, inputs, memory)
    raise NeurosimInputError(
        f"{type(mixer).__name__}: its memory is no state of fixed size that tokens change linearly"
    )


def _decays(g: Tensor | None, k: Tensor) -> Tensor:
    """Return [.., K] e^g, from g of heads or of key channels."""
    if g is None:
        return torch.ones_like(k)
    per_channel = g if g.dim() == k.dim() else g[..., None]
    return per_channel.exp().expand_as(k)


def _additive(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = diag(e^g), B = k, u = v, C = q."""
    q, k, v = (inputs[name] for name in "qkv")
    return LinearSystem(_decays(inputs.get("g"), k), k[..., None], v[..., None, :], q * mixer.scale)


def _reads_before(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return the system of `_additive`, but with y = C h of the token before, and (q . u k) v."""
    q, k, v = (inputs[name] for name in "qkv")
    bonus = (q * mixer.u * k).sum(-1, keepdim=True) * v
    return LinearSystem(
        transition=_decays(inputs["g"], k),
        write=k[..., None],
        inputs=v[..., None, :],
        read=q,
        through=bonus,
        reads_before=True,
    )


def _chain(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return the system of `_reads_before`, with gates at writing and reading, and d (q . k) v."""
    q, k, v = (inputs[name] for name in "qkv")
    if mixer.states is not None:
        # State j of channel k is row j K + k: Lambda is T for every channel.
        write = (inputs["source"][..., None] * k[..., None, :]).flatten(-2)
        read = (inputs["mark"][..., None] * q[..., None, :]).flatten(-2)
        eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        mixing = torch.einsum("bthij,kl->bthikjl", inputs["transition"], eye).flatten(-2).flatten(-3, -2)
        return LinearSystem(
            transition=mixing,
            write=write[..., None],
            inputs=v[..., None, :],
            read=read,
            through=mixer.own(inputs),
            reads_before=True,
        )
    write = inputs["source"][..., None] * k
    read = inputs["mark"][..., None] * q
    return LinearSystem(
        transition=_decays(inputs["g"], k),
        write=write[..., None],
        inputs=v[..., None, :],
        read=read,
        through=mixer.own(inputs),
        reads_before=True,
    )


def _reflection(k: Tensor, beta: Tensor) -> Tensor:
    """Return I - beta k k^T, [.., K, K]."""
    eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    return eye - beta[..., None, None] * k[..., None] * k[..., None, :]


def _delta(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = (I - beta k k^T) diag(e^g), B = beta k, u = v, C = q."""
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    transition = _reflection(k, beta) * _decays(inputs.get("g"), k)[..., None, :]
    return LinearSystem(transition, (beta[..., None] * k)[..., None], v[..., None, :], q * mixer.scale)


def _closed_loop(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = e^g I - beta k p^T, B = beta k, u = v, C = q."""
    q, k, v, beta, p = (inputs[name] for name in ("q", "k", "v", "beta", "p"))
    write = beta[..., None] * k
    transition = torch.diag_embed(_decays(inputs["g"], k)) - write[..., None] * p[..., None, :]
    return LinearSystem(transition, write[..., None], v[..., None, :], q * mixer.scale)


def _slots(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = diag(e^g), B = s, u = (k, v); the whole state is read, through a softmax over its rows."""
    new = torch.cat([inputs["k"], inputs["v"]], -1)
    return LinearSystem(inputs["g"].exp(), inputs["s"][..., None], new[..., None, :], None)


def _delta_product(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda, the product of the n steps of a token, and B, of columns beta k, each through the later steps."""
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    after = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device).expand(*q.shape, -1)
    columns = []
    for i in reversed(range(k.shape[2])):
        # From the last step back: `after` is the product of the steps behind the present one.
        columns.append((after @ (beta[:, :, i, :, None] * k[:, :, i])[..., None])[..., 0])
        after = after @ _reflection(k[:, :, i], beta[:, :, i])
    transition = after * _decays(inputs.get("g"), q)[..., None, :]
    write = torch.stack(columns[::-1], -1)
    return LinearSystem(transition, write, v.movedim(2, -2), q * mixer.scale)


def _rank_one(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = diag(e^g) + b a^T, B = k, u = v, C = q."""
    q, k, v, a, b = (inputs[name] for name in "qkvab")
    transition = torch.diag_embed(_decays(inputs["g"], k)) + b[..., None] * a[..., None, :]
    return LinearSystem(transition, k[..., None], v[..., None, :], q)


def _routed(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return the system of each memory that a token is routed to; the others neither change nor are read."""
    system = _additive(mixer, inputs, memory) if isinstance(mixer, SSE) else _delta(mixer, inputs, memory)
    read = inputs["q"] * mixer.scale
    if "weight" in inputs:
        read = read * inputs["weight"][..., None, None]
    batch, time, _, heads, size = read.shape
    index = inputs["index"]
    # A memory that the token does not use keeps its state: Lambda = I, and B = C = 0.
    identity = torch.ones if system.is_diagonal else torch.eye

    def spread(value: Tensor, empty: Tensor) -> Tensor:
        """Return values of the R memories of a token as [B, T, M, ..], `empty` in the others."""
        b, t = (torch.arange(n, device=index.device) for n in (batch, time))
        target = empty.expand(batch, time, mixer.count, heads, *value.shape[4:]).clone()
        return target.index_put((b[:, None, None], t[:, None], index), value)

    zero = read.new_zeros(())
    return LinearSystem(
        spread(system.transition, identity(size, dtype=read.dtype, device=read.device)),
        spread(system.write, zero),
        spread(system.inputs, zero),
        spread(read, zero),
        summed=True,
    )


def _diagonal(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = diag(A', conj A'), B = (B', conj B'), u of each channel, C = (C, conj C), through D u."""
    u = inputs["u"]
    a, b = mixer.discrete()
    both = [torch.cat([x, x.conj()], -1) for x in (a, b, torch.view_as_complex(mixer.C))]
    transition, write, read = (x.expand(*u.shape, -1) for x in both)
    return LinearSystem(
        transition=transition,
        write=write[..., None],
        inputs=u[..., None, None].to(a.dtype),
        read=read,
        through=(mixer.D * u)[..., None],
    )


def _dense(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = A', B = B', u of each channel, C = C, through D u."""
    u = inputs["u"]
    require(mixer.outputs == 1, "system_of", "needs one output of a channel", mixer.outputs)
    a, b = mixer.discrete()
    transition = a.expand(*u.shape, *a.shape[1:])
    write = b.expand(*u.shape, -1)[..., None]
    return LinearSystem(
        transition=transition,
        write=write,
        inputs=u[..., None, None],
        read=mixer.C.expand_as(write[..., 0]),
        through=(mixer.D * u)[..., None],
    )


def _almost_linear(mixer: Any, inputs: Inputs, memory: Tensor) -> LinearSystem:
    """Return Lambda = A + W diag(1, signs of the state before), B = I, of one head and column; all of h is read."""
    u = inputs["u"]
    first = mixer.units - mixer.rectified
    _, states = mixer.chunked(memory, inputs)
    before = torch.cat([memory[:, None], states[:, :-1]], 1)
    # relu(z) = (z > 0) z: for the signs of the state before, the step is linear.
    active = torch.cat([torch.ones_like(before[..., :first]), (before[..., first:] > 0).to(u.dtype)], -1)
    transition = torch.diag(mixer.A) + mixer.W * active[..., None, :]
    eye = torch.eye(mixer.units, dtype=u.dtype, device=u.device).expand(*u.shape, -1)
    return LinearSystem(transition[:, :, None], eye[:, :, None], u[:, :, None, :, None], None)


# By the class of a mixer, the first that fits.
SYSTEMS: Mapping[type, Callable[[Any, Inputs, Tensor], LinearSystem]] = {
    RWKV5: _reads_before,
    PLSTM: _chain,
    Comba: _closed_loop,
    GatedSlotAttention: _slots,
    AdditiveMixer: _additive,
    DeltaMixer: _delta,
    DeltaProduct: _delta_product,
    RWKV7: _rank_one,
    RoutedMixer: _routed,
    DiagonalMixer: _diagonal,
    HippoSSM: _dense,
    AlmostLinearRNN: _almost_linear,
}
