"""A network of active dendrites during training under one context, with only the segments that it selects."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ....kernels.layers.winners.autograd import Winners
from ....memory.dendrites.torch_layer import DendriteNetwork, TrainableDendriteLayer


@final
class OneContext(nn.Module):
    """`DendriteNetwork` under one fixed context: the same answers and gradients at a fraction of the work.

    A unit's gate depends only on the segment with the strongest answer to the context. So only this segment is a
    parameter, [units, contexts] in place of [units, segments, contexts], and the optimiser moves that much less;
    segments without a gradient do not change under Adam anyway. After every step `rezero` replaces segments that
    another segment has overtaken. Gradients are computed for winners alone. A step of 256 items through
    784-2048-2048-10 takes 76 ms of one core of an EPYC, and 126 ms with gradients of whole products.

    Attributes:
        net: network that is trained, without boost.
        context: [contexts].
        chosen: by layer [units, contexts], the selected segments.
        place: by layer [units], their numbers.
        rest: by layer [units], the largest |answer| of the other segments.
    """

    def __init__(self, net: DendriteNetwork, context: Tensor) -> None:
        super().__init__()
        self.net = net
        self.context = context
        self.chosen = nn.ParameterList()
        self.place: list[Tensor] = []
        self.rest: list[Tensor] = []
        for layer in self.layers:
            answers = self._answers(layer)
            place = answers.argmax(dim=1)
            self.chosen.append(nn.Parameter(layer.segments.detach()[_each(place), place].clone()))
            self.place.append(place)
            self.rest.append(self._others(answers, place))

    @property
    def layers(self) -> tuple[TrainableDendriteLayer, TrainableDendriteLayer]:
        return self.net.first, self.net.second

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters of an optimiser: all but the segments that are not selected."""
        weights = [p for layer in self.layers for p in (layer.weights, layer.bias)]
        return [*weights, *self.net.output.parameters(), *self.chosen]

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [B, classes] of x [B, inputs]."""
        sources = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
        for layer, chosen in zip(self.layers, self.chosen, strict=True):
            gate = torch.sigmoid(chosen @ self.context)
            with torch.no_grad():
                y = nn.functional.linear(x, layer.weights, layer.bias)
                winners = (y * gate).topk(layer.winners, dim=1, sorted=False).indices
            values: Tensor = Winners.apply(x, layer.weights, layer.bias, winners, sources, y)
            x = torch.zeros_like(y).scatter(1, winners, layer.passed(values * gate[winners]))
            sources = winners
        scores: Tensor = self.net.output(x)
        return scores

    @torch.no_grad()
    def rezero(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the weights outside the masks to 0 again, and replace segments that another segment has overtaken."""
        self.net.rezero()
        for k, layer in enumerate(self.layers):
            units = torch.nonzero((self.chosen[k] @ self.context).abs() < self.rest[k])[:, 0]
            if not len(units):
                continue
            # Write the trained segments back before the strongest are selected again.
            layer.segments[units, self.place[k][units]] = self.chosen[k][units]
            answers = torch.einsum("ijc,c->ij", layer.segments[units], self.context).abs()
            place = answers.argmax(dim=1)
            self.rest[k][units] = self._others(answers, place)
            self.place[k][units] = place
            self.chosen[k][units] = layer.segments[units, place]
            # A segment that was not selected has no momentum.
            for value in optimizer.state[self.chosen[k]].values():
                if value.shape == self.chosen[k].shape:
                    value[units] = 0.0

    @torch.no_grad()
    def store(self) -> None:
        """Write the selected segments back into the network."""
        for k, layer in enumerate(self.layers):
            layer.segments[_each(self.place[k]), self.place[k]] = self.chosen[k]

    @torch.no_grad()
    def _answers(self, layer: TrainableDendriteLayer) -> Tensor:
        return torch.einsum("ijc,c->ij", layer.segments, self.context).abs()

    @staticmethod
    def _others(answers: Tensor, place: Tensor) -> Tensor:
        """Return [units] the largest answer except that at `place`; 0 if there is one segment."""
        return answers.scatter(1, place[:, None], 0.0).amax(dim=1)


def _each(place: Tensor) -> Tensor:
    """Return [units] the numbers of the units."""
    return torch.arange(len(place), device=place.device)
