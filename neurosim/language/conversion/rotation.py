"""Rotation of the residual stream to its principal axes, so that few channels carry most of it.

A rotation of the input of a root-mean-square norm does not change its length. The residual stream can therefore be
rotated without changing the model: the embedding and every layer that writes to the stream are rotated, every layer
that reads it is rotated back, and the weights of the norms move into the readers (Ashkboos et al. 2024, SliceGPT, arXiv
2401.15024, section 3). Along principal axes many channels hardly vary, and such a channel sends no spikes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from ..attention.model import LanguageModel, ResidualBlock
from .gradients import collect_gradients

TOLERANCE = 1e-3  # of logits, relative to the largest: another order of sums changes less


@dataclass
class _Stream:
    """Readers of the residual stream, by norm, and layers that write to it."""

    readers: dict[nn.RMSNorm, list[nn.Linear]] = field(default_factory=dict)
    writers: list[nn.Linear] = field(default_factory=list)


def rotate_to_principal_axes(model: LanguageModel, windows: Tensor, seed: int = 0) -> tuple[LanguageModel, str]:
    """Return (an equal model along principal axes, "") or (the model itself, why it cannot be rotated).

    The axes come from the inputs of the readers, each weighted by the gradient of the loss by its input.

    Args:
        windows: [B, T + 1] tokens.
        seed: key of the labels, see `collect_gradients`.
    """
    config = model.config
    if config.norm != "rms" or config.first_norm:
        return model, "its norms see more than the length of the residual stream"
    if config.norms != "before":
        return model, "norms write to the residual stream"
    if not isinstance(model.embeddings, nn.Embedding):
        return model, "its tokens are events"
    # Tied embeddings are read and written by different layers: the copy has a head of its own.
    turned = LanguageModel(replace(config, tied=False)).to(model.device).eval()
    # Weights of 16 bits or in blocks are widened: they are turned in place.
    turned.load_state_dict({name: value.float() for name, value in model.state_dict().items()})
    windows = windows.to(model.device)
    stream = _trace(turned, windows[:1, :-1])
    if isinstance(stream, str):
        return model, stream
    axes = _axes(turned, stream, windows, seed)
    _turn(turned, stream, axes)
    with torch.no_grad():
        # The rotation is exact for the layers that are known here: the logits show whether there are others.
        before = model(windows[:2, :-1])[0]
        after = turned(windows[:2, :-1])[0]
    if float((before - after).abs().max()) > TOLERANCE * float(before.abs().max()):
        return model, "the residual stream is read by more than norms and linear layers"
    return turned, ""


@torch.no_grad()
def _trace(model: LanguageModel, tokens: Tensor) -> _Stream | str:
    """Return the linear layers that read the output of each norm, and those that write to the residual stream.

    A string says why they are not all of the readers and writers.
    """
    norm_of: dict[int, nn.RMSNorm] = {}  # by the id of its output
    linear_of: dict[int, nn.Linear] = {}
    alive: list[Tensor] = []  # an id is not used again while its tensor lives
    stream = _Stream()

    def normed(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor) -> None:
        norm_of[id(out)] = cast(nn.RMSNorm, module)
        alive.append(out)

    def multiplied(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor) -> None:
        if id(arguments[0]) in norm_of:
            stream.readers.setdefault(norm_of[id(arguments[0])], []).append(cast(nn.Linear, module))
        linear_of[id(out)] = cast(nn.Linear, module)
        alive.append(out)

    def wrote(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor | tuple[Tensor, ...]) -> None:
        value = out[0] if isinstance(out, tuple) else out
        maker = linear_of.get(id(value))
        if maker is not None:
            stream.writers.append(maker)

    blocks = [cast(ResidualBlock, block) for block in model.layers]
    norms = [n for b in blocks for n in (b.norm, b.mlp_norm) if isinstance(n, nn.RMSNorm)] + [model.norm]
    parts = [p for b in blocks for p in (b.mixer, b.mlp) if p is not None]
    hooks = [norm.register_forward_hook(normed) for norm in norms]
    hooks += [m.register_forward_hook(multiplied) for m in model.modules() if isinstance(m, nn.Linear)]
    hooks += [part.register_forward_hook(wrote) for part in parts]
    model(tokens)
    for hook in hooks:
        hook.remove()
    if len(stream.writers) != len(parts) or len(stream.readers) != len(norms):
        return "a layer reads or writes the residual stream other than through a linear layer"
    return stream


def _axes(model: LanguageModel, stream: _Stream, windows: Tensor, seed: int) -> Tensor:
    """Return [D, D] axes in columns, of norms' outputs without weights, weighted by the gradients of their readers."""
    width = model.config.width
    total = torch.zeros(width, width, dtype=torch.float64, device=model.device)
    norm_of = {linear: norm for norm, linears in stream.readers.items() for linear in linears}
    names = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and m in norm_of}

    def add(name: str, x: Tensor, gradient: Tensor) -> None:
        weight = norm_of[names[name]].weight.detach().double()
        # A channel of weight 0 contributes nothing.
        plain = x * weight / (weight.square() + 1e-12)
        pull = gradient * weight
        total.add_(plain.T @ plain * pull.square().mean())

    collect_gradients(model, list(names), windows, add, seed)
    # eigh sorts upwards: largest first.
    return torch.linalg.eigh(total)[1].flip(1).float()


@torch.no_grad()
def _turn(model: LanguageModel, stream: _Stream, axes: Tensor) -> None:
    """Rotate what writes to the stream, rotate back what reads it, and move the weights of norms into the readers."""
    table = cast(nn.Embedding, model.embeddings).weight
    table.copy_(table @ axes)
    for norm, linears in stream.readers.items():
        for linear in linears:
            # The reader takes the weight of the norm, and sees the stream along the axes.
            linear.weight.copy_((linear.weight * norm.weight) @ axes)
    for norm in stream.readers:
        norm.weight.fill_(1.0)
    for linear in stream.writers:
        linear.weight.copy_(axes.T @ linear.weight)
        if linear.bias is not None:
            linear.bias.copy_(linear.bias @ axes)
