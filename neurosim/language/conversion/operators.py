"""The layers of a model that a conversion codes, and what else it computes on floats."""

from __future__ import annotations

from torch import nn

from ...base.errors import NeurosimInputError
from ..attention.kinds.base import Codes, Mixer
from ..attention.model import LanguageModel
from . import spiked_mixer
from .coding import Coder
from .linear import SpikedLinear


def linear_names(model: LanguageModel, head: bool) -> list[str]:
    """Return the names of the linear layers to code, in the order of the model.

    Raises:
        NeurosimInputError: a mixer without linear layers.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for i, mixer in enumerate(model.mixers()):
        if not any(name.startswith(f"layers.{i}.mixer.") for name in names):
            raise NeurosimInputError(
                f"layers.{i}.mixer: a {type(mixer).__name__} holds no linear layer to code; it cannot be converted"
            )
    # The first layer of an embedding of events takes events, which are spikes already.
    return [name for name in names if name != "embeddings.layers.0" and (head or name != "lm_head")]


def operators(model: LanguageModel) -> tuple[tuple[str, str], ...]:
    """Return (name, description) of every operator in the model that works on floats."""
    layers = []
    spiked = "."
    for name, module in model.named_modules():
        if isinstance(module, SpikedLinear):
            spiked = f"{name}."
        elif isinstance(module, Mixer):
            layers.append((name, spiked_mixer.describe(module)))
        elif not isinstance(module, Coder | Codes) and not name.startswith(spiked) and _leaf(module):
            layers.append((name, _DESCRIPTIONS.get(type(module).__name__, type(module).__name__)))
    return tuple(layers)


_DESCRIPTIONS = {
    "Embedding": "table look-up: one row a token, nothing to add",
    "RMSNorm": "root-mean-square norm",
    "LayerNorm": "layer norm",
    "GroupNorm": "group norm",
    "ShortConv": "short convolution over tokens",
    "Linear": "linear layer on floats",
    "GatedMLP": "silu and product of the feed-forward layer",
    "MLP": "activation of the feed-forward layer",
    "Experts": "choice of experts, and their weighted sum",
    "Router": "scores of experts",
    "GatedChannelMix": "token shift and activations of the feed-forward layer",
    "ChannelMix": "token shift and activation of the feed-forward layer",
}


def _leaf(module: nn.Module) -> bool:
    """Return whether the module computes something itself: it has no parts, or parameters, or a name in the table."""
    if isinstance(module, nn.Identity):  # in the place of a norm
        return False
    has_parameters = any(True for _ in module.parameters(recurse=False)) and not isinstance(module, LanguageModel)
    has_no_parts = next(module.children(), None) is None and not isinstance(module, nn.Sequential | nn.ModuleList)
    return has_parameters or has_no_parts or type(module).__name__ in _DESCRIPTIONS
