"""The trainable layer of active dendrites, and the network of Iyer et al. 2022; needs torch (the `train` extra)."""

from __future__ import annotations

import math
from typing import final

from ...base.distribution import install
from ...base.errors import NeurosimMissingError, require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from .inputs import integer
from .layer import LEVEL, MAX_SPIKES, DendriteLayer

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise NeurosimMissingError(f"TrainableDendriteLayer: needs torch ({error}); run: {install('train')}") from None


@final
class TrainableDendriteLayer(nn.Module):
    """`DendriteLayer` with gradients: through the winners to W, b and x, and through the sigmoid to the segment j*.

    The fraction `sparsity` of the weights is zero; call `rezero` after every step of an optimiser to keep it so.
    Weights start uniform in +- 1 / sqrt(density of the inputs x density of the weights x inputs), as published;
    segments uniform in +- 1 / sqrt(context_density x contexts).

    With a `level`, winners pass on the nearest multiple of it, from 0 to `MAX_SPIKES` of them, with the gradient of
    their values: in a network of the engine the layer that `frozen` returns sends as many spikes.

    Attributes:
        weights, bias, segments: parameters, shaped as in `DendriteLayer`.
        mask: [units, inputs] bool, weights that may be other than 0.
        duty: [units] running mean of the frequency with which each unit wins in training, over about `period` samples.

    Raises:
        NeurosimInputError: on construction, naming the argument and its rule.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        contexts: int,
        segments: int,
        winners: int,
        *,
        sparsity: float = 0.5,
        boost: float = 0.0,
        period: int = 1000,
        input_density: float = 1.0,
        seed: int = 0,
        level: float = 0.0,
        context_density: float = 1.0,
    ) -> None:
        super().__init__()
        name = "TrainableDendriteLayer."
        for size, value in {"inputs": inputs, "units": units, "contexts": contexts, "segments": segments}.items():
            integer(value, name + size, 1, 2**31)
        self.winners = integer(winners, name + "winners", 1, units)
        require(0 <= sparsity < 1, name + "sparsity", "must be >= 0 and < 1", sparsity)
        require(0 <= boost < math.inf, name + "boost", "must be finite and >= 0", boost)
        require(0 < input_density <= 1, name + "input_density", "must be > 0 and <= 1", input_density)
        require(0 <= level < math.inf, name + "level", "must be >= 0", level)
        require(0 < context_density <= 1, name + "context_density", "must be > 0 and <= 1", context_density)
        self.level = float(level)
        self.boost = float(boost)
        self.period = integer(period, name + "period", 1, 2**62)
        draws = torch.Generator().manual_seed(integer(seed, name + "seed", 0, 2**63 - 1))
        fan_in = round((1 - sparsity) * inputs)
        require(fan_in > 0, name + "sparsity", f"must leave a unit one of {inputs} inputs", sparsity)
        order = torch.rand(units, inputs, generator=draws).argsort(dim=1)
        self.mask: Tensor
        self.duty: Tensor
        # Each unit sees exactly `fan_in` of the inputs: those with the smallest random ranks.
        self.register_buffer("mask", order < fan_in)
        self.register_buffer("duty", torch.zeros(units))
        # The bound of torch's linear layers, for the inputs that are active: input_density of fan_in.
        bound = 1 / math.sqrt(input_density * fan_in)
        self.weights = nn.Parameter((2 * torch.rand(units, inputs, generator=draws) - 1) * bound * self.mask)
        self.bias = nn.Parameter((2 * torch.rand(units, generator=draws) - 1) / math.sqrt(inputs))
        segments_start = 2 * torch.rand(units, segments, contexts, generator=draws) - 1
        self.segments = nn.Parameter(segments_start / math.sqrt(context_density * contexts))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return [B, units] from x [B, inputs] and contexts [B, contexts], or one [contexts] for the batch.

        In training, duty cycles follow the winners.
        """
        return self.gated(x, torch.sigmoid(self.strongest(context)))

    def gated(self, x: Tensor, gate: Tensor) -> Tensor:
        """Return [B, units] from x [B, inputs] and gates [B, units], or one [units]: sigmoids of dendritic answers."""
        values = nn.functional.linear(x, self.weights, self.bias) * gate
        if self.boost:
            # Units that won often are ranked lower; their values stay.
            ranked = values.detach() * torch.exp(-self.boost * self.duty)
        else:
            ranked = values.detach()
        # Stable, as in numpy: ties go to the lower unit.
        won = _top(ranked, self.winners)
        if self.training and self.boost:
            with torch.no_grad():
                # A running mean over about `period` samples.
                part = min(len(x) / self.period, 1.0)
                self.duty += (won.to(self.duty.dtype).mean(dim=0) - self.duty) * part
        return self.passed(values * won)

    def passed(self, values: Tensor) -> Tensor:
        """Return [B, units] that winners pass on; other values are 0."""
        if not self.level:
            return values
        # Straight-through: rounded values go on, and the gradient passes them unchanged.
        constant = values.detach()
        spikes = (constant / self.level).round().clamp(0, MAX_SPIKES)
        # The value is spikes x level; the gradient goes to `values`.
        return values + (spikes * self.level - constant)

    def strongest(self, context: Tensor) -> Tensor:
        """Return [..., units] dendritic responses of largest magnitude, with their sign."""
        responses = torch.einsum("ijc,...c->...ij", self.segments, context)
        best = responses.detach().abs().argmax(dim=-1, keepdim=True)
        return responses.gather(-1, best)[..., 0]

    @torch.no_grad()
    def work(self, x: Tensor, context: Tensor, name: str = "dendrites") -> list[LayerCounts]:
        """Return the work of x [B, inputs]: segments, which see `context` [contexts] once, then units."""
        units, segments, contexts = self.segments.shape
        flat = self.segments.reshape(units * segments, contexts)
        gates = flat @ context
        out = self(x, context)
        stored = 4 * int(self.mask.sum()) + self.bias.nbytes
        return [
            _counts(f"{name} segments", flat, x=context[None], out=gates[None], stored=flat.nbytes, spiking=False),
            _counts(name, self.weights, x, out, stored),
        ]

    @torch.no_grad()
    def rezero(self) -> None:
        """Set the weights outside the mask to 0."""
        self.weights.mul_(self.mask)

    @torch.no_grad()
    def frozen(self) -> DendriteLayer:
        """Return the same layer in numpy."""
        parameters = (self.weights, self.bias, self.segments)
        weights, bias, segments = (p.cpu().numpy().copy() for p in parameters)
        return DendriteLayer(
            weights=weights,
            bias=bias,
            segments=segments,
            winners=self.winners,
            boost=self.boost,
            level=self.level or LEVEL,
        )


def _counts(name: str, weights: Tensor, x: Tensor, out: Tensor, stored: int, *, spiking: bool = True) -> LayerCounts:
    """Return the counts of one product [B, outputs] without state, each row being a sample of one step."""
    values = weights.T, x[:, None], out[:, None], out.new_zeros(*out[:, None].shape, 0)
    arrays = (v.detach().cpu().numpy() for v in values)
    return count(name, *arrays, spiking=spiking, parameter_bytes=stored)


def _top(ranked: Tensor, winners: int) -> Tensor:
    """Return [B, units] bool: the `winners` largest of each row; ties go to the lower unit."""
    if winners == ranked.shape[1]:
        return torch.ones_like(ranked, dtype=torch.bool)
    threshold = ranked.topk(winners, dim=1).values[:, -1:]
    above = ranked > threshold
    ties = ranked == threshold
    # Of the units at the threshold, the lower ones fill the places that are left.
    return above | (ties & (ties.cumsum(dim=1) <= winners - above.sum(dim=1, keepdim=True)))


@final
class DendriteNetwork(nn.Module):
    """Two layers of active dendrites and a linear output, as for permuted MNIST in Iyer et al. 2022.

    Both layers get the same context. `inputs - units - units - classes`; `density` of the units of a layer win.
    `level`, `context_density`: see `TrainableDendriteLayer`. With `sparse_output` the fraction `sparsity` of the
    weights of the output is zero, too.

    Attributes:
        output_mask: [classes, units] bool, weights of the output that may be other than 0; None: all.
    """

    output_mask: Tensor | None

    def __init__(
        self,
        inputs: int,
        classes: int,
        contexts: int,
        segments: int,
        *,
        units: int = 2048,
        density: float = 0.05,
        sparsity: float = 0.5,
        boost: float = 0.0,
        seed: int = 0,
        level: float = 0.0,
        context_density: float = 1.0,
        sparse_output: bool = False,
    ) -> None:
        super().__init__()
        integer(units, "DendriteNetwork.units", 1, 2**31)
        integer(classes, "DendriteNetwork.classes", 1, 2**31)
        require(0 < density <= 1, "DendriteNetwork.density", "must be > 0 and <= 1", density)
        winners = max(round(density * units), 1)
        sizes = [(inputs, 1.0), (units, winners / units)]
        layers = [
            TrainableDendriteLayer(
                inputs=n,
                units=units,
                contexts=contexts,
                segments=segments,
                winners=winners,
                sparsity=sparsity,
                boost=boost,
                input_density=part,
                seed=2 * seed + i,
                level=level,
                context_density=context_density,
            )
            for i, (n, part) in enumerate(sizes)
        ]
        self.first, self.second = layers
        self.output = nn.Linear(units, classes)
        draws = torch.Generator().manual_seed(2**32 + seed)
        with torch.no_grad():
            for p in self.output.parameters():
                p.uniform_(-1, 1, generator=draws).div_(math.sqrt(winners))
        self.register_buffer("output_mask", None)
        if sparse_output:
            fan_in = round((1 - sparsity) * units)
            self.output_mask = torch.rand(classes, units, generator=draws).argsort(dim=1) < fan_in
            with torch.no_grad():
                # As many times larger as fewer weights are left, so that scores keep their variance.
                self.output.weight.mul_(math.sqrt(units / fan_in))
            self.rezero()

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return [B, classes] scores from x [B, inputs] and contexts [B, contexts] or [contexts]."""
        return self.gated(x, *self.gates(context))

    def gates(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gates [..., units] of both layers under contexts [..., contexts]."""
        first, second = (torch.sigmoid(layer.strongest(context)) for layer in (self.first, self.second))
        return first, second

    def gated(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return [B, classes] scores from x [B, inputs] and the gates of both layers, [B, units] or [units]."""
        scores: Tensor = self.output(self.second.gated(self.first.gated(x, first), second))
        return scores

    @torch.no_grad()
    def work(self, x: Tensor, context: Tensor) -> list[LayerCounts]:
        """Return the work of x [B, inputs] under one context [contexts], by layer and its segments."""
        first = self.first(x, context)
        second = self.second(first, context)
        if self.output_mask is None:
            weights = self.output.weight.numel()
        else:
            weights = int(self.output_mask.sum())
        stored = 4 * weights + self.output.bias.nbytes
        output = _counts("output", self.output.weight, x=second, out=self.output(second), stored=stored, spiking=False)
        return [*self.first.work(x, context, "first"), *self.second.work(first, context, "second"), output]

    def rezero(self) -> None:
        """Set the weights outside the masks to 0; call it after every step of the optimiser."""
        self.first.rezero()
        self.second.rezero()
        if self.output_mask is not None:
            with torch.no_grad():
                self.output.weight.mul_(self.output_mask)

    def absent(self) -> int:
        """Return the number of weights that stay 0."""
        masks = [layer.mask for layer in (self.first, self.second)]
        return sum(int((~mask).sum()) for mask in (*masks, self.output_mask) if mask is not None)
