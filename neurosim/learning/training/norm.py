"""Batch normalisation that folds into weights without a bias."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

# Weight of a batch in the running mean square.
MOMENTUM = 0.1
# Added to a mean square.
EPSILON = 1e-6


@final
class ScaleNorm(nn.Module):
    """The input of neurons over its root mean square, times a trained gain: batch normalisation (Ioffe & Szegedy 2015,
    arXiv 1502.03167) without centring.

        y = gain x / sqrt(m + epsilon), m the mean of x^2 over the steps, recordings and places of a channel

    In training m is the mean of the batch, padded steps included; else a running mean. A shift of the input would be a
    current in every step of every unit, whose silence then costs operations; without one the factor goes into the
    weights: see `SpikingNet.fold`.

    Attributes:
        gain: [channels], starts at 1.
        square: [channels], the running mean of m.
    """

    square: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_buffer("square", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return [T, B, units] of [T, B, units], the units of a channel side by side."""
        places = self._places(x)
        square = self.square
        if self.training:
            # m, over steps, recordings and places of a channel
            square = places.square().mean(dim=(0, 1, 3))
            with torch.no_grad():
                self.square.lerp_(square, MOMENTUM)
        return (places * self._factor(square)[:, None]).reshape(x.shape)

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        """Start the running mean with the mean squares of x [T, B, units]."""
        self.square.copy_(self._places(x).square().mean(dim=(0, 1, 3)))

    def factor(self) -> Tensor:
        """Return [channels] the factors of the input outside training."""
        return self._factor(self.square)

    def _places(self, x: Tensor) -> Tensor:
        """Return x as [T, B, channels, places]."""
        return x.reshape(*x.shape[:2], len(self.gain), -1)

    def _factor(self, square: Tensor) -> Tensor:
        return self.gain / torch.sqrt(square + EPSILON)
