"""The lateral circuit of Hebbian orthogonal projection, which learns the directions of a layer's inputs so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, final

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimMissingError, require
from ...base.random import torch_seed
from ...base.rules import Count, Rule, check_rules

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise NeurosimMissingError(f"Subspace: needs torch ({error}); run: {install('train')}") from None

# Bound of a weight's change before momentum (as published).
MAX_CHANGE = 10.0


@final
class Subspace(nn.Module):
    """Lateral neurons whose weights H learn the principal subspace of their input (Xiao et al., ICLR 2024).

    A lateral neuron computes y = H x and sends back x^ = H^T y. Its weights change by a Hebbian and an anti-Hebbian
    term, dH = mean(y x^T) - mean(y y^T) H = mean(y (x - x^)^T), through a momentum: m = 0.9 m + 0.1 dH,
    H += learning_rate m.
    Rows of earlier tasks are frozen. They take part in x^, so that the new rows learn the rest.

    `learn` computes the residual of the frozen rows, x - H_old^T H_old x, once a minibatch: the projected gradient
    needs it too (`ProjectedLinear`), and only y and x^ of the new rows change in its iterations.

    Args:
        features: number of entries of x.
        learning_rate: step of the lateral weights; published 0.001 for an input layer of 784, 0.01 for hidden layers.
        momentum: fraction of m that a step keeps.
        iterations: steps a minibatch.
        spiking: round y to `levels` signed steps up to +- `scale`, as spike counts would.

    Attributes:
        old: [k, features] frozen rows.
        new: [n, features] rows that learn.
        velocity: [n, features] momentum of the new rows.
        updates: numbers written into the new rows so far, by this object.

    Raises:
        NeurosimInputError: on construction, naming the argument and its rule.
    """

    features: Count
    learning_rate: Annotated[float, Rule("finite and > 0")]
    momentum: Annotated[float, Rule(">= 0 and < 1")]
    iterations: Count
    scale: Annotated[float, Rule("finite and > 0")]
    levels: Count

    def __init__(
        self,
        features: int,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        iterations: int = 5,
        spiking: bool = False,
        scale: float = 20.0,
        levels: int = 40,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.features = features
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.iterations = iterations
        self.spiking = spiking
        self.scale = scale
        self.levels = levels
        self.seed = seed
        self.updates = 0
        check_rules(self)
        self.old: Tensor
        self.new: Tensor
        self.velocity: Tensor
        for name in ("old", "new", "velocity"):
            self.register_buffer(name, torch.zeros(0, features))

    @property
    def weights(self) -> Tensor:
        """[k + n, features] of all rows, frozen ones first."""
        return torch.cat([self.old, self.new])

    @torch.no_grad()
    def grow(self, rows: int) -> None:
        """Append rows that learn: random, orthonormal, and orthogonal to the rows there are.

        Raises:
            NeurosimInputError: more rows than directions are left.
        """
        count = len(self.old) + len(self.new)
        free = self.features - count
        require(0 <= rows <= free, "Subspace.grow.rows", f"must be from 0 to the {free} directions left", rows)
        # Keyed by the number of rows: the same after a restore, independent of all other draws.
        generator = torch.Generator().manual_seed(torch_seed(self.seed * 100_003 + count))
        fresh = torch.randn(rows, self.features, generator=generator, dtype=torch.float64).to(self.new.device)
        # Take the part along the existing rows away, then make the rest orthonormal.
        basis = torch.linalg.qr(self.weights.double().T).Q
        fresh -= fresh @ basis @ basis.T
        fresh = torch.linalg.qr(fresh.T).Q.T.to(self.new.dtype)
        self.new = torch.cat([self.new, fresh])
        self.velocity = torch.cat([self.velocity, torch.zeros_like(fresh)])

    @torch.no_grad()
    def merge(self) -> None:
        """Freeze all rows, after a task."""
        self.old = self.weights
        self.new = self.new[:0].clone()
        self.velocity = self.velocity[:0].clone()

    def respond(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return y [B, r] of lateral neurons with the weights `rows` [r, features] for x [B, features]."""
        y = x @ rows.T
        if not self.spiking:
            return y
        step = self.scale / self.levels
        return (y / step).round_().clamp_(-self.levels, self.levels).mul_(step)

    def residual(self, x: Tensor) -> Tensor:
        """Return x - H_old^T H_old x [B, features]: the part of x that no earlier task has used."""
        if not len(self.old):
            return x
        return torch.addmm(x, self.respond(x, self.old), self.old, alpha=-1)

    @torch.no_grad()
    def learn(self, x: Tensor, residual: Tensor | None = None) -> None:
        """Train the new rows on a minibatch, `iterations` steps.

        Args:
            x: [B, features] inputs of the layer, of all samples and time steps.
            residual: `self.residual(x)`; None: it is computed.

        Raises:
            NeurosimInputError: x has another shape, or is empty.
        """
        good = x.ndim == 2 and x.shape[1] == self.features and len(x) > 0
        require(good, "Subspace.learn.x", f"must be [B >= 1, {self.features}]", tuple(x.shape))
        if not len(self.new):
            return
        unexplained = self.residual(x) if residual is None else residual
        for _ in range(self.iterations):
            y = self.respond(x, self.new)
            # dH = y (x - x^)^T: x^ of the old rows is subtracted already, x^ of the new rows is y y^T H.
            change = torch.addmm(y.T @ unexplained, y.T @ y, self.new, alpha=-1)
            change.div_(len(x)).clamp_(-MAX_CHANGE, MAX_CHANGE)
            # m = momentum m + (1 - momentum) dH
            self.velocity.lerp_(change, 1 - self.momentum)
            self.new.add_(self.velocity, alpha=self.learning_rate)
        self.updates += self.iterations * self.new.numel()

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the learned state, for `restore`: `old`, `new`, `velocity`."""
        return {name: getattr(self, name).cpu().numpy().copy() for name in ("old", "new", "velocity")}

    def restore(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Restore the state that `arrays()` of a subspace of the same width returned.

        Raises:
            NeurosimInputError: an array is missing or of another shape; nothing is changed then.
        """
        self.check(arrays)
        for name in ("old", "new", "velocity"):
            buffer = getattr(self, name)
            setattr(self, name, torch.tensor(arrays[name], dtype=buffer.dtype, device=buffer.device))

    def check(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Raise `NeurosimInputError` for arrays that `restore` refuses."""
        for name in ("old", "new", "velocity"):
            require(name in arrays, "Subspace.restore", f"needs the array '{name}'", sorted(arrays))
            shape = arrays[name].shape
            fits = len(shape) == 2 and shape[1] == self.features
            require(fits, f"Subspace.restore.{name}", f"must be [rows, {self.features}]", shape)
            kind = arrays[name].dtype
            require(kind.kind == "f", f"Subspace.restore.{name}", "must be floating-point numbers", kind.name)
        same = arrays["new"].shape == arrays["velocity"].shape
        require(same, "Subspace.restore.velocity", "must be shaped as new", arrays["velocity"].shape)
