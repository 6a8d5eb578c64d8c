"""Layers over the pixels of a recording's counts, as a network that `Trainer` trains."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import NeurosimInputError, lookup, require
from ...language.attention.kinds.lightnet import LightNet2D
from ...language.attention.kinds.plstm_2d import PLSTM2D
from .attention_net import dropout_masks
from .classifier import Classifier, LayerActivity
from .specs import AttentionSpec

# Layers over images [B, X, Y, width] by the name of their kind.
GRID_KINDS: dict[str, type[nn.Module]] = {"lightnet2d": LightNet2D, "plstm2d": PLSTM2D}


@final
class GridNet(Classifier):
    """A stack of layers over the image of a recording: the square roots of the counts of its events at each pixel.

    Convolutions with relu, then blocks x + layer(norm x), x + W2 silu(W1 norm x); scores are linear in the largest
    value of each channel over squares. The order of events counts nothing.

    Attributes:
        spec: the layers; its kind is a name of `GRID_KINDS`.

    Raises:
        NeurosimInputError: a sensor without pixels, convolutions that leave nothing of it, or an option that the kind
            does not have.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, spec: AttentionSpec, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__(shape, classes, dt)
        require(classes >= 2, "GridNet.classes", "must be at least 2", classes)
        require(len(self.shape) in (2, 3), "GridNet.shape", "must be a sensor of pixels", self.shape)
        make = lookup(GRID_KINDS, str(spec.kind), "AttentionSpec.kind")
        self.spec = spec
        # A sensor of two axes has one plane.
        self.planes, height, across = ((1,) * (3 - len(self.shape)) + self.shape)[-3:]
        for _ in spec.filters:
            height, across = ((size - spec.kernel) // spec.stride + 1 for size in (height, across))
            require(min(height, across) > 0, "AttentionSpec.kernel", "must be <= the pixels before it", spec.kernel)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = [self.planes, *spec.filters]
            self.convolutions = nn.ModuleList(
                [nn.Conv2d(a, b, spec.kernel, spec.stride) for a, b in itertools.pairwise(sizes)]
            )
            self.embed = nn.Linear(sizes[-1], spec.width)
            self.layers = nn.ModuleList([_made(make, spec) for _ in range(spec.layers)])
            self.norms = nn.ModuleList([nn.RMSNorm(spec.width, 1e-5) for _ in range(spec.layers)])
            self.feed_forward = nn.ModuleList([_feed_forward(spec) for _ in range(spec.layers)] if spec.hidden else [])
            self.last_norm = nn.RMSNorm(spec.width, 1e-5)
            self.head = nn.Linear(spec.width, classes)

    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> LayerActivity:
        good = x.ndim == 3 and x.shape[-1] == self.units
        require(good, "GridNet", f"input must be [T, B, {self.units}]", tuple(x.shape))
        # Bins behind the end of a recording are empty, so that `lengths` change nothing.
        image = x.sum(0).sqrt().unflatten(-1, ((1,) * (3 - len(self.shape)) + self.shape)[-3:])
        for convolution in self.convolutions:
            image = F.relu(convolution(image))
        squares = self.embed(image.movedim(1, -1))
        if masks:
            squares = squares * masks[0][:, None, None]
        for k, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            squares = squares + layer(norm(squares))
            if self.feed_forward:
                squares = squares + self.feed_forward[k](squares)
        scores = self.head(self.last_norm(squares).amax((1, 2)))
        return LayerActivity((), scores[None], scores)

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return the mask [items, width] of the embedded pixels: 0, or the factor that preserves the mean."""
        return dropout_masks(items, self.spec.width, self.spec.dropout, seed)

    def calibrate(self, x: Tensor) -> None:
        """Leave the weights as they are: norms set the scale of every layer."""


def _made(make: type[nn.Module], spec: AttentionSpec) -> nn.Module:
    options: dict[str, Any] = dict(spec.options or {})
    known = inspect.signature(make).parameters
    for name in options:
        lookup(known, name, f"attention.options of {spec.kind}")
    try:
        return make(spec.width, **options)
    except TypeError as error:
        raise NeurosimInputError(f"attention.options: must fit {spec.kind} ({error})") from None


def _feed_forward(spec: AttentionSpec) -> nn.Module:
    return nn.Sequential(
        nn.RMSNorm(spec.width, 1e-5), nn.Linear(spec.width, spec.hidden), nn.SiLU(), nn.Linear(spec.hidden, spec.width)
    )
