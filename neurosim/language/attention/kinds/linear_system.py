"""A kind as one linear system, h = Lambda h + B u, y = C h (Sieber et al. 2024, arXiv 2405.15731).

`Mixer.system` returns Lambda, B, u and C of each token of a layer; kinds differ in how they compute them. Lambda acts
on each of the V columns of a state [K, V] alike: h is one column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_TOKENS = 64  # tokens whose eigenvalues are computed where Lambda is not diagonal


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


def decays(g: Tensor | None, k: Tensor) -> Tensor:
    """Return [.., K] e^g, from g of heads or of key channels; 1 without g."""
    if g is None:
        return torch.ones_like(k)
    per_channel = g if g.dim() == k.dim() else g[..., None]
    return per_channel.exp().expand_as(k)


def reflection(k: Tensor, beta: Tensor) -> Tensor:
    """Return I - beta k k^T, [.., K, K]."""
    eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    return eye - beta[..., None, None] * k[..., None] * k[..., None, :]


def additive_system(inputs: Mapping[str, Tensor], scale: float) -> LinearSystem:
    """Return Lambda = diag(e^g), B = k, u = v, C = q."""
    q, k, v = (inputs[name] for name in "qkv")
    return LinearSystem(decays(inputs.get("g"), k), k[..., None], v[..., None, :], q * scale)


def delta_system(inputs: Mapping[str, Tensor], scale: float) -> LinearSystem:
    """Return Lambda = (I - beta k k^T) diag(e^g), B = beta k, u = v, C = q."""
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    transition = reflection(k, beta) * decays(inputs.get("g"), k)[..., None, :]
    return LinearSystem(transition, (beta[..., None] * k)[..., None], v[..., None, :], q * scale)
