"""Attention layers that read recordings bin by bin, as a network that `Trainer` trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ...base.errors import require
from ...language.attention.events import EventInput
from ...language.attention.model import LanguageConfig, LanguageModel, MixerSpec
from .net import READOUTS, LayerActivity
from .specs import AttentionSpec


@final
class AttentionNet(nn.Module):
    """A stack of attention layers whose tokens are the bins of a recording, and the mean of its logits over them.

    `scores = net(x, lengths)` as of `SpikingNet`: x [T, B, units] to scores [B, classes].

    Attributes:
        shape: of the input.
        classes: number of classes.
        spec: the layers.
        dt: length of a bin, s.
        model: the stack, from bins [B, T, units] to logits [B, T, classes].

    Raises:
        NeurosimInputError: a spec that breaks a rule of its kind of attention.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, spec: AttentionSpec | None = None, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__()
        spec = spec or AttentionSpec()
        require(classes >= 2, "AttentionNet.classes", "must be at least 2", classes)
        self.shape = tuple(shape)
        self.classes = classes
        self.spec = spec
        self.dt = float(dt)
        layer = MixerSpec(spec.kind, spec.options or {})
        config = LanguageConfig(
            (layer,) * spec.layers,
            vocabulary=classes,
            width=spec.width,
            mlp="gated" if spec.hidden else "none",
            hidden=spec.hidden or None,
            events=EventInput(self.shape, spec.filters, spec.kernel, spec.stride),
        )
        self.model = LanguageModel(config, seed)

    @property
    def units(self) -> int:
        """Units of the input."""
        return math.prod(self.shape)

    def forward(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> Tensor:
        return self.trace(x, lengths, masks).scores

    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> LayerActivity:
        """Return the logits of a batch and its scores; with `masks` from `dropout`, as in training.

        Raises:
            NeurosimInputError: an input with another number of units.
        """
        good = x.ndim == 3 and x.shape[-1] == self.units
        require(good, "AttentionNet", f"input must be [T, B, {self.units}]", tuple(x.shape))
        embedded = self.model.embed(x.transpose(0, 1))
        if masks:
            embedded = embedded * masks[0][:, None]
        out = self.model.through(embedded)[0].transpose(0, 1)
        return LayerActivity((), out, READOUTS["mean"](out, lengths), self.model.auxiliary_loss())

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return the mask [items, width] of the embedded events: 0, or the factor that preserves the mean."""
        rate = self.spec.dropout
        if rate == 0:
            return []
        draws = torch.rand((items, self.spec.width), generator=torch.Generator().manual_seed(seed))
        return [(draws >= rate).float() / (1 - rate)]

    def calibrate(self, x: Tensor) -> None:
        """Leave the weights as they are: norms set the scale of every layer."""
