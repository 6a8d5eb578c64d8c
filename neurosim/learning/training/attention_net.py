"""Attention layers that read recordings bin by bin, as a network that `Trainer` trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ...base.errors import NeurosimInputError, require
from ...language.attention.events import EventInput
from ...language.attention.model import LanguageConfig, LanguageModel, MixerSpec
from .classifier import READOUTS, Classifier, LayerActivity
from .specs import AttentionSpec


@final
class AttentionNet(Classifier):
    """A stack of attention layers whose tokens are the bins of a recording; scores are its mean logits.

    Attributes:
        spec: the layers.
        model: the stack, from bins [B, T, units] to logits [B, T, classes].

    Raises:
        NeurosimInputError: a spec that breaks a rule of its kind of attention.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, spec: AttentionSpec | None = None, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__(shape, classes, dt)
        spec = spec or AttentionSpec()
        require(classes >= 2, "AttentionNet.classes", "must be at least 2", classes)
        self.spec = spec
        if spec.kind is None:
            raise NeurosimInputError("AttentionSpec.kind: must be the name of a kind of attention (got None)")
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

    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> LayerActivity:
        good = x.ndim == 3 and x.shape[-1] == self.units
        require(good, "AttentionNet", f"input must be [T, B, {self.units}]", tuple(x.shape))
        # Time first for the trainer, batch first for the language model.
        embedded = self.model.embed(x.transpose(0, 1))
        if masks:
            # One mask for all bins of a recording.
            embedded = embedded * masks[0][:, None]
        out = self.model.through(embedded)[0].transpose(0, 1)
        return LayerActivity((), out, READOUTS["mean"](out, lengths), self.model.auxiliary_loss())

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return the mask [items, width] of the embedded events: 0, or the factor that preserves the mean."""
        return dropout_masks(items, self.spec.width, self.spec.dropout, seed)

    def calibrate(self, x: Tensor) -> None:
        """Leave the weights as they are: norms set the scale of every layer."""


def dropout_masks(items: int, width: int, rate: float, seed: int) -> list[Tensor]:
    """Return one mask [items, width]: 0, or the factor that preserves the mean; none where `rate` is 0."""
    if rate == 0:
        return []
    draws = torch.rand((items, width), generator=torch.Generator().manual_seed(seed))
    return [(draws >= rate).float() / (1 - rate)]
