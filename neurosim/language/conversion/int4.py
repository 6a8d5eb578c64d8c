"""Weights of 4 bits, in blocks of 32 input channels: kept from a GGUF file, or rounded with compensated errors.

Rounding goes through the channels of a layer in order. The error of each is compensated by the weights behind it, as
far as their inputs are alike on calibration text:

    W[:, j] -= (W[:, i] - Q[:, i]) U[i, j] / U[i, i] for j > i,  U^T U = H^-1,  H = sum over tokens of s s^T

where s are the counts of the layer's inputs. Counts are relative to a token's level, so that single tokens of very
large activations do not decide. Without text H is 1: each weight is rounded to the nearest.

Source: Frantar et al. 2023 (GPTQ, arXiv 2210.17323).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...base.errors import NeurosimFormatError
from ..attention.gguf.blocks import BLOCKS, BlockTensor
from ..attention.model import LanguageModel

CHANNELS = 32  # of a block
MIDDLE = 8  # q of weight 0 of Q4_0
DAMPING = 0.01  # of the mean of H's diagonal, added to it
# Fractions of the largest weight of a block that its 16 values may reach; clipping it helps the others.
REACHES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
Q4_0 = BLOCKS[2]
Q4_1 = BLOCKS[3]
AT_ONCE = 2**20  # weights whose reaches are tried at a time
WINDOWS = 8  # that a layer reads at a time


def is_int4(weight: Tensor) -> bool:
    """Return whether weights lie in blocks of 4 bits, Q4_0 or Q4_1."""
    return isinstance(weight, BlockTensor) and weight.kind in (Q4_0, Q4_1)


def unpacked(weight: BlockTensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return (q uint8 [N, K] of 0 to 15, steps, minima or None), float16 [N, K / 32], of weights in blocks.

    A weight is step (q - 8), or step q + minimum.
    """
    kind = weight.kind
    blocks = weight.blocks.unflatten(-1, (-1, kind.bytes))
    scales = blocks[..., : kind.bytes - CHANNELS // 2].contiguous().view(torch.float16)
    packed = blocks[..., kind.bytes - CHANNELS // 2 :]
    # The low halves of 16 bytes are the first 16 weights.
    q = torch.cat([packed & 15, packed >> 4], -1).flatten(-2)
    return q, scales[..., 0], scales[..., 1] if kind is Q4_1 else None


def in_blocks(q: Tensor, steps: Tensor) -> BlockTensor:
    """Return weights step (q - 8) in blocks; q [N, K] of 0 to 15, steps [N, K / 32]."""
    each = q.to(torch.uint8).unflatten(-1, (-1, 2, CHANNELS // 2))
    packed = each[..., 0, :] | each[..., 1, :] << 4
    scales = steps.to(torch.float16)[..., None].contiguous().view(torch.uint8)
    return BlockTensor(Q4_0, torch.cat([scales, packed], -1).flatten(-2))


def stored_blocks(blocks: Tensor, channels: int, name: str) -> BlockTensor:
    """Return bytes [N, bytes of a row] as weights of so many channels.

    Raises:
        NeurosimFormatError: rows of another size.
    """
    for kind in (Q4_0, Q4_1):
        if blocks.dim() == 2 and blocks.shape[1] * kind.values == channels * kind.bytes:
            return BlockTensor(kind, blocks)
    raise NeurosimFormatError(f"tensor '{name}': rows of {channels} weights must be blocks of Q4_0 or Q4_1")


def type_of(weights: str, name: str, channels: int) -> str:
    """Return the type of a layer's weights: those of 4 bits are of 8 in the head, as in most GGUF files, and where
    inputs are not a multiple of 32 channels."""
    if weights == "int4" and (name == "lm_head" or channels % CHANNELS):
        return "int8"
    return weights


def _steps(weights: Tensor, importance: Tensor) -> Tensor:
    """Return the step [n] of each block [n, 32] with the least squared error, weighted by the channels' importance.

    The weight of the largest size is at q = 0 (-8 steps), whatever its sign.
    """
    place = weights.abs().argmax(1, keepdim=True)
    full = weights.gather(1, place)[:, 0] / -MIDDLE
    best = torch.full_like(full, torch.inf)
    steps = full
    for reach in REACHES:
        # As the file has it, so that q is right for what is read.
        step = (full * reach).to(torch.float16).float()
        rounded = _rounded(weights, step[:, None]).sub_(MIDDLE).mul_(step[:, None])
        error = rounded.sub_(weights).square_().mul_(importance).sum(1)
        better = error < best
        best = torch.where(better, error, best)
        steps = torch.where(better, step, steps)
    return steps.to(torch.float16).float()


def _rounded(weights: Tensor, steps: Tensor) -> Tensor:
    """Return q of 0 to 15 as floats."""
    inverse = torch.where(steps == 0, 0.0, 1 / steps)
    return (weights * inverse).round_().add_(MIDDLE).clamp_(0, 15)


@torch.no_grad()
def round_to_nearest(weight: Tensor) -> BlockTensor:
    """Return weights [N, K] in blocks Q4_0, each weight rounded to the nearest."""
    flat = weight.detach().float()
    blocks = flat.reshape(-1, CHANNELS)
    even = torch.ones((), device=flat.device)
    at_once = AT_ONCE // CHANNELS
    steps = torch.cat([_steps(each, even) for each in blocks.split(at_once)])
    q = torch.cat(
        [
            _rounded(each, step[:, None]).to(torch.uint8)
            for each, step in zip(blocks.split(at_once), steps.split(at_once), strict=True)
        ]
    )
    return in_blocks(q.view(flat.shape), steps.view(len(flat), -1))


@torch.no_grad()
def round_compensated(weight: Tensor, moments: Tensor) -> BlockTensor:
    """Return weights [N, K] in blocks Q4_0, rounded so that errors cancel on inputs of these moments.

    Args:
        moments: H [K, K], the sum of s s^T over the inputs s.
    """
    # GPTQ (Frantar et al. 2023): columns are rounded from left to right, and each error is made up for by the columns
    # to its right, by rows of the Cholesky factor of H^-1 that all rows of weights share.
    w = weight.detach().float().clone()
    upper = _inverse_factor(moments.float())
    importance = torch.diagonal(upper).square().reciprocal()
    q = torch.empty(w.shape, dtype=torch.uint8, device=w.device)
    steps = []
    for begin in range(0, w.shape[1], CHANNELS):
        end = begin + CHANNELS
        own = w[:, begin:end]
        # Chosen when the block is reached: its weights have taken the errors of all before it.
        step = _steps(own, importance[begin:end])
        errors = torch.empty_like(own)
        for i in range(CHANNELS):
            k = begin + i
            chosen = _rounded(own[:, i], step)
            q[:, k] = chosen.to(torch.uint8)
            errors[:, i] = (own[:, i] - (chosen - MIDDLE) * step) / upper[k, k]
            own[:, i + 1 :] -= errors[:, i : i + 1] * upper[k, k + 1 : end]
        # Columns behind the block take its errors at once, as one product of matrices.
        w[:, end:] -= errors @ upper[begin:end, end:]
        steps.append(step)
    return in_blocks(q, torch.stack(steps, 1))


def _inverse_factor(moments: Tensor) -> Tensor:
    """Return U, upper triangular, U^T U = (H + damping)^-1."""
    diagonal = torch.diagonal(moments)
    # A channel that is always silent has any weight; its moment must not be 0.
    damping = max(DAMPING * float(diagonal.mean()), 1e-6)
    lower = torch.linalg.cholesky(moments + damping * torch.eye(len(moments), device=moments.device))
    return torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)


@contextmanager
def _observed(layers: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Yield the moments of the counts of layers by name, summed while the block runs; weights are floats then."""
    moments: dict[str, Tensor] = {}

    def observer(name: str) -> Callable[[Tensor, Tensor], None]:
        def observe(z: Tensor, counts: Tensor) -> None:
            flat = counts.detach().flatten(0, -2).float()
            moments[name] = moments.get(name, 0) + flat.T @ flat

        return observe

    for name, layer in layers.items():
        layer.coder.observer = observer(name)
        layer.weight_type = "float32"
    try:
        yield moments
    finally:
        for layer in layers.values():
            layer.coder.observer = None
            layer.weight_type = "int4"


@torch.no_grad()
def round_layers(
    model: LanguageModel,
    layers: Mapping[str, Any],
    windows: Tensor | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Round the weights of a converted model to 4 bits, block of the model after block.

    Each block reads what the rounded blocks before it make of the text, in spikes. Weights that a file has in 4 bits
    stay as they are where channels have no scales of their own.

    Args:
        layers: the spiked layers by name.
        windows: [n, tokens] calibration text; None rounds each weight to the nearest.
        on_progress: called with (blocks done, blocks in all); without text, with layers.
    """
    open_layers = {}
    for name, layer in layers.items():
        if layer.weight_type != "int4":
            continue
        # Already 4 bits in the file: rounding them once more could only lose.
        if layer.keeps_int4():
            layer.store_int4(layer.weight.detach())
        else:
            open_layers[name] = layer
    if windows is None:
        for done, layer in enumerate(open_layers.values(), 1):
            layer.store_int4(layer.stored_int4())
            if on_progress is not None:
                on_progress(done, len(open_layers))
        return
    if open_layers:
        _round_blocks(model, open_layers, windows, on_progress)


def _round_blocks(
    model: LanguageModel,
    layers: Mapping[str, Any],
    windows: Tensor,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Round layers as their blocks come, see `round_layers`."""
    streams = [model.embed(part.to(model.device)) for part in windows.split(WINDOWS)]
    shares: list[dict[str, Any]] = [{} for _ in streams]
    bounds = model.bounds()
    remaining = dict(layers)
    for i, block in enumerate(model.layers):
        own = {name: remaining.pop(name) for name in list(remaining) if name.startswith(f"layers.{i}.")}
        if bounds is not None:
            for shared in shares:
                shared["lower_bound"] = bounds[i]
        # The block is read twice: before its layers are rounded for their moments, and then for the stream of the next.
        read = list(zip(streams, shares, strict=True))
        if own:
            with _observed(own) as moments:
                for x, shared in read:
                    block(x, None, dict(shared))
            _round(own, moments)
        streams = [block(x, None, shared)[0] for x, shared in read]
        if on_progress is not None:
            on_progress(i + 1, len(model.layers))
    # Layers outside of blocks: of an embedding of events.
    for layer in remaining.values():
        layer.store_int4(layer.stored_int4())


def _round(layers: Mapping[str, Any], moments: Mapping[str, Tensor]) -> None:
    for name, layer in layers.items():
        scaled = layer.dense() * layer.coder.scales
        # A layer that no token of the text has reached, as an expert may be, has no moments.
        if name in moments:
            layer.store_int4(round_compensated(scaled, moments[name]))
        else:
            layer.store_int4(round_to_nearest(scaled))
