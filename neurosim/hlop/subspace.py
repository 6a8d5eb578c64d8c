"""The lateral circuit of Hebbian orthogonal projection: which directions a layer's inputs have used so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimMissingError, require

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise NeurosimMissingError(f"Subspace: needs torch ({error}); run: pip install 'neurosim-spiking[train]'") from None

# Changes of a weight beyond this are cut, before momentum (as published).
LARGEST_CHANGE = 10.0


@final
class Subspace(nn.Module):
    """Lateral neurons whose weights H learn the principal subspace of what they see (Xiao et al., ICLR 2024).

    A lateral neuron answers y = H x and sends back x^ = H^T y. Its weights change by a Hebbian and an anti-Hebbian
    term, dH = mean(y x^T) - mean(y y^T) H = mean(y (x - x^)^T), through a momentum m = 0.9 m + 0.1 dH, H += lr m.
    Rows of earlier tasks are frozen: they take part in x^, so that the new rows find what the old ones miss.

    `learn` computes what the frozen rows leave, x - H_old^T H_old x, once a minibatch: it is also what the projected
    gradient needs (`ProjectedLinear`), and y, x^ of the new rows are all that changes in its iterations.

    Args:
        features: width of x.
        lr: step of the lateral weights; published 0.001 for an input layer of 784, 0.01 for hidden layers.
        momentum: part of m kept at each step.
        iterations: steps a minibatch.
        spiking: whether lateral neurons answer in `levels` signed steps up to +- `scale`, as spike counts would.

    Attributes:
        old: [k, features] frozen rows.
        new: [n, features] rows that learn.
        velocity: [n, features] their momentum.

    Raises:
        NeurosimInputError: on construction, naming the argument and its rule.
    """

    def __init__(
        self,
        features: int,
        lr: float = 0.01,
        momentum: float = 0.9,
        iterations: int = 5,
        spiking: bool = False,
        scale: float = 20.0,
        levels: int = 40,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, whole in {"features": features, "iterations": iterations, "levels": levels}.items():
            require(whole >= 1, f"Subspace.{name}", "must be >= 1", whole)
        require(0 < lr < math.inf, "Subspace.lr", "must be finite and > 0", lr)
        require(0 <= momentum < 1, "Subspace.momentum", "must be >= 0 and < 1", momentum)
        require(0 < scale < math.inf, "Subspace.scale", "must be finite and > 0", scale)
        self.features, self.lr, self.momentum, self.iterations = features, lr, momentum, iterations
        self.spiking, self.scale, self.levels, self.seed = spiking, scale, levels, seed
        self.old: Tensor
        self.new: Tensor
        self.velocity: Tensor
        for name in ("old", "new", "velocity"):
            self.register_buffer(name, torch.zeros(0, features))

    @property
    def weights(self) -> Tensor:
        """[k + n, features] all rows, frozen ones first."""
        return torch.cat([self.old, self.new])

    @torch.no_grad()
    def grow(self, rows: int) -> None:
        """Append rows that learn: random, orthonormal, and orthogonal to the frozen ones.

        Raises:
            NeurosimInputError: more rows than directions are left.
        """
        here = len(self.old) + len(self.new)
        left = self.features - here
        require(0 <= rows <= left, "Subspace.grow.rows", f"must be from 0 to the {left} directions left", rows)
        # Named by how many rows there are: the same whatever else has been drawn, and after a restore.
        draws = torch.Generator().manual_seed(self.seed * 100_003 + here)
        fresh = torch.randn(rows, self.features, generator=draws, dtype=torch.float64).to(self.new.device)
        basis = torch.linalg.qr(self.weights.double().T).Q
        fresh -= fresh @ basis @ basis.T
        fresh = torch.linalg.qr(fresh.T).Q.T.to(self.new.dtype)
        self.new = torch.cat([self.new, fresh])
        self.velocity = torch.cat([self.velocity, torch.zeros_like(fresh)])

    @torch.no_grad()
    def merge(self) -> None:
        """After a task: all rows become one frozen subspace."""
        self.old, self.new, self.velocity = self.weights, self.new[:0].clone(), self.velocity[:0].clone()

    def respond(self, x: Tensor, rows: Tensor) -> Tensor:
        """[B, r] y, what lateral neurons of weights `rows` [r, features] answer to x [B, features]."""
        y = x @ rows.T
        if not self.spiking:
            return y
        step = self.scale / self.levels
        return (y / step).round_().clamp_(-self.levels, self.levels).mul_(step)

    def residual(self, x: Tensor) -> Tensor:
        """[B, features] x - H_old^T H_old x: what no earlier task has used. x itself before the first `merge`."""
        if not len(self.old):
            return x
        return torch.addmm(x, self.respond(x, self.old), self.old, alpha=-1)

    @torch.no_grad()
    def learn(self, x: Tensor, residual: Tensor | None = None) -> None:
        """`iterations` steps of the new rows on a minibatch.

        Args:
            x: [B, features] inputs of the layer, of all samples and time steps.
            residual: `self.residual(x)` where it is already known.

        Raises:
            NeurosimInputError: x is no such matrix, or empty.
        """
        good = x.ndim == 2 and x.shape[1] == self.features and len(x) > 0
        require(good, "Subspace.learn.x", f"must be [B >= 1, {self.features}]", tuple(x.shape))
        if not len(self.new):
            return
        left = self.residual(x) if residual is None else residual
        for _ in range(self.iterations):
            y = self.respond(x, self.new)
            # y (x - x^)^T, x^ being that of the old rows (in `left`) and of the new ones.
            change = torch.addmm(y.T @ left, y.T @ y, self.new, alpha=-1)
            change.div_(len(x)).clamp_(-LARGEST_CHANGE, LARGEST_CHANGE)
            self.velocity.lerp_(change, 1 - self.momentum)
            self.new.add_(self.velocity, alpha=self.lr)

    @torch.no_grad()
    def captured(self, x: Tensor) -> float:
        """Part of the power of x [B, features] that lies in the span of all rows, from 0 to 1."""
        basis = torch.linalg.qr(self.weights.double().T).Q
        power = x.double().square().sum()
        return float((x.double() @ basis).square().sum() / power) if power > 0 else 1.0

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All that was learned, for `restore`: `old`, `new`, `velocity`."""
        return {name: getattr(self, name).cpu().numpy().copy() for name in ("old", "new", "velocity")}

    def restore(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Go on from `arrays()` of a subspace of the same width.

        Raises:
            NeurosimInputError: an array is missing or of another shape.
        """
        for name in ("old", "new", "velocity"):
            require(name in arrays, "Subspace.restore", f"needs the array '{name}'", sorted(arrays))
            shape = arrays[name].shape
            require(
                len(shape) == 2 and shape[1] == self.features,
                f"Subspace.restore.{name}",
                f"must be [rows, {self.features}]",
                shape,
            )
        same = arrays["new"].shape == arrays["velocity"].shape
        require(same, "Subspace.restore.velocity", "must be shaped as new", arrays["velocity"].shape)
        for name in ("old", "new", "velocity"):
            buffer = getattr(self, name)
            setattr(self, name, torch.tensor(arrays[name], dtype=buffer.dtype, device=buffer.device))
